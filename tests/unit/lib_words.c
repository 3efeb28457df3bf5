/*
 * words: what shells and python print is read back as it was. The programs
 * themselves are asked where they are there, and samples of them are kept
 * here for where they are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/proc.h"
#include "lib/words.h"
#include "tests/unit/unit.h"

/* Words that are hard to quote. */
static const char *const hard[] = { "", "a", "a b", "a  b", " ", "\t", "'",
	"''", "\"", "\\", "\\\\", "\\n", "$HOME", "$(id)", "`id`", "a'b\"c\\d",
	"#", "#a", "a#b", "~", "~root", "*", "?", "[a]", "{a,b}", "!", "!!",
	"a!b", "&", "|", ";", "<", ">", "(", ")", "a=b", "=", "%", "%q", "^",
	"-", "--", "-n", "a\nb", "\n", "\r", "a\tb", "\001", "\033[31m", "\177",
	"\a\b\f\v", "'\n", "\\\n", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac'",
	"\xff\xfe", "\xc3", "\xc2\x9b", "\xe2\x80\x8b", "\xe2\x80\xae",
	"\xf0\x9f\x90\xa7", "$'a'", "$\"a\"", "\\x41",
	"x\001"
	"1",
	"\033"
	"7",
	"a\001'b\\c\"d$e`f" };
#define HARD (sizeof(hard) / sizeof(hard[0]))

/* "[a][b c]", or the sentence of the error. */
static const char *
split(const char *line)
{
	static char text[1024];
	cleanup_words struct words w;
	size_t i, n = 0;
	struct err e;

	text[0] = '\0';
	if (words_split(&w, line, strlen(line), &e) < 0) {
		memset(&w, 0, sizeof(w));
		(void)str_copy(text, e.text, sizeof(text));
		return text;
	}
	for (i = 0; i < w.n; i++)
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "[%s]", w.w[i]);
	ck_assert_ptr_null(w.w[w.n]);
	return text;
}

static void
check_one(const char *how, const char *line, const char *want)
{
	cleanup_words struct words w;
	struct err e;

	ck_assert_msg(words_split(&w, line, strlen(line), &e) == 0,
	    "%s: %s: %s", how, line, e.text);
	ck_assert_msg(
	    w.n == 1 && strcmp(w.w[0], want) == 0, "%s: %s", how, line);
}

/* The output of a program; "" when there is none of this name. */
static char *
output_of(const char *const *argv, const char *const *envp)
{
	static char text[1 << 16];
	struct proc_spec s = { .path = argv[0],
		.argv = (char *const *)(uintptr_t)argv,
		.envp = (char *const *)(uintptr_t)envp,
		.nfds = 3 };
	int p[2], fds[3], status;
	pid_t pid;
	ssize_t n;

	text[0] = '\0';
	if (access(argv[0], X_OK) < 0)
		return text;
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	fds[0] = -1;
	fds[1] = p[1];
	fds[2] = STDERR_FILENO;
	s.fds = fds;
	ck_assert_int_eq(proc_spawn(&s, &pid), 0);
	close(p[1]);
	n = fd_read_full(p[0], text, sizeof(text) - 1);
	close(p[0]);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	return text;
}

/* Its script prints each argument quoted, and U+0004 after it. */
static void
ask(const char *path, const char *option, const char *script,
    const char *locale)
{
	const char *argv[HARD + 8] = { path, option, script, "sh" };
	const char *envp[] = { locale, "PATH=/usr/bin:/bin", NULL };
	size_t i,
	    n = strcmp(option, "-c") == 0 && strstr(path, "python") == NULL ? 4
									    : 3;
	char *p, *end;

	memcpy(argv + n, hard, sizeof(hard));
	p = output_of(argv, envp);
	if (*p == '\0')
		return;
	for (i = 0; i < HARD; i++, p = end + 1) {
		end = strchr(p, '\004');
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		check_one(script, p, hard[i]);
	}
}

/*** Splitting ***/

START_TEST(blanks_separate_words)
{
	ck_assert_str_eq(split("a b\tc"), "[a][b][c]");
	ck_assert_str_eq(split("  a \t b  "), "[a][b]");
	ck_assert_str_eq(split(""), "");
	ck_assert_str_eq(split("  \t "), "");
}
END_TEST

START_TEST(quotes_keep_blanks_and_may_be_empty)
{
	ck_assert_str_eq(split("'a b' \"c d\" e\\ f"), "[a b][c d][e f]");
	ck_assert_str_eq(split("'' \"\" $''"), "[][][]");
	ck_assert_str_eq(split("a'b c'd\"e f\"g"), "[ab cde fg]");
}
END_TEST

START_TEST(a_comment_begins_at_the_start_of_a_word_only)
{
	ck_assert_str_eq(split("a # b"), "[a]");
	ck_assert_str_eq(split("# a"), "");
	ck_assert_str_eq(split("a#b"), "[a#b]");
	ck_assert_str_eq(split("'#' \\#"), "[#][#]");
}
END_TEST

START_TEST(nothing_is_expanded)
{
	ck_assert_str_eq(split("$HOME `id` $(id) * ~ a;b"),
	    "[$HOME][`id`][$(id)][*][~][a;b]");
	ck_assert_str_eq(split("\"$HOME\""), "[$HOME]");
}
END_TEST

START_TEST(in_single_quotes_all_is_as_it_stands)
{
	ck_assert_str_eq(split("'a\\n\"$b'"), "[a\\n\"$b]");
}
END_TEST

START_TEST(in_double_quotes_a_backslash_quotes_four_characters)
{
	ck_assert_str_eq(split("\"\\\" \\\\ \\$ \\` \\n\""), "[\" \\ $ ` \\n]");
}
END_TEST

START_TEST(in_dollar_quotes_escapes_are_bytes)
{
	ck_assert_str_eq(split("$'a\\nb\\t\\x41\\101\\e\\'\\\"\\\\\\?'"),
	    "[a\nb\tAA\033'\"\\?]");
	ck_assert_str_eq(split("$'\\x1g\\18'"), "[\001g\0018]");
}
END_TEST

START_TEST(in_dollar_quotes_an_unknown_escape_stays)
{
	ck_assert_str_eq(split("$'\\q\\xg'"), "[\\q\\xg]");
}
END_TEST

START_TEST(an_open_quote_is_named)
{
	ck_assert_str_eq(split("a 'b"), "a quote ' is not closed");
	ck_assert_str_eq(split("a \"b"), "a quote \" is not closed");
	ck_assert_str_eq(split("$'a"), "a quote ' is not closed");
	ck_assert_str_eq(split("$'a\\'"), "a quote ' is not closed");
	ck_assert_str_eq(split("$'a\\"), "a quote ' is not closed");
	ck_assert_str_eq(split("\"a\\"), "a quote \" is not closed");
	ck_assert_str_eq(split("'"), "a quote ' is not closed");
}
END_TEST

START_TEST(a_nul_byte_is_refused_written_or_escaped)
{
	struct words w;
	struct err e;

	ck_assert_int_eq(words_split(&w, "a\0b", 3, &e), -1);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_str_eq(split("$'a\\0b'"), "a NUL byte in a quoted word");
	ck_assert_str_eq(split("$'a\\x00'"), "a NUL byte in a quoted word");
	ck_assert_str_eq(split("$'\\400'"), "a NUL byte in a quoted word");
}
END_TEST

START_TEST(a_backslash_at_the_end_stands_for_itself)
{
	ck_assert_str_eq(split("a\\"), "[a\\]");
	ck_assert_str_eq(split("\\"), "[\\]");
}
END_TEST

START_TEST(a_dollar_without_a_quote_stands_for_itself)
{
	ck_assert_str_eq(split("$ a$ $"), "[$][a$][$]");
}
END_TEST

START_TEST(a_line_has_at_most_256_words)
{
	char line[WORDS_MAX * 2 + 3];
	struct words w;
	struct err e;
	size_t i;

	for (i = 0; i <= WORDS_MAX; i++)
		memcpy(line + i * 2, "a ", 2);
	ck_assert_int_eq(words_split(&w, line, WORDS_MAX * 2, &e), 0);
	ck_assert_uint_eq(w.n, WORDS_MAX);
	words_done(&w);
	ck_assert_int_eq(words_split(&w, line, WORDS_MAX * 2 + 2, &e), -1);
	ck_assert_str_eq(e.text, "more than 256 words");
	words_done(&w);
}
END_TEST

/*** Quoting ***/

START_TEST(what_we_quote_we_read_back)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < HARD; i++) {
		buf_clear(&b);
		ck_assert_int_eq(words_quote(&b, hard[i]), 0);
		check_one("words_quote", buf_str(&b), hard[i]);
	}
	buf_done(&b);
}
END_TEST

START_TEST(every_byte_is_quoted_and_read_back)
{
	struct buf b = BUF_INIT;
	char word[4] = "a.b";
	int c;

	for (c = 1; c < 256; c++) {
		word[1] = (char)c;
		buf_clear(&b);
		ck_assert_int_eq(words_quote(&b, word), 0);
		check_one("words_quote", buf_str(&b), word);
	}
	buf_done(&b);
}
END_TEST

START_TEST(plain_words_are_not_quoted)
{
	struct buf b = BUF_INIT;

	ck_assert_int_eq(words_quote(&b, "a-b_c=/d.e:f,g@h%i+1"), 0);
	ck_assert_str_eq(buf_str(&b), "a-b_c=/d.e:f,g@h%i+1");
	buf_done(&b);
}
END_TEST

START_TEST(what_we_quote_is_one_line_without_control_characters)
{
	struct buf b = BUF_INIT;
	const char *p;
	size_t i;

	for (i = 0; i < HARD; i++)
		ck_assert_int_eq(words_quote(&b, hard[i]), 0);
	for (p = buf_str(&b); *p != '\0'; p++)
		ck_assert((unsigned char)*p >= 0x20 && *p != 0x7f);
	buf_done(&b);
}
END_TEST

START_TEST(bash_reads_what_we_quote)
{
	const char *argv[] = { "/bin/bash", "-c", NULL, NULL };
	struct buf script = BUF_INIT;
	const char *p;
	size_t i;

	buf_adds(&script, "printf '%s\\4'");
	for (i = 0; i < HARD; i++) {
		buf_adds(&script, " ");
		ck_assert_int_eq(words_quote(&script, hard[i]), 0);
	}
	argv[2] = buf_str(&script);
	p = output_of(argv, NULL);
	for (i = 0; i < HARD && *argv[0] != '\0' && *p != '\0'; i++) {
		ck_assert_msg(
		    strncmp(p, hard[i], strlen(hard[i])) == 0, "word %zu", i);
		p += strlen(hard[i]);
		ck_assert_int_eq(*p++, '\004');
	}
	buf_done(&script);
}
END_TEST

START_TEST(a_word_that_does_not_fit_leaves_the_buffer_as_it_was)
{
	struct buf b = BUF_INIT;

	buf_limit(&b, 6);
	buf_adds(&b, "ab");
	ck_assert_int_eq(words_quote(&b, "c d e"), -EMSGSIZE);
	ck_assert_str_eq(buf_str(&b), "ab");
	buf_done(&b);
}
END_TEST

START_TEST(a_value_is_what_follows_its_key)
{
	ck_assert_str_eq(words_value("memory=512m", "memory"), "512m");
	ck_assert_str_eq(words_value("a=b=c", "a"), "b=c");
	ck_assert_str_eq(words_value("a=", "a"), "");
	ck_assert_ptr_null(words_value("memory", "memory"));
	ck_assert_ptr_null(words_value("memoryx=1", "memory"));
	ck_assert_ptr_null(words_value("mem=1", "memory"));
}
END_TEST

/*** What others print ***/

START_TEST(samples_of_bash_are_read_back)
{
	/* printf %q and ${v@Q} of bash 5.2, in C.UTF-8 and in C */
	check_one("%q", "''", "");
	check_one("%q", "a\\ b", "a b");
	check_one("%q", "$'a\\nb'", "a\nb");
	check_one("%q", "\\~root", "~root");
	check_one("%q", "a\\'b\\\"c\\\\d", "a'b\"c\\d");
	check_one("%q", "$'\\E[31m'", "\033[31m");
	check_one("%q", "$'\\001'1",
	    "\001"
	    "1");
	check_one("%q", "$'gr\\303\\274\\303\\237'", "gr\xc3\xbc\xc3\x9f");
	check_one("@Q", "'a'\\''b'", "a'b");
	check_one("@Q", "$'\\a\\b\\f\\v'", "\a\b\f\v");
}
END_TEST

START_TEST(samples_of_shlex_quote_are_read_back)
{
	check_one("shlex", "''", "");
	check_one("shlex", "'a b'", "a b");
	check_one("shlex", "'a'\"'\"'b'", "a'b");
	check_one("shlex", "'a\nb'", "a\nb");
	check_one("shlex", "'$(id)'", "$(id)");
}
END_TEST

START_TEST(what_printf_q_of_bash_prints_is_read_back)
{
	static const char script[] = "printf '%q\\4' \"$@\"";

	ask("/bin/bash", "-c", script, "LC_ALL=C");
	ask("/bin/bash", "-c", script, "LC_ALL=C.UTF-8");
}
END_TEST

START_TEST(what_at_q_of_bash_prints_is_read_back)
{
	static const char script[] =
	    "for v; do printf '%s\\4' \"${v@Q}\"; done";

	ask("/bin/bash", "-c", script, "LC_ALL=C");
	ask("/bin/bash", "-c", script, "LC_ALL=C.UTF-8");
}
END_TEST

START_TEST(what_shlex_quote_of_python_prints_is_read_back)
{
	ask("/usr/bin/python3", "-c",
	    "import os, shlex, sys\n"
	    "for v in sys.argv[1:]:\n"
	    "    os.write(1, os.fsencode(shlex.quote(v)) + b'\\4')",
	    "LC_ALL=C.UTF-8");
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { blanks_separate_words,
		quotes_keep_blanks_and_may_be_empty,
		a_comment_begins_at_the_start_of_a_word_only,
		nothing_is_expanded, in_single_quotes_all_is_as_it_stands,
		in_double_quotes_a_backslash_quotes_four_characters,
		in_dollar_quotes_escapes_are_bytes,
		in_dollar_quotes_an_unknown_escape_stays,
		an_open_quote_is_named,
		a_nul_byte_is_refused_written_or_escaped,
		a_backslash_at_the_end_stands_for_itself,
		a_dollar_without_a_quote_stands_for_itself,
		a_line_has_at_most_256_words, what_we_quote_we_read_back,
		every_byte_is_quoted_and_read_back, plain_words_are_not_quoted,
		what_we_quote_is_one_line_without_control_characters,
		bash_reads_what_we_quote,
		a_word_that_does_not_fit_leaves_the_buffer_as_it_was,
		a_value_is_what_follows_its_key, samples_of_bash_are_read_back,
		samples_of_shlex_quote_are_read_back,
		what_printf_q_of_bash_prints_is_read_back,
		what_at_q_of_bash_prints_is_read_back,
		what_shlex_quote_of_python_prints_is_read_back };
	Suite *s = suite_create("lib");

	UNIT_ADD(s, "words", tests);
	return unit_run(s);
}
