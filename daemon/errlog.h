/*
 * errlog.h - /sbx/errors: the sentence behind each errno that the files gave.
 *
 *     TIME pid=PID FILE: sentence: "command"
 *
 * One line each, whatever bytes a user or a guest put into it: what is not
 * printable is shown as \xNN, and a long command is cut. A user reads the
 * lines that its own uid caused, root all. It restarts at 4 MiB.
 */
#ifndef DAEMON_ERRLOG_H
#define DAEMON_ERRLOG_H

#include "daemon/front.h"
#include "daemon/ownlog.h"

struct errlog;

/* grew may be NULL; it is called after each line. */
int errlog_open(const char *path, void (*grew)(void *arg), void *arg,
    struct errlog **ret, struct err *e);
/* NULL is fine. */
void errlog_close(struct errlog *l);

/* What failed. */
struct errlog_what {
	const struct caller *caller;
	const char *file;
	const char *cmd; /* NULL: none is shown */
	size_t cmd_len;
};

/* l may be NULL: nothing is kept. */
void errlog_add(
    struct errlog *l, const struct errlog_what *w, const struct err *e);

ssize_t errlog_read(
    struct errlog *l, const struct caller *c, uint64_t off, void *p, size_t n);
uint64_t errlog_size(struct errlog *l, const struct caller *c);
int64_t errlog_mtime_ms(const struct errlog *l);

/* Appends n bytes as printable text on one line; quoted: for between "". */
void errlog_escape(struct buf *b, const char *p, size_t n, bool quoted);

#endif
