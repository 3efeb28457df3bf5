/*
 * place.h - where the native runtime works: its directories, the pinned
 * mount namespace that outlives every process of ours, and what is prepared
 * there once for all sandboxes.
 *
 * RUN_DIR/mnt is a private mount of the host's with one file, ns, on which
 * the namespace is bound; the next broker enters it there. Inside, the same
 * directory is a tmpfs of ours, which lives as long as what it tells of:
 *
 *	instances/ID  the records
 *	ids/SLOT      who has which range of ids
 *	d/ID/         the sandboxes' disks
 *	dev/          the /dev of all sandboxes, read-only
 *	usr/          the host's /usr, read-only
 */
#ifndef RUNTIMES_PLACE_H
#define RUNTIMES_PLACE_H

#include "lib/err.h"
#include "runtimes/runtime.h"

/* Makes all of it, or finds it, enters the namespace, and fills `native`. */
int place_init(const struct rt_env *env, struct err *e);
/* Takes away mounts, RUN_DIR/mnt and our directories under RUN_DIR. */
int place_undo(const struct rt_env *env, struct err *e);

/* New detached mounts of the prepared ones, or -errno. */
int place_clone_dev(void);
int place_clone_usr(void);
/* The prepared /usr as a directory for others to open, or -errno. */
int place_open_usr(void);

#endif
