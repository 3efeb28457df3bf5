#include "lib/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/size.h"

struct reader {
	const char *p;
	const char *end;
	char *to;
};

/* The number after \x (two hexadecimal digits) or \ (three octal ones). */
static int
numeric_escape(struct reader *r, int base, int digits)
{
	int v = 0, d;

	while (digits-- > 0 && r->p < r->end) {
		d = hex_digit(*r->p);
		if (d < 0 || d >= base)
			break;
		v = v * base + d;
		r->p++;
	}
	return v & 0xff;
}

/*
 * One escape of $'..', the backslash already taken, at least one byte left:
 * the byte, or -1 where bash leaves the backslash as it is.
 */
static int
dollar_escape(struct reader *r)
{
	static const char from[] = "abefnrtvE\\'\"?";
	static const char to[] = "\a\b\033\f\n\r\t\v\033\\'\"?";
	const char *at;
	char c = *r->p;

	if (c >= '0' && c <= '7')
		return numeric_escape(r, 8, 3);
	if (c == 'x' && r->p + 1 < r->end && hex_digit(r->p[1]) >= 0) {
		r->p++;
		return numeric_escape(r, 16, 2);
	}
	if ((at = strchr(from, c)) == NULL)
		return -1;
	r->p++;
	return (unsigned char)to[at - from];
}

static int
single(struct reader *r, _Bool dollar, struct err *e)
{
	int c;

	while (r->p < r->end && *r->p != '\'') {
		c = (unsigned char)*r->p++;
		if (dollar && c == '\\' && r->p < r->end) {
			c = dollar_escape(r);
			if (c == 0)
				return err_setx(
				    e, EINVAL, "a NUL byte in a quoted word");
			if (c < 0)
				c = '\\';
		}
		*r->to++ = (char)c;
	}
	if (r->p == r->end)
		return err_setx(e, EINVAL, "a quote ' is not closed");
	r->p++;
	return 0;
}

static int
double_quoted(struct reader *r, struct err *e)
{
	while (r->p < r->end && *r->p != '"') {
		if (*r->p == '\\' && r->p + 1 < r->end &&
		    strchr("\"\\$`", r->p[1]) != NULL)
			r->p++;
		*r->to++ = *r->p++;
	}
	if (r->p == r->end)
		return err_setx(e, EINVAL, "a quote \" is not closed");
	r->p++;
	return 0;
}

static int
one_word(struct reader *r, struct err *e)
{
	while (r->p < r->end && *r->p != ' ' && *r->p != '\t') {
		if (*r->p == '\'') {
			r->p++;
			if (single(r, 0, e) < 0)
				return -1;
		} else if (*r->p == '"') {
			r->p++;
			if (double_quoted(r, e) < 0)
				return -1;
		} else if (*r->p == '$' && r->p + 1 < r->end &&
		    r->p[1] == '\'') {
			r->p += 2;
			if (single(r, 1, e) < 0)
				return -1;
		} else if (*r->p == '\\' && r->p + 1 < r->end) {
			*r->to++ = r->p[1];
			r->p += 2;
		} else {
			*r->to++ = *r->p++;
		}
	}
	*r->to++ = '\0';
	return 0;
}

int
words_split(struct words *w, const char *line, size_t len, struct err *e)
{
	struct reader r = { .p = line, .end = line + len };

	memset(w, 0, sizeof(*w));
	if (memchr(line, '\0', len) != NULL)
		return err_setx(e, EINVAL, "a NUL byte in the line");
	/* a word is never longer than its quoted form, plus its NUL */
	w->text = r.to = xmalloc(len + 2);
	for (;;) {
		while (r.p < r.end && (*r.p == ' ' || *r.p == '\t'))
			r.p++;
		if (r.p == r.end || *r.p == '#')
			return 0;
		if (w->n == WORDS_MAX) {
			words_done(w);
			return err_setx(
			    e, EINVAL, "more than %d words", WORDS_MAX);
		}
		w->w[w->n++] = r.to;
		if (one_word(&r, e) < 0) {
			words_done(w);
			return -1;
		}
	}
}

void
words_done(struct words *w)
{
	free(w->text);
	memset(w, 0, sizeof(*w));
}

static _Bool
plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c >= 0x80 ||
	    (c != '\0' && strchr("_-+=./:,@%^", c) != NULL);
}

int
words_quote(struct buf *b, const char *word)
{
	size_t start = b->len;
	const char *p;
	_Bool control = 0, quote = *word == '\0';
	int r = 0;

	for (p = word; *p != '\0'; p++) {
		if (!plain((unsigned char)*p))
			quote = 1;
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			control = 1;
	}
	if (!quote)
		return buf_adds(b, word);
	r = buf_adds(b, control ? "$'" : "'");
	for (p = word; *p != '\0' && r == 0; p++) {
		if (control && ((unsigned char)*p < 0x20 || *p == 0x7f))
			r = buf_addf(b, "\\x%02x", (unsigned char)*p);
		else if (control && (*p == '\'' || *p == '\\'))
			r = buf_addf(b, "\\%c", *p);
		else if (*p == '\'')
			r = buf_adds(b, "'\\''");
		else
			r = buf_add(b, p, 1);
	}
	if (r == 0)
		r = buf_adds(b, "'");
	if (r < 0)
		buf_cut(b, start);
	return r;
}

const char *
words_value(const char *w, const char *key)
{
	size_t n = strlen(key);

	return strncmp(w, key, n) == 0 && w[n] == '=' ? w + n + 1 : NULL;
}
