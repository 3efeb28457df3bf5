/*
 * cgroup.h - the control groups of sandboxes: NAME/ID under each hierarchy
 * that the host has, version 1, version 2, or both. A version 2 hierarchy,
 * even without controllers, is what kills, freezes and counts cpu time; where
 * there is none, version 1's freezer and cpuacct do.
 *
 * In version 2 the processes of a second start are in a leaf, NAME/ID/p, made
 * anew for each: Linux 6.15 to 6.18 at least kill whatever is cloned into a
 * group (CLONE_INTO_CGROUP) on which cgroup.kill was ever used.
 */
#ifndef RUNTIMES_CGROUP_H
#define RUNTIMES_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "runtimes/runtime.h"

#define CGROUP_TREES_MAX 6

/* What we use. One hierarchy may have several. */
enum cgroup_part {
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_PIDS,
	CGROUP_CPUACCT,
	CGROUP_FREEZER,
	CGROUP_UNIFIED,
	CGROUP_PARTS
};

struct cgroup_tree {
	char path[128]; /* where it is mounted */
	int fd;		/* of NAME there; -1 where we need nothing */
	bool unified;
};

struct cgroups {
	const char *name; /* borrowed */
	struct cgroup_tree tree[CGROUP_TREES_MAX];
	size_t ntrees;
	int part[CGROUP_PARTS]; /* index of its tree, or -1 */
};

/* Descriptors by which a new process gets into its groups. */
struct cgroup_entry {
	int unified;		     /* for CLONE_INTO_CGROUP, or -1 */
	int tasks[CGROUP_TREES_MAX]; /* write "0" to each */
	size_t ntasks;
};

#define CGROUP_MOUNTINFO "/proc/self/mountinfo"

/* Finds what the host has, by that file. Makes nothing; never fails. */
void cgroup_find(struct cgroups *c, const char *name, const char *mountinfo);
/* Whether we use anything of that tree. */
bool cgroup_tree_used(const struct cgroups *c, size_t tree);
/* "memory", "cpu", ...: a controller's name. */
const char *cgroup_part_name(enum cgroup_part part);
/* Makes NAME in each tree and opens it. */
int cgroup_init(struct cgroups *c, struct err *e);
/* Removes NAME, which must be empty, everywhere. */
int cgroup_done(struct cgroups *c, struct err *e);
/* A line for each part that is there or not, for --check. */
void cgroup_report(const struct cgroups *c, struct buf *report);

/*
 * What a new process is cloned into, before anything else is made; again: the
 * groups are there, and empty, and there is a new leaf. Fills *ret.
 */
int cgroup_begin(const struct cgroups *c, const char *id, bool again,
    struct cgroup_entry *ret, struct err *e);
/* The rest of the groups, and how to get into them. */
int cgroup_join(const struct cgroups *c, const char *id,
    struct cgroup_entry *entry, struct err *e);
void cgroup_close(struct cgroup_entry *entry);
/* Sets the limits: of new groups, or other ones. */
int cgroup_limit(const struct cgroups *c, const char *id,
    const struct rt_limits *l, struct err *e);
int cgroup_freeze(
    const struct cgroups *c, const char *id, bool on, struct err *e);
/* Kills everything in it, frozen or not, and waits until it is empty. */
int cgroup_kill(const struct cgroups *c, const char *id, struct err *e);
/* Removes the groups; what is not there is no error. */
int cgroup_remove(const struct cgroups *c, const char *id, struct err *e);
/* cpu, memory, pids, io, oom_kills; the rest of *ret is left alone. */
void cgroup_stats(
    const struct cgroups *c, const char *id, struct rt_stats *ret);
/* Calls each with every group there is, until it returns non-zero. */
int cgroup_each(const struct cgroups *c, int (*each)(const char *id, void *arg),
    void *arg, struct err *e);

#endif
