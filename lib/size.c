#include "lib/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *
skip_blanks(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

int
hex_digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	if (isxdigit((unsigned char)c))
		return tolower((unsigned char)c) - 'a' + 10;
	return -1;
}

/* The digits at *s, which moves past them. */
static int
digits(const char **s, int64_t *ret_n)
{
	int64_t n = 0;
	const char *p = *s;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, *p - '0', &n))
			return -ERANGE;
	*s = p;
	*ret_n = n;
	return 0;
}

int
size_parse(const char *s, int64_t *ret_bytes)
{
	static const char units[] = "kmgt";
	const char *at;
	int64_t n;
	int r;

	s = skip_blanks(s);
	if ((r = digits(&s, &n)) < 0)
		return r;
	if (*s != '\0' &&
	    (at = strchr(units, tolower((unsigned char)*s))) != NULL) {
		if (__builtin_mul_overflow(
			n, INT64_C(1) << (10 * (at - units + 1)), &n))
			return -ERANGE;
		s++;
	}
	if (*skip_blanks(s) != '\0')
		return -EINVAL;
	*ret_bytes = n;
	return 0;
}

int
int_parse(const char *s, int64_t min, int64_t max, int64_t *ret_n)
{
	_Bool minus = *s == '-';
	int64_t n;
	int r;

	if (minus)
		s++;
	if ((r = digits(&s, &n)) < 0)
		return r;
	if (*s != '\0')
		return -EINVAL;
	if (minus)
		n = -n;
	if (n < min || n > max)
		return -ERANGE;
	*ret_n = n;
	return 0;
}

int
milli_parse(const char *s, int64_t *ret_milli)
{
	int64_t whole = 0, part = 0, scale = 1000;
	_Bool rest = 0; /* digits after the third that are not 0 */
	int r;

	if ((r = digits(&s, &whole)) < 0)
		return r;
	if (whole > 1000000)
		return -ERANGE;
	if (*s == '.') {
		if (!isdigit((unsigned char)*++s))
			return -EINVAL;
		for (; isdigit((unsigned char)*s); s++)
			if (scale > 1) {
				scale /= 10;
				part += (*s - '0') * scale;
			} else if (*s != '0') {
				rest = 1;
			}
	}
	if (*s != '\0')
		return -EINVAL;
	/* 0 would mean no limit, the opposite of what was asked for */
	if (whole == 0 && part == 0 && rest)
		return -ERANGE;
	*ret_milli = whole * 1000 + part;
	return 0;
}

int
duration_parse(const char *s, int64_t *ret_ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 } };
	int64_t total = 0, n;
	_Bool first = 1;
	size_t i, len;
	int r;

	do {
		if ((r = digits(&s, &n)) < 0)
			return r;
		if (*s == '\0' && first) {
			if (__builtin_mul_overflow(n, 1000, ret_ms))
				return -ERANGE;
			return 0;
		}
		for (len = 0; isalpha((unsigned char)s[len]); len++)
			;
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strlen(units[i].name) == len &&
			    strncmp(units[i].name, s, len) == 0)
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return -EINVAL;
		if (__builtin_mul_overflow(n, units[i].ms, &n) ||
		    __builtin_add_overflow(total, n, &total))
			return -ERANGE;
		s += len;
		first = 0;
	} while (*s != '\0');
	*ret_ms = total;
	return 0;
}
