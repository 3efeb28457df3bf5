/* What changes names and attributes in fs/. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "sbxfs/fs.h"
#include "sbxfs/links.h"
#include "sbxfs/trees.h"

/* Freeing or copying more than this takes milliseconds. */
#define LONG_BYTES (64 << 20)

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* Linux 6.6; glibc 2.36 does not know it */
#endif

/*** Where something may be changed ***/

/* The path of a directory, to an empty buffer, if names in it may change. */
static int
parent_path(const struct node *parent, struct buf *path)
{
	int r;

	if (parent->box->life != BOX_LIVE || parent->box->trees == NULL)
		return -ESTALE;
	if ((r = fs_path(parent, NULL, path)) < 0)
		return r;
	return trees_empty_dir(buf_str(path)) ? -EPERM : 0;
}

/* EBUSY: the name in the directory of that path is neither removed nor
 * replaced. */
static int
check_fixed(const struct trees *t, struct buf *path, const char *name)
{
	int r = fs_path_add(path, name);

	if (r < 0)
		return r;
	return trees_fixed(t, buf_str(path)) ? -EBUSY : 0;
}

/* The directory, not the caller's to close. */
static int
kept_parent(const struct node *parent, const char *name, bool fixed)
{
	const struct trees *t = parent->box->trees;
	cleanup_buf struct buf path = BUF_INIT;
	int dir, r;

	if ((r = parent_path(parent, &path)) < 0)
		return r;
	dir = trees_dir(t, buf_str(&path));
	if (dir >= 0 && fixed && (r = check_fixed(t, &path, name)) < 0)
		return r;
	return dir;
}

/* One of two directories: its descriptor. The tree it is in goes to
 * *ret_tree. */
static int
open_parent(const struct node *parent, const char *name, bool fixed,
    const struct tree **ret_tree)
{
	const struct trees *t = parent->box->trees;
	cleanup_buf struct buf path = BUF_INIT;
	cleanup_fd int dir = -1;
	const char *rest;
	int r;

	if ((r = parent_path(parent, &path)) < 0)
		return r;
	*ret_tree = trees_at(t, buf_str(&path), &rest);
	dir = trees_open(t, buf_str(&path), O_PATH | O_DIRECTORY);
	if (dir >= 0 && fixed && (r = check_fixed(t, &path, name)) < 0)
		return r;
	return steal_fd(&dir);
}

/*** Making ***/

/*
 * We make things as who they belong to: a sandbox's disk knows only the ids
 * of its range. These are of this thread, as the kernel has them, and our
 * capabilities stay (SECBIT_NO_SETUID_FIXUP, privs.c). To change one takes the
 * kernel microseconds: the user's stays as it is for the next, since what we
 * may do is in our capabilities; the group's does not, which decides whether
 * a change takes a set-group-ID bit away.
 */
static int
become(const struct box *b, const struct caller *c)
{
	uint32_t uid, gid;

	if (id_stored(b->trees, c->uid, b->uid, &uid) < 0 ||
	    id_stored(b->trees, c->gid, b->gid, &gid) < 0)
		return -EINVAL;
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	return 0;
}

/* Names that change make nothing, but the kernel asks for an id of theirs. */
static void
become_root(const struct box *b)
{
	(void)setfsgid(b->trees->base);
	(void)setfsuid(b->trees->base);
}

static void
leave_group(void)
{
	(void)setfsgid(0);
}

/* 0, or the descriptor of a file; -1 and errno. */
static int
make_at(int dir, const struct fs_new *w)
{
	int flags = w->flags & (O_ACCMODE | O_APPEND);

	switch (w->mode & S_IFMT) {
	case S_IFDIR:
		return mkdirat(dir, w->name, w->mode & 07777);
	case S_IFLNK:
		return symlinkat(w->target, dir, w->name);
	case S_IFIFO:
	case S_IFSOCK:
		return mknodat(dir, w->name, w->mode, 0);
	case S_IFREG:
		return openat(dir, w->name,
		    flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    w->mode & 07777);
	default: /* devices */
		errno = EPERM;
		return -1;
	}
}

int
fs_make(const struct fs_new *w, int *ret_fd)
{
	int dir, r;

	if ((dir = kept_parent(w->parent, w->name, false)) < 0)
		return dir;
	if ((r = become(w->parent->box, w->caller)) < 0)
		return r;
	if ((r = make_at(dir, w)) < 0)
		r = -errno;
	leave_group();
	if (r < 0 || (w->mode & S_IFMT) != S_IFREG)
		return r;
	if (ret_fd != NULL)
		*ret_fd = r;
	else
		(void)close(r);
	return 0;
}

int
fs_link(struct sbxfs *s, struct node *n, struct node *to, const char *newname)
{
	cleanup_fd int dir = -1, newdir = -1;
	const struct tree *t, *newt;
	int r;

	if (n->box != to->box)
		return -EXDEV;
	if (!n->hashed)
		return -ENOENT;
	if ((dir = open_parent(n->parent, n->name, false, &t)) < 0)
		return dir;
	newdir = open_parent(to, newname, false, &newt);
	if (newdir < 0)
		return newdir;
	if (t != newt)
		return -EXDEV;
	become_root(n->box);
	r = linkat(dir, n->name, newdir, newname, 0) < 0 ? -errno : 0;
	leave_group();
	if (r < 0)
		return r;
	/* The kernel does not see that the new name is of the same file. */
	kernel_forget_names(s, NULL);
	kernel_forget_attr(s, n);
	return 0;
}

/*** Removing and renaming ***/

static void
forget(struct sbxfs *s, const struct node *parent, const char *name)
{
	struct node *n = nodes_find(&s->nodes, parent, name);

	if (n != NULL)
		fs_orphan(s, n);
}

/* The same of what was removed, which st was: whoever stands in it, or has
 * it open and not through us (a FIFO, O_PATH), may ask what it is. */
static void
forget_removed(struct sbxfs *s, const struct node *parent, const char *name,
    const struct stat *st)
{
	struct node *n = nodes_find(&s->nodes, parent, name);

	if (n == NULL)
		return;
	fs_orphan(s, n);
	if (n->dev != st->st_dev || n->ino != st->st_ino)
		return;
	free(n->last);
	n->last = xmalloc(sizeof(*n->last));
	*n->last = *st;
	n->last->st_nlink = S_ISDIR(st->st_mode) ? 0 : st->st_nlink - 1;
}

bool
fs_takes_long(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_blocks > LONG_BYTES / 512;
}

/* The file of that name, if its blocks would go with its name; or -1. */
static int
hold_long(int dir, const char *name, const struct stat *st)
{
	if (st->st_nlink != 1 || !fs_takes_long(st))
		return -1;
	return fd_open_beneath(dir, name, O_PATH | O_NOFOLLOW, 0);
}

/* The directory that the name is to be removed from, and what has it. */
static int
look_at_name(const struct node *parent, const char *name, struct stat *st)
{
	int dir;

	if (parent->box->protect)
		return -EBUSY;
	dir = kept_parent(parent, name, true);
	if (dir >= 0 && fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return dir;
}

int
fs_unlink(struct sbxfs *s, struct node *parent, const char *name, int *ret_held)
{
	cleanup_fd int held = -1;
	struct stat st;
	int dir;

	if ((dir = look_at_name(parent, name, &st)) < 0)
		return dir;
	held = hold_long(dir, name, &st);
	if (unlinkat(dir, name, 0) < 0)
		return -errno;
	forget_removed(s, parent, name, &st);
	*ret_held = steal_fd(&held);
	return 0;
}

int
fs_rmdir(struct sbxfs *s, struct node *parent, const char *name)
{
	struct stat st;
	int dir;

	if ((dir = look_at_name(parent, name, &st)) < 0)
		return dir;
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0)
		return -errno;
	forget_removed(s, parent, name, &st);
	return 0;
}

static void
move_nodes(
    struct sbxfs *s, const struct fs_name *from, const struct fs_name *to)
{
	struct node *n = nodes_find(&s->nodes, from->parent, from->name);

	forget(s, to->parent, to->name);
	if (n != NULL)
		nodes_move(&s->nodes, n, to->parent, to->name);
}

/* Two names that changed places: both nodes go to the other's. */
static void
swap_nodes(
    struct sbxfs *s, const struct fs_name *from, const struct fs_name *to)
{
	struct node *a = nodes_find(&s->nodes, from->parent, from->name);
	struct node *b = nodes_find(&s->nodes, to->parent, to->name);

	if (b != NULL) {
		node_ref(b);
		nodes_unhash(&s->nodes, b);
	}
	if (a != NULL)
		nodes_move(&s->nodes, a, to->parent, to->name);
	if (b != NULL) {
		nodes_move(&s->nodes, b, from->parent, from->name);
		node_unref(&s->nodes, b);
	}
}

void
fs_renamed(struct sbxfs *s, const struct fs_name *from,
    const struct fs_name *to, unsigned flags)
{
	if ((flags & RENAME_EXCHANGE) != 0)
		swap_nodes(s, from, to);
	else
		move_nodes(s, from, to);
}

static int
rename_at(
    int dir, const char *name, int newdir, const char *newname, unsigned flags)
{
	return renameat2(dir, name, newdir, newname, flags) < 0 ? -errno : 0;
}

/* A protected sandbox's files are not replaced. */
static int
rename_protected(
    int dir, const char *name, int newdir, const char *newname, unsigned flags)
{
	int r;

	if ((flags & RENAME_EXCHANGE) != 0)
		return -EBUSY;
	r = rename_at(dir, name, newdir, newname, flags | RENAME_NOREPLACE);
	return r == -EEXIST && (flags & RENAME_NOREPLACE) == 0 ? -EBUSY : r;
}

int
fs_rename(struct sbxfs *s, const struct fs_name *from, const struct fs_name *to,
    unsigned flags, int *ret_held)
{
	const struct box *b = from->parent->box;
	cleanup_fd int dir = -1, newdir = -1, held = -1;
	const struct tree *t, *newt;
	bool replaces = false;
	struct stat st;
	int r;

	if (b != to->parent->box)
		return -EXDEV;
	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
		return -EINVAL;
	dir = open_parent(from->parent, from->name, true, &t);
	if (dir < 0)
		return dir;
	newdir = open_parent(to->parent, to->name, true, &newt);
	if (newdir < 0)
		return newdir;
	if (t != newt)
		return -EXDEV;
	if (flags == 0)
		replaces =
		    fstatat(newdir, to->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (replaces)
		held = hold_long(newdir, to->name, &st);
	become_root(b);
	r = (b->protect ? rename_protected : rename_at)(
	    dir, from->name, newdir, to->name, flags);
	leave_group();
	if (r < 0)
		return r;
	trees_forget(b->trees); /* another may have asked for it since */
	if (replaces)
		forget_removed(s, to->parent, to->name, &st);
	fs_renamed(s, from, to, flags);
	*ret_held = steal_fd(&held);
	return 0;
}

/*** Attributes ***/

static int
set_mode(int fd, mode_t mode)
{
	char path[40];

	/* The descriptor may be of O_PATH, which fchmod does not take. */
	if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode) < 0 ? -errno : 0;
}

/* The kernel has judged whether the caller may set a group's bit. Without
 * CAP_FSETID it wants us to be of the group. */
static int
change_mode(int fd, mode_t mode)
{
	struct stat st;
	int r;

	if ((mode & S_ISGID) == 0)
		return set_mode(fd, mode);
	if (fstat(fd, &st) < 0)
		return -errno;
	(void)setfsgid(st.st_gid);
	r = set_mode(fd, mode);
	leave_group();
	return r;
}

static int
change_owner(const struct box *b, int fd, const struct stat *st, int to_set)
{
	uint32_t uid = (uint32_t)-1, gid = (uint32_t)-1;

	if (((to_set & FUSE_SET_ATTR_UID) != 0 &&
		id_stored(b->trees, st->st_uid, b->uid, &uid) < 0) ||
	    ((to_set & FUSE_SET_ATTR_GID) != 0 &&
		id_stored(b->trees, st->st_gid, b->gid, &gid) < 0))
		return -EINVAL;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static void
set_time(struct timespec *to, const struct timespec *ts, int to_set, int now)
{
	to->tv_sec = 0;
	to->tv_nsec = UTIME_OMIT;
	if ((to_set & now) != 0)
		to->tv_nsec = UTIME_NOW;
	else if (to_set != 0)
		*to = *ts;
}

static int
change_times(int fd, const struct stat *st, int to_set)
{
	struct timespec ts[2];

	set_time(&ts[0], &st->st_atim,
	    to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW),
	    FUSE_SET_ATTR_ATIME_NOW);
	set_time(&ts[1], &st->st_mtim,
	    to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW),
	    FUSE_SET_ATTR_MTIME_NOW);
	return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

#define SET_OWNER (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
#define SET_TIMES                                                              \
	(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | \
	    FUSE_SET_ATTR_MTIME_NOW)

int
fs_setattr(struct node *n, struct stat *st, int to_set)
{
	struct fs_file *opened = LIST_FIRST(&n->files);
	cleanup_fd int own = -1;
	int fd, r;

	if (n->box->trees == NULL)
		return -ESTALE;
	if (opened != NULL && opened->fd >= 0)
		fd = opened->fd;
	else
		fd = own = fs_open_node(n, NULL, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	/* Nothing is a chown to -1, which takes setuid bits away as well. */
	if (((to_set & SET_OWNER) != 0 ||
		(to_set & (FUSE_SET_ATTR_MODE | SET_TIMES)) == 0) &&
	    (r = change_owner(n->box, fd, st, to_set)) < 0)
		return r;
	if ((to_set & FUSE_SET_ATTR_MODE) != 0 &&
	    (r = change_mode(fd, st->st_mode & 07777)) < 0)
		return r;
	if ((to_set & SET_TIMES) != 0 && (r = change_times(fd, st, to_set)) < 0)
		return r;
	return fs_stat(n, st);
}

int
fs_statfs(struct node *n, struct statvfs *sv)
{
	cleanup_fd int fd = fs_open_node(n, NULL, O_PATH | O_NOFOLLOW);

	if (fd < 0)
		return fd;
	return fstatvfs(fd, sv) < 0 ? -errno : 0;
}

/*** Links ***/

/* What link_resolve asks: the target of the link at path, 0 if it is none. */
static ssize_t
read_link_at(void *arg, const char *path, char *to, size_t n)
{
	const struct box *b = arg;
	cleanup_fd int fd = -1;
	ssize_t r;

	if ((fd = trees_open(b->trees, path, O_PATH | O_NOFOLLOW)) < 0)
		return 0;
	r = readlinkat(fd, "", to, n);
	return r < 0 ? 0 : r;
}

int
fs_readlink(struct sbxfs *s, struct node *n, struct buf *ret)
{
	cleanup_buf struct buf dir = BUF_INIT;
	cleanup_fd int fd = -1;
	char target[PATH_MAX];
	ssize_t len;
	int r;

	if (n->file->at != AT_FS)
		return -EINVAL;
	if ((fd = fs_open_node(n, NULL, O_PATH | O_NOFOLLOW)) < 0)
		return fd;
	if ((len = readlinkat(fd, "", target, sizeof(target) - 1)) < 0)
		return -errno;
	target[len] = '\0';
	if (link_is_safe(target, fs_depth(n->parent)))
		return buf_adds(ret, target);
	if ((r = fs_path(n->parent, NULL, &dir)) < 0 ||
	    (r = buf_addf(ret, "%s/%s/fs/", s->mountpoint, box_shown(n->box))) <
		0)
		return r;
	r = link_resolve(buf_str(&dir), target, read_link_at, n->box, ret);
	return r == 0 && ret->len >= PATH_MAX ? -ENAMETOOLONG : r;
}
