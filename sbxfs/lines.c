#include "sbxfs/lines.h"

#include <string.h>

void
lines_done(struct lines *l)
{
	buf_done(&l->kept);
}

static _Bool
was_cut(const char *p, size_t n)
{
	if (n == 0 || p[n - 1] == '\n')
		return 0;
	return n % 4096 == 0 || n > LINES_UNCUT_MAX;
}

int
lines_take(struct lines *l, const char *p, size_t n, struct buf *ret)
{
	const char *nl = NULL;
	size_t now = n;
	int r;

	if (was_cut(p, n)) {
		nl = memrchr(p, '\n', n);
		now = nl != NULL ? (size_t)(nl + 1 - p) : 0;
		if ((now == 0 ? l->kept.len : 0) + n - now > LINE_MAX_BYTES)
			now = n;
	}
	l->before = 0;
	if (now != 0) {
		if ((r = buf_add(ret, buf_str(&l->kept), l->kept.len)) < 0 ||
		    (r = buf_add(ret, p, now)) < 0)
			return r;
		l->before = l->kept.len;
		buf_clear(&l->kept);
	}
	return buf_add(&l->kept, p + now, n - now);
}

ssize_t
lines_answer(struct lines *l, size_t n, size_t done, int error)
{
	if (error == 0)
		return (ssize_t)n;
	buf_clear(&l->kept);
	if (done > l->before)
		return (ssize_t)(done - l->before);
	return -error;
}

int
lines_flush(struct lines *l, struct buf *ret)
{
	int r;

	if ((r = buf_add(ret, buf_str(&l->kept), l->kept.len)) < 0)
		return r;
	l->before = 0;
	buf_clear(&l->kept);
	return 0;
}
