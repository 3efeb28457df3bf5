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

/* An answer of one line, which is read in pieces; a zeroed one is empty. */
struct reply_line {
	char text[BOX_NAME_MAX + BOX_ID_MAX];
	size_t len;
	size_t pos; /* of what is not read yet */
};

void reply_line_set(struct reply_line *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* At most n bytes more: how many, 0 at its end. */
ssize_t reply_line_read(struct reply_line *l, char *p, size_t n);

#endif
