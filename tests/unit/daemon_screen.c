/* The byte screen before the HTTP parser. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/screen.h"
#include "tests/unit/unit.h"

#define HEAD "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/* What came of a whole message: the bytes that passed, and how it ended. */
struct seen {
	char pass[65536];
	size_t n, used;
	int status; /* 0: not refused */
	bool done;
};

/* Feeds all of p in pieces of at most step bytes; body: see screen_body. */
static void
feed(struct seen *seen, const char *p, size_t n, size_t step, int64_t body)
{
	struct screen s;
	bool told = false;

	memset(seen, 0, sizeof(*seen));
	screen_init(&s);
	while (seen->used < n && !s.done) {
		size_t left = n - seen->used, used;
		enum screen_verdict v = screen_feed(
		    &s, p + seen->used, left < step ? left : step, &used);

		if (v == SCREEN_BAD) {
			seen->status = s.status;
			ck_assert_ptr_nonnull(s.text);
			return;
		}
		ck_assert_uint_gt(used, 0);
		if (v == SCREEN_PASS) {
			memcpy(seen->pass + seen->n, p + seen->used, used);
			seen->n += used;
		}
		seen->used += used;
		if (s.head_done && !told)
			screen_body(&s, body);
		told = s.head_done;
	}
	seen->done = s.done;
}

static struct seen seen;

START_TEST(a_head_passes_as_it_is)
{
	feed(&seen, HEAD "GET /next", sizeof(HEAD) + 8, 1000, 0);
	ck_assert_int_eq(seen.status, 0);
	ck_assert(seen.done);
	ck_assert_uint_eq(seen.used, strlen(HEAD));
	ck_assert_mem_eq(seen.pass, HEAD, strlen(HEAD));
}
END_TEST

START_TEST(a_body_ends_where_its_length_says)
{
	feed(&seen, HEAD "helloGET /", strlen(HEAD) + 10, 1000, 5);
	ck_assert(seen.done);
	ck_assert_uint_eq(seen.used, strlen(HEAD) + 5);
}
END_TEST

START_TEST(extensions_and_trailers_are_dropped)
{
	static const char in[] = HEAD "5;a=\"b\"\r\nhello\r\n0;x\r\nA: b\r\n"
				      "Host: evil\r\n\r\nmore";
	static const char out[] = HEAD "5\r\nhello\r\n0\r\n\r\n";

	for (size_t step = 1; step <= sizeof(in); step++) {
		feed(&seen, in, sizeof(in) - 1, step, -1);
		ck_assert_int_eq(seen.status, 0);
		ck_assert(seen.done);
		ck_assert_uint_eq(seen.used, sizeof(in) - 5);
		ck_assert_uint_eq(seen.n, sizeof(out) - 1);
		ck_assert_mem_eq(seen.pass, out, sizeof(out) - 1);
	}
}
END_TEST

START_TEST(empty_lines_before_a_request_are_dropped)
{
	feed(&seen, "\r\n\r\n" HEAD, strlen(HEAD) + 4, 1, 0);
	ck_assert(seen.done);
	ck_assert_uint_eq(seen.n, strlen(HEAD));
	feed(&seen, "\r\n\r\n\r\n" HEAD, strlen(HEAD) + 6, 1, 0);
	ck_assert_int_eq(seen.status, 400);
}
END_TEST

START_TEST(the_last_chunk_may_have_many_zeros)
{
	static const char in[] = HEAD "000000000000005\r\nhello\r\n00\r\n\r\n";

	feed(&seen, in, sizeof(in) - 1, 1000, -1);
	ck_assert(seen.done);
	ck_assert_uint_eq(seen.used, sizeof(in) - 1);
}
END_TEST

/* Each byte in each place of a head: only what RFC 9112 allows passes. */
START_TEST(each_byte_in_each_place)
{
	static const struct {
		const char *before, *after, *also; /* besides token bytes */
		int low, high;			   /* or all of these */
	} places[] = {
		{ "GE", "T / HTTP/1.1\r\n\r\n", " ", 0x20, 0x7e },
		{ "GET /", " HTTP/1.1\r\n\r\n", " ", 0x20, 0x7e },
		{ "GET / HTTP/1.1\r\nA", ": b\r\n\r\n", ":", 0, 0 },
		{ "GET / HTTP/1.1\r\nA: ", "b\r\n\r\n", "\t", 0x20, 0x7e },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (int c = 0; c < 256; c++) {
			char text[64];
			size_t n = strlen(places[i].before);
			bool good = (c >= '0' && c <= '9') ||
			    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c != 0 && strchr("!#$%&'*+-.^_`|~", c)) ||
			    (c != 0 && strchr(places[i].also, c)) ||
			    (c != 0 && c >= places[i].low &&
				c <= places[i].high) ||
			    (i == 3 && c >= 0x80);

			memcpy(text, places[i].before, n);
			text[n++] = (char)c;
			strcpy(text + n, places[i].after);
			feed(&seen, text, n + strlen(places[i].after), 1000, 0);
			ck_assert_msg(seen.done == good,
			    "place %zu, byte 0x%02x: %d", i, c, seen.status);
		}
	}
}
END_TEST

static char *
repeat(const char *before, char c, size_t n, const char *after)
{
	size_t at = strlen(before);
	char *text = malloc(at + n + strlen(after) + 1);

	memcpy(text, before, at);
	memset(text + at, c, n);
	strcpy(text + at + n, after);
	return text;
}

START_TEST(limits_hold_to_the_byte)
{
	static const struct {
		const char *before, *after;
		size_t most;
		int status;
		int64_t body;
	} rows[] = {
		{ "GET /", " HTTP/1.1\r\n\r\n", SCREEN_LINE_MAX - 14, 414, 0 },
		{ "GET / HTTP/1.1\r\nA:", "\r\n\r\n", SCREEN_LINE_MAX - 2, 431,
		    0 },
		{ HEAD "1;", "\r\nx\r\n0\r\n\r\n", SCREEN_EXTRA_MAX - 1, 400,
		    -1 },
		{ HEAD "0\r\nA:", "\r\n\r\n", SCREEN_EXTRA_MAX - 4, 431, -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t over = 0; over < 2; over++) {
			char *text = repeat(rows[i].before, 'a',
			    rows[i].most + over, rows[i].after);

			feed(&seen, text, strlen(text), 100000, rows[i].body);
			ck_assert_msg(
			    seen.status == (over ? rows[i].status : 0),
			    "row %zu, over %zu: %d", i, over, seen.status);
			ck_assert(over || seen.done);
			free(text);
		}
	}
}
END_TEST

START_TEST(fields_are_counted)
{
	char text[4096] = "GET / HTTP/1.1\r\n";

	for (int i = 0; i < SCREEN_FIELDS_MAX; i++)
		strcat(text, "A: b\r\n");
	feed(&seen, text, strlen(text), 1000, 0);
	ck_assert_int_eq(seen.status, 0);
	strcat(text, "A: b\r\n");
	feed(&seen, text, strlen(text), 1000, 0);
	ck_assert_int_eq(seen.status, 431);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("daemon");
	TCase *t = tcase_create("screen");

	tcase_add_test(t, a_head_passes_as_it_is);
	tcase_add_test(t, a_body_ends_where_its_length_says);
	tcase_add_test(t, extensions_and_trailers_are_dropped);
	tcase_add_test(t, empty_lines_before_a_request_are_dropped);
	tcase_add_test(t, the_last_chunk_may_have_many_zeros);
	tcase_add_test(t, each_byte_in_each_place);
	tcase_add_test(t, limits_hold_to_the_byte);
	tcase_add_test(t, fields_are_counted);
	suite_add_tcase(s, t);
	return unit_run(s);
}
