/*
 * toml.h - a reader of a subset of TOML 1.0: tables, dotted, bare and quoted
 * keys, all four kinds of strings, integers, floats, booleans, arrays of
 * these (over several lines), comments. Dates, inline tables, arrays of
 * tables and of arrays, inf and nan are refused, by name and line.
 *
 * It keeps no tree: a function is called for each table header and each key,
 * in the order of the text.
 */
#ifndef LIB_TOML_H
#define LIB_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define TOML_TEXT_MAX (1u << 20)
#define TOML_PARTS_MAX 8    /* of a key, its table's included */
#define TOML_KEY_MAX 1024   /* bytes of a key, its table's included */
#define TOML_ITEMS_MAX 1024 /* of an array */
#define TOML_KEYS_MAX 10000

enum toml_type {
	TOML_TABLE, /* a header; it may have no keys */
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOLEAN,
	TOML_ARRAY,
};

struct toml_value {
	enum toml_type type;
	const char *text; /* of a string: UTF-8, no NUL inside */
	int64_t integer;
	double real; /* of integers too */
	bool boolean;
	const struct toml_value *items; /* of an array */
	size_t nitems;
};

/* Valid during the call. */
struct toml_item {
	const char *const *parts; /* "pool", "base", "x.y", "cpu" */
	size_t nparts;
	const char *path; /* pool.base."x.y".cpu, for messages */
	int line;
	const struct toml_value *value;
};

/* 0 to go on; -1 and e ends the reading, "line N: " is put before its text. */
typedef int toml_fn(void *arg, const struct toml_item *item, struct err *e);

/* Reads a whole text. What is wrong with it is EINVAL, "line N: ...". */
int toml_read(
    const char *text, size_t len, toml_fn *fn, void *arg, struct err *e);

/* "a string", "an integer", ... for messages. */
const char *toml_type_name(enum toml_type type);

#endif
