#include "agent/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "agent/impl.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define OUT_BYTES (16u << 10)
#define IN_BYTES (4u << 10)
/* A background process that keeps writing keeps nobody waiting: a terminal
 * holds less than that. */
#define DRAIN_MAX (128u << 10)
/* Others get their turn. */
#define CHUNKS_A_TURN 8

/* One descriptor in the loop; events 0: it is not there, since the end of the
 * other side would be told again and again. */
struct end {
	struct source src; /* first: the loop knows us by it */
	struct pty *t;
	int fd;
	uint32_t events;
};

struct pty {
	struct end master, in, out;
	int tty; /* ours, so that nothing hangs up before the job's end */
	struct pty_size size;
	char to_out[OUT_BYTES], to_job[IN_BYTES];
	size_t out_at, out_len, in_at, in_len; /* not written yet */
	bool ending, told, forsaken;
	size_t drained_bytes; /* since the job's end */
	void (*drained)(void *arg);
	void *arg;
};

static void
want(struct end *e, uint32_t events)
{
	if (e->fd < 0 || events == e->events)
		return;
	if (events == 0)
		loop_drop(e->fd);
	else if (e->events == 0)
		(void)loop_add(e->fd, &e->src, events);
	else
		(void)loop_change(e->fd, &e->src, events);
	e->events = events;
}

static void
end_close(struct end *e)
{
	want(e, 0);
	close_fd(&e->fd);
}

static void
want_all(struct pty *t)
{
	uint32_t events = 0;

	if (t->out_len == 0)
		events |= EPOLLIN;
	if (t->in_len != 0)
		events |= EPOLLOUT;
	want(&t->master, events);
	want(&t->in, t->in_len == 0 && t->master.fd >= 0 ? EPOLLIN : 0);
	want(&t->out, t->out_len != 0 ? EPOLLOUT : 0);
}

/*** Out of the terminal ***/

/* True when all of it is in the pipe. */
static bool
put_out(struct pty *t)
{
	ssize_t n;

	while (t->out_len != 0 && t->out.fd >= 0) {
		n = write(t->out.fd, t->to_out + t->out_at, t->out_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		t->out_at += (size_t)n;
		t->out_len -= (size_t)n;
	}
	return true;
}

/* False: there is nothing now, or never will be. */
static bool
take_out(struct pty *t)
{
	ssize_t n;

	if (t->master.fd < 0)
		return false;
	do
		n = read(t->master.fd, t->to_out, sizeof(t->to_out));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) { /* EIO: nobody has it open any more */
		end_close(&t->master);
		return false;
	}
	t->out_at = 0;
	t->out_len = (size_t)n;
	if (t->ending)
		t->drained_bytes += (size_t)n;
	return true;
}

static void
tell_drained(struct pty *t)
{
	if (t->told)
		return;
	t->told = true;
	t->drained(t->arg);
}

static void
carry_out(struct pty *t)
{
	bool empty = false;
	int i;

	for (i = 0; i < CHUNKS_A_TURN && !empty && put_out(t); i++)
		empty = !take_out(t);
	if (t->ending && t->out_len == 0 &&
	    (empty || t->drained_bytes > DRAIN_MAX))
		tell_drained(t);
	if (t->master.fd < 0 && (t->out_len == 0 || t->forsaken)) {
		t->out_len = 0;
		end_close(&t->out);
	}
}

/*** Into it ***/

static void
carry_in(struct pty *t)
{
	ssize_t n;

	if (t->in_len == 0 && t->in.fd >= 0) {
		n = read(t->in.fd, t->to_job, sizeof(t->to_job));
		if (n == 0)
			end_close(&t->in);
		t->in_at = 0;
		t->in_len = n > 0 ? (size_t)n : 0;
	}
	if (t->in_len == 0)
		return;
	n = write(t->master.fd, t->to_job + t->in_at, t->in_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) /* EIO: there is nobody to read it */
		n = (ssize_t)t->in_len;
	t->in_at += (size_t)n;
	t->in_len -= (size_t)n;
}

static void
carry(struct source *s, uint32_t events)
{
	struct end *e = (struct end *)s;
	struct pty *t = e->t;

	(void)events;
	if (e->fd < 0)
		return;
	carry_out(t);
	carry_in(t);
	want_all(t);
}

/*** The whole ***/

static void
end_init(struct end *e, struct pty *t, int fd)
{
	e->src.ready = carry;
	e->t = t;
	e->fd = fd;
}

int
pty_resize(struct pty *t, const struct pty_size *size)
{
	struct winsize ws = { .ws_row = (unsigned short)size->rows,
		.ws_col = (unsigned short)size->cols };

	t->size = *size;
	if (t->master.fd < 0 || ioctl(t->master.fd, TIOCSWINSZ, &ws) < 0)
		return t->master.fd < 0 ? -ESRCH : -errno;
	return 0;
}

const struct pty_size *
pty_size(const struct pty *t)
{
	return &t->size;
}

int
pty_new(struct pty **ret, const struct pty_size *size, int *ret_tty)
{
	cleanup_fd int master = -1, tty = -1;
	struct pty *t;
	int unlock = 0, r;

	master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	/* not by its path, which is the guest's */
	tty = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return -errno;
	t = xcalloc(1, sizeof(*t));
	end_init(&t->in, t, -1);
	end_init(&t->out, t, -1);
	end_init(&t->master, t, steal_fd(&master));
	t->tty = steal_fd(&tty);
	if ((r = pty_resize(t, size)) < 0) {
		pty_free(t);
		return r;
	}
	*ret_tty = t->tty;
	*ret = t;
	return 0;
}

void
pty_run(struct pty *t, int in, int out, void (*drained)(void *arg), void *arg)
{
	t->drained = drained;
	t->arg = arg;
	t->in.fd = in;
	t->out.fd = out;
	(void)fd_nonblock(in, 1);
	(void)fd_nonblock(out, 1);
	want_all(t);
}

void
pty_ended(struct pty *t)
{
	t->ending = true;
	close_fd(&t->tty);
	end_close(&t->in);
	carry_out(t);
	want_all(t);
}

void
pty_forsake(struct pty *t)
{
	t->forsaken = true;
	carry_out(t);
	want_all(t);
}

void
pty_free(struct pty *t)
{
	if (t == NULL)
		return;
	end_close(&t->master);
	end_close(&t->in);
	end_close(&t->out);
	close_fd(&t->tty);
	free(t);
}
