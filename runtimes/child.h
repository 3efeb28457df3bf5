/*
 * child.h - what process 1 of a sandbox does before it becomes the agent.
 *
 * It is cloned with our memory and our descriptors (CLONE_VM, CLONE_FILES:
 * nothing is copied) into new namespaces, on a stack of its own, while we go
 * on: it does what it can, waits on `go` until its disk is mounted and its
 * ids are mapped, takes a table of descriptors of its own, and does the rest.
 * It calls no function of libc that writes anything (errno is ours), and
 * every step is a row of a table, so that a failure names it.
 */
#ifndef RUNTIMES_CHILD_H
#define RUNTIMES_CHILD_H

#include <stdint.h>

#include "runtimes/cgroup.h"
#include "runtimes/seccomp.h"

enum child_go {
	CHILD_WAIT,
	CHILD_GO,
	CHILD_GIVE_UP,
};

/* What lies over an entry of /proc: STEM_FILE or STEM_DIR. */
struct child_mask {
	const char *name;
	const char *with;
};

struct child {
	/* set before the clone */
	const char *hostname;
	const char *const *argv;
	const struct cgroup_entry *cgroup; /* filled before go */
	const struct filters *filters;
	const struct child_mask *masks; /* up to one without a name */
	int agent_fd;			/* the program */
	/* set before go; the mounts are detached */
	int listen_fd; /* becomes descriptor 3 */
	int root_fd;
	int dev_fd;
	int usr_fd;  /* -1: the image has a /usr of its own */
	uint32_t go; /* enum child_go, a futex */
	/* the child's: where it is, and why it ended there */
	const char *step;
	const char *what; /* a path that the step was about, or NULL */
	int err;	  /* 0, or -errno */
	uint32_t alive;	  /* a futex; 0 once it has left our memory */
};

/* The child's whole life; for clone. Never returns. */
_Noreturn void child_run(struct child *c);

/* The namespace's root that a sandbox is cloned with has these. */
#define STEM_ROOT "r"	 /* where the overlay goes */
#define STEM_TMP "t"	 /* where /tmp is before it is there */
#define STEM_FILE "/e/f" /* empty, to hide a file */
#define STEM_DIR "/e/d"	 /* empty, to hide a directory */

#endif
