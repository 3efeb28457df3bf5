/*
 * Values and commands: what is read is the state at the open, any offset, to
 * its end; what is written are lines, done in order by the front. A value is
 * written only where its mode says so (env).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/impl.h"

struct snapshot {
	struct handle h;
	char *text; /* NULL when not open for reading */
	size_t len;
	struct lines lines;
};

static void
got_text(struct call *c, const struct reply *r)
{
	struct snapshot *sn = (struct snapshot *)c->h;

	if (r->error != 0) {
		reply_err(c->req, -r->error);
		handle_unref(&sn->h);
		return;
	}
	sn->text = xmalloc(r->len + 1);
	memcpy(sn->text, r->data, r->len);
	sn->len = r->len;
	handle_opened(c->req, &sn->h, 0);
}

static void
read_text(fuse_req_t req, struct snapshot *sn)
{
	struct call *c;

	if ((sn->h.flags & O_ACCMODE) == O_WRONLY) {
		handle_opened(req, &sn->h, 0);
		return;
	}
	c = call_new(req, got_text);
	call_hold(c, &sn->h);
	call_send(c, "read", node_params(sn->h.node));
}

static void
truncated(struct call *c, const struct reply *r)
{
	if (r->error != 0) {
		reply_err(c->req, -r->error);
		handle_unref(c->h);
		return;
	}
	read_text(c->req, (struct snapshot *)c->h);
}

static void
snapshot_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct snapshot *sn;
	struct call *c;
	int error;

	if ((error = node_check(req, n)) != 0) {
		reply_check(req, n, error);
		return;
	}
	sn = handle_new(sizeof(*sn), req, n, fi);
	if (n->file->kind != KIND_VALUE || (n->file->mode & 0200) == 0 ||
	    (fi->flags & O_TRUNC) == 0) {
		read_text(req, sn);
		return;
	}
	c = call_new(req, truncated);
	call_hold(c, &sn->h);
	call_send(c, "truncate", node_params(n));
}

static void
snapshot_read(fuse_req_t req, struct handle *h, size_t n, off_t off)
{
	struct snapshot *sn = (struct snapshot *)h;

	reply_part(req, sn->text, sn->len, n, (uint64_t)off);
}

static void
written(struct call *c, const struct reply *r)
{
	call_done_lines(c, &((struct snapshot *)c->h)->lines, r);
}

static void
snapshot_write(fuse_req_t req, struct handle *h, const char *p, size_t n)
{
	struct snapshot *sn = (struct snapshot *)h;
	cleanup_buf struct buf text = BUF_INIT;
	struct call *c;
	int r;

	if ((r = node_stale(h->node)) != 0 ||
	    (r = -lines_take(&sn->lines, p, n, &text)) != 0) {
		reply_check(req, h->node, r);
		return;
	}
	if (text.len == 0) {
		(void)fuse_reply_write(req, n);
		return;
	}
	c = call_new(req, written);
	c->size = n;
	call_hold(c, h);
	call_send_bin(c, "write", node_params(h->node), text.data, text.len);
}

static void
snapshot_flush(fuse_req_t req, struct handle *h)
{
	struct snapshot *sn = (struct snapshot *)h;
	cleanup_buf struct buf text = BUF_INIT;
	struct call *c;

	if (lines_flush(&sn->lines, &text) < 0 || text.len == 0) {
		reply_err(req, 0);
		return;
	}
	c = call_new(req, written);
	call_hold(c, h);
	call_send_bin(c, "write", node_params(h->node), text.data, text.len);
}

static void
snapshot_free(struct handle *h)
{
	struct snapshot *sn = (struct snapshot *)h;

	free(sn->text);
	lines_done(&sn->lines);
}

const struct file_ops snapshot_ops = {
	.open = snapshot_open,
	.read = snapshot_read,
	.write = snapshot_write,
	.flush = snapshot_flush,
	.free = snapshot_free,
};
