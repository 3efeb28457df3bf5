/*
 * verbs_impl.h - what verbs*.c share: one write under way, and tables of the
 * words that begin a line.
 */
#ifndef DAEMON_VERBS_IMPL_H
#define DAEMON_VERBS_IMPL_H

#include "daemon/verbs.h"
#include "lib/words.h"

/* A line's function answers 0: done, -1: failed, v->e says why, or this: it
 * is waited for. */
#define LINE_WAITS 1

struct line_file;

struct verbs {
	struct front *f;
	struct errlog *errors;
	struct caller caller;
	const struct line_file *file;
	char id[RT_ID_MAX]; /* of the sandbox; "" in the root */
	int job;	    /* 0 outside jobs/ */
	char *shown;
	char *text;
	size_t len;
	size_t pos;	 /* done up to here */
	size_t line_len; /* of the line at pos, without its newline */
	struct err e;
	/* waiting */
	struct wait wait;
	uv_timer_t *timer;
	int64_t wait_ms;
	bool settled;	       /* the wait has ended */
	bool failed;	       /* and not well: e */
	bool begun;	       /* what the line asks for goes on without us */
	bool in_line;	       /* the line's function has not returned */
	struct expose *expose; /* a port that is waited for, or NULL */
	char made[RT_ID_MAX];  /* what a create made, while it is waited for */
	int (*then)(struct verbs *v, struct sandbox *sb);
	verbs_done *done;
	void *arg;
};

/* One word that may begin a line. */
struct verb {
	const char *name; /* NULL: the end */
	int (*run)(struct verbs *v, struct sandbox *sb, const struct words *w);
	size_t min, max;   /* words after it */
	const char *usage; /* of them */
	bool waits;	   /* until a sandbox has come to rest */
};

/* One of these: a table of first words, a function for each line, one for the
 * whole text, which moves pos over the lines that it has done. */
struct line_file {
	const char *name;
	bool root; /* of the root, not of a sandbox */
	bool job;  /* of a job, not of its sandbox */
	const struct verb *verbs;
	int (*line)(
	    struct verbs *v, struct sandbox *sb, const char *p, size_t n);
	int (*text)(struct verbs *v, struct sandbox *sb);
};

extern const struct verb verbs_top[], verbs_box[], verbs_job[], verbs_ports[];
int verbs_pool_line(
    struct verbs *v, struct sandbox *sb, const char *p, size_t n);
int verbs_env_text(struct verbs *v, struct sandbox *sb);

/* The line at pos: sets line_len. False at the end. */
bool verbs_next_line(struct verbs *v);
/* Over it, and its newline. */
void verbs_pass_line(struct verbs *v);

/* What the line waited for has come to an end, e NULL: a good one. */
void verbs_settle(struct verbs *v, const struct err *e);
/* Ends the wait for a port without a word. */
void verbs_expose_cancel(struct verbs *v);
/* Waits until sb is settled, at most ms; then (may be NULL) goes on. */
int verbs_wait(struct verbs *v, struct sandbox *sb, int64_t ms,
    int (*then)(struct verbs *v, struct sandbox *sb));
/* How long a start of it may take. */
int64_t verbs_start_ms(const struct sandbox *sb);
/* Runs the line's first word by the table. */
int verbs_run(struct verbs *v, const struct verb *table, struct sandbox *sb,
    const char *p, size_t n);

/* `kill [SIGNAL]`; job may be NULL. */
int verbs_kill(struct verbs *v, struct job *job, const struct words *w);

/* Only who sees everything may. */
int verbs_root_only(struct verbs *v, const char *what);

/* Values of settings, shared by create and ctl: -1 names key and value. */
int setting_size(const char *key, const char *s, int64_t *ret, struct err *e);
int setting_cpu(const char *s, int64_t *ret, struct err *e);
int setting_pids(const char *s, int64_t *ret, struct err *e);
int setting_seconds(
    const char *key, const char *s, int64_t *ret, struct err *e);
int setting_ttl(const char *s, int64_t *ret, struct err *e);

#endif
