/*
 * work.h - a few threads for what storage can delay: fsync, fallocate, copies
 * of ranges. They touch nothing of the tree, only descriptors, which the
 * kernel's open files keep until their requests are answered. Reads and
 * writes stay with the dispatching thread: a hand-over costs more than what
 * the page cache takes to answer.
 */
#ifndef SBXFS_WORK_H
#define SBXFS_WORK_H

#include <sys/queue.h>
#include <sys/types.h>

#include "sbxfs/impl.h"

struct work {
	STAILQ_ENTRY(work) link; /* private */
	/* Does it, and answers req, in another thread. */
	void (*run)(const struct work *w);
	fuse_req_t req;
	int fd, mode;
	off_t off;
	size_t len;
	int to_fd; /* of a copy */
	off_t to_off;
};

/* Starts the threads: 0 or -errno. */
int work_start(void);
/* Does what is waiting, and ends them. */
void work_stop(void);
/* Hands a copy of w over. */
void work_add(const struct work *w);

#endif
