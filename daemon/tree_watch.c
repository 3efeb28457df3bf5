/*
 * tree_watch.c - what clients want to hear of: logs that grow, jobs that end.
 * What happened is sent once before the loop waits, however often it did.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/events.h"
#include "daemon/tree_impl.h"
#include "daemon/tree_more.h"
#include "daemon/values.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define TEXT_MAX 4096
/* What is held for who asks over a network, before the job waits for it. */
#define HELD_MAX (1u << 20)

struct thandle {
	TAILQ_ENTRY(thandle) link; /* of the server */
	struct tree_conn *conn;
	int64_t h;
	enum watch_kind kind;
	struct caller caller;
	char id[RT_ID_MAX];
	enum job_stream stream;
	struct follower fo;
	struct job *job;   /* until it has ended */
	bool owes_file;	   /* the output is given when there is any */
	json_t *output;	   /* or, where it is short, with the end */
	struct more *more; /* NULL: all was kept so far */
	/* the same over a network, where it is asked for */
	bool told_more;
	struct buf held;
	struct treq *asker; /* a reference; NULL: nobody waits */
	uint64_t size, told;
	bool ended;
	int code;
	char secs[32];
};

static struct thandle *
handle_new(struct treq *r, enum watch_kind kind)
{
	struct thandle *h = xcalloc(1, sizeof(*h));

	h->conn = r->conn;
	h->h = r->t->next_handle++;
	h->kind = kind;
	h->caller = r->caller;
	h->stream = JOB_BOTH;
	str_copy(h->id, r->box, sizeof(h->id));
	TAILQ_INSERT_TAIL(&r->t->watched, h, link);
	return h;
}

/* Answers who waits with what is there; at the end with nothing. */
static void
give_held(struct thandle *h)
{
	struct treq *r = h->asker;
	size_t n = h->held.len < HELD_MAX ? h->held.len : HELD_MAX;

	if (r == NULL || (n == 0 && !h->ended))
		return;
	h->asker = NULL;
	if (!r->answered) {
		treq_reply_bin(r, buf_str(&h->held), n, json_object());
		buf_consume(&h->held, n);
	}
	treq_unref(r);
}

static void
handle_free(struct thandle *h)
{
	h->ended = true;
	give_held(h);
	TAILQ_REMOVE(&h->conn->t->watched, h, link);
	if (h->fo.job != NULL)
		job_unfollow(&h->fo);
	more_free(h->more);
	buf_done(&h->held);
	json_decref(h->output);
	free(h);
}

void
watch_conn_gone(struct tree_conn *c)
{
	struct thandle *h, *next;

	for (h = TAILQ_FIRST(&c->t->watched); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->conn == c)
			handle_free(h);
	}
}

/*** Jobs ***/

/*
 * A session's command mostly says little and ends soon: no file is made of
 * that. Where none can be had, its reader finds less than it was told.
 */
static void
give_file(struct thandle *h)
{
	int fd = h->owes_file ? job_open(h->job) : -1;

	if (fd < 0)
		return;
	h->owes_file = false;
	conn_notify_fd(
	    h->conn, "file", json_pack("{s:I}", "h", (json_int_t)h->h), fd);
}

/* Text, as JSON has no other. */
static void
give_text(struct thandle *h)
{
	char text[TEXT_MAX];
	ssize_t n = -1;

	if (h->owes_file && h->size <= sizeof(text))
		n = job_read(h->job, JOB_BOTH, 0, text, sizeof(text));
	if (n >= 0 && (uint64_t)n == h->size)
		h->output = json_stringn(text, (size_t)n);
	if (h->output == NULL)
		give_file(h);
}

static void
job_grew(struct follower *fo)
{
	struct thandle *h = fo->arg;

	if (!job_is_short(h->job))
		give_file(h);
	h->size = h->job->size[h->stream];
}

static void
more_moved(void *arg)
{
	struct thandle *h = arg;

	if (h->fo.full && !more_full(h->more))
		follower_resume(&h->fo);
}

static void
job_more(struct follower *fo, const void *p, size_t n)
{
	struct thandle *h = fo->arg;
	int reader;

	give_file(h);
	if (h->more == NULL) {
		h->more = more_new(h->conn->t->f->loop, more_moved, h, &reader);
		if (h->more == NULL) {
			fo->more = NULL;
			return;
		}
		conn_notify_fd(h->conn, "more",
		    json_pack("{s:I,s:I}", "h", (json_int_t)h->h, "at",
			(json_int_t)h->job->cut),
		    reader);
	}
	more_add(h->more, p, n);
	fo->full = more_full(h->more);
}

static void
job_held(struct follower *fo, const void *p, size_t n)
{
	struct thandle *h = fo->arg;

	if (!h->told_more)
		conn_notify(h->conn, "more",
		    json_pack("{s:I,s:I}", "h", (json_int_t)h->h, "at",
			(json_int_t)h->job->cut));
	h->told_more = true;
	/* a turn of the loop, and what is drained at a job's end */
	buf_limit(&h->held, SIZE_MAX / 2);
	(void)buf_add(&h->held, p, n);
	give_held(h);
	fo->full = h->held.len >= HELD_MAX;
}

static size_t
job_pass(struct follower *fo, int fd)
{
	struct thandle *h = fo->arg;
	size_t n = h->more != NULL ? more_pass(h->more, fd) : 0;

	fo->full = more_full(h->more);
	return n;
}

static void
job_ended(struct follower *fo)
{
	struct thandle *h = fo->arg;

	h->size = h->job->size[h->stream];
	h->code = job_exit_status(h->job);
	value_job_secs(h->secs, h->job);
	give_text(h);
	h->ended = true;
	h->job = NULL;
}

static void
follow(struct thandle *h, struct job *job)
{
	h->fo.grew = job_grew;
	h->fo.ended = job_ended;
	h->fo.arg = h;
	h->job = job;
	h->size = h->told = job->size[h->stream];
	job_follow(job, &h->fo);
}

static json_t *
follow_result(const struct thandle *h, const struct job *job)
{
	return json_pack("{s:I,s:i,s:I,s:b,s:i,s:s}", "h",
	    (json_int_t)(h->ended ? -1 : h->h), "job", job->number, "size",
	    (json_int_t)h->size, "ended", (int)h->ended, "code", h->code,
	    "secs", h->secs);
}

static void
wants_all(struct thandle *h)
{
	bool remote = h->conn->remote;

	h->fo.more = remote ? job_held : job_more;
	h->fo.pass = remote ? NULL : job_pass;
}

/* Answers r: from now on its client follows the job. */
static void
answer_follow(struct treq *r, struct job *job, bool data, bool more)
{
	struct thandle *h;
	json_t *result;
	struct err e;
	/* over a network the output is read by pread */
	bool file = data && !r->conn->remote;
	int fd = -1;

	if (file && (fd = job_open(job)) < 0) {
		err_set(&e, -fd, "the output of job %d", job->number);
		treq_fail(r, &e);
		return;
	}
	h = handle_new(r, FOLLOW_JOB);
	/* who comes late has missed some already: the mark says so */
	if (data && (!job->truncated || more))
		wants_all(h);
	follow(h, job);
	result = follow_result(h, job);
	if (h->ended)
		handle_free(h);
	treq_reply_fds(r, result, &fd, file ? 1 : 0);
}

void
treq_follow_new(struct treq *r, struct job *job)
{
	struct thandle *h;

	if (job->state == JOB_ENDED) { /* it could not even be begun */
		answer_follow(r, job, true, false);
		return;
	}
	h = handle_new(r, FOLLOW_JOB);
	/* over a network the output is read by pread */
	h->owes_file = !r->conn->remote;
	wants_all(h);
	follow(h, job);
	treq_reply(r, follow_result(h, job));
}

/* What is asked was checked. */
static void
follow_asked(struct treq *r, struct sandbox *sb)
{
	json_t *data = json_object_get(r->params, "data");
	struct job *job;

	if (json_integer_value(json_object_get(r->params, "job")) == 0 &&
	    job_find(sb, 0) == NULL)
		treq_reply(r, json_pack("{s:i}", "job", 0));
	else if ((job = treq_job(r, sb)) != NULL)
		answer_follow(r, job, json_is_true(data),
		    json_is_true(json_object_get(r->params, "more")));
}

static void
made(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct treq *r = w->arg;

	if (e != NULL)
		treq_fail(r, e);
	else
		follow_asked(r, sb);
}

void
tree_follow(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "exec", R_OK);
	int64_t number = 0;
	bool data = false, more = false;
	struct json_field fields[] = {
		{ "job", JSON_K_INT, true, &number },
		{ "data", JSON_K_BOOL, false, &data },
		{ "more", JSON_K_BOOL, false, &more },
	};

	if (sb == NULL || TREQ_TAKE(r, fields) < 0)
		return;
	if (data && sb->state == SB_CREATING && !TAILQ_EMPTY(&sb->jobs)) {
		/* Output is kept where the broker has yet to make a place. */
		r->wait = (struct wait){ .done = made, .arg = r };
		sandbox_wait(sb, &r->wait);
	} else {
		follow_asked(r, sb);
	}
}

/*** Logs ***/

static const struct {
	const char *name;
	enum watch_kind kind;
	enum job_stream stream;
} files[] = {
	{ "events", WATCH_EVENTS, JOB_BOTH },
	{ "errors", WATCH_ERRORS, JOB_BOTH },
	{ "log", WATCH_LOG, JOB_BOTH },
	{ "stdout", WATCH_JOB, JOB_STDOUT },
	{ "stderr", WATCH_JOB, JOB_STDERR },
	{ "output", WATCH_JOB, JOB_BOTH },
};

#define NFILES (sizeof(files) / sizeof(files[0]))

/* How long it is now; the last size known where it is gone. */
static uint64_t
size_now(struct tree_server *t, const struct thandle *h)
{
	struct sandbox *sb;

	switch (h->kind) {
	case WATCH_EVENTS:
		return events_size(t->f, &h->caller);
	case WATCH_ERRORS:
		return errlog_size(t->errors, &h->caller);
	case WATCH_LOG:
		sb = sandbox_by_id(t->f, h->id);
		return sb != NULL ? sandbox_log_size(sb) : h->size;
	case WATCH_JOB:
	case FOLLOW_JOB:
		break;
	}
	return h->size;
}

static void
start_watch(struct treq *r, size_t i, struct job *job)
{
	struct thandle *h = handle_new(r, files[i].kind);

	h->stream = files[i].stream;
	if (job != NULL)
		follow(h, job);
	h->size = h->told = size_now(r->t, h);
	treq_reply(r,
	    json_pack("{s:I,s:I}", "h", (json_int_t)h->h, "size",
		(json_int_t)h->size));
}

void
tree_watch(struct treq *r)
{
	const char *file = NULL;
	struct json_field fields[] = {
		{ "file", JSON_K_STRING, true, &file },
	};
	struct sandbox *sb = NULL;
	struct job *job = NULL;
	size_t i;

	if (TREQ_TAKE(r, fields) < 0)
		return;
	for (i = 0; i < NFILES && strcmp(files[i].name, file) != 0; i++)
		continue;
	if (i == NFILES) {
		treq_fail_code(r, ENOENT, "no such log");
		return;
	}
	if (files[i].kind == WATCH_LOG && treq_box_file(r, file, R_OK) == NULL)
		return;
	if (files[i].kind == WATCH_JOB &&
	    (job = treq_job_file(r, file, R_OK, &sb)) == NULL)
		return;
	start_watch(r, i, job);
}

/* By {"h"} of the client's own; NULL: there is none. */
static struct thandle *
take_handle(struct treq *r)
{
	int64_t number = -1;
	struct json_field fields[] = {
		{ "h", JSON_K_INT, true, &number },
	};
	struct thandle *h = NULL;
	struct err e;

	if (JSON_TAKE(r->params, fields, &e) == 0)
		TAILQ_FOREACH (h, &r->t->watched, link)
			if (h->h == number && h->conn == r->conn)
				break;
	return h;
}

void
tree_unwatch(struct treq *r)
{
	struct thandle *h = take_handle(r);

	if (h != NULL)
		handle_free(h);
	treq_reply(r, NULL);
}

void
tree_job_more(struct treq *r)
{
	struct thandle *h = take_handle(r);

	if (h == NULL) { /* it ended, and that is under way */
		treq_reply_bin(r, "", 0, json_object());
		return;
	}
	if (!h->told_more || h->asker != NULL) {
		treq_fail_code(r, EINVAL,
		    h->asker != NULL ? "it was asked for already"
				     : "all is kept so far");
		return;
	}
	h->asker = treq_ref(r);
	give_held(h);
	if (h->fo.full && h->held.len < HELD_MAX)
		follower_resume(&h->fo);
}

/*** Telling ***/

static void
send_grew(struct thandle *h)
{
	uint64_t now = h->size + more_written(h->more);

	if (now == h->told)
		return;
	h->told = now;
	conn_notify(h->conn, "grew",
	    json_pack("{s:I,s:I}", "h", (json_int_t)h->h, "size",
		(json_int_t)h->size));
}

static void
send_ended(struct thandle *h)
{
	/* first: then what is read is followed by its end */
	give_held(h);
	more_free(h->more);
	h->more = NULL;
	conn_notify(h->conn, "ended",
	    json_pack("{s:I,s:I,s:i,s:s,s:O*}", "h", (json_int_t)h->h, "size",
		(json_int_t)h->size, "code", h->code, "secs", h->secs, "output",
		h->output));
	handle_free(h);
}

void
watch_send(struct tree_server *t)
{
	struct thandle *h, *next;

	for (h = TAILQ_FIRST(&t->watched); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->kind < WATCH_FILES && t->grew[h->kind])
			h->size = size_now(t, h);
		if (h->kind == FOLLOW_JOB && h->ended && !more_full(h->more) &&
		    h->held.len == 0)
			send_ended(h);
		else
			send_grew(h);
	}
	memset(t->grew, 0, sizeof(t->grew));
}
