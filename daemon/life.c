/*
 * life.c - the states of a sandbox and how it goes from one to the next.
 *
 * A transition begins in one of the sandbox_* functions: the table of verbs
 * says whether the state allows it, the row is written, the rest is a chain of
 * answers from the broker and the agent. Each answer carries the number of
 * the transition it belongs to (gen); one that comes after another transition
 * has begun is old and is dropped.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/agentc.h"
#include "daemon/brokerc.h"
#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/jobs.h"
#include "daemon/poolrun.h"
#include "daemon/ports.h"
#include "daemon/store.h"
#include "daemon/tree.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

/* A reply to hello or env.set that takes longer is no reply. */
#define AGENT_TIMEOUT_MS 10000
#define DESTROY_RETRY_MS 1000
/* How often a stop looks whether its jobs are gone before the grace is over. */
#define GRACE_LOOK_MS 20

enum verb {
	VERB_START,
	VERB_STOP,
	VERB_PAUSE,
	VERB_RESUME,
	VERB_DESTROY
};

#define IN(state) (1u << (state))

static const struct {
	const char *name;
	unsigned from; /* states it is legal in */
	unsigned done; /* states in which it has nothing to do */
} verbs[] = {
	[VERB_START] = { "start", IN(SB_STOPPED) | IN(SB_ERROR),
	    IN(SB_RUNNING) | IN(SB_STARTING) | IN(SB_CREATING) },
	[VERB_STOP] = { "stop",
	    IN(SB_RUNNING) | IN(SB_PAUSED) | IN(SB_CREATING) | IN(SB_STARTING) |
		IN(SB_ERROR),
	    IN(SB_STOPPED) | IN(SB_STOPPING) },
	[VERB_PAUSE] = { "pause", IN(SB_RUNNING), IN(SB_PAUSED) },
	[VERB_RESUME] = { "resume", IN(SB_PAUSED), IN(SB_RUNNING) },
	[VERB_DESTROY] = { "destroy",
	    IN(SB_CREATING) | IN(SB_RUNNING) | IN(SB_PAUSED) | IN(SB_STOPPING) |
		IN(SB_STOPPED) | IN(SB_STARTING) | IN(SB_ERROR),
	    IN(SB_DESTROYING) | IN(SB_DESTROYED) },
};

/* 1: go on, 0: nothing to do, -1: not in this state. */
static int
may(const struct sandbox *sb, enum verb v, struct err *e)
{
	if (verbs[v].done & IN(sb->state))
		return 0;
	if (verbs[v].from & IN(sb->state))
		return 1;
	return err_setx(e, EBUSY, "cannot %s: the sandbox is %s", verbs[v].name,
	    sb_state_names[sb->state]);
}

/*** Continuations ***/

struct step {
	struct sandbox *sb; /* a reference */
	unsigned gen;
	struct rt_limits old; /* what to go back to, where limits change */
	bool limits;
};

static struct step *
step_new(struct sandbox *sb)
{
	struct step *s = xcalloc(1, sizeof(*s));

	s->sb = sb_ref(sb);
	s->gen = sb->gen;
	return s;
}

/* Ends the step. NULL when another transition began since; otherwise the
 * sandbox, still referenced by its list or its pool. */
static struct sandbox *
step_take(void *arg)
{
	struct step *s = arg;
	struct sandbox *sb = s->sb;
	bool current = s->gen == sb->gen;

	free(s);
	if (sb->refs == 1)
		current = false;
	sb_unref(sb);
	return current ? sb : NULL;
}

void
life_begin(struct sandbox *sb, enum sb_state state)
{
	sb->gen++;
	sb->state = state;
	sb->claiming = false;
	if (sb->grace != NULL) {
		uv_close((uv_handle_t *)sb->grace, (uv_close_cb)free);
		sb->grace = NULL;
	}
}

/* The same of a row: what cannot be written has not begun. */
static int
begin_written(struct sandbox *sb, enum sb_state state, struct err *e)
{
	enum sb_state old = sb->state;

	sb->state = state;
	if (sb_store(sb, e) < 0) {
		sb->state = old;
		return -1;
	}
	life_begin(sb, state);
	return 0;
}

static void
ask(struct sandbox *sb, const struct broker_req *q, broker_done *done)
{
	brokerc_ask(sb->f->broker, q, !sb->pooled, done, step_new(sb));
}

static void
ask_op(struct sandbox *sb, enum broker_op op, broker_done *done)
{
	struct broker_req q;

	sb_req(sb, op, &q);
	ask(sb, &q, done);
}

static void
drop_agent(struct sandbox *sb)
{
	agentc_free(sb->agent);
	sb->agent = NULL;
	ports_down(sb);
}

void
sb_took_info(struct sandbox *sb, const struct rt_info *i)
{
	sb->pid = i->pid;
	sb->id_base = i->id_base;
	sb->run = i->run;
}

/* The end of a transition: row, notification, event, who waits. */
static void
settle(struct sandbox *sb, enum sb_state state, const char *event)
{
	bool in_row = sb->warm && sb->state == SB_CREATING;
	struct err e;

	sb->state = state;
	if (state == SB_RUNNING)
		sb->reason[0] = '\0';
	sb->started_ms = state == SB_RUNNING || state == SB_PAUSED
	    ? (sb->started_ms != 0 ? sb->started_ms : clock_real_ms())
	    : 0;
	/* the row of a warm one says running since its create */
	if (!(in_row && state == SB_RUNNING) && sb_store(sb, &e) < 0)
		log_warnx("sandbox %s: %s", sb->id, e.text);
	sb_announce(sb);
	if (event != NULL && !sb->pooled)
		event_add(sb->f, sb, event, "");
	sb_wake(sb, NULL);
}

/* What was left of a failed one is down. */
static void
halted(void *arg, struct broker_answer *a)
{
	struct sandbox *sb = step_take(arg);
	struct err ignored;

	if (sb != NULL && broker_failed(a, &ignored) == 0)
		sb_took_info(sb, &a->rep.info);
}

void
life_recreate(struct sandbox *sb)
{
	struct broker_req q;

	if (sb->claiming) /* somebody was told of it */
		sb->keep_failed = true;
	life_begin(sb, SB_CREATING);
	sb->warm = false;
	drop_agent(sb);
	sb_req(sb, BROKER_DESTROY, &q);
	brokerc_ask(sb->f->broker, &q, true, NULL, NULL);
	life_create(sb);
}

/* It cannot go on: state error, or gone where nobody was told of it yet. */
static void
fail(struct sandbox *sb, const struct err *why)
{
	bool never_was = sb->state == SB_CREATING && !sb->keep_failed;
	struct err e;

	log_warnx(
	    "sandbox %s: %s: %s", sb->id, sb_state_names[sb->state], why->text);
	if (sb->warm && (sb->state == SB_CREATING || sb->claiming)) {
		life_recreate(sb);
		return;
	}
	life_begin(sb, SB_ERROR);
	drop_agent(sb);
	jobs_down(sb);
	str_copy(sb->reason, why->text, sizeof(sb->reason));
	sb->started_ms = 0;
	if (sb->pooled) {
		poolrun_ready(sb, why);
		return;
	}
	sb_ref(sb);
	if (!never_was && sb_store(sb, &e) < 0)
		log_warnx("sandbox %s: %s", sb->id, e.text);
	sb_announce(sb);
	sb_wake(sb, why);
	if (never_was && sb->state == SB_ERROR)
		(void)sandbox_destroy(sb, &e);
	else if (sb->state == SB_ERROR)
		ask_op(sb, BROKER_STOP, halted);
	sb_unref(sb);
}

/* Ends the step: NULL where there is nothing to go on with. */
static struct sandbox *
step_done(void *arg, const struct broker_answer *a, const char *what)
{
	struct sandbox *sb = step_take(arg);
	struct err e;

	if (sb == NULL || broker_failed(a, &e) == 0)
		return sb;
	if (a != NULL) { /* otherwise the broker is gone, and so are we */
		err_wrap(&e, "%s", what);
		fail(sb, &e);
	}
	return NULL;
}

/*** Coming up ***/

static void
agent_notify(void *arg, const char *method, const json_t *params)
{
	jobs_notify(arg, method, params);
}

static void
agent_lost(void *arg, const struct err *why)
{
	struct sandbox *sb = arg;
	struct err e = *why;

	drop_agent(sb);
	if (sb->pooled && sb->state == SB_RUNNING) {
		poolrun_lost(sb);
		return;
	}
	if (sb->state != SB_RUNNING && sb->state != SB_PAUSED &&
	    sb->state != SB_CREATING && sb->state != SB_STARTING)
		return;
	err_wrap(&e, "agent");
	if (sb->state == SB_RUNNING && !sb->pooled)
		oom_look(sb, 0, false);
	fail(sb, &e);
}

static const struct agentc_ops agent_ops = {
	.notify = agent_notify,
	.lost = agent_lost,
};

void
life_send_env(struct sandbox *sb)
{
	if (sb->agent == NULL || sb->state == SB_PAUSED)
		return;
	agentc_call(sb->agent,
	    &(struct agent_call){ .method = "sbx.env.set",
		.params = json_pack("{s:O}", "vars", sb->env) });
}

static void
up(struct sandbox *sb)
{
	struct front *f = sb->f;

	if (sb->pooled) {
		sb->state = SB_RUNNING;
		sb->started_ms = clock_real_ms();
		poolrun_ready(sb, NULL);
		return;
	}
	if (json_object_size(sb->env) != 0)
		life_send_env(sb);
	if (sb->adopted)
		oom_look(sb, 0, true);
	settle(sb, SB_RUNNING, sb->adopted ? NULL : "started");
	sb->adopted = false;
	if (sb->state == SB_RUNNING)
		jobs_run(sb);
	poolrun_refill(f);
}

static void
said_hello(void *arg, const struct agent_answer *a)
{
	struct sandbox *sb = arg;
	struct err why;

	if (a->e != NULL) {
		if (a->e->code == ECANCELED)
			return;
		why = *a->e;
		err_wrap(&why, "agent");
		fail(sb, &why);
		return;
	}
	jobs_adopt(sb, a->result);
	if (sb->state == SB_CREATING || sb->state == SB_STARTING)
		up(sb);
}

void
life_connect(struct sandbox *sb)
{
	cleanup_free char *path = NULL;
	struct err e;

	assert(sb->agent == NULL);
	path = xasprintf("%s/agents/%s.sock", sb->f->cfg->run_dir, sb->id);
	sb->agent = agentc_new(sb->f->loop, path, &agent_ops, sb, &e);
	if (sb->agent == NULL) {
		fail(sb, &e);
		return;
	}
	agentc_call(sb->agent,
	    &(struct agent_call){ .method = "sbx.hello",
		.params = json_object(),
		.timeout_ms = sb->state == SB_PAUSED ? 0 : AGENT_TIMEOUT_MS,
		.done = said_hello,
		.arg = sb });
}

/* The host name that its jobs waited for is set. */
static void
named(struct sandbox *sb)
{
	struct front *f = sb->f;

	sb->claiming = false;
	jobs_run(sb);
	poolrun_refill(f);
}

static void
claimed(void *arg, struct broker_answer *a)
{
	struct sandbox *sb = step_done(arg, a, "claim");

	if (sb == NULL)
		return;
	if (sb->agent == NULL)
		life_connect(sb);
	else if (!sb->claiming)
		up(sb);
	else
		named(sb);
}

void
life_claim(struct sandbox *sb)
{
	struct broker_req q;

	sb_req(sb, BROKER_CLAIM, &q);
	str_copy(q.name, sandbox_called(sb), sizeof(q.name));
	q.limits = sb->limits;
	ask(sb, &q, claimed);
}

void
life_run_claimed(struct sandbox *sb)
{
	if (json_object_size(sb->env) != 0)
		life_send_env(sb);
	settle(sb, SB_RUNNING, "started");
	if (*sb->name == '\0') { /* its host name is its id already */
		poolrun_refill(sb->f);
		return;
	}
	sb->claiming = true;
	life_claim(sb);
}

static void
came_up(void *arg, struct broker_answer *a)
{
	struct sandbox *sb = step_done(arg, a, "start");

	if (sb == NULL)
		return;
	sb_took_info(sb, &a->rep.info);
	if (*sb->name != '\0' || sb->state == SB_STARTING)
		life_claim(sb);
	else
		life_connect(sb);
}

void
life_create(struct sandbox *sb)
{
	struct broker_req q;

	sb_req(sb, BROKER_CREATE, &q);
	str_copy(q.name, sb->image, sizeof(q.name));
	q.limits = sb->limits;
	ask(sb, &q, came_up);
}

/*** Destroy ***/

static void retry_later(struct sandbox *sb);

static void
reclaimed(void *arg, struct broker_answer *a)
{
	struct sandbox *sb = arg;
	struct err e;

	if (a != NULL && broker_failed(a, &e) < 0) {
		log_warnx("sandbox %s: destroy: %s", sb->id, e.text);
		retry_later(sb);
		return;
	}
	if (sb->row_stays && store_delete(sb->f->store, sb->id, &e) < 0) {
		retry_later(sb);
		return;
	}
	sb->f->reclaiming--;
	sb->state = SB_DESTROYED;
	sb_wake(sb, NULL);
	sb_unref(sb);
}

static void
ask_destroy(struct sandbox *sb)
{
	struct broker_req q;

	sb_req(sb, BROKER_DESTROY, &q);
	brokerc_ask(sb->f->broker, &q, false, reclaimed, sb);
}

static void
retry(uv_timer_t *t)
{
	struct sandbox *sb = t->data;

	sb->grace = NULL;
	uv_close((uv_handle_t *)t, (uv_close_cb)free);
	ask_destroy(sb);
}

static void
timer_start(struct sandbox *sb, uint64_t ms, uv_timer_cb fn)
{
	sb->grace = xcalloc(1, sizeof(*sb->grace));
	(void)uv_timer_init(sb->f->loop, sb->grace);
	sb->grace->data = sb;
	(void)uv_timer_start(sb->grace, fn, ms, 0);
}

static void
retry_later(struct sandbox *sb)
{
	timer_start(sb, DESTROY_RETRY_MS, retry);
}

/* Takes over the list's reference; it goes with the broker's answer. */
void
life_reclaim(struct sandbox *sb)
{
	life_begin(sb, SB_DESTROYING);
	drop_agent(sb);
	sb->f->reclaiming++;
	ask_destroy(sb);
}

/* Where the disk is full this is what makes room on it: the row goes when the
 * rest has gone. */
static int
delete_row(struct sandbox *sb, struct err *e)
{
	if (store_delete(sb->f->store, sb->id, e) == 0)
		return 0;
	sb->row_stays = e->code == ENOSPC;
	if (!sb->row_stays)
		return -1;
	log_warnx(
	    "sandbox %s: destroy: its row stays for now: %s", sb->id, e->text);
	return 0;
}

int
sandbox_destroy(struct sandbox *sb, struct err *e)
{
	struct wait_list waits;
	struct wait *w;
	struct err gone;

	if (may(sb, VERB_DESTROY, e) <= 0)
		return 0;
	if (sb->protect)
		return err_setx(e, EBUSY,
		    "the sandbox is protected: echo protect off > ctl");
	if (delete_row(sb, e) < 0)
		return -1;
	life_begin(sb, SB_DESTROYING);
	sb->f->destroys++;
	registry_remove(sb);
	tree_gone(sb->f, sb);
	jobs_down(sb);
	event_add(sb->f, sb, "destroyed", ""); /* the last that is told of it */
	TAILQ_INIT(&waits);
	TAILQ_CONCAT(&waits, &sb->waits, link);
	err_setx(&gone, ESTALE, "the sandbox was destroyed");
	while ((w = TAILQ_FIRST(&waits)) != NULL) {
		TAILQ_REMOVE(&waits, w, link);
		w->sb = NULL;
		w->done(w, sb, &gone);
	}
	drop_agent(sb);
	sb->f->reclaiming++;
	ask_destroy(sb);
	return 0;
}

/*** Start, stop, pause ***/

/* There is nothing left of it but its row. */
static int
start_anew(struct sandbox *sb, struct err *e)
{
	if (begin_written(sb, SB_CREATING, e) < 0)
		return -1;
	sb->lost = false;
	sb->keep_failed = true;
	life_recreate(sb);
	sb_announce(sb);
	return 0;
}

int
sandbox_start(struct sandbox *sb, struct err *e)
{
	int r;

	if ((r = may(sb, VERB_START, e)) <= 0)
		return r;
	if (sb->lost)
		return start_anew(sb, e);
	if (begin_written(sb, SB_STARTING, e) < 0)
		return -1;
	sb_announce(sb);
	ask_op(sb, BROKER_START, came_up);
	return 0;
}

static void
stopped(void *arg, struct broker_answer *a)
{
	struct sandbox *sb = step_done(arg, a, "stop");

	if (sb == NULL)
		return;
	sb_took_info(sb, &a->rep.info);
	jobs_down(sb);
	settle(sb, SB_STOPPED, "stopped");
}

void
life_stop(struct sandbox *sb)
{
	life_begin(sb, SB_STOPPING);
	drop_agent(sb);
	ask_op(sb, BROKER_STOP, stopped);
}

static void
froze(void *arg, struct broker_answer *a)
{
	(void)step_done(arg, a, "pause");
}

static void
ask_freeze(struct sandbox *sb, bool on)
{
	struct broker_req q;

	sb_req(sb, BROKER_FREEZE, &q);
	q.flag = on;
	ask(sb, &q, froze);
}

/* Ends the grace early once nothing runs any more. */
static void
grace_tick(uv_timer_t *t)
{
	struct sandbox *sb = t->data;

	if (jobs_running(sb) != 0 && clock_ms() < sb->grace_until_ms)
		return;
	life_stop(sb);
}

int
sandbox_stop(struct sandbox *sb, int64_t grace_ms, struct err *e)
{
	bool paused = sb->state == SB_PAUSED;
	struct job *job;
	struct err ignored;
	int r;

	if ((r = may(sb, VERB_STOP, e)) <= 0)
		return r;
	if (begin_written(sb, SB_STOPPING, e) < 0)
		return -1;
	sb_announce(sb);
	jobs_drop_queued(sb); /* no grace makes them run */
	if (grace_ms <= 0 || jobs_running(sb) == 0 || sb->agent == NULL) {
		life_stop(sb);
		return 0;
	}
	if (paused) /* or they could do nothing with their grace */
		ask_freeze(sb, false);
	TAILQ_FOREACH (job, &sb->jobs, link)
		if (job->state == JOB_RUNNING)
			(void)job_signal(job, SIGTERM, &ignored);
	sb->grace_until_ms = clock_ms() + grace_ms;
	timer_start(sb, GRACE_LOOK_MS, grace_tick);
	uv_timer_set_repeat(sb->grace, GRACE_LOOK_MS);
	return 0;
}

int
sandbox_pause(struct sandbox *sb, bool on, struct err *e)
{
	int r;

	if ((r = may(sb, on ? VERB_PAUSE : VERB_RESUME, e)) <= 0)
		return r;
	life_begin(sb, on ? SB_PAUSED : SB_RUNNING);
	ask_freeze(sb, on);
	settle(sb, sb->state, on ? "paused" : "resumed");
	if (!on) {
		life_send_env(sb);
		jobs_run(sb);
	}
	return 0;
}

/*** Limits and host name of a live one ***/

static void
applied(void *arg, struct broker_answer *a)
{
	struct step s = *(struct step *)arg;
	struct sandbox *sb = sb_ref(s.sb);
	struct err why, e;
	bool failed;

	sb->applying--;
	failed =
	    step_take(arg) != NULL && a != NULL && broker_failed(a, &why) != 0;
	if (failed) {
		err_wrap(&why, "limits");
		log_warnx("sandbox %s: %s", sb->id, why.text);
	}
	if (failed && s.limits) {
		sb->limits = s.old;
		if (sandbox_changed(sb, &e) < 0)
			log_warnx("sandbox %s: %s", sb->id, e.text);
	}
	/* also where a pause or a stop came in between: it waited, too */
	sb_wake(sb, failed ? &why : NULL);
	sb_unref(sb);
}

void
life_apply(struct sandbox *sb, const struct rt_limits *old)
{
	struct broker_req q;
	struct step *s;

	if (sb->state != SB_RUNNING && sb->state != SB_PAUSED)
		return; /* start and create send them anyway */
	sb_req(sb, BROKER_CLAIM, &q);
	str_copy(q.name, sandbox_called(sb), sizeof(q.name));
	q.limits = sb->limits;
	s = step_new(sb);
	if (old != NULL) {
		s->old = *old;
		s->limits = true;
	}
	sb->applying++;
	brokerc_ask(sb->f->broker, &q, true, applied, s);
}

void
sandbox_job_event(struct sandbox *sb, struct job *job, bool ended)
{
	char fields[64];

	sb->changed_ms = sb->active_ms = clock_real_ms();
	if (ended) {
		sb->last_exit = job_exit_status(job);
		snprintf(fields, sizeof(fields), " job=%d exit=%d", job->number,
		    sb->last_exit);
	} else {
		snprintf(fields, sizeof(fields), " job=%d", job->number);
	}
	event_add(sb->f, sb, ended ? "job-exit" : "job-started", fields);
	if (ended && sb->last_exit != 0 && sb->limits.memory_bytes != 0 &&
	    sb->state == SB_RUNNING)
		oom_look(sb, job->number, false);
	if (ended)
		tree_job_end(sb->f, job);
}
