#include "lib/toml.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "lib/utf8.h"

/* What a path was used for: TOML defines each once. */
enum use {
	USE_VALUE,
	USE_HEADER,  /* [a.b]: a.b */
	USE_IMPLIED, /* [a.b]: a */
	USE_DOTTED,  /* a.b = 1: a */
};

struct seen {
	enum use use;
	char path[];
};

/* Offsets, since the text they point into grows. */
struct key {
	size_t n;
	size_t part[TOML_PARTS_MAX];
	size_t path_end[TOML_PARTS_MAX]; /* where a part ends in path */
	struct buf parts; /* NUL-terminated, one after the other */
	struct buf path;
};

struct reader {
	const char *p;
	const char *end;
	int line;
	toml_fn *fn;
	void *arg;
	struct key table;
	struct key key;
	struct buf strings; /* of the value being read */
	void *seen;	    /* tree of struct seen */
	size_t nseen;
	struct err *e;
};

#define BAD(r, ...) err_setx((r)->e, EINVAL, __VA_ARGS__)

static int
peek(const struct reader *r)
{
	return r->p < r->end ? (unsigned char)*r->p : -1;
}

static bool
starts(const struct reader *r, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(r->end - r->p) >= n && memcmp(r->p, s, n) == 0;
}

static void
skip_blanks(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t')
		r->p++;
}

static void
skip_comment(struct reader *r)
{
	if (peek(r) == '#')
		while (r->p < r->end && *r->p != '\n')
			r->p++;
}

/* The end of a line, LF or CRLF, perhaps after a comment. */
static int
end_line(struct reader *r)
{
	skip_blanks(r);
	skip_comment(r);
	if (starts(r, "\r\n"))
		r->p++;
	if (r->p == r->end)
		return 0;
	if (*r->p != '\n')
		return BAD(r, "something follows where the line should end");
	r->p++;
	r->line++;
	return 0;
}

static void
skip_lines(struct reader *r)
{
	for (;;) {
		skip_blanks(r);
		skip_comment(r);
		if (starts(r, "\r\n"))
			r->p++;
		if (peek(r) != '\n')
			return;
		r->p++;
		r->line++;
	}
}

static int
put(struct reader *r, struct buf *to, const char *p, size_t n)
{
	return buf_add(to, p, n) < 0 ? BAD(r, "a key is too long") : 0;
}

/*** Strings ***/

static int
add_utf8(struct reader *r, struct buf *to, uint32_t c)
{
	char u[4];
	size_t n;

	if (c == 0)
		return BAD(r, "a NUL character in a string");
	if ((c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return BAD(r, "U+%04X is no character", (unsigned)c);
	if (c < 0x80) {
		u[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		u[0] = (char)(0xc0 | c >> 6);
		u[1] = (char)(0x80 | (c & 63));
		n = 2;
	} else if (c < 0x10000) {
		u[0] = (char)(0xe0 | c >> 12);
		u[1] = (char)(0x80 | (c >> 6 & 63));
		u[2] = (char)(0x80 | (c & 63));
		n = 3;
	} else {
		u[0] = (char)(0xf0 | c >> 18);
		u[1] = (char)(0x80 | (c >> 12 & 63));
		u[2] = (char)(0x80 | (c >> 6 & 63));
		u[3] = (char)(0x80 | (c & 63));
		n = 4;
	}
	return put(r, to, u, n);
}

/* One escape, its backslash already taken. */
static int
escape(struct reader *r, struct buf *to)
{
	static const char from[] = "btnfr\"\\";
	static const char as[] = "\b\t\n\f\r\"\\";
	int c = peek(r), left, d;
	const char *at;
	uint32_t v = 0;

	if (c > 0 && (at = strchr(from, c)) != NULL) {
		r->p++;
		return put(r, to, &as[at - from], 1);
	}
	if (c != 'u' && c != 'U')
		return BAD(r,
		    "a \\ in a string begins none of "
		    "\\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX \\UXXXXXXXX");
	r->p++;
	for (left = c == 'u' ? 4 : 8; left > 0; left--, r->p++) {
		if ((d = r->p < r->end ? hex_digit(*r->p) : -1) < 0)
			return BAD(r, "\\%c: expected %d hexadecimal digits", c,
			    c == 'u' ? 4 : 8);
		v = v << 4 | (uint32_t)d;
	}
	return add_utf8(r, to, v);
}

static int
one_line_string(struct reader *r, struct buf *to)
{
	char quote = *r->p++;

	for (;;) {
		if (peek(r) < 0 || *r->p == '\n' || starts(r, "\r\n"))
			return BAD(r, "a string is not closed by %c", quote);
		if (*r->p == quote) {
			r->p++;
			return put(r, to, "", 1);
		}
		if (quote == '"' && *r->p == '\\') {
			r->p++;
			if (escape(r, to) < 0)
				return -1;
			continue;
		}
		if (put(r, to, r->p++, 1) < 0)
			return -1;
	}
}

/* A backslash at a line's end swallows all white space up to a next word. */
static bool
line_continues(struct reader *r)
{
	const char *p = r->p;

	while (p < r->end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	if (p == r->end || *p != '\n')
		return false;
	for (; p < r->end && strchr(" \t\r\n", *p) != NULL; p++)
		if (*p == '\n')
			r->line++;
	r->p = p;
	return true;
}

/* At the closing quotes, one or two more of which are part of the string. */
static int
close_string(struct reader *r, struct buf *to, char quote)
{
	size_t n = 0;

	while (peek(r) == quote && n < 5) {
		r->p++;
		n++;
	}
	while (n-- > 3)
		if (put(r, to, &quote, 1) < 0)
			return -1;
	return put(r, to, "", 1);
}

static int
many_lines_string(struct reader *r, struct buf *to)
{
	char quote = *r->p, mark[4] = { quote, quote, quote };
	int begun = r->line;

	r->p += 3;
	if (starts(r, "\r\n"))
		r->p++;
	if (peek(r) == '\n') {
		r->p++;
		r->line++;
	}
	while (r->p < r->end) {
		if (starts(r, mark))
			return close_string(r, to, quote);
		if (quote == '"' && *r->p == '\\') {
			r->p++;
			if (!line_continues(r) && escape(r, to) < 0)
				return -1;
			continue;
		}
		if (starts(r, "\r\n"))
			r->p++; /* LF, wherever the file was written */
		if (*r->p == '\n')
			r->line++;
		if (put(r, to, r->p++, 1) < 0)
			return -1;
	}
	r->line = begun;
	return BAD(r, "a string is not closed by %s", mark);
}

/*** Keys ***/

static bool
bare_char(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

static void
key_clear(struct key *k)
{
	k->n = 0;
	buf_clear(&k->parts);
	buf_clear(&k->path);
}

static void
key_done(struct key *k)
{
	buf_done(&k->parts);
	buf_done(&k->path);
}

static int
key_copy(struct reader *r, struct key *to, const struct key *from)
{
	key_clear(to);
	to->n = from->n;
	memcpy(to->part, from->part, sizeof(to->part));
	memcpy(to->path_end, from->path_end, sizeof(to->path_end));
	if (put(r, &to->parts, buf_str(&from->parts), from->parts.len) < 0)
		return -1;
	return put(r, &to->path, buf_str(&from->path), from->path.len);
}

/* The part, as it could be written in a file: quoted where it must be. */
static int
path_add(struct key *k, const char *part)
{
	const char *p;
	bool bare = *part != '\0';
	int err = k->n > 0 ? buf_adds(&k->path, ".") : 0;

	for (p = part; *p != '\0'; p++)
		if (!bare_char((unsigned char)*p))
			bare = false;
	if (err == 0 && !bare)
		err = buf_adds(&k->path, "\"");
	for (p = part; *p != '\0' && err == 0; p++) {
		if (*p == '"' || *p == '\\')
			err = buf_addf(&k->path, "\\%c", *p);
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			err = buf_addf(&k->path, "\\u%04x", *p);
		else
			err = buf_add(&k->path, p, 1);
	}
	if (err == 0 && !bare)
		err = buf_adds(&k->path, "\"");
	return err;
}

static int
key_part(struct reader *r, struct key *k)
{
	size_t at = k->parts.len;

	if (k->n == TOML_PARTS_MAX)
		return BAD(r, "a key of more than %d parts", TOML_PARTS_MAX);
	if (starts(r, "\"\"\"") || starts(r, "'''"))
		return BAD(r, "a key in triple quotes");
	if (peek(r) == '"' || peek(r) == '\'') {
		if (one_line_string(r, &k->parts) < 0)
			return -1;
	} else {
		if (!bare_char(peek(r)))
			return BAD(r, "expected a key");
		while (bare_char(peek(r)))
			if (put(r, &k->parts, r->p++, 1) < 0)
				return -1;
		if (put(r, &k->parts, "", 1) < 0)
			return -1;
	}
	if (path_add(k, k->parts.data + at) < 0)
		return BAD(r, "a key is too long");
	k->part[k->n] = at;
	k->path_end[k->n++] = k->path.len;
	return 0;
}

/* a.b."c d", added to what k holds. */
static int
read_key(struct reader *r, struct key *k)
{
	for (;;) {
		if (key_part(r, k) < 0)
			return -1;
		skip_blanks(r);
		if (peek(r) != '.')
			return 0;
		r->p++;
		skip_blanks(r);
	}
}

/*** What was defined before ***/

static int
compare(const void *a, const void *b)
{
	return strcmp(
	    ((const struct seen *)a)->path, ((const struct seen *)b)->path);
}

/* The first n parts of k: a new entry with this use, or the old one. */
static int
look(struct reader *r, const struct key *k, size_t n, enum use use,
    struct seen **ret_old)
{
	size_t len = k->path_end[n - 1];
	struct seen *s = xcalloc(1, sizeof(*s) + len + 1), **at;

	s->use = use;
	memcpy(s->path, k->path.data, len);
	if ((at = tsearch(s, &r->seen, compare)) == NULL)
		abort();
	*ret_old = *at != s ? *at : NULL;
	if (*at != s)
		free(s);
	else if (++r->nseen > TOML_KEYS_MAX)
		return BAD(r, "more than %d keys", TOML_KEYS_MAX);
	return 0;
}

static int
define_table(struct reader *r)
{
	const struct key *k = &r->table;
	struct seen *old;
	size_t i;

	for (i = 1; i < k->n; i++) {
		if (look(r, k, i, USE_IMPLIED, &old) < 0)
			return -1;
		if (old != NULL && old->use == USE_VALUE)
			return BAD(r, "%s is a value, not a table", old->path);
	}
	if (look(r, k, k->n, USE_HEADER, &old) < 0)
		return -1;
	if (old == NULL)
		return 0;
	if (old->use == USE_VALUE)
		return BAD(r, "%s is a value, not a table", old->path);
	if (old->use != USE_IMPLIED)
		return BAD(r, "table %s is there already", old->path);
	old->use = USE_HEADER;
	return 0;
}

static int
define_value(struct reader *r)
{
	const struct key *k = &r->key;
	struct seen *old;
	size_t i;

	for (i = r->table.n + 1; i < k->n; i++) {
		if (look(r, k, i, USE_DOTTED, &old) < 0)
			return -1;
		if (old != NULL && old->use == USE_VALUE)
			return BAD(r, "%s is a value, not a table", old->path);
		if (old != NULL && old->use != USE_DOTTED)
			return BAD(r, "table %s is there already", old->path);
	}
	if (look(r, k, k->n, USE_VALUE, &old) < 0)
		return -1;
	return old == NULL ? 0 : BAD(r, "%s is there already", old->path);
}

/*** Values ***/

const char *
toml_type_name(enum toml_type type)
{
	static const char *const names[] = {
		[TOML_TABLE] = "a table",
		[TOML_STRING] = "a string",
		[TOML_INTEGER] = "an integer",
		[TOML_FLOAT] = "a number",
		[TOML_BOOLEAN] = "true or false",
		[TOML_ARRAY] = "an array",
	};

	return names[type];
}

static int
read_string(struct reader *r, struct toml_value *v)
{
	v->type = TOML_STRING;
	/* never moves: it has room for the whole text */
	v->text = r->strings.data + r->strings.len;
	if (starts(r, "\"\"\"") || starts(r, "'''"))
		return many_lines_string(r, &r->strings);
	return one_line_string(r, &r->strings);
}

static bool
number_char(int c)
{
	return bare_char(c) || c == '+' || c == '.' || c == ':';
}

/* Digits of the base, '_' only between two of them; their end. */
static const char *
digits(const char *p, int base, struct buf *to)
{
	int d;

	for (;;) {
		d = hex_digit(*p);
		if (d < 0 || d >= base || buf_add(to, p, 1) < 0)
			return NULL;
		p++;
		if (*p == '_')
			p++;
		else if ((d = hex_digit(*p)) < 0 || d >= base)
			return p;
	}
}

static int
to_integer(struct reader *r, const char *word, const char *text, int base,
    struct toml_value *v)
{
	char *end;

	errno = 0;
	v->integer = strtoll(text, &end, base);
	if (errno == ERANGE)
		return BAD(r, "%.64s: does not fit in 64 bits", word);
	if (*end != '\0')
		return BAD(r, "%.64s: not a number", word);
	v->type = TOML_INTEGER;
	v->real = (double)v->integer;
	return 0;
}

static int
based(struct reader *r, const char *word, struct buf *to, struct toml_value *v)
{
	int base = word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : 2;
	const char *end = digits(word + 2, base, to);

	if (end == NULL || *end != '\0')
		return BAD(r, "%.64s: not a number of base %d", word, base);
	return to_integer(r, word, buf_str(to), base, v);
}

/* The word without its '_', in to; 1 when it is a float, -1 neither. */
static int
decimal(const char *word, struct buf *to)
{
	const char *p = word, *first;
	int is_float = 0;

	if (*p == '-' && buf_adds(to, "-") < 0)
		return -1;
	if (*p == '-' || *p == '+')
		p++;
	first = p;
	if ((p = digits(p, 10, to)) == NULL ||
	    (first[0] == '0' && p != first + 1))
		return -1;
	if (*p == '.') {
		is_float = 1;
		if (buf_adds(to, ".") < 0 ||
		    (p = digits(p + 1, 10, to)) == NULL)
			return -1;
	}
	if (*p == 'e' || *p == 'E') {
		is_float = 1;
		p++;
		if (buf_adds(to, "e") < 0 ||
		    (*p == '-' && buf_adds(to, "-") < 0))
			return -1;
		if (*p == '-' || *p == '+')
			p++;
		if ((p = digits(p, 10, to)) == NULL)
			return -1;
	}
	return *p == '\0' ? is_float : -1;
}

static int
number(struct reader *r, const char *word, struct buf *to, struct toml_value *v)
{
	int kind;

	if (word[0] == '0' && word[1] != '\0' && strchr("xob", word[1]) != NULL)
		return based(r, word, to, v);
	if ((kind = decimal(word, to)) == 0)
		return to_integer(r, word, buf_str(to), 10, v);
	if (kind > 0) {
		v->type = TOML_FLOAT;
		v->real = strtod(buf_str(to), NULL);
		if (v->real - v->real != 0)
			return BAD(r, "%.64s: too large", word);
		return 0;
	}
	if (strstr(word, "inf") != NULL || strstr(word, "nan") != NULL)
		return BAD(r, "%.64s: inf and nan are not taken", word);
	if (strchr(word, ':') != NULL || strchr(word + 1, '-') != NULL)
		return BAD(r, "%.64s: dates and times are not taken", word);
	return BAD(r, "%.64s: not a number (strings need quotes)", word);
}

static int
read_word(struct reader *r, struct toml_value *v)
{
	cleanup_buf struct buf text = BUF_INIT;
	char word[128];
	size_t n = 0;

	while (number_char(peek(r)) && n < sizeof(word) - 1)
		word[n++] = *r->p++;
	word[n] = '\0';
	if (n == sizeof(word) - 1)
		return BAD(r, "%.32s...: too long", word);
	if (n == 0)
		return BAD(r, "expected a value");
	if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
		v->type = TOML_BOOLEAN;
		v->boolean = word[0] == 't';
		return 0;
	}
	return number(r, word, &text, v);
}

static int
scalar(struct reader *r, struct toml_value *v)
{
	memset(v, 0, sizeof(*v));
	if (peek(r) == '"' || peek(r) == '\'')
		return read_string(r, v);
	if (peek(r) == '{')
		return BAD(r, "tables in { } are not taken: use [table]");
	return read_word(r, v);
}

static int
array(struct reader *r, struct toml_value *v, struct toml_value **items)
{
	size_t n = 0, room = 0;
	int begun = r->line;

	v->type = TOML_ARRAY;
	for (r->p++;; r->p++) {
		skip_lines(r);
		if (r->p == r->end)
			break;
		if (peek(r) == ']')
			break;
		if (peek(r) == '[')
			return BAD(r, "arrays of arrays are not taken");
		if (n == TOML_ITEMS_MAX)
			return BAD(
			    r, "an array of more than %d", TOML_ITEMS_MAX);
		if (n == room) {
			room = room * 2 + 8;
			*items = xrealloc(*items, room, sizeof(**items));
		}
		if (scalar(r, &(*items)[n++]) < 0)
			return -1;
		skip_lines(r);
		if (peek(r) == ']' || r->p == r->end)
			break;
		if (peek(r) != ',')
			return BAD(r, "expected , or ] in an array");
	}
	if (r->p == r->end) {
		r->line = begun;
		return BAD(r, "an array is not closed by ]");
	}
	r->p++;
	v->items = *items;
	v->nitems = n;
	return 0;
}

/*** Lines ***/

static int
tell(
    struct reader *r, const struct key *k, int line, const struct toml_value *v)
{
	const char *parts[TOML_PARTS_MAX];
	struct toml_item item = { .parts = parts,
		.nparts = k->n,
		.path = buf_str(&k->path),
		.line = line,
		.value = v };
	size_t i;

	for (i = 0; i < k->n; i++)
		parts[i] = k->parts.data + k->part[i];
	r->line = line; /* of what e is about */
	return r->fn(r->arg, &item, r->e);
}

static int
header(struct reader *r)
{
	const struct toml_value v = { .type = TOML_TABLE };

	r->p++;
	if (peek(r) == '[')
		return BAD(r, "arrays of tables are not taken");
	key_clear(&r->table);
	skip_blanks(r);
	if (read_key(r, &r->table) < 0)
		return -1;
	if (peek(r) != ']')
		return BAD(r, "expected ] after the table's name");
	r->p++;
	if (define_table(r) < 0)
		return -1;
	return tell(r, &r->table, r->line, &v);
}

static int
assignment(struct reader *r)
{
	cleanup_free struct toml_value *items = NULL;
	struct toml_value v = { 0 };
	int line = r->line, last;

	if (key_copy(r, &r->key, &r->table) < 0 || read_key(r, &r->key) < 0)
		return -1;
	if (peek(r) != '=')
		return BAD(r, "expected = after %s", buf_str(&r->key.path));
	r->p++;
	skip_blanks(r);
	buf_clear(&r->strings);
	if (define_value(r) < 0 ||
	    (peek(r) == '[' ? array(r, &v, &items) : scalar(r, &v)) < 0)
		return -1;
	last = r->line;
	if (tell(r, &r->key, line, &v) < 0)
		return -1;
	r->line = last;
	return 0;
}

static int
lines(struct reader *r)
{
	for (;;) {
		skip_lines(r);
		if (r->p == r->end)
			return 0;
		if ((peek(r) == '[' ? header(r) : assignment(r)) < 0 ||
		    end_line(r) < 0)
			return -1;
	}
}

/*** The text ***/

static int
check_bytes(struct reader *r)
{
	const unsigned char *p = (const unsigned char *)r->p;
	const unsigned char *end = (const unsigned char *)r->end;
	size_t n;

	for (; p < end; p += n) {
		if ((n = utf8_length(p, (size_t)(end - p))) == 0)
			return BAD(r, "byte 0x%02x: not UTF-8", *p);
		if (*p == '\n')
			r->line++;
		else if ((*p < 0x20 && *p != '\t' &&
			     !(*p == '\r' && p + 1 < end && p[1] == '\n')) ||
		    *p == 0x7f)
			return BAD(r, "control character 0x%02x", *p);
	}
	r->line = 1;
	return 0;
}

int
toml_read(const char *text, size_t len, toml_fn *fn, void *arg, struct err *e)
{
	struct reader r = { .p = text,
		.end = text + len,
		.line = 1,
		.fn = fn,
		.arg = arg,
		.e = e };
	int result;

	if (len > TOML_TEXT_MAX)
		return err_setx(
		    e, EINVAL, "larger than %u bytes", TOML_TEXT_MAX);
	buf_limit(&r.table.parts, TOML_KEY_MAX);
	buf_limit(&r.table.path, TOML_KEY_MAX);
	buf_limit(&r.key.parts, TOML_KEY_MAX);
	buf_limit(&r.key.path, TOML_KEY_MAX);
	if (buf_reserve(&r.strings, len + 1, NULL) < 0)
		return err_set(e, ENOMEM, "reading");
	if ((result = check_bytes(&r)) == 0)
		result = lines(&r);
	if (result < 0)
		(void)err_wrap(e, "line %d", r.line);
	key_done(&r.table);
	key_done(&r.key);
	buf_done(&r.strings);
	tdestroy(r.seen, free);
	return result;
}
