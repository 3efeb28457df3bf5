/*
 * daemon_compat: the link where existing clients look.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/compat.h"
#include "tests/unit/unit.h"

static char base[] = "/tmp/sbx-compat.XXXXXX";
static char dir[64], name[96];

static void
setup(void)
{
	memcpy(strrchr(base, '.'), ".XXXXXX", 7);
	ck_assert_ptr_nonnull(mkdtemp(base));
	(void)snprintf(dir, sizeof(dir), "%s/d", base);
	(void)snprintf(name, sizeof(name), "%s/%s", dir, COMPAT_NAME);
}

static void
teardown(void)
{
	(void)unlink(name);
	(void)rmdir(dir);
	ck_assert_int_eq(rmdir(base), 0);
}

static void
leads_to(const char *want)
{
	char to[PATH_MAX] = "";

	ck_assert_int_ge(readlink(name, to, sizeof(to) - 1), 0);
	ck_assert_str_eq(to, want);
}

START_TEST(compat_link_is_made_and_replaced)
{
	struct err e;

	ck_assert_int_eq(compat_link(dir, "/a", &e), 0);
	leads_to("/a");
	ck_assert_int_eq(compat_link(dir, "/a", &e), 0);
	ck_assert_int_eq(compat_link(dir, "/b", &e), 0);
	leads_to("/b");
}
END_TEST

START_TEST(compat_link_replaces_no_file)
{
	struct err e;

	ck_assert_int_eq(mkdir(dir, 0755), 0);
	ck_assert_int_eq(mknod(name, S_IFREG | 0600, 0), 0);
	ck_assert_int_eq(compat_link(dir, "/a", &e), -1);
	ck_assert_int_eq(e.code, EEXIST);
	ck_assert_ptr_nonnull(strstr(e.text, "server.compat_socket"));
}
END_TEST

START_TEST(compat_unlink_takes_only_its_own)
{
	struct err e;

	ck_assert_int_eq(compat_link(dir, "/a", &e), 0);
	compat_unlink(dir, "/b");
	leads_to("/a");
	compat_unlink(dir, "/a");
	ck_assert_int_eq(access(dir, F_OK), -1);
	compat_unlink(dir, "/a");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		compat_link_is_made_and_replaced,
		compat_link_replaces_no_file,
		compat_unlink_takes_only_its_own,
	};
	Suite *s = suite_create("daemon compat");

	UNIT_ADD_IN(s, "compat", tests, setup, teardown);
	return unit_run(s);
}
