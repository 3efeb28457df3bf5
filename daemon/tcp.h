/*
 * tcp.h - a TCP connection on the loop: bytes as they come, a queue for those
 * that the kernel does not take at once, half-close.
 *
 * Nothing is freed from within a callback's caller: tcp_close may be called
 * anywhere, after it no callback comes any more.
 */
#ifndef DAEMON_TCP_H
#define DAEMON_TCP_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

/* A queue longer than this is a reason to pause who fills it; drained is
 * called once it is empty again. */
#define TCP_QUEUE_MAX (256u << 10)

struct tcp;

struct tcp_ops {
	/* tcp_connect's: code 0, or an errno and it is no connection. */
	void (*connected)(void *arg, int code);
	/* n == 0: the peer sends no more. */
	void (*data)(void *arg, const void *p, size_t n);
	void (*drained)(void *arg);
	/* What tcp_finish promised is done. May be NULL. */
	void (*finished)(void *arg);
	/* It broke, or was cut by tcp_cut_all; close it. */
	void (*broken)(void *arg);
};

/* Connections that end together. */
TAILQ_HEAD(tcp_list, tcp);

/* The next one of a listener, or NULL. Reads nothing before tcp_resume. */
struct tcp *tcp_accept(
    uv_stream_t *listener, const struct tcp_ops *ops, void *arg);
/* Begins to connect fd, which is owned from now on; connected is called, not
 * from within, at the latest after timeout_ms. */
struct tcp *tcp_connect(
    uv_loop_t *loop, int fd, const struct sockaddr_in6 *to, int64_t timeout_ms);
/* Others are called from now on. */
void tcp_set_ops(struct tcp *t, const struct tcp_ops *ops, void *arg);
/* Into a list, until it is closed. */
void tcp_join(struct tcp *t, struct tcp_list *list);
/* broken for each of them. */
void tcp_cut_all(struct tcp_list *list);

void tcp_pause(struct tcp *t);
void tcp_resume(struct tcp *t);
/* Copies what the kernel does not take at once. Returns bytes queued. */
size_t tcp_send(struct tcp *t, const void *p, size_t n);
/* The end of what we send, after what is queued. */
void tcp_finish(struct tcp *t);
/* Ends it now; NULL is fine. */
void tcp_close(struct tcp *t);
/* The same, as a failure: the peer sees a reset. */
void tcp_reset(struct tcp *t);

#endif
