/*
 * worker.h - a worker of the broker: root, one request at a time, blocking.
 * It believes nothing in a request (brokerproto.h): sizes, terminators, the
 * syntax of ids and names, images, limits are checked again here.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <sys/types.h>

#include "daemon/config.h"
#include "runtimes/runtime.h"

struct worker {
	const struct runtime *rt;
	struct config *cfg;	 /* images; replaced after SIGHUP */
	const char *config_path; /* as config_load */
	int sock;		 /* SOCK_SEQPACKET to the front */
	int lifeline;		 /* readable or hung up: the broker is gone */
	pid_t broker;		 /* our parent; set by worker_run */
};

/* Serves until the front or the broker is gone. Sets its own signals. */
void worker_run(struct worker *w);

#endif
