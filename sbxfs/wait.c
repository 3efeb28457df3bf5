/* wait: a line about the job's end, when it has ended. */
#include <errno.h>

#include "sbxfs/follow.h"
#include "sbxfs/stream.h"

struct waiter {
	struct stream st; /* first */
	struct follow f;
	struct reply_line line;
};

static ssize_t
wait_next(struct stream *st, char *p, size_t n)
{
	struct waiter *w = (struct waiter *)st;

	if (w->f.job != 0 && !w->f.ended)
		return -EAGAIN;
	if (w->line.len == 0 && w->f.job != 0)
		reply_line_set(
		    &w->line, "%d %d %s\n", w->f.job, w->f.code, w->f.secs);
	return reply_line_read(&w->line, p, n);
}

static bool
wait_ready(const struct stream *st)
{
	const struct waiter *w = (const struct waiter *)st;

	return w->f.job == 0 || w->f.ended;
}

static void
bound(struct call *c, const struct reply *r)
{
	struct waiter *w = (struct waiter *)c->h;
	int error;

	if ((error = follow_answer(&w->f, r, false)) < 0) {
		reply_err(c->req, -error);
		handle_unref(c->h);
		return;
	}
	stream_opened(c->req, &w->st);
}

static void
again(struct call *c, const struct reply *r)
{
	struct waiter *w = (struct waiter *)c->h;
	int error;

	if ((error = follow_answer(&w->f, r, false)) < 0)
		stream_fail(&w->st, -error);
	else
		stream_wake(&w->st);
}

static void
wait_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct waiter *w;
	struct call *c;
	int error;

	if ((error = node_check(req, n)) != 0) {
		reply_check(req, n, error);
		return;
	}
	w = stream_new(sizeof(*w), req, n, fi);
	w->st.next = wait_next;
	w->st.ready = wait_ready;
	follow_init(&w->f, w->st.h.s);
	exec_start_flushed(n->box);
	c = call_new(req, bound);
	call_hold(c, &w->st.h);
	call_send(c, "job.follow", follow_params(n, n->job, false));
}

static void
wait_read(fuse_req_t req, struct handle *h, size_t n, off_t off)
{
	struct waiter *w = (struct waiter *)h;
	int error;

	(void)off;
	if ((error = node_stale(h->node)) == 0 && !wait_ready(&w->st) &&
	    !w->f.asked && !client_is_up(h->s->client))
		error = EIO;
	if (error != 0) {
		reply_err(req, error);
		return;
	}
	if (!wait_ready(&w->st) && !w->f.asked) {
		w->f.asked = true;
		call_send(call_for(h, again), "job.follow",
		    follow_params(h->node, w->f.job, false));
	}
	stream_read(req, &w->st, n);
}

static void
wait_poll(fuse_req_t req, struct handle *h, unsigned events,
    struct fuse_pollhandle *ph)
{
	(void)events;
	stream_poll(req, (struct stream *)h, false, ph);
}

static void
wait_free(struct handle *h)
{
	struct waiter *w = (struct waiter *)h;

	stream_free(&w->st);
	follow_done(&w->f, h->s);
}

static void
wait_down(struct handle *h, int error)
{
	struct waiter *w = (struct waiter *)h;

	follow_down(&w->f);
	stream_fail(&w->st, error);
}

static bool
wait_notice(struct handle *h, bool ended, const json_t *params)
{
	struct waiter *w = (struct waiter *)h;

	if (!follow_notice(&w->f, ended, params))
		return false;
	stream_wake(&w->st);
	return true;
}

const struct file_ops wait_ops = {
	.open = wait_open,
	.read = wait_read,
	.poll = wait_poll,
	.free = wait_free,
	.down = wait_down,
	.notice = wait_notice,
};
