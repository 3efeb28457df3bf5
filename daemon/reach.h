/*
 * reach.h - the way to the agent of a sandbox, for a conversation of its own:
 * waits for a transition to end; for a sandbox that is stopped the broker
 * starts the agent's program without jobs on its disk.
 */
#ifndef DAEMON_REACH_H
#define DAEMON_REACH_H

#include "daemon/front.h"

struct asked;

/* Embedded in what reaches; zeroed before. */
struct reach {
	/* Once, perhaps before reach_start returns: the path of the agent's
	 * socket, or NULL and why: EHOSTDOWN, ESTALE. */
	void (*done)(struct reach *h, const char *path, const struct err *e);
	/* below is private */
	char id[RT_ID_MAX];
	struct front *f;
	struct wait wait;
	struct asked *asked;
};

void reach_start(struct reach *h, struct sandbox *sb);
/* No done any more. */
void reach_cancel(struct reach *h);

#endif
