/*
 * unit.h - what the unit programs share: a list of tests, and a fixture that
 * finds the descriptor that a test left open.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <check.h>
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>

static int unit_fds;

static inline int
unit_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static inline void
unit_fds_before(void)
{
	unit_fds = unit_count_fds();
}

static inline void
unit_fds_after(void)
{
	ck_assert_int_eq(unit_count_fds(), unit_fds);
}

/* A module's tests, each with the fixture. */
static inline TCase *
unit_add(Suite *s, const char *module, const TTest *const *tests, size_t n)
{
	TCase *t = tcase_create(module);
	size_t i;

	tcase_add_checked_fixture(t, unit_fds_before, unit_fds_after);
	for (i = 0; i < n; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return t;
}

#define UNIT_ADD(s, module, tests) \
	unit_add(s, module, tests, sizeof(tests) / sizeof((tests)[0]))
/* The same, around each test a set-up and a clean-up. */
#define UNIT_ADD_IN(s, module, tests, setup, teardown) \
	tcase_add_checked_fixture(UNIT_ADD(s, module, tests), setup, teardown)

static inline int
unit_run(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

#endif
