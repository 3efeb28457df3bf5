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
	json_decref(k->params);
	free(k->name);
	free(k->newname);
	buf_done(&k->text);
	rwalk_free(k->walk);
	free(k);
}

/* The connection was lost before the answer came: a sandbox that is stopped
 * or started has another agent, one that is paused has none. */
static bool
ask_again(struct rcall *k)
{
	if (k->params == NULL || k->req == NULL || k->tries++ >= TRIES_MAX ||
	    k->n->box->life != BOX_LIVE ||
	    strcmp(k->n->box->state, "paused") == 0 || rconn_reach(k->rc) != 0)
		return false;
	rcall_look(k, k->method);
	return true;
}

static void
answered(void *arg, const struct reply *r)
{
	const struct reply gone = { .error = -ENOENT };
	struct rcall *k = arg;
	uint64_t id = k->id;

	if (k->req != NULL)
		fuse_req_interrupt_func(k->req, NULL, NULL);
	not_interrupted(k);
	if (r->lost && ask_again(k))
		return;
	if (r->lost && k->n->box->life != BOX_LIVE)
		r = &gone;
	k->done(k, r);
	/* it may have gone on with another */
	if (k->id == id)
		rcall_free(k);
}

/*** Asking ***/

/* params is taken over. */
static struct rcall *
new_call(fuse_req_t req, struct node *n, rcall_done done, json_t *params)
{
	struct rconn *rc = NULL;
	struct rcall *k;
	int error = ENOENT;

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
	k = new_call(req, n, done, json_pack("{s:o}", "path", path));
	if (k != NULL && name != NULL)
		k->name = xstrdup(name);
	return k;
}

struct rcall *
rcall_file(fuse_req_t req, struct rfile *f, rcall_done done)
{
	json_t *params = rfile_params(f);

	/* Its connection was lost, and with it what was open. */
	if (params == NULL) {
		reply_err(req, EIO);
		return NULL;
	}
	return new_call(req, f->f.node, done, params);
}

struct rcall *
rcall_node(fuse_req_t req, struct node *n, rcall_done done)
{
	struct rfile *f = (struct rfile *)LIST_FIRST(&n->files);
	json_t *params = f != NULL ? rfile_params(f) : NULL;

	if (params != NULL)
		return new_call(req, n, done, params);
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
send_call(struct rcall *k, const struct request *rq)
{
	const struct reply dead = { .error = -EIO };

	k->changes = k->s->changes;
	k->id = client_call(k->rc->c, rq, answered, k);
	if (k->id == 0) {
		k->done(k, &dead);
		rcall_free(k);
	} else if (k->req != NULL) {
		fuse_req_interrupt_func(k->req, interrupted, k);
	}
}

void
rcall_send_bin(struct rcall *k, const char *method, const void *p, size_t n)
{
	const struct request rq = { .method = method,
		.params = steal_ptr(&k->params),
		.bin = p,
		.len = n };

	k->s->changes++;
	send_call(k, &rq);
}

void
rcall_send(struct rcall *k, const char *method)
{
	rcall_send_bin(k, method, NULL, 0);
}

void
rcall_look(struct rcall *k, const char *method)
{
	/* A handle is of this connection only. */
	bool again = json_object_get(k->params, "h") == NULL;
	const struct request rq = { .method = method,
		.params =
		    again ? json_incref(k->params) : steal_ptr(&k->params) };

	k->method = method;
	send_call(k, &rq);
}

void
rcall_again(
    struct rcall *k, const char *method, json_t *params, rcall_done done)
{
	const struct reply dead = { .error = -EIO };
	const struct request rq = { .method = method, .params = params };
	uint64_t id;

	json_decref(k->params); /* what was asked before is answered */
	k->params = NULL;
	k->done = done;
	id = client_call(k->rc->c, &rq, answered, k);
	if (id == 0) {
		done(k, &dead);
		return;
	}
	k->id = id;
	if (k->req != NULL)
		fuse_req_interrupt_func(k->req, interrupted, k);
}

void
rconn_notify(struct rconn *rc, const char *method, json_t *params)
{
	client_notify(rc->c, method, params);
}

void
rcall_err(struct rcall *k, const struct reply *r)
{
	if (k->req != NULL)
		reply_err(k->req, -r->error);
}
