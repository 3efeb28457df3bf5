#include "daemon/jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agentc.h"
#include "daemon/jobs_impl.h"
#include "daemon/spool.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define CODE_NO_SHELL 127

struct spool *
job_spool(struct sandbox *sb)
{
	cleanup_free char *dir = NULL;

	if (sb->spool == NULL) {
		dir = xasprintf(
		    "%s/sandboxes/%s/spool", sb->f->cfg->data_dir, sb->id);
		sb->spool =
		    spool_new(dir, (uint64_t)sb->f->cfg->job_output_bytes);
	}
	return sb->spool;
}

/*** One job ***/

struct job *
job_new(struct sandbox *sb, int number, const char *cmd, size_t len)
{
	struct job *job = xcalloc(1, sizeof(*job)), *at;
	struct job_priv *pv = xcalloc(1, sizeof(*pv));
	size_t i;

	job->sb = sb;
	job->number = number;
	job->cmd = xmalloc(len + 1);
	memcpy(job->cmd, cmd, len);
	job->cmd[len] = '\0';
	job->cmd_len = len;
	job->priv = pv;
	for (i = 0; i < 2; i++)
		pv->out[i] = (struct job_pipe){ .job = job, .fd = -1 };
	pv->in = (struct job_pipe){ .job = job, .fd = -1 };
	TAILQ_INIT(&pv->followers);
	TAILQ_INIT(&pv->writes);
	kept_init(&pv->kept, job_spool(sb), number);
	TAILQ_FOREACH_REVERSE(at, &sb->jobs, job_list, link)
	if (at->number < number)
		break;
	if (at != NULL)
		TAILQ_INSERT_AFTER(&sb->jobs, at, job, link);
	else
		TAILQ_INSERT_HEAD(&sb->jobs, job, link);
	return job;
}

static void
stop_timer(struct job *job)
{
	if (job->priv->timer != NULL)
		uv_close((uv_handle_t *)job->priv->timer, (uv_close_cb)free);
	job->priv->timer = NULL;
}

/* What only starting it needed. */
static void
drop_args(struct job_priv *pv)
{
	json_decref(pv->env);
	pv->env = NULL;
	free(pv->cwd);
	pv->cwd = NULL;
}

void
job_hold(struct job *job)
{
	job->priv->busy++;
}

void
job_release(struct job *job)
{
	struct job_priv *pv = job->priv;

	if (--pv->busy != 0 || !pv->forgotten)
		return;
	free(pv);
	free(job->cmd);
	free(job);
}

/* Out of its list; the memory goes with the last hold. */
void
job_free(struct job *job)
{
	struct job_priv *pv = job->priv;
	struct sandbox *sb = job->sb;
	struct follower *fo;
	struct job *at;
	size_t i;

	while ((fo = TAILQ_FIRST(&pv->followers)) != NULL)
		job_unfollow(fo);
	agentc_forget(sb->agent, job);
	stop_timer(job);
	for (i = 0; i < 2; i++)
		jobio_close(&pv->out[i]);
	jobio_end_input(job);
	drop_args(pv);
	kept_done(&pv->kept);
	TAILQ_REMOVE(&sb->jobs, job, link);
	if (job->state == JOB_ENDED) {
		sb->ended_jobs--;
		sb->ended_bytes -= pv->counted;
	}
	if (sb->newest == job) {
		sb->newest = NULL;
		TAILQ_FOREACH (at, &sb->jobs, link)
			if (!at->session)
				sb->newest = at;
	}
	pv->forgotten = true;
	job_hold(job);
	job_release(job);
}

void
job_took_kept(struct job *job)
{
	memcpy(job->size, job->priv->kept.size, sizeof(job->size));
	job->truncated = job->priv->kept.truncated;
	job->cut = job->priv->kept.cut;
}

/*** Its end ***/

static void
erase(struct job *job)
{
	struct spool *sp = job_spool(job->sb);
	char modes[32];

	(void)snprintf(modes, sizeof(modes), "jobs/%d", job->number);
	sandbox_forget_modes(job->sb, modes);
	job_tell_ended(job);
	spool_forget(sp, job->number);
	kept_delete(&job->priv->kept);
	job_free(job);
}

void
job_count_ended(struct job *job)
{
	job->priv->counted = job->size[JOB_BOTH] + job->cmd_len;
	job->sb->ended_jobs++;
	job->sb->ended_bytes += job->priv->counted;
}

/* The oldest finished ones go, but never the last one of all. */
static void
bound(struct sandbox *sb)
{
	const struct config *cfg = sb->f->cfg;
	struct job *job, *next;

	for (job = TAILQ_FIRST(&sb->jobs); job != NULL &&
	     (sb->ended_jobs > cfg->jobs_kept ||
		 sb->ended_bytes > (uint64_t)cfg->jobs_bytes);
	     job = next) {
		next = TAILQ_NEXT(job, link);
		if (job->state == JOB_ENDED && next != NULL &&
		    job != sb->newest)
			erase(job);
	}
	if (spool_bloated(sb->spool))
		jobs_rewrite(sb);
}

void
job_ack(struct sandbox *sb, int number)
{
	if (sb->agent != NULL)
		agentc_call(sb->agent,
		    &(struct agent_call){ .method = "sbx.job.ack",
			.params = json_pack("{s:i}", "job", number),
			.later = true });
}

/*
 * It has ended: code, signal and reason are set, and all that counts was
 * read. On disk before anybody is told, and the mount before who waits.
 */
static void
settle(struct job *job)
{
	struct sandbox *sb = job->sb;
	struct job_priv *pv = job->priv;
	struct spool_end e;

	job->state = JOB_ENDED;
	if (job->ended_ms == 0)
		job->ended_ms = clock_real_ms();
	if (pv->began_ns != 0)
		job->usec = (int64_t)((uv_hrtime() - pv->began_ns) / 1000);
	else if (job->started_ms != 0)
		job->usec = (job->ended_ms - job->started_ms) * 1000;
	stop_timer(job);
	jobio_end_input(job);
	drop_args(pv);
	job_unqueue(job);
	agentc_forget(sb->agent, job);
	job_fill_end(job, &e);
	spool_end(sb->spool, &e, &pv->kept);
	job_took_kept(job);
	job_count_ended(job);
	job_drop_cmd(job);
	job_hold(job);
	sandbox_job_event(sb, job, true);
	job_tell_ended(job);
	jobio_spares(sb->f->loop);
	if (!pv->forgotten) {
		kept_told(&pv->kept);
		job_ack(sb, job->number);
		jobio_watch(job); /* what it left behind goes to the log */
		bound(sb);
	}
	job_release(job);
}

void
job_finish(struct job *job)
{
	job_hold(job);
	jobio_drain(job);
	if (!job->priv->forgotten)
		settle(job);
	job_release(job);
}

static void
end_by(struct job *job, int code, int sig)
{
	job->code = code;
	job->signal = sig;
	job_finish(job);
}

/* What ends before it ran has begun all the same, for who counts. */
static void
begin_unrun(struct job *job)
{
	if (job->started_ms != 0)
		return;
	job->started_ms = clock_real_ms();
	job_put_start(job);
	sandbox_job_event(job->sb, job, false);
}

/* It never ran: the sentence is what it has to say. */
void
job_fail(struct job *job, int code, const char *reason)
{
	char text[sizeof(job->reason) + 1];
	size_t n;

	job->failed = true;
	job->code = code;
	(void)str_copy(job->reason, reason, sizeof(job->reason));
	n = strlen(job->reason);
	memcpy(text, job->reason, n);
	text[n] = '\n';
	job_hold(job);
	begin_unrun(job);
	job_output(job, JOB_STDERR, text, n + 1);
	if (!job->priv->forgotten)
		settle(job);
	job_release(job);
}

/*** Time ***/

/* Without an answer that anybody waits for. */
static void
tell_agent(struct sandbox *sb, const char *method, int number, json_t *params)
{
	(void)json_object_set_new(params, "job", json_integer(number));
	if (sb->agent == NULL) {
		json_decref(params);
		return;
	}
	agentc_call(sb->agent,
	    &(struct agent_call){
		.method = method, .params = params, .done = job_no_answer });
}

void
job_call_agent(struct job *job, const char *method, json_t *params)
{
	tell_agent(job->sb, method, job->number, params);
}

static void
send_signal(struct sandbox *sb, int number, int sig, bool timed_out)
{
	tell_agent(sb, "sbx.job.signal", number,
	    json_pack("{s:i, s:b}", "signal", sig, "timed_out", timed_out));
}

void
job_send_signal(struct sandbox *sb, int number, int sig)
{
	send_signal(sb, number, sig, false);
}

static void
start_timer(struct job *job, uv_timer_cb fn, uint64_t ms)
{
	if (job->priv->timer == NULL) {
		job->priv->timer = xcalloc(1, sizeof(*job->priv->timer));
		(void)uv_timer_init(job->sb->f->loop, job->priv->timer);
		job->priv->timer->data = job;
	}
	(void)uv_timer_start(job->priv->timer, fn, ms, 0);
}

static void
on_limit(uv_timer_t *t)
{
	struct job *job = t->data;

	if (job->priv->force && job->sb->state != SB_PAUSED) {
		end_by(job, -1, SIGKILL);
		return;
	}
	if (!job->priv->force)
		send_signal(job->sb, job->number, SIGKILL, true);
	job->timed_out = job->priv->force = true;
	(void)uv_timer_start(t, on_limit, FORCE_MS, 0);
}

void
job_limit(struct job *job, int64_t ms)
{
	start_timer(job, on_limit, ms > 0 ? (uint64_t)ms : 0);
}

/* Its first moment is over: its output is looked at as it comes. */
static void
on_look(uv_timer_t *t)
{
	struct job *job = t->data;
	int64_t limit = job->priv->timeout_ms;

	if (limit > 0)
		(void)uv_timer_start(t, on_limit, (uint64_t)limit, 0);
	kept_to_file(&job->priv->kept);
	if (limit <= 0)
		stop_timer(job);
	jobio_watch(job);
}

/*** Starting ***/

static void
started(void *arg, const struct agent_answer *a)
{
	struct job *job = arg;
	json_int_t pid;

	if (a->e == NULL) {
		pid = json_integer_value(json_object_get(a->result, "pid"));
		job->pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
		return;
	}
	/* the connection ended: jobs_down tells us more */
	if (a->e->code == ECANCELED || a->e->code == ECONNRESET ||
	    job->sb->agent == NULL)
		return;
	/* a working directory that is not there is ENOENT as well */
	job_fail(job,
	    a->e->code == ENOENT && job->priv->cwd == NULL ? CODE_NO_SHELL
							   : CODE_NOT_RUN,
	    a->e->text);
}

static json_t *
size_params(const struct job_size *size)
{
	return json_pack("{s:I, s:I}", "rows", (json_int_t)size->rows, "cols",
	    (json_int_t)size->cols);
}

static json_t *
start_params(const struct job *job)
{
	const struct job_priv *pv = job->priv;
	json_t *p = json_pack("{s:i, s:b}", "job", job->number, "binary", 1);

	if (pv->env != NULL)
		(void)json_object_set(p, "env", pv->env);
	if (pv->cwd != NULL)
		(void)json_object_set_new(p, "cwd", json_string(pv->cwd));
	if (job->input != JOB_NULL)
		(void)json_object_set_new(p, "stdin", json_true());
	if (job->input == JOB_TERMINAL)
		(void)json_object_update_new(p, size_params(&job->terminal));
	return p;
}

static void
start_now(struct job *job)
{
	bool queued = job->priv->queued; /* somebody was told of it */
	struct sandbox *sb = job->sb;
	int fds[6];
	struct err e;
	size_t i, n;

	job->state = JOB_RUNNING;
	if (jobio_open(job, fds, &n, &e) < 0) {
		job_fail(job, CODE_NOT_RUN, e.text);
		return;
	}
	job->started_ms = clock_real_ms();
	job->priv->began_ns = uv_hrtime();
	if (queued) {
		job_put_start(job);
		job_unqueue(job);
	}
	agentc_call(sb->agent,
	    &(struct agent_call){ .method = "sbx.job.start",
		.params = start_params(job),
		.bin = job->cmd,
		.bin_len = job->cmd_len,
		.fds = fds,
		.nfds = n,
		.done = started,
		.arg = job });
	for (i = 0; i < n; i += 2)
		close_fd(&fds[i]);
	/* while the agent works, and before anybody is told: a job of which
	 * the next front finds no record is killed */
	if (!queued)
		job_put_start(job);
	jobio_feed(job);
	start_timer(job, on_look, LOOK_MS);
	sandbox_job_event(sb, job, false);
}

static int
check_args(const struct sandbox *sb, const struct job_args *a, struct err *e)
{
	const char *s = a->script;

	if (a->len == 0)
		return err_setx(e, EINVAL, "the script is empty");
	if (a->input == JOB_TERMINAL && job_size_check(&a->terminal, e) < 0)
		return -1;
	if (a->len > JOB_SCRIPT_MAX)
		return err_setx(e, E2BIG,
		    "the script has %zu bytes: at most "
		    "%u",
		    a->len, JOB_SCRIPT_MAX);
	/* what sh gets as an argument ends at a NUL */
	if (memchr(s, '\0', a->len) != NULL &&
	    (a->len < 2 || memcmp(s, "#!", 2) != 0))
		return err_setx(e, EINVAL, "the script has a NUL byte");
	if (sb->state == SB_CREATING || sb->state == SB_STARTING)
		return 0;
	if (sb->state != SB_RUNNING || sb->agent == NULL)
		return err_setx(e, EHOSTDOWN, "the sandbox is %s",
		    sb_state_names[sb->state]);
	return 0;
}

int
job_start(struct sandbox *sb, const struct job_args *a, struct job **ret,
    struct err *e)
{
	struct job_priv *pv;
	struct job *job;

	if (check_args(sb, a, e) < 0)
		return -1;
	job = job_new(sb, sb->next_job++, a->script, a->len);
	pv = job->priv;
	job->session = a->session;
	pv->env = json_incref((json_t *)(uintptr_t)a->env);
	pv->cwd = a->cwd != NULL ? xstrdup(a->cwd) : NULL;
	job->input = a->input;
	job->terminal = a->terminal;
	if (a->input == JOB_BYTES)
		jobio_give(job, a->stdin_data, a->stdin_len);
	job->input_ended = a->input < JOB_WRITERS;
	pv->timeout_ms =
	    a->timeout_ms > 0 ? a->timeout_ms : sb->timeout_s * 1000;
	if (!a->session)
		sb->newest = job;
	*ret = job;
	if (sb->state == SB_RUNNING && !sb->claiming)
		start_now(job);
	else if (a->kept)
		job_put_queued(job);
	return 0;
}

/* Again from the first each time: a callback may have changed the list. */
static struct job *
first_in(const struct sandbox *sb, enum job_state state)
{
	struct job *job;

	TAILQ_FOREACH (job, &sb->jobs, link)
		if (job->state == state)
			return job;
	return NULL;
}

void
jobs_run(struct sandbox *sb)
{
	struct job *job;

	while (sb->agent != NULL && (job = first_in(sb, JOB_QUEUED)) != NULL)
		start_now(job);
}

/*** What is asked about it ***/

int
job_signal(struct job *job, int sig, struct err *e)
{
	if (job->state == JOB_ENDED)
		return err_setx(e, ESRCH, "job %d has ended", job->number);
	if (sig <= 0 || sig > SIGNAL_MAX)
		return err_setx(e, EINVAL, "signal %d", sig);
	if (job->state == JOB_QUEUED) {
		begin_unrun(job);
		end_by(job, -1, sig);
		return 0;
	}
	job_send_signal(job->sb, job->number, sig);
	return 0;
}

int
job_size_check(const struct job_size *size, struct err *e)
{
	if (size->rows >= 1 && size->rows <= UINT16_MAX && size->cols >= 1 &&
	    size->cols <= UINT16_MAX)
		return 0;
	return err_setx(e, EINVAL,
	    "a terminal of %lld rows and %lld columns: expected 1 to 65535",
	    (long long)size->rows, (long long)size->cols);
}

int
job_resize(struct job *job, const struct job_size *size, struct err *e)
{
	if (job->input != JOB_TERMINAL)
		return err_setx(
		    e, EINVAL, "job %d has no terminal", job->number);
	if (job_size_check(size, e) < 0)
		return -1;
	if (job->state == JOB_ENDED)
		return err_setx(e, ESRCH, "job %d has ended", job->number);
	job->terminal = *size;
	if (job->state == JOB_RUNNING)
		job_call_agent(job, "sbx.job.winsize", size_params(size));
	return 0;
}

int
job_eof(struct job *job, struct err *e)
{
	if (job->state == JOB_ENDED)
		return err_setx(e, ESRCH, "job %d has ended", job->number);
	if (job->input_ended)
		return err_setx(
		    e, EPIPE, "the input of job %d has ended", job->number);
	if (job->input == JOB_TERMINAL) {
		jobio_give(job, "\4", 1);
		return 0;
	}
	job->input_ended = true;
	jobio_feed(job);
	return 0;
}

void
job_forget(struct job *job)
{
	job_hold(job);
	if (job->state == JOB_RUNNING)
		job_send_signal(job->sb, job->number, SIGKILL);
	if (job->state != JOB_ENDED) {
		begin_unrun(job);
		end_by(job, -1, SIGKILL);
	}
	if (!job->priv->forgotten)
		erase(job);
	job_release(job);
}

struct job *
job_find(struct sandbox *sb, int number)
{
	struct job *job;

	if (number == 0)
		return sb->newest;
	if (number == -1)
		return TAILQ_LAST(&sb->jobs, job_list);
	TAILQ_FOREACH_REVERSE(job, &sb->jobs, job_list, link)
	if (job->number == number)
		return job;
	return NULL;
}

ssize_t
job_read(struct job *job, enum job_stream s, uint64_t off, void *p, size_t n)
{
	return kept_read(&job->priv->kept, s, off, p, n);
}

int
job_open(struct job *job)
{
	int fd = kept_open(&job->priv->kept);

	job_took_kept(job);
	return fd;
}

bool
job_is_short(const struct job *job)
{
	return job->priv->kept.where != KEPT_FILE;
}

int
job_exit_status(const struct job *job)
{
	return job->signal != 0 ? 128 + job->signal : job->code;
}

int
jobs_running(const struct sandbox *sb)
{
	const struct job *job;
	int n = 0;

	TAILQ_FOREACH (job, &sb->jobs, link)
		n += job->state != JOB_ENDED;
	return n;
}

ssize_t
sandbox_log_read(struct sandbox *sb, uint64_t off, void *p, size_t n)
{
	return spool_log_read(job_spool(sb), off, p, n);
}

uint64_t
sandbox_log_size(struct sandbox *sb)
{
	return spool_log_size(job_spool(sb));
}

/*** The sandbox's own ups and downs ***/

void
jobs_drop_queued(struct sandbox *sb)
{
	struct job *job;

	while ((job = first_in(sb, JOB_QUEUED)) != NULL)
		job_fail(job, CODE_NOT_RUN, "the sandbox is down");
}

void
jobs_down(struct sandbox *sb)
{
	struct job *job;

	jobs_drop_queued(sb);
	while ((job = first_in(sb, JOB_RUNNING)) != NULL)
		if (job->priv->exited)
			job_finish(job);
		else
			end_by(job, -1, SIGKILL);
}

void
jobs_free(struct sandbox *sb)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&sb->jobs)) != NULL)
		job_free(job);
	spool_free(sb->spool);
	sb->spool = NULL;
}
