/*
 * ports.h - the ports of a sandbox: what listens inside (ports.c), which of it
 * is reached through a port of this host (tunnel.c), connections there.
 *
 * A sandbox is reached from within: the broker makes sockets in its network
 * namespace, which are used here, so it needs no address of its own. They go,
 * and every connection with them, when it goes down (ports_down): an open one
 * would hold the namespace. What is exposed is in the store, and is listened
 * on again by the next front; connections do not outlive this one.
 */
#ifndef DAEMON_PORTS_H
#define DAEMON_PORTS_H

#include "daemon/front.h"
#include "daemon/tcp.h"
#include "lib/hostport.h"
#include "lib/sockdiag.h"

struct ports;
struct tunnel;

/*** What listens ***/

struct ports_look {
	/* l is sorted, and valid until done calls anything here; n is 0 with
	 * an error. */
	void (*done)(struct ports_look *k, const struct listener *l, size_t n,
	    const struct err *e);
	void *arg;
	/* below is private */
	struct ports *p; /* NULL: is not waiting */
	TAILQ_ENTRY(ports_look) link;
};

/* Calls done once, perhaps at once. */
void ports_look(struct sandbox *sb, struct ports_look *k);
void ports_look_cancel(struct ports_look *k);

/*** Connections into it ***/

struct dial {
	/* One of t and e is NULL; t has no ops yet, and is cut in ports_down.
	 */
	void (*done)(struct dial *d, struct tcp *t, const struct err *e);
	void *arg;
	int port;
	/* below is private */
	struct ports_look look;
	struct ports *p; /* NULL: waits for no socket */
	TAILQ_ENTRY(dial) link;
	struct sockaddr_in6 to;
	struct tcp *t;
	struct sandbox *sb;
};

/* Connects to the port, at whichever address is listened on. Calls done once,
 * perhaps at once. */
void ports_dial(struct sandbox *sb, struct dial *d);
void ports_dial_cancel(struct dial *d);

/*** Exposed ports ***/

#define EXPOSE_WAIT_S 30
#define EXPOSE_WAIT_MAX_S 120

struct expose {
	int port;
	const struct hostport *at; /* NULL: as the configuration says */
	int64_t timeout_ms;	   /* until something listens */
	void (*done)(struct expose *x, const struct err *e);
	void *arg;
	/* below is private */
	struct ports *p; /* NULL: is not under way */
	struct sandbox *sb;
	TAILQ_ENTRY(expose) link;
	struct ports_look look;
	uv_timer_t *timer;
	int64_t until_ms, delay_ms;
	struct hostport host;
	int fd; /* bound to host */
};

/* 0: done is called once, perhaps at once. -1: refused: EHOSTDOWN when it does
 * not run, EEXIST when the port is exposed, or EBUSY about to be, EDQUOT past
 * limits.max_tunnels; or the host's port cannot be had (EADDRINUSE, ...). */
int ports_expose(struct sandbox *sb, struct expose *x, struct err *e);
void ports_expose_cancel(struct expose *x);
/* Cuts its connections. ENOENT when it is not exposed. */
int ports_close(struct sandbox *sb, int port, struct err *e);

/* The tunnels of a sandbox by rising port: the next one after t (NULL: the
 * first), or NULL. */
const struct tunnel *ports_next(
    const struct sandbox *sb, const struct tunnel *t);
const struct tunnel *ports_find(const struct sandbox *sb, int port);
int tunnel_port(const struct tunnel *t);
const struct hostport *tunnel_host(const struct tunnel *t);

/*** The sandbox's life ***/

/* A connection is open. */
bool ports_busy(const struct sandbox *sb);
/* After a restart of the front: listens again. */
void ports_adopt(struct sandbox *sb);
/* It is not up any more: everything ends and is forgotten (not stored yet). */
void ports_down(struct sandbox *sb);
/* The front ends: the same, and nothing is forgotten. */
void ports_free(struct sandbox *sb);

#endif
