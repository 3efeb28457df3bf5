/*
 * json.h - taking the members of an object by a table: what is missing or of
 * a wrong type is named, what is unknown is ignored; and writing strings
 * where there are so many bytes that building a tree of them is too slow.
 */
#ifndef DAEMON_JSON_H
#define DAEMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"

enum json_kind {
	JSON_K_STRING, /* const char *, no NUL byte inside */
	JSON_K_INT,    /* int64_t */
	JSON_K_BOOL,   /* bool */
	JSON_K_ARRAY,  /* const json_t * */
	JSON_K_OBJECT, /* const json_t * */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	bool required;
	void *to; /* left alone where the member is absent or null */
};

/* Pointers point into o. -1 with EINVAL and a sentence. */
int json_take(
    const json_t *o, const struct json_field *fields, size_t n, struct err *e);
#define JSON_TAKE(o, fields, e) \
	json_take((o), (fields), sizeof(fields) / sizeof((fields)[0]), (e))

/* Appends n bytes as a string, with its quotes. 0; -EINVAL: they are not
 * UTF-8, and nothing is appended; or as buf_add. */
int json_add_string(struct buf *b, const void *p, size_t n);
/* Appends them in base64, without quotes. As buf_add. */
int json_add_base64(struct buf *b, const void *p, size_t n);

#endif
