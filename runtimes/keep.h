/*
 * keep.h - records, and copies of those whose disk a reboot leaves: where
 * storage is not limited, DATA_DIR/sandboxes/ID/record says what the lost
 * record said, and the sandbox is down.
 */
#ifndef RUNTIMES_KEEP_H
#define RUNTIMES_KEEP_H

#include "lib/err.h"
#include "runtimes/record.h"

/* The record, or else the copy, with an empty boot: it has no ids. */
int keep_read(const char *id, struct record *ret, struct err *e);
/* Both. update: there is one already (record_update). */
int keep_write(const char *id, const struct record *r, struct err *e);
int keep_update(const char *id, const struct record *r, struct err *e);
/*
 * Brings one back that only a copy is left of: it gets ids and a record, and
 * its disk is mounted. The others are left as they are.
 */
int keep_revive(const char *id, struct record *r, struct err *e);
/* Calls each with every id that has a record or a copy. */
int keep_each(int (*each)(const char *id, void *arg), void *arg, struct err *e);

#endif
