/*
 * httpd - the HTTP front with routes that only a test would want.
 *
 *   httpd SOCKET HEAD_MS IDLE_MS RATE WRITE_MS
 *
 * Listens on the Unix socket and on a port of 127.0.0.1 that it prints; ends
 * when its standard input does.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/http.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

static uv_loop_t *loop;
static struct http_server *server;
static int live; /* exchanges with something to free */

/* Says what it understood. */
static void
hello(struct http_req *r)
{
	uid_t uid;
	gid_t gid;
	pid_t pid;
	const char *host = http_header(r, "host");
	const char *q = http_query(r, "q");
	const char *x = http_header(r, "x-test");

	http_peer(r, &uid, &gid, &pid);
	http_json(r, 200,
	    json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s}", "method",
		http_method(r), "host", host != NULL ? host : "", "q",
		q != NULL ? q : "", "x", x != NULL ? x : "", "var",
		http_var(r, 0), "rest", http_var(r, 1), "uid",
		(json_int_t)(int)uid, "peer", http_peer_name(r)));
}

static void
echo(struct http_req *r)
{
	size_t n;
	const void *p = http_body_data(r, &n);

	http_reply(r, 200, "application/octet-stream", p, n);
}

/*** PUT /count: a body in a stream, paused now and then ***/

struct count {
	struct http_req *r;
	uv_timer_t timer;
	size_t bytes;
	unsigned sum;
};

static void
on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
count_free(void *arg)
{
	struct count *c = arg;

	live--;
	uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void
on_resume(uv_timer_t *t)
{
	struct count *c = t->data;

	http_resume(c->r);
}

static void
on_count(struct http_req *r, const void *p, size_t n)
{
	struct count *c = http_user(r);
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		c->sum = c->sum * 31 + b[i];
	c->bytes += n;
	if (n == 0) {
		http_json(r, 200,
		    json_pack("{s:I,s:I}", "bytes", (json_int_t)c->bytes, "sum",
			(json_int_t)c->sum));
		return;
	}
	if (http_query(r, "pause") != NULL) {
		http_pause(r);
		(void)uv_timer_start(&c->timer, on_resume, 1, 0);
	}
}

static struct count *
count_new(struct http_req *r)
{
	struct count *c = xcalloc(1, sizeof(*c));

	c->r = r;
	(void)uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	live++;
	http_set_user(r, c, count_free);
	return c;
}

static void
count_body(struct http_req *r)
{
	if (http_query(r, "refuse") != NULL) {
		http_error(r, 409, "refused as asked");
		return;
	}
	(void)count_new(r);
	http_body(r, on_count);
}

/*** GET /big?n=BYTES: as much, as fast as the client reads ***/

static void
big_more(struct http_req *r)
{
	static char block[65536];
	struct count *c = http_user(r);
	size_t queued = 0;

	while (c->bytes > 0 && queued < 256 * 1024) {
		size_t n = c->bytes < sizeof(block) ? c->bytes : sizeof(block);

		queued = http_send(r, block, n);
		c->bytes -= n;
	}
	if (c->bytes == 0) {
		http_on_drain(r, NULL);
		http_end(r);
	}
}

static void
big(struct http_req *r)
{
	const char *n = http_query(r, "n");
	struct count *c = count_new(r);

	c->bytes = n != NULL ? strtoul(n, NULL, 10) : 0;
	http_begin(r, 200, "application/octet-stream",
	    http_query(r, "chunked") != NULL ? -1 : (int64_t)c->bytes);
	http_on_drain(r, big_more);
	big_more(r);
}

/*** GET /late: answers after a while; GET /never: does not ***/

static void
on_late(uv_timer_t *t)
{
	struct count *c = t->data;

	http_reply(c->r, 200, "text/plain", "late\n", 5);
}

static void
late(struct http_req *r)
{
	struct count *c = count_new(r);
	const char *ms = http_query(r, "ms");

	(void)uv_timer_start(
	    &c->timer, on_late, ms != NULL ? strtoul(ms, NULL, 10) : 10, 0);
}

static void
never(struct http_req *r)
{
	(void)count_new(r);
}

static void
live_now(struct http_req *r)
{
	http_json(r, 200, json_integer(live));
}

static void
cut(struct http_req *r)
{
	http_begin(r, 200, "text/plain", 100);
	(void)http_send(r, "abc", 3);
	http_abort(r);
}

static void
no_content(struct http_req *r)
{
	http_add_header(r, "X-Injected", "a\r\nSet-Cookie: b");
	http_reply(r, 204, NULL, NULL, 0);
}

static const struct http_route routes[] = {
	{ .method = "GET", .path = "/hello", .handle = hello },
	{ .method = "POST", .path = "/hello", .handle = hello },
	{ .method = "GET", .path = "/var/{a}/files/*", .handle = hello },
	{ .method = "GET", .path = "/var/{a}", .handle = hello },
	{ .method = "POST",
	    .path = "/echo",
	    .body_max = 1 << 20,
	    .handle = echo },
	{ .method = "PUT",
	    .path = "/small",
	    .body_max = 16,
	    .too_big = "invalid request body",
	    .handle = echo },
	{ .method = "PUT",
	    .path = "/count",
	    .stream = true,
	    .handle = count_body },
	{ .method = "GET", .path = "/big", .handle = big },
	{ .method = "GET", .path = "/late", .handle = late },
	{ .method = "GET", .path = "/never", .handle = never },
	{ .method = "GET", .path = "/live", .handle = live_now },
	{ .method = "GET", .path = "/cut", .handle = cut },
	{ .method = "DELETE", .path = "/hello", .handle = no_content },
	{ .method = NULL },
};

static int
tcp_listen(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		fatal("httpd: port");
	(void)printf("%d\n", ntohs(sin.sin_port));
	(void)fflush(stdout);
	return fd;
}

static void
on_stdin(uv_poll_t *p, int status, int events)
{
	char c;

	(void)status;
	(void)events;
	if (read(STDIN_FILENO, &c, 1) > 0)
		return;
	uv_close((uv_handle_t *)p, NULL);
	http_free(server);
}

int
main(int argc, char **argv)
{
	struct http_conf conf = { .routes = routes };
	struct err e;
	uv_poll_t input;
	int fd;

	if (argc != 6)
		fatalx("usage: httpd SOCKET HEAD_MS IDLE_MS RATE WRITE_MS");
	conf.head_timeout_ms = strtol(argv[2], NULL, 10);
	conf.idle_timeout_ms = strtol(argv[3], NULL, 10);
	conf.body_min_rate = strtol(argv[4], NULL, 10);
	conf.write_timeout_ms = strtol(argv[5], NULL, 10);
	loop = uv_default_loop();
	server = http_new(loop, &conf);
	fd = fd_unix_listen(argv[1], 0600, SOCK_STREAM);
	if (fd < 0)
		fatal("httpd: %s", argv[1]);
	if (http_listen(server, fd, true, &e) != 0 ||
	    http_listen(server, tcp_listen(), false, &e) != 0)
		fatalx("httpd: %s", e.text);
	(void)uv_poll_init(loop, &input, STDIN_FILENO);
	(void)uv_poll_start(&input, UV_READABLE, on_stdin);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	if (live != 0)
		fatalx("httpd: %d exchanges were not freed", live);
	return uv_loop_close(loop) == 0 ? 0 : 1;
}
