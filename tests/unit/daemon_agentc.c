/*
 * The connection to an agent: this test is the agent, byte by byte, and most
 * of the time a hostile one.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/frame.h"
#include "daemon/agentc.h"
#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static char path[64];
static uv_loop_t loop;
static struct agentc *a;
static int peer; /* the agent's end */
static int fds_before;

/* What was called back. */
static int lost, notified, done, failed;
static struct err why;
static char last_method[64];
static json_t *last_result;
static struct buf last_bin;

static void
on_notify(void *arg, const char *method, const json_t *params)
{
	(void)arg;
	(void)params;
	notified++;
	(void)str_copy(last_method, method, sizeof(last_method));
}

static void
on_lost(void *arg, const struct err *e)
{
	(void)arg;
	lost++;
	why = *e;
}

static void
on_done(void *arg, const struct agent_answer *got)
{
	(void)arg;
	json_decref(last_result);
	last_result = NULL;
	buf_clear(&last_bin);
	if (got->result == NULL) {
		ck_assert_ptr_nonnull(got->e);
		failed++;
		why = *got->e;
		return;
	}
	ck_assert_ptr_null(got->e);
	done++;
	last_result = json_deep_copy(got->result);
	if (got->bin != NULL)
		ck_assert_int_eq(buf_add(&last_bin, got->bin, got->bin_len), 0);
}

static const struct agentc_ops ops = { on_notify, on_lost };

static void
turn(void)
{
	int i;

	for (i = 0; i < 4; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void
setup(void)
{
	struct err e;
	int l;

	lost = notified = done = failed = 0;
	(void)signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	fds_before = unit_count_fds();
	snprintf(path, sizeof(path), "/tmp/sbx-agentc-%d", (int)getpid());
	l = fd_unix_listen(path, 0600, SOCK_STREAM);
	ck_assert_int_ge(l, 0);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	a = agentc_new(&loop, path, &ops, NULL, &e);
	ck_assert_ptr_nonnull(a);
	peer = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	(void)close(l);
}

static void
teardown(void)
{
	agentc_free(a);
	a = NULL;
	close_fd(&peer);
	(void)unlink(path);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	ck_assert_int_eq(unit_count_fds(), fds_before);
	json_decref(last_result);
	last_result = NULL;
	buf_done(&last_bin);
}

/*** The agent's side ***/

static void
say(enum frame_type type, const void *p, size_t n)
{
	struct buf b = BUF_INIT;

	ck_assert_int_eq(frame_add(&b, type, p, n), 0);
	ck_assert_int_eq(fd_write_full(peer, b.data, b.len), 0);
	buf_done(&b);
}

static void
say_json(const char *text)
{
	say(FRAME_JSON, text, strlen(text));
}

/* The next frame that came; its descriptors in fds. */
static size_t
hear(struct buf *b, struct frame *f, int *fds)
{
	size_t nfds = 0;
	ssize_t n;
	char *p;

	while (frame_decode(buf_str(b), b->len, FRAME_MAX_AGENT, f) <= 0) {
		ck_assert_int_eq(buf_reserve(b, 4096, &p), 0);
		n = fd_recv(peer, p, 4096, fds, &nfds);
		ck_assert_int_gt(n, 0);
		buf_grew(b, (size_t)n);
	}
	return nfds;
}

static void
ask(void)
{
	agentc_call(
	    a, &(struct agent_call){ .method = "sbx.ping", .done = on_done });
}

/*** Good agents ***/

START_TEST(call_and_answer)
{
	struct buf b = BUF_INIT;
	struct frame f;
	int fds[FD_PASS_MAX];
	json_t *msg;

	agentc_call(a,
	    &(struct agent_call){ .method = "sbx.frob",
		.params = json_pack("{s:i}", "x", 1),
		.done = on_done });
	ck_assert_uint_eq(hear(&b, &f, fds), 0);
	msg = json_loadb(f.data, f.len, 0, NULL);
	ck_assert_str_eq(
	    json_string_value(json_object_get(msg, "jsonrpc")), "2.0");
	ck_assert_str_eq(
	    json_string_value(json_object_get(msg, "method")), "sbx.frob");
	ck_assert_int_eq(json_integer_value(json_object_get(msg, "id")), 1);
	json_decref(msg);
	buf_done(&b);
	say_json("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"y\":2}}");
	turn();
	ck_assert_int_eq(done, 1);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(last_result, "y")), 2);
	ck_assert_int_eq(lost, 0);
}
END_TEST

START_TEST(answers_come_in_any_order)
{
	ask();
	ask();
	say_json("{\"id\":2,\"result\":{}}");
	say_json("{\"id\":1,\"result\":{}}");
	turn();
	ck_assert_int_eq(done, 2);
}
END_TEST

START_TEST(error_has_its_errno_and_one_line)
{
	ask();
	say_json("{\"id\":1,\"error\":{\"code\":-2,\"message\":\"a\\nb\"}}");
	turn();
	ck_assert_int_eq(failed, 1);
	ck_assert_int_eq(why.code, ENOENT);
	ck_assert_str_eq(why.text, "a?b");
	ck_assert_int_eq(lost, 0);
}
END_TEST

START_TEST(binary_message_comes_with_its_answer)
{
	ask();
	say(FRAME_BINARY, "bytes", 5);
	say(FRAME_PING, "\1", 1);
	say_json("{\"id\":1,\"result\":{\"binary\":true}}");
	turn();
	ck_assert_int_eq(done, 1);
	ck_assert_uint_eq(last_bin.len, 5);
	ck_assert_mem_eq(last_bin.data, "bytes", 5);
}
END_TEST

START_TEST(frames_may_come_a_byte_at_a_time)
{
	static const char json[] = "{\"id\":1,\"result\":{\"binary\":true}}";
	struct buf b = BUF_INIT;
	size_t i;

	ask();
	(void)frame_add(&b, FRAME_BINARY, "xyz", 3);
	(void)frame_add(&b, FRAME_PING, "\0", 1);
	(void)frame_add(&b, FRAME_JSON, json, sizeof(json) - 1);
	for (i = 0; i < b.len; i++) {
		ck_assert_int_eq(write(peer, b.data + i, 1), 1);
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	buf_done(&b);
	ck_assert_int_eq(done, 1);
	ck_assert_mem_eq(last_bin.data, "xyz", 3);
}
END_TEST

START_TEST(large_binary_message_arrives_whole)
{
	size_t n = FRAME_MAX_AGENT, at = 0;
	struct buf b = BUF_INIT;
	char *data = xmalloc(n);
	ssize_t w;

	memset(data, 'q', n);
	ask();
	ck_assert_int_eq(frame_add(&b, FRAME_BINARY, data, n), 0);
	(void)fd_nonblock(peer, 1);
	while (at < b.len) {
		if ((w = write(peer, b.data + at, b.len - at)) > 0)
			at += (size_t)w;
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	(void)fd_nonblock(peer, 0);
	say_json("{\"id\":1,\"result\":{\"binary\":true}}");
	while (done == 0 && lost == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(done, 1);
	ck_assert_uint_eq(last_bin.len, n);
	ck_assert_mem_eq(last_bin.data, data, n);
	free(data);
	buf_done(&b);
}
END_TEST

START_TEST(ping_is_answered)
{
	struct buf b = BUF_INIT;
	struct frame f;
	int fds[FD_PASS_MAX];

	say(FRAME_PING, "\0", 1);
	turn();
	(void)hear(&b, &f, fds);
	ck_assert_int_eq(f.type, FRAME_PING);
	ck_assert_int_eq(*f.data, 1);
	buf_done(&b);
}
END_TEST

START_TEST(notification_is_told)
{
	say_json("{\"method\":\"sbx.job.exit\",\"params\":{\"job\":1}}");
	turn();
	ck_assert_int_eq(notified, 1);
	ck_assert_str_eq(last_method, "sbx.job.exit");
}
END_TEST

START_TEST(descriptors_come_with_the_json_frame)
{
	struct buf b = BUF_INIT;
	struct frame f;
	int p[2], fds[FD_PASS_MAX];
	size_t n;
	long len;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	agentc_call(a,
	    &(struct agent_call){ .method = "sbx.job.start",
		.params = json_object(),
		.bin = "script",
		.bin_len = 6,
		.fds = p,
		.nfds = 2,
		.done = on_done });
	close_fd(&p[0]);
	close_fd(&p[1]);
	n = hear(&b, &f, fds);
	ck_assert_int_eq(f.type, FRAME_BINARY);
	len = (long)(FRAME_HEAD + f.len);
	buf_consume(&b, (size_t)len);
	if (n == 0)
		n = hear(&b, &f, fds);
	ck_assert_uint_eq(n, 2);
	(void)close(fds[0]);
	(void)close(fds[1]);
	buf_done(&b);
}
END_TEST

START_TEST(what_the_socket_does_not_take_waits_with_its_descriptors)
{
	size_t n = 4 << 20, got = 0, nfds = 0, k;
	char *data = xcalloc(1, n);
	int p[2], fds[FD_PASS_MAX];
	static char room[65536];
	ssize_t r;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	agentc_call(a,
	    &(struct agent_call){ .method = "sbx.x",
		.params = json_object(),
		.bin = data,
		.bin_len = n,
		.fds = p,
		.nfds = 2,
		.done = on_done });
	close_fd(&p[0]);
	close_fd(&p[1]);
	(void)fd_nonblock(peer, 1);
	while (nfds == 0) {
		r = fd_recv(peer, room, sizeof(room), fds, &k);
		if (r > 0) {
			got += (size_t)r;
			nfds += k;
		}
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	ck_assert_uint_gt(got, n);
	ck_assert_uint_eq(nfds, 2);
	(void)close(fds[0]);
	(void)close(fds[1]);
	free(data);
}
END_TEST

/*** Time, and ends of ours ***/

START_TEST(what_nobody_waits_for_goes_behind_the_next)
{
	char p[1024], *next;

	agentc_call(a, &(struct agent_call){ .method = "x", .later = true });
	ck_assert_int_lt(recv(peer, p, sizeof(p), MSG_DONTWAIT), 0);
	ask();
	ck_assert_int_gt(recv(peer, p, sizeof(p), MSG_DONTWAIT), 0);
	next = memmem(p, 512, "ping", 4);
	ck_assert(next != NULL && memmem(next, 512, "\"x\"", 3) != NULL);
}
END_TEST

START_TEST(mute_agent_times_out_and_may_answer_late)
{
	agentc_call(a,
	    &(struct agent_call){
		.method = "sbx.ping", .timeout_ms = 50, .done = on_done });
	while (failed == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(why.code, ETIMEDOUT);
	say_json("{\"id\":1,\"result\":{}}");
	turn();
	ck_assert_int_eq(lost, 0);
	ck_assert_int_eq(done, 0);
	say_json("{\"id\":1,\"result\":{}}");
	turn();
	ck_assert_int_eq(lost, 1);
}
END_TEST

START_TEST(forgotten_call_is_not_answered)
{
	agentc_call(a,
	    &(struct agent_call){
		.method = "sbx.ping", .done = on_done, .arg = &done });
	agentc_forget(a, &done);
	say_json("{\"id\":1,\"result\":{}}");
	turn();
	ck_assert_int_eq(done + failed + lost, 0);
}
END_TEST

START_TEST(free_cancels_what_is_pending)
{
	ask();
	agentc_free(a);
	a = NULL;
	ck_assert_int_eq(failed, 1);
	ck_assert_int_eq(why.code, ECANCELED);
	ck_assert_int_eq(lost, 0);
}
END_TEST

static void
free_it(void *arg, const struct agent_answer *got)
{
	(void)arg;
	(void)got;
	agentc_free(a);
	a = NULL;
}

START_TEST(connection_may_be_freed_by_an_answer)
{
	agentc_call(
	    a, &(struct agent_call){ .method = "sbx.ping", .done = free_it });
	ask();
	say_json("{\"id\":1,\"result\":{}}");
	say_json("{\"id\":2,\"result\":{}}");
	turn();
	ck_assert_ptr_null(a);
	ck_assert_int_eq(done, 0);
	ck_assert_int_eq(failed, 1);
}
END_TEST

START_TEST(closed_connection_fails_calls_before_lost)
{
	ask();
	close_fd(&peer);
	turn();
	ck_assert_int_eq(failed, 1);
	ck_assert_int_eq(lost, 1);
	ask();
	turn();
	ck_assert_int_eq(failed, 2);
	ck_assert_int_eq(lost, 1);
}
END_TEST

START_TEST(too_long_a_call_fails_later_and_alone)
{
	char *data = xcalloc(1, FRAME_MAX_AGENT + 1);

	agentc_call(a,
	    &(struct agent_call){ .method = "sbx.x",
		.bin = data,
		.bin_len = FRAME_MAX_AGENT + 1,
		.done = on_done });
	ck_assert_int_eq(failed, 0);
	turn();
	ck_assert_int_eq(failed, 1);
	ck_assert_int_eq(why.code, EMSGSIZE);
	ck_assert_int_eq(lost, 0);
	free(data);
}
END_TEST

/*** Hostile agents: each of these ends the connection, and says why ***/

#define JSON(text) FRAME_JSON, text, sizeof(text) - 1

static const struct {
	enum frame_type type;
	const char *data;
	size_t len;
	const char *why;
} bad_frames[] = {
	{ JSON("{"), "no JSON" },
	{ JSON(""), "no JSON" },
	{ JSON("[]"), "no object" },
	{ JSON("1"), "no JSON" },
	{ JSON("{}"), "not asked" },
	{ JSON("{\"id\":1}"), "no single result" },
	{ JSON("{\"id\":1,\"result\":{},\"error\":{}}"), "no single result" },
	{ JSON("{\"id\":1,\"error\":3}"), "no single result" },
	{ JSON("{\"id\":2,\"result\":{}}"), "not asked" },
	{ JSON("{\"id\":-1,\"result\":{}}"), "not asked" },
	{ JSON("{\"id\":\"1\",\"result\":{}}"), "not asked" },
	{ JSON("{\"id\":1.0,\"result\":{}}"), "not asked" },
	{ JSON("{\"id\":99999999999999999999,\"result\":{}}"), "no JSON" },
	{ JSON("{\"id\":null,\"result\":{}}"), "not asked" },
	{ JSON("{\"id\":1,\"result\":{\"binary\":true}}"), "disagree" },
	{ JSON("{\"method\":\"x\",\"id\":1}"), "makes a request" },
	{ JSON("{\"method\":\"\xff\"}"), "no JSON" },
	{ JSON("{\"method\":\"\\u0000\"}"), "no JSON" },
	{ FRAME_PING, "\2", 1, "ping" },
	{ FRAME_PING, "\0\0", 2, "wrong" },
	{ 0, "x", 1, "wrong" },
	{ 4, "x", 1, "wrong" },
	{ 255, "x", 1, "wrong" },
};

START_TEST(bad_frame_ends_the_connection)
{
	char head[FRAME_HEAD];

	ask();
	frame_head(head, bad_frames[_i].type, bad_frames[_i].len);
	ck_assert_int_eq(fd_write_full(peer, head, sizeof(head)), 0);
	ck_assert_int_eq(
	    fd_write_full(peer, bad_frames[_i].data, bad_frames[_i].len), 0);
	turn();
	ck_assert_int_eq(lost, 1);
	ck_assert_int_eq(failed, 1);
	ck_assert_int_eq(done, 0);
	ck_assert_msg(strstr(why.text, bad_frames[_i].why) != NULL, "%s: %s",
	    bad_frames[_i].data, why.text);
}
END_TEST

START_TEST(length_over_the_limit_is_seen_in_the_head)
{
	static const char heads[][FRAME_HEAD] = {
		{ 1, (char)255, (char)255, (char)255, (char)255 },
		{ 2, 127, (char)255, (char)255, (char)255 },
		{ 2, 0, (char)160, 0, 1 },
	};
	size_t i = (size_t)_i;

	ck_assert_int_eq(fd_write_full(peer, heads[i], FRAME_HEAD), 0);
	turn();
	ck_assert_int_eq(lost, 1);
	ck_assert_ptr_nonnull(strstr(why.text, "too long"));
}
END_TEST

START_TEST(descriptor_ends_the_connection_and_is_closed)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_gt(fd_send(peer, "\3", 1, &fd, 1), 0);
	(void)close(fd);
	turn();
	ck_assert_int_eq(lost, 1);
	ck_assert_ptr_nonnull(strstr(why.text, "descriptor"));
}
END_TEST

START_TEST(two_binary_messages_end_the_connection)
{
	say(FRAME_BINARY, "x", 1);
	say(FRAME_BINARY, "y", 1);
	turn();
	ck_assert_int_eq(lost, 1);
}
END_TEST

START_TEST(binary_message_with_a_notification_ends_the_connection)
{
	say(FRAME_BINARY, "x", 1);
	say_json("{\"method\":\"sbx.job.exit\"}");
	turn();
	ck_assert_int_eq(lost, 1);
	ck_assert_int_eq(notified, 0);
}
END_TEST

START_TEST(second_answer_ends_the_connection)
{
	ask();
	say_json("{\"id\":1,\"result\":{}}");
	say_json("{\"id\":1,\"result\":{}}");
	turn();
	ck_assert_int_eq(done, 1);
	ck_assert_int_eq(lost, 1);
}
END_TEST

/* The most we had; a sanitizer keeps what is freed, so it says nothing. */
static long
rss_kib(void)
{
	struct rusage ru = { .ru_maxrss = 0 };

#ifndef __SANITIZE_ADDRESS__
	(void)getrusage(RUSAGE_SELF, &ru);
#endif
	return ru.ru_maxrss;
}

/* Sends n copies of p, as far as anybody reads. */
static void
flood(const char *p, size_t len, size_t n)
{
	struct buf b = BUF_INIT;
	size_t at = 0, i;
	ssize_t w;

	for (i = 0; i < 512; i++)
		ck_assert_int_eq(buf_add(&b, p, len), 0);
	(void)fd_nonblock(peer, 1);
	for (i = 0; i < n / 512 && lost == 0;) {
		w = send(peer, b.data + at, b.len - at, MSG_NOSIGNAL);
		if (w > 0 && (at += (size_t)w) == b.len) {
			at = 0;
			i++;
		}
		if (w < 0 && errno != EAGAIN)
			break;
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	turn();
	buf_done(&b);
}

START_TEST(a_million_pings_without_reading_end_it_in_little_memory)
{
	long before = rss_kib();

	flood("\3\0\0\0\1\0", 6, 1000000);
	ck_assert_int_eq(lost, 1);
	ck_assert_ptr_nonnull(strstr(why.text, "pings"));
	ck_assert_int_lt(rss_kib() - before, 16 << 10);
}
END_TEST

START_TEST(a_million_notifications_cost_no_memory)
{
	static const char one[] = "\1\0\0\0\16{\"method\":\"x\"}";
	long before = rss_kib();

	flood(one, sizeof(one) - 1, 200000);
	ck_assert_int_eq(lost, 0);
	ck_assert_int_gt(notified, 190000);
	ck_assert_int_lt(rss_kib() - before, 16 << 10);
}
END_TEST

/* 10 MiB of the densest JSON would be hundreds of MiB parsed. */
START_TEST(dense_json_is_bounded)
{
	size_t n = (1 << 20) - 2, i;
	long before = rss_kib();
	char *text = xmalloc(n + 2);

	text[0] = '[';
	for (i = 1; i + 3 < n; i += 3)
		memcpy(text + i, "[],", 3);
	memcpy(text + i, "1]", 2);
	(void)fd_nonblock(peer, 0);
	ask();
	if (fork() == 0) {
		say(FRAME_JSON, text, i + 2);
		_exit(0);
	}
	while (lost == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_ptr_nonnull(strstr(why.text, "no object"));
	ck_assert_int_lt(rss_kib() - before, 64 << 10);
	free(text);
}
END_TEST

START_TEST(deep_json_is_refused)
{
	size_t n = 1 << 20;
	char *text = xmalloc(n);

	memset(text, '[', n);
	if (fork() == 0) {
		say(FRAME_JSON, text, n);
		_exit(0);
	}
	while (lost == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_ptr_nonnull(strstr(why.text, "no JSON"));
	free(text);
}
END_TEST

/* Random bytes, and good frames with random damage: it never dies. */
START_TEST(random_bytes_do_no_harm)
{
	static const char good[] = "{\"id\":1,\"result\":{\"binary\":true}}";
	struct buf b = BUF_INIT;
	unsigned seed = (unsigned)_i;
	size_t i, n;

	ask();
	(void)frame_add(&b, FRAME_BINARY, "some bytes", 10);
	(void)frame_add(&b, FRAME_JSON, good, sizeof(good) - 1);
	n = 1 + (size_t)rand_r(&seed) % 4;
	for (i = 0; i < n; i++)
		b.data[(size_t)rand_r(&seed) % b.len] = (char)rand_r(&seed);
	(void)fd_write_full(peer, b.data, b.len);
	turn();
	for (i = 0; i < b.len; i++)
		b.data[i] = (char)rand_r(&seed);
	(void)fd_write_full(peer, b.data, b.len);
	turn();
	ck_assert_int_le(done, 1);
	buf_done(&b);
}
END_TEST

static void
add_good(TCase *t)
{
	tcase_add_test(t, call_and_answer);
	tcase_add_test(t, answers_come_in_any_order);
	tcase_add_test(t, error_has_its_errno_and_one_line);
	tcase_add_test(t, binary_message_comes_with_its_answer);
	tcase_add_test(t, frames_may_come_a_byte_at_a_time);
	tcase_add_test(t, large_binary_message_arrives_whole);
	tcase_add_test(t, ping_is_answered);
	tcase_add_test(t, notification_is_told);
	tcase_add_test(t, descriptors_come_with_the_json_frame);
	tcase_add_test(
	    t, what_the_socket_does_not_take_waits_with_its_descriptors);
	tcase_add_test(t, what_nobody_waits_for_goes_behind_the_next);
	tcase_add_test(t, mute_agent_times_out_and_may_answer_late);
	tcase_add_test(t, forgotten_call_is_not_answered);
	tcase_add_test(t, free_cancels_what_is_pending);
	tcase_add_test(t, connection_may_be_freed_by_an_answer);
	tcase_add_test(t, closed_connection_fails_calls_before_lost);
	tcase_add_test(t, too_long_a_call_fails_later_and_alone);
}

static void
add_bad(TCase *t)
{
	tcase_add_loop_test(t, bad_frame_ends_the_connection, 0,
	    (int)(sizeof(bad_frames) / sizeof(bad_frames[0])));
	tcase_add_loop_test(t, length_over_the_limit_is_seen_in_the_head, 0, 3);
	tcase_add_test(t, descriptor_ends_the_connection_and_is_closed);
	tcase_add_test(t, two_binary_messages_end_the_connection);
	tcase_add_test(
	    t, binary_message_with_a_notification_ends_the_connection);
	tcase_add_test(t, second_answer_ends_the_connection);
	tcase_add_test(
	    t, a_million_pings_without_reading_end_it_in_little_memory);
	tcase_add_test(t, a_million_notifications_cost_no_memory);
	tcase_add_test(t, dense_json_is_bounded);
	tcase_add_test(t, deep_json_is_refused);
	tcase_add_loop_test(t, random_bytes_do_no_harm, 0, 200);
}

int
main(void)
{
	Suite *s = suite_create("daemon");
	TCase *t = tcase_create("agentc");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	add_good(t);
	add_bad(t);
	suite_add_tcase(s, t);
	return unit_run(s);
}
