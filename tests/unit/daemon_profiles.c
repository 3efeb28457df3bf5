/* The configuration: profiles, images, and limits that cannot be held. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/config.h"
#include "tests/unit/unit.h"

/*** Profiles ***/

START_TEST(a_profile_has_its_values_and_the_defaults)
{
	const struct profile *p;

	loads("[pool.base.small]\nmemory = '64m'\ncpu = 2\ntimeout = '1m'\n"
	      "start_timeout = '2s'\nmin = 1\nmax = 3\npids = 0");
	p = config_profile(c, "small");
	ck_assert_int_eq(p->limits.memory_bytes, 64 << 20);
	ck_assert_str_eq(p->memory_text, "64m");
	ck_assert_int_eq(p->limits.cpu_milli, 2000);
	ck_assert_int_eq(p->limits.pids, 0);
	ck_assert_int_eq(p->limits.storage_bytes, 500 << 20);
	ck_assert_int_eq(p->timeout_s, 60);
	ck_assert_int_eq(p->start_timeout_ms, 2000);
	ck_assert_int_eq(p->pool_min, 1);
	ck_assert_int_eq(p->pool_max, 3);
	ck_assert_ptr_nonnull(config_profile(c, "default"));
	ck_assert_str_eq(TAILQ_FIRST(&c->profiles)->name, "default");
}
END_TEST

START_TEST(a_table_stands_in_the_place_of_the_built_in_profile)
{
	const struct profile *p;

	loads("[pool.base.default]\nmemory = '64m'");
	p = config_profile(c, "default");
	ck_assert_int_eq(p->limits.memory_bytes, 64 << 20);
	ck_assert_int_eq(p->limits.cpu_milli, 0);
	ck_assert_ptr_null(TAILQ_NEXT(p, link));
}
END_TEST

START_TEST(the_pool_of_a_profile_has_room_for_its_minimum)
{
	loads("[pool]\nmin_base = 4\n[pool.base.a]\n[pool.base.b]\nmax = 1\n"
	      "[pool.base.c]\nmin = 30");
	ck_assert_int_eq(config_profile(c, "a")->pool_min, 4);
	ck_assert_int_eq(config_profile(c, "a")->pool_max, 10);
	ck_assert_int_eq(config_profile(c, "b")->pool_min, 1);
	ck_assert_int_eq(config_profile(c, "b")->pool_max, 1);
	ck_assert_int_eq(config_profile(c, "c")->pool_max, 30);
	fails("[pool.base.x]\nmin = 5\nmax = 2",
	    "line 3: pool.base.x.max must be >= its min, 5");
	fails("[pool.base.x]\nmemory = '4095k'",
	    "line 2: pool.base.x.memory must be 0, or >= 4194304");
	loads("[pool.base.x]\nmemory = '4m'\n[pool.base.y]\nmemory = 0");
	warns("[pool]\nmax_warm = 3\n[pool.base.x]\nmin = 9",
	    "the profiles' min are 11 together, pool.max_warm is 3");
}
END_TEST

START_TEST(a_profile_starts_from_an_image_that_is_there)
{
	fails("[pool.base.x]\nimage = 'debian'",
	    "line 2: pool.base.x.image: there is no [images.debian]");
}
END_TEST

START_TEST(a_profile_has_the_runtime_that_is_there)
{
	fails("[pool.base.x]\nruntime = 'docker'",
	    "line 2: pool.base.x.runtime: must be \"native\", got \"docker\"");
	fails("[pool.base.x]\nnetwork = 'nat'",
	    "line 2: pool.base.x.network: must be \"none\", got \"nat\"");
}
END_TEST

START_TEST(a_name_is_one_that_a_path_may_have)
{
	static const char *const bad[] = { "''", "'a b'", "'a/b'", "'..'", "_x",
		"-x", "'a\\b'" };
	char text[128];
	size_t i;

	loads("[pool.base.'a.b']\n[pool.base.1]\n");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[pool.base.%s]", bad[i]);
		ck_assert_msg(load(text) < 0, "%s", bad[i]);
		snprintf(text, sizeof(text), "[images.%s]", bad[i]);
		ck_assert_msg(load(text) < 0, "%s", bad[i]);
	}
	snprintf(text, sizeof(text), "[pool.base.%064d]", 0);
	ck_assert_int_eq(load(text), -1);
}
END_TEST

/*** Images ***/

START_TEST(an_image_is_a_directory_or_an_archive)
{
	char name[128], text[512];

	in_dir(name, sizeof(name), "image");
	ck_assert_int_eq(mkdir(name, 0755), 0);
	snprintf(text, sizeof(text), "[images.d]\npath = '%s'", name);
	loads(text);
	ck_assert_str_eq(config_image(c, "d")->rt.kind, "dir");
	ck_assert_str_eq(config_image(c, "d")->rt.path, name);
	ck_assert_str_eq(config_image(c, "d")->rt.name, "d");
	in_dir(name, sizeof(name), "image.tar");
	write_file(name, "");
	snprintf(text, sizeof(text), "[images.t]\npath = '%s'", name);
	loads(text);
	ck_assert_str_eq(config_image(c, "t")->rt.kind, "tar");
}
END_TEST

START_TEST(an_image_that_is_not_there_is_an_error_with_its_line)
{
	fails("[images.x]\npath = '/nope/x'",
	    "line 2: images.x.path: /nope/x: No such file or directory");
	fails("[images.x]\npath = '/dev/null'",
	    "line 2: images.x.path: /dev/null: neither a directory nor an "
	    "archive");
	fails("\n[images.x]\n", "line 2: images.x.path is required");
}
END_TEST

START_TEST(the_built_in_image_is_not_replaced)
{
	fails("[images.host]\npath = '/'",
	    "line 1: images.host: the image host is built in");
}
END_TEST

START_TEST(a_limit_that_cannot_be_held_is_no_default)
{
	const struct profile *p;

	config_unheld(RT_LIMIT_CPU | RT_LIMIT_PIDS);
	loads("[pool.base.default]\npids = 9\n");
	ck_assert_int_eq(config_profile(c, "default")->limits.pids, 9);
	loads("");
	p = config_profile(c, "default");
	ck_assert_int_eq(p->limits.cpu_milli + p->limits.pids, 0);
	config_unheld(RT_LIMIT_MEMORY);
	loads("");
	p = config_profile(c, "default");
	ck_assert_int_eq(p->limits.cpu_milli, 1000);
	config_unheld(0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_profile_has_its_values_and_the_defaults,
		a_table_stands_in_the_place_of_the_built_in_profile,
		the_pool_of_a_profile_has_room_for_its_minimum,
		a_profile_starts_from_an_image_that_is_there,
		a_profile_has_the_runtime_that_is_there,
		a_name_is_one_that_a_path_may_have,
		an_image_is_a_directory_or_an_archive,
		an_image_that_is_not_there_is_an_error_with_its_line,
		the_built_in_image_is_not_replaced,
		a_limit_that_cannot_be_held_is_no_default
	};
	Suite *s = suite_create("daemon");

	UNIT_ADD_IN(s, "profiles", tests, setup, teardown);
	return unit_run(s);
}
