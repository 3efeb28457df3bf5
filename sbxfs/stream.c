#include "sbxfs/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

/* libfuse's pipe, which holds 1 MiB, has the head of the answer as well; and
 * it wants pages that are full, which few bytes are not. */
#define SPLICE_MAX (KERNEL_IO_MAX - (16u << 10))
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

void
reply_line_set(struct reply_line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	l->len = (size_t)vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
	l->pos = 0;
}

ssize_t
reply_line_read(struct reply_line *l, char *p, size_t n)
{
	if (n > l->len - l->pos)
		n = l->len - l->pos;
	memcpy(p, l->text + l->pos, n);
	l->pos += n;
	return (ssize_t)n;
}

/* False when there is nothing to say yet. */
static bool
answer(struct stream *st, fuse_req_t req, size_t n)
{
	static char bytes[KERNEL_IO_MAX]; /* one thread */
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

void
stream_wake(struct stream *st)
{
	struct reader *rd;
	fuse_req_t req;
	size_t n;

	while ((rd = TAILQ_FIRST(&st->readers)) != NULL && st->ready(st)) {
		req = rd->req;
		n = rd->n;
		fuse_req_interrupt_func(req, NULL, NULL);
		/* first: what is asked to answer it may fail, and wake us */
		drop(rd);
		if (!answer(st, req, n))
			reply_err(req, EIO); /* ready is wrong */
	}
	if (st->ready(st))
		poll_wake(&st->ph);
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
	poll_wake(&st->ph);
}

void
stream_poll(fuse_req_t req, struct stream *st, bool writable,
    struct fuse_pollhandle *ph)
{
	unsigned got = 0;

	poll_take(&st->ph, ph);
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
