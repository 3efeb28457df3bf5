/*
 * exec in its three modes, and wait.
 *
 * O_WRONLY: what is written is a script, which starts at the RELEASE (a shell
 * closes its copy of the descriptor in between: FLUSH is no end). O_RDONLY:
 * the output of the job that was newest at the open. O_RDWR: a session; what
 * is written is a command, which starts at the next FLUSH, READ or POLL.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/follow.h"
#include "sbxfs/stream.h"

#define SCRIPT_MAX (1u << 20)

struct conv {
	struct stream st;      /* first */
	LIST_ENTRY(conv) link; /* writers of the sandbox */
	bool writer;
	bool session;
	bool flushed;  /* its opener closed it, and nothing came since */
	int refused;   /* the errno: nothing of the script runs */
	bool starting; /* job.start is under way */
	bool closed;
	int error; /* of a command that did not start: the next read's */
	struct buf script;
	struct follow f;
};

static bool
running(const struct conv *v)
{
	return v->starting ||
	    (v->f.bound && v->f.job != 0 && !follow_over(&v->f));
}

/*** Reading ***/

static void
fetched(struct call *c, const struct reply *r)
{
	struct conv *v = (struct conv *)c->h;
	int error;

	if (v->closed)
		return;
	if ((error = follow_fetched(&v->f, c, r)) < 0)
		v->error = -error;
	else
		follow_fetch(&v->f, &v->st.h, fetched);
	stream_wake(&v->st);
}

static ssize_t
exec_next(struct stream *st, char *p, size_t n)
{
	struct conv *v = (struct conv *)st;
	ssize_t r;
	int error;

	if (v->error != 0) {
		error = v->error;
		v->error = 0;
		return -error;
	}
	r = follow_read(&v->f, p, n);
	follow_fetch(&v->f, &v->st.h, fetched);
	if (r != 0)
		return r;
	if (running(v))
		return -EAGAIN;
	/* The end of this answer; a session is idle until the next. */
	if (v->session)
		follow_done(&v->f, st->h.s);
	return 0;
}

static int
exec_pipe(struct stream *st, size_t *ret_n)
{
	const struct conv *v = (const struct conv *)st;

	return v->error == 0 ? follow_pipe(&v->f, ret_n) : -1;
}

static bool
exec_ready(const struct stream *st)
{
	const struct conv *v = (const struct conv *)st;

	return v->error != 0 || !running(v) || follow_has_output(&v->f);
}

static void
followed(struct call *c, const struct reply *r)
{
	struct conv *v = (struct conv *)c->h;
	int error;

	if ((error = follow_answer(&v->f, r, true)) < 0)
		v->error = -error;
	/* A job that is not there any more is not waited for. */
	if (v->closed || (v->session && error < 0 && error != -EIO))
		follow_done(&v->f, c->s);
	follow_fetch(&v->f, &v->st.h, fetched);
	stream_wake(&v->st);
}

static void
ask_follow(struct conv *v)
{
	v->f.asked = true;
	call_send(call_for(&v->st.h, followed), "job.follow",
	    follow_again(v->st.h.node, &v->f, true));
}

/*** Starting ***/

static void
kill_job(struct handle *h, int job)
{
	call_send(call_for(h, NULL), "job.signal",
	    json_pack("{s:s,s:i,s:i}", "id", h->node->box->id, "job", job,
		"signal", SIGKILL));
}

static void
started(struct call *c, const struct reply *r)
{
	struct conv *v = (struct conv *)c->h;
	int error;

	v->starting = false;
	follow_done(&v->f, c->s);
	if ((error = follow_answer(&v->f, r, false)) < 0)
		v->error = -error;
	if (v->closed) {
		if (running(v))
			kill_job(&v->st.h, v->f.job);
		follow_done(&v->f, c->s);
	}
	follow_fetch(&v->f, &v->st.h, fetched);
	stream_wake(&v->st);
}

/* Sends the script and forgets it. A writer's answer interests nobody: what
 * is wrong with it is in the job's status and in /sbx/errors. */
static void
start(struct conv *v)
{
	struct handle *h = &v->st.h;
	cleanup_buf struct buf script = BUF_INIT;

	v->refused = 0;
	v->flushed = false;
	if (v->script.len == 0)
		return;
	script = v->script;
	memset(&v->script, 0, sizeof(v->script));
	buf_limit(&v->script, SCRIPT_MAX);
	v->starting = v->session;
	call_send_bin(call_for(h, v->session ? started : NULL), "job.start",
	    json_pack("{s:s,s:b}", "id", h->node->box->id, "session",
		(int)v->session),
	    script.data, script.len);
}

/*** The file ***/

static void
bound(struct call *c, const struct reply *r)
{
	struct conv *v = (struct conv *)c->h;
	int error;

	if ((error = follow_answer(&v->f, r, true)) < 0) {
		reply_err(c->req, -error);
		handle_unref(c->h);
		return;
	}
	follow_fetch(&v->f, &v->st.h, fetched);
	stream_opened(c->req, &v->st);
}

void
exec_start_flushed(struct box *b)
{
	struct conv *v;

	LIST_FOREACH (v, &b->writers, link)
		if (v->flushed)
			start(v);
}

static int
check_up(const struct node *n)
{
	static const char *const down[] = { "paused", "stopped", "stopping",
		"error", "destroying", "destroyed" };
	size_t i;
	int error;

	if ((error = node_stale(n)) != 0)
		return error;
	for (i = 0; i < sizeof(down) / sizeof(down[0]); i++)
		if (strcmp(n->box->state, down[i]) == 0)
			return EHOSTDOWN;
	return 0;
}

/* With the sentence of what check_up and exec_write say. */
static void
refuse(fuse_req_t req, const struct node *n, int error)
{
	if (error == EHOSTDOWN)
		reply_why(req, n, error, "the sandbox is %s", n->box->state);
	else if (error == EBUSY)
		reply_why(req, n, error, "the session's command still runs");
	else if (error == E2BIG)
		reply_why(req, n, error, "a script is at most 1 MiB");
	else if (error == EINVAL)
		reply_why(req, n, error, "the script has a NUL byte");
	else
		reply_check(req, n, error);
}

static struct conv *
new_conv(fuse_req_t req, struct node *n, const struct fuse_file_info *fi)
{
	struct conv *v = stream_new(sizeof(*v), req, n, fi);

	v->st.next = exec_next;
	v->st.pipe = exec_pipe;
	v->st.ready = exec_ready;
	buf_limit(&v->script, SCRIPT_MAX);
	follow_init(&v->f, v->st.h.s);
	return v;
}

static void
exec_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	int mode = fi->flags & O_ACCMODE;
	struct conv *v;
	struct call *c;
	int error;

	if ((error = node_check(req, n)) == 0 && mode != O_RDONLY)
		error = check_up(n);
	if (error != 0) {
		refuse(req, n, error);
		return;
	}
	v = new_conv(req, n, fi);
	if (mode != O_RDONLY) {
		v->session = mode == O_RDWR;
		v->writer = !v->session;
		if (v->writer)
			LIST_INSERT_HEAD(&n->box->writers, v, link);
		stream_opened(req, &v->st);
		return;
	}
	exec_start_flushed(n->box);
	c = call_new(req, bound);
	call_hold(c, &v->st.h);
	call_send(c, "job.follow", follow_params(n, 0, true));
}

static void
exec_read(fuse_req_t req, struct handle *h, size_t n, off_t off)
{
	struct conv *v = (struct conv *)h;
	int error;

	(void)off;
	if ((error = node_stale(h->node)) != 0) {
		reply_check(req, h->node, error);
		return;
	}
	if (v->session && !running(v))
		start(v);
	/* Since the connection was lost nobody tells us of the job. */
	if (running(v) && !v->starting && !v->f.asked) {
		if (!client_is_up(h->s->client)) {
			reply_err(req, EIO);
			return;
		}
		ask_follow(v);
	}
	stream_read(req, &v->st, n);
}

/* One with a NUL can only be executed itself. Who writes it learns of it here
 * or never: the close is not heard. */
static int
script_add(struct buf *script, const char *p, size_t n)
{
	size_t len = script->len;

	if (buf_add(script, p, n) < 0)
		return E2BIG;
	if (memchr(script->data + len, '\0', n) != NULL &&
	    (script->len < 2 || memcmp(script->data, "#!", 2) != 0))
		return EINVAL;
	return 0;
}

/* A session's next command: what was not read of the one before gives way,
 * however the new one will be started. */
static int
next_command(struct conv *v)
{
	if (v->starting || (v->f.job != 0 && !v->f.ended))
		return EBUSY;
	if (v->f.job != 0) {
		follow_done(&v->f, v->st.h.s);
		stream_wake(&v->st);
	}
	v->error = 0;
	return 0;
}

static void
exec_write(fuse_req_t req, struct handle *h, const char *p, size_t n)
{
	struct conv *v = (struct conv *)h;
	int error;

	/* The close could not say that nobody takes it. */
	if ((error = node_check(req, h->node)) == 0)
		error = check_up(h->node);
	if (error == 0 && v->session)
		error = next_command(v);
	if (error == 0 && v->refused == 0 &&
	    (v->refused = script_add(&v->script, p, n)) != 0)
		buf_clear(&v->script);
	if (error != 0 || (error = v->refused) != 0) {
		refuse(req, h->node, error);
		return;
	}
	v->flushed = false;
	(void)fuse_reply_write(req, n);
}

static void
exec_flush(fuse_req_t req, struct handle *h)
{
	struct conv *v = (struct conv *)h;

	if (v->session && !running(v))
		start(v);
	else if (v->writer && req_caller(req).pid == h->opener.pid)
		v->flushed = true;
	reply_err(req, 0);
}

static void
exec_poll(fuse_req_t req, struct handle *h, unsigned events,
    struct fuse_pollhandle *ph)
{
	struct conv *v = (struct conv *)h;

	if (v->session && !running(v) && (events & POLLIN) != 0)
		start(v);
	stream_poll(req, &v->st, v->writer || (v->session && !running(v)), ph);
}

static void
exec_close(struct handle *h)
{
	struct conv *v = (struct conv *)h;

	v->closed = true;
	if (v->writer) {
		LIST_REMOVE(v, link);
		v->writer = false;
		if (v->refused == 0)
			start(v);
	} else if (v->session && running(v) && !v->starting) {
		kill_job(h, v->f.job);
	}
	follow_done(&v->f, h->s);
}

static void
exec_free(struct handle *h)
{
	struct conv *v = (struct conv *)h;

	stream_free(&v->st);
	follow_done(&v->f, h->s);
	buf_done(&v->script);
}

static void
exec_down(struct handle *h, int error)
{
	struct conv *v = (struct conv *)h;

	follow_down(&v->f);
	stream_fail(&v->st, error);
}

static bool
exec_notice(struct handle *h, bool ended, const json_t *params)
{
	struct conv *v = (struct conv *)h;

	if (!follow_notice(&v->f, ended, params))
		return false;
	follow_fetch(&v->f, &v->st.h, fetched);
	stream_wake(&v->st);
	return true;
}

static bool
exec_more(struct handle *h, const json_t *params, int fd)
{
	struct conv *v = (struct conv *)h;

	if (!follow_more(&v->f, params, fd))
		return false;
	follow_fetch(&v->f, &v->st.h, fetched);
	stream_wake(&v->st);
	return true;
}

const struct file_ops exec_ops = {
	.open = exec_open,
	.read = exec_read,
	.write = exec_write,
	.flush = exec_flush,
	.poll = exec_poll,
	.close = exec_close,
	.free = exec_free,
	.down = exec_down,
	.notice = exec_notice,
	.more = exec_more,
};
