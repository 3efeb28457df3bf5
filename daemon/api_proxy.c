/*
 * api_proxy.c - requests that are passed on to a server inside a sandbox.
 *
 * Request and response are written anew from what was parsed, one connection
 * to the server each, bodies as they come: what one side does not take keeps
 * the other from being read. After an upgrade to a WebSocket the bytes of
 * both are passed as they are. The server is the sandbox's: nothing it says
 * is believed.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/api_impl.h"
#include "daemon/http_resp.h"
#include "daemon/ports.h"
#include "lib/mem.h"

struct proxy {
	struct http_req *r;
	struct dial dial;
	struct tcp *up; /* NULL: no connection yet */
	struct http_resp resp;
	struct buf head;  /* the request's, until there is one */
	uv_timer_t *idle; /* of a WebSocket, or NULL */
	bool websocket, chunked;
	bool began; /* the answer has */
	bool over;
};

/*** The end ***/

static void
leave(struct proxy *p)
{
	p->over = true;
	ports_dial_cancel(&p->dial);
	tcp_close(p->up);
	p->up = NULL;
	if (p->idle != NULL)
		uv_close((uv_handle_t *)p->idle, (uv_close_cb)free);
	p->idle = NULL;
}

static void
proxy_free(void *arg)
{
	struct proxy *p = arg;

	leave(p);
	http_resp_done(&p->resp);
	buf_done(&p->head);
	free(p);
}

static void
fail(struct proxy *p, const char *why)
{
	if (p->over)
		return;
	leave(p);
	if (p->began)
		http_abort(p->r);
	else
		http_error(p->r, 502, "proxy error: %s", why);
}

static void
end(struct proxy *p)
{
	if (p->over)
		return;
	leave(p);
	http_end(p->r);
}

/*** The request ***/

static bool
is_ours(const char *name)
{
	static const char *const names[] = { "content-length", "expect",
		"forwarded", "x-forwarded-for", "x-forwarded-host",
		"x-forwarded-proto" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return strncmp(name, "x-sandbox-", 10) == 0;
}

/* The token that let it in opens the daemon, and is none of the guest's. */
static bool
is_token(const struct http_req *r, const char *name)
{
	return !http_is_unix(r) && api_front(r)->tokens != NULL &&
	    strcmp(name, "authorization") == 0;
}

static void
add_fields(struct proxy *p)
{
	const char *connection = http_header(p->r, "connection");
	const char *name, *value;
	size_t i;

	for (i = 0; http_header_at(p->r, i, &name, &value); i++)
		if (!is_ours(name) && !is_token(p->r, name) &&
		    !http_hop_by_hop(name, connection))
			(void)buf_addf(&p->head, "%s: %s\r\n", name, value);
}

static void
add_framing(struct proxy *p)
{
	int64_t length = http_content_length(p->r);

	p->chunked = length < 0;
	if (p->websocket)
		(void)buf_adds(
		    &p->head, "connection: Upgrade\r\nupgrade: websocket\r\n");
	else
		(void)buf_adds(&p->head, "connection: close\r\n");
	if (p->chunked)
		(void)buf_adds(&p->head, "transfer-encoding: chunked\r\n");
	else if (length > 0 || http_header(p->r, "content-length") != NULL)
		(void)buf_addf(
		    &p->head, "content-length: %lld\r\n", (long long)length);
}

/* The path behind the port, as the client wrote it. */
static void
build_head(struct proxy *p, const struct sandbox *sb)
{
	const char *host = http_header(p->r, "host");
	const char *query = http_query_raw(p->r);
	bool tls = !http_is_unix(p->r) && sb->f->tls != NULL;
	const char *peer =
	    http_is_unix(p->r) ? "127.0.0.1" : http_peer_name(p->r);

	(void)buf_addf(&p->head, "%s /%s%s%s HTTP/1.1\r\n", http_method(p->r),
	    http_var(p->r, 2), query != NULL ? "?" : "",
	    query != NULL ? query : "");
	if (host == NULL || *host == '\0')
		host = "localhost";
	if (http_header(p->r, "host") == NULL)
		(void)buf_addf(&p->head, "host: %s\r\n", host);
	add_fields(p);
	(void)buf_addf(&p->head,
	    "x-forwarded-for: %s\r\nx-forwarded-proto: %s\r\n"
	    "x-forwarded-host: %s\r\nx-sandbox-id: %s\r\n",
	    peer, tls ? "https" : "http", host, sb->id);
	add_framing(p);
	(void)buf_adds(&p->head, "\r\n");
}

static size_t
send_chunk(struct proxy *p, const void *data, size_t n)
{
	cleanup_buf struct buf chunk = BUF_INIT;

	(void)buf_addf(&chunk, "%zx\r\n", n);
	(void)buf_add(&chunk, data, n);
	(void)buf_adds(&chunk, "\r\n");
	return tcp_send(p->up, chunk.data, chunk.len);
}

/* The body of the request; a WebSocket's bytes. n == 0 is the end. */
static void
on_body(struct http_req *r, const void *data, size_t n)
{
	struct proxy *p = http_user(r);
	size_t queued = 0;

	if (p->up == NULL)
		return; /* there is none, and that was said */
	if (n > 0)
		queued = p->chunked ? send_chunk(p, data, n)
				    : tcp_send(p->up, data, n);
	else if (p->resp.upgraded)
		tcp_finish(p->up);
	else if (p->chunked)
		(void)tcp_send(p->up, "0\r\n\r\n", 5);
	if (queued > TCP_QUEUE_MAX)
		http_pause(r);
	if (p->idle != NULL)
		(void)uv_timer_again(p->idle);
}

/*** The response ***/

static void
on_idle(uv_timer_t *timer)
{
	struct proxy *p = timer->data;

	leave(p);
	http_abort(p->r);
}

static void
switch_protocols(struct proxy *p)
{
	const struct front *f = api_front(p->r);
	uint64_t ms = (uint64_t)f->cfg->websocket_idle_ms;

	p->idle = xcalloc(1, sizeof(*p->idle));
	(void)uv_timer_init(f->loop, p->idle);
	p->idle->data = p;
	(void)uv_timer_start(p->idle, on_idle, ms, ms);
	http_upgrade(p->r, "websocket", on_body);
}

static void
on_head(void *arg)
{
	struct proxy *p = arg;
	const struct http_resp *s = &p->resp;
	const char *connection = http_resp_field(s, "connection", NULL);
	size_t i;

	for (i = 0; i < s->nfields; i++)
		if (!http_hop_by_hop(s->fields[i].name, connection) &&
		    strcmp(s->fields[i].name, "content-length") != 0 &&
		    strcmp(s->fields[i].name, "date") != 0)
			http_add_header(
			    p->r, s->fields[i].name, s->fields[i].value);
	p->began = true;
	if (s->upgraded)
		switch_protocols(p);
	else
		http_begin(
		    p->r, s->status, NULL, s->length >= 0 ? s->length : -1);
}

static void
on_resp_data(void *arg, const void *data, size_t n)
{
	struct proxy *p = arg;

	if (!p->over && http_send(p->r, data, n) > TCP_QUEUE_MAX)
		tcp_pause(p->up);
}

static const struct http_resp_ops resp_ops = {
	.head = on_head,
	.data = on_resp_data,
};

static void
on_up_data(void *arg, const void *data, size_t n)
{
	struct proxy *p = arg;
	int r =
	    n > 0 ? http_resp_feed(&p->resp, data, n) : http_resp_eof(&p->resp);

	if (r < 0)
		fail(p, p->resp.why);
	else if (p->resp.done)
		end(p);
	else if (p->idle != NULL)
		(void)uv_timer_again(p->idle);
}

static void
on_up_drained(void *arg)
{
	struct proxy *p = arg;

	http_resume(p->r);
}

static void
on_up_broken(void *arg)
{
	fail(arg, "the connection broke");
}

static const struct tcp_ops up_ops = {
	.data = on_up_data,
	.drained = on_up_drained,
	.broken = on_up_broken,
};

static void
on_client_drained(struct http_req *r)
{
	struct proxy *p = http_user(r);

	if (p->up != NULL)
		tcp_resume(p->up);
}

/*** The connection ***/

static void
on_dialed(struct dial *d, struct tcp *t, const struct err *e)
{
	struct proxy *p = d->arg;

	if (e != NULL) {
		leave(p);
		http_error(p->r, 502, "%s: %s",
		    p->websocket ? "upstream connection failed" : "proxy error",
		    e->text);
		return;
	}
	p->up = t;
	tcp_set_ops(t, &up_ops, p);
	(void)tcp_send(t, p->head.data, p->head.len);
	buf_done(&p->head);
	tcp_resume(t);
	http_on_drain(p->r, on_client_drained);
	http_resume(p->r);
}

static bool
wants_websocket(const struct http_req *r)
{
	return strcmp(http_method(r), "GET") == 0 &&
	    http_content_length(r) == 0 &&
	    http_has_token(http_header(r, "upgrade"), "websocket") &&
	    http_has_token(http_header(r, "connection"), "upgrade");
}

/* NULL: answered. */
static struct sandbox *
find(struct http_req *r, bool websocket, int *ret_port)
{
	const struct profile *profile;
	struct sandbox *sb;

	if (websocket && api_other_site(r)) {
		http_error(r, 403, "cross-origin WebSocket request blocked");
		return NULL;
	}
	if ((sb = api_sandbox(r)) == NULL || (*ret_port = api_port(r)) < 0)
		return NULL;
	profile = config_profile(sb->f->cfg, sb->profile);
	if (profile != NULL && strcmp(profile->proxy, "exposed") == 0 &&
	    ports_find(sb, *ret_port) == NULL) {
		http_error(r, 403, "port not exposed");
		return NULL;
	}
	if (sb->state != SB_RUNNING) {
		http_error(r, 409, "sandbox is not running");
		return NULL;
	}
	return sb;
}

void
api_proxy(struct http_req *r)
{
	bool websocket = wants_websocket(r);
	struct sandbox *sb;
	struct proxy *p;
	int port;

	if ((sb = find(r, websocket, &port)) == NULL)
		return;
	p = xcalloc(1, sizeof(*p));
	p->r = r;
	p->websocket = websocket;
	p->dial = (struct dial){ .done = on_dialed, .arg = p, .port = port };
	http_resp_init(&p->resp, strcmp(http_method(r), "HEAD") == 0, websocket,
	    &resp_ops, p);
	build_head(p, sb);
	http_set_user(r, p, proxy_free);
	http_body(r, on_body);
	http_pause(r);
	ports_dial(sb, &p->dial);
}
