/*
 * http_impl.h - shared by http*.c alone: connections, requests, routes.
 *
 * A connection is small (an idle one has no buffers); a request exists from
 * the first byte of its head until its answer is with the kernel.
 */
#ifndef DAEMON_HTTP_IMPL_H
#define DAEMON_HTTP_IMPL_H

#include <llhttp.h>
#include <sys/queue.h>

#include "daemon/http.h"
#include "daemon/http_tls.h"
#include "daemon/screen.h"
#include "lib/buf.h"

#define HTTP_READ_SIZE 65536 /* of the one buffer all reads share */
#define HTTP_SEGMENTS_MAX 16 /* of a route's pattern */
#define HTTP_PARAMS_MAX 64   /* of a query */
#define HTTP_DRAIN_BELOW (256u << 10)
#define HTTP_DROP_MAX (64u << 10) /* body of a route that wants none */
#define HTTP_LINGER_MS 2000	  /* of silence after the last answer */
#define HTTP_LINGER_MAX_MS 30000

/* A span of the head; the byte after it may be overwritten by a NUL. */
struct http_field {
	uint16_t name, name_len, value, value_len;
};

struct http_param {
	const char *key, *value;
};

enum http_phase {
	PHASE_HEAD,
	PHASE_BODY,
	PHASE_WAIT, /* the whole request is here, the answer is not done */
	PHASE_RAW,  /* another protocol's bytes, both ways */
};

struct http_req {
	struct http_conn *c;
	TAILQ_ENTRY(http_req) link; /* in the server's spare ones */
	llhttp_t parser;
	struct screen screen;
	struct buf head; /* raw bytes, later cut into strings */
	struct http_field fields[SCREEN_FIELDS_MAX];
	uint16_t nfields;
	uint16_t method_len, target, target_len;
	bool in_value;
	bool parsed;	 /* the parser has seen the end of the message */
	bool keep_alive; /* what the client wants */
	bool minor;	 /* HTTP/1.1, not 1.0 */
	bool head_only;	 /* HEAD */
	bool expects;	 /* 100 Continue is still to be sent */
	enum http_phase phase;
	char *path;			  /* in head, raw, NUL-terminated */
	char *query;			  /* in head, raw, or NULL */
	int64_t length;			  /* of the body, -1 chunked, 0 none */
	const struct http_route *route;	  /* NULL: no match */
	const struct http_route *pending; /* what answers: route or an error */
	const char *vars[HTTP_VARS_MAX];
	struct http_param *params;
	size_t nparams;
	struct buf body;
	size_t body_max;
	void (*data)(struct http_req *r, const void *p, size_t n);
	void (*drained)(struct http_req *r);
	void *user;
	void (*free_user)(void *);
	/* the answer */
	struct buf extra; /* header lines of http_add_header */
	int status;	  /* 0: not begun */
	int64_t to_send;  /* of a fixed length; -1: until the end */
	bool chunked;
	bool over; /* ended: nothing more from the handler */
	bool cut;  /* the connection must end without an end */
	bool paused;
	bool eof_told; /* of PHASE_RAW */
	bool overfull; /* the body is over body_max */
	int64_t started_us;
	int64_t window_ms; /* minimum rate: since when, how much */
	int64_t window_bytes;
};

/* Of a listener, or of a connection. */
union http_socket {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_pipe_t pipe;
	uv_tcp_t tcp;
};

struct http_conn {
	union http_socket u;
	TAILQ_ENTRY(http_conn) link;
	TAILQ_ENTRY(http_conn) due_link; /* in due, when is_due */
	struct http_server *s;
	struct http_req *r; /* NULL: idle */
	char *stash;	    /* bytes read, not yet looked at */
	size_t stash_len;
	int64_t since_ms;   /* idle, the head or lingering since */
	uint64_t written;   /* bytes given to libuv, all in all */
	uint64_t sent_seen; /* the kernel's share of them when last looked */
	int64_t sent_ms;    /* when that changed; lingering: the last read */
	struct http_tls_session *tls; /* NULL: none */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool is_unix, is_due, reading, running, eof, broken, lingering;
	bool closing;
};

TAILQ_HEAD(http_conns, http_conn);
TAILQ_HEAD(http_reqs, http_req);

struct http_pattern {
	size_t n;  /* segments */
	bool rest; /* a last "*" */
	struct {
		const char *s; /* NULL: a variable */
		size_t len;
	} seg[HTTP_SEGMENTS_MAX];
};

struct http_server {
	uv_loop_t *loop;
	struct http_conf conf;
	struct http_pattern *patterns; /* one a route */
	struct http_listener *listeners;
	struct http_conns conns, due;
	struct http_reqs spare;
	size_t nspare, nconns;
	size_t handles; /* open ones, the server's memory lives as long */
	uv_timer_t sweep;
	uv_prepare_t prepare;
	uv_check_t check;
	int64_t sweep_ms;
	bool quiet, freed;
	int64_t date_s; /* what date holds */
	char date[40];
	char in[HTTP_READ_SIZE];
	char plain[HTTP_READ_SIZE + HTTP_TLS_MORE]; /* what TLS made of it */
};

/* http_head.c: 0 or a status to refuse with, *ret_text says why. */
void http_head_init(struct http_req *r);
int http_head_parse(struct http_req *r, const char **ret_text);
/* Decodes %XX in place; false for a bad one or a NUL. */
bool http_decode(char *s, bool plus);

/* http_route.c: compiles; finds the route, fills vars. */
void http_route_compile(struct http_server *s);
const struct http_route *http_route_find(struct http_req *r);

/* http_conn.c: writes what it can now, copies the rest. */
void http_conn_write(struct http_conn *c, const uv_buf_t *bufs, unsigned n);
/* The same behind TLS: what the peer's kernel gets. */
void http_conn_send(void *c, const void *p, size_t n);
/* Uses n bytes that came; with n == 0 what was kept. */
void http_conn_run(struct http_conn *c, const char *p, size_t n);
/* It is to be run again, soon and not from here. */
void http_conn_due(struct http_conn *c);
void http_conn_check(struct http_conn *c, int64_t now_ms);
void http_conn_close(struct http_conn *c);

/* http.c: a handle of the server is closed. */
void http_server_unref(struct http_server *s);

#endif
