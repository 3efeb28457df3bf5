/*
 * adopt.c - after a restart: the store says which sandboxes there are, the
 * broker which instances; what lives goes on, what died meanwhile is stopped,
 * what no row owns is destroyed.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/brokerc.h"
#include "daemon/front_impl.h"
#include "daemon/jobs.h"
#include "daemon/ports.h"
#include "daemon/store.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

struct adopt {
	struct front *f; /* borrowed */
	void (*done)(struct front *f);
	struct rt_info *infos;
	size_t n;
};

static int
load_row(struct sandbox *sb, void *arg)
{
	struct front *f = arg;
	struct err e;

	sb->f = f;
	sb->refs = 1;
	sb->last_exit = -1;
	sb->used = true; /* who knows; better kept than lost */
	sb->adopted = true;
	sb->keep_failed = true;
	sb->active_ms = clock_real_ms();
	TAILQ_INIT(&sb->jobs);
	TAILQ_INIT(&sb->waits);
	registry_add(sb);
	if (jobs_load(sb, &e) < 0)
		log_warnx("sandbox %s: jobs: %s", sb->id, e.text);
	return 0;
}

static void
load_queued(void *arg, const char *id, const struct store_job *j)
{
	struct sandbox *sb = sandbox_by_id(arg, id);

	if (sb != NULL && j->input >= JOB_NULL && j->input <= JOB_TERMINAL)
		job_load_queued(sb, j);
}

static void
set_state(struct sandbox *sb, enum sb_state state, const char *reason)
{
	struct err e;

	sb->state = state;
	str_copy(sb->reason, reason, sizeof(sb->reason));
	if (*reason != '\0')
		log_warnx("sandbox %s: %s: %s", sb->id, sb_state_names[state],
		    reason);
	if (sb_store(sb, &e) < 0)
		log_warnx("sandbox %s: %s", sb->id, e.text);
}

/* Its process 1 lives. */
static void
adopt_up(struct sandbox *sb)
{
	switch (sb->state) {
	case SB_CREATING:
	case SB_RUNNING:
	case SB_STARTING:
		sb->state = SB_STARTING;
		sb->started_ms = sb->changed_ms;
		ports_adopt(sb);
		life_claim(sb); /* a kill may have come before it */
		return;
	case SB_PAUSED:
		sb->started_ms = sb->changed_ms;
		ports_adopt(sb);
		life_connect(sb);
		return;
	case SB_STOPPING:
	case SB_STOPPED:
	case SB_ERROR:
	case SB_DESTROYING:
	case SB_DESTROYED:
	case SB_STATES:
		break;
	}
	life_stop(sb);
}

/* It is down or dead; there is a record of it, or (i NULL) nothing at all. */
static void
adopt_down(struct sandbox *sb, const struct rt_info *i)
{
	sb->adopted = false;
	if (sb->state == SB_CREATING) {
		life_recreate(sb);
		return;
	}
	jobs_down(sb);
	ports_down(sb);
	if (i == NULL || i->lost) {
		sb->lost = true;
		set_state(sb, SB_ERROR,
		    "its disk was in memory and went with the host's restart: "
		    "start makes it anew, empty");
		return;
	}
	if (i->state == RT_DEAD || sb->state != SB_STOPPED) {
		if (sb->state != SB_STOPPING && sb->state != SB_ERROR)
			str_copy(sb->reason,
			    "its processes ended while the daemon was away",
			    sizeof(sb->reason));
		life_stop(sb);
	}
}

static const struct rt_info *
info_of(const struct adopt *a, const char *id)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		if (strcmp(a->infos[i].id, id) == 0)
			return &a->infos[i];
	return NULL;
}

static void
sweep(struct front *f, const struct rt_info *i)
{
	struct broker_req q = { .op = BROKER_DESTROY };

	log_info("sweep: %s belongs to no sandbox", i->id);
	str_copy(q.id, i->id, sizeof(q.id));
	brokerc_ask(f->broker, &q, false, NULL, NULL);
}

static void
join(struct adopt *a)
{
	struct sandbox *sb, *next;
	const struct rt_info *i;
	size_t n;

	for (sb = TAILQ_FIRST(&a->f->sandboxes); sb != NULL; sb = next) {
		next = TAILQ_NEXT(sb, link);
		i = info_of(a, sb->id);
		if (i != NULL)
			sb_took_info(sb, i);
		if (i != NULL && i->state == RT_UP)
			adopt_up(sb);
		else
			adopt_down(sb, i);
	}
	for (n = 0; n < a->n; n++)
		if (sandbox_by_id(a->f, a->infos[n].id) == NULL)
			sweep(a->f, &a->infos[n]);
}

static void
listed(void *arg, struct broker_answer *answer)
{
	struct adopt *a = arg;
	struct err e;

	if (answer != NULL) {
		if (broker_failed(answer, &e) < 0)
			fatalx("instances: %s", e.text);
		if (answer->rep.info.id[0] != '\0') {
			a->infos =
			    xrealloc(a->infos, a->n + 1, sizeof(*a->infos));
			a->infos[a->n++] = answer->rep.info;
		}
		if (answer->rep.more != 0)
			return;
		join(a);
		a->done(a->f);
	}
	free(a->infos);
	free(a);
}

int
adopt_start(struct front *f, void (*done)(struct front *f), struct err *e)
{
	struct broker_req q = { .op = BROKER_LIST };
	struct adopt *a;

	if (store_each(f->store, load_row, f, e) < 0 ||
	    store_each_queued(f->store, load_queued, f, e) < 0)
		return -1;
	a = xcalloc(1, sizeof(*a));
	a->f = f;
	a->done = done;
	brokerc_ask(f->broker, &q, true, listed, a);
	return 0;
}
