/*
 * tree_req.c - requests of files.sock: who asks, which method, one answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tree_impl.h"
#include "lib/fd.h"
#include "lib/mem.h"

/* Under way on one connection; more are told to come again. */
#define REQS_MAX 8192
#define BAD_PARAMS (-32602)
/* Of a file's name that a client made up. */
#define ERROR_FILE_SHOWN 1024

static const struct tree_method methods[] = {
	{ "hello", tree_hello, "hello", false },
	{ "create", tree_create, "new", false },
	{ "destroy", tree_destroy, "", false },
	{ "rename", tree_rename, "", false },
	{ "setattr", tree_setattr, "", false },
	{ "trees", tree_trees, "fs", false },
	{ "hold", tree_hold, "new", true },
	{ "release", tree_release, "new", true },
	{ "read", tree_read, "", false },
	{ "write", tree_write, "", false },
	{ "truncate", tree_truncate, "", false },
	{ "pread", tree_pread, "", false },
	{ "watch", tree_watch, "", false },
	{ "unwatch", tree_unwatch, "", true },
	{ "job.start", tree_job_start, "exec", false },
	{ "job.signal", tree_job_signal, "exec", false },
	{ "job.follow", tree_follow, "exec", false },
	{ "job.unfollow", tree_unwatch, "exec", true },
	{ "job.more", tree_job_more, "exec", false },
	{ "job.open", tree_input_open, "stdin", false },
	{ "job.write", tree_input_write, "stdin", false },
	{ "job.close", tree_input_close, "stdin", true },
	{ "job.forget", tree_job_forget, "jobs", false },
	{ "jobs", tree_jobs, "jobs", false },
	{ "cancel", tree_cancel, "", true },
	{ "error", tree_error, "", true },
	{ "used", tree_used, "fs", true },
};

/*** Life ***/

struct treq *
treq_ref(struct treq *r)
{
	r->refs++;
	return r;
}

void
treq_unref(struct treq *r)
{
	if (--r->refs != 0)
		return;
	json_decref(r->params);
	buf_done(&r->bin);
	buf_done(&r->cmd);
	free(r);
}

/* No answer any more; the reference of whoever would have given it goes. */
static void
settle(struct treq *r)
{
	r->answered = true;
	if (r->conn != NULL) {
		TAILQ_REMOVE(&r->conn->reqs, r, link);
		r->conn->nreqs--;
	} else {
		TAILQ_REMOVE(&r->t->orphans, r, link);
	}
	r->conn = NULL;
	treq_unref(r);
}

void
treq_orphan(struct treq *r)
{
	if (r->verbs == NULL) {
		wait_cancel(&r->wait);
		job_write_cancel(&r->write);
		settle(r);
		return;
	}
	TAILQ_REMOVE(&r->conn->reqs, r, link);
	r->conn->nreqs--;
	r->conn = NULL;
	TAILQ_INSERT_HEAD(&r->t->orphans, r, link);
}

void
treq_free_all(struct tree_server *t)
{
	struct treq *r;

	while ((r = TAILQ_FIRST(&t->orphans)) != NULL) {
		verbs_free(r->verbs);
		r->verbs = NULL;
		settle(r);
	}
}

/*** Answers ***/

static void
answer(struct treq *r, const char *key, json_t *value, const int *fds, size_t n)
{
	json_t *msg = json_pack(
	    "{s:s,s:I,s:o}", "jsonrpc", "2.0", "id", r->id, key, value);

	if (n == 0) {
		conn_json(r->conn, msg);
		return;
	}
	json_object_set_new(msg, "fds", json_integer((json_int_t)n));
	conn_json_fds(r->conn, msg, fds, n);
}

void
treq_reply_fds(struct treq *r, json_t *result, int *fds, size_t n)
{
	if (r->conn != NULL && !r->m->quiet) {
		answer(r, "result", result, fds, n);
	} else {
		json_decref(result);
		fd_close_all(fds, n);
	}
	settle(r);
}

void
treq_reply(struct treq *r, json_t *result)
{
	treq_reply_fds(r, result, NULL, 0);
}

void
treq_reply_bin(struct treq *r, const void *p, size_t n, json_t *result)
{
	json_object_set_new(result, "binary", json_true());
	if (r->conn != NULL)
		conn_binary(r->conn, p, n);
	treq_reply(r, result);
}

static void
reply_error(struct treq *r, int code, const char *text)
{
	/* a sentence may quote bytes that are no text */
	json_t *message = json_string(text);

	if (message == NULL)
		message = json_string(strerror(-code));
	if (r->conn != NULL && !r->m->quiet)
		answer(r, "error",
		    json_pack("{s:i,s:o}", "code", code, "message", message),
		    NULL, 0);
	else
		json_decref(message);
	settle(r);
}

void
treq_shown(struct treq *r, struct buf *ret)
{
	const char *file =
	    json_string_value(json_object_get(r->params, "file"));
	const struct sandbox *sb = sandbox_by_id(r->t->f, r->box);
	json_int_t job = json_integer_value(json_object_get(r->params, "job"));

	if (file == NULL)
		file = r->m->file;
	if (r->box[0] != '\0')
		(void)buf_addf(ret, "%s%s",
		    sb != NULL && *sb->name != '\0' ? sb->name : r->box,
		    *file != '\0' ? "/" : "");
	if (job > 0 && strcmp(file, "exec") != 0)
		(void)buf_addf(ret, "jobs/%lld/", (long long)job);
	(void)buf_adds(ret, file);
}

void
treq_fail(struct treq *r, const struct err *e)
{
	cleanup_buf struct buf shown = BUF_INIT;
	struct errlog_what what = { .caller = &r->caller,
		.cmd = r->cmd.len != 0 ? r->cmd.data : NULL,
		.cmd_len = r->cmd.len };

	treq_shown(r, &shown);
	what.file = buf_str(&shown);
	errlog_add(r->t->errors, &what, e);
	reply_error(r, -e->code, e->text);
}

void
treq_fail_quietly(struct treq *r, int code)
{
	reply_error(r, -code, strerror(code));
}

void
treq_fail_code(struct treq *r, int code, const char *text)
{
	struct err e;

	err_setx(&e, code, "%s", text);
	treq_fail(r, &e);
}

/* What sbxfs refused by itself. */
void
tree_error(struct treq *r)
{
	const char *file = NULL, *text = NULL;
	struct json_field fields[] = {
		{ "file", JSON_K_STRING, true, &file },
		{ "text", JSON_K_STRING, true, &text },
	};
	struct errlog_what what = { .caller = &r->caller };
	char shown[ERROR_FILE_SHOWN];
	struct err e;

	if (JSON_TAKE(r->params, fields, &e) == 0) {
		(void)snprintf(shown, sizeof(shown), "%s", file);
		what.file = shown;
		err_setx(&e, EINVAL, "%s", text);
		errlog_add(r->t->errors, &what, &e);
	}
	treq_reply(r, NULL);
}

void
treq_end(struct treq *r, int ret, const struct err *e)
{
	if (ret < 0)
		treq_fail(r, e);
	else
		treq_reply(r, json_object());
}

int
treq_take(struct treq *r, const struct json_field *fields, size_t n)
{
	struct err e;

	if (json_take(r->params, fields, n, &e) == 0)
		return 0;
	reply_error(r, BAD_PARAMS, e.text);
	return -1;
}

/*** Cancelling ***/

/* soft: where nothing of it goes on then. */
static void
cancel(struct tree_conn *c, json_int_t id, bool soft)
{
	struct sandbox *sb;
	struct treq *r;
	struct err ignored;

	TAILQ_FOREACH (r, &c->reqs, link)
		if (r->id == id && !r->m->quiet)
			break;
	if (r == NULL)
		return;
	if (r->verbs != NULL) {
		verbs_cancel(r->verbs, soft);
		return;
	}
	wait_cancel(&r->wait);
	job_write_cancel(&r->write);
	if (r->write.done != 0) {
		treq_reply(
		    r, json_pack("{s:I}", "len", (json_int_t)r->write.done));
		return;
	}
	if (r->made[0] != '\0' &&
	    (sb = sandbox_by_id(r->t->f, r->made)) != NULL)
		(void)sandbox_destroy(sb, &ignored);
	reply_error(r, -EINTR, "interrupted");
}

void
tree_cancel(struct treq *r)
{
	struct tree_conn *c = r->conn;
	int64_t id = -1;
	bool soft = false;
	struct json_field fields[] = {
		{ "req", JSON_K_INT, true, &id },
		{ "soft", JSON_K_BOOL, false, &soft },
	};
	struct err e;

	if (JSON_TAKE(r->params, fields, &e) == 0)
		cancel(c, id, soft);
	settle(r);
}

/*** Who asks ***/

void
tree_caller(struct caller *c, uid_t uid, gid_t gid, pid_t pid)
{
	memset(c, 0, sizeof(*c));
	/* without root, whoever started us is root here */
	c->all = uid == 0 || uid == geteuid();
	c->uid = uid;
	c->gid = gid;
	c->pid = pid;
	snprintf(c->identity, sizeof(c->identity), "uid:%u", uid);
}

/* Root speaks for others, others for themselves. */
static int
find_caller(struct treq *r, struct err *e)
{
	const struct caller *peer = &r->conn->peer;
	int64_t uid = peer->uid, gid = peer->gid, pid = peer->pid;
	struct json_field fields[] = {
		{ "uid", JSON_K_INT, false, &uid },
		{ "gid", JSON_K_INT, false, &gid },
		{ "pid", JSON_K_INT, false, &pid },
	};

	r->caller = *peer;
	if (!r->conn->root && !r->conn->remote)
		return 0;
	if (JSON_TAKE(r->params, fields, e) < 0)
		return -1;
	if (pid < 0 || pid > INT32_MAX ||
	    (r->conn->root &&
		(uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)))
		return err_setx(e, EINVAL, "uid, gid, pid: out of range");
	if (r->conn->root)
		tree_caller(&r->caller, (uid_t)uid, (gid_t)gid, (pid_t)pid);
	else
		r->caller.pid = (pid_t)pid; /* for /sbx/errors */
	return 0;
}

/*** What it is about ***/

struct sandbox *
treq_box(struct treq *r)
{
	const char *id = NULL;
	struct json_field fields[] = {
		{ "id", JSON_K_STRING, true, &id },
	};
	struct sandbox *sb;

	if (TREQ_TAKE(r, fields) < 0)
		return NULL;
	str_copy(r->box, id, sizeof(r->box));
	if ((sb = sandbox_by_id(r->t->f, id)) != NULL)
		return sb;
	treq_fail_code(r, ESTALE, "the sandbox was destroyed");
	return NULL;
}

struct job *
treq_job(struct treq *r, struct sandbox *sb)
{
	int64_t number = 0;
	struct json_field fields[] = {
		{ "job", JSON_K_INT, false, &number },
	};
	struct job *job = NULL;
	struct err e;

	if (TREQ_TAKE(r, fields) < 0)
		return NULL;
	if (number >= 0 && number <= INT32_MAX)
		job = job_find(sb, (int)number);
	if (job == NULL) {
		if (number == 0)
			err_setx(&e, ESRCH, "there was no job yet");
		else
			err_setx(&e, ENOENT, "no job %lld", (long long)number);
		treq_fail(r, &e);
	}
	return job;
}

/*** Dispatch ***/

static const struct tree_method *
find_method(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

static void
take_binary(struct treq *r, struct tree_conn *c)
{
	if (!json_is_true(json_object_get(r->params, "binary")))
		return;
	r->bin = c->bin;
	c->bin = (struct buf)BUF_INIT;
	buf_limit(&c->bin, r->bin.max);
}

static void
start(struct tree_conn *c, const struct tree_method *m, json_t *id,
    json_t *params)
{
	struct treq *r = xcalloc(1, sizeof(*r));
	struct err e;

	r->t = c->t;
	r->conn = c;
	r->m = m;
	r->refs = 1;
	r->id = json_integer_value(id);
	r->params = json_incref(params);
	TAILQ_INSERT_HEAD(&c->reqs, r, link);
	c->nreqs++;
	take_binary(r, c);
	(void)treq_ref(r); /* methods may look at it after their answer */
	if (find_caller(r, &e) < 0)
		reply_error(r, BAD_PARAMS, e.text);
	else if (c->nreqs > REQS_MAX && !m->quiet)
		reply_error(r, -EAGAIN, "too many requests under way");
	else
		m->run(r);
	treq_unref(r);
}

static void
refuse(struct tree_conn *c, json_t *id, int code, const char *text)
{
	conn_json(c,
	    json_pack("{s:s,s:O,s:{s:i,s:s}}", "jsonrpc", "2.0", "id", id,
		"error", "code", code, "message", text));
}

void
tree_dispatch(struct tree_conn *c, json_t *msg)
{
	json_t *id = json_object_get(msg, "id");
	const char *name = json_string_value(json_object_get(msg, "method"));
	json_t *params = json_object_get(msg, "params");
	const struct tree_method *m = name != NULL ? find_method(name) : NULL;

	if (m != NULL && m->quiet) {
		if (json_is_object(params))
			start(c, m, NULL, params);
		return;
	}
	if (!json_is_integer(id))
		return; /* nobody waits for an answer */
	if (m == NULL)
		refuse(c, id, -32601, "unknown method");
	else if (!json_is_object(params))
		refuse(c, id, BAD_PARAMS, "params: expected object");
	else
		start(c, m, id, params);
}
