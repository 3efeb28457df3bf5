#include "runtimes/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"

#define RECORD_MAX (PATH_MAX + 2048)
#define RECORD_PAGE 4096u /* what one write changes as a whole */

enum kind {
	KIND_TEXT,
	KIND_U32,
	KIND_I64,
};

struct field {
	const char *name;
	enum kind kind;
	size_t at;
	size_t room;
};

#define FIELD(n, k, f)                                                      \
	{                                                                   \
		.name = (n), .kind = (k), .at = offsetof(struct record, f), \
		.room = sizeof(((const struct record *)0)->f),              \
	}

static const struct field fields[] = {
	FIELD("state", KIND_U32, state),
	FIELD("slot", KIND_U32, slot),
	FIELD("id_base", KIND_U32, id_base),
	FIELD("run", KIND_U32, run),
	FIELD("pid", KIND_U32, pid),
	FIELD("start", KIND_I64, start),
	FIELD("netns", KIND_I64, netns),
	FIELD("boot", KIND_TEXT, boot),
	FIELD("kind", KIND_TEXT, kind),
	FIELD("hostname", KIND_TEXT, hostname),
	FIELD("layer", KIND_TEXT, layer),
	FIELD("memory", KIND_I64, limits.memory_bytes),
	FIELD("cpu", KIND_I64, limits.cpu_milli),
	FIELD("pids", KIND_I64, limits.pids),
	FIELD("storage", KIND_I64, limits.storage_bytes),
};

#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

static int
set_field(const struct field *f, struct record *r, const char *text)
{
	char *p = (char *)r + f->at;
	int64_t n;
	uint32_t u;

	if (f->kind == KIND_TEXT)
		return str_copy(p, text, f->room) ? 0 : -EINVAL;
	if (int_parse(text, INT64_MIN, INT64_MAX, &n) < 0)
		return -EINVAL;
	if (f->kind == KIND_I64) {
		memcpy(p, &n, sizeof(n));
		return 0;
	}
	if (n < 0 || n > UINT32_MAX)
		return -EINVAL;
	u = (uint32_t)n;
	memcpy(p, &u, sizeof(u));
	return 0;
}

/* The value of the field's line, ended in place, or NULL. */
static char *
find_line(char *text, const char *name)
{
	size_t n = strlen(name);
	char *line, *end;

	for (line = text; *line != '\0'; line = end + 1) {
		end = line + strcspn(line, "\n");
		if (strncmp(line, name, n) == 0 && line[n] == ' ') {
			*end = '\0';
			return line + n + 1;
		}
		if (*end == '\0')
			break;
	}
	return NULL;
}

static int
parse(const char *text, struct record *r)
{
	size_t i;

	for (i = 0; i < NFIELDS; i++) {
		cleanup_free char *copy = xstrdup(text);
		char *value = find_line(copy, fields[i].name);

		if (value == NULL || set_field(&fields[i], r, value) < 0)
			return -EINVAL;
	}
	return r->state <= RECORD_FILES ? 0 : -EINVAL;
}

int
record_read(int at, const char *id, struct record *ret, struct err *e)
{
	char text[RECORD_MAX];
	struct record r = { 0 };
	ssize_t n = fd_read_at(at, id, text, sizeof(text));

	if (n == -ENOENT)
		return err_setx(e, ENOENT, "sandbox %s: no such instance", id);
	if (n < 0)
		return err_set(e, (int)-n, "record of %s", id);
	if (parse(text, &r) < 0)
		return err_setx(e, EUCLEAN, "record of %s: damaged", id);
	*ret = r;
	return 0;
}

static int
add_field(struct buf *b, const struct field *f, const struct record *r)
{
	const char *p = (const char *)r + f->at;
	int64_t n;
	uint32_t u;

	if (f->kind == KIND_TEXT)
		return buf_addf(b, "%s %s\n", f->name, p);
	if (f->kind == KIND_I64) {
		memcpy(&n, p, sizeof(n));
		return buf_addf(b, "%s %" PRId64 "\n", f->name, n);
	}
	memcpy(&u, p, sizeof(u));
	return buf_addf(b, "%s %" PRIu32 "\n", f->name, u);
}

static int
replace(int at, const char *id, const struct buf *b)
{
	cleanup_fd int fd = -1;
	char temp[RT_ID_MAX + 8];
	int err;

	(void)snprintf(temp, sizeof(temp), ".%s", id);
	fd = openat(at, temp,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if ((err = fd_write_full(fd, b->data, b->len)) < 0)
		return err;
	return renameat(at, temp, at, id) < 0 ? -errno : 0;
}

/* What is shorter than before is filled up with empty lines. */
static int
overwrite(int at, const char *id, struct buf *b)
{
	cleanup_fd int fd = -1;
	struct stat st;
	ssize_t n;
	int err;

	if ((fd = openat(at, id, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
	    fstat(fd, &st) < 0)
		return -errno;
	while ((off_t)b->len < st.st_size)
		if ((err = buf_add(b, "\n", 1)) < 0)
			return err;
	n = pwrite(fd, b->data, b->len, 0);
	if (n < 0)
		return -errno;
	return (size_t)n == b->len ? 0 : -EIO;
}

static int
write_as(
    int at, const char *id, const struct record *r, bool there, struct err *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	size_t i;
	int err = 0;

	if (strchr(r->layer, '\n') != NULL || strchr(r->hostname, '\n') != NULL)
		return err_setx(e, EINVAL, "record of %s: a line break", id);
	for (i = 0; i < NFIELDS && err == 0; i++)
		err = add_field(&b, &fields[i], r);
	if (err == 0)
		err = there && b.len < RECORD_PAGE ? overwrite(at, id, &b)
						   : replace(at, id, &b);
	return err == 0 ? 0 : err_set(e, -err, "record of %s", id);
}

int
record_write(int at, const char *id, const struct record *r, struct err *e)
{
	return write_as(at, id, r, false, e);
}

int
record_update(int at, const char *id, const struct record *r, struct err *e)
{
	return write_as(at, id, r, true, e);
}

int
record_remove(int at, const char *id, struct err *e)
{
	char temp[RT_ID_MAX + 8];

	(void)snprintf(temp, sizeof(temp), ".%s", id);
	(void)unlinkat(at, temp, 0); /* seldom there */
	if (unlinkat(at, id, 0) < 0 && errno != ENOENT)
		return err_set(e, errno, "record of %s", id);
	return 0;
}
