/*
 * The rule for links of a guest on any targets: what is shown as it is never
 * climbs above the root of fs/, and what is resolved has no "..", no "." and
 * no link left in it. The input: words ended by NUL, a directory, a target,
 * and pairs of a link's path and its target.
 */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbxfs/links.h"

#define WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	char *text;
	const char *w[WORDS];
	size_t n;
};

static void
must(_Bool is)
{
	if (!is)
		abort();
}

static void
split(struct input *in, const uint8_t *data, size_t size)
{
	char *p;

	in->text = malloc(size + 1);
	must(in->text != NULL);
	memcpy(in->text, data, size);
	in->text[size] = '\0';
	for (p = in->text; in->n < WORDS && p <= in->text + size;
	     p += strlen(p) + 1)
		in->w[in->n++] = p;
}

static ssize_t
target_of(void *arg, const char *path, char *to, size_t n)
{
	const struct input *in = arg;
	size_t i, len;

	for (i = 2; i + 1 < in->n; i += 2) {
		len = strlen(in->w[i + 1]);
		if (strcmp(in->w[i], path) != 0 || len > n)
			continue;
		memcpy(to, in->w[i + 1], len);
		return (ssize_t)len;
	}
	return 0;
}

/* How far up a path ever gets from depth, never mind what its names are. */
static void
stays_inside(const char *p, size_t depth)
{
	size_t n;

	for (; *p != '\0'; p += n) {
		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && memcmp(p, "..", 2) == 0)
			must(depth-- > 0);
		else if (n != 0 && !(n == 1 && *p == '.'))
			depth++;
	}
}

static void
is_canonical(struct input *in, const char *p)
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *start = p;
	size_t n;

	for (;;) {
		n = strcspn(p, "/");
		must(n != 0 && !(n == 1 && *p == '.') &&
		    !(n == 2 && memcmp(p, "..", 2) == 0));
		p += n;
		if ((size_t)(p - start) < sizeof(path)) {
			memcpy(path, start, (size_t)(p - start));
			path[p - start] = '\0';
			must(target_of(in, path, to, sizeof(to) - 1) == 0);
		}
		if (*p == '\0')
			return;
		p++;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { 0 };
	struct buf b = BUF_INIT;
	size_t depth;

	split(&in, data, size);
	if (in.n >= 2) {
		for (depth = 0; depth < 4; depth++)
			if (link_is_safe(in.w[1], depth))
				stays_inside(in.w[1], depth);
		/* fs/ hands over a directory that has no link on the way */
		if (link_resolve("", in.w[1], target_of, &in, &b) == 0 &&
		    b.len != 0)
			is_canonical(&in, b.data);
	}
	buf_done(&b);
	free(in.text);
	return 0;
}
