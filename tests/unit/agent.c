/*
 * agent: frames of its protocol, and the JSON of the program itself, built
 * like the rest for these tests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/frame.h"
#include "agent/json.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/*** Frames ***/

START_TEST(frame_comes_back_as_it_was_sent)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct frame f;
	size_t i;

	ck_assert_int_eq(frame_add(&b, FRAME_BINARY, "x\0y", 3), 0);
	ck_assert_int_eq(frame_add(&b, FRAME_JSON, "{}", 2), 0);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(frame_decode(b.data, i, 10, &f), 0);
	ck_assert_int_eq(frame_decode(b.data, b.len, 10, &f), 8);
	ck_assert_int_eq(f.type, FRAME_BINARY);
	ck_assert_mem_eq(f.data, "x\0y", 3);
	ck_assert_int_eq(frame_decode(b.data + 8, b.len - 8, 10, &f), 7);
	ck_assert_int_eq(f.type, FRAME_JSON);
	ck_assert_uint_eq(f.len, 2);
}
END_TEST

START_TEST(frame_of_an_unknown_type_is_refused_by_its_first_byte)
{
	struct frame f;

	ck_assert_int_eq(frame_decode("\0", 1, 10, &f), -EPROTO);
	ck_assert_int_eq(frame_decode("\4", 1, 10, &f), -EPROTO);
	ck_assert_int_eq(frame_decode("\x81", 1, 10, &f), -EPROTO);
}
END_TEST

START_TEST(frame_too_long_is_refused_by_its_head)
{
	struct frame f;

	ck_assert_int_eq(frame_decode("\1\0\0\0\x0a", 5, 10, &f), 0);
	ck_assert_int_eq(frame_decode("\1\0\0\0\x0b", 5, 10, &f), -EMSGSIZE);
	ck_assert_int_eq(
	    frame_decode("\2\xff\xff\xff\xff", 5, FRAME_MAX_AGENT, &f),
	    -EMSGSIZE);
}
END_TEST

START_TEST(frame_ping_is_one_byte)
{
	struct frame f;

	ck_assert_int_eq(frame_decode("\3\0\0\0\1\0", 6, 10, &f), 6);
	ck_assert_int_eq(frame_decode("\3\0\0\0\0", 5, 10, &f), -EPROTO);
	ck_assert_int_eq(frame_decode("\3\0\0\0\2\0\0", 7, 10, &f), -EPROTO);
}
END_TEST

START_TEST(frame_that_does_not_fit_leaves_the_buffer)
{
	cleanup_buf struct buf b = BUF_INIT;

	buf_limit(&b, 10);
	ck_assert_int_eq(frame_add(&b, FRAME_JSON, "123456", 6), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(frame_add(&b, FRAME_JSON, "12345", 5), 0);
	ck_assert_uint_eq(b.len, 10);
}
END_TEST

/*** Reading ***/

static int
parse(const char *text)
{
	struct json j;
	int r = json_parse(&j, text, strlen(text));

	if (r == 0)
		json_done(&j);
	return r;
}

START_TEST(json_takes_what_the_grammar_takes)
{
	static const char *const good[] = { "{}", "[]", " [ ] ", "[null]",
		"[true]", "[false ]", "[0]", "[-0]", "[1.5e+3]", "[-12E-1]",
		"[\"\"]", "[\"\\u00e9\\n\\/\"]", "[1,[2,[]],{\"a\":{}}]",
		"[\"\xc3\xa9\"]", "[\"\xf0\x9f\x98\x80\"]",
		"{\"a\":1,\"a\":2}" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(parse(good[i]) == 0, "%s", good[i]);
}
END_TEST

START_TEST(json_refuses_all_else)
{
	static const char *const bad[] = { "", " ", "{", "}", "[1", "[1 2]",
		"[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
		"{1:1}", "{\"a\":1 \"b\":2}", "[nul]", "[nulll]", "[True]",
		"[01]", "[1.]", "[.5]", "[+1]", "[1e]", "[-]", "[0x1]", "[\"]",
		"[\"\\x\"]", "[\"\\u12g4\"]", "[\"\\u12\"]", "[\"\n\"]",
		"[\"\t\"]", "['a']", "[\"\xff\"]", "[\"\xc0\x80\"]",
		"[\"\xed\xa0\x80\"]", "[\"\xf4\x90\x80\x80\"]",
		"[\"\xe2\x82\"]", "{}{}", "[]]", "[] 1", "[NaN]", "[/**/1]",
		"1", "\"a\"", "null" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(parse(bad[i]) == -EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(json_refuses_a_nul_byte)
{
	struct json j;

	ck_assert_int_eq(json_parse(&j, "{}\0", 3), -EINVAL);
	ck_assert_int_eq(json_parse(&j, "[\"\0\"]", 5), -EINVAL);
}
END_TEST

START_TEST(json_is_bounded_in_depth_and_number)
{
	size_t n = 2 * JSON_TOKENS_MAX + 1;
	cleanup_free char *text = xmalloc(n + 1);
	size_t i;

	memset(text, '[', 2 * (JSON_DEPTH_MAX + 1));
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	text[2 * JSON_DEPTH_MAX] = '\0';
	ck_assert_int_eq(parse(text), 0);
	memset(text, '[', n);
	text[n] = '\0';
	ck_assert_int_eq(parse(text), -E2BIG);
	for (i = 1; i < n; i++)
		text[i] = i % 2 != 0 ? '1' : ',';
	text[n - 1] = ']';
	ck_assert_int_eq(parse(text), -E2BIG);
	text[n - 3] = ']';
	text[n - 2] = '\0';
	ck_assert_int_eq(parse(text), 0);
}
END_TEST

START_TEST(json_members_are_found_at_their_own_level)
{
	static const char text[] = "{\"a\":{\"b\":1,\"x\":[{\"b\":9}]},"
				   "\"b\":\"two\",\"c\":[10,[11],{},12]}";
	cleanup_json struct json j = { 0 };
	int64_t v = 0;
	char s[8];
	int t, n = 0;

	ck_assert_int_eq(json_parse(&j, text, strlen(text)), 0);
	ck_assert_int_eq(json_kind(&j, 0), JSON_KIND_OBJECT);
	ck_assert_int_eq(json_bytes(&j, json_find(&j, 0, "b"), s), 3);
	ck_assert_str_eq(s, "two");
	t = json_find(&j, 0, "a");
	ck_assert_int_eq(json_int(&j, json_find(&j, t, "b"), &v), 0);
	ck_assert_int_eq(v, 1);
	ck_assert_int_eq(json_find(&j, 0, "x"), -1);
	ck_assert_int_eq(json_find(&j, 0, ""), -1);
	t = json_find(&j, 0, "c");
	ck_assert_int_eq(json_kind(&j, t), JSON_KIND_ARRAY);
	ck_assert_int_eq(json_find(&j, t, "b"), -1);
	for (int i = json_first(&j, t); i >= 0; i = json_next(&j, t, i))
		n++;
	ck_assert_int_eq(n, 4);
	ck_assert_int_eq(json_first(&j, json_first(&j, t) + 3), -1);
}
END_TEST

START_TEST(json_integers_are_exact)
{
	static const char text[] = "[9223372036854775807,-9223372036854775808,"
				   "9223372036854775808,1.0,1e2,\"1\",true,"
				   "99999999999999999999999999]";
	static const int want[] = { 0, 0, -ERANGE, -ERANGE, -ERANGE, -EINVAL,
		-EINVAL, -ERANGE };
	cleanup_json struct json j = { 0 };
	int64_t v = 0;
	size_t i;

	ck_assert_int_eq(json_parse(&j, text, strlen(text)), 0);
	for (i = 0; i < sizeof(want) / sizeof(*want); i++)
		ck_assert_int_eq(json_int(&j, (int)i + 1, &v), want[i]);
	ck_assert_int_eq(json_int(&j, 1, &v), 0);
	ck_assert(v == INT64_MAX);
	ck_assert_int_eq(json_int(&j, 2, &v), 0);
	ck_assert(v == INT64_MIN);
}
END_TEST

/* Decodes a value. */
static long
decode(const char *value, char *to)
{
	cleanup_free char *text = xasprintf("[%s]", value);
	cleanup_json struct json j = { 0 };

	ck_assert_int_eq(json_parse(&j, text, strlen(text)), 0);
	ck_assert_uint_ge(strlen(text), json_room(&j, 1) - 1);
	return json_bytes(&j, 1, to);
}

START_TEST(json_strings_are_decoded)
{
	char s[64];

	ck_assert_int_eq(decode("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", s), 9);
	ck_assert_str_eq(s, "a\"\\/\b\f\n\r\t");
	ck_assert_int_eq(
	    decode("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", s), 10);
	ck_assert_str_eq(s, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	ck_assert_int_eq(decode("\"\\u0000x\"", s), 2);
	ck_assert_int_eq(decode("\"\\ud83d\"", s), -EINVAL);
	ck_assert_int_eq(decode("\"\\ude00\\ud83d\"", s), -EINVAL);
	ck_assert_int_eq(decode("\"\\ud83dxudddd\"", s), -EINVAL);
	ck_assert_int_eq(decode("{\"base64\":\"\"}", s), 0);
	ck_assert_int_eq(decode("{\"base64\":\"/w==\"}", s), 1);
	ck_assert_str_eq(s, "\xff");
	ck_assert_int_eq(decode("{\"base64\":\"//4=\"}", s), 2);
	ck_assert_int_eq(decode("{\"base64\":\"//79\"}", s), 3);
	ck_assert_str_eq(s, "\xff\xfe\xfd");
	ck_assert_int_eq(decode("{\"base64\":\"/w=\"}", s), -EINVAL);
	ck_assert_int_eq(decode("{\"base64\":\"/===\"}", s), -EINVAL);
	ck_assert_int_eq(decode("{\"base64\":\"=/w=\"}", s), -EINVAL);
	ck_assert_int_eq(decode("{\"base64\":1}", s), -EINVAL);
	ck_assert_int_eq(decode("{}", s), -EINVAL);
	ck_assert_int_eq(decode("1", s), -EINVAL);
}
END_TEST

/*** Writing ***/

START_TEST(json_is_written_with_its_commas)
{
	struct json_out o = { 0 };

	json_open(&o, NULL, '{');
	json_put_int(&o, "a", -1);
	json_open(&o, "b", '[');
	json_put_null(&o, NULL);
	json_put_bool(&o, NULL, true);
	json_open(&o, NULL, '{');
	json_close(&o, '}');
	json_close(&o, ']');
	json_put_str(&o, "c", "{[");
	json_put_str(&o, "d", "");
	json_close(&o, '}');
	ck_assert_int_eq(o.err, 0);
	ck_assert_str_eq(buf_str(&o.b),
	    "{\"a\":-1,\"b\":[null,true,{}],\"c\":\"{[\",\"d\":\"\"}");
	buf_done(&o.b);
}
END_TEST

START_TEST(json_any_bytes_come_back)
{
	struct json_out o = { 0 };
	char all[256], s[1024];
	size_t i, n;

	for (i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	for (n = 0; n <= sizeof(all); n++) {
		o.b.len = 0;
		json_put_bytes(&o, NULL, all, n);
		ck_assert_int_eq(o.err, 0);
		ck_assert_int_eq(decode(buf_str(&o.b), s), (long)n);
		ck_assert_mem_eq(s, all, n);
		buf_clear(&o.b);
	}
	buf_done(&o.b);
}
END_TEST

START_TEST(json_out_remembers_its_first_failure)
{
	struct json_out o = { 0 };

	buf_limit(&o.b, 8);
	json_open(&o, NULL, '[');
	json_put_str(&o, NULL, "much too long");
	json_close(&o, ']');
	ck_assert_int_eq(o.err, -EMSGSIZE);
	buf_done(&o.b);
}
END_TEST

int
main(void)
{
	const TTest *const frame_tests[] = {
		frame_comes_back_as_it_was_sent,
		frame_of_an_unknown_type_is_refused_by_its_first_byte,
		frame_too_long_is_refused_by_its_head,
		frame_ping_is_one_byte,
		frame_that_does_not_fit_leaves_the_buffer,
	};
	const TTest *const read_tests[] = {
		json_takes_what_the_grammar_takes,
		json_refuses_all_else,
		json_refuses_a_nul_byte,
		json_is_bounded_in_depth_and_number,
		json_members_are_found_at_their_own_level,
		json_integers_are_exact,
		json_strings_are_decoded,
	};
	const TTest *const write_tests[] = {
		json_is_written_with_its_commas,
		json_any_bytes_come_back,
		json_out_remembers_its_first_failure,
	};
	Suite *s = suite_create("agent");

	UNIT_ADD(s, "frame", frame_tests);
	UNIT_ADD(s, "json in", read_tests);
	UNIT_ADD(s, "json out", write_tests);
	return unit_run(s);
}
