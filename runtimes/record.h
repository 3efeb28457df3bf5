/*
 * record.h - what the broker knows of an instance: RUN_DIR/mnt/instances/ID, a
 * line a field, replaced as a whole, root only. It is written before the
 * first thing of a sandbox is made and removed after the last is gone.
 */
#ifndef RUNTIMES_RECORD_H
#define RUNTIMES_RECORD_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runtimes/runtime.h"

enum record_state {
	RECORD_CREATING, /* in the middle of create: fit for destroy only */
	RECORD_DOWN,
	RECORD_UP,
	RECORD_FILES, /* down, with an agent for files alone */
};

struct record {
	enum record_state state;
	uint32_t slot;
	uint32_t id_base;
	uint32_t run;
	pid_t pid;	/* of the agent; 0 when there is none */
	uint64_t start; /* when it started, as /proc says */
	uint64_t netns; /* inode number of its network namespace */
	char boot[40];	/* of the kernel that pid and mounts belong to */
	char kind[8];	/* of the image */
	char hostname[RT_NAME_MAX];
	char layer[PATH_MAX]; /* absolute */
	struct rt_limits limits;
};

/* Reads the record of id. No record: ENOENT. */
int record_read(int at, const char *id, struct record *ret, struct err *e);
int record_write(int at, const char *id, const struct record *r, struct err *e);
/* The same for one that is there, in its place: one write of a page, which a
 * kill cannot cut; it spares the making and renaming of a file. */
int record_update(
    int at, const char *id, const struct record *r, struct err *e);
int record_remove(int at, const char *id, struct err *e);

#endif
