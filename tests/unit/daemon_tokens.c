/*
 * Tokens: who is let in, and how often one may be wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tokens.h"
#include "tests/unit/unit.h"

#define GOOD "Bearer 0123456789abcdef"
#define HERS "Bearer abcdefabcdefabcdef"
#define BAD "Bearer 0123456789abcdeg"

static struct tokens *t;

/* n times that text. */
static int
load_file(const char *text, int n, struct err *e)
{
	char path[] = "/tmp/tokens.XXXXXX";
	int fd = mkstemp(path), r;

	ck_assert_int_ge(fd, 0);
	while (n-- > 0)
		ck_assert_int_eq(
		    write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(close(fd), 0);
	r = tokens_load(path, &t, e);
	ck_assert_int_eq(unlink(path), 0);
	return r;
}

static void
load(void)
{
	struct err e;

	ck_assert_int_eq(
	    load_file("0123456789abcdef\nabcdefabcdefabcdef alice\n", 1, &e),
	    0);
}

static void
unload(void)
{
	tokens_free(t);
}

/* Shown by 10.0.(n / 256).n, or by 2001:db8::n of the 64 bits net. */
static int
shown(unsigned n, const char *token, int64_t now_ms)
{
	unsigned char from[16] = { [10] = 0xff,
		0xff,
		10,
		0,
		(unsigned char)(n >> 8),
		(unsigned char)n };
	const char *identity = "none";
	int r = tokens_admit(t, token, from, now_ms, &identity);

	if (r == 0 && strstr(token, &GOOD[7]) != NULL)
		ck_assert_ptr_null(identity);
	else
		ck_assert_str_eq(identity, r == 0 ? "alice" : "none");
	return r;
}

static int
shown_v6(unsigned char net, unsigned char n, const char *token)
{
	unsigned char from[16] = { 0x20, 1, 0xd, 0xb8, [7] = net, [15] = n };
	const char *identity;

	return tokens_admit(t, token, from, 0, &identity);
}

static void
guess(unsigned n, int64_t now_ms)
{
	for (int i = 0; i < TOKENS_WRONG_MAX; i++)
		ck_assert_int_eq(shown(n, BAD, now_ms), -EACCES);
}

/* The last of them would be half a token, and let in who has that half. */
START_TEST(a_file_is_read_whole_or_not_at_all)
{
	struct err e;

	tokens_free(t);
	t = NULL;
	ck_assert_int_eq(
	    load_file("abcdefabcdefabcdefabcde\n", (1 << 20) / 24 + 1, &e), -1);
	ck_assert_int_eq(e.code, EFBIG);
}
END_TEST

START_TEST(who_has_a_token_is_let_in)
{
	ck_assert_int_eq(shown(1, GOOD, 0), 0);
	ck_assert_int_eq(shown(1, HERS, 0), 0);
	ck_assert_int_eq(shown(1, "bearer   0123456789abcdef", 0) +
		shown(1, BAD, 0) + shown(1, "Basic 0123456789abcdef", 0) +
		shown(1, "Bearer ", 0) + shown(1, NULL, 0),
	    -4 * EACCES);
}
END_TEST

START_TEST(who_is_wrong_too_often_has_to_wait)
{
	guess(1, 1000);
	ck_assert_int_eq(shown(1, BAD, 1000), -EAGAIN);
	ck_assert_int_eq(shown(1, GOOD, 1000), -EAGAIN);
	ck_assert_int_eq(shown(2, BAD, 1000), -EACCES);
	ck_assert_int_eq(shown(2, GOOD, 1000), 0);
	/* what was refused unseen does not make it longer */
	ck_assert_int_eq(shown(1, GOOD, 1000 + TOKENS_WAIT_MS - 1), -EAGAIN);
	ck_assert_int_eq(shown(1, GOOD, 1000 + TOKENS_WAIT_MS), 0);
	guess(1, 1000 + TOKENS_WAIT_MS);
	ck_assert_int_eq(shown(1, HERS, 1000 + TOKENS_WAIT_MS), -EAGAIN);
}
END_TEST

START_TEST(who_shows_none_guesses_nothing)
{
	for (int i = 0; i < 3 * TOKENS_WRONG_MAX; i++)
		ck_assert_int_eq(shown(1, NULL, 0), -EACCES);
	ck_assert_int_eq(shown(1, GOOD, 0), 0);
}
END_TEST

START_TEST(a_token_seen_from_there_is_let_in_nevertheless)
{
	ck_assert_int_eq(shown(1, GOOD, 0), 0);
	guess(1, 0);
	ck_assert_int_eq(shown(1, GOOD, 0), 0);
	ck_assert_int_eq(shown(1, HERS, 0), -EAGAIN);
	/* and is forgotten there when it was shown in many other places */
	for (unsigned n = 2; n < 20; n++)
		ck_assert_int_eq(shown(n, GOOD, 0), 0);
	ck_assert_int_eq(shown(1, GOOD, 0), -EAGAIN);
}
END_TEST

START_TEST(an_ipv6_network_is_one)
{
	for (unsigned char n = 0; n < TOKENS_WRONG_MAX; n++)
		ck_assert_int_eq(shown_v6(1, n, BAD), -EACCES);
	ck_assert_int_eq(shown_v6(1, 77, GOOD), -EAGAIN);
	ck_assert_int_eq(shown_v6(2, 77, GOOD), 0);
}
END_TEST

START_TEST(so_many_are_remembered)
{
	guess(0, 0);
	for (unsigned n = 1; n < TOKENS_ADDRESSES_MAX; n++)
		ck_assert_int_eq(shown(n, BAD, 1), -EACCES);
	ck_assert_int_eq(shown(0, GOOD, 1), -EAGAIN);
	ck_assert_int_eq(shown(60000, BAD, 1), -EACCES);
	ck_assert_int_eq(shown(0, GOOD, 1), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { who_has_a_token_is_let_in,
		who_is_wrong_too_often_has_to_wait,
		who_shows_none_guesses_nothing,
		a_token_seen_from_there_is_let_in_nevertheless,
		an_ipv6_network_is_one, so_many_are_remembered,
		a_file_is_read_whole_or_not_at_all };
	Suite *s = suite_create("daemon");

	UNIT_ADD_IN(s, "tokens", tests, load, unload);
	return unit_run(s);
}
