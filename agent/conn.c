/*
 * Connections: frames in, frames out. What a client sends is read into one
 * buffer and handled where it lies; what it is sent waits in another. While
 * that holds too much, its requests are neither handled nor read.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/frame.h"
#include "agent/impl.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define READ_BYTES (256u << 10)
#define READ_FIRST 4096 /* most requests are shorter */
#define OUT_HIGH (4u << 20)
/* A binary message and the request it belongs to, and the start of more. */
#define IN_MAX (2 * (FRAME_MAX_AGENT + FRAME_HEAD) + READ_BYTES)

/* Descriptors that came with the bytes of the stream up to end. */
struct fdset {
	TAILQ_ENTRY(fdset) link;
	uint64_t end;
	int fds[FD_PASS_MAX];
	size_t n;
};

struct conn {
	struct source src; /* first: the loop knows us by it */
	TAILQ_ENTRY(conn) link;
	int fd;
	bool dead;  /* freed after the batch */
	bool ended; /* nothing more comes; what waits is still sent */
	bool busy;  /* its requests are being handled: answers wait */
	bool held;  /* what is in out goes with what comes next, or soon */
	uint32_t events;
	struct buf in, out;
	uint64_t at; /* of the stream: where in begins */
	TAILQ_HEAD(, fdset) fdsets;
	struct handles *handles;
	size_t binary;	/* where in out the reserved binary frame begins */
	char limit[32]; /* of methods' names; "" none */
};

static TAILQ_HEAD(, conn) conns = TAILQ_HEAD_INITIALIZER(conns);
static int nconns;
static bool any_dead, any_held;

static void
free_fdset(struct conn *c, struct fdset *s)
{
	fd_close_all(s->fds, s->n);
	TAILQ_REMOVE(&c->fdsets, s, link);
	free(s);
}

void
conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	any_dead = true;
	loop_drop(c->fd);
	jobs_conn_gone(c);
	work_conn_gone(c);
}

static void
free_conn(struct conn *c)
{
	struct fdset *s;

	while ((s = TAILQ_FIRST(&c->fdsets)) != NULL)
		free_fdset(c, s);
	TAILQ_REMOVE(&conns, c, link);
	handles_free(c->handles);
	buf_done(&c->in);
	buf_done(&c->out);
	close_fd(&c->fd);
	free(c);
}

void
conn_sweep(void)
{
	struct conn *c, *next;

	if (!any_dead)
		return;
	any_dead = false;
	for (c = TAILQ_FIRST(&conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!c->dead)
			continue;
		free_conn(c);
		nconns--;
	}
	loop_conns(nconns);
}

struct handles **
conn_handles(struct conn *c)
{
	return &c->handles;
}

int
conn_limit(struct conn *c, const char *prefix)
{
	if (c->limit[0] != '\0')
		return -EPERM;
	return str_copy(c->limit, prefix, sizeof(c->limit)) ? 0 : -EINVAL;
}

bool
conn_may(const struct conn *c, const char *method)
{
	return strncmp(method, c->limit, strlen(c->limit)) == 0;
}

/*** Out ***/

static void
want_events(struct conn *c)
{
	uint32_t ev = 0;

	if (!c->ended && c->out.len <= OUT_HIGH)
		ev |= EPOLLIN;
	if (c->out.len > 0 && !c->held)
		ev |= EPOLLOUT;
	if (ev == c->events || c->dead)
		return;
	c->events = ev;
	if (loop_change(c->fd, &c->src, ev) < 0)
		conn_kill(c);
}

static void
flush(struct conn *c)
{
	ssize_t n;

	c->held = false;
	while (!c->dead && c->out.len > 0) {
		n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_kill(c);
			return;
		}
		buf_consume(&c->out, (size_t)n);
	}
}

/* After what may have emptied the queue. */
static void
settle(struct conn *c)
{
	if (c->out.len == 0 && c->ended)
		conn_kill(c);
	want_events(c);
}

static void
add_frame(struct conn *c, enum frame_type type, const void *p, size_t n)
{
	c->held = false;
	if (!c->dead && frame_add(&c->out, type, p, n) < 0)
		conn_kill(c);
}

void
conn_send(struct conn *c, const struct buf *json)
{
	add_frame(c, FRAME_JSON, json->data, json->len);
	if (c->busy)
		return;
	flush(c);
	settle(c);
}

void
conn_hold(struct conn *c)
{
	c->held = any_held = true;
}

bool
conn_any_held(void)
{
	return any_held;
}

char *
conn_binary(struct conn *c, size_t n)
{
	char *p;

	if (c->dead || buf_reserve(&c->out, FRAME_HEAD + n, &p) < 0)
		return NULL;
	c->binary = c->out.len;
	return p + FRAME_HEAD;
}

void
conn_binary_done(struct conn *c, size_t n)
{
	frame_head(c->out.data + c->binary, FRAME_BINARY, n);
	buf_grew(&c->out, FRAME_HEAD + n);
}

/*** In ***/

/* The descriptors that came with the frame that begins at the front of in. */
static struct fdset *
fdset_of(struct conn *c, uint64_t frame)
{
	struct fdset *s = TAILQ_FIRST(&c->fdsets);

	return s != NULL && frame < s->end ? s : NULL;
}

/* A frame that begins at or after its end shows that nobody took a set. */
static void
drop_fdsets(struct conn *c)
{
	struct fdset *s;

	while ((s = TAILQ_FIRST(&c->fdsets)) != NULL && s->end <= c->at)
		free_fdset(c, s);
}

static void
handle_json(struct conn *c, const struct frame *f, const struct frame *bin)
{
	struct call call = { .conn = c };
	struct fdset *s;

	if (bin != NULL) {
		call.bin = bin->data;
		call.bin_len = bin->len;
	}
	s = fdset_of(c, c->at + (uint64_t)(f->data - FRAME_HEAD - c->in.data));
	if (s != NULL) {
		call.fds = s->fds;
		call.nfds = s->n;
	}
	rpc_frame(&call, f->data, f->len);
}

/* Handles the frames at the front of in; how long they were, 0 when more
 * must come, or -errno. */
static long
handle_first(struct conn *c)
{
	struct frame f, bin;
	long n, m;

	n = frame_decode(c->in.data, c->in.len, FRAME_MAX_AGENT, &f);
	if (n <= 0)
		return n;
	if (f.type == FRAME_JSON) {
		handle_json(c, &f, NULL);
		return n;
	}
	if (f.type == FRAME_PING) {
		if (*f.data == 0)
			add_frame(c, FRAME_PING, "\1", 1);
		return n;
	}
	bin = f;
	m = frame_decode(
	    c->in.data + n, c->in.len - (size_t)n, FRAME_MAX_AGENT, &f);
	if (m <= 0)
		return m;
	if (f.type != FRAME_JSON)
		return -EPROTO;
	handle_json(c, &f, &bin);
	return n + m;
}

/* Handles what is there, as long as the answers find room. */
static void
handle_frames(struct conn *c)
{
	long n;

	do {
		n = 0;
		c->busy = true;
		while (!c->dead && c->out.len <= OUT_HIGH && c->in.len > 0) {
			if ((n = handle_first(c)) <= 0)
				break;
			c->at += (uint64_t)n;
			buf_consume(&c->in, (size_t)n);
			drop_fdsets(c);
		}
		c->busy = false;
		if (!c->held)
			flush(c);
	} while (n > 0 && !c->dead && c->out.len <= OUT_HIGH && c->in.len > 0);
	if (n < 0) {
		conn_kill(c);
		return;
	}
	if (c->in.len == 0)
		buf_done(&c->in);
	settle(c);
}

void
conn_send_held(void)
{
	struct conn *c;

	any_held = false;
	TAILQ_FOREACH (c, &conns, link)
		if (c->held && !c->dead) {
			flush(c);
			handle_frames(c); /* those that waited for room */
		}
}

static void
keep_fds(struct conn *c, const int *fds, size_t n)
{
	struct fdset *s;

	if (n == 0)
		return;
	s = xcalloc(1, sizeof(*s));
	memcpy(s->fds, fds, n * sizeof(*fds));
	s->n = n;
	s->end = c->at + c->in.len;
	TAILQ_INSERT_TAIL(&c->fdsets, s, link);
}

/* A first read is for a few bytes: room for a large message costs more than
 * handling a small one. */
static ssize_t
read_in(struct conn *c, int *fds, size_t *nfds)
{
	char first[READ_FIRST], *p = first;
	size_t room = sizeof(first);
	ssize_t n;

	if (c->in.len != 0) {
		room = READ_BYTES;
		if (buf_reserve(&c->in, room, &p) < 0)
			return -EMSGSIZE;
	}
	n = fd_recv(c->fd, p, room, fds, nfds);
	if (n > 0 && p != first)
		buf_grew(&c->in, (size_t)n);
	else if (n > 0 && buf_add(&c->in, first, (size_t)n) < 0)
		conn_kill(c);
	return n;
}

static void
read_some(struct conn *c)
{
	int fds[FD_PASS_MAX];
	size_t nfds = 0;
	ssize_t n = read_in(c, fds, &nfds);

	if (n == -EAGAIN)
		return;
	if (n < 0) {
		conn_kill(c);
		return;
	}
	keep_fds(c, fds, nfds);
	c->ended = n == 0;
	handle_frames(c);
}

static void
conn_ready(struct source *s, uint32_t events)
{
	struct conn *c = (struct conn *)s;

	if (c->dead)
		return;
	if ((events & EPOLLERR) != 0 ||
	    ((events & EPOLLHUP) != 0 && (events & EPOLLIN) == 0)) {
		conn_kill(c);
		return;
	}
	if ((events & EPOLLOUT) != 0) {
		flush(c);
		handle_frames(c);
	}
	if (!c->dead && (events & c->events & EPOLLIN) != 0)
		read_some(c);
}

void
conn_new(int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->src.ready = conn_ready;
	c->fd = fd;
	c->events = EPOLLIN;
	TAILQ_INIT(&c->fdsets);
	buf_limit(&c->in, IN_MAX);
	TAILQ_INSERT_TAIL(&conns, c, link);
	loop_conns(++nconns);
	if (loop_add(fd, &c->src, c->events) < 0)
		conn_kill(c);
}
