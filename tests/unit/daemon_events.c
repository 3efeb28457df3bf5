/*
 * Events and errors: numbers that go on, lines that belong to uids, one line
 * of whatever bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "daemon/errlog.h"
#include "tests/unit/front.h"

static const struct caller root = { .all = true, .identity = "uid:0" };
static const struct caller user = { .uid = 1000, .identity = "uid:1000" };

static char *
read_events(const struct caller *c)
{
	size_t n = (size_t)events_size(&fix.f, c);
	char *p = xmalloc(n + 1);

	ck_assert_int_eq(events_read(&fix.f, c, 0, p, n + 100), (ssize_t)n);
	p[n] = '\0';
	return p;
}

static int
seen(struct subscriber *s)
{
	return *(int *)s->arg;
}

static void
count(struct subscriber *s)
{
	(void)event_last(&fix.f);
	++*(int *)s->arg;
}

START_TEST(a_line_is_as_specified)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	cleanup_free char *text = NULL;
	char name[32], kind[32], rest[32];
	unsigned long seq;
	double when;

	event_add(&fix.f, sb, "job-exit", " job=1 exit=0");
	text = read_events(NULL);
	ck_assert_int_eq(sscanf(text, "%lu %lf %31s %31s %31[^\n]", &seq, &when,
			     name, kind, rest),
	    5);
	ck_assert_uint_eq(seq, 1);
	ck_assert(when > 1.6e9);
	ck_assert_str_eq(name, "web");
	ck_assert_str_eq(kind, "job-exit");
	ck_assert_str_eq(rest, "job=1 exit=0");
}
END_TEST

START_TEST(users_see_their_own)
{
	struct sandbox *mine = fix_sandbox("mine", 1000);
	struct sandbox *theirs = fix_sandbox("theirs", 1001);
	cleanup_free char *all = NULL, *own = NULL;
	char part[4] = "";
	uint64_t n;

	event_add(&fix.f, theirs, "started", "");
	event_add(&fix.f, mine, "started", "");
	event_add(&fix.f, theirs, "stopped", "");
	event_add(&fix.f, mine, "stopped", "");
	all = read_events(&root);
	own = read_events(&user);
	ck_assert_ptr_nonnull(strstr(all, "theirs"));
	ck_assert_ptr_null(strstr(own, "theirs"));
	ck_assert_ptr_nonnull(strstr(own, "mine stopped"));
	n = events_size(&fix.f, &user);
	ck_assert_int_eq(events_read(&fix.f, &user, n - 3, part, 3), 3);
	ck_assert_str_eq(part, "ed\n");
	ck_assert_int_eq(events_read(&fix.f, &user, n, part, 3), 0);
	ck_assert_int_eq(events_read(&fix.f, &user, n + 5, part, 3), 0);
}
END_TEST

START_TEST(numbers_go_on_after_a_restart)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	int i;

	for (i = 0; i < 7; i++)
		event_add(&fix.f, sb, "started", "");
	fix_close();
	fix_open();
	ck_assert_uint_eq(event_last(&fix.f), 7);
	event_add(&fix.f, fix_sandbox("two", 0), "started", "");
	ck_assert_uint_eq(event_last(&fix.f), 8);
}
END_TEST

START_TEST(numbers_are_never_given_twice)
{
	cleanup_free char *path = xasprintf("%s/events", fix.dir);
	struct sandbox *sb = fix_sandbox("web", 0);

	event_add(&fix.f, sb, "started", "");
	fix_close();
	ck_assert_int_eq(truncate(path, 0), 0); /* a power loss */
	fix_open();
	ck_assert_uint_gt(event_last(&fix.f), 1);
}
END_TEST

START_TEST(lines_and_index_are_made_to_agree)
{
	cleanup_free char *path = xasprintf("%s/events", fix.dir);
	struct sandbox *sb = fix_sandbox("web", 1000);
	cleanup_free char *before = NULL, *after = NULL;
	int fd;

	event_add(&fix.f, sb, "started", "");
	before = read_events(&user);
	fix_close();
	fd = open(path, O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(fd, "torn", 4), 4);
	close(fd);
	fix_open();
	after = read_events(&user);
	ck_assert_str_eq(before, after);
	ck_assert_uint_eq(events_size(&fix.f, &root), strlen(before));
}
END_TEST

START_TEST(the_file_is_written_before_anybody_is_told)
{
	cleanup_free char *path = xasprintf("%s/events", fix.dir);
	struct sandbox *sb = fix_sandbox("web", 0);
	struct stat st;
	off_t size;

	event_add(&fix.f, sb, "started", "");
	event_add(&fix.f, sb, "stopped", "");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_uint_eq(event_last(&fix.f), 2);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, events_size(&fix.f, NULL));
	size = st.st_size;
	event_add(&fix.f, sb, "started", "");
	(void)uv_run(&fix.loop, UV_RUN_NOWAIT);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_gt(st.st_size, size);
}
END_TEST

START_TEST(the_ring_is_asked_by_number)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	const struct event *ev;
	uint64_t i, n = 0;

	ck_assert_ptr_null(event_after(&fix.f, 0));
	ck_assert_uint_eq(event_floor(&fix.f), 0);
	for (i = 0; i < 20006; i++)
		event_add(&fix.f, sb, i % 2 != 0 ? "created" : "started", "");
	for (i = 0; (ev = event_after(&fix.f, i)) != NULL; i = ev->seq)
		n++;
	ck_assert_uint_eq(n, 10000);
	ck_assert_uint_eq(event_floor(&fix.f), 6); /* three are gone */
	ck_assert_uint_eq(event_after(&fix.f, 6)->seq, 8);
	ck_assert_uint_eq(event_after(&fix.f, 8)->seq, 10);
	ck_assert_uint_eq(event_after(&fix.f, 9)->seq, 10);
	ev = event_after(&fix.f, 20004);
	ck_assert_str_eq(
	    json_string_value(json_object_get(ev->wire, "sandbox_id")), sb->id);
	ck_assert_str_eq(json_string_value(json_object_get(ev->wire, "type")),
	    "sandbox.created");
	ck_assert_str_eq(json_string_value(json_object_get(
			     json_object_get(ev->wire, "data"), "method")),
	    "cold");
	ck_assert(json_is_null(
	    json_object_get(json_object_get(ev->wire, "data"), "labels")));
	ck_assert_ptr_null(event_after(&fix.f, 20006));
	ck_assert_ptr_null(event_after(&fix.f, 99999));
}
END_TEST

/* How many HTTP can be told from the first on. */
static uint64_t
in_ring(void)
{
	const struct event *ev;
	uint64_t i, n = 0;

	for (i = 0; (ev = event_after(&fix.f, i)) != NULL; i = ev->seq)
		n++;
	return n;
}

START_TEST(the_ring_outlives_a_restart)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	const struct event *ev;
	int i;

	for (i = 0; i < 20; i++)
		event_add(&fix.f, sb, i % 4 == 0 ? "created" : "stopped", "");
	fix_close();
	fix_open();
	ck_assert_uint_eq(in_ring(), 5);
	ck_assert_uint_eq(event_floor(&fix.f), 0);
	ev = event_after(&fix.f, 1);
	ck_assert_uint_eq(ev->seq, 5);
	ck_assert_uint_eq(ev->uid, 1000);
	ck_assert_str_eq(ev->owner, "uid:1000");
	event_add(&fix.f, fix_sandbox("two", 0), "destroyed", "");
	ck_assert_uint_eq(event_after(&fix.f, 17)->seq, 21);
}
END_TEST

START_TEST(what_is_not_whole_is_said_to_be_lost)
{
	cleanup_free char *lines = xasprintf("%s/events.json", fix.dir);
	cleanup_free char *path = xasprintf("%s/events", fix.dir);
	struct sandbox *sb = fix_sandbox("web", 0);
	struct stat st;
	int fd;

	event_add(&fix.f, sb, "created", "");
	event_add(&fix.f, sb, "created", "");
	fix_close();
	/* the last one's line was never written */
	ck_assert_int_eq(stat(lines, &st), 0);
	ck_assert_int_eq(truncate(lines, st.st_size - 1), 0);
	fix_open();
	ck_assert_uint_eq(event_last(&fix.f), 2);
	ck_assert_uint_eq(event_floor(&fix.f), 2);
	ck_assert_uint_eq(in_ring(), 0);
	/* bytes in it are no line of ours */
	event_add(&fix.f, fix_sandbox("two", 0), "created", "");
	fix_close();
	fd = open(lines, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "\0\0\0\0\0\0", 6, 0), 6);
	close(fd);
	fix_open();
	ck_assert_uint_eq(event_floor(&fix.f), 2);
	ck_assert_uint_eq(in_ring(), 1);
	fix_close();
	ck_assert_int_eq(truncate(path, 0), 0); /* a power loss */
	fix_open();
	ck_assert_uint_eq(event_floor(&fix.f), event_last(&fix.f));
	ck_assert_uint_eq(in_ring(), 0);
}
END_TEST

START_TEST(subscribers_hear_once)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	int n = 0;
	struct subscriber s = { .added = count, .arg = &n };

	events_subscribe(&fix.f, &s);
	event_add(&fix.f, sb, "started", "");
	ck_assert_int_eq(seen(&s), 1);
	events_unsubscribe(&fix.f, &s);
	event_add(&fix.f, sb, "stopped", "");
	ck_assert_int_eq(n, 1);
}
END_TEST

START_TEST(a_log_restarts_at_its_maximum)
{
	cleanup_free char *path = xasprintf("%s/small", fix.dir);
	const struct ownlog_view all = { .all = true };
	const struct ownlog_view one = { .uid = 1 };
	struct ownlog *l;
	char p[64] = "";
	struct err e;

	ck_assert_int_eq(ownlog_open(path, 20, &l, &e), 0);
	ck_assert_int_eq(ownlog_last(l, p, sizeof(p)), 0);
	ck_assert_int_eq(ownlog_add(l, 1, "12345678\n", 9), 0);
	ck_assert_int_eq(ownlog_add(l, 2, "abcdefgh\n", 9), 0);
	ck_assert_uint_eq(ownlog_size(l, &all), 18);
	ck_assert_int_eq(ownlog_add(l, 1, "ABC\n", 4), 0);
	ck_assert_uint_eq(ownlog_size(l, &all), 4);
	ck_assert_uint_eq(ownlog_size(l, &one), 4);
	ck_assert_int_eq(ownlog_last(l, p, sizeof(p)), 3);
	ck_assert_str_eq(p, "ABC");
	ownlog_close(l);
}
END_TEST

static void
check_escape(const char *in, bool quoted, const char *want)
{
	cleanup_buf struct buf b = BUF_INIT;

	errlog_escape(&b, in, strlen(in), quoted);
	ck_assert_str_eq(buf_str(&b), want);
}

START_TEST(any_bytes_are_one_line)
{
	check_escape("a\nb\r\033[31m", false, "a\\x0ab\\x0d\\x1b[31m");
	check_escape("say \"x\\y\"", true, "say \\\"x\\\\y\\\"");
	check_escape("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", false,
	    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	check_escape("\xc0\xaf \xed\xa0\x80 \xff \xc3", false,
	    "\\xc0\\xaf \\xed\\xa0\\x80 \\xff \\xc3");
	check_escape("\xc2\x9b"
		     "1m \xe2\x80\xae",
	    false, "\\xc2\\x9b1m \\xe2\\x80\\xae");
}
END_TEST

START_TEST(errors_have_pid_file_sentence_and_command)
{
	cleanup_free char *path = xasprintf("%s/errors", fix.dir);
	struct caller c = user;
	struct errlog_what what = { .caller = &c,
		.file = "web/ctl",
		.cmd = "frob \"1\"\n",
		.cmd_len = 9 };
	struct errlog_what bare = { .caller = &root, .file = "ctl" };
	struct errlog *l = NULL;
	char p[1024] = "";
	struct err e;
	int n = 0;

	ck_assert_int_eq(errlog_open(path, NULL, NULL, &l, &e), 0);
	c.pid = 4711;
	err_setx(&e, EINVAL, "unknown word frob: known are\nx");
	errlog_add(l, &what, &e);
	errlog_add(l, &bare, &e);
	ck_assert_int_gt(errlog_read(l, &user, 0, p, sizeof(p) - 1), 0);
	ck_assert_int_eq(sscanf(p,
			     "%*f pid=4711 web/ctl: unknown word frob: "
			     "known are\\x0ax: \"frob \\\"1\\\"\\x0a\"%n",
			     &n),
	    0);
	ck_assert_int_gt(n, 0);
	ck_assert_ptr_eq(strchr(p, '\n') + 1, p + strlen(p));
	ck_assert_uint_gt(errlog_size(l, &root), strlen(p));
	errlog_add(NULL, &bare, &e);
	errlog_close(l);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { a_line_is_as_specified,
		users_see_their_own, numbers_go_on_after_a_restart,
		numbers_are_never_given_twice,
		lines_and_index_are_made_to_agree,
		the_file_is_written_before_anybody_is_told,
		the_ring_is_asked_by_number, the_ring_outlives_a_restart,
		what_is_not_whole_is_said_to_be_lost, subscribers_hear_once,
		a_log_restarts_at_its_maximum, any_bytes_are_one_line,
		errors_have_pid_file_sentence_and_command };

	return fix_main("events", tests, sizeof(tests) / sizeof(tests[0]));
}
