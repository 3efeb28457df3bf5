/*
 * jobs.h - the fixture of the tests of jobs: an agent that is a child of the
 * test, speaks the frames and runs real shells. What it lacks of the real one
 * it does not need here: namespaces, limits, files.
 */
#ifndef TESTS_UNIT_JOBS_H
#define TESTS_UNIT_JOBS_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/frame.h"
#include "daemon/agentc.h"
#include "daemon/brokerc.h"
#include "daemon/jobs_impl.h"
#include "daemon/spool.h"
#include "daemon/tree.h"
#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/*** What jobs.c needs of the front ***/

const char *const sb_state_names[SB_STATES] = { "creating", "running", "paused",
	"stopping", "stopped", "starting", "destroying", "destroyed", "error" };

static int began, ended;

void
tree_log(struct front *f)
{
	(void)f;
}

void
sandbox_forget_modes(struct sandbox *sb, const char *key)
{
	(void)sb;
	(void)key;
}

void
sandbox_job_event(struct sandbox *sb, struct job *job, bool end)
{
	(void)sb;
	(void)job;
	if (end)
		ended++;
	else
		began++;
}

/*** The agent ***/

#define AGENT_JOBS 64

struct agent_job {
	int number;
	pid_t pid;
	bool over;
	int out_r, err_r, in_w;
	int status;
};

static struct agent_job agent_jobs[AGENT_JOBS];
static size_t agent_njobs;

static void
agent_send(int fd, json_t *msg)
{
	cleanup_free char *text = json_dumps(msg, JSON_COMPACT);
	cleanup_buf struct buf b = BUF_INIT;

	(void)frame_add(&b, FRAME_JSON, text, strlen(text));
	(void)fd_write_full(fd, b.data, b.len);
	json_decref(msg);
}

static void
agent_reply(int fd, json_int_t id, json_t *result)
{
	agent_send(fd, json_pack("{s:I, s:o}", "id", id, "result", result));
}

static void
agent_refuse(int fd, json_int_t id, int code, const char *text)
{
	agent_send(fd,
	    json_pack("{s:I, s:{s:i, s:s}}", "id", id, "error", "code", -code,
		"message", text));
}

static struct agent_job *
agent_find(json_int_t number)
{
	size_t i;

	for (i = 0; i < agent_njobs; i++)
		if (agent_jobs[i].number == number)
			return &agent_jobs[i];
	return NULL;
}

static void
agent_start(
    int fd, json_int_t id, json_t *p, const struct frame *bin, const int *fds)
{
	struct agent_job *j = &agent_jobs[agent_njobs];
	bool with_in = json_is_true(json_object_get(p, "stdin"));
	const char *cwd = json_string_value(json_object_get(p, "cwd"));
	char *script = xstrndup(bin->data, bin->len);
	int null_fd = open("/dev/null", O_RDONLY);
	sigset_t none;

	if (cwd != NULL && access(cwd, X_OK) < 0) {
		agent_refuse(fd, id, ENOENT, "cwd: no such directory");
		return;
	}
	j->number = (int)json_integer_value(json_object_get(p, "job"));
	j->out_r = fds[1];
	j->err_r = fds[3];
	j->in_w = with_in ? fds[5] : -1;
	j->over = false;
	if ((j->pid = fork()) == 0) {
		(void)setpgid(0, 0);
		(void)dup2(with_in ? fds[4] : null_fd, 0);
		(void)dup2(fds[0], 1);
		(void)dup2(fds[2], 2);
		(void)close_range(3, ~0U, 0);
		sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	(void)setpgid(j->pid, j->pid); /* whichever of us comes first */
	free(script);
	(void)close(null_fd);
	(void)close(fds[0]);
	(void)close(fds[2]);
	if (with_in)
		(void)close(fds[4]);
	agent_njobs++;
	agent_reply(fd, id, json_pack("{s:i}", "pid", (int)j->pid));
}

static json_t *
agent_exit_json(const struct agent_job *j)
{
	bool sig = WIFSIGNALED(j->status);

	return json_pack("{s:i, s:i, s:i, s:i, s:i}", "job", j->number, "code",
	    sig ? -1 : WEXITSTATUS(j->status), "signal",
	    sig ? WTERMSIG(j->status) : 0, "cpu_usec", 7, "ended", 1);
}

/* As sbx.hello lists them; what is acknowledged is closed and left out. */
static void
agent_hello(int fd, json_int_t id)
{
	json_t *list = json_array(), *o;
	struct agent_job *j;
	size_t i;

	for (i = 0; i < agent_njobs; i++) {
		j = &agent_jobs[i];
		if (j->out_r < 0)
			continue;
		o = agent_exit_json(j);
		(void)json_object_update_new(o,
		    json_pack("{s:s, s:i, s:i, s:i}", "state",
			j->over ? "ended" : "running", "out", j->out_r, "err",
			j->err_r, "in", j->in_w));
		(void)json_array_append_new(list, o);
	}
	agent_reply(fd, id, json_pack("{s:o}", "jobs", list));
}

static void
agent_reap(int fd)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < agent_njobs; i++)
			if (agent_jobs[i].pid == pid) {
				agent_jobs[i].over = true;
				agent_jobs[i].status = status;
				agent_send(fd,
				    json_pack("{s:s, s:o}", "method",
					"sbx.job.exit", "params",
					agent_exit_json(&agent_jobs[i])));
			}
}

static void
agent_call(int fd, json_t *msg, const struct frame *bin, const int *fds)
{
	const char *m = json_string_value(json_object_get(msg, "method"));
	json_int_t id = json_integer_value(json_object_get(msg, "id"));
	json_t *p = json_object_get(msg, "params");
	struct agent_job *j =
	    agent_find(json_integer_value(json_object_get(p, "job")));

	if (strcmp(m, "sbx.job.start") == 0) {
		agent_start(fd, id, p, bin, fds);
		return;
	}
	if (strcmp(m, "sbx.hello") == 0) {
		agent_hello(fd, id);
		return;
	}
	if (strcmp(m, "sbx.job.signal") == 0 && j != NULL && !j->over)
		(void)kill(-j->pid,
		    (int)json_integer_value(json_object_get(p, "signal")));
	if (strcmp(m, "sbx.job.eof") == 0 && j != NULL)
		close_fd(&j->in_w);
	if (strcmp(m, "sbx.job.ack") == 0 && j != NULL) {
		/* its pipes end here: background output is not kept open */
		close_fd(&j->out_r);
		close_fd(&j->err_r);
		close_fd(&j->in_w);
	}
	if (id != 0)
		agent_reply(fd, id, json_object());
}

/* One connection, then the end. */
static void
agent_serve(int fd, int sig_fd)
{
	struct buf in = BUF_INIT;
	struct frame f, bin = { 0 };
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { sig_fd, POLLIN, 0 } };
	struct signalfd_siginfo si;
	int fds[FD_PASS_MAX];
	size_t nfds = 0, got;
	char *to;
	ssize_t n;
	long len, skip;

	for (;;) {
		(void)poll(p, 2, -1);
		if (p[1].revents != 0) {
			(void)!read(sig_fd, &si, sizeof(si));
			agent_reap(fd);
		}
		if (p[0].revents == 0)
			continue;
		(void)buf_reserve(&in, 65536, &to);
		if ((n = fd_recv(fd, to, 65536, fds, &got)) <= 0)
			break;
		nfds = got != 0 ? got : nfds;
		buf_grew(&in, (size_t)n);
		while ((len = frame_decode(
			    in.data, in.len, FRAME_MAX_AGENT, &f)) > 0) {
			skip = 0;
			bin = f;
			if (f.type == FRAME_BINARY && (skip = len) != 0 &&
			    (len = frame_decode(in.data + skip,
				 in.len - (size_t)skip, FRAME_MAX_AGENT, &f)) <=
				0)
				break;
			json_t *msg = json_loadb(f.data, f.len, 0, NULL);
			agent_call(fd, msg, &bin, fds);
			json_decref(msg);
			buf_consume(&in, (size_t)(skip + len));
		}
	}
	_exit(0);
}

/*** The fixture ***/

static char dir[] = "/tmp/sbx-jobs-XXXXXX";
static char sock_path[64];
static pid_t agent_pid;
static uv_loop_t loop;
static struct config cfg;
static struct front front;
static struct sandbox *sb;
static int fds_before;

static void
start_agent(void)
{
	sigset_t chld;
	int l, fd;

	l = fd_unix_listen(sock_path, 0600, SOCK_STREAM);
	ck_assert_int_ge(l, 0);
	if ((agent_pid = fork()) == 0) {
		(void)signal(SIGTERM, SIG_DFL); /* not check's handler */
		sigemptyset(&chld);
		sigaddset(&chld, SIGCHLD);
		(void)sigprocmask(SIG_BLOCK, &chld, NULL);
		fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
		(void)close(l);
		agent_serve(fd, signalfd(-1, &chld, SFD_CLOEXEC));
	}
	(void)close(l);
}

static void
on_notify(void *arg, const char *method, const json_t *params)
{
	(void)arg; /* a restart replaces it */
	jobs_notify(sb, method, params);
}

static void
on_lost(void *arg, const struct err *e)
{
	(void)arg;
	ck_abort_msg("the agent is lost: %s", e->text);
}

static const struct agentc_ops agent_ops = { on_notify, on_lost };

static void
make_sandbox(void)
{
	sb = xcalloc(1, sizeof(*sb));
	sb->f = &front;
	(void)str_copy(sb->id, "sbx-0", sizeof(sb->id));
	TAILQ_INIT(&sb->jobs);
	sb->state = SB_RUNNING;
	sb->next_job = 1;
	sb->last_exit = -1;
}

static void
setup(void)
{
	char path[128];
	struct err e;

	began = ended = 0;
	agent_njobs = 0;
	(void)signal(SIGPIPE, SIG_IGN);
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sandboxes", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/sandboxes/sbx-0", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/sandboxes/sbx-0/spool", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(sock_path, sizeof(sock_path), "%s/agent.sock", dir);
	/* what libuv opens once for the process */
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	fds_before = unit_count_fds();
	start_agent();
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	cfg.data_dir = dir;
	cfg.job_output_bytes = 1 << 20;
	cfg.jobs_kept = 100;
	cfg.jobs_bytes = 256 << 20;
	front.loop = &loop;
	front.cfg = &cfg;
	make_sandbox();
	sb->agent = agentc_new(&loop, sock_path, &agent_ops, sb, &e);
	ck_assert_ptr_nonnull(sb->agent);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *w)
{
	(void)st;
	(void)flag;
	(void)w;
	return remove(path);
}

static void
teardown(void)
{
	struct agentc *a = sb->agent;

	sb->agent = NULL;
	agentc_free(a);
	jobs_free(sb);
	jobs_done();
	free(sb);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	ck_assert_int_eq(unit_count_fds(), fds_before);
	(void)waitpid(agent_pid, NULL, 0);
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
on_late(uv_timer_t *t)
{
	(void)t;
	ck_abort_msg("nothing happens");
}

/* Turns of the loop until *what is at least n, or 10 s. */
static void
run_until(const int *what, int n)
{
	uv_timer_t *late = xcalloc(1, sizeof(*late));

	(void)uv_timer_init(&loop, late);
	(void)uv_timer_start(late, on_late, 10000, 0);
	while (*what < n)
		(void)uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)late, (uv_close_cb)free);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static struct job *
begin(const char *script)
{
	struct job_args a = { .script = script, .len = strlen(script) };
	struct job *job;
	struct err e;

	if (job_start(sb, &a, &job, &e) < 0)
		ck_abort_msg("%s", e.text);
	return job;
}

static struct job *
run_job(const char *script)
{
	int n = ended + 1;
	struct job *job = begin(script);

	run_until(&ended, n);
	return job;
}

static void
expect(struct job *job, enum job_stream s, const char *text)
{
	char got[4096];
	ssize_t n = job_read(job, s, 0, got, sizeof(got) - 1);

	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	ck_assert_str_eq(got, text);
	ck_assert_uint_eq(job->size[s], strlen(text));
}

#endif
