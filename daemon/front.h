/*
 * front.h - the front's core: sandboxes, their states, who waits for them.
 *
 * One thread, one libuv loop; nothing here blocks. Both doors (api*.c for
 * HTTP, tree*.c for files.sock) call these functions and nothing below them.
 * A change is in the store, and its notification is written to every
 * files.sock client, before the function or the wait that reports it returns.
 */
#ifndef DAEMON_FRONT_H
#define DAEMON_FRONT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <uv.h>

#include "daemon/config.h"
#include "lib/err.h"
#include "runtimes/runtime.h"

#define SB_NAME_MAX 64 /* 63 and NUL */
#define SB_IDENTITY_MAX 128
#define SB_LABELS_MAX 64
#define SB_ENV_BYTES_MAX (256 << 10)

struct agentc;	/* agentc.h: control connection to one agent */
struct brokerc; /* brokerc.h: the client of the broker's workers */
struct store;
struct events;
struct pool;
struct tree_server;
struct http_server;
struct http_tls;
struct tokens;
struct job;
struct ports;

enum sb_state {
	SB_CREATING,
	SB_RUNNING,
	SB_PAUSED,
	SB_STOPPING,
	SB_STOPPED,
	SB_STARTING,
	SB_DESTROYING,
	SB_DESTROYED,
	SB_ERROR,
	SB_STATES
};
extern const char *const sb_state_names[SB_STATES];

/* On whose behalf something is asked. */
struct caller {
	bool all;  /* sees every sandbox: root, or TCP without identity */
	uid_t uid; /* (uid_t)-1: not a local user */
	gid_t gid;
	pid_t pid;			/* 0 unknown; for /sbx/errors */
	char identity[SB_IDENTITY_MAX]; /* "uid:N", a name, or "-" */
};

TAILQ_HEAD(job_list, job);
TAILQ_HEAD(wait_list, wait);

struct sandbox {
	struct front *f; /* borrowed */
	TAILQ_ENTRY(sandbox) link;
	/* kept in the store */
	char id[RT_ID_MAX];
	char name[SB_NAME_MAX]; /* "" none; a destroyed one's is free */
	enum sb_state state;
	char reason[256]; /* why state is error; "" otherwise */
	char owner[SB_IDENTITY_MAX];
	uid_t uid; /* of the directory; owner's, or chown'ed */
	gid_t gid;
	mode_t mode;   /* of the directory: 0700 */
	json_t *modes; /* {"exec":[mode,uid,gid]}: control files */
	char profile[RT_NAME_MAX];
	char image[RT_NAME_MAX];
	char runtime[16];
	char network[16];
	struct rt_limits limits;
	int64_t timeout_s; /* of one job, 0 none */
	int64_t ttl_s;	   /* -1 none */
	int64_t idle_s;	   /* 0 none */
	bool protect;
	bool held;	    /* lives as long as a handle of /sbx/new */
	bool warm;	    /* came from the pool */
	bool used;	    /* somebody named it since its creation */
	json_t *labels;	    /* object of strings, never NULL */
	json_t *env;	    /* object of strings, in order, never NULL */
	json_t *exposed;    /* {"8080":"127.0.0.1:32768"}, never NULL */
	int64_t created_ms; /* real time */
	int64_t env_ms;	    /* last change of env, of settings: real time */
	int64_t ctl_ms;
	int64_t changed_ms; /* last change of anything status shows */
	int next_job;	    /* number of the next job, from 1 */
	/* in memory only */
	int64_t started_ms; /* real time of the last start, 0 down */
	pid_t pid;	    /* of the agent */
	uint32_t id_base;
	uint32_t run;
	struct agentc *agent; /* NULL unless up */
	struct ports *ports;  /* ports.h's; NULL before its first use */
	int64_t ports_ms;     /* real time: what ports says changed */
	uint64_t ports_hash;  /* of what it said */
	struct job_list jobs; /* in order of their numbers */
	struct job *newest;   /* what exec readers get; NULL none */
	struct spool *spool;  /* jobs.c's; NULL before the first job */
	int64_t ended_jobs;   /* of jobs; and what is kept of them */
	uint64_t ended_bytes;
	int last_exit; /* of the newest ended job, -1 none */
	struct wait_list waits;
	int64_t active_ms;  /* last use, real time, for idle */
	int applying;	    /* limits on their way to the broker */
	bool lost;	    /* its disk: a start makes it anew */
	bool row_stays;	    /* destroyed; its row was not to be deleted yet */
	uint64_t oom_kills; /* as far as they were looked at */
	/* below is front_impl.h's */
	unsigned refs;
	unsigned gen;		/* counts transitions: late answers are old */
	bool claiming;		/* announced; its jobs wait for its host name */
	bool adopted;		/* coming up after a restart: no event */
	bool pooled;		/* ready and without an identity: no row */
	bool http;		/* made over HTTP: the connect timeout counts */
	bool keep_failed;	/* a failed create stays, in state error */
	uv_timer_t *grace;	/* of a stop, or NULL */
	int64_t grace_until_ms; /* of clock_ms */
};

TAILQ_HEAD(sandbox_list, sandbox);

struct front {
	uv_loop_t *loop;
	struct config *cfg;
	struct store *store;
	struct events *events;
	struct brokerc *broker;
	struct pool *pool;
	struct tree_server *tree;
	struct http_server *http;
	struct http_tls *tls;  /* of the TCP listener, or NULL */
	struct tokens *tokens; /* who may speak there, NULL: all */
	struct sandbox_list sandboxes;
	size_t nsandboxes; /* not destroyed */
	int64_t since_ms;  /* start of this front, real time */
	gid_t group;	   /* server.group, for what /sbx/ctl shows */
	bool stopping;
	unsigned reclaiming; /* destroyed, the broker has not answered */
	int exit_status;
	void *by_id, *by_name; /* tsearch trees of sandboxes' ids and names */
	uint64_t creates_warm, creates_cold, destroys;
};

/*** Finding ***/

/* By id or name. NULL: none, or the caller may not see it (the same to it).
 * Marks it used. Destroyed ones are not found; husks in destroying are not. */
struct sandbox *sandbox_find(
    struct front *f, const struct caller *c, const char *id_or_name);
/* The same without marking it. */
struct sandbox *sandbox_look(
    struct front *f, const struct caller *c, const char *id_or_name);
struct sandbox *sandbox_by_id(struct front *f, const char *id);
/* Its name, or its id where it has none. */
const char *sandbox_called(const struct sandbox *sb);
bool caller_owns(const struct caller *c, const struct sandbox *sb);
/* Whose lines of /sbx/events and /sbx/errors: a local user's uid, and for an
 * identity that is none a number above those. */
uid_t identity_key(const char *identity, uid_t uid);
/* EINVAL sentence for a name that cannot be one. */
int sandbox_name_check(const char *name, struct err *e);

/*** Waiting for a transition to end ***/

/* Embedded in what waits; done is called once, then w is the caller's again.
 * e is NULL when the sandbox reached a settled state that is no error. */
struct wait {
	TAILQ_ENTRY(wait) link;
	struct sandbox *sb; /* NULL when not waiting */
	void (*done)(struct wait *w, struct sandbox *sb, const struct err *e);
	void *arg;
};

/* Calls done at once when sb is in a settled state (running, paused, stopped,
 * error, destroyed) and no limits are on their way to it. */
void sandbox_wait(struct sandbox *sb, struct wait *w);
/* Is there nothing to wait for? */
bool sandbox_settled(const struct sandbox *sb);
/* No done any more. NULL-safe for one that is not waiting. */
void wait_cancel(struct wait *w);

/*** Lifecycle; each returns when the transition has begun (and its row is
 * written); sandbox_wait tells its end ***/

/* -1 in a limit: the profile's. Strings may be NULL, json is borrowed. */
struct create_args {
	const char *name;
	const char *profile;
	const char *image;
	struct rt_limits limits; /* each -1: not given */
	const char *network;
	int64_t timeout_s, ttl_s, idle_s; /* -1 none given; ttl INT64_MIN */
	const json_t *labels, *env;
	bool http; /* ttl counts (default 0), the connect timeout too */
	bool held;
	/* mkdir was answered already: a create that fails later leaves the
	 * sandbox in state error; otherwise it is gone once waits were told */
	bool keep_failed;
};
void create_args_init(struct create_args *a);

int sandbox_create(struct front *f, const struct caller *c,
    const struct create_args *a, struct sandbox **ret, struct err *e);
/* Would it be made, as things are now? */
int sandbox_create_check(struct front *f, const struct caller *c,
    const struct create_args *a, struct err *e);
int sandbox_destroy(struct sandbox *sb, struct err *e);
int sandbox_start(struct sandbox *sb, struct err *e);
/* grace_ms: SIGTERM to the jobs, then that long before the kill; 0 at once. */
int sandbox_stop(struct sandbox *sb, int64_t grace_ms, struct err *e);
int sandbox_pause(struct sandbox *sb, bool on, struct err *e);

/*** Settings: checked, stored, announced ***/

int sandbox_rename(struct sandbox *sb, const char *name, struct err *e);
/* Would that be done? */
int sandbox_rename_check(
    const struct sandbox *sb, const char *name, struct err *e);
/* Each -1: unchanged. storage cannot change. Sent to a live one: sandbox_wait
 * tells when they hold, or why they could not be set (then the old ones do). */
int sandbox_set_limits(struct sandbox *sb, const struct caller *c,
    const struct rt_limits *l, struct err *e);
/* What is in its row and concerns nobody else; all of it or none. */
struct sandbox_plain {
	int64_t timeout_s, ttl_s, idle_s;
	bool protect, held;
};
struct sandbox_plain sandbox_plain(const struct sandbox *sb);
int sandbox_set_plain(
    struct sandbox *sb, const struct sandbox_plain *p, struct err *e);
/* Strings; null removes. change may be NULL. All of them or none. */
int sandbox_set_labels(struct sandbox *sb, const json_t *change, struct err *e);
/* The same of labels that there would be; have may be NULL. */
int labels_check(const json_t *have, const json_t *change, struct err *e);
int env_name_check(const char *name, struct err *e);
/* An object of strings, which is copied; NULL: none. Goes to the agent as
 * well. */
int sandbox_replace_env(struct sandbox *sb, const json_t *env, struct err *e);
int sandbox_chown(struct sandbox *sb, uid_t uid, gid_t gid, struct err *e);
/* Each -1: unchanged. file NULL: the directory, of which only mode counts. */
struct file_mode {
	mode_t mode;
	uid_t uid;
	gid_t gid;
};
int sandbox_chmod(struct sandbox *sb, const char *file,
    const struct file_mode *m, struct err *e);
/* Of what is gone: key, and all beneath it. */
void sandbox_forget_modes(struct sandbox *sb, const char *key);
/* After a direct change of a stored field: row, ctl_ms, notification. Where
 * the row cannot be written, the caller takes its change back. */
int sandbox_changed(struct sandbox *sb, struct err *e);

/*** Called by jobs ***/

/* A job ended or began: counters, events, notifications. */
void sandbox_job_event(struct sandbox *sb, struct job *job, bool ended);

#endif
