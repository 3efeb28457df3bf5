#include "pool/pool.h"

#include <math.h>

/* Claims are remembered for about this long. */
#define MEMORY_MS 20000.0
/* Taken for a start until one was measured. */
#define START_MS 1000.0
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
/* Ready ones are ended when not even so much more would need them. */
#define SHRINK_FACTOR 2.0

void
pool_init(struct pool_profile *p, int64_t min, int64_t max)
{
	*p = (struct pool_profile){ .min = min, .max = max, .want = min };
}

void
pool_set(struct pool_profile *p, int64_t want, int64_t min, int64_t max,
    int64_t now_ms)
{
	p->want = want;
	p->min = min;
	p->max = max;
	p->used_ms = now_ms;
}

/* Claims a second, as they look now. */
static double
rate_at(const struct pool_profile *p, int64_t now_ms)
{
	int64_t age = now_ms - p->rate_at_ms;

	return age <= 0 ? p->rate : p->rate * exp(-(double)age / MEMORY_MS);
}

bool
pool_claim(struct pool_profile *p, int64_t now_ms)
{
	p->rate = rate_at(p, now_ms) + 1000 / MEMORY_MS;
	p->rate_at_ms = p->used_ms = now_ms;
	if (p->ready <= 0) {
		p->misses++;
		return false;
	}
	p->ready--;
	p->hits++;
	return true;
}

static void
not_starting(struct pool_profile *p)
{
	if (p->starting > 0)
		p->starting--;
}

void
pool_started(struct pool_profile *p, int64_t took_ms)
{
	double took = took_ms > 0 ? (double)took_ms : 0;

	not_starting(p);
	p->ready++;
	p->refills++;
	p->start_ms =
	    p->refills == 1 ? took : p->start_ms + (took - p->start_ms) / 8;
	p->backoff_ms = 0;
	p->backoff_until_ms = 0;
}

void
pool_start_failed(struct pool_profile *p, int64_t now_ms)
{
	not_starting(p);
	/* of several that began together the first one counts */
	if (now_ms < p->backoff_until_ms)
		return;
	p->backoff_ms = p->backoff_ms == 0 ? BACKOFF_MIN_MS : p->backoff_ms * 2;
	if (p->backoff_ms > BACKOFF_MAX_MS)
		p->backoff_ms = BACKOFF_MAX_MS;
	p->backoff_until_ms = now_ms + p->backoff_ms;
}

void
pool_lost(struct pool_profile *p)
{
	if (p->ready > 0)
		p->ready--;
}

/*
 * While one start takes its time, this many claims come on average, and
 * seldom more than two standard deviations above that; what is kept besides
 * is for the burst that no rate foretells.
 */
static int64_t
want_at(const struct pool_profile *p, double rate, int64_t now_ms)
{
	int64_t least = now_ms - p->used_ms < POOL_IDLE_MS ? p->want : p->min;
	double start_ms = p->refills > 0 ? p->start_ms : START_MS;
	double claims = rate * start_ms / 1000;
	double more = round(claims + 2 * sqrt(claims));
	double want = (double)least + more;

	return want < (double)p->max ? (int64_t)want : p->max;
}

int64_t
pool_want(const struct pool_profile *p, int64_t now_ms)
{
	return want_at(p, rate_at(p, now_ms), now_ms);
}

int64_t
pool_plan(const struct pool_profile *p, int64_t now_ms, int64_t room)
{
	double rate = rate_at(p, now_ms);
	int64_t have = p->ready + p->starting;
	int64_t missing = want_at(p, rate, now_ms) - have;
	int64_t excess = have - want_at(p, rate * SHRINK_FACTOR, now_ms);

	if (missing > 0 && now_ms >= p->backoff_until_ms)
		return missing < room ? missing : room > 0 ? room : 0;
	if (excess > 0)
		return -(excess < p->ready ? excess : p->ready);
	return 0;
}
