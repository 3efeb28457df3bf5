/*
 * Heads and bodies as the HTTP front reads them: the screen, the parser, the
 * rules, the routes. The first byte of the input is the size of the pieces it
 * comes in; what is understood must not depend on it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http_impl.h"

#define REQUESTS_MAX 64

struct seen {
	int status; /* of the refusal, 0 none */
	size_t requests;
	uint64_t sum;
};

static uint64_t sum;

static void
add(const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		sum = sum * 1099511628211u + b[i];
}

static void
add_text(const char *s)
{
	add(s != NULL ? s : "\1", s != NULL ? strlen(s) + 1 : 1);
}

static void
data(struct http_req *r, const void *p, size_t n)
{
	(void)r;
	add(p, n);
}

static void
handle(struct http_req *r)
{
	(void)r;
}

static const struct http_route routes[] = {
	{ .method = "GET", .path = "/health", .handle = handle },
	{ .method = "POST", .path = "/sandboxes", .handle = handle },
	{ .method = "GET", .path = "/sandboxes/{id}", .handle = handle },
	{ .method = "PUT",
	    .path = "/sandboxes/{id}/files/*",
	    .stream = true,
	    .handle = handle },
	{ .method = "HEAD",
	    .path = "/sandboxes/{id}/files/*",
	    .handle = handle },
	{ .method = NULL },
};

static struct http_server *
server(void)
{
	static struct http_server *s;

	if (s == NULL) {
		s = calloc(1, sizeof(*s));
		assert(s != NULL);
		s->conf.routes = routes;
		http_route_compile(s);
	}
	return s;
}

static void
start(struct http_req *r, struct http_conn *c)
{
	static const struct http_route body = { .stream = true };

	memset(r, 0, sizeof(*r));
	r->c = c;
	r->pending = &body;
	r->data = data;
	http_head_init(r);
}

/* Nothing that a handler is given may hold what the screen refuses. */
static void
look(struct http_req *r)
{
	static const char *const names[] = { "host", "content-length",
		"transfer-encoding", "expect", "x-test" };
	size_t at = 0;

	add_text(http_method(r));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = http_header(r, names[i]);

		add_text(value);
		for (; value != NULL && *value != '\0'; value++)
			assert((unsigned char)*value >= 0x20 || *value == '\t');
	}
	add_text(r->path);
	add_text(http_route_find(r)->path);
	for (size_t i = 0; i < HTTP_VARS_MAX; i++)
		add_text(http_var(r, i));
	add_text(http_query(r, "a"));
	add_text(http_query_next(r, "label", &at));
	add(&r->length, sizeof(r->length));
}

static void
finish(struct http_req *r)
{
	buf_done(&r->head);
	free(r->params);
}

/* One step of the pump; a status to refuse with, or 0. */
static int
feed(struct http_req *r, const char *p, size_t n, size_t *ret_used)
{
	enum screen_verdict v = screen_feed(&r->screen, p, n, ret_used);
	const char *text;
	int status = 0;

	if (v == SCREEN_BAD)
		return r->screen.status;
	if (r->phase == PHASE_HEAD) {
		if (v == SCREEN_PASS && buf_add(&r->head, p, *ret_used) != 0)
			return 431;
		if (!r->screen.head_done)
			return 0;
		status = http_head_parse(r, &text);
		if (status == 0)
			look(r);
		r->phase = PHASE_BODY;
		return status;
	}
	if (v == SCREEN_PASS &&
	    llhttp_execute(&r->parser, p, *ret_used) != HPE_OK)
		return 400;
	return r->screen.done == r->parsed ? 0 : 400;
}

static struct seen
run(const char *p, size_t n, size_t step)
{
	struct http_conn c = { .s = server() };
	struct http_req *r = malloc(sizeof(*r));
	struct seen seen = { 0 };
	size_t at = 0;

	assert(r != NULL);
	sum = 0;
	start(r, &c);
	while (at < n && seen.status == 0 && seen.requests < REQUESTS_MAX) {
		size_t left = n - at, used = 0;

		seen.status = feed(r, p + at, left < step ? left : step, &used);
		at += used;
		if (seen.status == 0 && r->screen.done) {
			seen.requests++;
			finish(r);
			start(r, &c);
		}
	}
	seen.sum = sum;
	finish(r);
	free(r);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct seen whole, pieces;
	char *copy;

	if (size < 2)
		return 0;
	copy = malloc(size - 1); /* what comes is not ours to write to */
	assert(copy != NULL);
	memcpy(copy, input + 1, size - 1);
	whole = run(copy, size - 1, SIZE_MAX);
	pieces = run(copy, size - 1, (size_t)input[0] + 1);
	free(copy);
	assert(whole.status == pieces.status);
	assert(whole.requests == pieces.requests);
	assert(whole.sum == pieces.sum);
	return 0;
}
