#include "daemon/brokerc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

/* A LIST of many instances is read in turns, so that others are served. */
#define PACKETS_A_TURN 64

struct ask {
	TAILQ_ENTRY(ask) link;
	struct broker_req req;
	broker_done *done;
	void *arg;
};

TAILQ_HEAD(asks, ask);

struct sock {
	struct brokerc *b; /* borrowed */
	uv_poll_t poll;
	int fd;
	struct ask *ask; /* in flight, or NULL: free */
};

struct brokerc {
	struct asks queue;
	void (*gone)(void *arg);
	void *arg;
	bool ended; /* a socket ended: nothing goes out any more */
	bool freed;
	uv_prepare_t prepare;
	size_t open; /* handles not yet closed */
	size_t n;
	struct sock socks[];
};

static bool
id_busy(const struct brokerc *b, const struct ask *a)
{
	size_t i;

	if (*a->req.id == '\0')
		return false;
	for (i = 0; i < b->n; i++)
		if (b->socks[i].ask != NULL &&
		    strcmp(b->socks[i].ask->req.id, a->req.id) == 0)
			return true;
	return false;
}

/* For one id the queue's order holds, also where an urgent one came later. */
static struct ask *
next_ask(struct brokerc *b)
{
	struct ask *a;

	TAILQ_FOREACH (a, &b->queue, link)
		if (!id_busy(b, a))
			return a;
	return NULL;
}

static struct sock *
free_sock(struct brokerc *b)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (b->socks[i].ask == NULL)
			return &b->socks[i];
	return NULL;
}

int
broker_failed(const struct broker_answer *a, struct err *e)
{
	if (a == NULL)
		return err_setx(e, EIO, "the broker is gone");
	if (a->rep.code != 0)
		return err_setx(e, a->rep.code, "%s", a->rep.text);
	return 0;
}

static void
packet(const struct ask *ask, struct broker_answer *a)
{
	if (ask->done != NULL)
		ask->done(ask->arg, a);
	if (a != NULL)
		fd_close_all(a->fds, a->nfds);
}

static void
fail(struct ask *ask)
{
	packet(ask, NULL);
	free(ask);
}

/* Everything that was asked ends without an answer. */
static void
fail_all(struct brokerc *b)
{
	struct ask *a;
	size_t i;

	for (i = 0; i < b->n; i++)
		if ((a = b->socks[i].ask) != NULL) {
			b->socks[i].ask = NULL;
			fail(a);
		}
	while ((a = TAILQ_FIRST(&b->queue)) != NULL) {
		TAILQ_REMOVE(&b->queue, a, link);
		fail(a);
	}
}

static void
on_closed(uv_handle_t *h)
{
	struct brokerc *b = h->data;

	if (--b->open == 0 && b->freed)
		free(b);
}

static void
close_socks(struct brokerc *b)
{
	size_t i;

	uv_close((uv_handle_t *)&b->prepare, on_closed);
	for (i = 0; i < b->n; i++) {
		if (b->socks[i].fd < 0)
			continue;
		b->socks[i].poll.data = b;
		uv_close((uv_handle_t *)&b->socks[i].poll, on_closed);
		close_fd(&b->socks[i].fd);
	}
}

static void
end(struct brokerc *b)
{
	if (b->ended)
		return;
	b->ended = true;
	close_socks(b);
	fail_all(b);
	if (!b->freed && b->gone != NULL)
		b->gone(b->arg);
}

static void
pump(struct brokerc *b)
{
	struct sock *s;
	struct ask *a;
	ssize_t n;

	while (!b->ended && (s = free_sock(b)) != NULL &&
	    (a = next_ask(b)) != NULL) {
		TAILQ_REMOVE(&b->queue, a, link);
		s->ask = a;
		/* one request in flight: the socket has room for it */
		n = fd_send(s->fd, &a->req, sizeof(a->req), NULL, 0);
		if (n != sizeof(a->req))
			end(b);
	}
}

/* The texts are used as such: the broker is ours, but not a reason to crash. */
static bool
rep_ok(struct broker_rep *rep, ssize_t n)
{
	size_t i;

	if (n != sizeof(*rep) || rep->ntrees > RT_TREES_MAX)
		return false;
	rep->text[sizeof(rep->text) - 1] = '\0';
	rep->info.id[sizeof(rep->info.id) - 1] = '\0';
	for (i = 0; i < rep->ntrees; i++)
		rep->trees[i].prefix[sizeof(rep->trees[i].prefix) - 1] = '\0';
	return true;
}

/* One packet: 1 when more follow, 0 when not or not yet, -1 at the end. */
static int
read_packet(struct sock *s)
{
	struct brokerc *b = s->b;
	struct broker_answer a = { 0 };
	struct ask *ask = s->ask;
	ssize_t n;

	n = fd_recv(s->fd, &a.rep, sizeof(a.rep), a.fds, &a.nfds);
	if (n == -EAGAIN)
		return 0;
	if (n == -EPROTO) { /* all of it is here but what has no room here */
		a.rep.code = EMFILE;
		(void)str_copy(
		    a.rep.text, "too many files are open", sizeof(a.rep.text));
		n = sizeof(a.rep);
	}
	if (ask == NULL || !rep_ok(&a.rep, n)) {
		fd_close_all(a.fds, a.nfds);
		return -1;
	}
	if (a.rep.more != 0) {
		packet(ask, &a);
		return 1;
	}
	s->ask = NULL;
	pump(b); /* the next one works while this is looked at */
	packet(ask, &a);
	free(ask);
	return 0;
}

static void
on_poll(uv_poll_t *p, int status, int events)
{
	struct sock *s = p->data;
	struct brokerc *b = s->b;
	int i, r = status < 0 ? -1 : 1;

	(void)events;
	for (i = 0; i < PACKETS_A_TURN && r > 0 && !b->ended; i++)
		r = read_packet(s);
	if (r < 0)
		end(b);
}

static void
on_prepare(uv_prepare_t *p)
{
	pump(p->data);
}

struct brokerc *
brokerc_new(uv_loop_t *loop, const int *socks, size_t n,
    void (*gone)(void *arg), void *arg)
{
	struct brokerc *b = xcalloc(1, sizeof(*b) + n * sizeof(b->socks[0]));
	struct sock *s;
	size_t i;

	TAILQ_INIT(&b->queue);
	b->gone = gone;
	b->arg = arg;
	b->n = n;
	b->open = n + 1;
	b->prepare.data = b;
	(void)uv_prepare_init(loop, &b->prepare);
	(void)uv_prepare_start(&b->prepare, on_prepare);
	uv_unref((uv_handle_t *)&b->prepare);
	for (i = 0; i < n; i++) {
		s = &b->socks[i];
		s->b = b;
		s->fd = socks[i];
		s->poll.data = s;
		(void)fd_nonblock(s->fd, 1);
		if (uv_poll_init(loop, &s->poll, s->fd) < 0 ||
		    uv_poll_start(&s->poll, UV_READABLE, on_poll) < 0)
			fatalx("broker: socket %d cannot be polled", s->fd);
	}
	return b;
}

void
brokerc_free(struct brokerc *b)
{
	if (b == NULL)
		return;
	b->freed = true;
	if (!b->ended) {
		b->ended = true;
		close_socks(b);
		fail_all(b);
	}
	if (b->open == 0)
		free(b);
}

void
brokerc_ask(struct brokerc *b, const struct broker_req *req, bool urgent,
    broker_done *done, void *arg)
{
	struct ask *a = xmalloc(sizeof(*a)), *at;

	a->req = *req;
	a->done = done;
	a->arg = arg;
	if (b->ended) {
		fail(a);
		return;
	}
	if (!urgent) {
		TAILQ_INSERT_TAIL(&b->queue, a, link);
		return;
	}
	/* before all but what was asked of the same sandbox earlier */
	TAILQ_FOREACH_REVERSE(at, &b->queue, asks, link)
	if (*a->req.id != '\0' && strcmp(at->req.id, a->req.id) == 0)
		break;
	if (at != NULL)
		TAILQ_INSERT_AFTER(&b->queue, at, a, link);
	else
		TAILQ_INSERT_HEAD(&b->queue, a, link);
}
