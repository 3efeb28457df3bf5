/*
 * agent_plain: what is executed without a shell, and what never is.
 */
#include <string.h>

#include "agent/plain.h"
#include "tests/unit/unit.h"

static bool
split(struct plain *p, const char *script)
{
	return plain_split(p, script, strlen(script));
}

START_TEST(plain_words_are_split_at_blanks)
{
	struct plain p;

	ck_assert(split(&p, "  /bin/ls\t-l  --color=no \n"));
	ck_assert_str_eq(p.argv[0], "/bin/ls");
	ck_assert_str_eq(p.argv[1], "-l");
	ck_assert_str_eq(p.argv[2], "--color=no");
	ck_assert_ptr_null(p.argv[3]);
	ck_assert(split(&p, "python3 hello.py"));
	ck_assert_str_eq(p.argv[1], "hello.py");
}
END_TEST

START_TEST(plain_is_nothing_a_shell_would_act_on)
{
	static const char *const shell[] = { "", "\n", "  ", "a;b", "a|b", "a&",
		"a>b", "a<b", "$x", "`x`", "a*", "a?", "[a", "~/x", "#x", "'a'",
		"\"a\"", "a\\ b", "a(b", "{a,b}", "!a", "a\nb", "X=1 env",
		"X=1", "a\rb", "caf\xc3\xa9" };
	struct plain p;
	size_t i;

	for (i = 0; i < sizeof(shell) / sizeof(shell[0]); i++)
		ck_assert_msg(!split(&p, shell[i]), "%s", shell[i]);
	ck_assert(!plain_split(&p, "a\0b", 3));
}
END_TEST

START_TEST(plain_is_no_builtin_and_no_reserved_word)
{
	static const char *const shell[] = { "true", "cd /tmp", "exit 3",
		"exec ls", "echo x", "test -f x", ". x", "if x", "time ls" };
	struct plain p;
	size_t i;

	for (i = 0; i < sizeof(shell) / sizeof(shell[0]); i++)
		ck_assert_msg(!split(&p, shell[i]), "%s", shell[i]);
	ck_assert(split(&p, "/bin/true"));
}
END_TEST

START_TEST(plain_is_bounded)
{
	char text[2 * PLAIN_BYTES_MAX];
	struct plain p;

	memset(text, 'a', sizeof(text));
	ck_assert(plain_split(&p, text, PLAIN_BYTES_MAX - 1));
	ck_assert(!plain_split(&p, text, PLAIN_BYTES_MAX));
	memset(text, ' ', sizeof(text));
	for (size_t i = 0; i < PLAIN_WORDS_MAX; i++)
		text[2 * i] = 'a';
	ck_assert(plain_split(&p, text, 2 * PLAIN_WORDS_MAX));
	text[2 * PLAIN_WORDS_MAX] = 'a';
	ck_assert(!plain_split(&p, text, 2 * PLAIN_WORDS_MAX + 1));
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		plain_words_are_split_at_blanks,
		plain_is_nothing_a_shell_would_act_on,
		plain_is_no_builtin_and_no_reserved_word,
		plain_is_bounded,
	};
	Suite *s = suite_create("agent plain");

	UNIT_ADD(s, "plain", tests);
	return unit_run(s);
}
