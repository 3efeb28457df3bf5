/*
 * jobio.c - the pipes of jobs. See jobs_impl.h.
 */
#include <errno.h>
#include <fcntl.h>
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

#define CHUNK (1u << 20)
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
on_freed(uv_handle_t *h)
{
	free(h);
}

static void
unwatch(struct job_pipe *p)
{
	if (p->poll == NULL)
		return;
	uv_close((uv_handle_t *)p->poll, on_freed);
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

/* Bytes taken, 0 when there is nothing now, -1 at its end. */
static ssize_t
take(struct job_pipe *p)
{
	ssize_t n;

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
		n = take(p);
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
		for (total = 0, n = 1;
		     p->fd >= 0 && n > 0 && total<PIPE_MAX; total += n> 0
			 ? (size_t)n
			 : 0)
			n = take(p);
	}
}

/*** Input ***/

void
job_no_answer(void *arg, const json_t *result, const void *bin, size_t bin_len,
    const struct err *e)
{
	(void)arg;
	(void)result;
	(void)bin;
	(void)bin_len;
	(void)e;
}

void
jobio_eof(struct job *job)
{
	if (job->sb->agent != NULL)
		agentc_call(job->sb->agent,
		    &(struct agent_call){ .method = "sbx.job.eof",
			.params = json_pack("{s:i}", "job", job->number),
			.done = job_no_answer });
}

static void
on_writable(uv_poll_t *h, int status, int events)
{
	struct job_pipe *p = h->data;

	(void)status;
	(void)events;
	jobio_feed(p->job);
}

void
jobio_feed(struct job *job)
{
	struct job_pipe *p = &job->priv->in;
	struct buf *b = &job->priv->in_data;
	ssize_t n;

	while (p->fd >= 0 && b->len != 0) {
		n = write(p->fd, b->data, b->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			(void)watch(p, UV_WRITABLE, on_writable);
			return;
		}
		if (n < 0) /* EPIPE: nobody reads it any more */
			break;
		buf_consume(b, (size_t)n);
	}
	if (p->fd < 0)
		return;
	jobio_close(p);
	buf_done(b);
	jobio_eof(job);
}

/*** Making them ***/

/* ours becomes p's; both ends go to the agent. */
static int
open_one(struct job_pipe *p, bool writing, mode_t mode, int *theirs)
{
	struct stat st;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	p->fd = fd[writing];
	*theirs = fd[!writing];
	if (fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0 || fchmod(p->fd, mode) < 0 ||
	    fstat(p->fd, &st) < 0)
		return -errno;
	p->ino = st.st_ino;
	return 0;
}

int
jobio_open(struct job *job, int fds[6], size_t *ret_n, struct err *e)
{
	struct job_priv *pv = job->priv;
	struct job_pipe *p[3] = { &pv->out[0], &pv->out[1], &pv->in };
	size_t i, n = pv->has_stdin ? 3 : 2;
	int r = 0;

	for (i = 0; i < 3; i++)
		fds[2 * i] = fds[2 * i + 1] = -1;
	for (i = 0; i < n && r == 0; i++) {
		r = open_one(
		    p[i], i == 2, i == 2 ? IN_MODE : OUT_MODE, &fds[2 * i]);
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
reopened(void *arg, const struct broker_rep *rep, const int *fds, size_t nfds)
{
	struct reopen *r = arg;
	struct job_pipe *p = r->pipe;
	size_t i;

	free(r);
	for (i = p != NULL && nfds != 0 ? 1 : 0; i < nfds; i++)
		(void)close(fds[i]);
	if (p == NULL)
		return;
	p->reopen = NULL;
	if (nfds != 0) {
		p->fd = fds[0];
		(void)fd_nonblock(p->fd, 1);
	} else if (rep != NULL) {
		log_warnx("sandbox %s: job %d: its output is lost: %.*s",
		    p->job->sb->id, p->job->number, (int)sizeof(rep->text) - 1,
		    rep->text);
	}
	job_reopened(p->job);
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
	q.ino = p->ino;
	p->reopen = xcalloc(1, sizeof(*p->reopen));
	p->reopen->pipe = p;
	brokerc_ask(p->job->sb->f->broker, &q, true, reopened, p->reopen);
}
