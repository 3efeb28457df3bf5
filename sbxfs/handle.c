#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>

#include "lib/mem.h"
#include "sbxfs/impl.h"

void *
handle_new(size_t size, fuse_req_t req, struct node *n,
    const struct fuse_file_info *fi)
{
	struct handle *h = xcalloc(1, size);

	assert(size >= sizeof(*h));
	h->s = req_fs(req);
	h->ops = n->file->ops;
	h->node = node_ref(n);
	h->opener = req_caller(req);
	h->flags = fi->flags;
	h->refs = 1;
	TAILQ_INSERT_TAIL(&h->s->handles, h, link);
	return h;
}

struct handle *
handle_ref(struct handle *h)
{
	h->refs++;
	return h;
}

void
handle_unref(struct handle *h)
{
	struct sbxfs *s = h->s;

	if (--h->refs > 0)
		return;
	if (h->ops->free != NULL)
		h->ops->free(h);
	TAILQ_REMOVE(&s->handles, h, link);
	node_unref(&s->nodes, h->node);
	free(h);
}

void
handle_opened(fuse_req_t req, struct handle *h, unsigned open_flags)
{
	/* libfuse 3.14 knows no FOPEN_STREAM: the reply is sent as it is. */
	struct fuse_open_out out = {
		.fh = (uint64_t)(uintptr_t)h,
		.open_flags = open_flags | OPEN_DIRECT_IO,
	};

	/* Who only reads has nothing to flush; and where Linux 6.12 does, his
	 * close waits for a write that waits, and for no signal. */
	if ((h->flags & O_ACCMODE) == O_RDONLY)
		out.open_flags |= OPEN_NOFLUSH;
	if (fuse_reply_buf(req, (const char *)&out, sizeof(out)) != 0) {
		/* Interrupted meanwhile: there is no open file. */
		if (h->ops->close != NULL)
			h->ops->close(h);
		handle_unref(h);
	}
}

void
poll_forget(struct fuse_pollhandle **at)
{
	if (*at != NULL)
		fuse_pollhandle_destroy(*at);
	*at = NULL;
}

void
poll_take(struct fuse_pollhandle **at, struct fuse_pollhandle *ph)
{
	if (ph == NULL)
		return;
	poll_forget(at);
	*at = ph;
}

void
poll_wake(struct fuse_pollhandle **at)
{
	if (*at != NULL)
		(void)fuse_lowlevel_notify_poll(*at);
	poll_forget(at);
}

int
node_stale(const struct node *n)
{
	return n->box != NULL && n->box->life == BOX_DEAD ? ESTALE : 0;
}

int
node_check(fuse_req_t req, const struct node *n)
{
	if (node_stale(n) != 0)
		return ESTALE;
	return client_is_up(req_fs(req)->client) ? 0 : EIO;
}
