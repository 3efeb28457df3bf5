/*
 * spawn.h - the first process of a job. Ours is stopped until it has
 * executed, so a failure is known at once and nothing ran.
 */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "lib/err.h"

struct spawn {
	const char *script; /* a NUL follows */
	size_t script_len;
	const char *cwd;
	char **env;
	int in; /* -1: /dev/null */
	int out, err;
	bool terminal;		     /* in becomes the controlling terminal */
	const struct rlimit *nofile; /* of the job; ours is higher */
};

/* The pid, leader of its own session and process group, or -errno and *e. */
pid_t spawn_job(const struct spawn *s, struct err *e);

#endif
