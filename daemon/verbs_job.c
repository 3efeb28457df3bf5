/*
 * verbs_job.c - lines of a job's ctl.
 */
#include <errno.h>

#include "daemon/jobs.h"
#include "daemon/verbs_impl.h"
#include "lib/size.h"

int
job_size_words(const struct words *w, struct job_size *ret, struct err *e)
{
	if (w->n == 3 && int_parse(w->w[1], 1, UINT16_MAX, &ret->rows) == 0 &&
	    int_parse(w->w[2], 1, UINT16_MAX, &ret->cols) == 0)
		return 0;
	return err_setx(
	    e, EINVAL, "usage: %s ROWS COLS, each 1 to 65535", w->w[0]);
}

/* NULL: v->e says so. */
static struct job *
job_of(struct verbs *v, struct sandbox *sb)
{
	struct job *job = job_find(sb, v->job);

	if (job == NULL)
		err_setx(&v->e, ESTALE, "job %d was forgotten", v->job);
	return job;
}

static int
job_kill(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct job *job = job_of(v, sb);

	return job != NULL ? verbs_kill(v, job, w) : -1;
}

static int
end_input(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct job *job = job_of(v, sb);

	(void)w;
	return job != NULL ? job_eof(job, &v->e) : -1;
}

static int
resize(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct job *job = job_of(v, sb);
	struct job_size size;

	if (job == NULL || job_size_words(w, &size, &v->e) < 0)
		return -1;
	return job_resize(job, &size, &v->e);
}

const struct verb verbs_job[] = {
	{ "kill", job_kill, 0, 1, "[SIGNAL]", false },
	{ "eof", end_input, 0, 0, "", false },
	{ "winsize", resize, 2, 2, "ROWS COLS", false },
	{ 0 },
};
