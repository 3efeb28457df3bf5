/*
 * Extended attributes of the name space user; the others say something to a
 * kernel. By path one is read and written from inside its directory, by its
 * name alone: nothing is opened, so it needs no more rights than the attribute
 * itself, and no link is followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/path.h"
#include "lib/fd.h"

/* A file: by its handle's descriptor, or, where that is -1, as name in the
 * directory that we are in. */
struct place {
	int fd;
	const char *name;
	struct path path;
};

static void
place_done(struct place *p)
{
	if (p->name != NULL)
		(void)!chdir("/"); /* it may be closed even to its owner */
}

#define cleanup_place __attribute__((cleanup(place_done)))

/* Goes to where the path says. What is shown empty has no attributes. */
static int
place_enter(struct place *p, const struct bytes *path)
{
	cleanup_fd int dir = -1;
	const char *name = ".";
	int r;

	if ((r = path_set(&p->path, path, false)) < 0)
		return r;
	if (path_guard(&p->path) < 0)
		return -EOPNOTSUPP;
	dir = strcmp(p->path.text, ".") == 0
	    ? path_open(&p->path, O_PATH | O_DIRECTORY, 0)
	    : path_parent(&p->path, 0, &name);
	if (dir < 0)
		return dir;
	if (fchdir(dir) < 0)
		return -errno;
	p->fd = -1;
	p->name = name;
	return 0;
}

static bool
is_user(const char *name)
{
	return strncmp(name, "user.", 5) == 0;
}

static int
place_find(struct place *p, const struct call *c, const struct fs_args *a)
{
	if (a->name.p != NULL && !is_user(a->name.p))
		return -EOPNOTSUPP;
	if (a->path.p != NULL)
		return place_enter(p, &a->path);
	p->fd = handle_fd(c->conn, a->h);
	return p->fd < 0 ? p->fd : 0;
}

/* What a system call left at conn_binary's room is the answer. */
static int
give(struct call *c, ssize_t n)
{
	return n < 0 ? -errno : give_binary(c, (size_t)n);
}

static int
fs_getxattr(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .fd = -1 };
	char *to;
	int r;

	if ((r = place_find(&p, c, a)) < 0)
		return r;
	if ((to = conn_binary(c->conn, XATTR_SIZE_MAX)) == NULL)
		return -ENOMEM;
	return give(c,
	    p.fd >= 0 ? fgetxattr(p.fd, a->name.p, to, XATTR_SIZE_MAX)
		      : lgetxattr(p.name, a->name.p, to, XATTR_SIZE_MAX));
}

/* Leaves the names that are ours to tell: their length. */
static ssize_t
only_user(char *names, ssize_t n)
{
	size_t len, used = 0;
	ssize_t at;

	for (at = 0; at < n; at += (ssize_t)len) {
		len = strlen(names + at) + 1;
		if (!is_user(names + at))
			continue;
		memmove(names + used, names + at, len);
		used += len;
	}
	return n < 0 ? n : (ssize_t)used;
}

static int
fs_listxattr(struct call *c, void *args)
{
	cleanup_place struct place p = { .fd = -1 };
	ssize_t n;
	char *to;
	int r;

	if ((r = place_find(&p, c, args)) < 0)
		return r;
	if ((to = conn_binary(c->conn, XATTR_LIST_MAX)) == NULL)
		return -ENOMEM;
	n = p.fd >= 0 ? flistxattr(p.fd, to, XATTR_LIST_MAX)
		      : llistxattr(p.name, to, XATTR_LIST_MAX);
	return give(c, only_user(to, n));
}

static int
fs_setxattr(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .fd = -1 };
	int r;

	if ((r = place_find(&p, c, a)) < 0)
		return r;
	r = p.fd >= 0
	    ? fsetxattr(p.fd, a->name.p, c->bin, c->bin_len, (int)a->flags)
	    : lsetxattr(p.name, a->name.p, c->bin, c->bin_len, (int)a->flags);
	return r < 0 ? -errno : 0;
}

static int
fs_removexattr(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .fd = -1 };
	int r;

	if ((r = place_find(&p, c, a)) < 0)
		return r;
	r = p.fd >= 0 ? fremovexattr(p.fd, a->name.p)
		      : lremovexattr(p.name, a->name.p);
	return r < 0 ? -errno : 0;
}

/*** The table ***/

static const struct param list_params[] = {
	FS_PATH_OPT,
	FS_INT_OPT(h, 0, HANDLES_MAX - 1, -1),
	{ 0 },
};

static const struct param name_params[] = {
	FS_PATH_OPT,
	FS_INT_OPT(h, 0, HANDLES_MAX - 1, -1),
	FS_BYTES("name", name),
	{ 0 },
};

static const struct param set_params[] = {
	FS_PATH_OPT,
	FS_INT_OPT(h, 0, HANDLES_MAX - 1, -1),
	FS_BYTES("name", name),
	FS_INT_OPT(flags, 0, XATTR_CREATE | XATTR_REPLACE, 0),
	{ 0 },
};

const struct method xattr_methods[] = {
	{ .name = "sbx.fs.getxattr",
	    .call = fs_getxattr,
	    .params = name_params },
	{ .name = "sbx.fs.listxattr",
	    .call = fs_listxattr,
	    .params = list_params },
	{ .name = "sbx.fs.setxattr",
	    .call = fs_setxattr,
	    .params = set_params,
	    .flags = METHOD_BINARY },
	{ .name = "sbx.fs.removexattr",
	    .call = fs_removexattr,
	    .params = name_params },
	{ 0 },
};
