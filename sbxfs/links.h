/*
 * links.h - what a link in fs/ is shown to point at: nothing outside.
 */
#ifndef SBXFS_LINKS_H
#define SBXFS_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/buf.h"

/*
 * True when a target may be shown as it is, for a link in a directory that
 * is depth names below the root of fs/: relative, all ".." leading, and no
 * more of them than depth.
 */
bool link_is_safe(const char *target, size_t depth);

/*
 * Where a link in the directory dir (a path in fs/, "" the root) leads: a
 * path without "..", "." or links, found as if fs/ were the root; what is
 * missing is followed by its name only. read_link is asked about each name
 * on the way: the length of its target, 0 for what is no link or not there,
 * or -errno, which ends it. Appends to ret, without leading slash: 0 or
 * -errno (-ELOOP after 40 links).
 */
typedef ssize_t (*link_reader)(void *arg, const char *path, char *to, size_t n);
int link_resolve(const char *dir, const char *target, link_reader read_link,
    void *arg, struct buf *ret);

#endif
