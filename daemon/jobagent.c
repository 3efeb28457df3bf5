/*
 * jobagent.c - what agents say about jobs. None of it is believed.
 */
#include <signal.h>
#include <string.h>

#include "daemon/agentc.h"
#include "daemon/jobs_impl.h"
#include "lib/clock.h"

/* Nothing in it is believed: what makes no sense is an end by SIGKILL. */
static void
took_exit(struct job *job, const json_t *o)
{
	json_int_t code = -1, sig = 0, cpu = 0, peak = 0;

	(void)json_unpack((json_t *)(uintptr_t)o, "{s?I, s?I, s?I, s?I}",
	    "code", &code, "signal", &sig, "cpu_usec", &cpu, "memory_peak",
	    &peak);
	if (sig > 0 && sig <= SIGNAL_MAX) {
		job->code = -1;
		job->signal = (int)sig;
	} else if (code >= 0 && code <= 255) {
		job->code = (int)code;
		job->signal = 0;
	} else {
		job->code = -1;
		job->signal = SIGKILL;
	}
	job->cpu_usec = cpu > 0 ? (uint64_t)cpu : 0;
	job->memory_peak = peak > 0 ? (uint64_t)peak : 0;
	if (json_is_true(json_object_get(o, "timed_out")))
		job->timed_out = true;
	job->priv->exited = true;
}

void
jobs_notify(struct sandbox *sb, const char *method, const json_t *params)
{
	json_int_t number;
	struct job *job;

	if (strcmp(method, "sbx.job.exit") != 0)
		return;
	number = json_integer_value(json_object_get(params, "job"));
	if (number <= 0 || number > INT32_MAX)
		return;
	job = job_find(sb, (int)number);
	if (job == NULL || job->state == JOB_ENDED) {
		job_ack(sb, (int)number);
		return;
	}
	/* one that hello will list comes with its pipes */
	if (job->state != JOB_RUNNING || job->priv->exited || job->priv->loaded)
		return;
	took_exit(job, params);
	if (!jobio_opening(job))
		job_finish(job);
}

void
job_reopened(struct job *job)
{
	if (job->state == JOB_RUNNING && !jobio_opening(job) &&
	    job->priv->exited)
		job_finish(job);
	else
		jobio_watch(job);
}

static int
number_in(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;

	return n >= 0 && n <= INT32_MAX ? (int)n : -1;
}

/* What writers bring goes on; what one request gave has gone with it. */
static void
go_on_input(struct job *job, const json_t *o)
{
	struct job_size size = { number_in(o, "rows"), number_in(o, "cols") };
	struct err ignored;
	int in = number_in(o, "in");

	if (job->input == JOB_TERMINAL && job_size_check(&size, &ignored) == 0)
		job->terminal = size;
	if (in >= 0 && job->input >= JOB_WRITERS && job->priv->in.ino != 0) {
		jobio_reopen(&job->priv->in, in);
		return;
	}
	jobio_end_input(job);
	if (in >= 0)
		jobio_eof(job);
}

/* One that an earlier front started and the agent still has. */
static void
go_on(struct job *job, const json_t *o)
{
	const char *state = json_string_value(json_object_get(o, "state"));
	int64_t limit = job->priv->timeout_ms, ended;
	int pid = number_in(o, "pid");

	job->pid = pid > 0 ? pid : 0;
	jobio_reopen(&job->priv->out[0], number_in(o, "out"));
	jobio_reopen(&job->priv->out[1], number_in(o, "err"));
	go_on_input(job, o);
	if (state != NULL && strcmp(state, "ended") == 0) {
		took_exit(job, o);
		ended = json_integer_value(json_object_get(o, "ended"));
		if (ended >= job->started_ms && ended <= clock_real_ms())
			job->ended_ms = ended;
		if (!jobio_opening(job))
			job_finish(job);
		return;
	}
	if (limit > 0) {
		limit -= clock_real_ms() - job->started_ms;
		job_limit(job, limit);
	}
}

static const json_t *
listed(const json_t *jobs, int number)
{
	const json_t *o;
	size_t i;

	json_array_foreach (jobs, i, o)
		if (number_in(o, "job") == number)
			return o;
	return NULL;
}

/* Again from the first each time: an end may change the list. */
static struct job *
first_loaded(const struct sandbox *sb)
{
	struct job *job;

	TAILQ_FOREACH (job, &sb->jobs, link)
		if (job->state == JOB_RUNNING && job->priv->loaded)
			return job;
	return NULL;
}

/* Ended and acknowledged, but something it left behind holds its pipes: what
 * that says goes to the log. */
static void
go_on_logging(struct sandbox *sb, const json_t *o)
{
	int number = number_in(o, "job");
	struct job *job = number > 0 ? job_find(sb, number) : NULL;

	if (job == NULL || job->state != JOB_ENDED)
		return;
	jobio_reopen(&job->priv->out[0], number_in(o, "out"));
	jobio_reopen(&job->priv->out[1], number_in(o, "err"));
}

void
jobs_adopt(struct sandbox *sb, const json_t *hello_result)
{
	const json_t *jobs = json_object_get(hello_result, "jobs"), *o;
	struct job *job;
	size_t i;
	int number;

	while ((job = first_loaded(sb)) != NULL) {
		job->priv->loaded = false;
		if ((o = listed(jobs, job->number)) != NULL)
			go_on(job, o);
		else
			job_fail(job, CODE_NOT_RUN, "lost in a restart");
	}
	json_array_foreach (jobs, i, o) {
		if ((number = number_in(o, "job")) <= 0)
			continue;
		job = job_find(sb, number);
		if (job != NULL && job->state != JOB_ENDED)
			continue;
		if (job == NULL)
			job_send_signal(sb, number, SIGKILL);
		job_ack(sb, number);
	}
	json_array_foreach (json_object_get(hello_result, "left"), i, o)
		go_on_logging(sb, o);
}
