/*
 * serve.h - one mount served: the loop over /dev/fuse, the front, signals.
 */
#ifndef SBXFS_SERVE_H
#define SBXFS_SERVE_H

#include <stdbool.h>
#include <sys/types.h>

struct serve_config {
	const char *mountpoint; /* absolute, without links */
	const char *socket;	/* or the url, where dial is one */
	int dial;  /* of net.h, -1: the daemon is on this machine */
	uid_t uid; /* who mounts: a remote tree is all theirs */
	gid_t gid;
	int devfd;	/* mounted there; taken over */
	bool direct_io; /* no passthrough: each read and write comes here */
	bool debug;
	void (*ready)(void *arg); /* once: the first list is there, or the
				     front did not answer in time */
	void *arg;
};

/* Serves until it is unmounted (0) or told to end by a signal (its number);
 * -errno for a failure of /dev/fuse. */
int serve(const struct serve_config *cfg);

#endif
