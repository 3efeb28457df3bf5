/*
 * Files by handle: open, read, write, list, close. A handle belongs to its
 * connection. One that was opened `atomic` is a file with a name of its own
 * until it is closed with `commit`, which puts it in its place; otherwise it
 * leaves no trace.
 */
#include "agent/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "agent/btime.h"
#include "agent/path.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define READ_MAX (1 << 20)
#define COPY_MAX (16 << 20) /* others wait meanwhile */
#define ENTRIES_MAX 1000
#define ENTRIES_BYTES_MAX (512u << 10) /* the front takes 1 MiB of JSON */

struct handle {
	bool used;
	bool dir;
	int fd;
	/* of an atomic one */
	int parent; /* -1: it is none */
	char *name; /* where it goes */
	char temp[32];
	mode_t mode;
	bool replaces; /* something is there already */
};

struct handles {
	struct handle h[HANDLES_MAX];
};

static void
free_handle(struct handle *h)
{
	close_fd(&h->fd);
	if (h->parent >= 0 && h->temp[0] != '\0')
		(void)unlinkat(h->parent, h->temp, 0);
	close_fd(&h->parent);
	free(h->name);
	memset(h, 0, sizeof(*h));
}

void
handles_free(struct handles *all)
{
	size_t i;

	for (i = 0; all != NULL && i < HANDLES_MAX; i++)
		if (all->h[i].used)
			free_handle(&all->h[i]);
	free(all);
}

static struct handle *
new_handle(struct conn *c, int64_t *ret_number)
{
	struct handles **all = conn_handles(c);
	int64_t i;

	if (*all == NULL)
		*all = xcalloc(1, sizeof(**all));
	for (i = 0; i < HANDLES_MAX; i++) {
		if ((*all)->h[i].used)
			continue;
		(*all)->h[i] =
		    (struct handle){ .used = true, .fd = -1, .parent = -1 };
		*ret_number = i;
		return &(*all)->h[i];
	}
	return NULL;
}

static struct handle *
find_handle(struct conn *c, int64_t number)
{
	struct handles *all = *conn_handles(c);

	if (all == NULL || number < 0 || number >= HANDLES_MAX ||
	    !all->h[number].used)
		return NULL;
	return &all->h[number];
}

_Static_assert(sizeof(struct fs_args) <= ARGS_MAX, "rpc.c has room");

int
handle_fd(struct conn *c, int64_t number)
{
	const struct handle *h = find_handle(c, number);

	return h != NULL ? h->fd : -EBADF;
}

/*** Attributes ***/

static const char *
type_name(mode_t mode)
{
	static const struct {
		mode_t type;
		const char *name;
	} types[] = {
		{ S_IFREG, "file" },
		{ S_IFDIR, "dir" },
		{ S_IFLNK, "symlink" },
		{ S_IFIFO, "fifo" },
		{ S_IFSOCK, "socket" },
		{ S_IFCHR, "char" },
	};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		if ((mode & S_IFMT) == types[i].type)
			return types[i].name;
	return "block";
}

/* 0 for a time that no file of ours should have. */
static int64_t
to_units(const struct timespec *ts, int64_t per_s)
{
	int64_t s = ts->tv_sec;

	if (s >= INT64_MAX / per_s || s <= INT64_MIN / per_s)
		return 0;
	return s * per_s + ts->tv_nsec / (NS_PER_S / per_s);
}

void
put_stat(struct json_out *o, const struct stat *st)
{
	json_put_int(o, "mode", st->st_mode & 07777);
	json_put_int(o, "size", st->st_size);
	json_put_int(o, "mtime", to_units(&st->st_mtim, 1000));
	json_put_int(o, "atime_ns", to_units(&st->st_atim, NS_PER_S));
	json_put_int(o, "mtime_ns", to_units(&st->st_mtim, NS_PER_S));
	json_put_int(o, "ctime_ns", to_units(&st->st_ctim, NS_PER_S));
	json_put_int(o, "blocks", st->st_blocks);
	json_put_int(o, "dev", (int64_t)st->st_dev);
	json_put_int(o, "uid", st->st_uid);
	json_put_int(o, "gid", st->st_gid);
	json_put_int(o, "ino", (int64_t)st->st_ino);
	json_put_int(o, "nlink", (int64_t)st->st_nlink);
	json_put_str(o, "type", type_name(st->st_mode));
}

static int
stat_path(const struct fs_args *a, struct stat *st)
{
	struct path p;
	cleanup_fd int fd = -1;
	int r;

	if ((r = path_set(&p, &a->path, a->follow)) < 0)
		return r;
	fd = path_open(&p, a->follow ? O_PATH : O_PATH | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	return fstat(fd, st) < 0 ? -errno : 0;
}

static int
fs_getattr(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h = find_handle(c->conn, a->h);
	struct stat st;
	int r = 0;

	if (a->path.p != NULL)
		r = stat_path(a, &st);
	else if (h == NULL)
		return -EBADF;
	else if (fstat(h->fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	put_stat(&c->out, &st);
	return 0;
}

/*** Open ***/

/* The flags of open(2), or -EINVAL. */
static int
open_flags(const struct fs_args *a)
{
	static const struct {
		const char *name;
		int flags;
	} modes[] = {
		{ "r", O_RDONLY },
		{ "w", O_WRONLY },
		{ "rw", O_RDWR },
		{ "d", O_RDONLY | O_DIRECTORY },
	};
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(a->access.p, modes[i].name) == 0)
			return modes[i].flags | (a->create ? O_CREAT : 0) |
			    (a->excl ? O_EXCL : 0) | (a->append ? O_APPEND : 0);
	return -EINVAL;
}

static int
check_type(struct handle *h, int flags, struct stat *st)
{
	struct statfs fs;

	if (fstat(h->fd, st) < 0 || fstatfs(h->fd, &fs) < 0)
		return -errno;
	/* Links may have led there: files that are none, some that block. */
	if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC)
		return -EPERM;
	h->dir = S_ISDIR(st->st_mode);
	if ((flags & O_DIRECTORY) != 0)
		return h->dir ? 0 : -ENOTDIR;
	if (h->dir)
		return -EISDIR;
	return S_ISREG(st->st_mode) ? 0 : -ENXIO;
}

static int
make_how(const struct fs_args *a)
{
	return PATH_LAST | (a->parents ? PATH_MAKE : 0);
}

/* A new file is made in its directory, whose place was checked: with links
 * followed, the kernel might make it elsewhere. */
static int
open_new(struct path *p, const struct fs_args *a, int flags)
{
	cleanup_fd int dir = -1;
	const char *name;
	int fd;

	if ((dir = path_parent(p, make_how(a), &name)) < 0)
		return dir;
	fd = openat(dir, name,
	    flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    a->mode >= 0 ? (mode_t)a->mode : 0644);
	return fd < 0 ? -errno : fd;
}

static int
open_plain(
    struct handle *h, struct path *p, const struct fs_args *a, struct stat *st)
{
	int flags = open_flags(a), r;

	if (a->create)
		h->fd = open_new(p, a, flags | (a->trunc ? O_TRUNC : 0));
	else if ((r = path_guard(p)) == -EPERM)
		return r;
	else
		h->fd = path_open(p, flags | O_NONBLOCK, 0);
	if (h->fd < 0)
		return h->fd;
	if ((r = check_type(h, flags, st)) < 0)
		return r;
	/* What was made is not cut: that would take its setuid bits away. */
	if (a->trunc && !a->create && !h->dir &&
	    (ftruncate(h->fd, 0) < 0 || fstat(h->fd, st) < 0))
		return -errno;
	return 0;
}

/* What is open already, whatever has its name. */
static int
open_again(
    struct call *c, struct handle *h, const struct fs_args *a, struct stat *st)
{
	int flags = open_flags(a) & ~(O_CREAT | O_EXCL);
	int fd = handle_fd(c->conn, a->h);
	char path[40];

	if (fd < 0)
		return -EBADF;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	h->fd = open(path,
	    flags | (a->trunc ? O_TRUNC : 0) | O_NONBLOCK | O_NOCTTY |
		O_CLOEXEC);
	if (h->fd < 0) /* ENOENT: files mode has no /proc */
		return errno == ENOENT ? -ESTALE : -errno;
	return check_type(h, flags, st);
}

/* What stands there may be replaced, and lends its mode; or nothing. */
static int
check_replaced(struct handle *h, const struct fs_args *a)
{
	struct stat st;

	h->mode = a->mode >= 0 ? (mode_t)a->mode : 0644;
	if (fstatat(h->parent, h->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (a->excl)
		return -EEXIST;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISREG(st.st_mode))
		return -ENXIO;
	if (a->mode < 0)
		h->mode = st.st_mode & 07777;
	h->replaces = true;
	return 0;
}

static int
open_atomic(
    struct handle *h, struct path *p, const struct fs_args *a, struct stat *st)
{
	const char *name;
	uint64_t random;
	int r;

	if ((h->parent = path_parent(p, make_how(a), &name)) < 0)
		return h->parent == -EBUSY ? -EISDIR : h->parent;
	h->name = xstrdup(name);
	if ((r = check_replaced(h, a)) < 0)
		return r;
	if (getrandom(&random, sizeof(random), 0) < 0)
		return -errno;
	(void)snprintf(
	    h->temp, sizeof(h->temp), ".sbx-put-%016" PRIx64, random);
	h->fd = openat(h->parent, h->temp,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (h->fd < 0) {
		h->temp[0] = '\0';
		return -errno;
	}
	return fstat(h->fd, st) < 0 ? -errno : 0;
}

static int
fs_open(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h;
	struct stat st;
	struct path p;
	int64_t number;
	int r;

	if ((r = path_set(&p, &a->path, a->follow)) < 0)
		return r;
	if (open_flags(a) < 0) {
		(void)err_setx(
		    &c->err, EINVAL, "params.flags: none of r, w, rw, d");
		return -EINVAL;
	}
	if ((h = new_handle(c->conn, &number)) == NULL)
		return -EMFILE;
	if (a->path.p == NULL)
		r = open_again(c, h, a, &st);
	else if (a->atomic)
		r = open_atomic(h, &p, a, &st);
	else
		r = open_plain(h, &p, a, &st);
	if (r < 0) {
		free_handle(h);
		return r;
	}
	json_put_int(&c->out, "h", number);
	json_put_int(&c->out, "btime_ns", btime_ns(h->fd));
	put_stat(&c->out, &st);
	if (h->parent >= 0)
		json_put_bool(&c->out, "replaces", h->replaces);
	return 0;
}

static int
commit(struct handle *h)
{
	if (fchmod(h->fd, h->mode) < 0 ||
	    renameat(h->parent, h->temp, h->parent, h->name) < 0)
		return -errno;
	h->temp[0] = '\0';
	return 0;
}

static int
fs_close(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h = find_handle(c->conn, a->h);
	int r = 0;

	if (h == NULL)
		return -EBADF;
	if (a->commit && h->parent >= 0)
		r = commit(h);
	free_handle(h);
	return r;
}

/*** Data ***/

/* A regular file's handle. */
static int
find_file(struct call *c, int64_t number, struct handle **ret)
{
	struct handle *h = find_handle(c->conn, number);

	if (h == NULL)
		return -EBADF;
	if (h->dir)
		return -EISDIR;
	*ret = h;
	return 0;
}

int
give_binary(struct call *c, size_t n)
{
	if (!c->has_id)
		return 0;
	conn_binary_done(c->conn, n);
	json_put_int(&c->out, "len", (int64_t)n);
	json_put_bool(&c->out, "binary", true);
	return 0;
}

static int
fs_read(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h;
	ssize_t n;
	char *p;
	int r;

	if ((r = find_file(c, a->h, &h)) < 0)
		return r;
	if ((p = conn_binary(c->conn, (size_t)a->len)) == NULL)
		return -ENOMEM;
	n = fd_pread_full(h->fd, p, (size_t)a->len, (uint64_t)a->off);
	if (n < 0)
		return (int)n;
	return give_binary(c, (size_t)n);
}

static int
fs_write(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h;
	size_t done = 0;
	ssize_t n;
	int r;

	if ((r = find_file(c, a->h, &h)) < 0)
		return r;
	while (done < c->bin_len) {
		n = pwrite(h->fd, c->bin + done, c->bin_len - done,
		    a->off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break; /* full: the next write says so */
		done += (size_t)n;
	}
	json_put_int(&c->out, "len", (int64_t)done);
	return 0;
}

static int
sync_file(int fd, const char *name)
{
	(void)name;
	return fsync(fd) < 0 ? -errno : 0;
}

static int
fs_fsync(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h = find_handle(c->conn, a->h);

	return h == NULL ? -EBADF : work_start(c, sync_file, h->fd, "");
}

static int
fs_fallocate(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h;
	int r;

	if ((r = find_file(c, a->h, &h)) < 0)
		return r;
	return fallocate(h->fd, (int)a->mode, a->off, a->len) < 0 ? -errno : 0;
}

static int
fs_lseek(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h;
	off_t at;
	int r;

	if ((r = find_file(c, a->h, &h)) < 0)
		return r;
	if ((at = lseek(h->fd, a->off, (int)a->whence)) < 0)
		return -errno;
	json_put_int(&c->out, "off", at);
	return 0;
}

static int
fs_copy_range(struct call *c, void *args)
{
	const struct fs_args *a = args;
	off_t off = a->off, to_off = a->to_off;
	struct handle *h, *to;
	ssize_t n;
	int r;

	if ((r = find_file(c, a->h, &h)) < 0 ||
	    (r = find_file(c, a->to_h, &to)) < 0)
		return r;
	n = copy_file_range(h->fd, &off, to->fd, &to_off, (size_t)a->len, 0);
	if (n < 0)
		return -errno;
	json_put_int(&c->out, "len", n);
	return 0;
}

/*** Lists ***/

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A directory being listed. */
struct listing {
	int fd;
	int count;
	int64_t next; /* where the last entry ended */
};

static bool
page_full(const struct listing *l, const struct json_out *o)
{
	return l->count >= ENTRIES_MAX || o->b.len >= ENTRIES_BYTES_MAX;
}

/* False: it is gone meanwhile. In a directory that may be read and not be
 * searched there are names, and no more. */
static bool
stat_entry(int dir, const struct dirent *d, struct stat *st)
{
	if (fstatat(dir, d->d_name, st, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	*st = (struct stat){ .st_ino = d->d_ino,
		.st_mode = (mode_t)DTTOIF(d->d_type) };
	return errno == EACCES;
}

/* Writes the entries of one getdents. */
static void
put_entries(struct listing *l, struct json_out *o, const char *p, long n)
{
	const char *end = p + n;
	const struct dirent *d;
	struct stat st;

	for (; p < end && !page_full(l, o); p += d->d_reclen) {
		d = (const struct dirent *)(const void *)p;
		l->next = d->d_off;
		if (is_dots(d->d_name) || !stat_entry(l->fd, d, &st))
			continue;
		json_open(o, NULL, '{');
		json_put_bytes(o, "name", d->d_name, strlen(d->d_name));
		put_stat(o, &st);
		json_close(o, '}');
		l->count++;
	}
}

static int
fs_readdir(struct call *c, void *args)
{
	const struct fs_args *a = args;
	struct handle *h = find_handle(c->conn, a->h);
	struct listing l = { .next = a->after };
	_Alignas(struct dirent) char some[32 << 10];
	long n = 1;

	if (h == NULL || !h->dir)
		return h == NULL ? -EBADF : -ENOTDIR;
	l.fd = h->fd;
	if (lseek(h->fd, a->after, SEEK_SET) < 0)
		return -errno;
	json_open(&c->out, "entries", '[');
	while (!page_full(&l, &c->out)) {
		n = syscall(SYS_getdents64, h->fd, some, sizeof(some));
		if (n <= 0)
			break;
		put_entries(&l, &c->out, some, n);
	}
	if (n < 0)
		return -errno;
	json_close(&c->out, ']');
	if (n == 0)
		json_put_null(&c->out, "next");
	else
		json_put_int(&c->out, "next", l.next);
	return 0;
}

/*** The table ***/

#define HANDLE FS_INT(h, 0, HANDLES_MAX - 1)

static const struct param getattr_params[] = {
	{ .key = "path",
	    .type = PARAM_BYTES,
	    .offset = offsetof(struct fs_args, path) },
	FS_INT_OPT(h, 0, HANDLES_MAX - 1, -1),
	FS_BOOL(follow),
	{ 0 },
};

static const struct param lookup_params[] = {
	FS_BYTES("path", path),
	FS_BOOL(follow),
	{ 0 },
};

static const struct param open_params[] = {
	FS_PATH_OPT,
	FS_INT_OPT(h, 0, HANDLES_MAX - 1, -1),
	FS_BYTES("flags", access),
	FS_BOOL(create),
	FS_BOOL(excl),
	FS_BOOL(trunc),
	FS_BOOL(append),
	FS_BOOL(parents),
	FS_BOOL(follow),
	FS_BOOL(atomic),
	FS_MODE,
	{ 0 },
};

static const struct param read_params[] = {
	HANDLE,
	FS_INT(off, 0, INT64_MAX),
	FS_INT(len, 0, READ_MAX),
	{ 0 },
};

static const struct param write_params[] = {
	HANDLE,
	FS_INT(off, 0, INT64_MAX),
	{ 0 },
};

static const struct param readdir_params[] = {
	HANDLE,
	FS_INT_OPT(after, 0, INT64_MAX, 0),
	{ 0 },
};

static const struct param fallocate_params[] = {
	HANDLE,
	FS_INT_OPT(mode, 0, INT32_MAX, 0),
	FS_INT(off, 0, INT64_MAX),
	FS_INT(len, 0, INT64_MAX),
	{ 0 },
};

static const struct param lseek_params[] = {
	HANDLE,
	FS_INT(off, 0, INT64_MAX),
	FS_INT(whence, SEEK_DATA, SEEK_HOLE),
	{ 0 },
};

static const struct param copy_params[] = {
	HANDLE,
	FS_INT(off, 0, INT64_MAX),
	FS_INT(to_h, 0, HANDLES_MAX - 1),
	FS_INT(to_off, 0, INT64_MAX),
	FS_INT(len, 0, COPY_MAX),
	{ 0 },
};

static const struct param close_params[] = {
	HANDLE,
	FS_BOOL(commit),
	{ 0 },
};

static const struct param handle_params[] = {
	HANDLE,
	{ 0 },
};

const struct method files_methods[] = {
	{ .name = "sbx.fs.lookup",
	    .call = fs_getattr,
	    .params = lookup_params },
	{ .name = "sbx.fs.getattr",
	    .call = fs_getattr,
	    .params = getattr_params },
	{ .name = "sbx.fs.open", .call = fs_open, .params = open_params },
	{ .name = "sbx.fs.read", .call = fs_read, .params = read_params },
	{ .name = "sbx.fs.write",
	    .call = fs_write,
	    .params = write_params,
	    .flags = METHOD_BINARY },
	{ .name = "sbx.fs.readdir",
	    .call = fs_readdir,
	    .params = readdir_params },
	{ .name = "sbx.fs.close", .call = fs_close, .params = close_params },
	{ .name = "sbx.fs.fallocate",
	    .call = fs_fallocate,
	    .params = fallocate_params },
	{ .name = "sbx.fs.lseek", .call = fs_lseek, .params = lseek_params },
	{ .name = "sbx.fs.copy_range",
	    .call = fs_copy_range,
	    .params = copy_params },
	{ .name = "sbx.fs.fsync", .call = fs_fsync, .params = handle_params },
	{ 0 },
};
