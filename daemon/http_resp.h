/*
 * http_resp.h - reads an HTTP/1.1 response of a server that nobody trusts: the
 * byte screen of screen.h first, with its limits, then llhttp; one way of
 * saying where the message ends, or it is refused.
 *
 * Pure: no system call.
 */
#ifndef DAEMON_HTTP_RESP_H
#define DAEMON_HTTP_RESP_H

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/screen.h"
#include "lib/buf.h"

#define HTTP_RESP_TO_END (-2) /* length: until the server ends */

struct http_resp_ops {
	/* The head of the final response: status, length and fields. */
	void (*head)(void *arg);
	/* Bytes of its body; after a 101 whatever comes. */
	void (*data)(void *arg, const void *p, size_t n);
};

struct http_resp {
	int status;
	int64_t length;	 /* -1 chunked; of a HEAD's what a GET would have */
	bool done;	 /* there is no more of it */
	bool upgraded;	 /* 101, and it was asked for */
	const char *why; /* after a failure */
	/* below is private */
	const struct http_resp_ops *ops;
	void *arg;
	bool no_body, upgrade, in_body;
	int interim;
	struct screen screen;
	llhttp_t parser;
	struct buf head;
	struct http_resp_field {
		const char *name, *value; /* name in lower case */
	} fields[SCREEN_FIELDS_MAX];
	size_t nfields;
};

/* no_body: it answers a HEAD. upgrade: that to a WebSocket was asked for. */
void http_resp_init(struct http_resp *s, bool no_body, bool upgrade,
    const struct http_resp_ops *ops, void *arg);
void http_resp_done(struct http_resp *s);
/* 0, or -1 and why: feed no more. */
int http_resp_feed(struct http_resp *s, const char *p, size_t n);
/* The server has ended: 0 where that ends the response as well. */
int http_resp_eof(struct http_resp *s);

/* The value of the only field of that name, NULL where there is none; *ret_n
 * (may be NULL) how many there are. */
const char *http_resp_field(
    const struct http_resp *s, const char *name, size_t *ret_n);

/* Is this one of the words of a list such as Connection's? */
bool http_has_token(const char *list, const char *token);
/* Fields that are of one connection only, which connection (the value of that
 * field, or NULL) may name more of. */
bool http_hop_by_hop(const char *name, const char *connection);

#endif
