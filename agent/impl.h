/*
 * impl.h - what the files of sbx-agent share: the loop, connections, calls
 * and the tables of methods. One thread; nothing here waits for anybody.
 */
#ifndef AGENT_IMPL_H
#define AGENT_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "agent/json.h"
#include "lib/err.h"

#define CONNS_MAX 64
#define JOBS_MAX 512
#define HANDLES_MAX 1024 /* of one connection */
#define WORKERS_MAX 16
#define FILES_LINGER_MS 10000

/*** The loop (main.c): who is told when a descriptor is ready ***/

struct source {
	void (*ready)(struct source *s, uint32_t events);
};
/* 0 or -errno. A descriptor must be dropped before it is closed: the front
 * has it too, so that closing ours does not take it out of the loop. */
int loop_add(int fd, struct source *s, uint32_t events);
int loop_change(int fd, struct source *s, uint32_t events);
void loop_drop(int fd);
/* The front has gone or come: the listener stops at CONNS_MAX, and the files
 * mode ends some time after the last. */
void loop_conns(int n);

/*** Connections (conn.c) ***/

struct conn;

/* Takes the accepted socket. */
void conn_new(int fd);
/* Frees those that ended while events were handled. */
void conn_sweep(void);
/* Ends it, now or after the batch. */
void conn_kill(struct conn *c);
/* Queues a JSON frame, and sends. */
void conn_send(struct conn *c, const struct buf *json);
/* What was just queued need not go at once: it goes with what is sent next,
 * or when conn_send_held is called, after the next wait of the loop. */
void conn_hold(struct conn *c);
bool conn_any_held(void);
void conn_send_held(void);
/* Room for a binary frame of n bytes in the queue, or NULL; conn_binary_done
 * says how many it became; its JSON frame must be sent next. */
char *conn_binary(struct conn *c, size_t n);
void conn_binary_done(struct conn *c, size_t n);

struct handles;
struct handles **conn_handles(struct conn *c);

/* Only methods whose names begin so may be called on it from now on, for
 * good. -EPERM: it was limited before. */
int conn_limit(struct conn *c, const char *prefix);
bool conn_may(const struct conn *c, const char *method);

/*** Calls (rpc.c) ***/

struct call {
	struct conn *conn;
	bool has_id;
	int64_t id;
	const char *bin; /* the binary message, NULL if none came */
	size_t bin_len;
	int *fds; /* what came with it; -1 is taken, the rest is closed */
	size_t nfds;
	struct json_out out; /* within the result's object */
	struct err err;	     /* its text, if any, instead of strerror's */
	const struct json *json;
};

/* Handles a JSON frame. bin may be NULL. */
void rpc_frame(struct call *c, const char *p, size_t n);
/* Answers a call later: a copy of conn and id is enough. code 0 or an errno. */
void rpc_answer(struct conn *c, int64_t id, int code);
/* Sends a notification of this params text, an object. */
void rpc_notify(struct conn *c, const char *method, struct json_out *params);

#define CALL_LATER 1 /* what a method returns that answers itself */

enum param_type {
	PARAM_INT,   /* int64_t */
	PARAM_BOOL,  /* bool */
	PARAM_BYTES, /* struct bytes */
	PARAM_MAP,   /* int: the object's number in call.json, -1 none */
};

struct bytes {
	const char *p; /* NULL: not given; otherwise a NUL follows */
	size_t len;    /* no NUL within */
};

struct param {
	const char *key;
	enum param_type type;
	bool required;
	size_t offset;	       /* in the method's struct of arguments */
	int64_t min, max, def; /* of an int; def when it was not given */
};

enum method_flags {
	METHOD_BINARY = 1, /* wants a binary message */
	METHOD_FDS = 2,	   /* takes descriptors */
	METHOD_JOBS = 4,   /* not in files mode */
	METHOD_HELD = 8,   /* its answer is in no hurry: conn_hold */
};

struct method {
	const char *name;
	/* 0, CALL_LATER, or -errno. args was zeroed, then filled. */
	int (*call)(struct call *c, void *args);
	const struct param *params; /* ends with key NULL; NULL: none */
	unsigned flags;
};

#define ARGS_MAX 256 /* bytes of the largest struct of arguments */

/* Tables that end with name NULL. */
extern const struct method jobs_methods[];
extern const struct method env_methods[];
extern const struct method files_methods[];
extern const struct method tree_methods[];
extern const struct method xattr_methods[];
/* Set once at start: --files. */
extern bool rpc_files_only;

/*** Jobs, their environment, workers ***/

/* At start: the limits of a job are those that we were given. */
void jobs_init(void);
/* A child was reaped. */
void jobs_reaped(pid_t pid, int status, const struct rusage *ru);
void jobs_conn_gone(struct conn *c);
/* Frees those that were forgotten while events were handled. */
void jobs_sweep(void);

/* The environment of a new job: base (with TERM for a terminal), set, and the
 * map extra (-1 none) of j. NULL-terminated, freed by env_free; NULL and errno
 * when it is not one. */
char **env_build(const struct json *j, int extra, bool terminal);
void env_free(char **env);

/*
 * Runs fn(fd, name) in a child of ours and answers c with what it returns,
 * 0 or -errno: what may take long must not hold up the loop. Where no child
 * can be made, it is done at once. Returns what a method returns.
 */
int work_start(struct call *c, int (*fn)(int fd, const char *name), int fd,
    const char *name);
bool work_reaped(pid_t pid, int status);
void work_conn_gone(struct conn *c);

/*** Files ***/

void handles_free(struct handles *h);

#endif
