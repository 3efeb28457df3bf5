/*
 * json.h - the agent's JSON: a reader over text that came from outside, and a
 * writer. Nesting, tokens and every byte are checked before anything is read;
 * nothing is ever changed in the text. A name that is not UTF-8 is the object
 * {"base64":"..."} in both directions.
 */
#ifndef AGENT_JSON_H
#define AGENT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define JSON_DEPTH_MAX 32
#define JSON_TOKENS_MAX 65536 /* an environment of 256 KiB has fewer */

/*** Reading: values are numbers of tokens, 0 is the whole text ***/

enum json_kind {
	JSON_KIND_NULL,
	JSON_KIND_BOOL,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_ARRAY,
	JSON_KIND_OBJECT,
};

struct json {
	const char *text; /* borrowed */
	/* below is private */
	void *tok;
	int ntok;
};

/* An object or an array. 0; -EINVAL: no JSON; -E2BIG: nested too deep or too
 * many values; -ENOMEM. */
int json_parse(struct json *j, const char *p, size_t n);
void json_done(struct json *j);
#define cleanup_json __attribute__((cleanup(json_done)))

enum json_kind json_kind(const struct json *j, int t);
/* The value of a key of an object, or -1. Keys with escapes are not found. */
int json_find(const struct json *j, int object, const char *key);
/* The first value in an array, or the first key in an object; then what
 * follows t there. -1 at the end. The value of key k is k + 1. */
int json_first(const struct json *j, int container);
int json_next(const struct json *j, int container, int t);

/* 0, or -EINVAL: of another kind, -ERANGE: no 64-bit integer. */
int json_int(const struct json *j, int t, int64_t *ret);
int json_bool(const struct json *j, int t, bool *ret);
/* Bytes that json_bytes may need for t, the NUL included. */
size_t json_room(const struct json *j, int t);
/* Decodes a string, or a base64 object, with a NUL after it. The length, or
 * -EINVAL. */
long json_bytes(const struct json *j, int t, char *to);

/*** Writing: a key is NULL in an array; commas come by themselves ***/

struct json_out {
	struct buf b;
	int err; /* the first failure, -errno: then nothing is appended */
};

void json_open(struct json_out *o, const char *key, char bracket);
void json_close(struct json_out *o, char bracket);
void json_put_int(struct json_out *o, const char *key, int64_t v);
void json_put_bool(struct json_out *o, const char *key, bool v);
void json_put_null(struct json_out *o, const char *key);
/* text is JSON already. */
void json_put_raw(struct json_out *o, const char *key, const struct buf *text);
void json_put_str(struct json_out *o, const char *key, const char *s);
/* n bytes: a string when they are UTF-8, otherwise the base64 object. */
void json_put_bytes(
    struct json_out *o, const char *key, const void *p, size_t n);

#endif
