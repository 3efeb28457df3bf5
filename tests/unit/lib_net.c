/*
 * hostport and sockdiag: addresses as text; what listens, asked of the kernel.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/hostport.h"
#include "lib/sockdiag.h"
#include "tests/unit/unit.h"

START_TEST(text_and_address_are_one)
{
	static const char *const good[] = { "127.0.0.1:80", "0.0.0.0:65535",
		"[::1]:1", "[2001:db8::7]:8080", "[::ffff:1.2.3.4]:9" };
	char text[HOSTPORT_TEXT];
	struct hostport h;

	ck_assert(hostport_parse(&h, good[_i]));
	hostport_text(&h, text);
	ck_assert_str_eq(text, good[_i]);
}
END_TEST

START_TEST(what_is_no_address_is_refused)
{
	static const char *const bad[] = { "", ":", "80", ":80", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:8x",
		"::1:80", "[::1]", "[::1]:", "[]:80", "[127.0.0.1]:80",
		"www:80", "127.1:80", "[::1]x:80", "256.0.0.1:80",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80" };
	struct hostport h;

	ck_assert_msg(!hostport_parse(&h, bad[_i]), "%s", bad[_i]);
}
END_TEST

START_TEST(ports_are_compared_too)
{
	struct hostport a, b;

	ck_assert(hostport_set(&a, "localhost", 80));
	ck_assert(hostport_parse(&b, "127.0.0.1:80"));
	ck_assert(hostport_equal(&a, &b));
	hostport_set_port(&b, 81);
	ck_assert_int_eq(hostport_port(&b), 81);
	ck_assert(!hostport_equal(&a, &b));
	ck_assert(hostport_set(&b, "::1", 80));
	ck_assert(!hostport_equal(&a, &b));
}
END_TEST

START_TEST(loopback_is_what_nobody_else_reaches)
{
	static const char *const yes[] = { "127.0.0.1", "127.9.9.9", "::1" };
	static const char *const no[] = { "0.0.0.0", "128.0.0.1", "::", "::1:2",
		"::ffff:127.0.0.1" };
	struct hostport h;
	size_t i;

	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		ck_assert_msg(
		    hostport_set(&h, yes[i], 1) && hostport_is_loopback(&h),
		    "%s", yes[i]);
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ck_assert_msg(
		    hostport_set(&h, no[i], 1) && !hostport_is_loopback(&h),
		    "%s", no[i]);
}
END_TEST

static int
listen_at(const char *addr, int port, struct hostport *h)
{
	int fd, on = 1;

	ck_assert(hostport_set(h, addr, port));
	fd = socket(h->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&h->addr, h->len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(
	    getsockname(fd, (struct sockaddr *)&h->addr, &h->len), 0);
	return fd;
}

static struct listener all[SOCKDIAG_MAX];
static int diag;

static int
count(int port, const char *addr)
{
	char text[INET6_ADDRSTRLEN];
	int i, found = 0, n = sockdiag_listeners(diag, all);

	ck_assert_int_ge(n, 0);
	for (i = 0; i < n; i++) {
		ck_assert(i == 0 || all[i - 1].port <= all[i].port);
		(void)inet_ntop(AF_INET6, &all[i].addr, text, sizeof(text));
		found += all[i].port == port &&
		    (addr == NULL || strcmp(text, addr) == 0);
	}
	return found;
}

START_TEST(who_listens_is_told_where_to_be_reached)
{
	struct hostport h;
	int fd, twin, port;

	fd = listen_at("0.0.0.0", 0, &h);
	port = hostport_port(&h);
	ck_assert_int_eq(count(port, "::ffff:127.0.0.1"), 1);
	twin = listen_at("0.0.0.0", port, &h);
	ck_assert_int_eq(count(port, NULL), 1);
	ck_assert_ptr_eq(sockdiag_find(all, 0, (uint16_t)port), NULL);
	close_fd(&twin);
	close_fd(&fd);
	ck_assert_int_eq(count(port, NULL), 0);
	fd = listen_at("127.0.0.9", port, &h);
	ck_assert_int_eq(count(port, "::ffff:127.0.0.9"), 1);
	close_fd(&fd);
}
END_TEST

START_TEST(of_both_families)
{
	struct hostport h;
	int fd = listen_at("::", 0, &h), port = hostport_port(&h), on = 1;

	ck_assert_int_eq(count(port, "::ffff:127.0.0.1"), 1);
	close_fd(&fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&h.addr, h.len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(count(port, "::1"), 1);
	close_fd(&fd);
}
END_TEST

START_TEST(who_only_has_a_connection_is_not_told_of)
{
	struct hostport h, us;
	int fd = listen_at("127.0.0.1", 0, &h);
	int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(c, (struct sockaddr *)&h.addr, h.len), 0);
	us.len = sizeof(us.addr);
	ck_assert_int_eq(
	    getsockname(c, (struct sockaddr *)&us.addr, &us.len), 0);
	ck_assert_int_eq(count(hostport_port(&us), NULL), 0);
	close_fd(&fd);
	close_fd(&c);
}
END_TEST

START_TEST(another_socket_is_an_error)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	ck_assert_int_lt(sockdiag_listeners(fd, all), 0);
	close_fd(&fd);
	ck_assert_int_eq(sockdiag_listeners(-1, all), -EBADF);
}
END_TEST

static void
setup(void)
{
	diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ck_assert_int_ge(diag, 0);
}

static void
teardown(void)
{
	close_fd(&diag);
}

int
main(void)
{
	Suite *s = suite_create("lib");
	TCase *h = tcase_create("hostport"), *d = tcase_create("sockdiag");

	tcase_add_loop_test(h, text_and_address_are_one, 0, 5);
	tcase_add_loop_test(h, what_is_no_address_is_refused, 0, 19);
	tcase_add_test(h, ports_are_compared_too);
	tcase_add_test(h, loopback_is_what_nobody_else_reaches);
	tcase_add_checked_fixture(d, setup, teardown);
	tcase_add_test(d, who_listens_is_told_where_to_be_reached);
	tcase_add_test(d, of_both_families);
	tcase_add_test(d, who_only_has_a_connection_is_not_told_of);
	tcase_add_test(d, another_socket_is_an_error);
	suite_add_tcase(s, h);
	suite_add_tcase(s, d);
	return unit_run(s);
}
