/*
 * jobfollow.c - who follows a job, and how its output gets to them.
 */
#include "daemon/jobs_impl.h"
#include "daemon/spool.h"
#include "daemon/tree.h"

/* The next one of a walk, which survives the end of any of them. */
static struct follower *
walk(struct job *job, struct follower *fo)
{
	if (fo != NULL)
		job->priv->next = TAILQ_NEXT(fo, link);
	return fo;
}

static void
tell_output(struct job *job, enum job_stream s, const void *p, size_t n)
{
	struct follower *fo;

	for (fo = walk(job, TAILQ_FIRST(&job->priv->followers)); fo != NULL;
	     fo = walk(job, job->priv->next))
		if (fo->output != NULL)
			fo->output(fo, s, p, n);
}

static void
tell_more(struct job *job, const char *p, size_t n)
{
	struct follower *fo;

	for (fo = walk(job, TAILQ_FIRST(&job->priv->followers)); fo != NULL;
	     fo = walk(job, job->priv->next))
		if (fo->more != NULL)
			fo->more(fo, p, n);
}

static void
tell_grew(struct job *job)
{
	struct follower *fo;

	for (fo = walk(job, TAILQ_FIRST(&job->priv->followers)); fo != NULL;
	     fo = walk(job, job->priv->next))
		if (fo->grew != NULL)
			fo->grew(fo);
}

void
job_tell_ended(struct job *job)
{
	struct follower *fo;

	while ((fo = TAILQ_FIRST(&job->priv->followers)) != NULL) {
		job_unfollow(fo);
		fo->ended(fo);
	}
}

void
job_follow(struct job *job, struct follower *fo)
{
	fo->full = false;
	if (job->state == JOB_ENDED) {
		fo->job = NULL;
		fo->ended(fo);
		return;
	}
	fo->job = job;
	TAILQ_INSERT_TAIL(&job->priv->followers, fo, link);
}

void
job_unfollow(struct follower *fo)
{
	struct job *job = fo->job;
	bool was_full = fo->full;

	if (job == NULL)
		return;
	if (job->priv->next == fo)
		job->priv->next = TAILQ_NEXT(fo, link);
	TAILQ_REMOVE(&job->priv->followers, fo, link);
	fo->job = NULL;
	fo->full = false;
	if (was_full && !job_full(job))
		jobio_watch(job);
}

void
follower_resume(struct follower *fo)
{
	fo->full = false;
	if (fo->job != NULL && !job_full(fo->job))
		jobio_watch(fo->job);
}

bool
job_full(const struct job *job)
{
	const struct follower *fo;

	TAILQ_FOREACH (fo, &job->priv->followers, link)
		if (fo->full)
			return true;
	return false;
}

/* Whether what comes is for the log and for one follower's pass, if any. */
static bool
passes(const struct job *job, struct follower **ret_to)
{
	struct follower *fo;

	*ret_to = NULL;
	TAILQ_FOREACH (fo, &job->priv->followers, link) {
		if (fo->output == NULL && fo->more == NULL)
			continue;
		if (*ret_to != NULL || fo->pass == NULL || fo->output != NULL)
			return false;
		*ret_to = fo;
	}
	return job->truncated && job->state == JOB_RUNNING;
}

size_t
job_pass(struct job *job, int fd)
{
	struct follower *to;
	size_t n;

	if (!passes(job, &to) || to == NULL || (n = to->pass(to, fd)) == 0)
		return 0;
	spool_log_take(job_spool(job->sb), fd, n);
	tree_log(job->sb->f);
	return n;
}

void
job_output(struct job *job, enum job_stream s, const void *p, size_t n)
{
	struct job_priv *pv = job->priv;
	uint64_t before = job->size[JOB_BOTH];
	size_t kept;

	if (pv->forgotten)
		return;
	spool_log_add(job_spool(job->sb), p, n);
	tree_log(job->sb->f);
	if (job->state == JOB_ENDED)
		return;
	kept = kept_add(&pv->kept, s, p, n);
	job_took_kept(job);
	job_hold(job);
	tell_output(job, s, p, n);
	if (!pv->forgotten && kept < n)
		tell_more(job, (const char *)p + kept, n - kept);
	if (!pv->forgotten && job->size[JOB_BOTH] != before)
		tell_grew(job);
	job_release(job);
}
