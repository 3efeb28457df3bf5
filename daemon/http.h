/*
 * http.h - the HTTP/1.1 server: listeners, connections on libuv, llhttp as
 * the parser with the byte screen of screen.c before it, a table of routes.
 *
 * It knows nothing about sandboxes. One exchange at a time on a connection;
 * pipelined requests wait.
 */
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "lib/err.h"

struct http_server;
struct http_req;
struct http_tls;

/* Path patterns: segments, "{x}" matches one segment, a last "*" the rest.
 * Method HTTP_ANY is each that no earlier row of the path has. */
#define HTTP_ANY "ANY"
#define HTTP_VARS_MAX 4

struct http_route {
	const char *method; /* "GET" also serves HEAD unless HEAD has a row */
	const char *path;   /* "/sandboxes/{id}/files/" "*" */
	/* Body collected up to body_max (else 413, or 400 with too_big as its
	 * text), then handle is called. 0: up to 64 KiB, for nobody. */
	size_t body_max;
	const char *too_big;
	void (*handle)(struct http_req *r);
	/* Or streamed: handle is called at the head's end; it must call
	 * http_body (below) before it returns, or answer. */
	bool stream;
	bool raw;	     /* the rest of the path is not decoded */
	const char *summary; /* for /openapi.json */
};

struct http_conf {
	const struct http_route *routes; /* ends with method NULL; borrowed */
	void *arg;			 /* http_arg() */
	/* Before a route is served, at the end of the head; NULL: all are.
	 * False: it was answered. */
	bool (*admit)(struct http_req *r, const struct http_route *route);
	int64_t head_timeout_ms;  /* absolute, for a head */
	int64_t idle_timeout_ms;  /* between requests */
	int64_t body_min_rate;	  /* bytes a second, after a grace */
	int64_t write_timeout_ms; /* without any progress */
	/* After each exchange: for metrics. route NULL: none matched. */
	void (*done)(void *arg, const struct http_route *route, int status,
	    int64_t usec);
};

struct http_server *http_new(uv_loop_t *loop, const struct http_conf *conf);
/* fd is a listening socket, now owned; unix ones know their peer's uid. */
int http_listen(struct http_server *s, int fd, bool is_unix, struct err *e);
/* The same of TCP, with TLS; tls stays the caller's. */
int http_listen_tls(
    struct http_server *s, int fd, struct http_tls *tls, struct err *e);
/* Stops listening, ends idle connections; free ends all of them. */
void http_quiet(struct http_server *s);
void http_free(struct http_server *s);

/*** The request; strings are borrowed until the exchange ends ***/

void *http_arg(const struct http_req *r);
const char *http_method(const struct http_req *r);
/* The n-th variable of the pattern, percent-decoded; len where it may hold
 * any byte but NUL. */
const char *http_var(const struct http_req *r, size_t n);
/* A query parameter, decoded, or NULL. */
const char *http_query(struct http_req *r, const char *key);
/* The next one of that name; *at begins as 0. */
const char *http_query_next(struct http_req *r, const char *key, size_t *at);
/* As it was sent, or NULL; not after the two above. */
const char *http_query_raw(const struct http_req *r);
/* The i-th header, its name in lower case; false: there are no more. */
bool http_header_at(const struct http_req *r, size_t i, const char **ret_name,
    const char **ret_value);
/* A header's value, name in lower case, or NULL. Of several the last. */
const char *http_header(const struct http_req *r, const char *name);
size_t http_header_count(const struct http_req *r, const char *name);
const void *http_body_data(const struct http_req *r, size_t *ret_len);
bool http_is_unix(const struct http_req *r);
/* SO_PEERCRED of a Unix connection; uid (uid_t)-1 over TCP. */
void http_peer(const struct http_req *r, uid_t *uid, gid_t *gid, pid_t *pid);
const char *http_peer_name(const struct http_req *r); /* "127.0.0.1", "unix" */
/* Over TCP: IPv6, or IPv4 mapped into it; zeroes where it is not known. */
void http_peer_address(const struct http_req *r, unsigned char ret[16]);

/* Exchange data of the handler; free_user is called when the exchange is
 * over for any reason (answered, client gone): cancel what you wait for. It
 * is never called from within an answering function, but soon after. */
void http_set_user(struct http_req *r, void *user, void (*free_user)(void *));
void *http_user(const struct http_req *r);

/* Streaming body: data as it comes, n == 0 at its end. After http_pause the
 * socket is not read until http_resume. Returning false from data is not
 * possible: answer instead, the rest is then dropped and the connection ends.
 */
void http_body(struct http_req *r,
    void (*data)(struct http_req *r, const void *p, size_t n));
int64_t http_content_length(const struct http_req *r); /* -1 unknown */
void http_pause(struct http_req *r);
void http_resume(struct http_req *r);

/*** The answer: once whole, or begin, send..., end ***/

/* {"error":"..."} */
void http_error(struct http_req *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Steals j; adds the newline. */
void http_json(struct http_req *r, int status, json_t *j);
void http_reply(
    struct http_req *r, int status, const char *type, const void *p, size_t n);
/* Before any of the answers above and below: an extra header. */
void http_add_header(struct http_req *r, const char *name, const char *value);
/* length -1: chunked (to 1.1), or until the end of the connection (to 1.0).
 * A HEAD request's bytes are dropped. */
void http_begin(
    struct http_req *r, int status, const char *type, int64_t length);
/* Copies what the kernel does not take at once. Returns bytes queued. */
size_t http_send(struct http_req *r, const void *p, size_t n);
/* drained is called when the queue is below 256 KiB again; NULL: none. */
void http_on_drain(struct http_req *r, void (*drained)(struct http_req *r));
void http_end(struct http_req *r);
/* Answers 101 with these headers' values ("websocket"; http_add_header adds
 * more): from now on data gets the bytes that come as they are, n == 0 at
 * their end; http_send sends bytes, http_pause and http_on_drain work, and
 * http_end sends what is queued and closes. Of a request without a body. */
void http_upgrade(struct http_req *r, const char *protocol,
    void (*data)(struct http_req *r, const void *p, size_t n));
/* Cut off in the middle: the connection is closed without an end. */
void http_abort(struct http_req *r);

#endif
