#include "lib/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

/* data points off bytes into the block, which holds cap bytes. */
static char *
block(const struct buf *b)
{
	return b->data == NULL ? NULL : b->data - b->off;
}

void
buf_limit(struct buf *b, size_t max)
{
	b->max = max;
}

void
buf_done(struct buf *b)
{
	size_t max = b->max;

	free(block(b));
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void
buf_clear(struct buf *b)
{
	if (b->data == NULL)
		return;
	b->data = block(b);
	b->off = 0;
	b->len = 0;
	b->data[0] = '\0';
}

/*
 * Moves what is there to the front, and grows the block unless that left a
 * quarter of it free: so a long queue is not moved for every few bytes.
 */
static int
make_room(struct buf *b, size_t n)
{
	size_t want;
	char *p;

	if (b->off != 0) {
		p = block(b);
		memmove(p, b->data, b->len);
		b->data = p;
		b->off = 0;
	}
	if (b->len + n + 1 <= b->cap - b->cap / 4)
		return 0;
	want = b->cap * 2;
	if (want < b->len + n + 1)
		want = b->len + n + 1;
	if (want < 64)
		want = 64;
	if ((p = realloc(b->data, want)) == NULL)
		return -ENOMEM;
	b->data = p;
	b->cap = want;
	return 0;
}

int
buf_reserve(struct buf *b, size_t n, char **ret_p)
{
	size_t max = b->max != 0 ? b->max : BUF_MAX_DEFAULT;

	if (n > max || b->len > max - n)
		return -EMSGSIZE;
	if (b->off + b->len + n + 1 > b->cap && make_room(b, n) < 0)
		return -ENOMEM;
	b->data[b->len] = '\0';
	if (ret_p != NULL)
		*ret_p = b->data + b->len;
	return 0;
}

void
buf_grew(struct buf *b, size_t n)
{
	assert(b->off + b->len + n < b->cap);
	b->len += n;
	b->data[b->len] = '\0';
}

int
buf_add(struct buf *b, const void *p, size_t n)
{
	char *to;
	int r;

	if ((r = buf_reserve(b, n, &to)) < 0)
		return r;
	if (n != 0)
		memcpy(to, p, n);
	buf_grew(b, n);
	return 0;
}

int
buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *to;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	if ((r = buf_reserve(b, (size_t)n, &to)) < 0)
		return r;
	(void)vsnprintf(to, (size_t)n + 1, fmt, ap);
	buf_grew(b, (size_t)n);
	return 0;
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vaddf(b, fmt, ap);
	va_end(ap);
	return r;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (n == b->len) {
		buf_clear(b);
		return;
	}
	b->data += n;
	b->off += n;
	b->len -= n;
}

void
buf_cut(struct buf *b, size_t n)
{
	assert(n <= b->len);
	b->len = n;
	if (b->data != NULL)
		b->data[n] = '\0';
}

const char *
buf_str(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}

char *
buf_steal(struct buf *b)
{
	size_t max = b->max;
	char *p;

	if (b->data == NULL)
		return xstrdup("");
	p = block(b);
	memmove(p, b->data, b->len + 1);
	memset(b, 0, sizeof(*b));
	b->max = max;
	return p;
}
