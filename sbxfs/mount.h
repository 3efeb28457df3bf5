/*
 * mount.h - the mount itself: made by our own mount(2), recognised by its
 * number, removed only while it is ours.
 */
#ifndef SBXFS_MOUNT_H
#define SBXFS_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/*
 * The mountpoint as an absolute path without links, for the caller to free;
 * NULL and *e when it is no directory. A dead mount on it (its server is gone)
 * is taken away; one that lives is EBUSY.
 */
char *mount_prepare(const char *path, struct err *e);

struct mount_how {
	const char *fsname;
	bool allow_other; /* root's always does */
};

/* Mounts, without root by fusermount3: *ret_fd is /dev/fuse, *ret_id the
 * mount's number. 0, or -1. */
int mount_make(const char *path, const struct mount_how *how, int *ret_fd,
    uint64_t *ret_id, struct err *e);

/* Detaches what is mounted at path if it is still the mount of that number.
 * False: it is not. */
bool mount_remove(const char *path, uint64_t id);

#endif
