/*
 * dirs.h - directories of ours: made with their modes, listed, and trees
 * removed that strangers have filled.
 */
#ifndef RUNTIMES_DIRS_H
#define RUNTIMES_DIRS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

/* Makes at/path if it is not there, with this mode and owner: its fd. */
int dirs_make(
    int at, const char *path, mode_t mode, const uid_t owner[2], struct err *e);

/* Calls each with every name but . and .., until it returns non-zero. A
 * directory that is not there is empty. */
int dirs_each(int at, const char *path,
    int (*each)(const char *name, void *arg), void *arg, struct err *e);

/*
 * Removes at/name and everything beneath, however deep, following no link
 * and crossing no mount. What is not there is no error.
 */
int dirs_remove(int at, const char *name, struct err *e);

/* "sbx-", perhaps a node id and '-', and 32 digits: fit for a path. */
bool dirs_is_id(const char *name);

/* Back to "/" from where a relative path was needed, so that nothing of a
 * sandbox stays busy. */
void dirs_leave(void);

#endif
