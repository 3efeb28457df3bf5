/*
 * broker.h - the broker: the process that is started. It prepares what needs
 * root, forks the workers and the front, replaces them when they die, and
 * hands signals on.
 *
 * Front and workers are one generation, tied by their sockets: when one of
 * them dies, the others see the end of a socket and exit, each worker after
 * the request in its hands, and a new generation begins. So no answer to an
 * old front ever reaches a new one. When the broker dies, the workers see it
 * by a pipe, and the front by the workers.
 */
#ifndef DAEMON_BROKER_H
#define DAEMON_BROKER_H

#include <stdbool.h>

#include "daemon/config.h"
#include "runtimes/runtime.h"

struct broker_opts {
	const char *config_path; /* absolute, or NULL as config_load */
	struct config *cfg;	 /* owned by the broker from now on */
	const struct runtime *rt;
	/* Takes away what init made, after a SIGTERM that left no sandbox. */
	int (*undo)(const struct rt_env *env, struct err *e);
	bool foreground; /* log to stderr, else to syslog once ready */
	bool debug;
	int notify_fd; /* gets a byte when ready; -1: none */
};

/* Runs until SIGTERM, SIGINT (sandboxes are stopped) or SIGUSR1 (guests go
 * on). The exit status: 1 when it could not start. */
int broker_run(const struct broker_opts *o);

#endif
