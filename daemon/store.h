/*
 * store.h - the rows that survive us: SQLite in write-ahead mode, one row a
 * sandbox with every field that front.h keeps "in the store", the jobs that
 * wait for a sandbox to be up, and a few named numbers. A row is there when the
 * call returns, and survives the kill of any process; only a power loss may
 * take the last ones.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stdint.h>

#include "daemon/front.h"
#include "daemon/jobs.h"

struct store;

/* Makes the file (0600) if there is none. A damaged one, one that another
 * process has locked, and one of a newer sbxd are errors that say so. */
int store_open(const char *path, struct store **ret, struct err *e);
/* NULL is fine. */
void store_close(struct store *s);

/* Inserts or replaces the row of sb: one transaction, some 30 us. */
int store_put(struct store *s, const struct sandbox *sb, struct err *e);
/* No row is no error. */
int store_delete(struct store *s, const char *id, struct err *e);
/*
 * Calls fn for each row, oldest first, with a new zeroed struct sandbox whose
 * stored fields are filled; it is fn's from then on. Ends early when fn
 * returns non-zero. fn must not call the store.
 */
int store_each(struct store *s, int (*fn)(struct sandbox *filled, void *arg),
    void *arg, struct err *e);

/* A job that waits until its sandbox, which has a row, is up. */
struct store_job {
	int number;
	bool session;
	enum job_input input;
	struct job_size terminal;
	int64_t timeout_ms;
	const void *script;
	size_t len;
};

int store_queue(
    struct store *s, const char *id, const struct store_job *j, struct err *e);
int store_unqueue(struct store *s, const char *id, int number, struct err *e);
/* In the order of their numbers; those whose sandbox is gone are deleted. fn
 * must not call the store. */
int store_each_queued(struct store *s,
    void (*fn)(void *arg, const char *id, const struct store_job *j), void *arg,
    struct err *e);

int store_set_meta(
    struct store *s, const char *key, int64_t value, struct err *e);
/* missing where there is no such number. */
int64_t store_get_meta(struct store *s, const char *key, int64_t missing);

#endif
