/*
 * toml: what is read of a text, written down again a line an item; and what is
 * wrong with others, by line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/toml.h"
#include "tests/unit/unit.h"

static struct buf got;

static void
show_value(const struct toml_value *v)
{
	size_t i;

	switch (v->type) {
	case TOML_TABLE:
		buf_adds(&got, "table");
		break;
	case TOML_STRING:
		buf_addf(&got, "'%s'", v->text);
		break;
	case TOML_INTEGER:
		buf_addf(&got, "%lld", (long long)v->integer);
		ck_assert(v->real == (double)v->integer);
		break;
	case TOML_FLOAT:
		buf_addf(&got, "%.9gf", v->real);
		break;
	case TOML_BOOLEAN:
		buf_adds(&got, v->boolean ? "true" : "false");
		break;
	case TOML_ARRAY:
		buf_adds(&got, "[");
		for (i = 0; i < v->nitems; i++) {
			show_value(&v->items[i]);
			buf_adds(&got, ",");
		}
		buf_adds(&got, "]");
		break;
	}
}

static int
show(void *arg, const struct toml_item *it, struct err *e)
{
	(void)arg;
	if (strcmp(it->path, "stop") == 0)
		return err_setx(e, ENOSPC, "stop is not taken");
	buf_addf(&got, "%d %s(%zu) ", it->line, it->path, it->nparts);
	show_value(it->value);
	buf_adds(&got, "\n");
	return 0;
}

/* The items, or the error. */
static const char *
read_n(const char *text, size_t n)
{
	struct err e;

	buf_clear(&got);
	if (toml_read(text, n, show, NULL, &e) < 0) {
		buf_clear(&got);
		buf_adds(&got, e.text);
	}
	return buf_str(&got);
}

static const char *
read_text(const char *text)
{
	return read_n(text, strlen(text));
}

#define READS(text, want) ck_assert_str_eq(read_text(text), want)
#define SAYS(text, part)                                     \
	ck_assert_msg(strstr(read_text(text), part) != NULL, \
	    "%s: \"%s\" is not in \"%s\"", text, part, buf_str(&got))

static void
setup(void)
{
	got = (struct buf)BUF_INIT;
}

static void
teardown(void)
{
	buf_done(&got);
}

/*** Structure ***/

START_TEST(an_empty_text_has_no_items)
{
	READS("", "");
	READS("\n\n  \t\n# a comment\n#", "");
}
END_TEST

START_TEST(a_key_is_told_with_its_line)
{
	READS("a = 1\n\n\nb = 2", "1 a(1) 1\n4 b(1) 2\n");
	READS("\r\na=1\r\nb=2\r\n", "2 a(1) 1\n3 b(1) 2\n");
}
END_TEST

START_TEST(a_table_comes_before_its_keys)
{
	READS("[t]\na=1\n[u.v]\nb=2",
	    "1 t(1) table\n2 t.a(2) 1\n3 u.v(2) table\n4 u.v.b(3) 2\n");
	READS("  [ t . u ]  # x\n", "1 t.u(2) table\n");
}
END_TEST

START_TEST(keys_are_bare_quoted_and_dotted)
{
	READS("a-b_1 = 1\n\"c d\" = 2\n'e.f' = 3\n\"\" = 4\n1 = 5\n",
	    "1 a-b_1(1) 1\n2 \"c d\"(1) 2\n3 \"e.f\"(1) 3\n4 \"\"(1) 4\n"
	    "5 1(1) 5\n");
	READS("a . b.\"c.d\" = 1", "1 a.b.\"c.d\"(3) 1\n");
	READS("\"\\u00fc\\n\\\"\" = 1", "1 \"\xc3\xbc\\u000a\\\"\"(1) 1\n");
}
END_TEST

START_TEST(comments_end_a_line)
{
	READS("a = 1 # b = 2\nc = '#' # x", "1 a(1) 1\n2 c(1) '#'\n");
}
END_TEST

START_TEST(the_reader_is_stopped_by_whom_it_tells)
{
	READS("a = 1\nstop = [\n1]", "line 2: stop is not taken");
}
END_TEST

/*** Values ***/

START_TEST(basic_strings_have_escapes)
{
	READS(
	    "a = \"x\\b\\t\\n\\f\\r\\\"\\\\y\"", "1 a(1) 'x\b\t\n\f\r\"\\y'\n");
	READS("a = \"\\u00e9\\U0001F427\\u20ac\"",
	    "1 a(1) '\xc3\xa9\xf0\x9f\x90\xa7\xe2\x82\xac'\n");
	READS("a = \"\"", "1 a(1) ''\n");
}
END_TEST

START_TEST(literal_strings_have_none)
{
	READS("a = 'C:\\n\"x\"'", "1 a(1) 'C:\\n\"x\"'\n");
	READS("a = ''", "1 a(1) ''\n");
}
END_TEST

START_TEST(long_strings_go_over_lines)
{
	READS("a = \"\"\"\nx\n y\"\"\"\nb = 1", "1 a(1) 'x\n y'\n4 b(1) 1\n");
	READS(
	    "a = \"\"\"x\\\n   \n  y\"\"\"\nb = 1", "1 a(1) 'xy'\n4 b(1) 1\n");
	READS("a = '''\r\nx\\\r\n'''\r\nb=1", "1 a(1) 'x\\\n'\n4 b(1) 1\n");
	READS("a = \"\"\"\"x\"\"\"\"\"", "1 a(1) '\"x\"\"'\n");
	READS("a = ''''x'''''", "1 a(1) ''x'''\n");
	READS("a = \"\"\"\"\"\"", "1 a(1) ''\n");
}
END_TEST

START_TEST(integers_have_bases_signs_and_underscores)
{
	READS("a = [0, -1, +2, 1_000, 0xfF, 0o17, 0b101, -0]",
	    "1 a(1) [0,-1,2,1000,255,15,5,0,]\n");
	READS("a = 9223372036854775807", "1 a(1) 9223372036854775807\n");
	READS("a = -9223372036854775808", "1 a(1) -9223372036854775808\n");
}
END_TEST

START_TEST(floats_have_points_and_exponents)
{
	READS("a = [1.5, -0.25, 1e3, 2E-2, 1_0.2_5, +6.0e+1]",
	    "1 a(1) [1.5f,-0.25f,1000f,0.02f,10.25f,60f,]\n");
}
END_TEST

START_TEST(booleans_are_true_and_false)
{
	READS("a = true\nb = false", "1 a(1) true\n2 b(1) false\n");
}
END_TEST

START_TEST(arrays_go_over_lines_with_comments)
{
	READS("a = [ 'x', # one\n\n 2,\n true ,\n]\nb = []",
	    "1 a(1) ['x',2,true,]\n6 b(1) []\n");
}
END_TEST

START_TEST(an_array_keeps_its_strings_apart)
{
	READS("a = ['x', \"y\", '''z''', '']", "1 a(1) ['x','y','z','',]\n");
}
END_TEST

/*** What is wrong ***/

START_TEST(an_error_names_its_line)
{
	READS("a = 1\n\nb = \n", "line 3: expected a value");
	READS("\r\n\r\n=", "line 3: expected a key");
	READS("a = '''\n\n\nx", "line 1: a string is not closed by '''");
	READS("x=1\na = [\n1,\n2\n", "line 2: an array is not closed by ]");
	READS("a = [\n1,\n2 3]", "line 3: expected , or ] in an array");
	READS("a = \"\"\"\n\n\\q\"\"\"",
	    "line 3: a \\ in a string begins none of \\b \\t \\n \\f \\r \\\" "
	    "\\\\ \\uXXXX \\UXXXXXXXX");
}
END_TEST

START_TEST(half_a_line_is_refused)
{
	SAYS("a", "expected = after a");
	SAYS("a =", "expected a value");
	SAYS("a = 1 2", "something follows");
	SAYS("a = 'x' b = 1", "something follows");
	SAYS("[a", "expected ] after");
	SAYS("[a] b = 1", "something follows");
	SAYS("[]", "expected a key");
	SAYS("a. = 1", "expected a key");
	SAYS(".a = 1", "expected a key");
	SAYS("= 1", "expected a key");
	SAYS("a b = 1", "expected = after a");
	SAYS("a\n= 1", "expected = after a");
}
END_TEST

START_TEST(what_is_left_out_of_toml_is_named)
{
	SAYS("a = {b = 1}", "tables in { } are not taken");
	SAYS("[[a]]", "arrays of tables are not taken");
	SAYS("a = [[1]]", "arrays of arrays are not taken");
	SAYS("a = 1979-05-27", "dates and times are not taken");
	SAYS("a = 07:32:00", "dates and times are not taken");
	SAYS("a = inf", "inf and nan are not taken");
	SAYS("a = -nan", "inf and nan are not taken");
	SAYS("\"\"\"a\"\"\" = 1", "a key in triple quotes");
}
END_TEST

START_TEST(numbers_that_are_none_are_refused)
{
	static const char *const bad[] = { "01", "1_", "_1", "1__0", "1.", ".5",
		"1.e3", "1e", "1e+", "--1", "+-1", "0x", "0xg", "0x_1", "0b2",
		"0o8", "-0x1", "1.2.3", "00", "0.1.", "1e5.5", "TRUE", "True",
		"yes", "native", "1,5", "0X1" };
	char text[64];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "a = %s", bad[i]);
		SAYS(text, "line 1: ");
	}
	SAYS("a = native", "strings need quotes");
	SAYS("a = 9223372036854775808", "does not fit in 64 bits");
	SAYS("a = 0x1ffffffffffffffff", "does not fit in 64 bits");
	SAYS("a = 1e999", "too large");
}
END_TEST

START_TEST(strings_that_do_not_end_are_refused)
{
	SAYS("a = \"x", "not closed by \"");
	SAYS("a = 'x\n'", "not closed by '");
	SAYS("a = \"x\\", "a \\ in a string");
	SAYS("a = \"\"\"x\"\"", "not closed by \"\"\"");
	SAYS("a = '''", "not closed by '''");
}
END_TEST

START_TEST(characters_that_are_none_are_refused)
{
	SAYS("a = \"\\u0000\"", "a NUL character");
	SAYS("a = \"\\ud800\"", "U+D800 is no character");
	SAYS("a = \"\\U00110000\"", "U+110000 is no character");
	SAYS("a = \"\\u12\"", "expected 4 hexadecimal digits");
	SAYS("a = \"\\U1234567x\"", "expected 8 hexadecimal digits");
	SAYS("a = 1\nb = '\xff'", "line 2: byte 0xff: not UTF-8");
	SAYS("# \xc0\xaf", "line 1: byte 0xc0: not UTF-8");
	SAYS("a = 1\n# \033", "line 2: control character 0x1b");
	SAYS("a = 1\rb = 2", "line 1: control character 0x0d");
	SAYS("a = '\177'", "control character 0x7f");
	ck_assert_ptr_nonnull(
	    strstr(read_n("a = 1\n\0", 7), "line 2: control character 0x00"));
}
END_TEST

START_TEST(nothing_is_defined_twice)
{
	SAYS("a = 1\na = 2", "line 2: a is there already");
	SAYS("a = 1\n'a' = 2", "line 2: a is there already");
	SAYS("[t]\n[t]", "line 2: table t is there already");
	SAYS("a.b = 1\na.b = 2", "line 2: a.b is there already");
	SAYS("a.b = 1\n[a]", "line 2: table a is there already");
	SAYS("[a.b]\n[a]\nb.c = 1", "line 3: table a.b is there already");
	SAYS("[a.b]\n[a]\nb = 1", "line 3: a.b is there already");
}
END_TEST

START_TEST(a_value_is_no_table)
{
	SAYS("a = 1\n[a]", "line 2: a is a value, not a table");
	SAYS("a = 1\n[a.b]", "line 2: a is a value, not a table");
	SAYS("a = 1\na.b = 2", "line 2: a is a value, not a table");
}
END_TEST

START_TEST(a_table_may_come_after_the_one_inside_it)
{
	READS("[a.b]\n[a]\nc = 1\nd.e = 1\nd.f = 2",
	    "1 a.b(2) table\n2 a(1) table\n3 a.c(2) 1\n4 a.d.e(3) 1\n"
	    "5 a.d.f(3) 2\n");
	READS("[a.b]\n[a.c]", "1 a.b(2) table\n2 a.c(2) table\n");
	READS("['a.b']\n[a.b]", "1 \"a.b\"(1) table\n2 a.b(2) table\n");
}
END_TEST

/*** Limits ***/

/* head, then count times part, then tail. */
static const char *
read_many(const char *head, const char *part, size_t count, const char *tail)
{
	struct buf b = BUF_INIT;
	const char *r;

	buf_adds(&b, head);
	while (count-- > 0)
		buf_adds(&b, part);
	buf_adds(&b, tail);
	r = read_n(buf_str(&b), b.len);
	buf_done(&b);
	return r;
}

START_TEST(a_key_has_at_most_eight_parts)
{
	READS("a.b.c.d.e.f.g.h = 1", "1 a.b.c.d.e.f.g.h(8) 1\n");
	SAYS("[a.b.c.d]\ne.f.g.h.i = 1", "line 2: a key of more than 8 parts");
}
END_TEST

START_TEST(a_key_has_at_most_a_kilobyte)
{
	ck_assert_str_eq(
	    read_many("x=1\n", "k", 1025, " = 1"), "line 2: a key is too long");
	ck_assert_str_eq(read_many("x=1\n'", "\xc3\xbc", 600, "' = 1"),
	    "line 2: a key is too long");
}
END_TEST

START_TEST(an_array_has_at_most_1024_items)
{
	ck_assert_ptr_nonnull(
	    strstr(read_many("a = [", "1,", 1024, "]"), "1 a(1) [1,"));
	ck_assert_str_eq(read_many("a = [", "1,", 1025, "]"),
	    "line 1: an array of more than 1024");
}
END_TEST

START_TEST(a_text_has_at_most_a_megabyte)
{
	ck_assert_str_eq(read_many("#", "x", TOML_TEXT_MAX - 1, ""), "");
	ck_assert_str_eq(read_many("#", "x", TOML_TEXT_MAX, ""),
	    "larger than 1048576 bytes");
}
END_TEST

START_TEST(a_text_has_at_most_ten_thousand_keys)
{
	struct buf b = BUF_INIT;
	int i;

	for (i = 0; i <= TOML_KEYS_MAX; i++)
		buf_addf(&b, "k%d=1\n", i);
	ck_assert_str_eq(
	    read_n(buf_str(&b), b.len), "line 10001: more than 10000 keys");
	buf_done(&b);
}
END_TEST

START_TEST(a_string_may_be_as_long_as_the_text)
{
	ck_assert_uint_gt(
	    strlen(read_many("a = '", "x", 1000000, "'")), 1000000);
}
END_TEST

START_TEST(a_text_cut_off_anywhere_does_no_harm)
{
	static const char whole[] =
	    "[a.\"b c\"]\nd = \"\\u00e9\\n\" # x\ne = [1, 'y',\n 2.5e1, true]\n"
	    "f = \"\"\"\nz\\\n  z\"\"\"\ng.h = 0xff\n";
	char *copy;
	size_t n;

	for (n = 0; n < sizeof(whole); n++) {
		copy = malloc(n != 0 ? n : 1); /* so that reading on is seen */
		memcpy(copy, whole, n);
		(void)read_n(copy, n);
		free(copy);
	}
}
END_TEST

START_TEST(types_have_names)
{
	ck_assert_str_eq(toml_type_name(TOML_STRING), "a string");
	ck_assert_str_eq(toml_type_name(TOML_TABLE), "a table");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { an_empty_text_has_no_items,
		a_key_is_told_with_its_line, a_table_comes_before_its_keys,
		keys_are_bare_quoted_and_dotted, comments_end_a_line,
		the_reader_is_stopped_by_whom_it_tells,
		basic_strings_have_escapes, literal_strings_have_none,
		long_strings_go_over_lines,
		integers_have_bases_signs_and_underscores,
		floats_have_points_and_exponents, booleans_are_true_and_false,
		arrays_go_over_lines_with_comments,
		an_array_keeps_its_strings_apart, an_error_names_its_line,
		half_a_line_is_refused, what_is_left_out_of_toml_is_named,
		numbers_that_are_none_are_refused,
		strings_that_do_not_end_are_refused,
		characters_that_are_none_are_refused, nothing_is_defined_twice,
		a_value_is_no_table, a_table_may_come_after_the_one_inside_it,
		a_key_has_at_most_eight_parts, a_key_has_at_most_a_kilobyte,
		an_array_has_at_most_1024_items, a_text_has_at_most_a_megabyte,
		a_text_has_at_most_ten_thousand_keys,
		a_string_may_be_as_long_as_the_text,
		a_text_cut_off_anywhere_does_no_harm, types_have_names };
	Suite *s = suite_create("lib");

	UNIT_ADD_IN(s, "toml", tests, setup, teardown);
	return unit_run(s);
}
