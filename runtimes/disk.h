/*
 * disk.h - a sandbox's root filesystem: one overlay, mounted in the pinned
 * namespace from create to destroy.
 *
 *	DATA_DIR/sandboxes/ID/     root, 0711
 *	    spool/                 the front's, with its first files, empty
 *	    upper/                 where storage is not limited
 *	RUN_DIR/mnt/d/ID/          in the pinned namespace: a sized tmpfs, or
 *	                           upper bound there
 *	    l/                     the image's layer, read-only
 *	    u/ w/                  what the sandbox wrote
 *	    r/                     the overlay of these
 *
 * The tmpfs (or the directory bound on itself) and the layer are mounted with
 * the sandbox's range of ids, so that what lies in them has the ids of the
 * image. Who makes files in r/ must do so with an id of the range (setfsuid):
 * others have no number there, and the kernel answers EOVERFLOW.
 */
#ifndef RUNTIMES_DISK_H
#define RUNTIMES_DISK_H

#include <stdint.h>

#include "lib/err.h"
#include "runtimes/record.h"

/* The directories that are there while nothing is mounted. */
int disk_make(const char *id, const struct record *r, struct err *e);
/* The files of spool/, which the front would make for the first job: while
 * files come and go, ext4 takes half a millisecond to make one. Where that
 * fails, the front makes them. */
void disk_spool(const char *id);
/* Mounts; userns is a user namespace with the ids of r->id_base. */
int disk_mount(
    const char *id, const struct record *r, int userns, struct err *e);
/* Takes all mounts down; none is no error. */
int disk_unmount(const char *id, struct err *e);
/* Removes the directories, after disk_unmount. */
int disk_remove(const char *id, struct err *e);

/* The overlay's root directory as it is mounted here, or -errno. */
int disk_open(const char *id);
/* A mount of its own of the overlay, to be attached elsewhere, or -errno. */
int disk_clone(const char *id);
/* Sets the size of the tmpfs of one that is mounted. */
int disk_resize(
    const char *id, const struct record *r, int64_t bytes, struct err *e);
/* Used and most bytes; zeros where nothing is counted. */
void disk_usage(const char *id, uint64_t *ret_used, uint64_t *ret_limit);

#endif
