/*
 * spool.h - what is kept of a sandbox's jobs on disk, in its spool/ directory:
 *
 *	journal  a record when a job starts, one when it ends, one when it is
 *	         forgotten; output of a short job lies in its end record
 *	N.data   output of a longer job, both streams as they arrived
 *	N.idx    struct kept_seg, one for each change of stream, from stdout on;
 *	         not there while all is stdout
 *	log      output of all jobs as it arrived; from size 0 at 16 MiB
 *
 * journal and log are made with the instance, empty. Nothing else is made, and
 * nothing opened, before it is needed. Failures of the disk are logged once a
 * sandbox, a directory that is not there is none; what could not be written is
 * not kept.
 */
#ifndef DAEMON_SPOOL_H
#define DAEMON_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/jobs.h"
#include "lib/buf.h"

#define SPOOL_LOG_MAX (16u << 20)
/* So much output of a job goes into its end record instead of a file. */
#define SPOOL_SMALL_MAX (16u << 10)

struct spool;

/* Bytes from `at` in both, `from` in its stream; the n-th is of stream n&1. */
struct kept_seg {
	uint64_t at;
	uint64_t from;
};

/* The kept output of one job. A zeroed one has its spool to be set. */
struct kept {
	struct spool *sp; /* borrowed */
	int number;
	bool truncated;
	uint64_t cut;	  /* when truncated: bytes before the mark */
	uint64_t size[3]; /* of enum job_stream */
	/* below is private */
	enum {
		KEPT_MEMORY,
		KEPT_JOURNAL,
		KEPT_FILE
	} where;
	bool has_files; /* or may have */
	struct buf mem[2];
	uint64_t journal_at; /* of stdout's bytes; stderr's follow */
	int data_fd, idx_fd;
	uint64_t nsegs;
	struct kept_seg last;
};

struct spool_start {
	int number;
	bool session;
	enum job_input input;
	int64_t started_ms, timeout_ms;
	uint64_t ino[3]; /* of the pipes: stdout, stderr, stdin (or 0) */
	const char *cmd;
	size_t cmd_len;
	uint64_t cmd_at; /* when it is loaded: where cmd lies */
};

struct spool_end {
	int number;
	int code, signal;
	bool timed_out, failed;
	uint64_t cpu_usec, memory_peak;
	int64_t ended_ms, usec;
	const char *reason;
};

/* What spool_load calls; false ends it. kept is to be copied, with its own
 * number and spool set. */
struct spool_reader {
	void (*start)(void *arg, const struct spool_start *s);
	void (*end)(void *arg, const struct spool_end *s, const struct kept *k);
	void (*forget)(void *arg, int number);
};

/* max: bytes kept of one job. Opens nothing. */
struct spool *spool_new(const char *dir, uint64_t max);
void spool_free(struct spool *sp);

/* Where the script lies in the journal; 0 when it could not be written. */
uint64_t spool_start(struct spool *sp, const struct spool_start *s);
/* The n bytes of one; while the journal is rewritten, of the old one. */
bool spool_cmd(struct spool *sp, uint64_t at, void *p, size_t n);
/* With what k holds in memory, which stays there until kept_told. */
void spool_end(struct spool *sp, const struct spool_end *s, struct kept *k);
void spool_forget(struct spool *sp, int number);
/* Reads the journal; a record cut off at the end is dropped. */
int spool_load(
    struct spool *sp, const struct spool_reader *r, void *arg, struct err *e);

/* Rewriting the journal: when spool_bloated, all records again. */
bool spool_bloated(const struct spool *sp);
void spool_rewrite(struct spool *sp);
/* Copies the blobs that k has in the old journal. */
void spool_rewrite_end(
    struct spool *sp, const struct spool_end *s, struct kept *k);
void spool_rewritten(struct spool *sp);

void spool_log_add(struct spool *sp, const void *p, size_t n);
/* The next n bytes of a pipe, which has them. */
void spool_log_take(struct spool *sp, int pipe, size_t n);
ssize_t spool_log_read(struct spool *sp, uint64_t off, void *p, size_t n);
uint64_t spool_log_size(struct spool *sp);

void kept_init(struct kept *k, struct spool *sp, int number);
/* Whoever waited for its end has read it: what is on disk is there alone. */
void kept_told(struct kept *k);
/* Closes; what is on disk stays. */
void kept_done(struct kept *k);
/* Of a job that was running when the front died: sizes from its files. */
void kept_resume(struct kept *k);
/* How many of the bytes are kept. */
size_t kept_add(struct kept *k, enum job_stream s, const void *p, size_t n);
/* The job takes longer: what is in memory goes to its file. */
void kept_to_file(struct kept *k);
ssize_t kept_read(
    struct kept *k, enum job_stream s, uint64_t off, void *p, size_t n);
/* A new read-only descriptor of N.data, made if need be, or -errno. */
int kept_open(struct kept *k);
void kept_delete(struct kept *k);

#endif
