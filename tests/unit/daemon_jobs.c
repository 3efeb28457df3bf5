/*
 * Jobs, against the agent of jobs.h.
 */
#include "tests/unit/jobs.h"

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
	struct job_args a = { .script = "wc -c",
		.len = 5,
		.input = JOB_BYTES,
		.stdin_data = data,
		.stdin_len = n };
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
		.input = JOB_BYTES,
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

static void
check_cmd(int number, const char *want)
{
	cleanup_buf struct buf cmd = BUF_INIT;

	ck_assert_ptr_null(job_find(sb, number)->cmd);
	ck_assert(job_cmd(job_find(sb, number), &cmd));
	ck_assert_str_eq(buf_str(&cmd), want);
}

START_TEST(scripts_of_ended_jobs_are_on_disk)
{
	static char big[300001];

	memset(big, '#', sizeof(big) - 1);
	cfg.jobs_kept = 3;
	for (int i = 1; i <= 20; i++) { /* now and then the journal anew */
		(void)run_job(i % 2 != 0 ? "echo two" : big);
		check_cmd(i - (i > 1), i % 2 != 0 && i > 1 ? big : "echo two");
	}
	reload();
	check_cmd(20, big);
}
END_TEST

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
	check_cmd(4, "exit 9");
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
said_hello(void *arg, const struct agent_answer *a)
{
	(void)arg;
	ck_assert_ptr_null(a->e);
	jobs_adopt(sb, a->result);
}

static void
restart(void)
{
	reload();
	agentc_call(sb->agent,
	    &(struct agent_call){ .method = "sbx.hello", .done = said_hello });
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
	tcase_add_test(t, scripts_of_ended_jobs_are_on_disk);
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

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	add_jobs(t);
	suite_add_tcase(s, t);
	return unit_run(s);
}
