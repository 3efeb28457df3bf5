/*
 * jobdisk.c - jobs to and from the spool's journal.
 */

#include "daemon/jobs_impl.h"
#include "daemon/store.h"
#include "lib/log.h"
#include "lib/mem.h"

void
job_fill_end(const struct job *job, struct spool_end *e)
{
	*e = (struct spool_end){
		.number = job->number,
		.code = job->code,
		.signal = job->signal,
		.timed_out = job->timed_out,
		.failed = job->failed,
		.cpu_usec = job->cpu_usec,
		.memory_peak = job->memory_peak,
		.ended_ms = job->ended_ms,
		.usec = job->usec,
		.reason = job->reason,
	};
}

bool
job_cmd(struct job *job, struct buf *ret)
{
	char *p;

	if (job->cmd != NULL)
		return buf_add(ret, job->cmd, job->cmd_len) == 0;
	if (buf_reserve(ret, job->cmd_len, &p) < 0 ||
	    !spool_cmd(job_spool(job->sb), job->priv->cmd_at, p, job->cmd_len))
		return false;
	buf_grew(ret, job->cmd_len);
	return true;
}

void
job_drop_cmd(struct job *job)
{
	if (job->priv->cmd_at == 0)
		return;
	free(job->cmd);
	job->cmd = NULL;
}

void
job_put_start(struct job *job)
{
	cleanup_buf struct buf cmd = BUF_INIT;
	struct job_priv *pv = job->priv;
	struct spool_start s = {
		.number = job->number,
		.session = job->session,
		.input = job->input,
		.started_ms = job->started_ms,
		.timeout_ms = pv->timeout_ms,
		.ino = { pv->out[0].ino, pv->out[1].ino, pv->in.ino },
		.cmd = job->cmd,
		.cmd_len = job->cmd_len,
	};

	if (job->cmd == NULL) {
		if (!job_cmd(job, &cmd))
			s.cmd_len = job->cmd_len = 0;
		s.cmd = buf_str(&cmd);
	}
	pv->cmd_at = spool_start(job_spool(job->sb), &s);
	if (pv->cmd_at == 0 && job->cmd == NULL)
		job->cmd = buf_steal(&cmd);
}

void
job_put_queued(struct job *job)
{
	const struct store_job j = {
		.number = job->number,
		.session = job->session,
		.input = job->input,
		.terminal = job->terminal,
		.timeout_ms = job->priv->timeout_ms,
		.script = job->cmd,
		.len = job->cmd_len,
	};
	struct err e;

	if (store_queue(job->sb->f->store, job->sb->id, &j, &e) < 0)
		log_warnx(
		    "sandbox %s: job %d: %s", job->sb->id, job->number, e.text);
	else
		job->priv->queued = true;
}

void
job_unqueue(struct job *job)
{
	struct err e;

	if (!job->priv->queued)
		return;
	job->priv->queued = false;
	if (store_unqueue(job->sb->f->store, job->sb->id, job->number, &e) < 0)
		log_warnx(
		    "sandbox %s: job %d: %s", job->sb->id, job->number, e.text);
}

void
job_load_queued(struct sandbox *sb, const struct store_job *j)
{
	struct job *job = job_find(sb, j->number);

	if (job == NULL) {
		job = job_new(sb, j->number, j->script, j->len);
		job->session = j->session;
		job->input = j->input;
		job->terminal = j->terminal;
		job->input_ended = j->input < JOB_WRITERS;
		job->priv->timeout_ms = j->timeout_ms;
		if (!job->session)
			sb->newest = job;
		if (sb->next_job <= j->number)
			sb->next_job = j->number + 1;
	}
	/* one that has begun: the store was not told any more */
	job->priv->queued = true;
}

void
jobs_rewrite(struct sandbox *sb)
{
	struct spool_end e;
	struct job *job;

	spool_rewrite(sb->spool);
	TAILQ_FOREACH (job, &sb->jobs, link) {
		if (job->state == JOB_QUEUED)
			continue;
		job_put_start(job);
		if (job->state != JOB_ENDED)
			continue;
		job_fill_end(job, &e);
		spool_rewrite_end(sb->spool, &e, &job->priv->kept);
	}
	spool_rewritten(sb->spool);
}

static void
load_start(void *arg, const struct spool_start *s)
{
	struct sandbox *sb = arg;
	struct job *job;

	if (s->number <= 0 || job_find(sb, s->number) != NULL)
		return;
	job = job_new(sb, s->number, s->cmd, s->cmd_len);
	job->state = JOB_RUNNING;
	job->session = s->session;
	job->input = s->input;
	job->input_ended = s->input < JOB_WRITERS;
	job->started_ms = s->started_ms;
	job->priv->timeout_ms = s->timeout_ms;
	job->priv->out[0].ino = s->ino[0];
	job->priv->out[1].ino = s->ino[1];
	job->priv->in.ino = s->ino[2];
	job->priv->cmd_at = s->cmd_at;
	job->priv->loaded = true;
	if (!s->session)
		sb->newest = job;
	if (sb->next_job <= s->number)
		sb->next_job = s->number + 1;
}

static void
load_end(void *arg, const struct spool_end *s, const struct kept *k)
{
	struct sandbox *sb = arg;
	struct job *job = job_find(sb, s->number);
	struct kept *to;

	if (job == NULL || job->state == JOB_ENDED || s->number <= 0)
		return;
	job->state = JOB_ENDED;
	job_drop_cmd(job);
	job->code = s->code;
	job->signal = s->signal;
	job->timed_out = s->timed_out;
	job->failed = s->failed;
	job->cpu_usec = s->cpu_usec;
	job->memory_peak = s->memory_peak;
	job->input_ended = true;
	job->ended_ms = s->ended_ms;
	job->usec = s->usec;
	(void)str_copy(job->reason, s->reason, sizeof(job->reason));
	to = &job->priv->kept;
	*to = *k;
	to->sp = sb->spool;
	to->number = job->number;
	job_took_kept(job);
	job_count_ended(job);
	if (!job->session)
		sb->last_exit = job_exit_status(job);
}

static void
load_forget(void *arg, int number)
{
	struct job *job = number > 0 ? job_find(arg, number) : NULL;

	if (job != NULL)
		job_free(job);
}

int
jobs_load(struct sandbox *sb, struct err *e)
{
	static const struct spool_reader reader = { load_start, load_end,
		load_forget };
	struct job *job;

	if (spool_load(job_spool(sb), &reader, sb, e) < 0)
		return -1;
	TAILQ_FOREACH (job, &sb->jobs, link) {
		if (job->state != JOB_RUNNING)
			continue;
		kept_resume(&job->priv->kept);
		job_took_kept(job);
	}
	return 0;
}
