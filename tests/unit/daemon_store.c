/*
 * The store: rows and numbers that are there again after a reopen, and files
 * that cannot be one.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/sbx-store-XXXXXX";
static char path[64];

static void
make_dir(void)
{
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
}

static void
remove_dir(void)
{
	static const char *const names[] = { "state.db", "state.db-wal",
		"state.db-shm" };
	char p[80];
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(p, sizeof(p), "%s/%s", dir, names[i]);
		(void)unlink(p);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct store *
open_ok(void)
{
	struct store *s = NULL;
	struct err e = { 0 };

	ck_assert_msg(store_open(path, &s, &e) == 0, "%s", e.text);
	return s;
}

static struct sandbox *
example(const char *id)
{
	struct sandbox *sb = xcalloc(1, sizeof(*sb));

	str_copy(sb->id, id, sizeof(sb->id));
	str_copy(sb->name, "web", sizeof(sb->name));
	sb->state = SB_PAUSED;
	str_copy(sb->owner, "uid:1000", sizeof(sb->owner));
	sb->uid = (uid_t)-1;
	sb->gid = 1000;
	sb->mode = 0750;
	sb->modes = json_pack("{s:[i,i,i]}", "exec", 0660, -1, -1);
	str_copy(sb->image, "host", sizeof(sb->image));
	sb->limits = (struct rt_limits){ 1LL << 40, 1500, 256, 7 };
	sb->ttl_s = -1;
	sb->protect = true;
	sb->labels = json_pack("{s:s}", "k", "it's \"ü\"");
	sb->env = json_pack("{s:s,s:s}", "Z", "1", "A", "a\nb");
	sb->created_ms = 1700000000123;
	sb->next_job = 42;
	return sb;
}

static void
free_one(struct sandbox *sb)
{
	json_decref(sb->modes);
	json_decref(sb->labels);
	json_decref(sb->env);
	json_decref(sb->exposed);
	free(sb);
}

static int
keep(struct sandbox *sb, void *arg)
{
	struct sandbox **at = arg;

	while (*at != NULL)
		at++;
	*at = sb;
	return 0;
}

START_TEST(a_row_is_the_same_after_a_reopen)
{
	struct sandbox *sb = example("sbx-1"), *got[4] = { NULL };
	struct store *s = open_ok();
	struct stat st;
	struct err e;

	ck_assert_int_eq(store_put(s, sb, &e), 0);
	store_close(s);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	s = open_ok();
	ck_assert_int_eq(store_each(s, keep, got, &e), 0);
	ck_assert_ptr_nonnull(got[0]);
	ck_assert_ptr_null(got[1]);
	ck_assert_str_eq(got[0]->name, "web");
	ck_assert_int_eq(got[0]->state, SB_PAUSED);
	ck_assert_uint_eq(got[0]->uid, (uid_t)-1);
	ck_assert_int_eq(got[0]->mode, 0750);
	ck_assert_int_eq(got[0]->limits.memory_bytes, 1LL << 40);
	ck_assert_int_eq(got[0]->limits.storage_bytes, 7);
	ck_assert_int_eq(got[0]->ttl_s, -1);
	ck_assert(got[0]->protect && !got[0]->held);
	ck_assert_int_eq(got[0]->next_job, 42);
	ck_assert_int_eq(got[0]->created_ms, 1700000000123);
	ck_assert(json_equal(got[0]->modes, sb->modes));
	ck_assert(json_equal(got[0]->labels, sb->labels));
	ck_assert_str_eq(
	    json_object_iter_key(json_object_iter(got[0]->env)), "Z");
	free_one(got[0]);
	free_one(sb);
	store_close(s);
}
END_TEST

START_TEST(a_second_put_replaces_and_delete_deletes)
{
	struct sandbox *a = example("sbx-a"), *b = example("sbx-b");
	struct sandbox *got[4] = { NULL };
	struct store *s = open_ok();
	struct err e;

	b->created_ms--; /* the older comes first */
	ck_assert_int_eq(store_put(s, a, &e), 0);
	ck_assert_int_eq(store_put(s, b, &e), 0);
	str_copy(a->name, "other", sizeof(a->name));
	ck_assert_int_eq(store_put(s, a, &e), 0);
	ck_assert_int_eq(store_each(s, keep, got, &e), 0);
	ck_assert_str_eq(got[0]->id, "sbx-b");
	ck_assert_str_eq(got[1]->name, "other");
	ck_assert_ptr_null(got[2]);
	free_one(got[0]);
	free_one(got[1]);
	ck_assert_int_eq(store_delete(s, "sbx-a", &e), 0);
	ck_assert_int_eq(store_delete(s, "sbx-b", &e), 0);
	ck_assert_int_eq(store_delete(s, "sbx-b", &e), 0);
	memset(got, 0, sizeof(got));
	ck_assert_int_eq(store_each(s, keep, got, &e), 0);
	ck_assert_ptr_null(got[0]);
	free_one(a);
	free_one(b);
	store_close(s);
}
END_TEST

START_TEST(numbers_are_kept)
{
	struct store *s = open_ok();
	struct err e;

	ck_assert_int_eq(store_get_meta(s, "seq", -7), -7);
	ck_assert_int_eq(store_set_meta(s, "seq", 1LL << 50, &e), 0);
	ck_assert_int_eq(store_set_meta(s, "seq", (1LL << 50) + 1, &e), 0);
	store_close(s);
	s = open_ok();
	ck_assert_int_eq(store_get_meta(s, "seq", 0), (1LL << 50) + 1);
	store_close(s);
}
END_TEST

static void
write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(a_file_that_is_no_store_is_named)
{
	struct store *s = NULL;
	struct err e;

	write_file("this is not a database, and it is longer than a header of "
		   "one, which has a hundred bytes, as everybody knows.\n");
	ck_assert_int_eq(store_open(path, &s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, path));
	ck_assert_ptr_nonnull(strstr(e.text, "no database"));
	ck_assert_ptr_null(s);
	(void)unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(store_open(path, &s, &e), -1);
	ck_assert_int_eq(e.code, EISDIR);
	ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

static void
with_sqlite(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

START_TEST(a_newer_schema_is_refused)
{
	struct store *s = NULL;
	struct err e;

	store_close(open_ok());
	with_sqlite("PRAGMA user_version = 99");
	ck_assert_int_eq(store_open(path, &s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "newer sbxd (schema 99"));
}
END_TEST

START_TEST(a_damaged_row_is_named)
{
	struct sandbox *sb = example("sbx-1"), *got[2] = { NULL };
	struct store *s = open_ok();
	struct err e;

	ck_assert_int_eq(store_put(s, sb, &e), 0);
	store_close(s);
	with_sqlite("UPDATE sandbox SET labels = '[1'");
	s = open_ok();
	ck_assert_int_eq(store_each(s, keep, got, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "sbx-1: bad labels"));
	ck_assert_ptr_null(got[0]);
	free_one(sb);
	store_close(s);
}
END_TEST

START_TEST(a_store_has_one_user)
{
	struct store *s = NULL;
	sqlite3 *db;
	struct err e;

	store_close(open_ok());
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(
	    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(store_open(path, &s, &e), -1);
	ck_assert_int_eq(e.code, EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "locked"));
	ck_assert_int_eq(
	    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	s = open_ok();
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(
	    sqlite3_exec(db, "SELECT * FROM meta", NULL, NULL, NULL),
	    SQLITE_BUSY);
	sqlite3_close(db);
	store_close(s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon");
	TCase *c = tcase_create("store");

	tcase_add_checked_fixture(c, make_dir, remove_dir);
	tcase_add_test(c, a_row_is_the_same_after_a_reopen);
	tcase_add_test(c, a_second_put_replaces_and_delete_deletes);
	tcase_add_test(c, numbers_are_kept);
	tcase_add_test(c, a_file_that_is_no_store_is_named);
	tcase_add_test(c, a_newer_schema_is_refused);
	tcase_add_test(c, a_damaged_row_is_named);
	tcase_add_test(c, a_store_has_one_user);
	suite_add_tcase(suite, c);
	return unit_run(suite);
}
