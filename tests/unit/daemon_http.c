/*
 * The HTTP server over real sockets: exchanges end exactly once, whatever
 * happens to their connection. Hostile bytes: tests/t/0300-http-hostile.py.
 */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/http.h"
#include "lib/fd.h"
#include "tests/unit/unit.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static uv_loop_t loop;
static struct http_server *server;
static char dir[] = "/tmp/sbx-http-XXXXXX";
static char sock[64];
static struct http_req *waiting; /* of /wait */
static int freed, finished, last_status;
static const struct http_route *last_route;
static size_t fds_before;

static void
count_free(void *arg)
{
	ck_assert_ptr_eq(arg, &freed);
	freed++;
	waiting = NULL;
}

static void
hello(struct http_req *r)
{
	http_set_user(r, &freed, count_free);
	http_reply(
	    r, 200, "text/plain", http_var(r, 0), strlen(http_var(r, 0)));
	/* nothing was freed yet: the request is still ours to look at */
	ck_assert_int_eq(freed, 0);
	ck_assert_str_eq(http_method(r), "GET");
}

static void
hold(struct http_req *r)
{
	http_set_user(r, &freed, count_free);
	waiting = r;
}

static void
twice(struct http_req *r)
{
	http_error(r, 400, "first");
	http_error(r, 500, "second");
	http_end(r);
}

static void
shorter(struct http_req *r)
{
	http_set_user(r, &freed, count_free);
	http_begin(r, 200, "text/plain", 10);
	(void)http_send(r, "abc", 3);
	http_end(r);
}

static void
longer(struct http_req *r)
{
	http_begin(r, 200, "text/plain", 3);
	(void)http_send(r, "abcdef", 6);
	http_end(r);
}

static void
odd_error(struct http_req *r)
{
	http_error(r, 400, "not \xff \"text\" %s", "\n");
}

static const struct http_route routes[] = {
	{ .method = "GET", .path = "/hello/{name}", .handle = hello },
	{ .method = "GET", .path = "/wait", .handle = hold },
	{ .method = "GET", .path = "/twice", .handle = twice },
	{ .method = "GET", .path = "/shorter", .handle = shorter },
	{ .method = "GET", .path = "/longer", .handle = longer },
	{ .method = "GET", .path = "/odd", .handle = odd_error },
	{ .method = NULL },
};

static void
done(void *arg, const struct http_route *route, int status, int64_t usec)
{
	(void)arg;
	ck_assert_int_ge(usec, 0);
	finished++;
	last_status = status;
	last_route = route;
}

static void
setup(void)
{
	const struct http_conf conf = { .routes = routes,
		.head_timeout_ms = 60000,
		.idle_timeout_ms = 60000,
		.write_timeout_ms = 60000,
		.done = done };
	struct err e;
	int fd;

	(void)uv_loop_init(&loop); /* the first makes what libuv keeps */
	(void)uv_loop_close(&loop);
	fds_before = unit_count_fds();
	(void)uv_loop_init(&loop);
	strcpy(dir, "/tmp/sbx-http-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(sock, sizeof(sock), "%s/s", dir);
	fd = fd_unix_listen(sock, 0600, SOCK_STREAM);
	ck_assert_int_ge(fd, 0);
	server = http_new(&loop, &conf);
	ck_assert_int_eq(http_listen(server, fd, true, &e), 0);
	freed = finished = last_status = 0;
	waiting = NULL;
}

static void
turn(int times)
{
	while (times-- > 0)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void
teardown(void)
{
	http_free(server);
	turn(5);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	(void)unlink(sock);
	(void)rmdir(dir);
	ck_assert_uint_eq(unit_count_fds(), fds_before);
}

static int
client(const char *text)
{
	int fd = fd_unix_connect(sock, SOCK_STREAM);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turn(5);
	return fd;
}

/* All that came; the server has had its turns. */
static const char *
answer(int fd)
{
	static char text[8192];
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t got = 1;

	while (got > 0 && poll(&pfd, 1, 0) == 1) {
		got = read(fd, text + n, sizeof(text) - 1 - n);
		n += got > 0 ? (size_t)got : 0;
	}
	text[n] = '\0';
	return text;
}

static bool
ended(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

START_TEST(an_answer_frees_once)
{
	int fd = client(GET("/hello/a%20b"));

	ck_assert_ptr_nonnull(strstr(answer(fd), "\r\n\r\na b"));
	ck_assert_int_eq(freed, 1);
	ck_assert_int_eq(finished, 1);
	ck_assert_int_eq(last_status, 200);
	ck_assert_ptr_eq(last_route, &routes[0]);
	(void)close(fd);
}
END_TEST

START_TEST(a_client_that_goes_frees_once)
{
	int fd = client(GET("/wait"));

	ck_assert_ptr_nonnull(waiting);
	(void)close(fd);
	turn(5);
	ck_assert_int_eq(freed, 1);
	ck_assert_int_eq(finished, 1);
	ck_assert_int_eq(last_status, 499);
}
END_TEST

START_TEST(the_end_of_the_server_frees)
{
	int fd = client(GET("/wait"));

	http_quiet(server);
	turn(2);
	ck_assert_int_eq(freed, 0); /* it may still be answered */
	http_reply(waiting, 200, "text/plain", "x", 1);
	turn(5);
	ck_assert_int_eq(freed, 1);
	ck_assert_ptr_nonnull(strstr(answer(fd), "Connection: close"));
	ck_assert(ended(fd));
	(void)close(fd);
}
END_TEST

START_TEST(exchanges_in_flight_end_with_the_server)
{
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = client(GET("/wait"));
	http_free(server);
	ck_assert_int_eq(freed, 3);
	turn(5);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
	(void)unlink(sock);
	(void)rmdir(dir);
	setup(); /* for the teardown */
}
END_TEST

START_TEST(a_late_answer_to_nobody_is_harmless)
{
	int fd = client(GET("/wait"));
	struct http_req *r = waiting;

	(void)close(fd);
	/* the loop has not seen it yet, the handler answers */
	http_begin(r, 200, "text/plain", -1);
	(void)http_send(r, "abc", 3);
	(void)http_send(r, "def", 3);
	http_end(r);
	turn(5);
	ck_assert_int_eq(freed, 1);
}
END_TEST

START_TEST(the_first_answer_counts)
{
	int fd = client(GET("/twice") GET("/hello/x"));
	const char *text = answer(fd);

	ck_assert_ptr_nonnull(strstr(text, "{\"error\":\"first\"}\n"));
	ck_assert_ptr_null(strstr(text, "second"));
	ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nx"));
	(void)close(fd);
}
END_TEST

START_TEST(too_short_an_answer_is_cut)
{
	int fd = client(GET("/shorter") GET("/hello/x"));

	ck_assert_ptr_null(strstr(answer(fd), "\r\n\r\nx"));
	ck_assert(ended(fd));
	ck_assert_int_eq(freed, 1);
	(void)close(fd);
}
END_TEST

START_TEST(too_long_an_answer_is_trimmed)
{
	int fd = client(GET("/longer") GET("/hello/x"));
	const char *text = answer(fd);

	ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nabcHTTP/1.1 200"));
	(void)close(fd);
}
END_TEST

START_TEST(an_error_is_always_json)
{
	int fd = client(GET("/odd"));

	ck_assert_ptr_nonnull(
	    strstr(answer(fd), "{\"error\":\"not ? \\\"text\\\" \\n\"}\n"));
	(void)close(fd);
}
END_TEST

START_TEST(a_slow_client_holds_up_nobody)
{
	static char block[1 << 16];
	int slow = client(GET("/wait")), quick;
	size_t queued = 0;

	http_begin(waiting, 200, "text/plain", -1);
	for (int i = 0; i < 64; i++)
		queued = http_send(waiting, block, sizeof(block));
	ck_assert_uint_gt(queued, 1 << 20);
	quick = client(GET("/hello/x"));
	ck_assert_ptr_nonnull(strstr(answer(quick), "\r\n\r\nx"));
	(void)close(slow);
	(void)close(quick);
	turn(5);
	ck_assert_int_eq(freed, 2);
}
END_TEST

START_TEST(many_connections_come_and_go)
{
	int fds[200];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 200; i++)
			fds[i] = client(GET("/nope"));
		for (int i = 0; i < 200; i++) {
			ck_assert_ptr_nonnull(
			    strstr(answer(fds[i]), "404 page not found"));
			(void)close(fds[i]);
		}
		turn(5);
	}
	ck_assert_int_eq(finished, 600);
	ck_assert_ptr_null(last_route);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("daemon");
	TCase *t = tcase_create("http");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_answer_frees_once);
	tcase_add_test(t, a_client_that_goes_frees_once);
	tcase_add_test(t, the_end_of_the_server_frees);
	tcase_add_test(t, exchanges_in_flight_end_with_the_server);
	tcase_add_test(t, a_late_answer_to_nobody_is_harmless);
	tcase_add_test(t, the_first_answer_counts);
	tcase_add_test(t, too_short_an_answer_is_cut);
	tcase_add_test(t, too_long_an_answer_is_trimmed);
	tcase_add_test(t, an_error_is_always_json);
	tcase_add_test(t, a_slow_client_holds_up_nobody);
	tcase_add_test(t, many_connections_come_and_go);
	suite_add_tcase(s, t);
	return unit_run(s);
}
