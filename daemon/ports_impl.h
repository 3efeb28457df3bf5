/*
 * ports_impl.h - what ports.c and tunnel.c share.
 */
#ifndef DAEMON_PORTS_IMPL_H
#define DAEMON_PORTS_IMPL_H

#include "daemon/ports.h"

TAILQ_HEAD(look_list, ports_look);
TAILQ_HEAD(dial_list, dial);
TAILQ_HEAD(expose_list, expose);
TAILQ_HEAD(tunnel_list, tunnel);

/* Of one run of a sandbox. */
struct ports {
	struct sandbox *sb; /* NULL: it went down; answers are dropped */
	unsigned refs;	    /* sb's, and one a question to the broker */
	int diag;	    /* of NETLINK_SOCK_DIAG, -1 none yet */
	int stock[RT_SOCKETS];
	size_t nstock;
	bool asked[2]; /* by enum rt_socket */
	struct look_list looks;
	struct dial_list dials;
	struct tcp_list conns;
	struct tunnel_list tunnels; /* by rising port */
	struct expose_list exposes;
};

/* Those of a sandbox, made where there are none. */
struct ports *ports_of(struct sandbox *sb);

/* Closes tunnels, ends pending exposes. */
void tunnels_end(struct ports *p);

#endif
