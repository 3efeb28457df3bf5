/*
 * tree_job.c - jobs: started, signalled, listed, forgotten.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/jobs.h"
#include "daemon/tree_impl.h"
#include "lib/words.h"

/* A first line `pty ROWS COLS` is no line of the script. */
static int
take_terminal(struct job_args *a, struct err *e)
{
	cleanup_words struct words w = { 0 };
	const char *s = a->script, *nl = memchr(s, '\n', a->len);
	size_t n = nl != NULL ? (size_t)(nl - s) : a->len;
	struct job_size size;

	a->input = JOB_WRITERS;
	if (n < 4 || memcmp(s, "pty ", 4) != 0)
		return 0;
	if (words_split(&w, s, n, e) < 0)
		return -1;
	if (job_size_words(&w, &size, e) < 0)
		return -1;
	a->input = JOB_TERMINAL;
	a->terminal = size;
	a->script = nl != NULL ? nl + 1 : s + n;
	a->len -= nl != NULL ? n + 1 : n;
	return 0;
}

void
tree_job_start(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "exec", W_OK);
	struct job_args a = {
		.script = buf_str(&r->bin), .len = r->bin.len, .kept = true
	};
	int64_t h = 0;
	struct json_field fields[] = {
		{ "session", JSON_K_BOOL, false, &a.session },
		{ "h", JSON_K_INT, false, &h },
	};
	const char *nl;
	struct job *job;
	struct err e;

	if (sb == NULL || TREQ_TAKE(r, fields) < 0)
		return;
	if ((h == 0 || take_terminal(&a, &e) == 0) &&
	    job_start(sb, &a, &job, &e) == 0) {
		if (h != 0)
			input_open(r->conn, job, h, true);
		/* who starts a session's command reads its output next */
		if (a.session)
			treq_follow_new(r, job);
		else
			treq_reply(r, json_pack("{s:i}", "job", job->number));
		return;
	}
	nl = memchr(buf_str(&r->bin), '\n', r->bin.len);
	(void)buf_add(&r->cmd, buf_str(&r->bin),
	    nl != NULL ? (size_t)(nl - buf_str(&r->bin)) : r->bin.len);
	treq_fail(r, &e);
}

void
tree_job_signal(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "exec", W_OK);
	int64_t sig = 0;
	struct json_field fields[] = {
		{ "signal", JSON_K_INT, true, &sig },
	};
	struct job *job;
	struct err e;

	if (sb == NULL || TREQ_TAKE(r, fields) < 0 ||
	    (job = treq_job(r, sb)) == NULL)
		return;
	if (sig < 1 || sig > 64)
		treq_fail_code(r, EINVAL, "no such signal");
	else
		treq_end(r, job_signal(job, (int)sig, &e), &e);
}

void
tree_job_forget(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "jobs", W_OK);
	struct job *job;

	if (sb == NULL || (job = treq_job(r, sb)) == NULL)
		return;
	job_forget(job);
	treq_reply(r, json_object());
}

void
tree_jobs(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "jobs", R_OK);
	json_t *numbers;
	struct job *job;
	int last = 0;

	if (sb == NULL)
		return;
	numbers = json_array();
	TAILQ_FOREACH (job, &sb->jobs, link) {
		json_array_append_new(numbers, json_integer(job->number));
		last = job->number;
	}
	treq_reply(r,
	    json_pack("{s:o,s:i,s:i}", "jobs", numbers, "last", last, "newest",
		sb->newest != NULL ? sb->newest->number : 0));
}
