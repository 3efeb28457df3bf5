/*
 * api_change.c - sandboxes: settings, start, stop and their like.
 */
#include <math.h>
#include <stdlib.h>

#include "daemon/api_impl.h"
#include "lib/mem.h"

/*** PATCH ***/

struct patch_body {
	const char *name;
	int64_t memory, storage, pids, ttl, idle, timeout;
	double cpu;
	const json_t *labels;
	int protect;
};

#define AT(m) offsetof(struct patch_body, m)
const struct api_field api_patch_fields[] = {
	{ "name", API_STRING, AT(name), "its new name", false },
	{ "memory", API_SIZE, AT(memory),
	    "limit, such as 512m; 0 is none, for root", false },
	{ "cpu", API_NUMBER, AT(cpu), "limit in cores; 0 is none", false },
	{ "storage", API_SIZE, AT(storage), "cannot change", false },
	{ "pids", API_INT, AT(pids), "limit of processes; 0 is none", false },
	{ "ttl", API_INT, AT(ttl), "seconds after its session, -1 for ever",
	    false },
	{ "idle", API_INT, AT(idle), "seconds to live unused, 0 for ever",
	    false },
	{ "timeout", API_INT, AT(timeout),
	    "seconds that one job may run, 0 any", false },
	{ "labels", API_MAP_NULL, AT(labels),
	    "are set, or removed by null; others stay", false },
	{ "protect", API_BOOL, AT(protect), "true: no destroying", false },
	{ .name = NULL },
};
#undef AT

#define UNSET INT64_MIN

static const char *
patch_check(const struct patch_body *b)
{
	if (b->ttl != UNSET && b->ttl < -1)
		return "ttl: must be -1 or more";
	if (b->idle != UNSET && b->idle < 0)
		return "idle: must not be negative";
	if (b->timeout != UNSET && b->timeout < 0)
		return "timeout: must not be negative";
	return NULL;
}

static int
patch_fields(struct sandbox *sb, const struct patch_body *b, struct err *e)
{
	int64_t max_ttl = sb->f->cfg->max_ttl_s;
	struct sandbox_plain p = sandbox_plain(sb);

	if (b->ttl != UNSET)
		p.ttl_s = max_ttl > 0 && b->ttl > max_ttl ? max_ttl : b->ttl;
	if (b->idle != UNSET)
		p.idle_s = b->idle;
	if (b->timeout != UNSET)
		p.timeout_s = b->timeout;
	if (b->protect >= 0)
		p.protect = b->protect != 0;
	return sandbox_set_plain(sb, &p, e);
}

struct patch_op {
	struct http_req *r;
	struct wait w;
};

static void
patch_free(void *arg)
{
	struct patch_op *op = arg;

	wait_cancel(&op->w);
	free(op);
}

static void
patched(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct patch_op *op = w->arg;

	if (e != NULL && sb->state != SB_ERROR)
		api_fail(op->r, e, "limits");
	else
		http_json(op->r, 200, api_sandbox_info(sb));
}

static void
patch(struct http_req *r, struct sandbox *sb, const struct patch_body *b)
{
	struct rt_limits l = { b->memory, -1, b->pids, b->storage };
	const char *wrong = patch_check(b);
	struct patch_op *op;
	struct caller c;
	struct err e;

	if (wrong != NULL) {
		http_error(r, 400, API_BAD_BODY ": %s", wrong);
		return;
	}
	if (!api_limits(r, b->cpu, &l) || !api_caller(r, &c))
		return;
	/* what may be refused is looked at before anything is changed */
	if ((b->name != NULL && sandbox_rename_check(sb, b->name, &e) != 0) ||
	    labels_check(sb->labels, b->labels, &e) != 0 ||
	    sandbox_set_limits(sb, &c, &l, &e) != 0 ||
	    (b->name != NULL && sandbox_rename(sb, b->name, &e) != 0) ||
	    sandbox_set_labels(sb, b->labels, &e) != 0 ||
	    patch_fields(sb, b, &e) != 0) {
		api_fail(r, &e, NULL);
		return;
	}
	op = xcalloc(1, sizeof(*op));
	op->r = r;
	op->w.done = patched;
	op->w.arg = op;
	http_set_user(r, op, patch_free);
	sandbox_wait(sb, &op->w);
}

void
api_patch(struct http_req *r)
{
	struct patch_body b = { .memory = -1,
		.storage = -1,
		.pids = -1,
		.ttl = UNSET,
		.idle = UNSET,
		.timeout = UNSET,
		.cpu = NAN,
		.protect = -1 };
	struct sandbox *sb = api_sandbox(r);
	json_t *j;

	if (sb == NULL)
		return;
	j = api_body(r, api_patch_fields, &b, false);
	if (j == NULL)
		return;
	patch(r, sb, &b);
	json_decref(j);
}

/*** start, stop, restart, pause, resume ***/

typedef int step(struct sandbox *sb, int64_t grace_ms, struct err *e);

struct verb_op {
	struct http_req *r;
	struct wait w;
	step *const *next; /* ends with NULL */
	int64_t grace_ms;
	const char *name;
};

static int
step_start(struct sandbox *sb, int64_t grace_ms, struct err *e)
{
	(void)grace_ms;
	return sandbox_start(sb, e);
}

static int
step_pause(struct sandbox *sb, int64_t grace_ms, struct err *e)
{
	(void)grace_ms;
	return sandbox_pause(sb, true, e);
}

static int
step_resume(struct sandbox *sb, int64_t grace_ms, struct err *e)
{
	(void)grace_ms;
	return sandbox_pause(sb, false, e);
}

static void
verb_free(void *arg)
{
	struct verb_op *op = arg;

	wait_cancel(&op->w);
	free(op);
}

static void
verb_next(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct verb_op *op = w->arg;
	step *const now = *op->next;
	struct err failed;

	if (e != NULL) {
		api_fail(op->r, e, op->name);
	} else if (now == NULL) {
		http_json(op->r, 200, api_sandbox_info(sb));
	} else if (now(sb, op->grace_ms, &failed) != 0) {
		api_fail(op->r, &failed, op->name);
	} else {
		op->next++;
		sandbox_wait(sb, &op->w);
	}
}

struct stop_body {
	double grace;
};

const struct api_field api_stop_fields[] = {
	{ "grace", API_NUMBER, offsetof(struct stop_body, grace),
	    "seconds between SIGTERM and SIGKILL, 0 at once", false },
	{ .name = NULL },
};

static void
verb(struct http_req *r, const char *name, step *const *steps, double grace)
{
	struct sandbox *sb = api_sandbox(r);
	struct verb_op *op;
	struct err e;

	if (sb == NULL)
		return;
	op = xcalloc(1, sizeof(*op));
	op->r = r;
	op->w.done = verb_next;
	op->w.arg = op;
	op->next = steps + 1;
	op->name = name;
	op->grace_ms = (int64_t)(grace * 1000);
	http_set_user(r, op, verb_free);
	if (steps[0](sb, op->grace_ms, &e) != 0)
		api_fail(r, &e, name);
	else
		sandbox_wait(sb, &op->w);
}

static void
verb_with_body(struct http_req *r, const char *name, step *const *steps)
{
	struct stop_body b = { .grace = 0 };
	json_t *j;

	if (api_sandbox(r) == NULL)
		return;
	j = api_body(r, api_stop_fields, &b, true);
	if (j == NULL)
		return;
	json_decref(j);
	if (b.grace < 0 || b.grace > 3600)
		http_error(r, 400,
		    API_BAD_BODY ": grace: must be from 0 to 3600 seconds");
	else
		verb(r, name, steps, b.grace);
}

void
api_verb_start(struct http_req *r)
{
	static step *const steps[] = { step_start, NULL };

	verb(r, "sandbox start failed", steps, 0);
}

void
api_verb_stop(struct http_req *r)
{
	static step *const steps[] = { sandbox_stop, NULL };

	verb_with_body(r, "sandbox stop failed", steps);
}

void
api_verb_restart(struct http_req *r)
{
	static step *const steps[] = { sandbox_stop, step_start, NULL };

	verb_with_body(r, "sandbox restart failed", steps);
}

void
api_verb_pause(struct http_req *r)
{
	static step *const steps[] = { step_pause, NULL };

	verb(r, "sandbox pause failed", steps, 0);
}

void
api_verb_resume(struct http_req *r)
{
	static step *const steps[] = { step_resume, NULL };

	verb(r, "sandbox resume failed", steps, 0);
}
