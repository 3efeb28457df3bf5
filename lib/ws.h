/*
 * ws.h - one end of a WebSocket (RFC 6455) after its handshake: bytes that
 * came go in and messages come out, messages go in and bytes to be sent come
 * out. No descriptor, no clock. The frames are wslay's; before it stands a
 * guard, since wslay takes long forms of lengths, waits for any size that is
 * claimed, and closes without a code what is no frame.
 *
 * Messages that are sent are never fragmented; pings are answered.
 */
#ifndef LIB_WS_H
#define LIB_WS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

/* Length of Sec-WebSocket-Accept's value, and its NUL. */
#define WS_ACCEPT_MAX 29

enum ws_code {
	WS_NORMAL = 1000,
	WS_PROTOCOL = 1002,
	WS_BAD_TEXT = 1007,
	WS_TOO_BIG = 1009,
	WS_INTERNAL = 1011,
};

/* What answers a handshake's Sec-WebSocket-Key. */
void ws_accept(const char *key, char ret[WS_ACCEPT_MAX]);
/* Is it a key: 16 bytes in base64? */
bool ws_key_ok(const char *key);

struct ws;

struct ws_conf {
	bool server; /* what comes must be masked; otherwise what goes is */
	size_t max;  /* of a message that comes: more is 1009 */
	/* A whole message; may not free the ws. */
	void (*message)(void *arg, bool text, const void *p, size_t n);
	void *arg;
};

struct ws *ws_new(const struct ws_conf *conf);
/* NULL is fine. */
void ws_free(struct ws *w);

/* Bytes that came. What follows the end is not looked at. */
void ws_feed(struct ws *w, const void *p, size_t n);
/* Queues a message: 0, -EPIPE after the end, -ENOMEM. Text must be UTF-8. */
int ws_send(struct ws *w, bool text, const void *p, size_t n);
void ws_ping(struct ws *w);
/* Says why it ends, once. */
void ws_close(struct ws *w, enum ws_code code, const char *reason);

/* What is to be sent; the caller consumes it. */
struct buf *ws_out(struct ws *w);
/* A side has ended it: send what is in out, then close the connection. */
bool ws_over(const struct ws *w);

#endif
