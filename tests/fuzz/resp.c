/*
 * Responses of servers in sandboxes as the proxy reads them. The first byte of
 * the input is the size of the pieces it comes in, the second says whether it
 * answers a HEAD, and whether a WebSocket was asked for; what is understood
 * must not depend on the pieces.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http_resp.h"

struct seen {
	int rc;
	int status;
	int64_t length;
	uint64_t sum, bytes;
	unsigned heads;
	bool done, upgraded;
};

struct reader {
	struct http_resp s;
	struct seen seen;
};

static void
add(struct seen *seen, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		seen->sum = seen->sum * 1099511628211u + b[i];
}

/* What goes on to a client holds nothing that the screen refuses. */
static void
on_head(void *arg)
{
	struct reader *r = arg;
	const char *p;

	assert(++r->seen.heads == 1);
	assert(r->s.status >= 101 && r->s.status <= 599);
	assert(r->s.upgraded == (r->s.status == 101));
	assert(r->s.length >= HTTP_RESP_TO_END);
	for (size_t i = 0; i < r->s.nfields; i++) {
		assert(*r->s.fields[i].name != '\0');
		for (p = r->s.fields[i].name; *p != '\0'; p++)
			assert(*p > ' ' && *p != ':' && (*p < 'A' || *p > 'Z'));
		for (p = r->s.fields[i].value; *p != '\0'; p++)
			assert((unsigned char)*p >= ' ' || *p == '\t');
		add(&r->seen, r->s.fields[i].name,
		    strlen(r->s.fields[i].name) + 1);
		add(&r->seen, r->s.fields[i].value,
		    strlen(r->s.fields[i].value) + 1);
	}
}

static void
on_data(void *arg, const void *p, size_t n)
{
	struct reader *r = arg;

	assert(r->seen.heads == 1 && n > 0);
	add(&r->seen, p, n);
	r->seen.bytes += n;
}

static const struct http_resp_ops ops = { .head = on_head, .data = on_data };

static struct seen
run(const char *p, size_t n, size_t step, unsigned flags)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct seen seen;
	size_t take;

	assert(r != NULL);
	http_resp_init(&r->s, (flags & 1) != 0, (flags & 2) != 0, &ops, r);
	while (n > 0 && r->seen.rc == 0 && !r->s.done) {
		take = n < step ? n : step;
		r->seen.rc = http_resp_feed(&r->s, p, take);
		p += take;
		n -= take;
	}
	if (r->seen.rc == 0)
		r->seen.rc = http_resp_eof(&r->s);
	assert(r->seen.rc == 0 || r->s.why != NULL);
	assert(r->seen.rc != 0 || (r->s.done && r->seen.heads == 1));
	if (r->seen.rc == 0 && r->s.length >= 0 && r->seen.bytes > 0)
		assert((int64_t)r->seen.bytes == r->s.length);
	seen = r->seen;
	if (seen.heads > 0) {
		seen.status = r->s.status;
		seen.length = r->s.length;
	}
	seen.done = r->s.done;
	seen.upgraded = r->s.upgraded;
	http_resp_done(&r->s);
	free(r);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct seen whole, pieces;
	char *copy;

	if (size < 3)
		return 0;
	size -= 2;
	copy = malloc(size); /* what comes is not ours to write to */
	assert(copy != NULL);
	memcpy(copy, input + 2, size);
	whole = run(copy, size, SIZE_MAX, input[1]);
	pieces = run(copy, size, (size_t)input[0] + 1, input[1]);
	free(copy);
	assert(whole.rc == pieces.rc);
	assert(whole.heads == pieces.heads);
	/* of one that breaks, pieces may be passed on earlier */
	if (whole.rc == 0) {
		assert(whole.status == pieces.status);
		assert(whole.length == pieces.length);
		assert(whole.sum == pieces.sum);
		assert(whole.upgraded == pieces.upgraded);
	}
	return 0;
}
