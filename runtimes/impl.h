/*
 * impl.h - what the files of the native runtime share.
 *
 * One struct native a process, filled by init in the broker and inherited by
 * its workers. Directories are opened in the pinned mount namespace, where
 * every sandbox's disk is mounted.
 */
#ifndef RUNTIMES_IMPL_H
#define RUNTIMES_IMPL_H

#include <stdbool.h>

#include "runtimes/cgroup.h"
#include "runtimes/child.h"
#include "runtimes/runtime.h"
#include "runtimes/seccomp.h"

#define MASKS_MAX 32
#define ID_RANGE 65536u

struct native {
	struct rt_env env; /* strings are copies of ours */
	int instances_fd, ids_fd, agents_fd;
	int sandboxes_fd, layers_fd;
	int disks_fd;  /* where disks are mounted, d/ID */
	int inner_fd;  /* our tmpfs in the pinned namespace: dev, usr, d */
	int host_ns;   /* the mount namespace we came from */
	int pin_ns;    /* the pinned one */
	int stem_ns;   /* the small one that sandboxes are cloned from */
	int uts_ns;    /* our own, to come back to */
	int net_ns;    /* the same */
	int agent_fd;  /* the agent's program, sealed */
	bool entered;  /* all of this is there */
	char boot[40]; /* boot id of the kernel */
	struct cgroups cgroups;
	struct filters filters;
	struct child_mask masks[MASKS_MAX + 1]; /* of /proc, on this kernel */
};

extern struct native native;

#endif
