/*
 * Jobs: against an agent that is a child of this test, speaks the frames and
 * runs real shells. What it lacks of the real one it does not need here:
 * namespaces, limits, files.
 */
#include <check.h>
#include <dirent.h>
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
#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"

/*** What jobs.c needs of the front ***/

const char *const sb_state_names[SB_STATES] = { "creating", "running", "paused",
	"stopping", "stopped", "starting", "destroying", "destroyed", "error" };

static int began, ended;

int64_t
now_real_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
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

static int
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

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
	fds_before = count_fds();
	start_agent();
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	cfg.data_dir = dir;
	cfg.job_output_bytes = 1 << 20;
	cfg.jobs_kept = 100;
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
	free(sb);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	ck_assert_int_eq(count_fds(), fds_before);
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

/*** Tests ***/

START_TEST(short_job_ends_with_its_output_and_code)
{
	struct job *job = run_job("echo out; echo err >&2; exit 3");

	ck_assert_int_eq(job->state, JOB_ENDED);
	ck_assert_int_eq(job->code, 3);
	ck_assert_int_eq(job_exit_status(job), 3);
	ck_assert_uint_eq(job->cpu_usec, 7);
	ck_assert_ptr_eq(sb->newest, job);
	expect(job, JOB_STDOUT, "out\n");
	expect(job, JOB_STDERR, "err\n");
	expect(job, JOB_BOTH, "out\nerr\n");
	ck_assert_int_eq(began, 1);
	ck_assert_int_eq(jobs_running(sb), 0);
}
END_TEST

START_TEST(long_job_keeps_the_order_in_which_output_arrived)
{
	struct job *job = run_job("echo a; sleep .1; echo b >&2; sleep .1; "
				  "echo c; sleep .1; echo d >&2");

	expect(job, JOB_BOTH, "a\nb\nc\nd\n");
	expect(job, JOB_STDOUT, "a\nc\n");
	expect(job, JOB_STDERR, "b\nd\n");
}
END_TEST

START_TEST(log_has_the_output_of_all_jobs)
{
	char got[64];
	ssize_t n;

	(void)run_job("echo one");
	(void)run_job("echo two >&2");
	n = sandbox_log_read(sb, 0, got, sizeof(got));
	ck_assert_int_eq(n, 8);
	ck_assert_mem_eq(got, "one\ntwo\n", 8);
	ck_assert_uint_eq(sandbox_log_size(sb), 8);
}
END_TEST

START_TEST(signalled_job_says_which)
{
	struct job *job = run_job("kill -9 $$");

	ck_assert_int_eq(job->code, -1);
	ck_assert_int_eq(job->signal, 9);
	ck_assert_int_eq(job_exit_status(job), 137);
}
END_TEST

START_TEST(signal_reaches_the_process_group)
{
	struct job *job = begin("sleep 30 & sleep 30; wait");
	struct err e;

	ck_assert_int_eq(job_signal(job, SIGTERM, &e), 0);
	run_until(&ended, 1);
	ck_assert_int_eq(job->signal, SIGTERM);
	ck_assert_int_eq(job_signal(job, SIGTERM, &e), -1);
	ck_assert_int_eq(e.code, ESRCH);
}
END_TEST

START_TEST(timeout_kills_and_keeps_what_came)
{
	struct job_args a = {
		.script = "echo early; sleep 30", .len = 20, .timeout_ms = 200
	};
	struct job *job;
	struct err e;

	ck_assert_int_eq(job_start(sb, &a, &job, &e), 0);
	run_until(&ended, 1);
	ck_assert(job->timed_out);
	ck_assert_int_eq(job_exit_status(job), 137);
	expect(job, JOB_STDOUT, "early\n");
}
END_TEST

START_TEST(stdin_is_written_whole_and_ends)
{
	size_t n = 300000;
	char *data = xmalloc(n), text[32];
	struct job_args a = {
		.script = "wc -c", .len = 5, .stdin_data = data, .stdin_len = n
	};
	struct job *job;
	struct err e;

	memset(data, 'x', n);
	ck_assert_int_eq(job_start(sb, &a, &job, &e), 0);
	free(data);
	run_until(&ended, 1);
	snprintf(text, sizeof(text), "%zu\n", n);
	expect(job, JOB_STDOUT, text);
}
END_TEST

START_TEST(stdin_that_nobody_reads_does_no_harm)
{
	size_t n = 300000;
	char *data = xcalloc(1, n);
	struct job_args a = { .script = "exec 0<&-; echo ok",
		.len = 18,
		.stdin_data = data,
		.stdin_len = n };
	struct job *job;
	struct err e;

	ck_assert_int_eq(job_start(sb, &a, &job, &e), 0);
	free(data);
	run_until(&ended, 1);
	expect(job, JOB_STDOUT, "ok\n");
}
END_TEST

START_TEST(background_process_keeps_nobody_waiting)
{
	struct job *job = run_job("echo now; (sleep 20; echo late) &");

	ck_assert_int_eq(job->code, 0);
	ck_assert_int_lt(job->usec, 5000000);
	expect(job, JOB_STDOUT, "now\n");
}
END_TEST

START_TEST(job_that_cannot_start_fails_with_the_sentence)
{
	struct job_args a = { .script = "true", .len = 4, .cwd = "/nope" };
	struct job *job;
	struct err e;

	ck_assert_int_eq(job_start(sb, &a, &job, &e), 0);
	run_until(&ended, 1);
	ck_assert(job->failed);
	ck_assert_int_eq(job->code, 126);
	ck_assert_str_eq(job->reason, "cwd: no such directory");
	expect(job, JOB_STDERR, "cwd: no such directory\n");
}
END_TEST

START_TEST(bad_scripts_are_refused)
{
	static char big[JOB_SCRIPT_MAX + 1];
	struct job_args a = { .script = "", .len = 0 };
	struct job *job;
	struct err e;

	ck_assert_int_eq(job_start(sb, &a, &job, &e), -1);
	ck_assert_int_eq(e.code, EINVAL);
	a.script = "a\0b";
	a.len = 3;
	ck_assert_int_eq(job_start(sb, &a, &job, &e), -1);
	ck_assert_int_eq(e.code, EINVAL);
	memset(big, '#', sizeof(big));
	a.script = big;
	a.len = sizeof(big);
	ck_assert_int_eq(job_start(sb, &a, &job, &e), -1);
	ck_assert_int_eq(e.code, E2BIG);
	sb->state = SB_STOPPED;
	a.len = 3;
	ck_assert_int_eq(job_start(sb, &a, &job, &e), -1);
	ck_assert_int_eq(e.code, EHOSTDOWN);
	sb->state = SB_RUNNING;
	ck_assert(TAILQ_EMPTY(&sb->jobs));
}
END_TEST

START_TEST(queued_jobs_start_when_the_sandbox_is_up)
{
	struct job *a, *b;
	struct err e;

	sb->state = SB_CREATING;
	a = begin("echo a");
	b = begin("echo b");
	ck_assert_int_eq(a->state, JOB_QUEUED);
	ck_assert_int_eq(job_signal(b, SIGINT, &e), 0);
	ck_assert_int_eq(job_exit_status(b), 128 + SIGINT);
	sb->state = SB_RUNNING;
	jobs_run(sb);
	run_until(&ended, 2);
	expect(a, JOB_BOTH, "a\n");
}
END_TEST

START_TEST(jobs_of_a_sandbox_that_goes_down_end)
{
	struct job *a = begin("echo a; sleep 30"), *b;

	run_until(&began, 1);
	usleep(100000);
	sb->state = SB_CREATING;
	b = begin("echo b");
	jobs_down(sb);
	ck_assert_int_eq(ended, 2);
	ck_assert_int_eq(a->signal, SIGKILL);
	expect(a, JOB_STDOUT, "a\n");
	ck_assert(b->failed);
}
END_TEST

START_TEST(kept_output_is_bounded_with_a_mark)
{
	struct job *job;
	char tail[128];
	uint64_t size;
	ssize_t n;

	cfg.job_output_bytes = 100000;
	job = run_job("head -c 1000000 /dev/zero | tr '\\0' x");
	size = job->size[JOB_BOTH];
	ck_assert(job->truncated);
	ck_assert_uint_le(size, 100200);
	n = job_read(job, JOB_STDOUT, size - 40, tail, 40);
	ck_assert_int_eq(n, 40);
	tail[n] = '\0';
	ck_assert_ptr_nonnull(strstr(tail, " is not kept]\n"));
}
END_TEST

struct counter {
	struct follower fo;
	size_t bytes;
	int grew, ended;
	bool stop;
};

static void
count_output(struct follower *fo, enum job_stream s, const void *p, size_t n)
{
	struct counter *c = fo->arg;

	(void)s;
	(void)p;
	c->bytes += n;
	fo->full = c->stop;
}

static void
count_grew(struct follower *fo)
{
	((struct counter *)fo->arg)->grew++;
}

static void
count_ended(struct follower *fo)
{
	((struct counter *)fo->arg)->ended++;
}

static void
follow(struct job *job, struct counter *c)
{
	memset(c, 0, sizeof(*c));
	c->fo = (struct follower){ .output = count_output,
		.grew = count_grew,
		.ended = count_ended,
		.arg = c };
	job_follow(job, &c->fo);
}

START_TEST(follower_gets_every_byte_kept_or_not)
{
	struct counter c;

	cfg.job_output_bytes = 1000;
	follow(begin("head -c 3000000 /dev/zero"), &c);
	run_until(&c.ended, 1);
	ck_assert_uint_eq(c.bytes, 3000000);
	ck_assert_ptr_null(c.fo.job);
}
END_TEST

START_TEST(full_follower_stops_the_job_and_resumes_it)
{
	struct counter c;
	struct job *job = begin("head -c 9000000 /dev/zero");
	size_t held;
	int i;

	follow(job, &c);
	c.stop = true;
	for (i = 0; i < 50; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		usleep(2000);
	}
	held = c.bytes;
	ck_assert_uint_gt(held, 0);
	ck_assert_uint_lt(held, 4000000);
	ck_assert_int_eq(job->state, JOB_RUNNING);
	c.stop = false;
	follower_resume(&c.fo);
	run_until(&c.ended, 1);
	ck_assert_uint_eq(c.bytes, 9000000);
}
END_TEST

START_TEST(follower_of_an_ended_job_is_told_at_once)
{
	struct counter c;

	follow(run_job("true"), &c);
	ck_assert_int_eq(c.ended, 1);
}
END_TEST

static void
forget_it(struct follower *fo, enum job_stream s, const void *p, size_t n)
{
	struct job *job = fo->job;

	(void)s;
	(void)p;
	(void)n;
	job_unfollow(fo);
	job_forget(job);
}

START_TEST(job_may_be_forgotten_by_its_follower)
{
	struct counter other;
	struct follower fo = { .output = forget_it };
	struct job *job = begin("echo x; sleep 30");

	job_follow(job, &fo);
	follow(job, &other);
	run_until(&other.ended, 1);
	ck_assert(TAILQ_EMPTY(&sb->jobs));
	ck_assert_ptr_null(sb->newest);
}
END_TEST

START_TEST(open_output_is_a_file_that_grows_and_cannot_be_written)
{
	struct job *job = run_job("echo small");
	char got[16];
	int fd = job_open(job);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, got, sizeof(got)), 6);
	ck_assert_int_lt(write(fd, "x", 1), 0);
	(void)close(fd);
	expect(job, JOB_STDOUT, "small\n");
	fd = job_open(job = run_job("true"));
	ck_assert_int_eq(read(fd, got, sizeof(got)), 0);
	(void)close(fd);
}
END_TEST

START_TEST(finished_jobs_are_bounded_the_oldest_go)
{
	int i;

	cfg.jobs_kept = 3;
	for (i = 0; i < 6; i++)
		(void)run_job("echo x");
	ck_assert_ptr_null(job_find(sb, 3));
	ck_assert_ptr_nonnull(job_find(sb, 4));
	ck_assert_ptr_eq(job_find(sb, 0), job_find(sb, 6));
	ck_assert_ptr_eq(job_find(sb, -1), job_find(sb, 6));
}
END_TEST

/* As the front's restart: everything in memory is gone. */
static void
reload(void)
{
	struct agentc *a = sb->agent;
	struct err e;

	jobs_free(sb);
	free(sb);
	make_sandbox();
	sb->agent = a;
	if (jobs_load(sb, &e) < 0)
		ck_abort_msg("%s", e.text);
}

START_TEST(ended_jobs_are_there_after_a_restart)
{
	struct job *job;

	(void)run_job("echo one; exit 4");
	(void)run_job("echo a; sleep .1; echo b >&2; sleep .1; echo c");
	(void)run_job("kill -15 $$");
	cfg.jobs_kept = 2;
	(void)run_job("exit 9");
	reload();
	ck_assert_ptr_null(job_find(sb, 1));
	ck_assert_ptr_null(job_find(sb, 2));
	ck_assert_int_eq(job_find(sb, 3)->signal, 15);
	ck_assert_int_eq(job_find(sb, 4)->code, 9);
	ck_assert_str_eq(job_find(sb, 4)->cmd, "exit 9");
	ck_assert_int_eq(sb->next_job, 5);
	ck_assert_int_eq(sb->last_exit, 9);
	cfg.jobs_kept = 100;
	(void)run_job("echo one; exit 4");
	(void)run_job("echo a; sleep .1; echo b >&2; sleep .1; echo c");
	reload();
	job = job_find(sb, 5);
	ck_assert_int_eq(job->code, 4);
	expect(job, JOB_STDOUT, "one\n");
	job = job_find(sb, 6);
	expect(job, JOB_BOTH, "a\nb\nc\n");
	expect(job, JOB_STDERR, "b\n");
	expect(job, JOB_STDOUT, "a\nc\n");
}
END_TEST

START_TEST(lost_and_unknown_jobs_are_settled_by_hello)
{
	json_t *hello = json_pack("{s:[{s:i, s:s, s:i, s:i}]}", "jobs", "job",
	    77, "state", "ended", "code", 0, "out", -1);
	struct job *job = begin("sleep 30");

	ck_assert_int_eq(job->number, 1);
	reload();
	job = job_find(sb, 1);
	ck_assert_int_eq(job->state, JOB_RUNNING);
	jobs_adopt(sb, hello);
	json_decref(hello);
	ck_assert_int_eq(job->state, JOB_ENDED);
	ck_assert_str_eq(job->reason, "lost in a restart");
}
END_TEST

/*** A worker of the broker, which knows how to open a pipe again ***/

static pid_t worker_pid;

static void
no_broker(void *arg)
{
	(void)arg;
	ck_abort_msg("the broker is gone");
}

static void
be_worker(int sock)
{
	struct broker_req q;
	struct broker_rep rep;
	char path[64];
	int fd;

	while (fd_recv(sock, &q, sizeof(q), NULL, NULL) == sizeof(q)) {
		memset(&rep, 0, sizeof(rep));
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)agent_pid,
		    q.fdnum);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		rep.code = fd < 0 ? errno : 0;
		usleep(20000); /* a job may end meanwhile */
		(void)fd_send(sock, &rep, sizeof(rep), &fd, fd < 0 ? 0 : 1);
		close_fd(&fd);
	}
	_exit(0);
}

static void
start_broker(void)
{
	int pair[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	if ((worker_pid = fork()) == 0) {
		(void)close(pair[0]);
		be_worker(pair[1]);
	}
	(void)close(pair[1]);
	front.broker = brokerc_new(&loop, pair, 1, no_broker, NULL);
}

static void
stop_broker(void)
{
	brokerc_free(front.broker);
	front.broker = NULL;
	(void)waitpid(worker_pid, NULL, 0);
}

static void
said_hello(void *arg, const json_t *result, const void *bin, size_t bin_len,
    const struct err *e)
{
	(void)arg;
	(void)bin;
	(void)bin_len;
	ck_assert_ptr_null(e);
	jobs_adopt(sb, result);
}

static void
restart(void)
{
	reload();
	agentc_call(sb->agent, "sbx.hello", NULL, NULL, 0, NULL, 0, 0,
	    said_hello, NULL);
}

START_TEST(running_job_goes_on_after_a_restart)
{
	struct job *job;

	start_broker();
	job = begin("echo a; echo b >&2; sleep .3; echo c; echo d >&2; exit 6");
	while (job->size[JOB_BOTH] != 4)
		(void)uv_run(&loop, UV_RUN_ONCE);
	restart();
	run_until(&ended, 1);
	job = job_find(sb, 1);
	ck_assert_int_eq(job->code, 6);
	expect(job, JOB_STDOUT, "a\nc\n");
	expect(job, JOB_STDERR, "b\nd\n");
	stop_broker();
}
END_TEST

START_TEST(job_that_ended_during_a_restart_has_all_its_output)
{
	struct job *job;

	start_broker();
	job = begin("echo a; sleep .1; echo b; echo c >&2; exit 6");
	while (job->size[JOB_BOTH] != 2)
		(void)uv_run(&loop, UV_RUN_ONCE);
	usleep(300000);
	restart();
	run_until(&ended, 1);
	job = job_find(sb, 1);
	ck_assert_int_eq(job->code, 6);
	expect(job, JOB_STDOUT, "a\nb\n");
	expect(job, JOB_STDERR, "c\n");
	stop_broker();
}
END_TEST

START_TEST(sandbox_that_goes_while_pipes_are_opened_again)
{
	start_broker();
	(void)begin("sleep 30");
	run_until(&began, 1);
	restart();
	while (!job_find(sb, 1)->priv->out[0].reopen)
		(void)uv_run(&loop, UV_RUN_ONCE);
	job_forget(job_find(sb, 1));
	ck_assert(TAILQ_EMPTY(&sb->jobs));
	usleep(50000);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	stop_broker();
}
END_TEST

START_TEST(job_that_ended_meanwhile_has_its_status)
{
	json_t *hello =
	    json_pack("{s:[{s:i, s:s, s:i, s:i, s:i, s:i}]}", "jobs", "job", 1,
		"state", "ended", "code", 5, "signal", 0, "out", -1, "err", -1);
	struct job *job = begin("echo out; sleep 30");

	while (job->size[0] == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	reload();
	jobs_adopt(sb, hello);
	json_decref(hello);
	job = job_find(sb, 1);
	ck_assert_int_eq(job->state, JOB_ENDED);
	ck_assert_int_eq(job->code, 5);
	expect(job, JOB_STDOUT, "out\n");
}
END_TEST

START_TEST(journal_cut_off_anywhere_loads)
{
	char path[128];
	struct stat st;
	off_t n;

	(void)run_job("echo one; exit 4");
	(void)run_job("echo two >&2");
	snprintf(path, sizeof(path), "%s/sandboxes/sbx-0/spool/journal", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	for (n = st.st_size - 1; n >= 0; n--) {
		ck_assert_int_eq(truncate(path, n), 0);
		reload();
	}
	ck_assert(TAILQ_EMPTY(&sb->jobs));
	ck_assert_int_eq(run_job("exit 2")->code, 2);
}
END_TEST

START_TEST(journal_is_rewritten_when_it_is_long)
{
	char path[128], *script = xmalloc(100001);
	struct stat st;
	int i;

	memset(script, ' ', 100000);
	memcpy(script, "echo x\n#", 8);
	script[100000] = '\0';
	cfg.jobs_kept = 2;
	for (i = 0; i < 24; i++)
		(void)run_job(script);
	snprintf(path, sizeof(path), "%s/sandboxes/sbx-0/spool/journal", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_lt(st.st_size, 1500000);
	expect(job_find(sb, 24), JOB_STDOUT, "x\n");
	reload();
	expect(job_find(sb, 24), JOB_STDOUT, "x\n");
	expect(job_find(sb, 23), JOB_STDOUT, "x\n");
	free(script);
}
END_TEST

START_TEST(nonsense_from_the_agent_is_no_status)
{
	struct job *job = begin("sleep 30");
	json_t *p =
	    json_pack("{s:i, s:s, s:i}", "job", 1, "code", "x", "signal", 4000);
	json_t *other = json_pack("{s:i, s:i}", "job", 99, "code", 0);
	json_t *none = json_pack("{s:s}", "job", "one");

	jobs_notify(sb, "sbx.job.exit", none);
	jobs_notify(sb, "sbx.job.exit", NULL);
	jobs_notify(sb, "sbx.job.exit", other);
	jobs_notify(sb, "sbx.frob", p);
	ck_assert_int_eq(job->state, JOB_RUNNING);
	jobs_notify(sb, "sbx.job.exit", p);
	ck_assert_int_eq(job->state, JOB_ENDED);
	ck_assert_int_eq(job->code, -1);
	ck_assert_int_eq(job->signal, SIGKILL);
	jobs_notify(sb, "sbx.job.exit", p);
	json_decref(p);
	json_decref(other);
	json_decref(none);
	ck_assert_int_eq(ended, 1);
}
END_TEST

/*** The kept output alone: any interleaving reads back ***/

START_TEST(interleaved_streams_read_back_at_any_offset)
{
	char path[128], *want[3], got[700];
	struct spool *sp;
	struct kept k;
	size_t len[3] = { 0, 0, 0 }, n, i, off;
	enum job_stream s;
	unsigned seed = 1;

	snprintf(path, sizeof(path), "%s/sandboxes/sbx-0/spool", dir);
	sp = spool_new(path, 10 << 20);
	kept_init(&k, sp, 1);
	kept_to_file(&k);
	for (i = 0; i < 3; i++)
		want[i] = xcalloc(1, 400000);
	for (i = 0; i < 6000; i++) {
		s = rand_r(&seed) % 3 == 0 ? JOB_STDERR : JOB_STDOUT;
		n = (size_t)rand_r(&seed) % 50;
		memset(got, 'a' + (int)(i % 26), n);
		kept_add(&k, s, got, n);
		memcpy(want[s] + len[s], got, n);
		memcpy(want[2] + len[2], got, n);
		len[s] += n;
		len[2] += n;
	}
	for (i = 0; i < 4000; i++) {
		s = (enum job_stream)(i % 3);
		ck_assert_uint_eq(k.size[s], len[s]);
		off = (size_t)rand_r(&seed) % (len[s] + 1);
		n = len[s] - off < sizeof(got) ? len[s] - off : sizeof(got);
		ck_assert_int_eq(kept_read(&k, s, off, got, sizeof(got)), n);
		ck_assert_mem_eq(got, want[s] + off, n);
	}
	kept_done(&k);
	kept_init(&k, sp, 1);
	kept_resume(&k);
	for (i = 0; i < 3; i++) {
		ck_assert_uint_eq(k.size[i], len[i]);
		free(want[i]);
	}
	kept_done(&k);
	spool_free(sp);
}
END_TEST

START_TEST(log_starts_again_at_its_limit)
{
	static char block[1 << 20];
	char path[128], got[8];
	struct spool *sp;
	int i;

	snprintf(path, sizeof(path), "%s/sandboxes/sbx-0/spool", dir);
	sp = spool_new(path, 1);
	for (i = 0; i < 16; i++)
		spool_log_add(sp, block, sizeof(block));
	ck_assert_uint_eq(spool_log_size(sp), SPOOL_LOG_MAX);
	spool_log_add(sp, "again", 5);
	ck_assert_uint_eq(spool_log_size(sp), 5);
	ck_assert_int_eq(spool_log_read(sp, 0, got, sizeof(got)), 5);
	ck_assert_int_eq(spool_log_read(sp, 5, got, sizeof(got)), 0);
	spool_free(sp);
}
END_TEST

static void
add_jobs(TCase *t)
{
	tcase_add_test(t, short_job_ends_with_its_output_and_code);
	tcase_add_test(t, long_job_keeps_the_order_in_which_output_arrived);
	tcase_add_test(t, log_has_the_output_of_all_jobs);
	tcase_add_test(t, signalled_job_says_which);
	tcase_add_test(t, signal_reaches_the_process_group);
	tcase_add_test(t, timeout_kills_and_keeps_what_came);
	tcase_add_test(t, stdin_is_written_whole_and_ends);
	tcase_add_test(t, stdin_that_nobody_reads_does_no_harm);
	tcase_add_test(t, background_process_keeps_nobody_waiting);
	tcase_add_test(t, job_that_cannot_start_fails_with_the_sentence);
	tcase_add_test(t, bad_scripts_are_refused);
	tcase_add_test(t, queued_jobs_start_when_the_sandbox_is_up);
	tcase_add_test(t, jobs_of_a_sandbox_that_goes_down_end);
	tcase_add_test(t, kept_output_is_bounded_with_a_mark);
	tcase_add_test(t, follower_gets_every_byte_kept_or_not);
	tcase_add_test(t, full_follower_stops_the_job_and_resumes_it);
	tcase_add_test(t, follower_of_an_ended_job_is_told_at_once);
	tcase_add_test(t, job_may_be_forgotten_by_its_follower);
	tcase_add_test(
	    t, open_output_is_a_file_that_grows_and_cannot_be_written);
	tcase_add_test(t, finished_jobs_are_bounded_the_oldest_go);
	tcase_add_test(t, ended_jobs_are_there_after_a_restart);
	tcase_add_test(t, lost_and_unknown_jobs_are_settled_by_hello);
	tcase_add_test(t, job_that_ended_meanwhile_has_its_status);
	tcase_add_test(t, running_job_goes_on_after_a_restart);
	tcase_add_test(t, job_that_ended_during_a_restart_has_all_its_output);
	tcase_add_test(t, sandbox_that_goes_while_pipes_are_opened_again);
	tcase_add_test(t, journal_cut_off_anywhere_loads);
	tcase_add_test(t, journal_is_rewritten_when_it_is_long);
	tcase_add_test(t, nonsense_from_the_agent_is_no_status);
	tcase_add_test(t, interleaved_streams_read_back_at_any_offset);
	tcase_add_test(t, log_starts_again_at_its_limit);
}

int
main(void)
{
	Suite *s = suite_create("daemon");
	TCase *t = tcase_create("jobs");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	add_jobs(t);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
