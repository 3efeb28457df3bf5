/*
 * values.h - what the text files of the tree say (spec: sbx(7)). Each function
 * appends the whole text to b, keys in the order they are documented in, "-"
 * for what is not there. What is read from a command file could be written to
 * it.
 */
#ifndef DAEMON_VALUES_H
#define DAEMON_VALUES_H

#include "daemon/front.h"
#include "daemon/jobs.h"
#include "lib/sockdiag.h"
#include "pool/pool.h"

/*** Of the root ***/
void value_top_status(struct buf *b, struct front *f, const struct caller *c);
/* A create line for each sandbox that the caller owns. */
void value_top_ctl(struct buf *b, struct front *f, const struct caller *c);
void value_profile(struct buf *b, const struct profile *p);
void value_pool_line(
    struct buf *b, const struct profile *p, const struct pool_profile *pp);

/*** Of a sandbox ***/
void value_status(struct buf *b, const struct sandbox *sb, int64_t now_ms);
void value_ctl(struct buf *b, const struct sandbox *sb);
void value_env(struct buf *b, const struct sandbox *sb);
void value_stats(struct buf *b, const struct rt_stats *s);
/* What is exposed, then what of the n ports listened on is not. */
void value_ports(struct buf *b, const struct sandbox *sb,
    const struct listener *l, size_t n);
void value_create_line(struct buf *b, const struct sandbox *sb);

/*** Of a job ***/
void value_job_status(struct buf *b, const struct job *job);
/* What can be written to its ctl to have it so. */
void value_job_ctl(struct buf *b, const struct job *job);
/* How long an ended one ran: seconds, three decimals. */
void value_job_secs(char text[32], const struct job *job);

#endif
