/*
 * agentc.h - a connection to a sandbox's agent: frames of agent/protocol.md.
 * Every byte that comes is an attack: limits are hard, a frame that breaks
 * them, a reply nobody asked for or a descriptor ends the connection.
 */
#ifndef DAEMON_AGENTC_H
#define DAEMON_AGENTC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "lib/err.h"

struct agentc;

/* How one call ended; all of it is borrowed. */
struct agent_answer {
	const struct err *e;  /* NULL: it was done */
	const json_t *result; /* NULL where it was not */
	const void *bin; /* the binary message that came with it, or NULL */
	size_t bin_len;
};
typedef void agent_done(void *arg, const struct agent_answer *a);

struct agentc_ops {
	/* A notification; params borrowed. May be NULL: then ignored. */
	void (*notify)(void *arg, const char *method, const json_t *params);
	/* The connection ended; called once, all calls failed before it. */
	void (*lost)(void *arg, const struct err *e);
};

/* Connects to the socket at path without blocking. */
struct agentc *agentc_new(uv_loop_t *loop, const char *path,
    const struct agentc_ops *ops, void *arg, struct err *e);
/* Ends it; pending calls end with ECANCELED before this returns. lost is not
 * called. NULL is fine. */
void agentc_free(struct agentc *a);

struct agent_call {
	const char *method;
	json_t *params;	 /* stolen; may be NULL */
	const void *bin; /* the binary message before it, or NULL */
	size_t bin_len;
	const int *fds; /* duplicated into the message, still the caller's */
	size_t nfds;
	int64_t timeout_ms; /* 0: none */
	agent_done *done;   /* NULL: a notification is sent */
	void *arg;
	bool later; /* goes behind the next one, or in a millisecond */
};

/* Calls a method; what call points to is not kept. */
void agentc_call(struct agentc *a, const struct agent_call *call);
/* Forgets the calls with this arg: their done is not called any more. */
void agentc_forget(struct agentc *a, void *arg);

#endif
