/*
 * ownlog.h - a file of lines, each of which belongs to a uid: a reader sees
 * its own, root all. /sbx/events and /sbx/errors are two of them.
 *
 * PATH holds the lines as they are shown to root; PATH.idx, of 8 bytes a line,
 * whose each is. A file that would grow beyond its maximum restarts from size
 * 0. What was appended survives the kill of any process.
 */
#ifndef DAEMON_OWNLOG_H
#define DAEMON_OWNLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

struct ownlog;

/* Whose view of it. */
struct ownlog_view {
	bool all;
	uid_t uid;
};

int ownlog_open(
    const char *path, uint64_t max_bytes, struct ownlog **ret, struct err *e);
/* NULL is fine. */
void ownlog_close(struct ownlog *l);

/* line has its newline and no other. 0 or -errno: nothing was appended. */
int ownlog_add(struct ownlog *l, uid_t uid, const char *line, size_t len);
/* The same in two steps: several lines are appended at once. What is not
 * written yet is not read; after an error it is lost. */
int ownlog_put(struct ownlog *l, uid_t uid, const char *line, size_t len);
int ownlog_flush(struct ownlog *l);
/* Bytes of the view from off: a count, 0 at its end, -errno. */
ssize_t ownlog_read(struct ownlog *l, const struct ownlog_view *v, uint64_t off,
    void *p, size_t n);
uint64_t ownlog_size(struct ownlog *l, const struct ownlog_view *v);
/* Real time of the last append or restart. */
int64_t ownlog_mtime_ms(const struct ownlog *l);
/* The last n lines or fewer, from the oldest on, each with its newline and
 * terminated. */
void ownlog_tail(struct ownlog *l, uint64_t n,
    void (*fn)(void *arg, uid_t uid, const char *line, size_t len), void *arg);
/* The last line into p, without its newline, terminated; its length, 0 when
 * there is none or it does not fit. */
size_t ownlog_last(struct ownlog *l, char *p, size_t n);

#endif
