/*
 * api_impl.h - what the handlers in api*.c share: who asks, what about, what
 * the body says, how a failure is told.
 */
#ifndef DAEMON_API_IMPL_H
#define DAEMON_API_IMPL_H

#include "daemon/api.h"
#include "daemon/front.h"
#include "daemon/http.h"

#define API_BODY_MAX (1u << 20)
#define API_EXEC_BODY_MAX (10u << 20)
#define API_BAD_BODY "invalid request body"

struct metrics;

/* The argument of the server: http_arg(). */
struct api {
	struct front *f;
	struct metrics *metrics;
	size_t subscribers;
};

struct front *api_front(const struct http_req *r);

/* May this request be served at all? Over TCP it needs a token where there
 * are any, but for /health and /metrics. False: it was answered. */
bool api_admit(struct http_req *r, const struct http_route *route);
/* Who asks. False: it was answered (400 or 403). */
bool api_caller(struct http_req *r, struct caller *ret);
/* A browser sends it for the page of another site; never on the Unix socket. */
bool api_other_site(const struct http_req *r);
/* The sandbox named by the first variable of the path, or NULL: answered. */
struct sandbox *api_sandbox(struct http_req *r);
/* The port that the second variable names, or -1: answered. */
int api_port(struct http_req *r);
/* As above, and only for who may administer the daemon. */
bool api_admin(struct http_req *r);

/* Answers by err's code; before is NULL or "before: ". */
void api_fail(struct http_req *r, const struct err *e, const char *before);

/* What a DELETE was of is gone: 204. */
void api_gone(struct http_req *r);

/*** Bodies ***/

enum api_kind {
	API_STRING,   /* const char *, no NUL byte inside */
	API_BYTES,    /* const json_t *, a string with any bytes */
	API_INT,      /* int64_t */
	API_NUMBER,   /* double */
	API_BOOL,     /* int: 0 or 1 */
	API_SIZE,     /* int64_t, written "512m" */
	API_MAP,      /* const json_t *, an object of strings */
	API_MAP_NULL, /* the same, values may be null */
};

/* A field of a request body; absent and null leave the member alone. */
struct api_field {
	const char *name; /* NULL: the end */
	enum api_kind kind;
	size_t offset;	  /* in the struct */
	const char *what; /* for /openapi.json */
	bool required;
};

/*
 * Reads the body into out by the table. An empty one is as good as {} where
 * empty_ok. Returns the JSON that out's pointers point into, for json_decref,
 * or NULL: answered with 400 and the field's name.
 */
json_t *api_body(struct http_req *r, const struct api_field *fields, void *out,
    bool empty_ok);
/* The body as an object of anything: null counts as {}. NULL: answered. */
json_t *api_object(struct http_req *r, bool empty_ok);

/* Limits of a body: l holds -1 where none was given, cpu is NAN then. False:
 * answered with 400. */
bool api_limits(struct http_req *r, double cpu, struct rt_limits *l);

/*** Shapes ***/

json_t *api_sandbox_info(const struct sandbox *sb);
/* RFC 3339 in UTC, milliseconds. */
json_t *api_time(int64_t real_ms);
/* Text of any bytes: *ret_text with U+FFFD where it is not UTF-8, and then
 * *ret_base64 is a string as well, else NULL. */
void api_text(const void *p, size_t n, json_t **ret_text, json_t **ret_base64);

/*** Handlers ***/

void api_health(struct http_req *r);
void api_metrics(struct http_req *r);
void api_profiles(struct http_req *r);
void api_pools(struct http_req *r);
void api_pool_resize(struct http_req *r);
void api_pool_flush(struct http_req *r);
void api_openapi(struct http_req *r);
void api_events(struct http_req *r);
void api_events_history(struct http_req *r);
void api_create(struct http_req *r);
void api_list(struct http_req *r);
void api_get(struct http_req *r);
void api_patch(struct http_req *r);
void api_delete(struct http_req *r);
void api_verb_start(struct http_req *r);
void api_verb_stop(struct http_req *r);
void api_verb_restart(struct http_req *r);
void api_verb_pause(struct http_req *r);
void api_verb_resume(struct http_req *r);
void api_stats(struct http_req *r);
void api_exec(struct http_req *r);
void api_env_get(struct http_req *r);
void api_env_put(struct http_req *r);
void api_log(struct http_req *r);
void api_ports(struct http_req *r);
void api_expose(struct http_req *r);
void api_unexpose(struct http_req *r);
void api_proxy(struct http_req *r);
void api_ws(struct http_req *r);
void api_tree_ws(struct http_req *r);

/* The fields of a handler's body, or NULL: for /openapi.json. */
extern const struct api_field api_create_fields[], api_patch_fields[],
    api_exec_fields[], api_expose_fields[], api_stop_fields[],
    api_pool_fields[];

#endif
