/*
 * tree_impl.h - what tree*.c share: the server of files.sock, its
 * connections, the requests under way, and what clients watch.
 *
 * A request (struct treq) is answered exactly once, and is gone when it is
 * answered and nothing that it asked for can come back any more. A client
 * that goes takes its requests along, except writes, which go on unheard.
 */
#ifndef DAEMON_TREE_IMPL_H
#define DAEMON_TREE_IMPL_H

#include "daemon/errlog.h"
#include "daemon/jobs.h"
#include "daemon/json.h"
#include "daemon/tree.h"
#include "daemon/verbs.h"

#define TREE_VERSION 1
/* The longest name that modes are kept by: jobs/N/stdout */
#define TREE_KEY_MAX 64
/* A held sandbox whose client went is named again within this time. */
#define TREE_HELD_MS 10000

enum watch_kind {
	WATCH_EVENTS,
	WATCH_ERRORS,
	WATCH_LOG, /* of a sandbox */
	/* these say which job it is that grew */
	WATCH_JOB,  /* one stream of it */
	FOLLOW_JOB, /* both, and its end */
};
#define WATCH_FILES (WATCH_LOG + 1)

struct treq;
struct thandle;

TAILQ_HEAD(treq_list, treq);
TAILQ_HEAD(thandle_list, thandle);
TAILQ_HEAD(tinput_list, tinput);

/* Descriptors that go with the byte at this place of the stream. */
struct out_fds {
	TAILQ_ENTRY(out_fds) link;
	uint64_t at;
	size_t n;
	int fds[RT_TREES_MAX];
};

struct tree_conn {
	TAILQ_ENTRY(tree_conn) link;
	struct tree_server *t; /* borrowed */
	uv_poll_t poll;
	int events; /* that poll waits for */
	int fd;
	struct caller peer;
	bool root;    /* speaks for others */
	bool remote;  /* on another machine: neither descriptors nor ids */
	bool hello;   /* gets notifications */
	bool dead;    /* closed before the loop waits again */
	bool stalled; /* whole frames wait until out is shorter */
	bool blocked; /* the socket is full */
	bool crowded; /* it may be, of what it was sent last */
	struct buf in, out;
	bool out_big;	/* its memory is worth giving back */
	struct buf bin; /* the last binary message, until its JSON comes */
	bool has_bin;
	uint64_t sent; /* bytes of the stream that the kernel has */
	TAILQ_HEAD(, out_fds) out_fds;
	struct treq_list reqs;
	size_t nreqs;
};

TAILQ_HEAD(tree_conn_list, tree_conn);

/* A sandbox of /sbx/new. conn NULL: nobody has it open until until_ms. */
struct held {
	TAILQ_ENTRY(held) link;
	char id[RT_ID_MAX];
	struct tree_conn *conn;
	int64_t until_ms; /* of the loop's clock */
};

struct tree_server {
	struct front *f; /* borrowed */
	int fd;
	uv_poll_t poll;
	uv_prepare_t prepare; /* sends what may wait until the loop does */
	uv_timer_t tick;      /* held ones */
	unsigned handles;     /* of libuv, not closed yet */
	struct tree_conn_list conns;
	size_t nconns;
	struct errlog *errors;
	TAILQ_HEAD(, held) held;
	struct treq_list orphans; /* writes whose clients are gone */
	struct thandle_list watched;
	json_t *modes; /* {"ctl":[mode,uid,gid]}, each -1 where never set */
	struct tinput_list inputs; /* stdin of jobs, open in mounts */
	int64_t next_handle;
	bool grew[WATCH_FILES]; /* since the loop waited last */
	int64_t changed_ms;  /* real time: any sandbox, for /sbx/ctl, status */
	int64_t profiles_ms; /* real time: of the configuration */
	uint64_t pool_hash;  /* of what pool said, and since when */
	int64_t pool_ms;
};

/*** A request ***/

struct tree_method {
	const char *name;
	void (*run)(struct treq *r);
	const char *file; /* what it is called in /sbx/errors */
	bool quiet;	  /* a notification: nobody is answered */
};

struct treq {
	TAILQ_ENTRY(treq) link; /* of conn->reqs, or of the orphans */
	struct tree_server *t;
	struct tree_conn *conn; /* NULL: the client is gone */
	const struct tree_method *m;
	json_int_t id;
	struct caller caller;
	json_t *params;
	struct buf bin;
	struct buf cmd; /* what was asked, for /sbx/errors; may be empty */
	char box[RT_ID_MAX];
	char made[RT_ID_MAX]; /* by a create: goes when that is cancelled */
	bool answered;
	unsigned refs;
	struct wait wait; /* wait.sb NULL: does not wait */
	struct verbs *verbs;
	struct job_write write; /* of stdin; .job NULL: does not wait */
};

void tree_dispatch(struct tree_conn *c, json_t *msg);
/* The client is gone. */
void treq_orphan(struct treq *r);
/* Orphans end where they are. */
void treq_free_all(struct tree_server *t);

struct treq *treq_ref(struct treq *r);
void treq_unref(struct treq *r);

/* Each answers; result is stolen. */
void treq_reply(struct treq *r, json_t *result);
void treq_reply_bin(struct treq *r, const void *p, size_t n, json_t *result);
/* fds become the connection's, or are closed. */
void treq_reply_fds(struct treq *r, json_t *result, int *fds, size_t n);
/* The errno, and a line in /sbx/errors. */
void treq_fail(struct treq *r, const struct err *e);
/* Without a line: what is no failure of the command (EAGAIN). */
void treq_fail_quietly(struct treq *r, int code);
void treq_fail_code(struct treq *r, int code, const char *text);
/* What the errors call the file that this is about. */
void treq_shown(struct treq *r, struct buf *ret);
/* {}, or the failure where ret is -1. */
void treq_end(struct treq *r, int ret, const struct err *e);

/* json_take of params; -1: answered, with no errno of a file. */
int treq_take(struct treq *r, const struct json_field *fields, size_t n);
#define TREQ_TAKE(r, fields) \
	treq_take((r), (fields), sizeof(fields) / sizeof((fields)[0]))

/* {"id"} of params: NULL when it was answered. */
struct sandbox *treq_box(struct treq *r);
/* The same, and the caller may use the file in it; want as in access(2):
 * R_OK, W_OK. The kernel has checked for those that root speaks for. */
struct sandbox *treq_box_file(struct treq *r, const char *file, int want);
/* {"job"} of params in sb, NULL: answered. */
struct job *treq_job(struct treq *r, struct sandbox *sb);
/* {"id"} and {"job"}, and the caller may use the file of that job. */
struct job *treq_job_file(
    struct treq *r, const char *file, int want, struct sandbox **ret_sb);
/* Of a file in sb or, with {"job"} in params, in that job, or (NULL) of its
 * directory. */
int tree_chmod(const struct treq *r, struct sandbox *sb, const char *file,
    const struct file_mode *m, struct err *e);

/* A local user. */
void tree_caller(struct caller *c, uid_t uid, gid_t gid, pid_t pid);

/*** A connection's stream (tree.c) ***/

void conn_json(struct tree_conn *c, json_t *msg); /* msg is stolen */
void conn_json_fds(struct tree_conn *c, json_t *msg, const int *fds, size_t n);
void conn_binary(struct tree_conn *c, const void *p, size_t n);
void conn_notify(struct tree_conn *c, const char *method, json_t *params);
/* fd becomes the connection's. */
void conn_notify_fd(
    struct tree_conn *c, const char *method, json_t *params, int fd);
void conn_flush(struct tree_conn *c);
/* Everything there is, to a new client. */
void conn_sync(struct tree_conn *c);

/*** What is watched (tree_watch.c) ***/

/* Answers r as job.follow, of a job that has just been started: what it says
 * comes by a notification. */
void treq_follow_new(struct treq *r, struct job *job);
void watch_send(struct tree_server *t);
void watch_conn_gone(struct tree_conn *c);

/*** Stdin of jobs (tree_input.c) ***/

/* h is the client's number for it; creator: of jobs/new, not of a writer. */
void input_open(struct tree_conn *c, struct job *job, int64_t h, bool creator);
void inputs_conn_gone(struct tree_conn *c);

/*** The files of the root (tree_top.c) ***/

/* Of a setattr; -1: unchanged. */
struct tree_attrs {
	const char *file;
	int64_t owner, group, mode;
};

void top_load(struct tree_server *t);
int top_set(struct treq *r, struct tree_attrs *a, struct err *e);

/*** Held sandboxes (tree_box.c) ***/

void held_start(struct tree_server *t);
void held_conn_gone(struct tree_conn *c);
bool held_tick(struct tree_server *t); /* false: none waits */
void held_free_all(struct tree_server *t);
void tree_tick_start(struct tree_server *t);

/*** Methods ***/

void tree_hello(struct treq *r);
void tree_create(struct treq *r);
void tree_destroy(struct treq *r);
void tree_rename(struct treq *r);
void tree_setattr(struct treq *r);
void tree_trees(struct treq *r);
void tree_hold(struct treq *r);
void tree_release(struct treq *r);
void tree_read(struct treq *r);
void tree_write(struct treq *r);
void tree_truncate(struct treq *r);
void tree_pread(struct treq *r);
void tree_watch(struct treq *r);
void tree_unwatch(struct treq *r);
void tree_job_more(struct treq *r);
void tree_follow(struct treq *r);
void tree_job_start(struct treq *r);
void tree_job_signal(struct treq *r);
void tree_job_forget(struct treq *r);
void tree_input_open(struct treq *r);
void tree_input_write(struct treq *r);
void tree_input_close(struct treq *r);
void tree_jobs(struct treq *r);
void tree_cancel(struct treq *r);
void tree_error(struct treq *r);
void tree_used(struct treq *r);

#endif
