/*
 * Calls: a JSON-RPC object is decoded by the tables of methods and their
 * parameters; a method sees only arguments that have the right type and
 * range, and returns 0 or -errno.
 */
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "agent/impl.h"
#include "lib/mem.h"

#define RPC_PARSE_ERROR (-32700)
#define RPC_INVALID_REQUEST (-32600)
#define RPC_NO_METHOD (-32601)
#define RPC_INVALID_PARAMS (-32602)

bool rpc_files_only;

/*** Whom a connection serves ***/

struct limit_args {
	struct bytes to;
};

static int
limit(struct call *c, void *args)
{
	const struct limit_args *a = args;

	return a->to.len == 0 ? -EINVAL : conn_limit(c->conn, a->to.p);
}

static const struct param limit_params[] = {
	{ .key = "to",
	    .type = PARAM_BYTES,
	    .required = true,
	    .offset = offsetof(struct limit_args, to) },
	{ 0 },
};

static const struct method rpc_methods[] = {
	{ .name = "sbx.limit", .call = limit, .params = limit_params },
	{ 0 },
};

static const struct method *const groups[] = {
	rpc_methods,
	jobs_methods,
	env_methods,
	files_methods,
	tree_methods,
	xattr_methods,
};

/*** Answers ***/

static void
open_answer(struct json_out *o, bool has_id, int64_t id)
{
	json_open(o, NULL, '{');
	json_put_str(o, "jsonrpc", "2.0");
	if (has_id)
		json_put_int(o, "id", id);
	else
		json_put_null(o, "id");
}

static void
send_out(struct conn *c, struct json_out *o)
{
	json_close(o, '}');
	if (o->err != 0)
		conn_kill(c);
	else
		conn_send(c, &o->b);
	buf_done(&o->b);
}

static void
send_error(struct conn *c, bool has_id, int64_t id, int code, const char *text)
{
	struct json_out o = { 0 };

	open_answer(&o, has_id, id);
	json_open(&o, "error", '{');
	json_put_int(&o, "code", code);
	json_put_str(&o, "message", text);
	json_close(&o, '}');
	send_out(c, &o);
}

/* A failure of the call itself; nothing is sent to a notification. */
static void
refuse(struct call *c, int code, const char *text)
{
	if (c->has_id)
		send_error(c->conn, true, c->id, code, text);
}

void
rpc_answer(struct conn *c, int64_t id, int code)
{
	struct json_out o = { 0 };

	if (code != 0) {
		send_error(c, true, id, -code, strerror(code));
		return;
	}
	open_answer(&o, true, id);
	json_open(&o, "result", '{');
	json_close(&o, '}');
	send_out(c, &o);
}

void
rpc_notify(struct conn *c, const char *method, struct json_out *params)
{
	struct json_out o = { 0 };

	json_open(&o, NULL, '{');
	json_put_str(&o, "jsonrpc", "2.0");
	json_put_str(&o, "method", method);
	json_put_raw(&o, "params", &params->b);
	if (params->err != 0)
		o.err = params->err;
	send_out(c, &o);
}

/*** Parameters ***/

/* What is wrong with a parameter, for the message; NULL: nothing. */
static const char *
take_int(const struct json *j, int t, const struct param *p, void *to)
{
	int64_t v;
	int r;

	if ((r = json_int(j, t, &v)) < 0)
		return r == -EINVAL ? "not a number" : "not an integer";
	if (v < p->min || v > p->max)
		return "out of range";
	*(int64_t *)to = v;
	return NULL;
}

/* *room is memory for the strings of one call; they are shorter than the text
 * they come from. */
static const char *
take_bytes(const struct json *j, int t, char **room, struct bytes *to)
{
	long n = json_bytes(j, t, *room);

	if (n < 0)
		return "neither a string nor {\"base64\":string}";
	if (memchr(*room, '\0', (size_t)n) != NULL)
		return "has a NUL byte";
	to->p = *room;
	to->len = (size_t)n;
	*room += n + 1;
	return NULL;
}

static const char *
take_param(
    const struct json *j, int t, const struct param *p, void *to, char **room)
{
	switch (p->type) {
	case PARAM_INT:
		return take_int(j, t, p, to);
	case PARAM_BOOL:
		return json_bool(j, t, to) < 0 ? "not a boolean" : NULL;
	case PARAM_BYTES:
		return take_bytes(j, t, room, to);
	case PARAM_MAP:
		if (json_kind(j, t) != JSON_KIND_OBJECT)
			return "not an object";
		*(int *)to = t;
		return NULL;
	}
	return "of no known type";
}

static void
set_default(const struct param *p, void *to)
{
	if (p->type == PARAM_INT)
		*(int64_t *)to = p->def;
	if (p->type == PARAM_MAP)
		*(int *)to = -1;
}

/* params is -1 when there are none. False: the refusal was sent. */
static bool
take_params(
    struct call *c, int params, const struct param *p, char *args, char *room)
{
	const char *wrong;
	char text[128];
	int t;

	for (; p != NULL && p->key != NULL; p++) {
		set_default(p, args + p->offset);
		t = params < 0 ? -1 : json_find(c->json, params, p->key);
		if (t >= 0 && json_kind(c->json, t) == JSON_KIND_NULL)
			t = -1;
		if (t < 0 && !p->required)
			continue;
		wrong = t < 0
		    ? "missing"
		    : take_param(c->json, t, p, args + p->offset, &room);
		if (wrong == NULL)
			continue;
		(void)snprintf(
		    text, sizeof(text), "params.%s: %s", p->key, wrong);
		refuse(c, RPC_INVALID_PARAMS, text);
		return false;
	}
	return true;
}

/*** Dispatch ***/

static const struct method *
find_method(const char *name)
{
	const struct method *m;
	size_t i;

	for (i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (m = groups[i]; m->name != NULL; m++)
			if (strcmp(m->name, name) == 0)
				return m;
	return NULL;
}

static void
call_method(struct call *c, const struct method *m, char *args)
{
	int r;

	open_answer(&c->out, true, c->id);
	json_open(&c->out, "result", '{');
	r = m->call(c, args);
	if (r < 0)
		refuse(c, r, *c->err.text != '\0' ? c->err.text : strerror(-r));
	if (r == 0 && c->has_id) {
		json_close(&c->out, '}');
		send_out(c->conn, &c->out);
		if ((m->flags & METHOD_HELD) != 0)
			conn_hold(c->conn);
	}
	buf_done(&c->out.b);
}

static void
dispatch(struct call *c, const struct method *m, int params, size_t text_len)
{
	alignas(16) char args[ARGS_MAX] = { 0 };
	cleanup_free char *room = NULL;

	if ((m->flags & METHOD_JOBS) != 0 && rpc_files_only) {
		refuse(c, -EOPNOTSUPP, "the sandbox is not running");
		return;
	}
	if ((m->flags & METHOD_BINARY) != 0 && c->bin == NULL) {
		refuse(c, RPC_INVALID_PARAMS, "params.binary: no message came");
		return;
	}
	if ((room = malloc(text_len + 1)) == NULL) {
		refuse(c, -ENOMEM, strerror(ENOMEM));
		return;
	}
	if ((m->flags & METHOD_FDS) == 0)
		c->nfds = 0;
	if (take_params(c, params, m->params, args, room))
		call_method(c, m, args);
}

/* What is no request is told so, though it may be no answer to anything. */
static void
bad_request(struct call *c, int code, const char *text)
{
	send_error(c->conn, c->has_id, c->id, code, text);
}

/* The method's name, of at most n - 1 bytes; false: it is none. */
static bool
take_method(const struct json *j, char *name, size_t n)
{
	int t = json_find(j, 0, "method");

	return t >= 0 && json_kind(j, t) == JSON_KIND_STRING &&
	    json_room(j, t) <= n && json_bytes(j, t, name) >= 0;
}

void
rpc_frame(struct call *c, const char *p, size_t n)
{
	cleanup_json struct json j = { 0 };
	const struct method *m;
	char name[64] = "", text[128];
	int t, params;

	if (json_parse(&j, p, n) < 0) {
		bad_request(c, RPC_PARSE_ERROR, "not JSON, or too large");
		return;
	}
	c->json = &j;
	if ((t = json_find(&j, 0, "id")) >= 0) {
		if (json_int(&j, t, &c->id) < 0) {
			bad_request(c, RPC_INVALID_REQUEST, "id: no integer");
			return;
		}
		c->has_id = true;
	}
	if (!take_method(&j, name, sizeof(name))) {
		bad_request(c, RPC_INVALID_REQUEST, "method: no name");
		return;
	}
	if ((m = find_method(name)) == NULL || !conn_may(c->conn, name)) {
		(void)snprintf(text, sizeof(text), "no method %s", name);
		refuse(c, RPC_NO_METHOD, text);
		return;
	}
	params = json_find(&j, 0, "params");
	if (params >= 0 && json_kind(&j, params) != JSON_KIND_OBJECT) {
		refuse(c, RPC_INVALID_PARAMS, "params: not an object");
		return;
	}
	dispatch(c, m, params, n);
}
