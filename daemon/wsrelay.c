#include "daemon/wsrelay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/frame.h"
#include "daemon/http_resp.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/utf8.h"
#include "lib/ws.h"

#define READ_BYTES (64u << 10)
/* Of the other side: what an agent answers is smaller. */
#define FRAME_MAX WSRELAY_MESSAGE_MAX
#define OUT_SOME (256u << 10)

struct wsrelay {
	struct http_req *r; /* NULL: the exchange is over */
	struct ws *ws;
	uv_poll_t poll;
	int events;
	int fd;
	struct wsrelay_to to;
	struct buf in;	/* from the socket, not yet a whole frame */
	struct buf out; /* frames that wait for the socket */
	bool paused;	/* the client is not read */
	bool full;	/* the client does not read: the socket is not read */
	bool over;
};

static void set_events(struct wsrelay *y);

/*** The handshake ***/

static void
refuse(struct http_req *r, int status, const char *text)
{
	http_reply(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

static bool
needs_upgrade(struct http_req *r)
{
	const char *connection = http_header(r, "connection");
	const char *upgrade = http_header(r, "upgrade");
	cleanup_free char *text = NULL;

	if (!http_has_token(connection, "upgrade"))
		text = xasprintf("WebSocket protocol violation: Connection "
				 "header \"%s\" does not contain Upgrade",
		    connection != NULL ? connection : "");
	else if (!http_has_token(upgrade, "websocket"))
		text = xasprintf("WebSocket protocol violation: Upgrade "
				 "header \"%s\" does not contain websocket",
		    upgrade != NULL ? upgrade : "");
	if (text == NULL)
		return false;
	http_add_header(r, "Connection", "Upgrade");
	http_add_header(r, "Upgrade", "websocket");
	refuse(r, 426, text);
	return true;
}

static bool
bad_version(struct http_req *r)
{
	const char *version = http_header(r, "sec-websocket-version");
	cleanup_free char *text = NULL;

	if (version != NULL && strcmp(version, "13") == 0)
		return false;
	text = xasprintf("unsupported WebSocket protocol version (only 13 is "
			 "supported): \"%.32s\"",
	    version != NULL ? version : "");
	http_add_header(r, "Sec-WebSocket-Version", "13");
	refuse(r, 400, text);
	return true;
}

static bool
bad_key(struct http_req *r)
{
	const char *key = http_header(r, "sec-websocket-key");

	if (key == NULL)
		refuse(r, 400,
		    "WebSocket protocol violation: missing "
		    "Sec-WebSocket-Key");
	else if (http_header_count(r, "sec-websocket-key") > 1 ||
	    !ws_key_ok(key))
		refuse(r, 400,
		    "WebSocket protocol violation: Sec-WebSocket-Key is not "
		    "16 bytes in base64");
	else
		return false;
	return true;
}

bool
wsrelay_check(struct http_req *r)
{
	if (needs_upgrade(r) || bad_version(r) || bad_key(r))
		return false;
	if (http_content_length(r) == 0)
		return true;
	refuse(r, 400, "WebSocket protocol violation: a body");
	return false;
}

/*** To the client ***/

/* What the codec has made goes to the connection. */
static void
flush_ws(struct wsrelay *y)
{
	struct buf *b = ws_out(y->ws);
	size_t queued;

	if (y->r == NULL || y->over)
		return;
	queued = http_send(y->r, b->data, b->len);
	buf_consume(b, b->len);
	y->full = queued >= OUT_SOME;
	if (!ws_over(y->ws))
		return;
	y->over = true;
	http_end(y->r);
}

static void
end(struct wsrelay *y, enum ws_code code, const char *reason)
{
	ws_close(y->ws, code, reason);
	flush_ws(y);
	set_events(y);
}

static void
take_frame(struct wsrelay *y, const struct frame *f)
{
	static const char pong = 1;

	if (f->type == FRAME_PING) {
		if (*f->data == 0)
			(void)frame_add(&y->out, FRAME_PING, &pong, 1);
	} else if (f->type == FRAME_JSON && !utf8_valid(f->data, f->len)) {
		end(y, WS_INTERNAL, "an answer is not text");
	} else {
		(void)ws_send(y->ws, f->type == FRAME_JSON, f->data, f->len);
		flush_ws(y);
	}
}

static void
take_frames(struct wsrelay *y)
{
	struct frame f;
	long n = 0;

	while (!y->over && !y->full &&
	    (n = frame_decode(buf_str(&y->in), y->in.len, FRAME_MAX, &f)) > 0) {
		take_frame(y, &f);
		buf_consume(&y->in, (size_t)n);
	}
	if (n < 0)
		end(y, WS_INTERNAL, "an answer is no frame");
	if (y->in.len == 0)
		buf_done(&y->in);
	set_events(y);
}

static void
read_some(struct wsrelay *y)
{
	ssize_t n;
	char *p;

	if (buf_reserve(&y->in, READ_BYTES, &p) < 0) {
		end(y, WS_INTERNAL, "an answer is too large");
		return;
	}
	/* no room for descriptors: none is taken here */
	n = fd_recv(y->fd, p, READ_BYTES, NULL, NULL);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		end(y, WS_NORMAL, "session closed");
		return;
	}
	buf_grew(&y->in, (size_t)n);
	take_frames(y);
}

static void
on_drain(struct http_req *r)
{
	struct wsrelay *y = http_user(r);

	if (!y->full || y->over)
		return;
	y->full = false;
	take_frames(y);
}

/*** To the socket ***/

static void
flush_fd(struct wsrelay *y)
{
	ssize_t n;

	while (y->out.len > 0 && !y->over) {
		n = fd_send(y->fd, y->out.data, y->out.len, NULL, 0);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			end(y, WS_NORMAL, "session closed");
			return;
		}
		buf_consume(&y->out, (size_t)n);
	}
	if (y->out.len == 0)
		buf_done(&y->out);
	if (y->r != NULL && !y->over && y->paused != (y->out.len > OUT_SOME)) {
		y->paused = !y->paused;
		(y->paused ? http_pause : http_resume)(y->r);
	}
	set_events(y);
}

static void
on_message(void *arg, bool text, const void *p, size_t n)
{
	struct wsrelay *y = arg;

	if (y->over || y->fd < 0)
		return;
	if (y->to.seen != NULL)
		y->to.seen(y->to.own);
	if (frame_add(&y->out, text ? FRAME_JSON : FRAME_BINARY, p, n) < 0)
		ws_close(y->ws, WS_INTERNAL, "too much at once");
}

static void
on_data(struct http_req *r, const void *p, size_t n)
{
	struct wsrelay *y = http_user(r);

	if (y->over)
		return;
	if (n == 0) {
		y->over = true;
		http_end(r);
		return;
	}
	ws_feed(y->ws, p, n);
	flush_ws(y);
	if (y->fd >= 0)
		flush_fd(y);
}

static void
on_poll(uv_poll_t *p, int status, int events)
{
	struct wsrelay *y = p->data;

	if (y->r == NULL)
		return;
	if (status < 0) {
		end(y, WS_NORMAL, "session closed");
		return;
	}
	if ((events & UV_WRITABLE) != 0)
		flush_fd(y);
	if ((events & UV_READABLE) != 0 && !y->over && !y->full)
		read_some(y);
}

static void
set_events(struct wsrelay *y)
{
	int events = 0;

	if (y->fd < 0)
		return;
	if (!y->over && y->r != NULL) {
		events |= y->full ? 0 : UV_READABLE;
		events |= y->out.len > 0 ? UV_WRITABLE : 0;
	}
	if (events == y->events)
		return;
	y->events = events;
	if (events == 0)
		(void)uv_poll_stop(&y->poll);
	else
		(void)uv_poll_start(&y->poll, events, on_poll);
}

/*** Life ***/

static void
free_relay(struct wsrelay *y)
{
	ws_free(y->ws);
	buf_done(&y->in);
	buf_done(&y->out);
	close_fd(&y->fd);
	free(y);
}

static void
on_closed(uv_handle_t *h)
{
	free_relay(h->data);
}

static void
exchange_over(void *arg)
{
	struct wsrelay *y = arg;

	y->r = NULL;
	if (y->to.own_free != NULL)
		y->to.own_free(y->to.own);
	if (y->fd >= 0)
		uv_close((uv_handle_t *)&y->poll, on_closed);
	else
		free_relay(y);
}

void
wsrelay_start(struct http_req *r, const struct wsrelay_to *to)
{
	struct wsrelay *y = xcalloc(1, sizeof(*y));
	const struct ws_conf conf = { .server = true,
		.max = WSRELAY_MESSAGE_MAX,
		.message = on_message,
		.arg = y };
	char accept[WS_ACCEPT_MAX];

	y->r = r;
	y->to = *to;
	y->fd = to->fd;
	y->ws = ws_new(&conf);
	buf_limit(&y->in, FRAME_MAX + FRAME_HEAD + READ_BYTES);
	ws_accept(http_header(r, "sec-websocket-key"), accept);
	http_add_header(r, "Sec-WebSocket-Accept", accept);
	http_set_user(r, y, exchange_over);
	if (y->fd >= 0) {
		(void)uv_poll_init(to->loop, &y->poll, y->fd);
		y->poll.data = y;
	}
	http_upgrade(r, "websocket", on_data);
	http_on_drain(r, on_drain);
	if (y->fd < 0)
		end(y, WS_INTERNAL, to->why);
	set_events(y);
}
