/*
 * config.h - the fixture of the tests of the configuration: a file that is
 * written and read, c, and what was warned of or was wrong with it.
 */
#ifndef TESTS_UNIT_CONFIG_H
#define TESTS_UNIT_CONFIG_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config.h"
#include "lib/buf.h"

static char dir[64], path[96]; /* a directory, and the file in it */
static struct config *c;
static struct err e;
static struct buf warnings;

static inline void
on_warning(const char *text)
{
	buf_addf(&warnings, "%s\n", text);
}

static inline void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static inline void
setup(void)
{
	static const char *const variables[] = { "SANDBOX_SOCKET",
		"SANDBOX_TCP", "SANDBOX_DATA_DIR", "SBXD_SOCKET", "SBXD_TCP",
		"SBXD_DATA_DIR" };
	size_t i;

	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	strcpy(dir, "/tmp/unit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sbxd.toml", dir);
	c = NULL;
}

static inline void
in_dir(char *to, size_t n, const char *name)
{
	snprintf(to, n, "%s/%s", dir, name);
}

static inline void
teardown(void)
{
	char name[128];

	config_free(c);
	buf_done(&warnings);
	(void)unlink(path);
	in_dir(name, sizeof(name), "image.tar");
	(void)unlink(name);
	in_dir(name, sizeof(name), "image");
	(void)rmdir(name);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* 0, or -1 and e; what was read before is gone. */
static inline int
load(const char *text)
{
	config_free(c);
	c = NULL;
	buf_clear(&warnings);
	write_file(path, text);
	return config_load(path, on_warning, &c, &e);
}

static inline void
loads(const char *text)
{
	ck_assert_msg(load(text) == 0, "%s: %s", text, e.text);
}

/* The sentence is "FILE: " and this. */
static inline void
fails(const char *text, const char *want)
{
	ck_assert_msg(load(text) < 0, "%s", text);
	ck_assert_ptr_null(c);
	ck_assert(strncmp(e.text, path, strlen(path)) == 0);
	ck_assert_str_eq(e.text + strlen(path) + 2, want);
}

static inline void
warns(const char *text, const char *want)
{
	loads(text);
	ck_assert_msg(strstr(buf_str(&warnings), want) != NULL,
	    "\"%s\" is not in \"%s\"", want, buf_str(&warnings));
}

#endif
