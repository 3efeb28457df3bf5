/*
 * api_ports.c - exposed ports over HTTP: what ports does in the mount.
 */
#include <errno.h>
#include <stdlib.h>

#include "daemon/api_impl.h"
#include "daemon/ports.h"
#include "lib/mem.h"
#include "lib/size.h"

struct expose_body {
	int64_t timeout;
};

const struct api_field api_expose_fields[] = {
	{ "timeout", API_INT, offsetof(struct expose_body, timeout),
	    "seconds until something listens; 30, at most 120", false },
	{ .name = NULL },
};

struct expose_op {
	struct http_req *r;
	struct expose x;
	char id[RT_ID_MAX];
};

int
api_port(struct http_req *r)
{
	int64_t port;

	if (int_parse(http_var(r, 1), 1, 65535, &port) == 0)
		return (int)port;
	http_error(r, 400, "invalid port number");
	return -1;
}

static json_t *
tunnel_info(const struct tunnel *t)
{
	int host_port = hostport_port(tunnel_host(t));
	cleanup_free char *url = xasprintf("http://localhost:%d", host_port);

	return json_pack("{s:i,s:i,s:s}", "port", tunnel_port(t), "host_port",
	    host_port, "url", url);
}

/* The wire's words for what ports.h refuses; whatever else failed is 502. */
static void
fail(struct http_req *r, const struct err *e)
{
	if (e->code == EHOSTDOWN)
		http_error(r, 409, "sandbox is not running");
	else if (e->code == EEXIST || e->code == EBUSY)
		http_error(r, 409, "port already exposed");
	else if (e->code == EDQUOT)
		http_error(r, 429, "%s", e->text);
	else if (e->code == ESTALE)
		http_error(r, 404, "sandbox not found");
	else
		http_error(r, 502, "port expose failed: %s", e->text);
}

static void
op_free(void *arg)
{
	struct expose_op *op = arg;

	ports_expose_cancel(&op->x);
	free(op);
}

static void
on_exposed(struct expose *x, const struct err *e)
{
	struct expose_op *op = x->arg;
	const struct sandbox *sb = sandbox_by_id(api_front(op->r), op->id);

	if (sb == NULL)
		http_error(op->r, 404, "sandbox not found");
	else if (e != NULL)
		fail(op->r, e);
	else
		http_json(op->r, 200, tunnel_info(ports_find(sb, x->port)));
}

/* What is wrong in the body is as good as nothing: so the wire has it. */
static int64_t
timeout_ms(const struct http_req *r)
{
	size_t n;
	const char *p = http_body_data(r, &n);
	json_t *j = json_loadb(p, n, JSON_DISABLE_EOF_CHECK, NULL);
	int64_t s = json_integer_value(json_object_get(j, "timeout"));

	json_decref(j);
	if (s <= 0)
		s = EXPOSE_WAIT_S;
	return (s < EXPOSE_WAIT_MAX_S ? s : EXPOSE_WAIT_MAX_S) * 1000;
}

void
api_expose(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	int port = sb != NULL ? api_port(r) : -1;
	struct expose_op *op;
	struct err e;

	if (port < 0)
		return;
	op = xcalloc(1, sizeof(*op));
	op->r = r;
	(void)str_copy(op->id, sb->id, sizeof(op->id));
	op->x = (struct expose){ .port = port,
		.timeout_ms = timeout_ms(r),
		.done = on_exposed,
		.arg = op };
	http_set_user(r, op, op_free);
	if (ports_expose(sb, &op->x, &e) < 0)
		fail(r, &e);
}

void
api_unexpose(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	int port = sb != NULL ? api_port(r) : -1;
	struct err e;

	if (port < 0)
		return;
	if (ports_find(sb, port) == NULL)
		http_error(r, 404, "port not exposed");
	else if (ports_close(sb, port, &e) < 0)
		api_fail(r, &e, "close");
	else
		api_gone(r);
}

void
api_ports(struct http_req *r)
{
	const struct sandbox *sb = api_sandbox(r);
	const struct tunnel *t = NULL;
	json_t *list;

	if (sb == NULL)
		return;
	list = json_array();
	while ((t = ports_next(sb, t)) != NULL)
		(void)json_array_append_new(list, tunnel_info(t));
	http_json(r, 200, list);
}
