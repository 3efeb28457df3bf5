/*
 * tree_input.c - stdin of jobs, as a mount has it open. The client chooses
 * the numbers of its handles, so that it need not wait for an answer before
 * it writes, and can name them again to the next front.
 *
 * Input ends when its last writer closes; where none has opened yet, when the
 * jobs/new that started the job closes. A client that dies ends nothing: its
 * successor may write on. Nor does anybody's close end a terminal's input.
 */
#include <errno.h>
#include <stdlib.h>

#include "daemon/jobs.h"
#include "daemon/tree_impl.h"
#include "lib/mem.h"

struct tinput {
	TAILQ_ENTRY(tinput) link; /* of the server */
	struct tree_conn *conn;
	int64_t h; /* unique in conn */
	char id[RT_ID_MAX];
	int number;
	bool creator;	       /* has jobs/new open, not stdin */
	struct job_write room; /* waits to tell that there is room */
};

static struct tinput *
find(const struct tree_conn *c, int64_t h)
{
	struct tinput *in;

	TAILQ_FOREACH (in, &c->t->inputs, link)
		if (in->conn == c && in->h == h)
			return in;
	return NULL;
}

/* NULL: it is forgotten. */
static struct job *
job_of(const struct tinput *in)
{
	struct sandbox *sb = sandbox_by_id(in->conn->t->f, in->id);

	return sb != NULL ? job_find(sb, in->number) : NULL;
}

static void
drop(struct tinput *in)
{
	struct job *job = job_of(in);

	job_write_cancel(&in->room);
	if (job != NULL && !in->creator)
		job->writers--;
	TAILQ_REMOVE(&in->conn->t->inputs, in, link);
	free(in);
}

void
inputs_conn_gone(struct tree_conn *c)
{
	struct tinput *in, *next;

	for (in = TAILQ_FIRST(&c->t->inputs); in != NULL; in = next) {
		next = TAILQ_NEXT(in, link);
		if (in->conn == c)
			drop(in);
	}
}

static void
room_ended(struct job_write *w, int error)
{
	struct tinput *in = w->arg;

	conn_notify(in->conn, "room",
	    json_pack("{s:I,s:i}", "h", (json_int_t)in->h, "errno", error));
}

void
input_open(struct tree_conn *c, struct job *job, int64_t h, bool creator)
{
	struct tinput *in = xcalloc(1, sizeof(*in));

	in->conn = c;
	in->h = h;
	in->number = job->number;
	in->creator = creator;
	in->room = (struct job_write){ .ended = room_ended, .arg = in };
	str_copy(in->id, job->sb->id, sizeof(in->id));
	if (!creator) {
		job->writers++;
		job->had_writer = true;
	}
	TAILQ_INSERT_TAIL(&c->t->inputs, in, link);
}

/*** Methods ***/

static int
check_open(
    const struct treq *r, const struct job *job, int64_t h, struct err *e)
{
	if (find(r->conn, h) != NULL)
		return err_setx(e, EEXIST, "handle %lld", (long long)h);
	if (job->state == JOB_ENDED)
		return err_setx(e, EPIPE, "job %d has ended", job->number);
	if (job->input < JOB_WRITERS)
		return err_setx(e, EPIPE,
		    "the input of job %d is /dev/null: jobs/new makes others",
		    job->number);
	if (job->input_ended)
		return err_setx(
		    e, EPIPE, "the input of job %d has ended", job->number);
	return 0;
}

void
tree_input_open(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "exec", W_OK);
	int64_t h = 0;
	bool creator = false;
	struct json_field fields[] = {
		{ "h", JSON_K_INT, true, &h },
		{ "creator", JSON_K_BOOL, false, &creator },
	};
	struct job *job;
	struct err e;

	if (sb == NULL || TREQ_TAKE(r, fields) < 0 ||
	    (job = treq_job(r, sb)) == NULL)
		return;
	if (check_open(r, job, h, &e) < 0) {
		treq_fail(r, &e);
		return;
	}
	input_open(r->conn, job, h, creator);
	treq_reply(r, json_object());
}

static void
wrote(struct job_write *w, int error)
{
	struct treq *r = w->arg;
	struct err e;

	if (w->done != 0 || error == 0) {
		treq_reply(r, json_pack("{s:I}", "len", (json_int_t)w->done));
		return;
	}
	err_setx(&e, error, "nobody reads the job's input any more");
	treq_fail(r, &e);
}

/* What there was no room for: it is told when there is. */
static void
wrote_some(struct treq *r, struct tinput *in, struct job *job)
{
	job_write_cancel(&r->write);
	if (in->room.job == NULL)
		job_write(job, &in->room);
	if (r->write.done != 0)
		treq_reply(
		    r, json_pack("{s:I}", "len", (json_int_t)r->write.done));
	else
		treq_fail_quietly(r, EAGAIN);
}

void
tree_input_write(struct treq *r)
{
	int64_t h = 0;
	bool nonblock = false;
	struct json_field fields[] = {
		{ "h", JSON_K_INT, true, &h },
		{ "nonblock", JSON_K_BOOL, false, &nonblock },
	};
	struct tinput *in;
	struct job *job;

	if (TREQ_TAKE(r, fields) < 0)
		return;
	if ((in = find(r->conn, h)) == NULL || in->creator) {
		treq_fail_code(r, EBADF, "no such handle");
		return;
	}
	str_copy(r->box, in->id, sizeof(r->box));
	if ((job = job_of(in)) == NULL) {
		treq_fail_code(r, EPIPE, "the job is forgotten");
		return;
	}
	r->write = (struct job_write){
		.p = buf_str(&r->bin), .n = r->bin.len, .ended = wrote, .arg = r
	};
	job_write(job, &r->write);
	if (nonblock && r->write.job != NULL)
		wrote_some(r, in, job);
}

void
tree_input_close(struct treq *r)
{
	int64_t h = 0;
	struct json_field fields[] = {
		{ "h", JSON_K_INT, true, &h },
	};
	struct tinput *in = NULL;
	struct job *job = NULL;
	bool creator = false;
	struct err e;

	if (JSON_TAKE(r->params, fields, &e) == 0)
		in = find(r->conn, h);
	if (in != NULL) {
		job = job_of(in);
		creator = in->creator;
		drop(in);
	}
	if (job != NULL && job->input == JOB_WRITERS && job->writers == 0 &&
	    !(creator && job->had_writer))
		(void)job_eof(job, &e); /* it may have ended already */
	treq_reply(r, NULL);
}
