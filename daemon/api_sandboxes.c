/*
 * api_sandboxes.c - sandboxes: make, list, look at, destroy.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "daemon/api_impl.h"
#include "lib/mem.h"
#include "lib/size.h"

/*** POST /sandboxes ***/

struct create_body {
	const char *name, *profile, *template, *image, *network;
	int64_t memory, storage, pids, ttl, idle, timeout;
	double cpu;
	const json_t *labels, *env;
};

#define AT(m) offsetof(struct create_body, m)
const struct api_field api_create_fields[] = {
	{ "name", API_STRING, AT(name), "a name besides the id", false },
	{ "profile", API_STRING, AT(profile), "what it is made from", false },
	{ "template", API_STRING, AT(template), "id of a template", false },
	{ "image", API_STRING, AT(image), "instead of the profile's", false },
	{ "memory", API_SIZE, AT(memory),
	    "limit, such as 512m; 0 is none, for root", false },
	{ "cpu", API_NUMBER, AT(cpu), "limit in cores; 0 is none", false },
	{ "storage", API_SIZE, AT(storage), "size of its disk", false },
	{ "pids", API_INT, AT(pids), "limit of processes; 0 is none", false },
	{ "network", API_STRING, AT(network), "none", false },
	{ "ttl", API_INT, AT(ttl), "seconds to live after its session", false },
	{ "idle", API_INT, AT(idle), "seconds to live unused, 0 for ever",
	    false },
	{ "timeout", API_INT, AT(timeout),
	    "seconds that one job may run, 0 any", false },
	{ "labels", API_MAP, AT(labels), "at most 64", false },
	{ "env", API_MAP, AT(env), "environment of its processes", false },
	{ .name = NULL },
};
#undef AT

/* A limit in a header of who speaks for many: 0 is none, as is garbage. */
static int64_t
header_limit(const struct http_req *r, const char *name)
{
	const char *value = http_header(r, name);
	int64_t n;

	if (value == NULL || int_parse(value, 1, INT32_MAX, &n) != 0)
		return 0;
	return n;
}

static bool
quota_full(const struct http_req *r, const struct caller *c)
{
	int64_t max = header_limit(r, "x-sandbox-max-concurrent"), n = 0;
	const struct sandbox *sb;

	if (max == 0 || http_header(r, "x-sandbox-identity") == NULL)
		return false;
	TAILQ_FOREACH (sb, &api_front(r)->sandboxes, link)
		n += strcmp(sb->owner, c->identity) == 0;
	return n >= max;
}

struct create_op {
	struct http_req *r;
	struct wait w;
	int64_t ttl; /* negative: shown in this answer alone */
};

static void
op_free(void *arg)
{
	struct create_op *op = arg;

	wait_cancel(&op->w);
	free(op);
}

static void
created(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct create_op *op = w->arg;
	json_t *j;

	if (e != NULL) {
		/* ESTALE: another client destroys it, and nothing failed */
		http_error(op->r, e->code == ESTALE ? 409 : 500,
		    "sandbox creation failed: %s", e->text);
		return;
	}
	j = api_sandbox_info(sb);
	if (op->ttl < 0)
		(void)json_object_set_new(j, "ttl", json_integer(op->ttl));
	http_json(op->r, 201, j);
}

static const char *
or_null(const char *s)
{
	return s != NULL && s[0] != '\0' ? s : NULL;
}

/* From what was asked to what the front understands. False: answered. */
static bool
fill_args(
    struct http_req *r, const struct create_body *b, struct create_args *a)
{
	int64_t max_ttl = header_limit(r, "x-sandbox-max-ttl");

	create_args_init(a);
	a->http = true;
	a->name = b->name;
	a->profile = or_null(b->profile);
	a->image = or_null(b->image);
	a->network = or_null(b->network);
	a->labels = b->labels;
	a->env = b->env;
	a->timeout_s = b->timeout;
	a->idle_s = b->idle;
	a->ttl_s = b->ttl > 0 ? b->ttl : 0;
	if (max_ttl > 0 && a->ttl_s > max_ttl)
		a->ttl_s = max_ttl;
	a->limits.memory_bytes = b->memory;
	a->limits.storage_bytes = b->storage;
	a->limits.pids = b->pids;
	if (or_null(b->template) != NULL) {
		http_error(r, 404, "template not found");
		return false;
	}
	if (b->timeout < -1 || b->idle < -1) {
		http_error(r, 400, API_BAD_BODY ": %s: must not be negative",
		    b->timeout < -1 ? "timeout" : "idle");
		return false;
	}
	return api_limits(r, b->cpu, &a->limits);
}

static void
create(struct http_req *r, const struct caller *c, const struct create_body *b)
{
	struct create_args args;
	struct create_op *op;
	struct sandbox *sb;
	struct err e;

	if (!fill_args(r, b, &args))
		return;
	if (quota_full(r, c)) {
		http_add_header(r, "Retry-After", "2");
		http_error(r, 429, "identity sandbox quota exceeded");
		return;
	}
	if (sandbox_create(api_front(r), c, &args, &sb, &e) != 0) {
		api_fail(r, &e, "sandbox creation failed");
		return;
	}
	op = xcalloc(1, sizeof(*op));
	op->r = r;
	op->ttl = b->ttl;
	op->w.done = created;
	op->w.arg = op;
	http_set_user(r, op, op_free);
	sandbox_wait(sb, &op->w);
}

void
api_create(struct http_req *r)
{
	struct create_body b = { .memory = -1,
		.storage = -1,
		.pids = -1,
		.idle = -1,
		.timeout = -1,
		.cpu = NAN };
	struct caller c;
	json_t *j;

	if (!api_caller(r, &c))
		return;
	j = api_body(r, api_create_fields, &b, false);
	if (j == NULL)
		return;
	create(r, &c, &b);
	json_decref(j);
}

/*** GET, DELETE ***/

/* label=key:value, all of them; an empty value fits a missing label too. */
static bool
labels_fit(struct http_req *r, const struct sandbox *sb)
{
	const char *label;
	size_t at = 0;

	while ((label = http_query_next(r, "label", &at)) != NULL) {
		const char *colon = strchr(label, ':');
		cleanup_free char *key = NULL;
		const char *has;

		if (colon == NULL)
			continue;
		key = xstrndup(label, (size_t)(colon - label));
		has = json_string_value(json_object_get(sb->labels, key));
		if (strcmp(has != NULL ? has : "", colon + 1) != 0)
			return false;
	}
	return true;
}

void
api_list(struct http_req *r)
{
	const struct front *f = api_front(r);
	const struct sandbox *sb;
	struct caller c;
	json_t *list;

	if (!api_caller(r, &c))
		return;
	list = json_array();
	TAILQ_FOREACH (sb, &f->sandboxes, link)
		if (caller_owns(&c, sb) && labels_fit(r, sb))
			(void)json_array_append_new(list, api_sandbox_info(sb));
	http_json(r, 200, list);
}

void
api_get(struct http_req *r)
{
	const struct sandbox *sb = api_sandbox(r);

	if (sb != NULL)
		http_json(r, 200, api_sandbox_info(sb));
}

void
api_delete(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	struct err e;

	if (sb == NULL)
		return;
	if (sandbox_destroy(sb, &e) != 0)
		api_fail(r, &e, "sandbox destroy failed");
	else
		api_gone(r);
}
