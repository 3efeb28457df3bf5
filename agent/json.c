#include "agent/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
/* Without links to parents a text of many brackets takes quadratic time. */
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "lib/utf8.h"

/*** The grammar: jsmn, even strict, takes [1 2] and {"a"}; so it is checked
 * first, and jsmn only says where things are ***/

struct scan {
	const unsigned char *p, *end;
	int depth;
};

static bool
scan_hex(struct scan *s)
{
	int i;

	for (i = 0; i < 4; i++, s->p++)
		if (s->p == s->end ||
		    strchr("0123456789abcdefABCDEF", *s->p) == NULL ||
		    *s->p == '\0')
			return false;
	return true;
}

static bool
scan_string(struct scan *s)
{
	size_t n;

	for (s->p++; s->p < s->end && *s->p != '"';) {
		if (*s->p < 0x20 ||
		    (n = utf8_length(s->p, (size_t)(s->end - s->p))) == 0)
			return false;
		if (*s->p != '\\') {
			s->p += n;
			continue;
		}
		if (++s->p == s->end || *s->p == '\0' ||
		    strchr("\"\\/bfnrtu", *s->p) == NULL)
			return false;
		if (*s->p++ == 'u' && !scan_hex(s))
			return false;
	}
	return s->p < s->end && *s->p++ == '"';
}

static bool
scan_digits(struct scan *s)
{
	const unsigned char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static bool
scan_number(struct scan *s)
{
	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!scan_digits(s))
		return false;
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	if (s->p < s->end && (*s->p | 0x20) == 'e') {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		return scan_digits(s);
	}
	return true;
}

static void
scan_blanks(struct scan *s)
{
	while (
	    s->p < s->end && *s->p != '\0' && strchr(" \t\r\n", *s->p) != NULL)
		s->p++;
}

static bool
scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t i, n;

	for (i = 0; i < 3; i++) {
		n = strlen(words[i]);
		if ((size_t)(s->end - s->p) >= n &&
		    memcmp(s->p, words[i], n) == 0) {
			s->p += n;
			return true;
		}
	}
	return scan_number(s);
}

static bool
scan_byte(struct scan *s, unsigned char c)
{
	scan_blanks(s);
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static int scan_value(struct scan *s);

static int
scan_container(struct scan *s, unsigned char close)
{
	int r;

	if (++s->depth > JSON_DEPTH_MAX)
		return -E2BIG;
	s->p++;
	if (scan_byte(s, close))
		return s->depth--, 0;
	do {
		scan_blanks(s);
		if (close == '}' &&
		    (s->p == s->end || *s->p != '"' || !scan_string(s) ||
			!scan_byte(s, ':')))
			return -EINVAL;
		if ((r = scan_value(s)) < 0)
			return r;
	} while (scan_byte(s, ','));
	if (!scan_byte(s, close))
		return -EINVAL;
	s->depth--;
	return 0;
}

static int
scan_value(struct scan *s)
{
	scan_blanks(s);
	if (s->p == s->end)
		return -EINVAL;
	if (*s->p == '{')
		return scan_container(s, '}');
	if (*s->p == '[')
		return scan_container(s, ']');
	if (*s->p == '"')
		return scan_string(s) ? 0 : -EINVAL;
	return scan_word(s) ? 0 : -EINVAL;
}

/*** Reading ***/

int
json_parse(struct json *j, const char *p, size_t n)
{
	struct scan s = { .p = (const unsigned char *)p,
		.end = (const unsigned char *)p + n };
	jsmn_parser jp;
	int r;

	memset(j, 0, sizeof(*j));
	scan_blanks(&s);
	if (s.p == s.end || (*s.p != '{' && *s.p != '['))
		return -EINVAL;
	if ((r = scan_value(&s)) < 0)
		return r;
	scan_blanks(&s);
	if (s.p != s.end)
		return -EINVAL;
	jsmn_init(&jp);
	if ((r = jsmn_parse(&jp, p, n, NULL, 0)) < 1)
		return -EINVAL;
	if (r > JSON_TOKENS_MAX)
		return -E2BIG;
	if ((j->tok = calloc((size_t)r, sizeof(jsmntok_t))) == NULL)
		return -ENOMEM;
	jsmn_init(&jp);
	if ((r = jsmn_parse(&jp, p, n, j->tok, (unsigned)r)) < 1) {
		json_done(j);
		return -EINVAL;
	}
	j->text = p;
	j->ntok = r;
	return 0;
}

void
json_done(struct json *j)
{
	free(j->tok);
	memset(j, 0, sizeof(*j));
}

static const jsmntok_t *
token(const struct json *j, int t)
{
	return (const jsmntok_t *)j->tok + t;
}

enum json_kind
json_kind(const struct json *j, int t)
{
	const jsmntok_t *k = token(j, t);
	char c = j->text[k->start];

	if (k->type == JSMN_OBJECT)
		return JSON_KIND_OBJECT;
	if (k->type == JSMN_ARRAY)
		return JSON_KIND_ARRAY;
	if (k->type == JSMN_STRING)
		return JSON_KIND_STRING;
	if (c == 't' || c == 'f')
		return JSON_KIND_BOOL;
	return c == 'n' ? JSON_KIND_NULL : JSON_KIND_NUMBER;
}

int
json_first(const struct json *j, int container)
{
	return token(j, container)->size > 0 ? container + 1 : -1;
}

int
json_next(const struct json *j, int container, int t)
{
	int end = token(j, t)->end;

	/* What lies inside t starts before its end; a key's value does not. */
	if (json_kind(j, container) == JSON_KIND_OBJECT)
		end = token(j, ++t)->end;
	while (++t < j->ntok && token(j, t)->start < end)
		continue;
	if (t == j->ntok || token(j, t)->start >= token(j, container)->end)
		return -1;
	return t;
}

int
json_find(const struct json *j, int object, const char *key)
{
	size_t n = strlen(key);
	int t;

	if (json_kind(j, object) != JSON_KIND_OBJECT)
		return -1;
	for (t = json_first(j, object); t >= 0; t = json_next(j, object, t))
		if ((size_t)(token(j, t)->end - token(j, t)->start) == n &&
		    memcmp(j->text + token(j, t)->start, key, n) == 0)
			return t + 1;
	return -1;
}

int
json_int(const struct json *j, int t, int64_t *ret)
{
	const jsmntok_t *k = token(j, t);
	char copy[24], *end;
	size_t n = (size_t)(k->end - k->start);
	int64_t v;

	if (json_kind(j, t) != JSON_KIND_NUMBER)
		return -EINVAL;
	if (n >= sizeof(copy))
		return -ERANGE;
	memcpy(copy, j->text + k->start, n);
	copy[n] = '\0';
	errno = 0;
	v = strtoimax(copy, &end, 10);
	if (errno != 0 || *end != '\0')
		return -ERANGE;
	*ret = v;
	return 0;
}

int
json_bool(const struct json *j, int t, bool *ret)
{
	if (json_kind(j, t) != JSON_KIND_BOOL)
		return -EINVAL;
	*ret = j->text[token(j, t)->start] == 't';
	return 0;
}

size_t
json_room(const struct json *j, int t)
{
	return (size_t)(token(j, t)->end - token(j, t)->start) + 1;
}

static unsigned
hex4(const char *p)
{
	char h[5] = { p[0], p[1], p[2], p[3], '\0' };

	return (unsigned)strtoul(h, NULL, 16);
}

static char *
put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* *p is after "\u"; moves it behind the character. -1: half a pair. */
static long
take_escape(const char **p, const char *end)
{
	unsigned c = hex4(*p), low;

	*p += 4;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return -1;
	low = hex4(*p + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	*p += 6;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static long
decode_string(const char *p, const char *end, char *to)
{
	static const char from[] = "bfnrt", what[] = "\b\f\n\r\t";
	const char *s;
	char *at = to;
	long c;

	while (p < end) {
		if (*p != '\\') {
			*at++ = *p++;
		} else if (p[1] == 'u') {
			p += 2;
			if ((c = take_escape(&p, end)) < 0)
				return -EINVAL;
			at = put_utf8(at, (unsigned)c);
		} else {
			s = strchr(from, p[1]);
			*at++ = s != NULL ? what[s - from] : p[1];
			p += 2;
		}
	}
	*at = '\0';
	return at - to;
}

static const char b64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static long
decode_base64(const char *p, size_t n, char *to)
{
	uint32_t acc = 0;
	const char *d;
	char *at = to;
	size_t i, pad = 0;

	if (n % 4 != 0)
		return -EINVAL;
	while (n > 0 && pad < 2 && p[n - 1] == '=')
		n--, pad++;
	for (i = 0; i < n; i++) {
		if (p[i] == '\0' || (d = strchr(b64, p[i])) == NULL)
			return -EINVAL;
		acc = acc << 6 | (uint32_t)(d - b64);
		if (i % 4 != 0)
			*at++ = (char)(acc >> (6 - 2 * (i % 4)));
	}
	*at = '\0';
	return at - to;
}

long
json_bytes(const struct json *j, int t, char *to)
{
	const jsmntok_t *k = token(j, t);
	int v;

	if (k->type == JSMN_STRING)
		return decode_string(j->text + k->start, j->text + k->end, to);
	if ((v = json_find(j, t, "base64")) < 0 ||
	    json_kind(j, v) != JSON_KIND_STRING)
		return -EINVAL;
	k = token(j, v);
	return decode_base64(
	    j->text + k->start, (size_t)(k->end - k->start), to);
}

/*** Writing ***/

static void
put(struct json_out *o, const char *p, size_t n)
{
	if (o->err == 0)
		o->err = buf_add(&o->b, p, n);
}

static void
put_quoted(struct json_out *o, const unsigned char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, from = 0;

	put(o, "\"", 1);
	for (i = 0; i < n; i++) {
		char esc[6] = "\\u00";

		if (p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
			continue;
		put(o, (const char *)p + from, i - from);
		from = i + 1;
		if (p[i] >= 0x20) {
			esc[1] = (char)p[i];
			put(o, esc, 2);
		} else {
			esc[4] = hex[p[i] >> 4];
			esc[5] = hex[p[i] & 15];
			put(o, esc, 6);
		}
	}
	put(o, (const char *)p + from, n - from);
	put(o, "\"", 1);
}

/* The comma and the key before a value. */
static void
begin(struct json_out *o, const char *key)
{
	if (o->err == 0 && o->b.len > 0 &&
	    strchr("[{", o->b.data[o->b.len - 1]) == NULL)
		put(o, ",", 1);
	if (key == NULL)
		return;
	put_quoted(o, (const unsigned char *)key, strlen(key));
	put(o, ":", 1);
}

void
json_open(struct json_out *o, const char *key, char bracket)
{
	begin(o, key);
	put(o, &bracket, 1);
}

void
json_close(struct json_out *o, char bracket)
{
	put(o, &bracket, 1);
}

void
json_put_int(struct json_out *o, const char *key, int64_t v)
{
	begin(o, key);
	if (o->err == 0)
		o->err = buf_addf(&o->b, "%" PRId64, v);
}

void
json_put_bool(struct json_out *o, const char *key, bool v)
{
	begin(o, key);
	put(o, v ? "true" : "false", v ? 4 : 5);
}

void
json_put_null(struct json_out *o, const char *key)
{
	begin(o, key);
	put(o, "null", 4);
}

void
json_put_raw(struct json_out *o, const char *key, const struct buf *text)
{
	begin(o, key);
	put(o, text->data, text->len);
}

void
json_put_str(struct json_out *o, const char *key, const char *s)
{
	json_put_bytes(o, key, s, strlen(s));
}

static void
put_base64(struct json_out *o, const unsigned char *p, size_t n)
{
	uint32_t acc;
	size_t i, left;
	char q[4];

	for (i = 0; i < n; i += 3) {
		left = n - i;
		acc = (uint32_t)p[i] << 16;
		acc |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		acc |= left > 2 ? p[i + 2] : 0;
		q[0] = b64[acc >> 18];
		q[1] = b64[acc >> 12 & 63];
		q[2] = left > 1 ? b64[acc >> 6 & 63] : '=';
		q[3] = left > 2 ? b64[acc & 63] : '=';
		put(o, q, 4);
	}
}

void
json_put_bytes(struct json_out *o, const char *key, const void *p, size_t n)
{
	begin(o, key);
	if (utf8_valid(p, n)) {
		put_quoted(o, p, n);
		return;
	}
	put(o, "{\"base64\":\"", 11);
	put_base64(o, p, n);
	put(o, "\"}", 2);
}
