/*
 * The agent's JSON reader on any bytes: what it takes, jansson takes too (our
 * limits are narrower), and each value is the same to both.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(_Bool is)
{
	if (!is)
		abort();
}

static void
compare_string(const struct json *j, int t, const json_t *want)
{
	char *to = malloc(json_room(j, t));
	struct json_out o = { 0 };
	long n;

	must(to != NULL);
	n = json_bytes(j, t, to);
	must(n >= 0 && (size_t)n < json_room(j, t) && to[n] == '\0');
	must((size_t)n == json_string_length(want));
	must(memcmp(to, json_string_value(want), (size_t)n) == 0);
	json_put_bytes(&o, NULL, to, (size_t)n);
	must(o.err == 0);
	buf_done(&o.b);
	free(to);
}

static void compare(const struct json *j, int t, const json_t *want);

static void
compare_array(const struct json *j, int t, const json_t *want)
{
	size_t i = 0;
	int e;

	for (e = json_first(j, t); e >= 0; e = json_next(j, t, e))
		compare(j, e, json_array_get(want, i++));
	must(i == json_array_size(want));
}

/* jansson keeps the last of equal keys: only what is there once is compared. */
static void
compare_object(const struct json *j, int t, const json_t *want)
{
	char key[64];
	size_t n = 0;
	int k;

	for (k = json_first(j, t); k >= 0; k = json_next(j, t, k), n++) {
		must(json_kind(j, k) == JSON_KIND_STRING);
		(void)json_kind(j, k + 1);
	}
	must(n >= json_object_size(want));
	for (k = json_first(j, t); k >= 0 && n == json_object_size(want);
	     k = json_next(j, t, k)) {
		if (json_room(j, k) > sizeof(key))
			continue;
		must(json_bytes(j, k, key) >= 0);
		compare(j, k + 1, json_object_get(want, key));
	}
}

static void
compare(const struct json *j, int t, const json_t *want)
{
	int64_t v;
	bool b;

	switch (json_kind(j, t)) {
	case JSON_KIND_NULL:
		must(json_is_null(want));
		break;
	case JSON_KIND_BOOL:
		must(json_bool(j, t, &b) == 0 && json_is_boolean(want) &&
		    b == json_is_true(want));
		break;
	case JSON_KIND_NUMBER:
		must(json_is_number(want));
		if (json_int(j, t, &v) == 0)
			must(json_is_integer(want) &&
			    v == json_integer_value(want));
		break;
	case JSON_KIND_STRING:
		compare_string(j, t, want);
		break;
	case JSON_KIND_ARRAY:
		compare_array(j, t, want);
		break;
	case JSON_KIND_OBJECT:
		compare_object(j, t, want);
		break;
	}
}

/* What the dispatcher looks at, and a base64 object. */
static void
look(const struct json *j)
{
	static const char *const keys[] = { "id", "method", "params", "base64",
		"" };
	char *to = malloc(json_room(j, 0));
	size_t i;

	must(to != NULL);
	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		(void)json_find(j, 0, keys[i]);
	(void)json_bytes(j, 0, to);
	free(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json j;
	json_t *want;

	if (json_parse(&j, (const char *)data, size) < 0)
		return 0;
	look(&j);
	/* A lone surrogate or a number too large is no JSON to jansson. */
	want = json_loadb(
	    (const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (want != NULL)
		compare(&j, 0, want);
	json_decref(want);
	json_done(&j);
	return 0;
}
