#include "lib/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

void *
xmalloc(size_t size)
{
	return must(malloc(size != 0 ? size : 1));
}

void *
xcalloc(size_t n, size_t size)
{
	return must(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *
xrealloc(void *p, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size)
		abort();
	n *= size;
	return must(realloc(p, n != 0 ? n : 1));
}

char *
xstrdup(const char *s)
{
	return must(strdup(s));
}

char *
xstrndup(const char *s, size_t n)
{
	return must(strndup(s, n));
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	return s;
}

_Bool
str_copy(char *dst, const char *s, size_t n)
{
	size_t len = strnlen(s, n);

	if (n == 0)
		return 0;
	if (len == n) {
		memcpy(dst, s, n - 1);
		dst[n - 1] = '\0';
		return 0;
	}
	memcpy(dst, s, len + 1);
	return 1;
}
