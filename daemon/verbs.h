/*
 * verbs.h - what is written to ctl, env, ports and pool: whole lines, each a
 * command, done in order until one fails. One that begins a transition
 * (create, start, stop, restart, limits) is done when that has ended, and the
 * next line waits for it. Each failure is a line of /sbx/errors.
 */
#ifndef DAEMON_VERBS_H
#define DAEMON_VERBS_H

#include "daemon/errlog.h"
#include "daemon/front.h"
#include "daemon/jobs.h"
#include "lib/words.h"

#define VERBS_LINE_MAX (64u << 10)

struct verbs;

struct verbs_req {
	struct front *f;
	struct errlog *errors; /* may be NULL */
	const struct caller *caller;
	const char *file;   /* "ctl", "env", "ports", "pool" */
	struct sandbox *sb; /* NULL: the root's file of that name */
	int job;	    /* 0: the sandbox's file, not a job's */
	const char *shown;  /* what the file is called in /sbx/errors */
	const char *text;
	size_t len;
};

/* done bytes were done; then error (0: none) ended it. */
typedef void verbs_done(void *arg, size_t done, int error);

/* Copies what q points to. fn is called exactly once, with NULL returned when
 * that was before the return. */
struct verbs *verbs_write(const struct verbs_req *q, verbs_done *fn, void *arg);
/* Ends it now with EINTR: a create that waits is undone, any other transition
 * goes on; soft: where one would go on, nothing ends. */
void verbs_cancel(struct verbs *v, bool soft);
/* Ends it where it is, and nobody is told. */
void verbs_free(struct verbs *v);

/*** The arguments of create, which `new` and mkdir share ***/

struct create_words {
	struct create_args args; /* points into the words, and below */
	json_t *labels, *env;
};

void create_words_init(struct create_words *cw);
void create_words_done(struct create_words *cw);
/* One key=value. An unknown key's sentence lists those there are. */
int create_words_add(struct create_words *cw, const char *word, struct err *e);

/* `pty ROWS COLS`, `winsize ROWS COLS`. */
int job_size_words(const struct words *w, struct job_size *ret, struct err *e);

/* A signal by name (KILL, SIGKILL) or number. */
int verbs_signal(const char *s, int *ret, struct err *e);

#endif
