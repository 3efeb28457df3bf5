/*
 * Calls to agents on behalf of requests: each ends with its done, once,
 * whatever becomes of the connection, the sandbox or who waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/remote_impl.h"
#include "sbxfs/signals.h"

/* A stop and a start are a few changes of state, and each has its agent. */
#define TRIES_MAX 8

/*** Interrupts: as of any file, nothing short of the end of who waits ***/

static void
not_interrupted(struct rcall *k)
{
	if (k->interrupted)
		TAILQ_REMOVE(&k->s->rinterrupted, k, interrupts);
	k->interrupted = false;
}

/* The answer is done's all the same, with nobody to be told. */
static void
let_go(struct rcall *k)
{
	fuse_req_t req = k->req;

	if (signals_of(fuse_req_ctx(req)->pid) != SIGNALS_END)
		return;
	not_interrupted(k);
	k->req = NULL;
	reply_err(req, EINTR);
}

static void
interrupted(fuse_req_t req, void *arg)
{
	struct rcall *k = arg;

	(void)req;
	if (!k->interrupted)
		TAILQ_INSERT_TAIL(&k->s->rinterrupted, k, interrupts);
	k->interrupted = true;
	let_go(k);
}

bool
remote_look(struct sbxfs *s)
{
	struct rcall *k, *next;

	for (k = TAILQ_FIRST(&s->rinterrupted); k != NULL; k = next) {
		next = TAILQ_NEXT(k, interrupts);
		let_go(k);
	}
	return !TAILQ_EMPTY(&s->rinterrupted);
}

/*** Answers ***/

void
rcall_free(struct rcall *k)
{
	struct sbxfs *s = k->s;

	if (k->n != NULL)
		node_unref(&s->nodes, k->n);
	if (k->to != NULL)
		node_unref(&s->nodes, k->to);
	if (k->file != NULL)
		rfile_unref(s, k->file);
	json_decref(k->params);
	free(k->name);
	free(k->newname);
	buf_done(&k->text);
	rwalk_free(k->walk);
	free(k);
}

static void answered(void *arg, const struct reply *r);

/* Sends k, or what opens its file first: 0 or -errno. */
static int
send_call(struct rcall *k)
{
	struct request rq = {
		.method = k->method, .bin = k->bin, .len = k->bin_len
	};
	int error = 0;
	uint64_t id;

	k->opens = k->file != NULL && !rfile_is_open(k->file);
	if (k->opens) {
		rq = (struct request){ .method = "sbx.fs.open",
			.params = rfile_again(k->file, &error) };
		if (rq.params == NULL)
			return -error;
		/* A place in a list is of the handle that was lost. */
		(void)json_object_del(k->params, "after");
	} else {
		if (k->file != NULL)
			rcall_int(k, "h", k->file->h);
		rq.params =
		    k->once ? steal_ptr(&k->params) : json_incref(k->params);
	}
	k->changes = k->s->changes;
	if ((id = client_call(k->rc->c, &rq, answered, k)) == 0)
		return -EIO;
	k->id = id;
	if (k->req != NULL)
		fuse_req_interrupt_func(k->req, interrupted, k);
	return 0;
}

/* What is not there any more. */
static int
gone(const struct rfile *f)
{
	return f != NULL ? ESTALE : ENOENT;
}

/* The connection was lost before the answer came: a sandbox that is stopped
 * or started has another agent, one that is paused has none. */
static int
ask_again(struct rcall *k)
{
	if (k->n->box->life != BOX_LIVE)
		return -gone(k->file);
	if (k->params == NULL || k->req == NULL || k->tries++ >= TRIES_MAX ||
	    strcmp(k->n->box->state, "paused") == 0 || rconn_reach(k->rc) != 0)
		return -EIO;
	return send_call(k);
}

/* Its file is open again. */
static int
go_on(struct rcall *k, const struct reply *r)
{
	int error = rfile_reopened(k, r);

	if (error == 0 && k->req == NULL)
		error = -EINTR;
	return error == 0 ? send_call(k) : error;
}

static void
answered(void *arg, const struct reply *r)
{
	struct reply failed = { 0 };
	struct rcall *k = arg;
	uint64_t id = k->id;

	if (k->req != NULL)
		fuse_req_interrupt_func(k->req, NULL, NULL);
	not_interrupted(k);
	if (r->lost || k->opens) {
		failed.error = r->lost ? ask_again(k) : go_on(k, r);
		if (failed.error == 0)
			return;
		r = &failed;
	}
	k->done(k, r);
	/* it may have gone on with another */
	if (k->id == id)
		rcall_free(k);
}

/*** Asking ***/

/* About f, or what params say, which is taken over. */
static struct rcall *
new_call(fuse_req_t req, struct node *n, struct rfile *f, rcall_done done,
    json_t *params)
{
	struct rconn *rc = NULL;
	struct rcall *k;
	int error = gone(f);

	if (n->box->life == BOX_LIVE) {
		rc = rconn_of(req_fs(req), n->box);
		error = rconn_reach(rc);
	}
	if (error != 0) {
		json_decref(params);
		reply_err(req, error);
		return NULL;
	}
	k = xcalloc(1, sizeof(*k));
	k->s = req_fs(req);
	k->rc = rc;
	k->req = req;
	k->file = f != NULL ? rfile_ref(f) : NULL;
	k->done = done;
	k->params = params;
	k->n = node_ref(n);
	return k;
}

struct rcall *
rcall_path(fuse_req_t req, struct node *n, const char *name, rcall_done done)
{
	struct rcall *k;
	json_t *path;
	int error;

	if ((path = rpath(n, name, &error)) == NULL) {
		reply_err(req, error);
		return NULL;
	}
	k = new_call(req, n, NULL, done, json_pack("{s:o}", "path", path));
	if (k != NULL && name != NULL)
		k->name = xstrdup(name);
	return k;
}

struct rcall *
rcall_file(fuse_req_t req, struct rfile *f, rcall_done done)
{
	return new_call(req, f->f.node, f, done, json_object());
}

struct rcall *
rcall_node(fuse_req_t req, struct node *n, rcall_done done)
{
	struct rfile *f = (struct rfile *)LIST_FIRST(&n->files);

	/* A directory is the one that has its name. */
	if (f != NULL && (n->type == S_IFREG || rfile_is_open(f)))
		return rcall_file(req, f, done);
	return rcall_path(req, n, NULL, done);
}

void
rcall_put(struct rcall *k, const char *key, json_t *value)
{
	(void)json_object_set_new(k->params, key, value);
}

void
rcall_int(struct rcall *k, const char *key, int64_t value)
{
	rcall_put(k, key, json_integer(value));
}

static void
fail(struct rcall *k, int error)
{
	const struct reply failed = { .error = error };

	k->done(k, &failed);
	rcall_free(k);
}

void
rcall_look(struct rcall *k, const char *method)
{
	int r;

	k->method = method;
	if ((r = send_call(k)) < 0)
		fail(k, r);
}

void
rcall_send_bin(struct rcall *k, const char *method, const void *p, size_t n)
{
	int r;

	k->s->changes++;
	k->once = true;
	k->bin = p;
	k->bin_len = n;
	/* Until we return it is the kernel's. */
	if (p != NULL && k->file != NULL && !rfile_is_open(k->file)) {
		if ((r = buf_add(&k->text, p, n)) < 0) {
			fail(k, r);
			return;
		}
		k->bin = buf_str(&k->text);
	}
	rcall_look(k, method);
}

void
rcall_send(struct rcall *k, const char *method)
{
	rcall_send_bin(k, method, NULL, 0);
}

void
rcall_again(
    struct rcall *k, const char *method, json_t *params, rcall_done done)
{
	struct reply failed = { 0 };

	json_decref(k->params); /* what was asked before is answered */
	k->params = params;
	k->method = method;
	k->done = done;
	if ((failed.error = send_call(k)) != 0)
		done(k, &failed);
}

void
rconn_close(struct rconn *rc, int64_t h)
{
	client_notify(
	    rc->c, "sbx.fs.close", json_pack("{s:I}", "h", (json_int_t)h));
}

void
rcall_err(struct rcall *k, const struct reply *r)
{
	if (k->req != NULL)
		reply_err(k->req, -r->error);
}
