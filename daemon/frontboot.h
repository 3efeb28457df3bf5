/*
 * frontboot.h - from root to nobody: what happens in the front's process
 * before front_main. Its filter is in frontboot.c.
 */
#ifndef DAEMON_FRONTBOOT_H
#define DAEMON_FRONTBOOT_H

#include <sys/types.h>

#include "daemon/config.h"
#include "lib/err.h"

/* Descriptors of a front at its start: 0, 1, 2, this pipe, the texts of the
 * configuration that the broker began with and of the one that holds now (what
 * lies on the disk may be another since, or wrong), the workers. */
#define FRONT_READY_FD 3
#define FRONT_FIRST_FD 4
#define FRONT_CONFIG_FD 5
#define FRONT_WORKER_FD 6

/* Whom the front runs as: server.user and server.group, looked up. */
struct front_ids {
	uid_t uid;
	gid_t gid;
	gid_t group; /* of the sockets */
};

/* Started without root: ours, whatever the configuration says. */
int front_ids_find(
    const struct config *cfg, struct front_ids *ret, struct err *e);

/* The whole life of the process; the exit status. path is where the text
 * came from, as config_load: for reloads. */
int frontboot_run(const char *path, size_t nworkers);

#endif
