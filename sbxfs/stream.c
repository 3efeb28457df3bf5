#include "sbxfs/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "lib/mem.h"

#define READ_MAX (1u << 20)
/* libfuse's pipe, which holds 1 MiB, has the head of the answer as well; and
 * it wants pages that are full, which few bytes are not. */
#define SPLICE_MAX (READ_MAX - (16u << 10))
#define SPLICE_MIN (64u << 10)

struct reader {
	TAILQ_ENTRY(reader) link;
	struct stream *st;
	fuse_req_t req;
	size_t n;
};

void *
stream_new(size_t size, fuse_req_t req, struct node *n,
    const struct fuse_file_info *fi)
{
	struct stream *st = handle_new(size, req, n, fi);

	TAILQ_INIT(&st->readers);
	return st;
}

void
stream_opened(fuse_req_t req, struct stream *st)
{
	/* STREAM: with a file position, a read that waits would hold its
	 * lock, and a write through the same descriptor wait for it. */
	handle_opened(req, &st->h, OPEN_STREAM);
}

/* From the pipe to the kernel without reading them here. */
static bool
answer_by_pipe(struct stream *st, fuse_req_t req, size_t n)
{
	struct fuse_bufvec bytes =
	    FUSE_BUFVEC_INIT(n < SPLICE_MAX ? n : SPLICE_MAX);
	size_t held;
	int fd = st->pipe != NULL ? st->pipe(st, &held) : -1;

	if (fd < 0 || held < SPLICE_MIN || n < SPLICE_MIN)
		return false;
	if (bytes.buf[0].size > held)
		bytes.buf[0].size = held;
	bytes.buf[0].flags = FUSE_BUF_IS_FD;
	bytes.buf[0].fd = fd;
	(void)fuse_reply_data(req, &bytes, 0);
	return true;
}

/* False when there is nothing to say yet. */
static bool
answer(struct stream *st, fuse_req_t req, size_t n)
{
	static char bytes[READ_MAX]; /* one thread */
	ssize_t r;

	if (answer_by_pipe(st, req, n))
		return true;
	r = st->next(st, bytes, n < sizeof(bytes) ? n : sizeof(bytes));
	if (r == -EAGAIN)
		return false;
	if (r < 0)
		reply_err(req, (int)-r);
	else
		(void)fuse_reply_buf(req, r != 0 ? bytes : NULL, (size_t)r);
	return true;
}

static void
drop(struct reader *rd)
{
	TAILQ_REMOVE(&rd->st->readers, rd, link);
	free(rd);
}

static void
interrupted(fuse_req_t req, void *arg)
{
	drop(arg);
	reply_err(req, EINTR);
}

void
stream_read(fuse_req_t req, struct stream *st, size_t n)
{
	struct reader *rd;

	if (TAILQ_EMPTY(&st->readers) && answer(st, req, n))
		return;
	if ((st->h.flags & O_NONBLOCK) != 0) {
		reply_err(req, EAGAIN);
		return;
	}
	/* Asked here, since libfuse cannot free a request inside
	 * fuse_req_interrupt_func. */
	if (fuse_req_interrupted(req)) {
		reply_err(req, EINTR);
		return;
	}
	rd = xcalloc(1, sizeof(*rd));
	rd->st = st;
	rd->req = req;
	rd->n = n;
	TAILQ_INSERT_TAIL(&st->readers, rd, link);
	fuse_req_interrupt_func(req, interrupted, rd);
}

static void
wake_poll(struct stream *st)
{
	if (st->ph == NULL)
		return;
	(void)fuse_lowlevel_notify_poll(st->ph);
	fuse_pollhandle_destroy(st->ph);
	st->ph = NULL;
}

void
stream_wake(struct stream *st)
{
	struct reader *rd;
	fuse_req_t req;

	while ((rd = TAILQ_FIRST(&st->readers)) != NULL && st->ready(st)) {
		req = rd->req;
		fuse_req_interrupt_func(req, NULL, NULL);
		if (!answer(st, req, rd->n))
			reply_err(req, EIO); /* ready is wrong */
		drop(rd);
	}
	if (st->ready(st))
		wake_poll(st);
}

void
stream_fail(struct stream *st, int error)
{
	struct reader *rd;
	fuse_req_t req;

	while ((rd = TAILQ_FIRST(&st->readers)) != NULL) {
		req = rd->req;
		drop(rd);
		reply_err(req, error);
	}
	wake_poll(st);
}

void
stream_poll(fuse_req_t req, struct stream *st, bool writable,
    struct fuse_pollhandle *ph)
{
	unsigned got = 0;

	if (ph != NULL) {
		if (st->ph != NULL)
			fuse_pollhandle_destroy(st->ph);
		st->ph = ph;
	}
	if (st->ready(st))
		got |= POLLIN | POLLRDNORM;
	if (writable)
		got |= POLLOUT | POLLWRNORM;
	(void)fuse_reply_poll(req, got);
}

void
stream_free(struct stream *st)
{
	stream_fail(st, EIO);
}
