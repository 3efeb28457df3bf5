/*
 * jobs_impl.h - what jobs.c (the life of a job) and jobio.c (its streams)
 * share.
 *
 * Most jobs are short, so nothing is watched at first: after LOOK_MS, or when
 * the pipes are read at the job's end, whichever comes first. Until then the
 * pipes hold what it says.
 */
#ifndef DAEMON_JOBS_IMPL_H
#define DAEMON_JOBS_IMPL_H

#include <uv.h>

#include "daemon/agentc.h"
#include "daemon/jobs.h"
#include "daemon/spool.h"

#define LOOK_MS 5
/* A killed job whose end is not told by then has ended for us. */
#define FORCE_MS 5000

struct reopen;

/* Our end of one of a job's pipes. */
struct job_pipe {
	struct job *job; /* borrowed */
	int fd;		 /* -1: closed */
	uint64_t ino;
	uv_poll_t *poll;       /* NULL: not watched */
	bool wide;	       /* made larger already */
	struct reopen *reopen; /* the broker is asked for it */
};

struct job_priv {
	struct kept kept;
	struct job_pipe out[2]; /* JOB_STDOUT, JOB_STDERR */
	struct job_pipe in;
	TAILQ_HEAD(, job_write) writes; /* to in, in their order */
	TAILQ_HEAD(, follower) followers;
	struct follower *next; /* in a walk over them */
	int busy;	       /* depth of callbacks: not to be freed */
	bool forgotten;	       /* freed when not busy */
	bool queued;	       /* the store has it */
	uint64_t cmd_at;       /* of the script in the journal; 0 nowhere */
	uv_timer_t *timer;
	bool force; /* the timer's next end is forced */
	int64_t timeout_ms;
	uint64_t began_ns; /* uv_hrtime; 0: by an earlier front */
	json_t *env;
	char *cwd;
	bool loaded;	  /* of an earlier front, the agent was not asked yet */
	bool exited;	  /* the agent said so; pipes are still being opened */
	uint64_t counted; /* of the sandbox's ended_bytes */
};

/*** jobio.c ***/

/* Makes the pipes; fds gets those for the agent, n how many: theirs and
 * ours in turn. */
int jobio_open(struct job *job, int fds[6], size_t *ret_n, struct err *e);
/* In a moment, makes those for the output of the next job of any sandbox. */
void jobio_spares(uv_loop_t *loop);
/* Watches what is not watched. */
void jobio_watch(struct job *job);
/* What is in the pipes now, and no more. */
void jobio_drain(struct job *job);
/* Writes what waits for stdin; at the end of its input tells the agent. */
void jobio_feed(struct job *job);
/* Bytes of our own, copied. */
void jobio_give(struct job *job, const void *p, size_t n);
/* Nothing more is written; who waits gets EPIPE. */
void jobio_end_input(struct job *job);
/* The agent's copy of stdin's writing end is to be closed. */
void jobio_eof(struct job *job);
void jobio_close(struct job_pipe *p);
/* Asks the broker for the pipe that is descriptor fdnum of the agent. */
void jobio_reopen(struct job_pipe *p, int fdnum);
/* An agent_done for what needs none. */
void job_no_answer(void *arg, const struct agent_answer *a);
bool jobio_opening(const struct job *job);

/*** jobs.c ***/

/* It is among the ended ones, and its size is what is kept of it. */
void job_count_ended(struct job *job);

/* As shells say it; no shell at all is 127. */
#define CODE_NOT_RUN 126
#define SIGNAL_MAX 64

struct spool *job_spool(struct sandbox *sb);
/* In its place in the list. */
struct job *job_new(
    struct sandbox *sb, int number, const char *cmd, size_t len);
/* Out of the list; the memory goes with the last hold. */
void job_free(struct job *job);
/* Around what may call back. */
void job_hold(struct job *job);
void job_release(struct job *job);
void job_took_kept(struct job *job);
/* Its process has exited: reads what is there and ends it. */
void job_finish(struct job *job);
/* It never ran, or nobody knows: the sentence is its output. */
void job_fail(struct job *job, int code, const char *reason);
/* Killed after that long. */
void job_limit(struct job *job, int64_t ms);
void job_call_agent(struct job *job, const char *method, json_t *params);
void job_send_signal(struct sandbox *sb, int number, int sig);
/* The agent may forget it. */
void job_ack(struct sandbox *sb, int number);

/*** jobfollow.c ***/

/* Bytes of a stream have come. */
void job_output(struct job *job, enum job_stream s, const void *p, size_t n);
/* As job_output, of what a pipe of ours holds, from pipe to pipe: where all
 * that is kept of it is there and at most one follower takes the rest. Bytes
 * taken; 0 when it is not so, or there are none. */
size_t job_pass(struct job *job, int fd);
/* Somebody has enough, for now. */
bool job_full(const struct job *job);
void job_tell_ended(struct job *job);

/*** jobdisk.c ***/

void job_put_start(struct job *job);
/* Its script is on disk, and wanted by few now. */
void job_drop_cmd(struct job *job);
/* Waits for its sandbox, and would do so after a restart; or no more. */
void job_put_queued(struct job *job);
void job_unqueue(struct job *job);
void job_fill_end(const struct job *job, struct spool_end *ret);
/* The whole journal anew. */
void jobs_rewrite(struct sandbox *sb);

/*** jobagent.c ***/

/* A pipe is open again, or cannot be. */
void job_reopened(struct job *job);

#endif
