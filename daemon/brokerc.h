/*
 * brokerc.h - the front's client of the broker's workers: requests are
 * queued and given to whichever worker is free, so answers may come in any
 * order. Requests for one id never overlap: the next waits for the one before.
 */
#ifndef DAEMON_BROKERC_H
#define DAEMON_BROKERC_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "daemon/brokerproto.h"
#include "lib/err.h"
#include "lib/fd.h"

struct brokerc;

struct broker_answer {
	struct broker_rep rep; /* its texts are terminated */
	int fds[FD_PASS_MAX]; /* -1 in place of what is kept: the rest closes */
	size_t nfds;
};

/* a is NULL when the broker is gone (the front is about to end). For
 * BROKER_LIST it is called for each packet. */
typedef void broker_done(void *arg, struct broker_answer *a);

/* 0, or -1 where it was not done: why. */
int broker_failed(const struct broker_answer *a, struct err *e);

/* socks: n connected SOCK_SEQPACKET descriptors, now owned. gone is called
 * once when any of them ends. */
struct brokerc *brokerc_new(uv_loop_t *loop, const int *socks, size_t n,
    void (*gone)(void *arg), void *arg);
void brokerc_free(struct brokerc *b);
/*
 * Copies req. done may be NULL. Urgent ones go before what is queued. Sent
 * when the loop is about to wait: a worker that wakes takes a processor, and
 * the answer that the request's client gets now needs it more. (libuv runs
 * prepare handles last come, first served: make this one before the servers.)
 */
void brokerc_ask(struct brokerc *b, const struct broker_req *req, bool urgent,
    broker_done *done, void *arg);

#endif
