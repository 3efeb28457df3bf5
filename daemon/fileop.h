/*
 * fileop.h - what the handlers of files share: an HTTP exchange that has an
 * agent connection of its own. The agent is a stranger: what it answers is
 * checked by whoever asked. Ends with the exchange.
 */
#ifndef DAEMON_FILEOP_H
#define DAEMON_FILEOP_H

#include "daemon/agentc.h"
#include "daemon/front.h"
#include "daemon/http.h"
#include "daemon/reach.h"

#define FILEOP_CHUNK (256u << 10) /* of one read or write */
#define FILEOP_WINDOW 4		  /* so many of them under way */
#define FILEOP_QUEUE (512u << 10) /* more than this waits for the client */
#define FILEOP_REMOVE_MS 600000

struct fileop {
	struct http_req *r;
	void *own; /* the handler's; freed by own_free, may be NULL */
	void (*own_free)(void *own);
	bool begun; /* a failure can only cut the answer off */
	bool over;  /* it failed or its exchange ended: callbacks do nothing */
	/* below is private */
	char id[RT_ID_MAX];
	struct agentc *agent;
	struct reach reach;
	void (*begin)(struct fileop *op);
};

/*
 * Checks path (the second variable), finds the sandbox and connects, waiting
 * for a transition to end; then calls begin, perhaps before this returns.
 * NULL: it was answered.
 */
struct fileop *fileop_new(struct http_req *r, void (*begin)(struct fileop *op),
    void *own, void (*own_free)(void *own));

/* The bytes as a path or name in a call: a string or {"base64":...}. */
json_t *fileop_name(const char *p, size_t n);
/* The path of the request, as above. */
json_t *fileop_path(const struct fileop *op);

/* Calls method, "open" for sbx.fs.open; steals params. done gets op; its
 * first line is: if (fileop_failed(op, e)) return; */
void fileop_call(
    struct fileop *op, const char *method, json_t *params, agent_done *done);
void fileop_write(struct fileop *op, json_t *params, const void *p, size_t n,
    agent_done *done);
/* True when there is nothing more to do: a failure was answered. */
bool fileop_failed(struct fileop *op, const struct err *e);
/* Answers it, or cuts the answer off. */
void fileop_fail(struct fileop *op, int code, const char *text);

/* A member that is an integer of at least min; false: it failed. */
bool fileop_int(struct fileop *op, const json_t *o, const char *key,
    json_int_t min, json_int_t *ret);

/* A directory as a tar, over the exchange (fileop_tar.c). */
void fileop_tar(struct fileop *op);

#endif
