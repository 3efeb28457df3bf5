/*
 * jobs.h - jobs of a sandbox as the front sees them.
 *
 * The front makes the pipes (outputs mode 0622, stdin 0644), gives the agent
 * its ends and a copy of ours, and gives what it reads from ours to the spool
 * (spool.h; at most limits.job_output bytes and one marker line of a job are
 * kept) and to every follower. A job ends when its first
 * process has exited and what was in the pipes then was read. What comes
 * later goes to the sandbox's log (spool/log), as all output does.
 */
#ifndef DAEMON_JOBS_H
#define DAEMON_JOBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/front.h"
#include "lib/buf.h"

#define JOB_SCRIPT_MAX (1u << 20)

enum job_stream {
	JOB_STDOUT,
	JOB_STDERR,
	JOB_BOTH
};

/* What a job's stdin is. */
enum job_input {
	JOB_NULL,     /* /dev/null */
	JOB_BYTES,    /* what job_args gave, and its end */
	JOB_WRITERS,  /* what job_write brings, until job_eof */
	JOB_TERMINAL, /* the same; all its streams are one terminal */
};

enum job_state {
	JOB_QUEUED,  /* the sandbox is not running yet */
	JOB_RUNNING, /* or being started */
	JOB_ENDED,
};

struct store_job;

struct follower {
	TAILQ_ENTRY(follower) link;
	struct job *job; /* NULL when not following */
	/* Bytes as they arrive, kept or not. May be NULL. */
	void (*output)(
	    struct follower *fo, enum job_stream s, const void *p, size_t n);
	/* Bytes as they arrive that are not kept any more. May be NULL. */
	void (*more)(struct follower *fo, const void *p, size_t n);
	/* Takes such bytes from a pipe where they stay: how many, 0 for none
	 * now. Called instead of more where nobody else wants any. May be NULL.
	 */
	size_t (*pass)(struct follower *fo, int fd);
	/* The kept output grew (JOB_BOTH size). May be NULL. */
	void (*grew)(struct follower *fo);
	/* Called once; the job is still there. Not following any more. */
	void (*ended)(struct follower *fo);
	void *arg;
	/* Set in output, more or pass: enough, for now; then follower_resume.
	 * Others that follow the job wait as well, and so does the job. */
	bool full;
};

/* Bytes on their way to a job's stdin. */
struct job_write {
	TAILQ_ENTRY(job_write) link;
	struct job *job; /* NULL when not waiting */
	const char *p;	 /* the caller's; must stay until it has ended */
	size_t n;	 /* 0: ends when there is room for more */
	size_t done;
	/* Called once: 0, or EPIPE when done is less. Not waiting any more. */
	void (*ended)(struct job_write *w, int error);
	void *arg;
};

struct job_size {
	int64_t rows, cols; /* 1 to 65535 */
};

struct job {
	TAILQ_ENTRY(job) link;
	struct sandbox *sb; /* borrowed */
	int number;
	enum job_state state;
	bool session; /* not the newest for exec readers */
	char *cmd;    /* the script, NUL-terminated; NULL: it is on disk */
	size_t cmd_len;
	pid_t pid;	/* inside */
	int code;	/* exit status, -1 killed by signal */
	int signal;	/* 0, or what killed it */
	bool timed_out; /* killed by its timeout */
	bool truncated; /* more came than was kept */
	uint64_t cut;	/* of JOB_BOTH: then kept up to there, and a mark */
	bool failed;	/* never ran; reason says why (code 126 or 127) */
	char reason[256];
	int64_t started_ms, ended_ms; /* real time */
	int64_t usec;		      /* how long it ran */
	uint64_t cpu_usec;
	uint64_t memory_peak; /* bytes, of its largest process */
	uint64_t size[3];     /* kept bytes of stdout, stderr, both */
	enum job_input input;
	bool input_ended;	  /* nothing more can be written to it */
	struct job_size terminal; /* of JOB_TERMINAL */
	unsigned writers;	  /* who have its stdin open in a mount */
	bool had_writer;
	/* the rest is jobs.c's */
	struct job_priv *priv;
};

struct job_args {
	const void *script;
	size_t len;
	const json_t *env; /* object of strings, or NULL */
	const char *cwd;   /* NULL: /root */
	enum job_input input;
	const void *stdin_data; /* of JOB_BYTES */
	size_t stdin_len;
	struct job_size terminal; /* of JOB_TERMINAL */
	int64_t timeout_ms;	  /* 0: the sandbox's timeout */
	bool session;
	bool kept; /* where it must wait, it outlives us */
};

/*
 * Starts a job, or queues it while the sandbox is creating or starting.
 * EHOSTDOWN when it is neither running nor on its way; EINVAL, E2BIG.
 * An empty script is EINVAL. A start that fails later ends the job with code
 * 127 (no sh) or 126, reason set, and the sentence as its stderr output.
 */
int job_start(struct sandbox *sb, const struct job_args *a, struct job **ret,
    struct err *e);
/* ESRCH when it has ended. To its process group. */
int job_signal(struct job *job, int sig, struct err *e);
/* EINVAL where it has no terminal, ESRCH when it has ended. */
int job_resize(struct job *job, const struct job_size *size, struct err *e);
/* EINVAL for a size that cannot be one. */
int job_size_check(const struct job_size *size, struct err *e);
/* Kills and forgets; its files are deleted. */
void job_forget(struct job *job);
/* number 0: the newest; -1: the last of all. NULL: none. */
struct job *job_find(struct sandbox *sb, int number);

/* Writes to its stdin, after what others write; w->ended may be called before
 * it returns. A pipe that is full is waited for. */
void job_write(struct job *job, struct job_write *w);
/* What was not done of it is not written, and ended not called. */
void job_write_cancel(struct job_write *w);
/* The end of its input, after all that was written; ^D in a terminal. EPIPE
 * when it has ended already, ESRCH when the job has. */
int job_eof(struct job *job, struct err *e);

/* The script, wherever it is; false when the disk does not have it. */
bool job_cmd(struct job *job, struct buf *ret);
/* What is kept: bytes read at off, 0 at its end, -errno. */
ssize_t job_read(
    struct job *job, enum job_stream s, uint64_t off, void *p, size_t n);
/* A new read-only descriptor of the kept output of both streams, or -errno.
 * Its size is job->size[JOB_BOTH]. */
int job_open(struct job *job);

/* What it said is little so far and in no file: it may be its end already. */
bool job_is_short(const struct job *job);

/* Follows from now on; an ended job calls ended before it returns. */
void job_follow(struct job *job, struct follower *fo);
void job_unfollow(struct follower *fo);
void follower_resume(struct follower *fo);

/* As shells say it: 128+N for a signal. */
int job_exit_status(const struct job *job);
int jobs_running(const struct sandbox *sb);

/* The sandbox's log. */
ssize_t sandbox_log_read(struct sandbox *sb, uint64_t off, void *p, size_t n);
uint64_t sandbox_log_size(struct sandbox *sb);

/*** For front.c ***/

/* The sandbox is up: queued jobs start. */
void jobs_run(struct sandbox *sb);
/* It will not be: they fail. */
void jobs_drop_queued(struct sandbox *sb);
/* It is down or gone: running jobs end with SIGKILL, queued ones fail. */
void jobs_down(struct sandbox *sb);
/* After a restart: loads the spool's jobs; those the agent lists go on. */
int jobs_load(struct sandbox *sb, struct err *e);
/* One that waited for sb to be up, and goes on waiting. */
void job_load_queued(struct sandbox *sb, const struct store_job *j);
void jobs_free(struct sandbox *sb);
/* At the front's end. */
void jobs_done(void);
/* A notification of the agent of sb; what is not about jobs is ignored. */
void jobs_notify(struct sandbox *sb, const char *method, const json_t *params);
/* Once for each sbx.hello: jobs of before a restart go on, those that nobody
 * knows are killed. */
void jobs_adopt(struct sandbox *sb, const json_t *hello_result);

#endif
