/*
 * What the text files say, of sandboxes and jobs made by hand.
 */
#include "daemon/values.h"
#include "daemon/verbs.h"
#include "lib/words.h"
#include "tests/unit/front.h"

static const struct caller root = { .all = true, .identity = "uid:0" };

static void
check_text(struct buf *b, const char *want)
{
	ck_assert_str_eq(buf_str(b), want);
	buf_done(b);
}

START_TEST(status_has_its_keys_in_order)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	struct buf b = BUF_INIT;
	char want[512];

	sb->created_ms = 1700000000123;
	str_copy(sb->reason, "broken\nname forged", sizeof(sb->reason));
	value_status(&b, sb, 1700000009000);
	snprintf(want, sizeof(want),
	    "name web\nid %s\nstate stopped\nprofile default\nimage host\n"
	    "template -\nruntime native\nowner uid:1000\ncreated 1700000000\n"
	    "uptime -\njobs 0\nrunning 0\nlast -\nexit -\n"
	    "reason broken\\x0aname forged\n",
	    sb->id);
	check_text(&b, want);
	sb->started_ms = 1700000001000;
	sb->last_exit = 3;
	sb->reason[0] = '\0';
	value_status(&b, sb, 1700000009999);
	ck_assert_ptr_nonnull(strstr(b.data, "\nuptime 8\n"));
	ck_assert_ptr_nonnull(strstr(b.data, "\nexit 3\nreason -\n"));
	buf_done(&b);
}
END_TEST

START_TEST(ctl_reads_as_it_is_written)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	struct buf b = BUF_INIT;

	sb->limits = (struct rt_limits){ 1 << 20, 1500, 77, 0 };
	sb->ttl_s = -1;
	sb->timeout_s = 9;
	sb->protect = true;
	json_object_set_new(sb->labels, "a", json_string("it's"));
	json_object_set_new(sb->labels, "b", json_string(""));
	value_ctl(&b, sb);
	check_text(&b,
	    "memory 1048576\ncpu 1.5\npids 77\ntimeout 9\nttl none\nidle 0\n"
	    "network none\nlabel 'a=it'\\''s'\nlabel b=\nprotect on\n");
	sb->limits.cpu_milli = 2000;
	sb->ttl_s = 60;
	value_ctl(&b, sb);
	ck_assert_ptr_nonnull(strstr(b.data, "\ncpu 2\n"));
	ck_assert_ptr_nonnull(strstr(b.data, "\nttl 60\n"));
	buf_done(&b);
}
END_TEST

START_TEST(env_is_lines)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	struct buf b = BUF_INIT;

	json_object_set_new(sb->env, "Z", json_string("a = 'b'  "));
	json_object_set_new(sb->env, "A", json_string(""));
	json_object_set_new(sb->env, "M", json_string("1\nFORGED=1"));
	value_env(&b, sb);
	check_text(&b, "Z=a = 'b'  \nA=\n# M has more than one line\n");
}
END_TEST

START_TEST(create_lines_restore_what_they_say)
{
	cleanup_words struct words w = { 0 };
	struct sandbox *sb = fix_sandbox("web", 0);
	struct buf b = BUF_INIT;
	struct create_words cw;
	struct err e;
	size_t i;

	value_create_line(&b, sb);
	check_text(&b, "create web profile=default\n");
	sb->limits.memory_bytes = 64 << 20;
	sb->limits.cpu_milli = 250;
	sb->ttl_s = 5;
	json_object_set_new(sb->labels, "l", json_string("x y"));
	json_object_set_new(sb->env, "E", json_string("1\n2 'q'"));
	value_create_line(&b, sb);
	ck_assert_int_eq(words_split(&w, b.data, b.len - 1, &e), 0);
	buf_done(&b);
	ck_assert_str_eq(w.w[1], "web");
	create_words_init(&cw);
	for (i = 2; i < w.n; i++)
		ck_assert_int_eq(create_words_add(&cw, w.w[i], &e), 0);
	ck_assert_int_eq(cw.args.limits.memory_bytes, 64 << 20);
	ck_assert_int_eq(cw.args.limits.cpu_milli, 250);
	ck_assert_int_eq(cw.args.limits.pids, -1);
	ck_assert_int_eq(cw.args.ttl_s, 5);
	ck_assert(json_equal(cw.labels, sb->labels));
	ck_assert(json_equal(cw.env, sb->env));
	create_words_done(&cw);
}
END_TEST

START_TEST(a_user_sees_its_own)
{
	struct caller user = { .uid = 1000, .identity = "uid:1000" };
	struct buf b = BUF_INIT;

	fix_sandbox("mine", 1000);
	fix_sandbox("theirs", 1001);
	value_top_ctl(&b, &fix.f, &user);
	check_text(&b, "create mine profile=default\n");
	value_top_ctl(&b, &fix.f, &root);
	ck_assert_ptr_nonnull(strstr(b.data, "create theirs"));
	buf_done(&b);
	value_top_status(&b, &fix.f, &user);
	ck_assert_int_eq(
	    strncmp(b.data, "version 1\nsandboxes 1\nrunning 0\nmax ", 36), 0);
	buf_done(&b);
}
END_TEST

START_TEST(stats_are_numbers)
{
	struct rt_stats s = { .cpu_usec = 1, .disk_limit = 1ull << 63 };
	struct buf b = BUF_INIT;

	value_stats(&b, &s);
	check_text(&b,
	    "cpu_usec 1\nmemory_bytes 0\nmemory_peak 0\nmemory_limit 0\n"
	    "pids 0\npids_limit 0\nio_rbytes 0\nio_wbytes 0\nnet_rx 0\n"
	    "net_tx 0\ndisk_bytes 0\ndisk_limit 9223372036854775808\n");
}
END_TEST

START_TEST(ports_that_listen_are_named_once)
{
	const struct listener l[] = { { .port = 80 },
		{ .port = 80, .addr = { .s6_addr = { 1 } } },
		{ .port = 3000 } };
	struct sandbox sb = { .f = NULL };
	struct buf b = BUF_INIT;

	value_ports(&b, &sb, l, 3);
	check_text(&b, "# listen 80\n# listen 3000\n");
	value_ports(&b, &sb, NULL, 0);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(a_job_says_how_it_ended)
{
	struct job job = {
		.state = JOB_RUNNING, .pid = 7, .started_ms = 1700000000123
	};
	struct buf b = BUF_INIT;
	char secs[32];

	value_job_status(&b, &job);
	check_text(&b,
	    "state running\npid 7\nexit -\nsignal -\nstarted 1700000000.123\n"
	    "ended -\ncpu_usec -\nmemory_peak -\n");
	job.state = JOB_ENDED;
	job.code = -1;
	job.signal = SIGKILL;
	job.ended_ms = 1700000001005;
	job.usec = 45600;
	value_job_status(&b, &job);
	check_text(&b,
	    "state ended\npid 7\nexit 137\nsignal KILL\n"
	    "started 1700000000.123\nended 1700000001.005\ncpu_usec 0\n"
	    "memory_peak 0\n");
	value_job_secs(secs, &job);
	ck_assert_str_eq(secs, "0.046");
}
END_TEST

START_TEST(pool_and_profiles)
{
	const struct profile *p = config_profile(fix.f.cfg, "default");
	struct pool_profile pp = {
		.min = 2, .want = 3, .max = 60, .ready = 1, .hits = 5
	};
	struct buf b = BUF_INIT;

	value_pool_line(&b, p, &pp);
	check_text(&b, "default 3 min=2 max=60 ready=1 hits=5 misses=0\n");
	value_profile(&b, p);
	ck_assert_int_eq(
	    strncmp(b.data,
		"image host\nruntime native\nmemory 536870912\ncpu 1\n"
		"pids 256\nstorage 524288000\nnetwork none\ntimeout 0\n"
		"start_timeout 10\n",
		100),
	    0);
	buf_done(&b);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { status_has_its_keys_in_order,
		ctl_reads_as_it_is_written, env_is_lines,
		create_lines_restore_what_they_say, a_user_sees_its_own,
		stats_are_numbers, ports_that_listen_are_named_once,
		a_job_says_how_it_ended, pool_and_profiles };

	return fix_main("values", tests, sizeof(tests) / sizeof(tests[0]));
}
