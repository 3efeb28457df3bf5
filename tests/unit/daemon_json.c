/*
 * Strings that are written into JSON without a tree: what jansson reads of
 * them are the same bytes, and nothing that is no UTF-8 gets in.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/json.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static void
comes_back(const char *p, size_t n)
{
	cleanup_buf struct buf b = BUF_INIT;
	json_t *j;

	ck_assert_int_eq(buf_adds(&b, "["), 0);
	ck_assert_int_eq(json_add_string(&b, p, n), 0);
	ck_assert_int_eq(buf_adds(&b, "]"), 0);
	j = json_loadb(b.data, b.len, JSON_ALLOW_NUL, NULL);
	ck_assert_ptr_nonnull(j);
	ck_assert_uint_eq(json_string_length(json_array_get(j, 0)), n);
	ck_assert_mem_eq(json_string_value(json_array_get(j, 0)), p, n);
	json_decref(j);
}

START_TEST(every_character_comes_back)
{
	char text[128 + 1];

	for (int c = 0; c < 128; c++)
		text[c] = (char)c;
	for (size_t n = 0; n <= 128; n++) {
		comes_back(text, n);
		comes_back(text + n, 128 - n);
	}
	comes_back("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9);
}
END_TEST

/* Four-byte characters at every place, over the ends of blocks. */
START_TEST(long_texts_come_back)
{
	const size_t n = 20000;
	cleanup_free char *text = xmalloc(n);

	for (size_t shift = 0; shift < 4; shift++) {
		memset(text, '\\', n);
		for (size_t i = shift; i + 4 <= n; i += 4)
			memcpy(text + i, "\xf0\x9f\x98\x80", 4);
		comes_back(text, n);
		memset(text, '\1', n);
		comes_back(text, n);
	}
}
END_TEST

START_TEST(what_is_no_utf8_leaves_nothing)
{
	static const char *const bad[] = { "\x80", "abc\xff", "\xc3",
		"\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80" };
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_free char *text = xmalloc(9000);

	ck_assert_int_eq(buf_adds(&b, "x"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(
		    json_add_string(&b, bad[i], strlen(bad[i])), -EINVAL);
		ck_assert_str_eq(buf_str(&b), "x");
	}
	memset(text, 'a', 9000);
	text[8999] = '\xff';
	ck_assert_int_eq(json_add_string(&b, text, 9000), -EINVAL);
	ck_assert_str_eq(buf_str(&b), "x");
	buf_limit(&b, 5000);
	ck_assert_int_eq(json_add_string(&b, text, 8999), -EMSGSIZE);
	ck_assert_str_eq(buf_str(&b), "x");
}
END_TEST

START_TEST(base64_is_as_specified)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd", "//79" }, { "\xfb", "+w==" } };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		cleanup_buf struct buf b = BUF_INIT;

		ck_assert_int_eq(
		    json_add_base64(&b, pairs[i][0], strlen(pairs[i][0])), 0);
		ck_assert_str_eq(buf_str(&b), pairs[i][1]);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { every_character_comes_back,
		long_texts_come_back, what_is_no_utf8_leaves_nothing,
		base64_is_as_specified };
	Suite *s = suite_create("daemon");

	UNIT_ADD(s, "json", tests);
	return unit_run(s);
}
