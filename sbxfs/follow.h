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

#include "sbxfs/impl.h"

#define SECS_MAX 32

struct follow {
	int job;    /* 0: none yet, or there was none */
	bool bound; /* job is known */
	bool asked; /* the front is asked, or tells us of it */
	bool ended;
	int code;
	char secs[SECS_MAX];
	int64_t h;   /* the front's number, -1 none */
	int fd;	     /* the output; -1 none */
	int64_t pos; /* of what was read of it */
};

void follow_init(struct follow *f);
/* Ends it; may be used again. */
void follow_done(struct follow *f, struct sbxfs *s);
/* {"id","job","data"} for job.follow. */
json_t *follow_params(const struct node *n, int job, bool data);
/* Takes the answer to job.follow: 0 or -errno. */
int follow_answer(struct follow *f, const struct reply *r, bool data);
/* A `grew` or `ended`: true when it was for this one. */
bool follow_notice(struct follow *f, bool ended, const json_t *params);
/* The connection is gone: it is to be asked for again. */
void follow_down(struct follow *f);
/* More of the output: bytes, 0 none now, -errno. */
ssize_t follow_read(struct follow *f, char *p, size_t n);

#endif
