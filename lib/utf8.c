#include "lib/utf8.h"

size_t
utf8_length(const void *text, size_t left)
{
	const unsigned char *p = text;
	static const unsigned char least[] = { 0, 0, 0, 0xa0, 0x90 };
	size_t n, i;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 || p[0] == 0xf0) && p[1] < least[n])
		return 0;
	if ((p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

size_t
utf8_visible(const void *text, size_t left)
{
	const unsigned char *p = text;
	size_t n = utf8_length(p, left);

	if (n == 1 && (p[0] < 0x20 || p[0] == 0x7f))
		return 0;
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0;
	/* U+2028 to U+202e, U+2066 to U+2069 */
	if (n == 3 && p[0] == 0xe2 &&
	    ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
		(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 0;
	return n;
}

bool
utf8_valid(const void *text, size_t n)
{
	const unsigned char *p = text;
	size_t len;

	for (; n > 0; p += len, n -= len)
		if ((len = utf8_length(p, n)) == 0)
			return false;
	return true;
}
