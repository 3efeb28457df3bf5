/*
 * net.h - the process that speaks to a daemon on another machine: TLS,
 * HTTP's handshake and WebSocket frames are parsed there, and the mount's
 * server sees what it sees of a local daemon, frames on a socket.
 *
 * The server asks for a connection by a packet on the dial socket: a path of
 * the daemon's, and with it a stream socket for the frames. A ping frame on
 * that says that the connection is there; its end, that it is not (any more).
 */
#ifndef SBXFS_NET_H
#define SBXFS_NET_H

#include "lib/err.h"

/* The daemon's paths. */
#define NET_TREE "/tree/ws"
#define NET_FILES "/sandboxes/%s/ws?service=files&quiet=1"

#define NET_CONNECT_S 10
/* Nothing is heard for so long: a ping; for twice as long: it is dead. */
#define NET_SILENCE_S 15
/* The byte of a ping frame that says that what the path names is not there:
 * no connection comes of it. */
#define NET_ABSENT 2

struct net_conf {
	const char *url;	/* https://host[:port], or http:// */
	const char *token_file; /* NULL: none */
	const char *cafile;	/* NULL: the system's */
};

/* Is it something to connect to? A token is sent in the clear to this
 * machine only. 0, or -1 and why not. */
int net_check(const struct net_conf *conf, struct err *e);

/* The process: serves the dial socket until its end. */
_Noreturn void net_run(const struct net_conf *conf, int dial);

/* Asks for a connection to path: the socket for frames, or -errno. */
int net_dial(int dial, const char *path);

#endif
