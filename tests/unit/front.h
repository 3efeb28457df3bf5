/*
 * front.h - a front without doors or a broker, in a directory of its own, for
 * the tests of what needs one.
 */
#ifndef TESTS_UNIT_FRONT_H
#define TESTS_UNIT_FRONT_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/jobs.h"
#include "daemon/poolrun.h"
#include "daemon/store.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static struct {
	char dir[32];
	uv_loop_t loop;
	struct front f;
} fix;

static void
fix_write(const char *name, const char *text)
{
	cleanup_free char *path = xasprintf("%s/%s", fix.dir, name);
	FILE *out = fopen(path, "w");

	ck_assert_ptr_nonnull(out);
	ck_assert_int_ge(fputs(text, out), 0);
	fclose(out);
}

static void
fix_open(void)
{
	cleanup_free char *db = xasprintf("%s/state.db", fix.dir);
	struct front *f = &fix.f;
	struct err e = { 0 };

	memset(f, 0, sizeof(*f));
	ck_assert_int_eq(uv_loop_init(&fix.loop), 0);
	f->loop = &fix.loop;
	f->since_ms = clock_real_ms();
	TAILQ_INIT(&f->sandboxes);
	cleanup_free char *conf = xasprintf("%s/sbxd.toml", fix.dir);
	ck_assert_msg(config_load(conf, NULL, &f->cfg, &e) == 0, "%s", e.text);
	ck_assert_msg(store_open(db, &f->store, &e) == 0, "%s", e.text);
	ck_assert_msg(events_open(f, &f->events, &e) == 0, "%s", e.text);
	poolrun_new(f);
}

static void
fix_close(void)
{
	struct front *f = &fix.f;
	struct sandbox *sb;

	poolrun_free(f);
	while ((sb = TAILQ_FIRST(&f->sandboxes)) != NULL) {
		registry_remove(sb);
		sb_unref(sb);
	}
	jobs_done();
	events_close(f->events);
	store_close(f->store);
	while (uv_run(&fix.loop, UV_RUN_NOWAIT) != 0)
		continue;
	ck_assert_int_eq(uv_loop_close(&fix.loop), 0);
	config_free(f->cfg);
}

static void
fix_start(void)
{
	char conf[256];

	strcpy(fix.dir, "/tmp/sbx-front-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fix.dir));
	snprintf(conf, sizeof(conf),
	    "[server]\ndata_dir = \"%s\"\nrun_dir = \"%s\"\n"
	    "[pool]\nmin_base = 0\n",
	    fix.dir, fix.dir);
	fix_write("sbxd.toml", conf);
	fix_open();
}

static void
fix_end(void)
{
	struct dirent *d;
	DIR *dir;

	fix_close();
	dir = opendir(fix.dir);
	while ((d = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	closedir(dir);
	(void)rmdir(fix.dir);
}

/* A stopped one, so that nothing is asked of a broker. */
static struct sandbox *
fix_sandbox(const char *name, uid_t uid)
{
	struct sandbox *sb = sb_new(&fix.f, NULL);
	struct err e;

	str_copy(sb->name, name, sizeof(sb->name));
	snprintf(sb->owner, sizeof(sb->owner), "uid:%u", uid);
	sb->uid = sb->gid = uid;
	sb->state = SB_STOPPED;
	str_copy(sb->profile, "default", sizeof(sb->profile));
	str_copy(sb->image, "host", sizeof(sb->image));
	str_copy(sb->runtime, "native", sizeof(sb->runtime));
	str_copy(sb->network, "none", sizeof(sb->network));
	sb->limits = config_profile(fix.f.cfg, "default")->limits;
	registry_add(sb);
	ck_assert_int_eq(sb_store(sb, &e), 0);
	return sb;
}

/* Around each test; may be changed before fix_main. */
static void (*fix_before)(void) = fix_start;
static void (*fix_after)(void) = fix_end;

/* The whole of a test program. */
static int
fix_main(const char *module, const TTest *const *tests, size_t n)
{
	Suite *suite = suite_create("daemon");
	TCase *c = tcase_create(module);
	size_t i;

	tcase_add_checked_fixture(c, fix_before, fix_after);
	tcase_set_timeout(c, 60);
	for (i = 0; i < n; i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(suite, c);
	return unit_run(suite);
}

#endif
