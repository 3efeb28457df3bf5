#include "daemon/tree_more.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define PIPE_BYTES (1 << 20)

struct more {
	uv_loop_t *loop;
	void (*moved)(void *arg);
	void *arg;
	uint64_t written;
	struct buf out; /* what the pipe had no room for */
	int fd;		/* -1: nobody reads it any more */
	uv_poll_t *poll;
};

static void
unwatch(struct more *m)
{
	if (m->poll != NULL)
		uv_close((uv_handle_t *)m->poll, (uv_close_cb)free);
	m->poll = NULL;
}

static void
give_up(struct more *m)
{
	unwatch(m);
	close_fd(&m->fd);
	buf_done(&m->out);
}

/* How many of the bytes the pipe has room for. */
static size_t
put(struct more *m, const char *p, size_t n)
{
	size_t done = 0;
	ssize_t r;

	while (m->fd >= 0 && done < n) {
		r = write(m->fd, p + done, n - done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno != EAGAIN) /* EPIPE */
			give_up(m);
		if (r < 0)
			break;
		done += (size_t)r;
	}
	m->written += done;
	return done;
}

static void
flush(struct more *m)
{
	size_t n = put(m, buf_str(&m->out), m->out.len);

	if (m->fd < 0)
		return;
	buf_consume(&m->out, n);
	if (m->out.len == 0)
		unwatch(m);
}

static void
on_writable(uv_poll_t *h, int status, int events)
{
	struct more *m = h->data;

	(void)events;
	if (status < 0)
		give_up(m);
	flush(m);
	m->moved(m->arg);
}

static void
watch(struct more *m)
{
	if (m->poll != NULL)
		return;
	m->poll = xcalloc(1, sizeof(*m->poll));
	if (uv_poll_init(m->loop, m->poll, m->fd) < 0) {
		free(m->poll);
		m->poll = NULL;
		give_up(m);
		return;
	}
	m->poll->data = m;
	(void)uv_poll_start(m->poll, UV_WRITABLE, on_writable);
}

struct more *
more_new(uv_loop_t *loop, void (*moved)(void *arg), void *arg, int *ret_reader)
{
	struct more *m;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return NULL;
	(void)fcntl(fd[1], F_SETPIPE_SZ, PIPE_BYTES);
	m = xcalloc(1, sizeof(*m));
	m->loop = loop;
	m->moved = moved;
	m->arg = arg;
	m->fd = fd[1];
	/* a turn of the loop, and what is drained at a job's end */
	buf_limit(&m->out, SIZE_MAX / 2);
	*ret_reader = fd[0];
	return m;
}

void
more_free(struct more *m)
{
	if (m == NULL)
		return;
	give_up(m);
	free(m);
}

void
more_add(struct more *m, const void *p, size_t n)
{
	size_t done = m->out.len == 0 ? put(m, p, n) : 0;

	if (m->fd < 0 || done == n)
		return;
	if (buf_add(&m->out, (const char *)p + done, n - done) < 0)
		give_up(m);
	else
		watch(m);
}

size_t
more_pass(struct more *m, int fd)
{
	struct pollfd room = { .fd = m->fd, .events = POLLOUT };
	ssize_t n;

	if (m->fd < 0 || m->poll != NULL)
		return 0;
	n = tee(fd, m->fd, PIPE_BYTES, SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EPIPE)
		give_up(m);
	else if (n < 0 && poll(&room, 1, 0) == 0)
		watch(m);
	if (n < 0)
		return 0;
	m->written += (size_t)n;
	return (size_t)n;
}

bool
more_full(const struct more *m)
{
	return m != NULL && m->poll != NULL;
}

uint64_t
more_written(const struct more *m)
{
	return m != NULL ? m->written : 0;
}
