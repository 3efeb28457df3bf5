#include "daemon/tree_more.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
on_freed(uv_handle_t *h)
{
	free(h);
}

static void
unwatch(struct more *m)
{
	if (m->poll != NULL)
		uv_close((uv_handle_t *)m->poll, on_freed);
	m->poll = NULL;
}

static void
give_up(struct more *m)
{
	unwatch(m);
	close_fd(&m->fd);
	buf_done(&m->out);
}

static void
flush(struct more *m)
{
	ssize_t n;

	while (m->fd >= 0 && m->out.len != 0) {
		n = write(m->fd, m->out.data, m->out.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* EPIPE */
			give_up(m);
			return;
		}
		m->written += (uint64_t)n;
		buf_consume(&m->out, (size_t)n);
	}
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
	if (m->fd < 0)
		return;
	if (buf_add(&m->out, p, n) < 0) {
		give_up(m);
		return;
	}
	if (m->poll == NULL)
		flush(m);
	if (m->out.len != 0)
		watch(m);
}

size_t
more_waiting(const struct more *m)
{
	return m != NULL ? m->out.len : 0;
}

uint64_t
more_written(const struct more *m)
{
	return m != NULL ? m->written : 0;
}
