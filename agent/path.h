/*
 * path.h - paths of requests, resolved beneath the sandbox's root. Without
 * follow no link is followed anywhere; with it, links lead where they would
 * for a process inside, the root being the root. Functions return 0 or a
 * descriptor, or -errno.
 */
#ifndef AGENT_PATH_H
#define AGENT_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agent/impl.h"

struct path {
	char text[PATH_MAX]; /* relative; "." is the root */
	bool follow;
};

/* Checks and copies. Without follow it is cleaned of ., .. and blanks, and
 * one that leaves the root is EXDEV. */
int path_set(struct path *p, const struct bytes *from, bool follow);
/* What lies in /proc, /dev and /sys is not for files: EPERM, and EBUSY for
 * these directories themselves. */
int path_guard(const struct path *p);
/* Opens it; flags and mode as in open(2), never the controlling terminal. */
int path_open(const struct path *p, int flags, mode_t mode);
enum {
	PATH_MAKE = 1, /* makes the directories that are missing */
	PATH_LAST = 2, /* with follow: the last part is followed as well */
};
/*
 * The directory it lies in, opened by O_PATH, and *ret_name, the last part of
 * p's text. With PATH_LAST p is first replaced by what it links to. What
 * path_guard refuses is refused.
 */
int path_parent(struct path *p, int how, const char **ret_name);

#endif
