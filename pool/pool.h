/*
 * pool.h - how many instances to keep ready: pure decisions on what is there,
 * what was asked for lately and the clock. No system call, no allocation.
 *
 * One struct pool_profile a profile. The caller tells what happens (claim,
 * started, lost), asks pool_plan what to do and does it.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

/* Not in use: no claim for so long. */
#define POOL_IDLE_MS 300000

struct pool_profile {
	int64_t min, max; /* of ready ones; max >= min */
	int64_t want;	  /* at least, while it is in use; min to max */
	int64_t ready;	  /* started, agent answering, not claimed */
	int64_t starting; /* on their way */
	uint64_t hits, misses, refills;
	/* below is private */
	int64_t used_ms; /* last claim, or pool_set */
	double rate;	 /* claims a second, decayed */
	int64_t rate_at_ms;
	double start_ms;	  /* how long a start takes, averaged */
	int64_t backoff_until_ms; /* after a failed start */
	int64_t backoff_ms;
};

void pool_init(struct pool_profile *p, int64_t min, int64_t max);
/* Other bounds: want from now on, and min once nobody has claimed one for
 * POOL_IDLE_MS. min <= want <= max. */
void pool_set(struct pool_profile *p, int64_t want, int64_t min, int64_t max,
    int64_t now_ms);
/* One was asked for: true and ready is one less (a hit), or a miss. */
bool pool_claim(struct pool_profile *p, int64_t now_ms);
void pool_started(struct pool_profile *p, int64_t took_ms);
void pool_start_failed(struct pool_profile *p, int64_t now_ms);
/* A ready one died or was taken away. */
void pool_lost(struct pool_profile *p);
/* How many to keep now: between min and max, by the rate of claims and the
 * time a start takes. */
int64_t pool_want(const struct pool_profile *p, int64_t now_ms);
/* What to do now: > 0 start that many more (their starting counts at once
 * by the caller), < 0 end that many ready ones, 0 nothing. room is how many
 * more instances all profiles may keep together. */
int64_t pool_plan(const struct pool_profile *p, int64_t now_ms, int64_t room);

#endif
