/*
 * spool_impl.h - what spool.c and kept.c share.
 */
#ifndef DAEMON_SPOOL_IMPL_H
#define DAEMON_SPOOL_IMPL_H

#include "daemon/spool.h"

/* The line that is kept where output was cut. */
#define KEPT_MARK_MAX 128

struct spool {
	char *dir;
	uint64_t max; /* of one job's output */
	bool failed;  /* said so already */
	int journal_fd, old_fd, log_fd;
	uint64_t journal_len, rewrite_at, log_size;
};

/* Logs errno for dir/what, once. */
void spool_failed(struct spool *sp, const char *what);
/* -1 and errno; logged when it was to be made. */
int spool_open_file(struct spool *sp, const char *name, int flags);

#endif
