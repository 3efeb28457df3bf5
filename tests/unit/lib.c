/*
 * err, mem, buf, size, log, utf8: the modules without a program of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "lib/utf8.h"
#include "tests/unit/unit.h"

/*** err ***/

START_TEST(an_error_names_the_object_and_the_errno)
{
	struct err e;

	ck_assert_int_eq(err_set(&e, ENOENT, "open %s", "x"), -1);
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_str_eq(e.text, "open x: No such file or directory");
}
END_TEST

START_TEST(an_error_without_errno_is_the_sentence_alone)
{
	struct err e;

	ck_assert_int_eq(err_setx(&e, EINVAL, "name %s is taken", "x"), -1);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_str_eq(e.text, "name x is taken");
}
END_TEST

START_TEST(an_error_on_its_way_up_gets_more_names_and_keeps_its_code)
{
	struct err e;

	err_set(&e, ENOSPC, "unpack %s", "y");
	ck_assert_int_eq(err_wrap(&e, "image %s", "x"), -1);
	ck_assert_int_eq(e.code, ENOSPC);
	ck_assert_str_eq(e.text, "image x: unpack y: No space left on device");
}
END_TEST

START_TEST(an_error_too_long_for_its_text_is_cut)
{
	char name[1000];
	struct err e;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	err_set(&e, EIO, "open %s", name);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, "%s", name);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
	ck_assert_int_eq(e.code, EIO);
}
END_TEST

/*** mem ***/

START_TEST(a_text_that_fits_is_copied_whole)
{
	char to[4];

	ck_assert(str_copy(to, "abc", sizeof(to)));
	ck_assert_str_eq(to, "abc");
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_cut_and_said_to_be)
{
	char to[4] = "xxx", *none = to;

	ck_assert(!str_copy(to, "abcd", sizeof(to)));
	ck_assert_str_eq(to, "abc");
	ck_assert(!str_copy(none, "a", 0));
	ck_assert_str_eq(to, "abc");
}
END_TEST

START_TEST(memory_of_no_bytes_is_still_memory)
{
	void *a = xmalloc(0), *b = xcalloc(0, 8), *c = xrealloc(NULL, 0, 0);

	ck_assert(a != NULL && b != NULL && c != NULL);
	free(a);
	free(b);
	free(c);
}
END_TEST

START_TEST(a_taken_pointer_is_not_freed_where_it_was)
{
	cleanup_free char *here = xstrdup("x");
	char *there = steal_ptr(&here);

	ck_assert_ptr_null(here);
	ck_assert_str_eq(there, "x");
	free(there);
}
END_TEST

START_TEST(an_impossible_size_ends_the_program)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)xrealloc(NULL, SIZE_MAX / 2, 4);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

/*** buf ***/

START_TEST(an_empty_buffer_is_an_empty_text)
{
	struct buf b = BUF_INIT;
	char *s;

	ck_assert_str_eq(buf_str(&b), "");
	buf_clear(&b);
	buf_cut(&b, 0);
	buf_consume(&b, 0);
	s = buf_steal(&b);
	ck_assert_str_eq(s, "");
	free(s);
	buf_done(&b);
}
END_TEST

START_TEST(what_is_added_follows_what_is_there)
{
	struct buf b = BUF_INIT;

	ck_assert_int_eq(buf_add(&b, "ab", 2), 0);
	ck_assert_int_eq(buf_adds(&b, "cd"), 0);
	ck_assert_int_eq(buf_addf(&b, "%d-%s", 5, "e"), 0);
	ck_assert_uint_eq(b.len, 7);
	ck_assert_str_eq(buf_str(&b), "abcd5-e");
	buf_done(&b);
}
END_TEST

START_TEST(a_buffer_holds_nul_bytes)
{
	struct buf b = BUF_INIT;

	buf_add(&b, "a\0b", 3);
	buf_add(&b, NULL, 0);
	ck_assert_uint_eq(b.len, 3);
	ck_assert_mem_eq(b.data, "a\0b\0", 4);
	buf_done(&b);
}
END_TEST

START_TEST(a_buffer_is_filled_to_its_maximum_and_no_further)
{
	struct buf b = BUF_INIT;

	buf_limit(&b, 4);
	ck_assert_int_eq(buf_adds(&b, "abcd"), 0);
	ck_assert_int_eq(buf_adds(&b, "e"), -EMSGSIZE);
	ck_assert_int_eq(buf_addf(&b, "%d", 5), -EMSGSIZE);
	ck_assert_str_eq(buf_str(&b), "abcd");
	buf_consume(&b, 2);
	ck_assert_int_eq(buf_adds(&b, "ef"), 0);
	ck_assert_int_eq(buf_adds(&b, "g"), -EMSGSIZE);
	ck_assert_str_eq(buf_str(&b), "cdef");
	buf_done(&b);
}
END_TEST

START_TEST(a_size_that_would_overflow_is_over_the_maximum)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "abc");
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX, NULL), -EMSGSIZE);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 3, NULL), -EMSGSIZE);
	ck_assert_str_eq(buf_str(&b), "abc");
	buf_done(&b);
}
END_TEST

START_TEST(without_a_limit_the_default_holds)
{
	struct buf b = BUF_INIT;

	ck_assert_int_eq(buf_reserve(&b, BUF_MAX_DEFAULT, NULL), 0);
	ck_assert_int_eq(buf_reserve(&b, BUF_MAX_DEFAULT + 1, NULL), -EMSGSIZE);
	buf_done(&b);
}
END_TEST

START_TEST(the_limit_outlives_what_the_buffer_held)
{
	struct buf b = BUF_INIT;

	buf_limit(&b, 2);
	buf_adds(&b, "ab");
	buf_done(&b);
	ck_assert_int_eq(buf_adds(&b, "abc"), -EMSGSIZE);
	buf_adds(&b, "ab");
	free(buf_steal(&b));
	ck_assert_int_eq(buf_adds(&b, "abc"), -EMSGSIZE);
	buf_done(&b);
}
END_TEST

START_TEST(reserved_room_that_is_not_used_is_not_there)
{
	struct buf b = BUF_INIT;
	char *p;

	ck_assert_int_eq(buf_reserve(&b, 100, &p), 0);
	ck_assert_str_eq(buf_str(&b), "");
	buf_adds(&b, "abc");
	buf_consume(&b, 1);
	ck_assert_int_eq(buf_reserve(&b, 5000, &p), 0);
	ck_assert_uint_eq(b.len, 2);
	ck_assert_str_eq(buf_str(&b), "bc");
	memcpy(p, "de", 2);
	buf_grew(&b, 2);
	ck_assert_str_eq(buf_str(&b), "bcde");
	buf_done(&b);
}
END_TEST

START_TEST(consumed_bytes_are_gone_from_the_front)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "abcdef");
	buf_consume(&b, 2);
	ck_assert_str_eq(buf_str(&b), "cdef");
	buf_cut(&b, 3);
	ck_assert_str_eq(buf_str(&b), "cde");
	buf_consume(&b, 3);
	ck_assert_str_eq(buf_str(&b), "");
	ck_assert_uint_eq(b.len, 0);
	buf_done(&b);
}
END_TEST

START_TEST(a_stolen_text_begins_after_what_was_consumed)
{
	struct buf b = BUF_INIT;
	char *s;

	buf_adds(&b, "abc");
	buf_consume(&b, 1);
	s = buf_steal(&b);
	ck_assert_str_eq(s, "bc");
	free(s);
	ck_assert_str_eq(buf_str(&b), "");
	buf_done(&b);
}
END_TEST

/* Against a plain array, with any mix of adding and consuming. */
START_TEST(a_queue_gives_back_what_was_put_in)
{
	static unsigned char want[1 << 20];
	struct buf b = BUF_INIT;
	size_t in = 0, out = 0, n;
	unsigned seed = 1;

	for (n = 0; n < sizeof(want); n++)
		want[n] = (unsigned char)(n * 31 >> 3);
	while (out < sizeof(want)) {
		seed = seed * 1103515245 + 12345;
		n = seed >> 16 & 8191;
		if ((seed & 0x8000) != 0 && in < sizeof(want)) {
			if (n > sizeof(want) - in)
				n = sizeof(want) - in;
			ck_assert_int_eq(buf_add(&b, want + in, n), 0);
			in += n;
		} else {
			if (n > b.len)
				n = b.len;
			if (n != 0)
				ck_assert_mem_eq(b.data, want + out, n);
			buf_consume(&b, n);
			out += n;
		}
		ck_assert_uint_eq(b.len, in - out);
	}
	buf_done(&b);
}
END_TEST

/* It was quadratic once: minutes, not a moment. */
START_TEST(a_long_queue_is_not_moved_for_every_few_bytes)
{
	static char chunk[1 << 20];
	struct buf b = BUF_INIT;
	int i;

	for (i = 0; i < 15; i++)
		ck_assert_int_eq(buf_add(&b, chunk, sizeof(chunk)), 0);
	for (i = 0; i < 1000000; i++) {
		buf_consume(&b, 16);
		ck_assert_int_eq(buf_add(&b, chunk, 16), 0);
	}
	ck_assert_uint_eq(b.len, 15 * sizeof(chunk));
	buf_done(&b);
}
END_TEST

/*** size ***/

static int64_t
size_of(const char *s)
{
	int64_t n = -1;
	int r = size_parse(s, &n);

	return r < 0 ? r : n;
}

static int64_t
ms_of(const char *s)
{
	int64_t n = -1;
	int r = duration_parse(s, &n);

	return r < 0 ? r : n;
}

static int64_t
milli_of(const char *s)
{
	int64_t n = -1;
	int r = milli_parse(s, &n);

	return r < 0 ? r : n;
}

START_TEST(sizes_have_units_of_1024)
{
	ck_assert_int_eq(size_of("0"), 0);
	ck_assert_int_eq(size_of("10"), 10);
	ck_assert_int_eq(size_of("10k"), 10240);
	ck_assert_int_eq(size_of("512M"), 536870912);
	ck_assert_int_eq(size_of("2g"), INT64_C(2147483648));
	ck_assert_int_eq(size_of("1T"), INT64_C(1099511627776));
	ck_assert_int_eq(size_of(" 5m\t"), 5242880);
}
END_TEST

START_TEST(what_is_no_size_is_refused)
{
	static const char *const bad[] = { "", " ", "m", "1.5g", "5mb", "0x10",
		"-5m", "+5", "5 m", "5mm", "ten", "5\n", "1e3", "\xc2\xa0" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(size_of(bad[i]) == -EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(a_size_over_63_bits_does_not_wrap)
{
	ck_assert_int_eq(size_of("9223372036854775807"), INT64_MAX);
	ck_assert_int_eq(size_of("9223372036854775808"), -ERANGE);
	ck_assert_int_eq(size_of("8388607t"), INT64_C(8388607) << 40);
	ck_assert_int_eq(size_of("8388608t"), -ERANGE);
	ck_assert_int_eq(size_of("99999999999999999999999999k"), -ERANGE);
}
END_TEST

START_TEST(an_integer_lies_in_its_range)
{
	int64_t n = 77;

	ck_assert_int_eq(int_parse("-5", -5, 5, &n), 0);
	ck_assert_int_eq(n, -5);
	ck_assert_int_eq(int_parse("6", -5, 5, &n), -ERANGE);
	ck_assert_int_eq(int_parse("-6", -5, 5, &n), -ERANGE);
	ck_assert_int_eq(n, -5);
}
END_TEST

START_TEST(what_is_no_integer_is_refused)
{
	static const char *const bad[] = { "", "-", "--1", "+1", "1a", " 1",
		"1 ", "0x1", "1.0" };
	int64_t n = 77;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(
		    int_parse(bad[i], INT64_MIN, INT64_MAX, &n) == -EINVAL,
		    "%s", bad[i]);
	ck_assert_int_eq(n, 77);
}
END_TEST

START_TEST(cores_are_counted_in_thousandths)
{
	ck_assert_int_eq(milli_of("0"), 0);
	ck_assert_int_eq(milli_of("0.0"), 0);
	ck_assert_int_eq(milli_of("2"), 2000);
	ck_assert_int_eq(milli_of("1.5"), 1500);
	ck_assert_int_eq(milli_of("0.25"), 250);
	ck_assert_int_eq(milli_of("0.001"), 1);
	ck_assert_int_eq(milli_of("1.23456"), 1234);
	ck_assert_int_eq(milli_of("0.50000000000000000000000000000"), 500);
}
END_TEST

START_TEST(so_few_cores_that_they_would_mean_no_limit_are_refused)
{
	ck_assert_int_eq(milli_of("0.0001"), -ERANGE);
	ck_assert_int_eq(milli_of("0.000000001"), -ERANGE);
}
END_TEST

START_TEST(what_is_no_number_of_cores_is_refused)
{
	static const char *const bad[] = { "", ".5", "1.", "-1", "1,5", "1e3",
		"inf", "nan", "1.5.5", "1 " };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(milli_of(bad[i]) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(milli_of("1000001"), -ERANGE);
}
END_TEST

START_TEST(times_are_sums_of_units_or_seconds)
{
	ck_assert_int_eq(ms_of("0"), 0);
	ck_assert_int_eq(ms_of("5"), 5000);
	ck_assert_int_eq(ms_of("300ms"), 300);
	ck_assert_int_eq(ms_of("10s"), 10000);
	ck_assert_int_eq(ms_of("1h30m"), 5400000);
	ck_assert_int_eq(ms_of("1m1s1ms"), 61001);
	ck_assert_int_eq(ms_of("0s"), 0);
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
	static const char *const bad[] = { "", "s", "1x", "1h30", "0s5", "-1s",
		"1.5h", "10 s", "10S", "1hour", " 1s" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(ms_of(bad[i]) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(ms_of("9223372036854775807"), -ERANGE);
	ck_assert_int_eq(ms_of("9223372036854775807h"), -ERANGE);
	ck_assert_int_eq(ms_of("9223372036854775807ms1ms"), -ERANGE);
}
END_TEST

/*** log ***/

static char logged[2 * LOG_LINE_MAX];

/* What a line of the log is, when text is logged. */
static const char *
log_line(const char *text)
{
	int p[2], err = dup(STDERR_FILENO);
	ssize_t n;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_ge(dup2(p[1], STDERR_FILENO), 0);
	close(p[1]);
	log_init("unit", false, false);
	log_warnx("%s", text);
	ck_assert_int_ge(dup2(err, STDERR_FILENO), 0);
	close(err);
	n = fd_read_full(p[0], logged, sizeof(logged) - 1);
	close(p[0]);
	ck_assert_int_ge(n, 0);
	logged[n] = '\0';
	return logged;
}

START_TEST(a_line_of_the_log_begins_with_the_role)
{
	ck_assert_str_eq(
	    log_line("sandbox x: dead"), "unit: sandbox x: dead\n");
}
END_TEST

START_TEST(nobody_forges_a_line_of_the_log)
{
	ck_assert_str_eq(log_line("name a\nunit: b\r\tc"),
	    "unit: name a\\x0aunit: b\\x0d\\x09c\n");
}
END_TEST

START_TEST(nobody_writes_to_our_terminal_through_the_log)
{
	ck_assert_str_eq(
	    log_line("\033[31m\007\177"), "unit: \\x1b[31m\\x07\\x7f\n");
	ck_assert_str_eq(log_line("a\xc2\x9b"
				  "31m"),
	    "unit: a\\xc2\\x9b31m\n");
}
END_TEST

START_TEST(the_log_shows_text_and_escapes_bytes_that_are_none)
{
	ck_assert_str_eq(log_line("gr\xc3\xbc\xc3\x9f \xe2\x82\xac"),
	    "unit: gr\xc3\xbc\xc3\x9f \xe2\x82\xac\n");
	ck_assert_str_eq(log_line("\xff\xc3"), "unit: \\xff\\xc3\n");
}
END_TEST

START_TEST(an_endless_line_of_the_log_is_cut)
{
	static char text[1 << 16];

	memset(text, '\n', sizeof(text) - 1);
	ck_assert_uint_le(strlen(log_line(text)), LOG_LINE_MAX + 64);
	ck_assert(strchr(logged, '\n') == logged + strlen(logged) - 1);
	memset(text, 'a', sizeof(text) - 1);
	ck_assert_uint_le(strlen(log_line(text)), LOG_LINE_MAX + 64);
}
END_TEST

START_TEST(logging_keeps_errno)
{
	errno = EXDEV;
	log_debug("nothing");
	ck_assert_int_eq(errno, EXDEV);
	(void)log_line("x");
	errno = EXDEV;
	log_info("this line belongs to a test");
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

/*** utf8 ***/

#define LENGTH(s) utf8_length(s, sizeof(s) - 1)

START_TEST(characters_are_one_to_four_bytes)
{
	ck_assert_uint_eq(LENGTH("a"), 1);
	ck_assert_uint_eq(utf8_length("", 1), 1);
	ck_assert_uint_eq(LENGTH("\xc3\xbc"), 2);
	ck_assert_uint_eq(LENGTH("\xe2\x82\xac"), 3);
	ck_assert_uint_eq(LENGTH("\xf0\x9f\x90\xa7"), 4);
	ck_assert_uint_eq(LENGTH("\xf4\x8f\xbf\xbf"), 4);
}
END_TEST

START_TEST(what_is_no_character_has_no_length)
{
	ck_assert_uint_eq(LENGTH("\x80"), 0);
	ck_assert_uint_eq(LENGTH("\xff"), 0);
	ck_assert_uint_eq(LENGTH("\xc3"), 0);
	ck_assert_uint_eq(LENGTH("\xc3("), 0);
	ck_assert_uint_eq(LENGTH("\xe2\x82"), 0);
	ck_assert_uint_eq(LENGTH("\xc0\xaf"), 0);
	ck_assert_uint_eq(LENGTH("\xe0\x80\xaf"), 0);
	ck_assert_uint_eq(LENGTH("\xf0\x80\x80\xaf"), 0);
	ck_assert_uint_eq(LENGTH("\xed\xa0\x80"), 0);
	ck_assert_uint_eq(LENGTH("\xf4\x90\x80\x80"), 0);
}
END_TEST

START_TEST(what_moves_a_terminals_cursor_is_not_visible)
{
	static const char *const hidden[] = { "\n", "\x1b", "\x7f", "\xc2\x80",
		"\xc2\x9f", "\xe2\x80\xa8", "\xe2\x80\xae", "\xe2\x81\xa6",
		"\xe2\x81\xa9", "\xff" };
	static const char *const shown[] = { " ", "~", "\xc2\xa0",
		"\xe2\x80\xa7", "\xe2\x80\xaf", "\xe2\x81\xa5", "\xe2\x81\xaa",
		"\xe2\x82\xac", "\xf0\x9f\x90\xa7" };
	size_t i;

	for (i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
		ck_assert_uint_eq(
		    utf8_visible(hidden[i], strlen(hidden[i])), 0);
	for (i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		ck_assert_uint_eq(
		    utf8_visible(shown[i], strlen(shown[i])), strlen(shown[i]));
}
END_TEST

#define VALID(s) utf8_valid(s, sizeof(s) - 1)

START_TEST(text_is_valid_to_its_last_byte)
{
	ck_assert(VALID(""));
	ck_assert(VALID("a\0b\n"));
	ck_assert(VALID("\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xa7"));
	ck_assert(!VALID("a\xff"));
	ck_assert(!VALID("\xc3\xbc\xe2\x82"));
}
END_TEST

int
main(void)
{
	const TTest *const err_tests[] = {
		an_error_names_the_object_and_the_errno,
		an_error_without_errno_is_the_sentence_alone,
		an_error_on_its_way_up_gets_more_names_and_keeps_its_code,
		an_error_too_long_for_its_text_is_cut
	};
	const TTest *const mem_tests[] = { a_text_that_fits_is_copied_whole,
		a_text_that_does_not_fit_is_cut_and_said_to_be,
		memory_of_no_bytes_is_still_memory,
		a_taken_pointer_is_not_freed_where_it_was,
		an_impossible_size_ends_the_program };
	const TTest *const buf_tests[] = { an_empty_buffer_is_an_empty_text,
		what_is_added_follows_what_is_there, a_buffer_holds_nul_bytes,
		a_buffer_is_filled_to_its_maximum_and_no_further,
		a_size_that_would_overflow_is_over_the_maximum,
		without_a_limit_the_default_holds,
		the_limit_outlives_what_the_buffer_held,
		reserved_room_that_is_not_used_is_not_there,
		consumed_bytes_are_gone_from_the_front,
		a_stolen_text_begins_after_what_was_consumed,
		a_queue_gives_back_what_was_put_in,
		a_long_queue_is_not_moved_for_every_few_bytes };
	const TTest *const size_tests[] = { sizes_have_units_of_1024,
		what_is_no_size_is_refused, a_size_over_63_bits_does_not_wrap,
		an_integer_lies_in_its_range, what_is_no_integer_is_refused,
		cores_are_counted_in_thousandths,
		so_few_cores_that_they_would_mean_no_limit_are_refused,
		what_is_no_number_of_cores_is_refused,
		times_are_sums_of_units_or_seconds,
		what_is_no_time_is_refused };
	const TTest *const log_tests[] = {
		a_line_of_the_log_begins_with_the_role,
		nobody_forges_a_line_of_the_log,
		nobody_writes_to_our_terminal_through_the_log,
		the_log_shows_text_and_escapes_bytes_that_are_none,
		an_endless_line_of_the_log_is_cut, logging_keeps_errno
	};
	const TTest *const utf8_tests[] = { characters_are_one_to_four_bytes,
		what_moves_a_terminals_cursor_is_not_visible,
		text_is_valid_to_its_last_byte,
		what_is_no_character_has_no_length };
	Suite *s = suite_create("lib");

	UNIT_ADD(s, "err", err_tests);
	UNIT_ADD(s, "mem", mem_tests);
	UNIT_ADD(s, "buf", buf_tests);
	UNIT_ADD(s, "size", size_tests);
	UNIT_ADD(s, "log", log_tests);
	UNIT_ADD(s, "utf8", utf8_tests);
	return unit_run(s);
}
