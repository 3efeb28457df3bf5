/*
 * The tree by path: names are made, moved and removed in a directory that was
 * opened without following a link (path.h), so no name can be swapped for one
 * that leads elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "agent/files.h"
#include "agent/path.h"
#include "agent/remove.h"
#include "lib/fd.h"

#define RENAME_KNOWN 3 /* RENAME_NOREPLACE, RENAME_EXCHANGE */

/* A name in its directory. */
struct place {
	struct path path;
	int dir;
	const char *name; /* in path */
};

static void
place_done(struct place *p)
{
	close_fd(&p->dir);
}

#define cleanup_place __attribute__((cleanup(place_done)))

static int
place_find(struct place *p, const struct bytes *path)
{
	int r;

	if ((r = path_set(&p->path, path, false)) < 0)
		return r;
	p->dir = path_parent(&p->path, 0, &p->name);
	return p->dir < 0 ? p->dir : 0;
}

/* The answer to what has made the name: its attributes. */
static int
put_made(struct call *c, const struct place *p)
{
	struct stat st;

	if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	put_stat(&c->out, &st);
	return 0;
}

static int
fs_mkdir(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .dir = -1 };
	struct stat st;
	int r;

	if ((r = path_set(&p.path, &a->path, false)) < 0)
		return r;
	p.dir = path_parent(&p.path, a->parents ? PATH_MAKE : 0, &p.name);
	if (p.dir < 0)
		return p.dir == -EBUSY ? -EEXIST : p.dir;
	if (mkdirat(p.dir, p.name, a->mode >= 0 ? (mode_t)a->mode : 0755) == 0)
		return put_made(c, &p);
	if (errno == EEXIST && a->parents &&
	    fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -EEXIST;
	return -errno;
}

static int
fs_mknod(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .dir = -1 };
	int r;

	if ((r = place_find(&p, &a->path)) < 0)
		return r;
	if (mkfifoat(p.dir, p.name, a->mode >= 0 ? (mode_t)a->mode : 0644) < 0)
		return -errno;
	return put_made(c, &p);
}

static int
fs_symlink(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .dir = -1 };
	int r;

	if ((r = place_find(&p, &a->path)) < 0)
		return r;
	if (symlinkat(a->target.p, p.dir, p.name) < 0)
		return -errno;
	return put_made(c, &p);
}

static int
fs_readlink(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_fd int fd = -1;
	char target[PATH_MAX];
	struct path p;
	ssize_t n;
	int r;

	if ((r = path_set(&p, &a->path, false)) < 0)
		return r;
	if ((fd = path_open(&p, O_PATH | O_NOFOLLOW, 0)) < 0)
		return fd;
	if ((n = readlinkat(fd, "", target, sizeof(target))) < 0)
		return errno == ENOENT ? -EINVAL : -errno;
	json_put_bytes(&c->out, "target", target, (size_t)n);
	return 0;
}

static int
fs_link(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place from = { .dir = -1 }, to = { .dir = -1 };
	int r;

	if ((r = place_find(&from, &a->path)) < 0 ||
	    (r = place_find(&to, &a->to)) < 0)
		return r;
	if (linkat(from.dir, from.name, to.dir, to.name, 0) < 0)
		return -errno;
	return put_made(c, &to);
}

static int
fs_rename(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place from = { .dir = -1 }, to = { .dir = -1 };
	int r;

	(void)c;
	if ((r = place_find(&from, &a->path)) < 0 ||
	    (r = place_find(&to, &a->to)) < 0)
		return r;
	if (syscall(SYS_renameat2, from.dir, from.name, to.dir, to.name,
		(unsigned)a->flags) < 0)
		return -errno;
	return 0;
}

static int
unlink_as(const struct fs_args *a, int flags)
{
	cleanup_place struct place p = { .dir = -1 };
	int r;

	if ((r = place_find(&p, &a->path)) < 0)
		return r;
	return unlinkat(p.dir, p.name, flags) < 0 ? -errno : 0;
}

static int
fs_unlink(struct call *c, void *args)
{
	(void)c;
	return unlink_as(args, 0);
}

static int
fs_rmdir(struct call *c, void *args)
{
	(void)c;
	return unlink_as(args, AT_REMOVEDIR);
}

static int
fs_remove(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_place struct place p = { .dir = -1 };
	struct stat st;
	int r;

	if ((r = path_set(&p.path, &a->path, a->follow)) < 0)
		return r;
	if ((p.dir = path_parent(&p.path, 0, &p.name)) < 0)
		return p.dir;
	if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(p.dir, p.name, 0) < 0 ? -errno : 0;
	return work_start(c, remove_tree, p.dir, p.name);
}

static int
set_size(const struct place *p, int64_t size)
{
	cleanup_fd int fd = -1;
	struct stat st;

	fd = openat(p->dir, p->name,
	    O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return ftruncate(fd, size) < 0 ? -errno : 0;
}

/* A race that puts a link there changes what the link leads to: inside the
 * sandbox, with no more rights than those who made it have. */
static int
set_mode(const struct place *p, mode_t mode)
{
	struct stat st;

	if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -EOPNOTSUPP;
	return fchmodat(p->dir, p->name, mode, 0) < 0 ? -errno : 0;
}

static void
set_time(struct timespec *ts, int64_t ns, bool now)
{
	int64_t rest = ns % NS_PER_S;

	if (now || ns == INT64_MIN) {
		ts->tv_nsec = now ? UTIME_NOW : UTIME_OMIT;
		return;
	}
	if (rest < 0)
		rest += NS_PER_S;
	ts->tv_sec = (ns - rest) / NS_PER_S;
	ts->tv_nsec = rest;
}

/* False: none is to be set. */
static bool
take_times(const struct fs_args *a, struct timespec ts[2])
{
	int64_t rest = a->mtime % 1000;

	memset(ts, 0, 2 * sizeof(*ts));
	set_time(&ts[0], a->atime_ns, a->atime_now);
	set_time(&ts[1], a->mtime_ns, a->mtime_now);
	if (a->mtime != INT64_MIN) { /* milliseconds */
		rest += rest < 0 ? 1000 : 0;
		ts[1].tv_sec = (a->mtime - rest) / 1000;
		ts[1].tv_nsec = rest * 1000000;
	}
	return ts[0].tv_nsec != UTIME_OMIT || ts[1].tv_nsec != UTIME_OMIT;
}

/* To set nothing is a chown to nobody: it takes setuid bits away as well. */
static bool
sets_owner(const struct fs_args *a)
{
	struct timespec ts[2];

	return a->uid >= 0 || a->gid >= 0 ||
	    (a->size < 0 && a->mode < 0 && !take_times(a, ts));
}

/* Size first: it takes suid bits away that a mode may put back. */
static int
set_by_path(const struct fs_args *a, struct stat *st)
{
	cleanup_place struct place p = { .dir = -1 };
	struct timespec ts[2];
	int r;

	if ((r = place_find(&p, &a->path)) < 0)
		return r;
	if (a->size >= 0 && (r = set_size(&p, a->size)) < 0)
		return r;
	if (sets_owner(a) &&
	    fchownat(p.dir, p.name, (uid_t)a->uid, (gid_t)a->gid,
		AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (a->mode >= 0 && (r = set_mode(&p, (mode_t)a->mode)) < 0)
		return r;
	if (take_times(a, ts) &&
	    utimensat(p.dir, p.name, ts, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return fstatat(p.dir, p.name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int
set_by_handle(int fd, const struct fs_args *a, struct stat *st)
{
	struct timespec ts[2];

	if (fd < 0)
		return fd;
	if ((a->size >= 0 && ftruncate(fd, a->size) < 0) ||
	    (sets_owner(a) && fchown(fd, (uid_t)a->uid, (gid_t)a->gid) < 0) ||
	    (a->mode >= 0 && fchmod(fd, (mode_t)a->mode) < 0) ||
	    (take_times(a, ts) && futimens(fd, ts) < 0) || fstat(fd, st) < 0)
		return -errno;
	return 0;
}

static int
fs_setattr(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct stat st;
	int r;

	r = a->path.p != NULL ? set_by_path(a, &st)
			      : set_by_handle(handle_fd(c->conn, a->h), a, &st);
	if (r == 0)
		put_stat(&c->out, &st);
	return r;
}

static int
fs_statfs(struct call *c, void *args)
{
	const struct fs_args *a = args;
	cleanup_fd int fd = -1;
	struct statvfs v;
	struct path p;
	int r;

	if ((r = path_set(&p, &a->path, false)) < 0)
		return r;
	if ((fd = path_open(&p, O_PATH | O_NOFOLLOW, 0)) < 0)
		return fd;
	if (fstatvfs(fd, &v) < 0)
		return -errno;
	json_put_int(&c->out, "bsize", (int64_t)v.f_frsize);
	json_put_int(&c->out, "blocks", (int64_t)v.f_blocks);
	json_put_int(&c->out, "bfree", (int64_t)v.f_bfree);
	json_put_int(&c->out, "bavail", (int64_t)v.f_bavail);
	json_put_int(&c->out, "files", (int64_t)v.f_files);
	json_put_int(&c->out, "ffree", (int64_t)v.f_ffree);
	return 0;
}

/*** The table ***/

static const struct param path_params[] = {
	FS_BYTES("path", path),
	{ 0 },
};

static const struct param statfs_params[] = {
	FS_PATH_OPT,
	{ 0 },
};

static const struct param mknod_params[] = {
	FS_BYTES("path", path),
	FS_MODE,
	{ 0 },
};

static const struct param remove_params[] = {
	FS_BYTES("path", path),
	FS_BOOL(follow),
	{ 0 },
};

static const struct param mkdir_params[] = {
	FS_BYTES("path", path),
	FS_MODE,
	FS_BOOL(parents),
	{ 0 },
};

static const struct param symlink_params[] = {
	FS_BYTES("path", path),
	FS_BYTES("target", target),
	{ 0 },
};

static const struct param link_params[] = {
	FS_BYTES("from", path),
	FS_BYTES("to", to),
	{ 0 },
};

static const struct param rename_params[] = {
	FS_BYTES("from", path),
	FS_BYTES("to", to),
	FS_INT_OPT(flags, 0, RENAME_KNOWN, 0),
	{ 0 },
};

/* Times in milliseconds that are seconds of 64 bits as well. */
static const struct param setattr_params[] = {
	FS_PATH_OPT,
	FS_INT_OPT(h, 0, HANDLES_MAX - 1, -1),
	FS_MODE,
	FS_INT_OPT(uid, 0, UINT32_MAX - 1, -1),
	FS_INT_OPT(gid, 0, UINT32_MAX - 1, -1),
	FS_NS(atime_ns),
	FS_NS(mtime_ns),
	FS_BOOL(atime_now),
	FS_BOOL(mtime_now),
	FS_INT_OPT(size, 0, INT64_MAX, -1),
	FS_INT_OPT(mtime, INT64_MIN / 2, INT64_MAX / 2, INT64_MIN),
	{ 0 },
};

const struct method tree_methods[] = {
	{ .name = "sbx.fs.mkdir", .call = fs_mkdir, .params = mkdir_params },
	{ .name = "sbx.fs.mknod", .call = fs_mknod, .params = mknod_params },
	{ .name = "sbx.fs.symlink",
	    .call = fs_symlink,
	    .params = symlink_params },
	{ .name = "sbx.fs.readlink",
	    .call = fs_readlink,
	    .params = path_params },
	{ .name = "sbx.fs.link", .call = fs_link, .params = link_params },
	{ .name = "sbx.fs.rename", .call = fs_rename, .params = rename_params },
	{ .name = "sbx.fs.unlink", .call = fs_unlink, .params = path_params },
	{ .name = "sbx.fs.rmdir", .call = fs_rmdir, .params = path_params },
	{ .name = "sbx.fs.remove", .call = fs_remove, .params = remove_params },
	{ .name = "sbx.fs.setattr",
	    .call = fs_setattr,
	    .params = setattr_params },
	{ .name = "sbx.fs.statfs", .call = fs_statfs, .params = statfs_params },
	{ 0 },
};
