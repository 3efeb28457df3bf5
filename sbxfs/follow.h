/*
 * follow.h - following one job: its output by a descriptor of the spool, its
 * end by a notification. What waits for it is woken by one function.
 */
#ifndef SBXFS_FOLLOW_H
#define SBXFS_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "sbxfs/impl.h"

#define SECS_MAX 32

struct follow {
	int job;    /* 0: none yet, or there was none */
	bool bound; /* job is known */
	bool asked; /* the front is asked, or tells us of it */
	bool ended;
	int code;
	char secs[SECS_MAX];
	int64_t h;    /* the front's number, -1 none */
	int fd;	      /* the output; -1 none */
	int64_t pos;  /* of what was read of it */
	int64_t cut;  /* from there on by the pipe, or remote by job.more;
		       * -1: all is kept */
	int more_fd;  /* the pipe, -1 none */
	int64_t size; /* of the output, as far as the front said */
	/* of a remote mount, where the output comes by calls, not by fd; got is
	 * also of a session's command that ended with little output and no fd
	 */
	bool remote;
	bool asking;	/* one is under way */
	unsigned gen;	/* counts what was followed: whose answer it is */
	struct buf got; /* from pos on */
};

void follow_init(struct follow *f, const struct sbxfs *s);
/* Ends it; may be used again. */
void follow_done(struct follow *f, struct sbxfs *s);
/* {"id","job","data"} for job.follow. */
json_t *follow_params(const struct node *n, int job, bool data);
/* The same, of one that was followed before the connection was lost. */
json_t *follow_again(const struct node *n, const struct follow *f, bool data);
/* Takes the answer to job.follow: 0 or -errno. With data it comes with a
 * descriptor; otherwise it may. */
int follow_answer(struct follow *f, const struct reply *r, bool data);
/* A `grew` or `ended`: true when it was for this one. */
bool follow_notice(struct follow *f, bool ended, const json_t *params);
/* A `file`: the kept output, or a `more`: what comes after it. fd is taken
 * over if true. */
bool follow_more(struct follow *f, const json_t *params, int fd);
/* The connection is gone: it is to be asked for again. */
void follow_down(struct follow *f);
/* Has it ended, and is all of its output here? */
bool follow_over(const struct follow *f);
/* Remote: asks for more of the output of n's job, for follow_fetched in done,
 * if there is more and room. Otherwise nothing. */
void follow_fetch(struct follow *f, struct handle *h,
    void (*done)(struct call *c, const struct reply *r));
int follow_fetched(
    struct follow *f, const struct call *c, const struct reply *r);
/* More of the output: bytes, 0 none now, -errno. */
bool follow_has_output(const struct follow *f);
/* A pipe that the next *ret_n bytes are in, or -1. */
int follow_pipe(const struct follow *f, size_t *ret_n);
ssize_t follow_read(struct follow *f, char *p, size_t n);

#endif
