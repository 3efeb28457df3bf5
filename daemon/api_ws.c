/*
 * api_ws.c - WebSockets: one to a sandbox's agent for its files, one for the
 * whole tree (the messages of files.sock, for a mount on another machine).
 * Both are relays (wsrelay.h).
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "agent/frame.h"
#include "daemon/api_impl.h"
#include "daemon/reach.h"
#include "daemon/tree.h"
#include "daemon/wsrelay.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define REASON_MAX 120 /* a close frame's: 123 bytes */

/* The page of another site: said as a WebSocket's client knows it. */
static bool
origin_ok(struct http_req *r)
{
	const char *origin = http_header(r, "origin");
	const char *host = http_header(r, "host");
	cleanup_free char *text = NULL;
	const char *of;

	if (origin == NULL || http_is_unix(r))
		return true;
	of = strstr(origin, "://");
	of = of != NULL ? of + 3 : origin;
	if (host != NULL && strcasecmp(of, host) == 0)
		return true;
	text = xasprintf("request Origin \"%.200s\" is not authorized for "
			 "Host \"%.200s\"",
	    of, host != NULL ? host : "");
	http_reply(r, 403, "text/plain; charset=utf-8", text, strlen(text));
	return false;
}

/*** One sandbox ***/

struct conversation {
	struct reach reach;
	struct http_req *r;
	bool quiet;
};

static void
conversation_free(void *arg)
{
	struct conversation *c = arg;

	reach_cancel(&c->reach);
	free(c);
}

static void
touch(void *arg)
{
	const struct conversation *c = arg;
	struct sandbox *sb = sandbox_by_id(c->reach.f, c->reach.id);

	if (sb != NULL)
		sb->active_ms = clock_real_ms();
}

/* The agent takes only methods of this group from now on: whoever speaks
 * here is not the front. */
static int
limit_to(int fd, const char *group)
{
	cleanup_buf struct buf b = BUF_INIT;
	char text[128];

	(void)snprintf(text, sizeof(text),
	    "{\"jsonrpc\":\"2.0\",\"method\":\"sbx.limit\",\"params\":"
	    "{\"to\":\"%s\"}}",
	    group);
	(void)frame_add(&b, FRAME_JSON, text, strlen(text));
	return fd_send(fd, b.data, b.len, NULL, 0) == (ssize_t)b.len ? 0 : -1;
}

static void
reached(struct reach *h, const char *path, const struct err *e)
{
	struct conversation *c = (struct conversation *)((char *)h -
	    offsetof(struct conversation, reach));
	struct wsrelay_to to = { .loop = h->f->loop,
		.fd = -1,
		.seen = c->quiet ? NULL : touch,
		.own = c,
		.own_free = conversation_free };
	char why[REASON_MAX] = "agent unreachable";

	if (path == NULL && e->text[0] != '\0')
		(void)snprintf(
		    why, sizeof(why), "%.*s", REASON_MAX - 1, e->text);
	to.why = why;
	if (path != NULL)
		to.fd = fd_unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
	if (to.fd >= 0 && limit_to(to.fd, "sbx.fs.") < 0)
		close_fd(&to.fd);
	wsrelay_start(c->r, &to);
}

/* quiet=1: what comes is no use of it. A mount looks at much that nobody
 * changes, and tells of changes by itself (`used`). */
static struct sandbox *
find(struct http_req *r, bool quiet)
{
	struct sandbox *sb;
	struct caller c;

	if (!quiet)
		return api_sandbox(r);
	if (!api_caller(r, &c))
		return NULL;
	if ((sb = sandbox_look(api_front(r), &c, http_var(r, 0))) == NULL)
		http_error(r, 404, "sandbox not found");
	return sb;
}

void
api_ws(struct http_req *r)
{
	const char *service = http_query(r, "service");
	bool quiet = http_query(r, "quiet") != NULL;
	struct conversation *c;
	struct sandbox *sb;

	if (!origin_ok(r) || (sb = find(r, quiet)) == NULL || !wsrelay_check(r))
		return;
	if (service == NULL) {
		http_error(r, 501,
		    "sessions are not there yet: service=files "
		    "is");
		return;
	}
	if (strcmp(service, "files") != 0) {
		http_error(r, 400, "service: %s: expected files", service);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->r = r;
	c->quiet = quiet;
	c->reach.done = reached;
	http_set_user(r, c, conversation_free);
	reach_start(&c->reach, sb);
}

/*** The tree ***/

void
api_tree_ws(struct http_req *r)
{
	struct wsrelay_to to = { .loop = api_front(r)->loop, .fd = -1 };
	struct caller c;
	int fds[2];

	if (!origin_ok(r) || !api_caller(r, &c) || !wsrelay_check(r))
		return;
	to.why = "too many clients";
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == 0) {
		to.fd = fds[0];
		if (tree_join(api_front(r), fds[1], &c) < 0)
			close_fd(&to.fd);
	}
	wsrelay_start(r, &to);
}
