/*
 * poolrun.h - carries out what pool/pool.h decides: keeps instances of each
 * profile ready, hands one out exactly once, replaces the dead.
 *
 * A ready instance is a struct sandbox that is pooled: running, its agent
 * connected, without a row, a name or an owner. What a crash leaves of them
 * is swept at the next start, since no row owns it.
 */
#ifndef DAEMON_POOLRUN_H
#define DAEMON_POOLRUN_H

#include "daemon/front.h"
#include "pool/pool.h"

void poolrun_new(struct front *f);
void poolrun_free(struct front *f);

/* A ready instance of the profile, now the caller's, or NULL: a miss. Counts
 * both. */
struct sandbox *poolrun_take(struct front *f, const char *profile);
/* The claim is answered: what it took is made again, in a moment: on a small
 * machine a create beside a claim of microseconds, or beside the first command
 * of whoever claimed, makes milliseconds of them. */
void poolrun_refill(struct front *f);
/* The agent of a ready one is gone. */
void poolrun_lost(struct sandbox *sb);
/* One that was starting is ready, or failed (e set; it is gone). */
void poolrun_ready(struct sandbox *sb, const struct err *e);

/* The new profiles of f->cfg; what no profile wants is ended. */
void poolrun_reload(struct front *f);
/* Ends all ready ones; no refill any more. */
void poolrun_stop(struct front *f);

/* Each -1: not given. */
struct pool_bounds {
	int64_t min, max;
};
/* Keep want from now on. Without min it is want, without max what it was, or
 * want. ENOENT, EINVAL. */
int poolrun_set(struct front *f, const char *profile, int64_t want,
    const struct pool_bounds *b, struct err *e);
/* Replaces all ready ones by new ones. ENOENT. */
int poolrun_flush(struct front *f, const char *profile, struct err *e);
void poolrun_each(struct front *f,
    void (*fn)(
	void *arg, const struct profile *p, const struct pool_profile *pp),
    void *arg);

#endif
