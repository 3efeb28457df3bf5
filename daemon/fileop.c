#include "daemon/fileop.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api_impl.h"
#include "lib/clock.h"
#include "lib/mem.h"

#define CALL_MS 30000

/*** Failures ***/

static const struct {
	int code, status;
	const char *text; /* NULL: errno's */
} failures[] = {
	{ ENOENT, 404, "no such file or directory" },
	{ ENOTDIR, 404, "a part of the path is not a directory" },
	{ ESTALE, 404, "sandbox not found" },
	{ EPERM, 403, "not allowed there" },
	{ EACCES, 403, "permission denied" },
	{ EROFS, 403, "read-only there" },
	{ ENXIO, 403, "not a regular file" },
	{ EINVAL, 400, NULL },
	{ EXDEV, 400, "the path leads out of the sandbox" },
	{ ENAMETOOLONG, 400, "name too long" },
	{ ELOOP, 400, "too many symbolic links" },
	{ EISDIR, 409, "is a directory" },
	{ EBUSY, 409, "in use" },
	{ ENOTEMPTY, 409, "something was added to it meanwhile" },
	{ EHOSTDOWN, 409, NULL },
	{ ENOSPC, 507, "no space left in the sandbox" },
	{ EDQUOT, 507, "no space left in the sandbox" },
	{ EFBIG, 507, "file too large" },
	{ EMFILE, 503, "too many open files" },
	{ EAGAIN, 503, "try again" },
	{ ETIMEDOUT, 504, "the sandbox does not answer" },
};

void
fileop_fail(struct fileop *op, int code, const char *text)
{
	int status = 502;

	if (op->over)
		return;
	op->over = true;
	if (op->begun) {
		http_abort(op->r);
		return;
	}
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		if (failures[i].code != code)
			continue;
		status = failures[i].status;
		if (failures[i].text != NULL)
			text = failures[i].text;
	}
	if (code == EHOSTDOWN || code == ESTALE)
		http_error(op->r, status, "%s", text);
	else
		http_error(op->r, status, "/%s: %s", http_var(op->r, 1), text);
}

bool
fileop_failed(struct fileop *op, const struct err *e)
{
	if (!op->over && e != NULL)
		fileop_fail(op, e->code, e->text);
	return op->over;
}

bool
fileop_int(struct fileop *op, const json_t *o, const char *key, json_int_t min,
    json_int_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < min) {
		fileop_fail(op, EPROTO, "the agent's answer is wrong");
		return false;
	}
	*ret = json_integer_value(v);
	return true;
}

/*** Calls ***/

json_t *
fileop_name(const char *p, size_t n)
{
	json_t *text, *coded;

	api_text(p, n, &text, &coded);
	if (coded == NULL)
		return text;
	json_decref(text);
	return json_pack("{s:o}", "base64", coded);
}

json_t *
fileop_path(const struct fileop *op)
{
	const char *path = http_var(op->r, 1);

	return fileop_name(path, strlen(path));
}

/* A long transfer is use as well. */
static void
touch(const struct fileop *op)
{
	struct sandbox *sb = sandbox_by_id(api_front(op->r), op->id);

	if (sb != NULL)
		sb->active_ms = clock_real_ms();
}

void
fileop_call(
    struct fileop *op, const char *method, json_t *params, agent_done *done)
{
	char name[32];

	touch(op);
	(void)snprintf(name, sizeof(name), "sbx.fs.%s", method);
	agentc_call(op->agent,
	    &(struct agent_call){ .method = name,
		.params = params,
		.timeout_ms =
		    strcmp(method, "remove") == 0 ? FILEOP_REMOVE_MS : CALL_MS,
		.done = done,
		.arg = op });
}

void
fileop_write(struct fileop *op, json_t *params, const void *p, size_t n,
    agent_done *done)
{
	touch(op);
	agentc_call(op->agent,
	    &(struct agent_call){ .method = "sbx.fs.write",
		.params = params,
		.bin = p,
		.bin_len = n,
		.timeout_ms = CALL_MS,
		.done = done,
		.arg = op });
}

static void
agent_lost(void *arg, const struct err *e)
{
	(void)fileop_failed(arg, e);
}

static const struct agentc_ops agent_ops = { .lost = agent_lost };

/*** Connecting ***/

static void
reached(struct reach *h, const char *path, const struct err *why)
{
	struct fileop *op =
	    (struct fileop *)((char *)h - offsetof(struct fileop, reach));
	struct err e;

	if (op->over)
		return;
	if (path == NULL) {
		fileop_fail(op, why->code, why->text);
		return;
	}
	op->agent = agentc_new(h->f->loop, path, &agent_ops, op, &e);
	if (op->agent == NULL)
		fileop_fail(op, EHOSTDOWN, e.text);
	else
		op->begin(op);
}

/*** Life ***/

static void
fileop_free(void *arg)
{
	struct fileop *op = arg;

	op->over = true;
	touch(op);
	reach_cancel(&op->reach);
	agentc_free(op->agent);
	if (op->own_free != NULL)
		op->own_free(op->own);
	free(op);
}

/* /proc, /dev and /sys belong to the guest's kernel, not to its files; ".."
 * would not be what it looks like after a symbolic link. */
static bool
path_ok(struct http_req *r)
{
	static const char *const closed[] = { "proc", "dev", "sys" };
	const char *p = http_var(r, 1);
	bool first = true;

	for (; *p != '\0'; p += *p == '/') {
		size_t n = strcspn(p, "/");

		if (n == 2 && memcmp(p, "..", 2) == 0) {
			http_error(r, 400, "/%s: .. in a path", http_var(r, 1));
			return false;
		}
		for (size_t i = 0; first && i < 3; i++) {
			if (strlen(closed[i]) != n ||
			    memcmp(p, closed[i], n) != 0)
				continue;
			http_error(r, 403, "/%s: no files there", closed[i]);
			return false;
		}
		if (n != 0 && (n != 1 || *p != '.'))
			first = false;
		p += n;
	}
	return true;
}

struct fileop *
fileop_new(struct http_req *r, void (*begin)(struct fileop *op), void *own,
    void (*own_free)(void *own))
{
	struct sandbox *sb = api_sandbox(r);
	struct fileop *op;

	if (sb == NULL || !path_ok(r)) {
		if (own_free != NULL)
			own_free(own);
		return NULL;
	}
	op = xcalloc(1, sizeof(*op));
	op->r = r;
	op->begin = begin;
	op->own = own;
	op->own_free = own_free;
	(void)str_copy(op->id, sb->id, sizeof(op->id));
	op->reach.done = reached;
	http_set_user(r, op, fileop_free);
	touch(op);
	reach_start(&op->reach, sb);
	return op->over ? NULL : op;
}
