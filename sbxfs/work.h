/*
 * work.h - a few threads for what storage can delay. They touch nothing of
 * the tree, only descriptors, which the kernel's open files or the work
 * itself keep until it has ended.
 *
 * A process that is killed while it waits goes only when its request is
 * answered: what has not begun then ends at once. What has, goes on: these
 * calls heed no signal but those that end us.
 */
#ifndef SBXFS_WORK_H
#define SBXFS_WORK_H

#include <sys/queue.h>
#include <sys/types.h>

#include "sbxfs/impl.h"

/* Each kind's own struct begins with one. */
struct work {
	/* In another thread: the result, or -errno. */
	ssize_t (*run)(struct work *w);
	/* Answers req. In the dispatching thread where it touches the tree,
	 * otherwise in any. */
	void (*end)(struct work *w);
	bool tree;
	fuse_req_t req; /* NULL: nobody waits */
	ssize_t result; /* of run; -EINTR when it did not begin */
	/* below is private */
	STAILQ_ENTRY(work) link;
};

/* Starts the threads: 0 or -errno. *ret_fd becomes readable when
 * work_ended is to be called. */
int work_start(int *ret_fd);
/* Does what is waiting, and ends them. */
void work_stop(void);
/* Ends what is to be ended in the dispatching thread. */
void work_ended(void);
/* Hands w over, memory from malloc, which is freed after its end. */
void work_add(struct work *w);

#endif
