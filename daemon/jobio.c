/*
 * jobio.c - the pipes of jobs. See jobs_impl.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/agentc.h"
#include "daemon/brokerc.h"
#include "daemon/jobs_impl.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

/* Who may reopen what through /proc/self/fd inside: spec of sbx.job.start. */
#define OUT_MODE 0622
#define IN_MODE 0644

#define SPARES_MS 1 /* who waits for the last job's end goes first */

#define CHUNK (256u << 10)
#define READS_A_TURN 4
/* The largest pipe there is (fs.pipe-max-size by default): a pipe that a
 * background process keeps filling is left alone after that much. */
#define PIPE_MAX (1u << 20)
#define PIPE_FULL (64u << 10) /* read at once, it is worth a wider pipe */

struct reopen {
	struct job_pipe *pipe; /* NULL: nobody wants it any more */
};

static char chunk[CHUNK];

static void
unwatch(struct job_pipe *p)
{
	if (p->poll == NULL)
		return;
	uv_close((uv_handle_t *)p->poll, (uv_close_cb)free);
	p->poll = NULL;
}

void
jobio_close(struct job_pipe *p)
{
	unwatch(p);
	close_fd(&p->fd);
	if (p->reopen != NULL)
		p->reopen->pipe = NULL;
	p->reopen = NULL;
}

static uv_loop_t *
loop_of(const struct job_pipe *p)
{
	return p->job->sb->f->loop;
}

static bool
watch(struct job_pipe *p, int events, uv_poll_cb fn)
{
	if (p->fd < 0 || p->poll != NULL)
		return p->fd >= 0;
	p->poll = xcalloc(1, sizeof(*p->poll));
	if (uv_poll_init(loop_of(p), p->poll, p->fd) < 0) {
		free(p->poll);
		p->poll = NULL;
		return false;
	}
	p->poll->data = p;
	return uv_poll_start(p->poll, events, fn) == 0;
}

/*** Output ***/

static enum job_stream
stream_of(const struct job_pipe *p)
{
	return p == &p->job->priv->out[JOB_STDERR] ? JOB_STDERR : JOB_STDOUT;
}

/* Bytes taken, 0 when there is nothing now, -1 at its end. With pass perhaps
 * without reading them. */
static ssize_t
take(struct job_pipe *p, bool pass)
{
	ssize_t n;

	if (pass &&
	    ((n = (ssize_t)job_pass(p->job, p->fd)) > 0 || job_full(p->job)))
		return n;
	do
		n = read(p->fd, chunk, sizeof(chunk));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		jobio_close(p);
		return -1;
	}
	if (n >= PIPE_FULL && !p->wide) {
		p->wide = true;
		(void)fcntl(p->fd, F_SETPIPE_SZ, PIPE_MAX);
	}
	job_output(p->job, stream_of(p), chunk, (size_t)n);
	return n;
}

static void
on_readable(uv_poll_t *h, int status, int events)
{
	struct job_pipe *p = h->data;
	struct job *job = p->job;
	ssize_t n = 1;
	int i;

	(void)events;
	if (status < 0) {
		jobio_close(p);
		return;
	}
	job_hold(job); /* an output callback may forget it */
	for (i = 0; i < READS_A_TURN && n > 0 && p->fd >= 0; i++) {
		if (job_full(job)) {
			unwatch(&job->priv->out[JOB_STDOUT]);
			unwatch(&job->priv->out[JOB_STDERR]);
			break;
		}
		n = take(p, true);
		if (n > 0 && (size_t)n < sizeof(chunk) / 2)
			break; /* it is empty, or nearly */
	}
	job_release(job);
}

void
jobio_watch(struct job *job)
{
	struct job_pipe *p = job->priv->out;
	size_t i;

	for (i = 0; i < 2; i++)
		if (p[i].fd >= 0 && !watch(&p[i], UV_READABLE, on_readable))
			jobio_close(&p[i]);
}

void
jobio_drain(struct job *job)
{
	struct job_pipe *p;
	size_t i, total;
	ssize_t n;

	for (i = 0; i < 2; i++) {
		p = &job->priv->out[i];
		total = 0;
		n = 1;
		while (p->fd >= 0 && n > 0 && total < PIPE_MAX) {
			n = take(p, false);
			total += n > 0 ? (size_t)n : 0;
		}
	}
}

/*** Input ***/

void
job_no_answer(void *arg, const struct agent_answer *a)
{
	(void)arg;
	(void)a;
}

void
jobio_eof(struct job *job)
{
	job_call_agent(job, "sbx.job.eof", json_object());
}

static void
on_writable(uv_poll_t *h, int status, int events)
{
	struct job_pipe *p = h->data;

	(void)status;
	(void)events;
	jobio_feed(p->job);
}

static void
end_write(struct job_write *w, int error)
{
	job_write_cancel(w);
	w->ended(w, error);
}

void
jobio_end_input(struct job *job)
{
	struct job_write *w;

	job->input_ended = true;
	jobio_close(&job->priv->in);
	while ((w = TAILQ_FIRST(&job->priv->writes)) != NULL)
		end_write(w, EPIPE);
}

/* 1 when it is done, 0 when the pipe is full, -1 when nobody reads it. */
static int
feed_one(const struct job_pipe *p, struct job_write *w)
{
	struct pollfd room = { .fd = p->fd, .events = POLLOUT };
	ssize_t n;

	if (w->n == 0) {
		(void)poll(&room, 1, 0);
		return (room.revents & POLLERR) != 0 ? -1 : room.revents != 0;
	}
	while (w->done < w->n) {
		n = write(p->fd, w->p + w->done, w->n - w->done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		w->done += (size_t)n;
	}
	return 1;
}

static void
feed_all(struct job *job)
{
	struct job_pipe *p = &job->priv->in;
	struct job_write *w;
	int r = 1;

	while (p->fd >= 0 && (w = TAILQ_FIRST(&job->priv->writes)) != NULL &&
	    (r = feed_one(p, w)) > 0)
		end_write(w, 0);
	if (p->fd < 0)
		return;
	if (r == 0) {
		(void)watch(p, UV_WRITABLE, on_writable);
		return;
	}
	unwatch(p);
	if (r < 0 || job->input_ended) {
		jobio_end_input(job);
		jobio_eof(job);
	}
}

void
jobio_feed(struct job *job)
{
	job_hold(job); /* who is told may forget it */
	feed_all(job);
	job_release(job);
}

void
job_write(struct job *job, struct job_write *w)
{
	w->done = 0;
	w->job = job;
	TAILQ_INSERT_TAIL(&job->priv->writes, w, link);
	if (job->input_ended)
		end_write(w, EPIPE);
	else if (TAILQ_FIRST(&job->priv->writes) == w)
		jobio_feed(job);
}

void
job_write_cancel(struct job_write *w)
{
	if (w->job != NULL)
		TAILQ_REMOVE(&w->job->priv->writes, w, link);
	w->job = NULL;
}

static void
given(struct job_write *w, int error)
{
	(void)error;
	free(w);
}

void
jobio_give(struct job *job, const void *p, size_t n)
{
	struct job_write *w;

	if (n == 0)
		return;
	w = xcalloc(1, sizeof(*w) + n);
	memcpy(w + 1, p, n);
	w->p = (const char *)(w + 1);
	w->n = n;
	w->ended = given;
	job_write(job, w);
}

/*** Making them ***/

struct pair {
	int r, w;
	uint64_t ino;
};

/* The reading end does not block, or the writing one. */
static int
make_pair(bool writing, mode_t mode, struct pair *ret)
{
	struct stat st;
	int fd[2], r;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(fd[writing], F_SETFL, O_NONBLOCK) < 0 ||
	    fchmod(fd[0], mode) < 0 || fstat(fd[0], &st) < 0) {
		r = -errno;
		(void)close(fd[0]);
		(void)close(fd[1]);
		return r;
	}
	*ret = (struct pair){ fd[0], fd[1], st.st_ino };
	return 0;
}

/* Four calls a pipe are a good part of what a job waits for before it begins:
 * the next one finds its two. */
static struct {
	struct pair pair[2];
	size_t n;
	uv_timer_t *timer;
} spares;

static void
on_spares(uv_timer_t *t)
{
	while (spares.n < 2 &&
	    make_pair(false, OUT_MODE, &spares.pair[spares.n]) == 0)
		spares.n++;
	spares.timer = NULL;
	uv_close((uv_handle_t *)t, (uv_close_cb)free);
}

void
jobio_spares(uv_loop_t *loop)
{
	if (spares.n == 2 || spares.timer != NULL)
		return;
	spares.timer = xcalloc(1, sizeof(*spares.timer));
	(void)uv_timer_init(loop, spares.timer);
	(void)uv_timer_start(spares.timer, on_spares, SPARES_MS, 0);
	uv_unref((uv_handle_t *)spares.timer);
}

void
jobs_done(void)
{
	while (spares.n > 0) {
		spares.n--;
		(void)close(spares.pair[spares.n].r);
		(void)close(spares.pair[spares.n].w);
	}
	if (spares.timer != NULL)
		uv_close((uv_handle_t *)spares.timer, (uv_close_cb)free);
	spares.timer = NULL;
}

/* ours becomes p's; both ends go to the agent. */
static int
open_one(struct job_pipe *p, bool writing, int *theirs)
{
	struct pair pair;
	int r = 0;

	if (!writing && spares.n > 0)
		pair = spares.pair[--spares.n];
	else
		r = make_pair(writing, writing ? IN_MODE : OUT_MODE, &pair);
	if (r < 0)
		return r;
	p->fd = writing ? pair.w : pair.r;
	*theirs = writing ? pair.r : pair.w;
	p->ino = pair.ino;
	return 0;
}

int
jobio_open(struct job *job, int fds[6], size_t *ret_n, struct err *e)
{
	struct job_priv *pv = job->priv;
	struct job_pipe *p[3] = { &pv->out[0], &pv->out[1], &pv->in };
	size_t i, n = job->input != JOB_NULL ? 3 : 2;
	int r = 0;

	for (i = 0; i < 3; i++)
		fds[2 * i] = fds[2 * i + 1] = -1;
	for (i = 0; i < n && r == 0; i++) {
		r = open_one(p[i], i == 2, &fds[2 * i]);
		fds[2 * i + 1] = p[i]->fd;
	}
	*ret_n = 2 * n;
	if (r == 0)
		return 0;
	for (i = 0; i < n; i++) {
		close_fd(&fds[2 * i]);
		jobio_close(p[i]);
	}
	return err_set(e, -r, "job %d: pipes", job->number);
}

/*** After a restart ***/

bool
jobio_opening(const struct job *job)
{
	return job->priv->out[0].reopen != NULL ||
	    job->priv->out[1].reopen != NULL;
}

static void
reopened(void *arg, struct broker_answer *a)
{
	struct reopen *r = arg;
	struct job_pipe *p = r->pipe;
	struct job *job;
	struct err e;

	free(r);
	if (p == NULL)
		return;
	job = p->job;
	p->reopen = NULL;
	if (broker_failed(a, &e) < 0) {
		log_warnx("sandbox %s: job %d: its %s is lost: %s", job->sb->id,
		    job->number, p == &job->priv->in ? "input" : "output",
		    e.text);
	} else if (a->nfds != 0) {
		p->fd = steal_fd(&a->fds[0]);
		(void)fd_nonblock(p->fd, 1);
	}
	if (p != &job->priv->in)
		job_reopened(job);
	else if (p->fd >= 0)
		jobio_feed(job);
	else
		jobio_end_input(job);
}

void
jobio_reopen(struct job_pipe *p, int fdnum)
{
	struct broker_req q;

	if (fdnum < 0 || p->ino == 0 || p->fd >= 0 || p->reopen != NULL)
		return;
	memset(&q, 0, sizeof(q));
	q.op = BROKER_STREAM;
	(void)str_copy(q.id, p->job->sb->id, sizeof(q.id));
	q.fdnum = fdnum;
	q.flag = p == &p->job->priv->in;
	q.ino = p->ino;
	p->reopen = xcalloc(1, sizeof(*p->reopen));
	p->reopen->pipe = p;
	brokerc_ask(p->job->sb->f->broker, &q, true, reopened, p->reopen);
}
