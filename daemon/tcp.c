#include "daemon/tcp.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"

#define READ_SIZE 65536
#define KEEPALIVE_S 60

struct tcp {
	uv_tcp_t tcp;
	uv_timer_t timer; /* while it is connecting */
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	unsigned handles; /* not closed yet */
	TAILQ_ENTRY(tcp) link;
	struct tcp_list *list; /* or NULL */
	const struct tcp_ops *ops;
	void *arg;
	bool connecting, eof, finishing, closing;
};

struct write_req {
	uv_write_t req;
	struct tcp *t;
	char data[];
};

/*** The end ***/

static void
on_closed(uv_handle_t *h)
{
	struct tcp *t = h->data;

	if (--t->handles == 0)
		free(t);
}

/* True: it goes now, and the socket's handle is to be closed. */
static bool
leave(struct tcp *t)
{
	if (t == NULL || t->closing)
		return false;
	t->closing = true;
	if (t->list != NULL)
		TAILQ_REMOVE(t->list, t, link);
	t->list = NULL;
	uv_close((uv_handle_t *)&t->timer, on_closed);
	return true;
}

void
tcp_close(struct tcp *t)
{
	if (leave(t))
		uv_close((uv_handle_t *)&t->tcp, on_closed);
}

void
tcp_reset(struct tcp *t)
{
	/* it refuses one whose end was announced */
	if (leave(t) &&
	    (t->finishing || uv_tcp_close_reset(&t->tcp, on_closed) != 0))
		uv_close((uv_handle_t *)&t->tcp, on_closed);
}

void
tcp_cut_all(struct tcp_list *list)
{
	struct tcp *t;

	while ((t = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, t, link);
		t->list = NULL;
		t->ops->broken(t->arg);
	}
}

/*** The beginning ***/

static struct tcp *new (uv_loop_t *loop)
{
	struct tcp *t = xcalloc(1, sizeof(*t));

	(void)uv_tcp_init(loop, &t->tcp);
	(void)uv_timer_init(loop, &t->timer);
	t->handles = 2;
	t->tcp.data = t->timer.data = t->connect.data = t->shutdown.data = t;
	return t;
}

struct tcp *
tcp_accept(uv_stream_t *listener, const struct tcp_ops *ops, void *arg)
{
	struct tcp *t = new (listener->loop);

	if (uv_accept(listener, (uv_stream_t *)&t->tcp) != 0) {
		tcp_close(t);
		return NULL;
	}
	(void)uv_tcp_nodelay(&t->tcp, 1);
	(void)uv_tcp_keepalive(&t->tcp, 1, KEEPALIVE_S);
	tcp_set_ops(t, ops, arg);
	return t;
}

static void
connected(struct tcp *t, int code)
{
	t->connecting = false;
	(void)uv_timer_stop(&t->timer);
	t->ops->connected(t->arg, code);
}

static void
on_connected(uv_connect_t *req, int status)
{
	struct tcp *t = req->data;

	if (!t->closing && t->connecting)
		connected(t, -status);
}

/* Late, or the answer that connect gave at once. */
static void
on_timer(uv_timer_t *timer)
{
	connected(timer->data, ETIMEDOUT);
}

static void
on_failed(uv_timer_t *timer)
{
	connected(timer->data, ECONNREFUSED);
}

/* As the socket's family has it. */
static int
start_connect(struct tcp *t, int fd, const struct sockaddr_in6 *to)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
		.sin_port = to->sin6_port };
	const struct sockaddr *addr = (const struct sockaddr *)to;
	int family = AF_INET6;
	socklen_t len = sizeof(family);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
	if (family == AF_INET) {
		memcpy(&v4.sin_addr, &to->sin6_addr.s6_addr[12], 4);
		addr = (const struct sockaddr *)&v4;
	}
	if (uv_tcp_open(&t->tcp, fd) != 0) {
		(void)close(fd);
		return -1;
	}
	(void)uv_tcp_nodelay(&t->tcp, 1);
	return uv_tcp_connect(&t->connect, &t->tcp, addr, on_connected);
}

struct tcp *
tcp_connect(
    uv_loop_t *loop, int fd, const struct sockaddr_in6 *to, int64_t timeout_ms)
{
	struct tcp *t = new (loop);

	t->connecting = true;
	if (start_connect(t, fd, to) != 0)
		(void)uv_timer_start(&t->timer, on_failed, 0, 0);
	else
		(void)uv_timer_start(
		    &t->timer, on_timer, (uint64_t)timeout_ms, 0);
	return t;
}

void
tcp_set_ops(struct tcp *t, const struct tcp_ops *ops, void *arg)
{
	t->ops = ops;
	t->arg = arg;
}

void
tcp_join(struct tcp *t, struct tcp_list *list)
{
	t->list = list;
	TAILQ_INSERT_TAIL(list, t, link);
}

/*** Reading ***/

/* All connections share it: what a read gives is used before the next. */
static void
on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	static char in[READ_SIZE];

	(void)h;
	(void)hint;
	*buf = uv_buf_init(in, sizeof(in));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct tcp *t = stream->data;

	if (n == 0)
		return;
	if (n > 0) {
		t->ops->data(t->arg, buf->base, (size_t)n);
		return;
	}
	(void)uv_read_stop(stream);
	t->eof = true;
	if (n == UV_EOF)
		t->ops->data(t->arg, NULL, 0);
	else
		t->ops->broken(t->arg);
}

void
tcp_pause(struct tcp *t)
{
	(void)uv_read_stop((uv_stream_t *)&t->tcp);
}

void
tcp_resume(struct tcp *t)
{
	if (!t->closing && !t->eof)
		(void)uv_read_start((uv_stream_t *)&t->tcp, on_alloc, on_read);
}

/*** Writing ***/

static void
on_written(uv_write_t *req, int status)
{
	struct write_req *w = (struct write_req *)(void *)req;
	struct tcp *t = w->t;

	free(w);
	if (t->closing)
		return;
	if (status < 0)
		t->ops->broken(t->arg);
	else if (uv_stream_get_write_queue_size((uv_stream_t *)&t->tcp) == 0)
		t->ops->drained(t->arg);
}

size_t
tcp_send(struct tcp *t, const void *p, size_t n)
{
	uv_stream_t *stream = (uv_stream_t *)&t->tcp;
	uv_buf_t out = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
	struct write_req *w;
	int done;

	if (t->closing || t->finishing || n == 0)
		return 0;
	done = uv_try_write(stream, &out, 1);
	/* a failure comes again, to who can be told of it later */
	done = done < 0 ? 0 : done;
	n -= (size_t)done;
	if (n == 0)
		return 0;
	w = xmalloc(sizeof(*w) + n);
	w->t = t;
	memcpy(w->data, out.base + done, n);
	out = uv_buf_init(w->data, (unsigned)n);
	if (uv_write(&w->req, stream, &out, 1, on_written) != 0)
		free(w);
	return uv_stream_get_write_queue_size(stream);
}

static void
on_shutdown(uv_shutdown_t *req, int status)
{
	struct tcp *t = req->data;

	if (t->closing)
		return;
	if (status < 0 && status != UV_ENOTCONN)
		t->ops->broken(t->arg);
	else if (t->ops->finished != NULL)
		t->ops->finished(t->arg);
}

void
tcp_finish(struct tcp *t)
{
	if (t->closing || t->finishing)
		return;
	t->finishing = true;
	(void)uv_shutdown(&t->shutdown, (uv_stream_t *)&t->tcp, on_shutdown);
}
