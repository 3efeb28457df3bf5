/*
 * client.h - the connection to the front (files.sock, agent/protocol.md).
 *
 * Never blocks. While there is no connection it is tried again every
 * CLIENT_RETRY_MS, and every call that was under way has ended with -EIO.
 */
#ifndef SBXFS_CLIENT_H
#define SBXFS_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_RETRY_MS 100

struct client;

struct reply {
	int error;	  /* 0, or -errno: then there is nothing else */
	bool lost;	  /* no answer: the connection was (EIO) */
	json_t *result;	  /* borrowed */
	const char *data; /* the binary message before it, borrowed */
	size_t len;
	struct client *client; /* for client_take_fd */
};

typedef void (*client_done)(void *arg, const struct reply *r);

struct client_events {
	/* A notification of the front. params is borrowed, an object. */
	void (*notice)(void *arg, const char *method, const json_t *params);
	/* Connected, and nothing was sent yet. */
	void (*up)(void *arg);
	/* The connection is gone, all calls have ended. */
	void (*down)(void *arg);
};

/* Where to: path must stay. */
struct client_conf {
	const char *path; /* of a socket, or of the daemon behind dial */
	int dial;	  /* the dial socket of net.h; -1: path is a socket */
	bool queues;	  /* calls wait for a connection that is begun */
	const struct client_events *ev;
	void *arg; /* goes to the events */
};

struct client *client_new(const struct client_conf *conf);
/* Ends all calls with -EIO, without down; what is sent from then on is not,
 * and it does not connect again. */
void client_close(struct client *c);
void client_free(struct client *c);

/* The socket to wait for, -1 while there is none; wants_write says that it
 * must be waited for to write as well, waits that an answer is to come. */
int client_fd(const struct client *c);
bool client_wants_write(const struct client *c);
/* Is somebody there? Over a network that is later than the socket. */
bool client_is_up(const struct client *c);
/* Was the last answer that there is no such thing? Then calls end with that. */
bool client_is_absent(const struct client *c);
/* Counts the connections that were lost: what the other side kept for one is
 * gone with it. Calls end after it was counted. */
unsigned client_lost(const struct client *c);
/* Since when, of CLOCK_MONOTONIC, calls wait and nothing comes; 0: none. */
int64_t client_waits_since(const struct client *c);
/* Ends the connection as if it were lost. */
void client_drop(struct client *c);
bool client_waits(const struct client *c);
/* Connects if it is not connected. False: there is nobody. */
bool client_connect(struct client *c);
/* Handles all that has come, and writes what waits. */
void client_drain(struct client *c);

/* A request: params is an object and taken over; with bin, a binary message
 * goes before it. */
struct request {
	const char *method;
	json_t *params;
	const void *bin; /* NULL: none */
	size_t len;
};

/* Sends it. Returns its number, and done is called once, later; or 0 when
 * there is no connection, and done is not called. */
uint64_t client_call(
    struct client *c, const struct request *rq, client_done done, void *arg);
void client_notify(struct client *c, const char *method, json_t *params);
/* The same for what nobody waits for: not sent to a front that is slow. */
void client_hint(struct client *c, const char *method, json_t *params);
/* Asks the front to answer the request now. It is answered in any case. */
void client_cancel(struct client *c, uint64_t id, bool soft);
/* Nobody waits for the answer any more: done is not called. */
void client_abandon(struct client *c, uint64_t id);
/* The next descriptor that came with the message, or -1. In a done or a notice
 * only; those that it does not take are closed. */
int client_take_fd(struct client *c);

#endif
