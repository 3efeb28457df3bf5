/*
 * jobs/new: write a script, read the number of the job that it became. The
 * job is not tied to the open file, but that holds its stdin open until
 * somebody else has opened it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sbxfs/input.h"
#include "sbxfs/stream.h"

#define SCRIPT_MAX (1u << 20)

struct newjob {
	struct stream st; /* first */
	struct input in;  /* of the last job */
	struct buf script;
	bool too_big;
	bool starting;
	int error;
	struct reply_line line;
};

static ssize_t
newjob_next(struct stream *st, char *p, size_t n)
{
	struct newjob *j = (struct newjob *)st;
	int error = j->error;

	if (j->starting)
		return -EAGAIN;
	j->error = 0;
	if (error != 0)
		return -error;
	return reply_line_read(&j->line, p, n);
}

static bool
newjob_ready(const struct stream *st)
{
	return !((const struct newjob *)st)->starting;
}

static void
started(struct call *c, const struct reply *r)
{
	struct newjob *j = (struct newjob *)c->h;

	j->starting = false;
	j->error = -r->error;
	j->line.len = j->line.pos = 0;
	j->in.job = (int)json_integer_value(json_object_get(r->result, "job"));
	if (r->error == 0)
		reply_line_set(&j->line, "%d\n", j->in.job);
	else
		j->in.no = 0;
	stream_wake(&j->st);
}

static void
start(struct newjob *j)
{
	struct handle *h = &j->st.h;
	cleanup_buf struct buf script = BUF_INIT;

	j->too_big = false;
	if (j->script.len == 0 || j->starting)
		return;
	script = j->script;
	memset(&j->script, 0, sizeof(j->script));
	buf_limit(&j->script, SCRIPT_MAX);
	j->starting = true;
	if (client_fd(h->s->client) >= 0) {
		input_close(h, &j->in);
		j->in = (struct input){ .no = input_number(), .creator = true };
	}
	call_send_bin(call_for(h, started), "job.start",
	    json_pack("{s:s,s:s,s:I}", "id", h->node->box->id, "file",
		"jobs/new", "h", (json_int_t)j->in.no),
	    script.data, script.len);
}

static void
newjob_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct newjob *j;
	int error;

	if ((error = node_check(req, n)) != 0) {
		reply_check(req, n, error);
		return;
	}
	if ((fi->flags & O_ACCMODE) != O_RDWR) {
		reply_why(req, n, EACCES, "open it to read and write");
		return;
	}
	j = stream_new(sizeof(*j), req, n, fi);
	j->st.next = newjob_next;
	j->st.ready = newjob_ready;
	buf_limit(&j->script, SCRIPT_MAX);
	stream_opened(req, &j->st);
}

static void
newjob_read(fuse_req_t req, struct handle *h, size_t n, off_t off)
{
	struct newjob *j = (struct newjob *)h;

	(void)off;
	start(j);
	stream_read(req, &j->st, n);
}

static void
newjob_write(fuse_req_t req, struct handle *h, const char *p, size_t n)
{
	struct newjob *j = (struct newjob *)h;
	int error;

	if ((error = node_stale(h->node)) != 0) {
		reply_check(req, h->node, error);
		return;
	}
	if (j->starting) {
		reply_why(req, h->node, EBUSY,
		    "the script before is still being started");
		return;
	}
	if (j->too_big || buf_add(&j->script, p, n) < 0) {
		j->too_big = true;
		buf_clear(&j->script);
		reply_why(req, h->node, E2BIG, "a script is at most 1 MiB");
		return;
	}
	(void)fuse_reply_write(req, n);
}

static void
newjob_flush(fuse_req_t req, struct handle *h)
{
	start((struct newjob *)h);
	reply_err(req, 0);
}

static void
newjob_poll(fuse_req_t req, struct handle *h, unsigned events,
    struct fuse_pollhandle *ph)
{
	struct newjob *j = (struct newjob *)h;

	(void)events;
	stream_poll(req, &j->st, !j->starting, ph);
}

static void
newjob_close(struct handle *h)
{
	struct newjob *j = (struct newjob *)h;

	start(j);
	input_close(h, &j->in);
}

static void
newjob_up(struct handle *h)
{
	input_up(h, &((struct newjob *)h)->in);
}

static void
newjob_free(struct handle *h)
{
	struct newjob *j = (struct newjob *)h;

	stream_free(&j->st);
	buf_done(&j->script);
}

static void
newjob_down(struct handle *h, int error)
{
	stream_fail((struct stream *)h, error);
}

const struct file_ops jobs_new_ops = {
	.open = newjob_open,
	.read = newjob_read,
	.write = newjob_write,
	.flush = newjob_flush,
	.poll = newjob_poll,
	.close = newjob_close,
	.free = newjob_free,
	.up = newjob_up,
	.down = newjob_down,
};
