/*
 * jobs/N/stdin: what is written goes to the job, at its pace: a write waits
 * as a pipe's would. The job reads an end of file when the last writer closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "sbxfs/input.h"

struct job_stdin {
	struct handle h;
	struct input in;
	bool full; /* the last write did not fit: the front tells of room */
	int error; /* nobody reads it any more */
	struct fuse_pollhandle *ph;
};

static void
opened(struct call *c, const struct reply *r)
{
	struct job_stdin *si = (struct job_stdin *)c->h;

	if (r->error != 0) {
		reply_err(c->req, -r->error);
		handle_unref(&si->h);
		return;
	}
	handle_opened(c->req, &si->h, OPEN_STREAM);
}

static void
stdin_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct job_stdin *si;
	struct call *c;
	int error;

	if ((error = node_check(req, n)) != 0) {
		reply_check(req, n, error);
		return;
	}
	if ((fi->flags & O_ACCMODE) == O_RDONLY) {
		reply_why(req, n, EACCES, "it can only be written");
		return;
	}
	si = handle_new(sizeof(*si), req, n, fi);
	si->in = (struct input){ .no = input_number(), .job = n->job };
	c = call_new(req, opened);
	call_hold(c, &si->h);
	input_open(c, &si->h, &si->in);
}

static void
written(struct call *c, const struct reply *r)
{
	struct job_stdin *si = (struct job_stdin *)c->h;
	size_t n;

	if (r->error != 0) {
		si->full = r->error == -EAGAIN;
		reply_err(c->req, -r->error);
		return;
	}
	n = (size_t)json_integer_value(json_object_get(r->result, "len"));
	si->full = n < c->size;
	(void)fuse_reply_write(c->req, n);
}

static void
stdin_write(fuse_req_t req, struct handle *h, const char *p, size_t n)
{
	struct job_stdin *si = (struct job_stdin *)h;
	struct call *c;
	int error;

	if ((error = node_check(req, h->node)) != 0) {
		reply_check(req, h->node, error);
		return;
	}
	c = call_new(req, written);
	call_hold(c, h);
	c->size = n;
	call_send_bin(c, "job.write",
	    json_pack("{s:I,s:b}", "h", (json_int_t)si->in.no, "nonblock",
		(h->flags & O_NONBLOCK) != 0),
	    p, n);
}

static void
stdin_poll(fuse_req_t req, struct handle *h, unsigned events,
    struct fuse_pollhandle *ph)
{
	struct job_stdin *si = (struct job_stdin *)h;
	unsigned got = si->full ? 0 : POLLOUT | POLLWRNORM;

	(void)events;
	poll_take(&si->ph, ph);
	if (si->error != 0)
		got |= POLLERR;
	(void)fuse_reply_poll(req, got);
}

static void
wake(struct job_stdin *si)
{
	si->full = false;
	poll_wake(&si->ph);
}

/* `room`: it can be written again, or never will. */
static bool
stdin_notice(struct handle *h, bool ended, const json_t *params)
{
	struct job_stdin *si = (struct job_stdin *)h;

	if (ended || si->in.no == 0 ||
	    json_integer_value(json_object_get(params, "h")) != si->in.no)
		return false;
	si->error = (int)json_integer_value(json_object_get(params, "errno"));
	wake(si);
	return true;
}

static void
stdin_up(struct handle *h)
{
	input_up(h, &((struct job_stdin *)h)->in);
}

static void
stdin_down(struct handle *h, int error)
{
	(void)error; /* the next write says so */
	wake((struct job_stdin *)h);
}

static void
stdin_close(struct handle *h)
{
	input_close(h, &((struct job_stdin *)h)->in);
}

static void
stdin_free(struct handle *h)
{
	poll_forget(&((struct job_stdin *)h)->ph);
}

const struct file_ops stdin_ops = {
	.open = stdin_open,
	.write = stdin_write,
	.poll = stdin_poll,
	.notice = stdin_notice,
	.up = stdin_up,
	.down = stdin_down,
	.close = stdin_close,
	.free = stdin_free,
};
