/*
 * Logs: files that grow. They are read by offset, at the end there is EOF;
 * poll says when there is more than this open file has read. To who has read
 * all but not the end, that is to be read as well: busybox's sh polls before
 * each byte, and would never come to it.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sbxfs/impl.h"

/* So much fits into the socket and leaves room for notifications, which must
 * not come late (agent/protocol.md). Over a network a piece costs a round
 * trip, and nothing is promised. */
#define PIECE (64u << 10)

struct log {
	struct handle h;
	bool watching;	  /* the front has a watch for us, or is asked for it */
	json_int_t watch; /* its number, -1 not known yet */
	uint64_t size;	  /* as the watch says */
	uint64_t behind;  /* where the last read ended */
	bool end_seen;	  /* a read found nothing there */
	struct fuse_pollhandle *ph;
};

static void
log_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct log *l;
	int error;

	if ((error = node_check(req, n)) != 0) {
		reply_check(req, n, error);
		return;
	}
	l = handle_new(sizeof(*l), req, n, fi);
	l->watch = -1;
	handle_opened(req, &l->h, 0);
}

/* What has come, and then the rest of it. */
static void ask_piece(struct call *c, size_t off, size_t left);

static void
got_piece(struct call *c, const struct reply *r)
{
	struct log *l = (struct log *)c->h;
	size_t left = c->left - r->len;
	struct call *next;

	if (r->error != 0 && c->bytes.len == 0) {
		reply_err(c->req, -r->error);
		return;
	}
	/* The notice of it may come later. */
	if (json_is_integer(json_object_get(r->result, "size")))
		l->size = (uint64_t)json_integer_value(
		    json_object_get(r->result, "size"));
	l->behind = (uint64_t)c->size + r->len;
	(void)buf_add(&c->bytes, r->data, r->len);
	if (r->len != PIECE || left == 0) {
		l->end_seen = l->end_seen || c->bytes.len == 0;
		(void)fuse_reply_buf(c->req, c->bytes.data, c->bytes.len);
		return;
	}
	next = call_new(c->req, got_piece);
	call_hold(next, c->h);
	next->bytes = c->bytes;
	memset(&c->bytes, 0, sizeof(c->bytes));
	ask_piece(next, c->size + r->len, left);
}

static void
ask_piece(struct call *c, size_t off, size_t left)
{
	size_t n = c->s->dial < 0 && left > PIECE ? PIECE : left;
	json_t *params = node_params(c->h->node);

	c->size = off;
	c->left = left;
	json_object_set_new(params, "off", json_integer((json_int_t)off));
	json_object_set_new(params, "len", json_integer((json_int_t)n));
	call_send(c, "pread", params);
}

static void
log_read(fuse_req_t req, struct handle *h, size_t n, off_t off)
{
	struct call *c;
	int error;

	if ((error = node_stale(h->node)) != 0) {
		reply_check(req, h->node, error);
		return;
	}
	c = call_new(req, got_piece);
	call_hold(c, h);
	ask_piece(c, (size_t)off, n);
}

static void
reply_ready(fuse_req_t req, const struct log *l)
{
	/* It shrinks when it begins anew: that is news as well. */
	bool ready = l->size != l->behind || (l->behind != 0 && !l->end_seen);

	(void)fuse_reply_poll(req, ready ? POLLIN | POLLRDNORM : 0);
}

static void
got_watch(struct call *c, const struct reply *r)
{
	struct log *l = (struct log *)c->h;
	json_int_t size = 0;

	if (r->error != 0 ||
	    json_unpack(r->result, "{s:I,s:I}", "h", &l->watch, "size", &size) <
		0) {
		l->watching = false;
		(void)fuse_reply_poll(c->req, POLLERR | POLLIN);
		return;
	}
	l->size = (uint64_t)size;
	reply_ready(c->req, l);
}

static void
log_poll(fuse_req_t req, struct handle *h, unsigned events,
    struct fuse_pollhandle *ph)
{
	struct log *l = (struct log *)h;
	struct call *c;

	(void)events;
	poll_take(&l->ph, ph);
	if (l->watching) {
		reply_ready(req, l);
		return;
	}
	l->watching = true;
	c = call_new(req, got_watch);
	call_hold(c, h);
	call_send(c, "watch", node_params(h->node));
}

static bool
log_notice(struct handle *h, bool ended, const json_t *params)
{
	struct log *l = (struct log *)h;
	json_int_t watch, size;

	if (ended || l->watch < 0 ||
	    json_unpack((json_t *)(uintptr_t)params, "{s:I,s:I}", "h", &watch,
		"size", &size) < 0 ||
	    watch != l->watch)
		return false;
	l->size = (uint64_t)size;
	poll_wake(&l->ph);
	return true;
}

static void
log_down(struct handle *h, int error)
{
	struct log *l = (struct log *)h;

	(void)error;
	l->watching = false;
	l->watch = -1;
	poll_wake(&l->ph);
}

static void
log_close(struct handle *h)
{
	struct log *l = (struct log *)h;

	if (l->watch >= 0)
		client_notify(
		    h->s->client, "unwatch", json_pack("{s:I}", "h", l->watch));
	l->watch = -1;
}

static void
log_free(struct handle *h)
{
	poll_forget(&((struct log *)h)->ph);
}

const struct file_ops log_ops = {
	.open = log_open,
	.read = log_read,
	.poll = log_poll,
	.notice = log_notice,
	.down = log_down,
	.close = log_close,
	.free = log_free,
};
