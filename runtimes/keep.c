#include "runtimes/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/dirs.h"
#include "runtimes/disk.h"
#include "runtimes/ids.h"
#include "runtimes/impl.h"
#include "runtimes/userns.h"

#define COPY "record"

static int
open_directory(const char *id)
{
	return openat(native.sandboxes_fd, id,
	    O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int
keep_read(const char *id, struct record *ret, struct err *e)
{
	cleanup_fd int dir = -1;
	struct record r;
	struct err ignored;

	if (record_read(native.instances_fd, id, ret, e) == 0)
		return 0;
	if (e->code != ENOENT || (dir = open_directory(id)) < 0 ||
	    record_read(dir, COPY, &r, &ignored) < 0)
		return -1;
	r.state = RECORD_DOWN;
	r.pid = 0;
	r.boot[0] = '\0';
	*ret = r;
	return 0;
}

static int
copy(const char *id, const struct record *r, struct err *e)
{
	cleanup_fd int dir = -1;

	if (r->limits.storage_bytes != 0)
		return 0;
	if ((dir = open_directory(id)) < 0)
		return err_set(e, errno, "sandboxes/%s", id);
	return record_write(dir, COPY, r, e);
}

int
keep_write(const char *id, const struct record *r, struct err *e)
{
	if (record_write(native.instances_fd, id, r, e) < 0)
		return -1;
	return copy(id, r, e);
}

int
keep_update(const char *id, const struct record *r, struct err *e)
{
	if (record_update(native.instances_fd, id, r, e) < 0)
		return -1;
	return copy(id, r, e);
}

int
keep_revive(const char *id, struct record *r, struct err *e)
{
	cleanup_fd int userns = -1;

	if (r->boot[0] != '\0')
		return 0;
	if (ids_take(native.ids_fd, native.env.id_count / ID_RANGE, id,
		&r->slot, e) < 0)
		return -1;
	r->id_base = (uint32_t)native.env.id_first + r->slot * ID_RANGE;
	(void)snprintf(r->boot, sizeof(r->boot), "%s", native.boot);
	if ((userns = userns_new(r->id_base)) < 0)
		return err_set(e, -userns, "sandbox %s: its ids", id);
	if (disk_unmount(id, e) < 0 || disk_make(id, r, e) < 0 ||
	    disk_mount(id, r, userns, e) < 0)
		return -1;
	return keep_write(id, r, e);
}

struct visit {
	int (*each)(const char *id, void *arg);
	void *arg;
	bool copies; /* records were told: these are what is left */
	bool ended;
};

static int
visit_one(const char *id, void *arg)
{
	struct visit *v = arg;
	char path[RT_ID_MAX + 16];

	if (!dirs_is_id(id))
		return 0;
	if (v->copies) {
		(void)snprintf(path, sizeof(path), "%s/" COPY, id);
		if (faccessat(native.instances_fd, id, F_OK, 0) == 0 ||
		    faccessat(native.sandboxes_fd, path, F_OK, 0) < 0)
			return 0;
	}
	v->ended = v->each(id, v->arg) != 0;
	return v->ended;
}

int
keep_each(int (*each)(const char *id, void *arg), void *arg, struct err *e)
{
	struct visit v = { .each = each, .arg = arg };

	if (dirs_each(native.instances_fd, ".", visit_one, &v, e) < 0)
		return -1;
	v.copies = true;
	if (v.ended)
		return 0;
	return dirs_each(native.sandboxes_fd, ".", visit_one, &v, e);
}
