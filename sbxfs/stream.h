/*
 * stream.h - reading what is not there yet: the reads of one open file that
 * wait, and its poll. Each kind of stream says by one function what there is
 * to read now.
 */
#ifndef SBXFS_STREAM_H
#define SBXFS_STREAM_H

#include "sbxfs/impl.h"

struct reader;
TAILQ_HEAD(reader_list, reader);

struct stream {
	struct handle h; /* first */
	/* Puts at most n bytes at p: how many, 0 for an EOF, -EAGAIN when it
	 * must be waited for, another -errno. */
	ssize_t (*next)(struct stream *st, char *p, size_t n);
	/* A pipe that holds at least *ret_n bytes, which are the next ones, or
	 * -1 when next is to be asked. May be NULL. */
	int (*pipe)(struct stream *st, size_t *ret_n);
	/* Would next say anything but -EAGAIN? Takes nothing. */
	bool (*ready)(const struct stream *st);
	struct reader_list readers;
	struct fuse_pollhandle *ph;
};

/* A handle of size, of which the first is the stream. */
void *stream_new(size_t size, fuse_req_t req, struct node *n,
    const struct fuse_file_info *fi);
/* Answers the OPEN, as handle_opened. */
void stream_opened(fuse_req_t req, struct stream *st);
/* Answers a READ, now or when stream_wake finds something for it. */
void stream_read(fuse_req_t req, struct stream *st, size_t n);
/* Something changed: waiting reads and polls are looked at again. */
void stream_wake(struct stream *st);
/* Whoever waits gets this error. */
void stream_fail(struct stream *st, int error);
/* Answers a POLL; writable says that a write would not be refused. */
void stream_poll(fuse_req_t req, struct stream *st, bool writable,
    struct fuse_pollhandle *ph);
void stream_free(struct stream *st);

#endif
