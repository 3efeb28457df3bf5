#include "daemon/poolrun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agentc.h"
#include "daemon/front_impl.h"
#include "lib/log.h"
#include "lib/mem.h"

/* How often the plan is made without a claim: rates decay, idle ones shrink. */
#define TICK_MS 1000
/* A refill begins so long after a claim: its first command goes first. */
#define REFILL_MS 3
/* A ready one that does not answer a ping in this time is dead. */
#define PING_MS 2000

struct keeper {
	TAILQ_ENTRY(keeper) link;
	struct pool *pool; /* borrowed */
	char profile[RT_NAME_MAX];
	struct pool_profile plan;
	struct sandbox_list ready;
	struct sandbox_list starting;
};

struct pool {
	struct front *f; /* borrowed */
	TAILQ_HEAD(, keeper) keepers;
	uv_timer_t tick, refill;
	int timers; /* not yet closed */
	int64_t health_at_ms;
	bool stopped;
};

static int64_t
now_ms(const struct pool *p)
{
	return (int64_t)uv_now(p->f->loop);
}

static struct keeper *
keeper_of(const struct pool *p, const char *profile)
{
	struct keeper *k;

	TAILQ_FOREACH (k, &p->keepers, link)
		if (strcmp(k->profile, profile) == 0)
			return k;
	return NULL;
}

static void
start_one(struct keeper *k)
{
	struct front *f = k->pool->f;
	const struct profile *pr = config_profile(f->cfg, k->profile);
	struct sandbox *sb;

	if (pr == NULL)
		return;
	sb = sb_new(f, NULL);
	sb->pooled = true;
	sb->state = SB_CREATING;
	str_copy(sb->profile, pr->name, sizeof(sb->profile));
	str_copy(sb->image, pr->image, sizeof(sb->image));
	sb->limits = pr->limits;
	sb->created_ms =
	    now_ms(k->pool); /* until the claim: how long it took */
	TAILQ_INSERT_TAIL(&k->starting, sb, link);
	k->plan.starting++;
	life_create(sb);
}

static void
end_ready(struct keeper *k, struct sandbox *sb)
{
	TAILQ_REMOVE(&k->ready, sb, link);
	pool_lost(&k->plan);
	life_reclaim(sb);
}

/* How many more instances all profiles may keep together. */
static int64_t
room(const struct pool *p)
{
	int64_t n = p->f->cfg->pool_max_warm;
	const struct keeper *k;

	TAILQ_FOREACH (k, &p->keepers, link)
		n -= k->plan.ready + k->plan.starting;
	return n > 0 ? n : 0;
}

/*
 * Starts are given to the broker a few at a time, one less than it has
 * workers, so that a claim always finds a free one.
 */
static int64_t
slots(const struct pool *p)
{
	int64_t n = p->f->cfg->workers > 1 ? p->f->cfg->workers - 1 : 1;
	const struct keeper *k;

	TAILQ_FOREACH (k, &p->keepers, link)
		n -= k->plan.starting;
	return n > 0 ? n : 0;
}

static void
carry_out(struct pool *p)
{
	struct keeper *k;
	int64_t n, can;

	if (p->stopped)
		return;
	TAILQ_FOREACH (k, &p->keepers, link) {
		n = pool_plan(&k->plan, now_ms(p), room(p));
		can = slots(p);
		for (; n > 0 && can > 0; n--, can--)
			start_one(k);
		for (; n < 0 && !TAILQ_EMPTY(&k->ready); n++)
			end_ready(k, TAILQ_FIRST(&k->ready));
	}
}

/*** Health ***/

static void
pinged(void *arg, const struct agent_answer *a)
{
	struct sandbox *sb = arg;

	/* one that was claimed meanwhile is not ours to judge */
	if (a->e != NULL && a->e->code != ECANCELED && sb->pooled)
		poolrun_lost(sb);
}

static void
health(struct pool *p)
{
	struct sandbox *sb;
	struct keeper *k;

	if (now_ms(p) < p->health_at_ms)
		return;
	p->health_at_ms = now_ms(p) + p->f->cfg->pool_health_ms;
	TAILQ_FOREACH (k, &p->keepers, link)
		TAILQ_FOREACH (sb, &k->ready, link)
			agentc_call(sb->agent,
			    &(struct agent_call){ .method = "sbx.ping",
				.timeout_ms = PING_MS,
				.done = pinged,
				.arg = sb });
}

static void
on_tick(uv_timer_t *t)
{
	health(t->data);
	carry_out(t->data);
}

static void
on_refill(uv_timer_t *t)
{
	carry_out(t->data);
}

void
poolrun_refill(struct front *f)
{
	struct pool *p = f->pool;

	if (p != NULL && !uv_is_active((uv_handle_t *)&p->refill))
		(void)uv_timer_start(&p->refill, on_refill, REFILL_MS, 0);
}

/*** What happens to one ***/

void
poolrun_lost(struct sandbox *sb)
{
	struct keeper *k = keeper_of(sb->f->pool, sb->profile);

	log_warnx("pool %s: %s died", sb->profile, sb->id);
	end_ready(k, sb);
	carry_out(k->pool);
}

void
poolrun_ready(struct sandbox *sb, const struct err *e)
{
	struct keeper *k = keeper_of(sb->f->pool, sb->profile);
	struct pool *p = k->pool;

	TAILQ_REMOVE(&k->starting, sb, link);
	if (e != NULL) {
		pool_start_failed(&k->plan, now_ms(p));
		life_reclaim(sb);
	} else {
		uv_update_time(p->f->loop);
		pool_started(&k->plan, now_ms(p) - sb->created_ms);
		TAILQ_INSERT_TAIL(&k->ready, sb, link);
	}
	if (p->stopped && e == NULL)
		end_ready(k, sb);
	carry_out(p);
}

struct sandbox *
poolrun_take(struct front *f, const char *profile)
{
	struct keeper *k = keeper_of(f->pool, profile);
	struct sandbox *sb;

	if (k == NULL || !pool_claim(&k->plan, now_ms(f->pool)))
		sb = NULL;
	else
		sb = TAILQ_FIRST(&k->ready);
	if (sb != NULL)
		TAILQ_REMOVE(&k->ready, sb, link);
	return sb;
}

/*** The whole ***/

static void
add_missing(struct pool *p)
{
	const struct profile *pr;
	struct keeper *k;

	TAILQ_FOREACH (pr, &p->f->cfg->profiles, link) {
		if ((k = keeper_of(p, pr->name)) != NULL) {
			pool_set(&k->plan, pr->pool_min, pr->pool_min,
			    pr->pool_max, now_ms(p));
			continue;
		}
		k = xcalloc(1, sizeof(*k));
		k->pool = p;
		str_copy(k->profile, pr->name, sizeof(k->profile));
		pool_init(&k->plan, pr->pool_min, pr->pool_max);
		TAILQ_INIT(&k->ready);
		TAILQ_INIT(&k->starting);
		TAILQ_INSERT_TAIL(&p->keepers, k, link);
	}
}

void
poolrun_new(struct front *f)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	f->pool = p;
	p->f = f;
	TAILQ_INIT(&p->keepers);
	add_missing(p);
	(void)uv_timer_init(f->loop, &p->tick);
	(void)uv_timer_init(f->loop, &p->refill);
	p->tick.data = p->refill.data = p;
	p->timers = 2;
	(void)uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
	carry_out(p);
}

static void
closed(uv_handle_t *h)
{
	struct pool *p = h->data;

	if (--p->timers == 0)
		free(p);
}

/* They live on, and nobody here hears their agents any more. */
static void
let_go(struct sandbox_list *all)
{
	struct sandbox *sb;

	while ((sb = TAILQ_FIRST(all)) != NULL) {
		TAILQ_REMOVE(all, sb, link);
		agentc_free(sb->agent);
		sb->agent = NULL;
		sb_unref(sb);
	}
}

void
poolrun_free(struct front *f)
{
	struct pool *p = f->pool;
	struct keeper *k;

	if (p == NULL)
		return;
	f->pool = NULL;
	while ((k = TAILQ_FIRST(&p->keepers)) != NULL) {
		TAILQ_REMOVE(&p->keepers, k, link);
		let_go(&k->starting);
		let_go(&k->ready);
		free(k);
	}
	uv_close((uv_handle_t *)&p->tick, closed);
	uv_close((uv_handle_t *)&p->refill, closed);
}

/* Ready ones of a profile that changed are not what it promises any more. */
static void
end_changed(struct keeper *k, const struct profile *pr)
{
	struct sandbox *sb, *next;

	for (sb = TAILQ_FIRST(&k->ready); sb != NULL; sb = next) {
		next = TAILQ_NEXT(sb, link);
		if (pr == NULL || strcmp(sb->image, pr->image) != 0 ||
		    memcmp(&sb->limits, &pr->limits, sizeof(sb->limits)) != 0)
			end_ready(k, sb);
	}
}

void
poolrun_reload(struct front *f)
{
	const struct profile *pr;
	struct keeper *k;

	add_missing(f->pool);
	TAILQ_FOREACH (k, &f->pool->keepers, link) {
		if ((pr = config_profile(f->cfg, k->profile)) == NULL)
			pool_set(&k->plan, 0, 0, 0, now_ms(f->pool));
		end_changed(k, pr);
	}
	carry_out(f->pool);
}

void
poolrun_stop(struct front *f)
{
	struct sandbox *sb;
	struct keeper *k;

	f->pool->stopped = true;
	TAILQ_FOREACH (k, &f->pool->keepers, link) {
		while (!TAILQ_EMPTY(&k->ready))
			end_ready(k, TAILQ_FIRST(&k->ready));
		while ((sb = TAILQ_FIRST(&k->starting)) != NULL) {
			TAILQ_REMOVE(&k->starting, sb, link);
			k->plan.starting--;
			life_reclaim(sb);
		}
	}
}

int
poolrun_set(struct front *f, const char *profile, int64_t want,
    const struct pool_bounds *b, struct err *e)
{
	struct keeper *k = keeper_of(f->pool, profile);
	int64_t most = f->cfg->pool_max_warm;
	int64_t min = b->min >= 0 ? b->min : want;
	int64_t max = b->max >= 0 ? b->max : -1;

	if (k == NULL)
		return err_setx(e, ENOENT, "no profile %.64s", profile);
	if (max < 0)
		max = k->plan.max < want || want == 0 ? want : k->plan.max;
	if (want < 0 || want > most || max > most)
		return err_setx(e, EINVAL,
		    "%lld: the pool keeps 0 to %lld (pool.max_warm)",
		    (long long)(want < 0 || want > most ? want : max),
		    (long long)most);
	if (min > want || want > max)
		return err_setx(e, EINVAL,
		    "%lld: is not between min=%lld and max=%lld",
		    (long long)want, (long long)min, (long long)max);
	pool_set(&k->plan, want, min, max, now_ms(k->pool));
	carry_out(f->pool);
	return 0;
}

int
poolrun_flush(struct front *f, const char *profile, struct err *e)
{
	struct keeper *k = keeper_of(f->pool, profile);

	if (k == NULL)
		return err_setx(e, ENOENT, "no profile %.64s", profile);
	while (!TAILQ_EMPTY(&k->ready))
		end_ready(k, TAILQ_FIRST(&k->ready));
	carry_out(f->pool);
	return 0;
}

void
poolrun_each(struct front *f,
    void (*fn)(
	void *arg, const struct profile *p, const struct pool_profile *pp),
    void *arg)
{
	const struct profile *pr;
	struct keeper *k;

	TAILQ_FOREACH (k, &f->pool->keepers, link)
		if ((pr = config_profile(f->cfg, k->profile)) != NULL)
			fn(arg, pr, &k->plan);
}
