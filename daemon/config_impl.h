/*
 * config_impl.h - the keys of the configuration as tables (config_keys.c),
 * for config.c, which reads the file.
 */
#ifndef DAEMON_CONFIG_IMPL_H
#define DAEMON_CONFIG_IMPL_H

#include "daemon/config.h"
#include "lib/toml.h"

/* What is known of the wire's keys and used for checks only. */
struct wire {
	bool multi_tenant;
	int64_t total_warm;
	char *text; /* of all others */
	int64_t number;
};

enum base {
	IN_CONFIG,
	IN_WIRE,
	IN_PROFILE,
	IN_IMAGE,
};

struct kind;

struct row {
	const char *name;
	const struct kind *kind;
	enum base base;
	size_t offset;
	const char *def; /* as it would be written in quotes; NULL: computed */
	int64_t min, max;
	size_t text;	  /* where to keep it as written; 0: nowhere */
	const char *note; /* a warning for who sets it */
	bool fixed;	  /* holds until the next start */
};

struct rows {
	const struct row *row;
	size_t n;
};

extern const struct rows config_keys;
extern const struct rows config_profile_keys; /* after pool.base.NAME. */
extern const struct rows config_image_keys;   /* after images.NAME. */

/* Where a value goes. */
struct field {
	const struct row *row;
	const char *name; /* the whole path, for messages */
	void *at;
};

const struct row *config_row(const struct rows *rows, const char *name);
/* Checks a value and keeps it; text is as it would be in quotes. */
int config_set(const struct field *f, const char *text, struct err *e);
int config_set_value(
    const struct field *f, const struct toml_value *v, struct err *e);
/* Takes over a value of the configuration; false: it was the same. */
bool config_copy(
    const struct row *row, struct config *to, const struct config *from);
/* Names of profiles and images; what is said before it in the sentence. */
int config_name_check(const char *what, const char *name, struct err *e);

#endif
