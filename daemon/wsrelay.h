/*
 * wsrelay.h - a WebSocket on one side, a stream socket of frames
 * (agent/frame.h) on the other: a text message is a JSON frame, a binary one
 * a binary frame, and nothing in them is looked at. What one side does not
 * take keeps the other from being read, so that memory stays bounded.
 */
#ifndef DAEMON_WSRELAY_H
#define DAEMON_WSRELAY_H

#include <uv.h>

#include "daemon/http.h"

/* Of a message that a client sends. */
#define WSRELAY_MESSAGE_MAX (2u << 20)

/* The rules of a handshake (RFC 6455, 4.2.1). False: it was answered. */
bool wsrelay_check(struct http_req *r);

/*
 * Answers r, which has passed wsrelay_check, with 101, and relays until a
 * side ends. fd is a connected socket, owned from here on, or -1: the client
 * is told that why is the reason. seen, with own, is called for each message
 * of the client; NULL: nobody.
 */
struct wsrelay_to {
	uv_loop_t *loop;
	int fd;
	const char *why;
	void (*seen)(void *own);
	void *own; /* freed by own_free at the end */
	void (*own_free)(void *own);
};
void wsrelay_start(struct http_req *r, const struct wsrelay_to *to);

#endif
