/*
 * Jobs. The front makes the pipes and keeps their far ends; we keep a copy of
 * its ends, so that the front's death breaks no pipe, and a job's status,
 * until the front has said that it has both (sbx.job.ack).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "agent/impl.h"
#include "agent/pty.h"
#include "agent/spawn.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"

/* Our copy of the reading end of an output pipe. */
struct pipe_end {
	struct source src; /* first: the loop knows us by it */
	struct job *job;
	int fd;
	bool watched;
};

struct job {
	TAILQ_ENTRY(job) link;
	int64_t number;
	pid_t pid;
	bool reaped, ended, acked, timed_out; /* ended: the front may know */
	int code, signal;
	int64_t cpu_usec, ended_ms; /* ended_ms is real time */
	int64_t memory_peak;	    /* of its largest process */
	struct pipe_end out, err;
	int in;		 /* our copy of the writing end */
	struct pty *pty; /* its terminal, or NULL */
};

static TAILQ_HEAD(, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);
static size_t njobs;
static struct conn *control; /* borrowed; NULL: no front */
static struct rlimit job_nofile;
static bool any_done;

void
jobs_init(void)
{
	struct rlimit ours;

	if (getrlimit(RLIMIT_NOFILE, &job_nofile) < 0)
		return;
	/* Three descriptors a job, and the handles of files. */
	ours = job_nofile;
	ours.rlim_cur = ours.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &ours);
}

static struct job *
find_job(int64_t number)
{
	struct job *j;

	TAILQ_FOREACH (j, &jobs, link)
		if (j->number == number && !j->acked)
			return j;
	return NULL;
}

/*** Pipes ***/

static void
end_close(struct pipe_end *p)
{
	if (p->watched)
		loop_drop(p->fd);
	p->watched = false;
	close_fd(&p->fd);
}

static void
end_hup(struct pipe_end *p)
{
	end_close(p);
	if (p->job->out.fd < 0 && p->job->err.fd < 0)
		any_done = true;
}

static void
end_ready(struct source *s, uint32_t events)
{
	struct pipe_end *p = (struct pipe_end *)s;

	if (p->fd >= 0 && (events & (EPOLLHUP | EPOLLERR)) != 0)
		end_hup(p);
}

/* The front has said that it has all. What was written and not read yet is
 * lost with the last copy: until now our end stays, then until nobody can
 * write any more. */
static void
end_acked(struct pipe_end *p)
{
	struct pollfd now = { .fd = p->fd };

	if (p->fd < 0 || poll(&now, 1, 0) > 0)
		end_hup(p);
	else /* tells of the end alone */
		p->watched = loop_add(p->fd, &p->src, 0) == 0;
}

static void
end_open(struct pipe_end *p, struct job *j, int fd)
{
	p->src.ready = end_ready;
	p->job = j;
	p->fd = fd;
}

static void
free_job(struct job *j)
{
	end_close(&j->out);
	end_close(&j->err);
	close_fd(&j->in);
	pty_free(j->pty);
	TAILQ_REMOVE(&jobs, j, link);
	njobs--;
	free(j);
}

void
jobs_sweep(void)
{
	struct job *j, *next;

	if (!any_done)
		return;
	any_done = false;
	for (j = TAILQ_FIRST(&jobs); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->ended && j->acked && j->out.fd < 0 && j->err.fd < 0)
			free_job(j);
	}
}

/*** Their end ***/

static void
put_exit(struct json_out *o, const struct job *j)
{
	json_put_int(o, "job", j->number);
	json_put_int(o, "code", j->code);
	json_put_int(o, "signal", j->signal);
	json_put_int(o, "cpu_usec", j->cpu_usec);
	json_put_int(o, "memory_peak", j->memory_peak);
	json_put_int(o, "ended", j->ended_ms);
}

static void
notify_exit(const struct job *j)
{
	struct json_out o = { 0 };

	if (control == NULL)
		return;
	json_open(&o, NULL, '{');
	put_exit(&o, j);
	json_close(&o, '}');
	rpc_notify(control, "sbx.job.exit", &o);
	buf_done(&o.b);
}

static int64_t
usec(const struct timeval *tv)
{
	return (int64_t)tv->tv_sec * 1000000 + tv->tv_usec;
}

/* All that counts of its output is in the pipes. */
static void
end_job(void *arg)
{
	struct job *j = arg;

	j->ended = true;
	notify_exit(j);
}

void
jobs_reaped(pid_t pid, int status, const struct rusage *ru)
{
	struct job *j;

	TAILQ_FOREACH (j, &jobs, link)
		if (!j->reaped && j->pid == pid)
			break;
	if (j == NULL)
		return; /* an orphan of some job */
	j->reaped = true;
	j->ended_ms = clock_real_ms();
	j->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	j->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	j->cpu_usec = usec(&ru->ru_utime) + usec(&ru->ru_stime);
	j->memory_peak = (int64_t)ru->ru_maxrss * 1024;
	if (j->pty != NULL)
		pty_ended(j->pty);
	else
		end_job(j);
}

void
jobs_conn_gone(struct conn *c)
{
	if (control == c)
		control = NULL;
}

/*** Methods ***/

static void
put_pipes(struct json_out *o, const struct job *j)
{
	json_put_int(o, "out", j->out.fd);
	json_put_int(o, "err", j->err.fd);
}

static int
hello(struct call *c, void *args)
{
	struct json_out *o = &c->out;
	struct job *j;

	(void)args;
	control = c->conn;
	json_put_int(o, "version", 1);
	json_open(o, "jobs", '[');
	TAILQ_FOREACH (j, &jobs, link) {
		if (j->acked)
			continue;
		json_open(o, NULL, '{');
		put_exit(o, j);
		json_put_int(o, "pid", j->pid);
		json_put_str(o, "state", j->ended ? "ended" : "running");
		json_put_bool(o, "timed_out", j->timed_out);
		put_pipes(o, j);
		json_put_int(o, "in", j->in);
		if (j->pty != NULL) {
			json_put_int(o, "rows", pty_size(j->pty)->rows);
			json_put_int(o, "cols", pty_size(j->pty)->cols);
		}
		json_close(o, '}');
	}
	json_close(o, ']');
	json_open(o, "left", '[');
	TAILQ_FOREACH (j, &jobs, link) {
		if (!j->acked)
			continue;
		json_open(o, NULL, '{');
		json_put_int(o, "job", j->number);
		put_pipes(o, j);
		json_close(o, '}');
	}
	json_close(o, ']');
	return 0;
}

struct start_args {
	int64_t job;
	int env;
	struct bytes cwd;
	bool with_stdin;
	struct pty_size size; /* rows 0: no terminal */
};

/* Order of the descriptors that come with sbx.job.start. */
enum {
	OUT_W,
	OUT_R,
	ERR_W,
	ERR_R,
	IN_R,
	IN_W,
	START_FDS
};

static int
spawn_with(struct call *c, const struct start_args *a, struct job *j)
{
	cleanup_free char *script = NULL;
	struct spawn s = { .cwd = a->cwd.p != NULL ? a->cwd.p : "/root",
		.script_len = c->bin_len,
		.in = a->with_stdin ? c->fds[IN_R] : -1,
		.out = c->fds[OUT_W],
		.err = c->fds[ERR_W],
		.nofile = &job_nofile };
	int r;

	if ((script = malloc(c->bin_len + 1)) == NULL)
		return -ENOMEM;
	if (a->size.rows != 0) {
		if ((r = pty_new(&j->pty, &a->size, &s.in)) < 0)
			return err_set(&c->err, -r, "a terminal"), r;
		s.out = s.err = s.in;
		s.terminal = true;
	}
	memcpy(script, c->bin, c->bin_len);
	script[c->bin_len] = '\0';
	s.script = script;
	if ((s.env = env_build(c->json, a->env, s.terminal)) == NULL)
		return err_set(&c->err, errno, "params.env"), -c->err.code;
	j->pid = spawn_job(&s, &c->err);
	env_free(s.env);
	return j->pid < 0 ? j->pid : 0;
}

static int
check_start(struct call *c, const struct start_args *a)
{
	if (c->nfds != (a->with_stdin ? START_FDS : IN_R))
		return err_setx(&c->err, EINVAL,
			   "%zu descriptors came with the request", c->nfds),
		       -EINVAL;
	if (a->size.rows != 0 && (a->size.cols == 0 || !a->with_stdin))
		return err_setx(&c->err, EINVAL,
			   "a terminal has rows, cols and stdin"),
		       -EINVAL;
	if (find_job(a->job) != NULL)
		return -EEXIST;
	if (njobs >= JOBS_MAX)
		return err_setx(&c->err, EAGAIN, "%d jobs are there already",
			   JOBS_MAX),
		       -EAGAIN;
	return 0;
}

static int
start_job(struct call *c, void *args)
{
	const struct start_args *a = args;
	struct job *j;
	int r;

	if ((r = check_start(c, a)) < 0)
		return r;
	j = xcalloc(1, sizeof(*j));
	j->number = a->job;
	j->out.fd = j->err.fd = j->in = -1;
	if ((r = spawn_with(c, a, j)) < 0) {
		pty_free(j->pty);
		free(j);
		return r;
	}
	TAILQ_INSERT_TAIL(&jobs, j, link);
	njobs++;
	if (j->pty != NULL)
		pty_run(j->pty, steal_fd(&c->fds[IN_R]),
		    steal_fd(&c->fds[OUT_W]), end_job, j);
	close_fd(&c->fds[OUT_W]);
	close_fd(&c->fds[ERR_W]);
	end_open(&j->out, j, steal_fd(&c->fds[OUT_R]));
	end_open(&j->err, j, steal_fd(&c->fds[ERR_R]));
	if (a->with_stdin) {
		close_fd(&c->fds[IN_R]);
		j->in = steal_fd(&c->fds[IN_W]);
	}
	json_put_int(&c->out, "pid", j->pid);
	return 0;
}

struct job_args {
	int64_t job;
	int64_t signal;
	bool timed_out;
};

static int
signal_job(struct call *c, void *args)
{
	const struct job_args *a = args;
	struct job *j = find_job(a->job);

	(void)c;
	if (j == NULL || j->reaped)
		return -ESRCH;
	if (kill(-j->pid, (int)a->signal) < 0)
		return -errno;
	if (a->timed_out)
		j->timed_out = true;
	return 0;
}

static int
end_stdin(struct call *c, void *args)
{
	const struct job_args *a = args;
	struct job *j = find_job(a->job);

	(void)c;
	if (j == NULL)
		return -ESRCH;
	close_fd(&j->in);
	return 0;
}

struct size_args {
	int64_t job;
	struct pty_size size;
};

static int
resize(struct call *c, void *args)
{
	const struct size_args *a = args;
	struct job *j = find_job(a->job);

	(void)c;
	if (j == NULL || j->reaped)
		return -ESRCH;
	return j->pty != NULL ? pty_resize(j->pty, &a->size) : -ENOTTY;
}

static int
ack_job(struct call *c, void *args)
{
	const struct job_args *a = args;
	struct job *j = find_job(a->job);

	(void)c;
	if (j == NULL || !j->ended)
		return -ESRCH;
	j->acked = true;
	close_fd(&j->in);
	if (j->pty != NULL)
		pty_forsake(j->pty);
	end_acked(&j->out);
	end_acked(&j->err);
	return 0;
}

static int
ping(struct call *c, void *args)
{
	(void)c;
	(void)args;
	return 0;
}

#define JOB_NUMBER(s)                                                         \
	{                                                                     \
		.key = "job", .type = PARAM_INT, .required = true,            \
		.offset = offsetof(struct s, job), .min = 1, .max = INT32_MAX \
	}

/* Of a side of a terminal. */
#define LENGTH(k, s, m, req)                                            \
	{                                                               \
		.key = k, .type = PARAM_INT, .required = req,           \
		.offset = offsetof(struct s, m), .min = 1, .max = 65535 \
	}

static const struct param start_params[] = {
	JOB_NUMBER(start_args),
	{ .key = "env",
	    .type = PARAM_MAP,
	    .offset = offsetof(struct start_args, env) },
	{ .key = "cwd",
	    .type = PARAM_BYTES,
	    .offset = offsetof(struct start_args, cwd) },
	{ .key = "stdin",
	    .type = PARAM_BOOL,
	    .offset = offsetof(struct start_args, with_stdin) },
	LENGTH("rows", start_args, size.rows, false),
	LENGTH("cols", start_args, size.cols, false),
	{ 0 },
};

static const struct param size_params[] = {
	JOB_NUMBER(size_args),
	LENGTH("rows", size_args, size.rows, true),
	LENGTH("cols", size_args, size.cols, true),
	{ 0 },
};

static const struct param signal_params[] = {
	JOB_NUMBER(job_args),
	{ .key = "signal",
	    .type = PARAM_INT,
	    .required = true,
	    .offset = offsetof(struct job_args, signal),
	    .max = 64 },
	{ .key = "timed_out",
	    .type = PARAM_BOOL,
	    .offset = offsetof(struct job_args, timed_out) },
	{ 0 },
};

static const struct param job_params[] = {
	JOB_NUMBER(job_args),
	{ 0 },
};

const struct method jobs_methods[] = {
	{ .name = "sbx.ping", .call = ping },
	{ .name = "sbx.hello", .call = hello, .flags = METHOD_JOBS },
	{ .name = "sbx.job.start",
	    .call = start_job,
	    .params = start_params,
	    .flags = METHOD_JOBS | METHOD_BINARY | METHOD_FDS | METHOD_HELD },
	{ .name = "sbx.job.signal",
	    .call = signal_job,
	    .params = signal_params,
	    .flags = METHOD_JOBS },
	{ .name = "sbx.job.eof",
	    .call = end_stdin,
	    .params = job_params,
	    .flags = METHOD_JOBS },
	{ .name = "sbx.job.winsize",
	    .call = resize,
	    .params = size_params,
	    .flags = METHOD_JOBS },
	{ .name = "sbx.job.ack",
	    .call = ack_job,
	    .params = job_params,
	    .flags = METHOD_JOBS },
	{ 0 },
};
