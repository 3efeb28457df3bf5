/*
 * frontmain.h - the front's own main, called by frontboot.c when everything
 * is given up: ids, capabilities, system calls. RUN_DIR/front.lock is held.
 */
#ifndef DAEMON_FRONTMAIN_H
#define DAEMON_FRONTMAIN_H

#include <stddef.h>

#include "daemon/config.h"
#include "daemon/http_tls.h"
#include "daemon/tokens.h"

struct front_boot {
	struct config *cfg;   /* now front_main's, to replace and to free */
	struct http_tls *tls; /* NULL: none; owned, as is the next */
	struct tokens *tokens;
	const int *workers; /* connected SOCK_SEQPACKET, to be owned */
	size_t nworkers;
	int ready_fd; /* gets one byte when all listeners are open, is closed */
};

/*
 * Serves until SIGTERM (sandboxes stopped) or SIGUSR1 (guests go on), or
 * until the broker is gone. Returns the exit status: 0 after a signal.
 */
int front_main(const struct front_boot *b);

#endif
