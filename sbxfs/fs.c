#include "sbxfs/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "sbxfs/trees.h"

struct fs_dir {
	DIR *d;
	off_t at; /* where d stands */
};

bool
fs_has(const struct node *n)
{
	return n->file->kind == KIND_TREE;
}

double
fs_timeout(const struct sbxfs *s)
{
	/* Without the epoch nothing would take a stale name back. */
	return s->epoch ? 1.0 : 0.0;
}

double
fs_attr_timeout(
    const struct sbxfs *s, const struct node *n, const struct stat *st)
{
	if ((st->st_nlink > 1 || n->box->aliased) && !S_ISDIR(st->st_mode))
		return 0.0;
	return fs_timeout(s);
}

/*** Paths ***/

static bool
is_root(const struct node *n)
{
	return n->file->at != AT_FS;
}

static void
put_name(char **end, const char *name)
{
	size_t len = strlen(name);

	*end -= len;
	memcpy(*end, name, len);
	*--*end = '/';
}

int
fs_path(const struct node *n, const char *name, struct buf *to)
{
	const struct node *at;
	size_t len = 0;
	char *p;
	int r;

	for (at = n; !is_root(at); at = at->parent) {
		if (!at->hashed)
			return -ESTALE;
		len += strlen(at->name) + 1;
	}
	if (name != NULL)
		len += strlen(name) + 1;
	if (len == 0)
		return buf_adds(to, "");
	buf_limit(to, FS_PATH_MAX);
	if ((r = buf_reserve(to, len, &p)) < 0)
		return r == -EMSGSIZE ? -ENAMETOOLONG : r;
	/* From its end, and at last without the slash in front. */
	buf_grew(to, len);
	p += len;
	if (name != NULL)
		put_name(&p, name);
	for (at = n; !is_root(at); at = at->parent)
		put_name(&p, at->name);
	buf_consume(to, 1);
	return 0;
}

size_t
fs_depth(const struct node *n)
{
	size_t depth = 0;

	for (; !is_root(n); n = n->parent)
		depth++;
	return depth;
}

int
fs_path_add(struct buf *path, const char *name)
{
	if (buf_addf(path, "%s%s", path->len != 0 ? "/" : "", name) < 0)
		return -ENAMETOOLONG;
	return 0;
}

int
fs_open_node(const struct node *n, const char *name, int flags)
{
	cleanup_buf struct buf path = BUF_INIT;
	int r;

	if ((r = fs_path(n, name, &path)) < 0)
		return r;
	if (n->box->trees == NULL)
		return -ESTALE;
	return trees_open(n->box->trees, buf_str(&path), flags);
}

/*** Attributes ***/

ino_t
fs_number(const struct stat *st)
{
	uint64_t h = st->st_ino ^ ((uint64_t)st->st_dev << 48 | st->st_dev);

	/* Several file systems under one fs/: their numbers must differ. */
	h *= 0x9e3779b97f4a7c15;
	h ^= h >> 29;
	return h > 1 ? (ino_t)h : 2;
}

static void
show(const struct box *b, struct stat *st)
{
	st->st_ino = fs_number(st);
	st->st_uid = id_shown(b->trees, st->st_uid, b->uid);
	st->st_gid = id_shown(b->trees, st->st_gid, b->gid);
}

static int
stat_fd(struct node *n, int fd, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -errno;
	if (n->box->trees == NULL)
		return -ESTALE;
	show(n->box, st);
	return 0;
}

/* -1: it is not the directory that was asked for last. */
static int
kept_dir(const struct node *n)
{
	cleanup_buf struct buf path = BUF_INIT;

	if (n->type != S_IFDIR || n->box->trees == NULL ||
	    fs_path(n, NULL, &path) < 0)
		return -1;
	return trees_kept(n->box->trees, buf_str(&path));
}

int
fs_stat(struct node *n, struct stat *st)
{
	struct fs_file *f = LIST_FIRST(&n->files);
	cleanup_fd int fd = -1;
	int r;

	/* What is open is asked, since its name may be gone. */
	if (f != NULL && f->fd >= 0)
		return stat_fd(n, f->fd, st);
	if (!n->hashed && n->last != NULL && n->box->trees != NULL) {
		*st = *n->last;
		show(n->box, st);
		return 0;
	}
	if ((r = kept_dir(n)) >= 0)
		return stat_fd(n, r, st);
	if ((fd = fs_open_node(n, NULL, O_PATH | O_NOFOLLOW)) < 0)
		return fd;
	if ((r = stat_fd(n, fd, st)) < 0)
		return r;
	/* Another thing has the name: told of its type, the kernel would give
	 * the inode up for good. After this it looks the name up. */
	if (!is_root(n) && (st->st_mode & S_IFMT) != n->type)
		return -ESTALE;
	return 0;
}

void
fs_stat_root(const struct node *n, struct stat *st)
{
	if (n->box->life == BOX_LIVE && n->box->trees != NULL &&
	    fs_stat((struct node *)(uintptr_t)n, st) == 0)
		return;
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFDIR | n->file->mode;
	st->st_nlink = 2;
	st->st_ino = node_number(n);
	st->st_uid = n->box->uid;
	st->st_gid = n->box->gid;
	st->st_mtime = st->st_ctime = st->st_atime = (time_t)n->box->created;
}

/* Has the open file another name? Over an agent that is not known here. */
static bool
has_other_name(const struct node *n)
{
	const struct fs_file *f = LIST_FIRST(&n->files);
	struct stat st;

	if (f == NULL || n->type == S_IFDIR)
		return false;
	return f->fd < 0 || (fstat(f->fd, &st) == 0 && st.st_nlink > 0);
}

void
fs_orphan(struct sbxfs *s, struct node *n)
{
	if (has_other_name(n))
		n->box->aliased = true;
	nodes_unhash(&s->nodes, n);
}

struct node *
fs_node_for(struct sbxfs *s, struct node *parent, const char *name,
    const struct stat *st)
{
	struct node *n = nodes_find(&s->nodes, parent, name);

	if (n != NULL && (n->dev != st->st_dev || n->ino != st->st_ino) &&
	    !(S_ISDIR(st->st_mode) && n->type == S_IFDIR)) {
		fs_orphan(s, n);
		n = NULL;
	}
	if (n == NULL)
		n = nodes_add(&s->nodes, parent, name,
		    file_any(AT_FS, KIND_TREE), parent->box);
	else
		node_ref(n);
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	n->type = st->st_mode & S_IFMT;
	return n;
}

static void
fill_entry(struct sbxfs *s, struct node *n, const struct stat *st,
    struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = (fuse_ino_t)(uintptr_t)n;
	e->attr = *st;
	show(n->box, &e->attr);
	e->entry_timeout = e->attr_timeout = fs_attr_timeout(s, n, st);
}

/* What a directory has under the name: beneath it, as fd_open_beneath. */
static int
stat_at(int dir, const char *name, struct stat *st)
{
	struct statx sx;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		STATX_BASIC_STATS, &sx) < 0)
		return -errno;
	if ((sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
		return -EXDEV;
	*st = (struct stat){
		.st_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
		.st_ino = sx.stx_ino,
		.st_mode = sx.stx_mode,
		.st_nlink = sx.stx_nlink,
		.st_uid = sx.stx_uid,
		.st_gid = sx.stx_gid,
		.st_rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor),
		.st_size = (off_t)sx.stx_size,
		.st_blksize = sx.stx_blksize,
		.st_blocks = (blkcnt_t)sx.stx_blocks,
		.st_atim = { sx.stx_atime.tv_sec, sx.stx_atime.tv_nsec },
		.st_mtim = { sx.stx_mtime.tv_sec, sx.stx_mtime.tv_nsec },
		.st_ctim = { sx.stx_ctime.tv_sec, sx.stx_ctime.tv_nsec },
	};
	return 0;
}

/* The same of what may be another tree's own root. */
static int
stat_path(
    const struct trees *t, struct buf *path, const char *name, struct stat *st)
{
	cleanup_fd int fd = -1;
	int r;

	if ((r = fs_path_add(path, name)) < 0)
		return r;
	trees_forget(t); /* it may be beneath, and this another */
	if ((fd = trees_open(t, buf_str(path), O_PATH | O_NOFOLLOW)) < 0)
		return fd;
	return fstat(fd, st) < 0 ? -errno : 0;
}

int
fs_entry(struct sbxfs *s, struct node *parent, const char *name,
    struct fuse_entry_param *e)
{
	const struct trees *t = parent->box->trees;
	cleanup_buf struct buf path = BUF_INIT;
	struct stat st;
	int r;

	if (t == NULL)
		return -ESTALE;
	if ((r = fs_path(parent, NULL, &path)) < 0)
		return r;
	if (trees_empty_dir(buf_str(&path)))
		return -ENOENT;
	if (trees_fixed(t, buf_str(&path)))
		r = stat_path(t, &path, name, &st);
	else if ((r = trees_dir(t, buf_str(&path))) >= 0)
		r = stat_at(r, name, &st);
	if (r < 0)
		return r;
	fill_entry(s, fs_node_for(s, parent, name, &st), &st, e);
	return 0;
}

/*** Open files ***/

/* One way for all that is open of an inode: the kernel allows no mix. */
static void
hand_over(const struct sbxfs *s, struct node *n, int fd)
{
	if (LIST_EMPTY(&n->files))
		n->backing = kernel_backing_open(s, fd);
}

void
fs_file_add(struct fs_file *f, struct node *n)
{
	f->node = node_ref(n);
	if (LIST_EMPTY(&n->files))
		LIST_INSERT_HEAD(&n->box->opened, n, opened);
	LIST_INSERT_HEAD(&n->files, f, link);
}

void
fs_file_remove(struct sbxfs *s, struct fs_file *f)
{
	struct node *n = f->node;

	LIST_REMOVE(f, link);
	if (LIST_EMPTY(&n->files)) {
		LIST_REMOVE(n, opened);
		if (LIST_EMPTY(&n->box->opened))
			n->box->aliased = false;
		kernel_backing_close(s, n->backing);
		n->backing = 0;
	}
	node_unref(&s->nodes, n);
}

static struct fs_file *
new_file(struct node *n, int fd)
{
	struct fs_file *f = xcalloc(1, sizeof(*f));

	f->fd = fd;
	fs_file_add(f, n);
	return f;
}

/* A guest may have put something else under the name since the lookup. */
static int
check_regular(int fd, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -errno;
	return S_ISREG(st->st_mode) ? 0 : -ESTALE;
}

int
fs_same_file(struct node *n, const struct stat *st)
{
	if (n->dev == st->st_dev && n->ino == st->st_ino)
		return 0;
	if (!LIST_EMPTY(&n->files))
		return -ESTALE;
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	return 0;
}

static int
open_flags(int flags)
{
	if ((flags & O_PATH) != 0)
		return O_PATH | O_NOFOLLOW;
	/* NONBLOCK: a FIFO put there meanwhile must not hold us. Alignment
	 * of O_DIRECT is the caller's and would not be ours. */
	flags &= ~(O_CREAT | O_EXCL | O_DIRECT | O_ASYNC | O_NOATIME);
	return flags | O_NONBLOCK | O_NOFOLLOW;
}

/* What is open and has no name can be opened again by /proc/PID/fd. */
static int
open_orphan(const struct node *n, int flags)
{
	const struct fs_file *f = LIST_FIRST(&n->files);
	char path[40];
	int fd;

	if (f == NULL || f->fd < 0)
		return -ESTALE;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int
open_named(struct node *n, int flags)
{
	cleanup_fd int fd = fs_open_node(n, NULL, flags);
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if ((r = check_regular(fd, &st)) < 0 || (r = fs_same_file(n, &st)) < 0)
		return r;
	return steal_fd(&fd);
}

/* Does this say that a file's name is gone, or that of another thing? */
static bool
says_other(int r)
{
	static const int errors[] = { ENOENT, ESTALE, ELOOP, ENOTDIR, EISDIR,
		ENXIO };
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (r == -errors[i])
			return true;
	return false;
}

int
fs_open_failed(struct sbxfs *s, struct node *n, int r)
{
	if (!says_other(r) || LIST_EMPTY(&n->files))
		return r;
	fs_orphan(s, n);
	return -ESTALE;
}

int
fs_open_file(struct sbxfs *s, struct node *n, int flags)
{
	flags = open_flags(flags);
	if (!n->hashed)
		return open_orphan(n, flags);
	return fs_open_failed(s, n, open_named(n, flags));
}

int
fs_open(struct sbxfs *s, struct node *n, int flags, struct fs_file **ret)
{
	cleanup_fd int fd = fs_open_file(s, n, flags);

	if (fd < 0)
		return fd;
	hand_over(s, n, fd);
	*ret = new_file(n, steal_fd(&fd));
	return 0;
}

int
fs_create(struct sbxfs *s, const struct fs_new *w, struct fuse_entry_param *e,
    struct fs_file **ret)
{
	cleanup_fd int fd = -1;
	struct stat st;
	struct node *n;
	int r;

	r = fs_make(w, &fd);
	if (r == -EEXIST && (w->flags & O_EXCL) == 0)
		r = fd = fs_open_node(w->parent, w->name, open_flags(w->flags));
	if (r < 0 || (r = check_regular(fd, &st)) < 0)
		return r;
	n = fs_node_for(s, w->parent, w->name, &st);
	fill_entry(s, n, &st, e);
	hand_over(s, n, fd);
	*ret = new_file(n, steal_fd(&fd));
	return 0;
}

/* What is open of it, the node's; -1 for nothing. */
static int
open_fd(const struct node *n)
{
	const struct fs_file *f = LIST_FIRST(&n->files);

	return f != NULL ? f->fd : -1;
}

/* What has no name any more is opened by what is open of it, if anything. */
static int
open_dir(const struct node *n)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd, open = open_fd(n);

	if (n->hashed || open < 0)
		return fs_open_node(n, NULL, flags);
	fd = openat(open, ".", flags);
	return fd < 0 ? -errno : fd;
}

/* What rm has still to remove of a husk; what is never shown; and what was
 * removed. One that was renamed inside is not: nothing in it is gone. */
static int
is_empty_dir(const struct node *n)
{
	cleanup_buf struct buf path = BUF_INIT;
	int r;

	if (n->box->life != BOX_LIVE)
		return 1;
	if (!n->hashed)
		return n->last != NULL && open_fd(n) < 0;
	if ((r = fs_path(n, NULL, &path)) < 0)
		return r;
	return trees_empty_dir(buf_str(&path));
}

int
fs_opendir(struct sbxfs *s, struct node *n, struct fs_file **ret)
{
	cleanup_fd int fd = -1;
	struct fs_file *f;
	DIR *d;
	int r;

	(void)s;
	if ((r = is_empty_dir(n)) < 0)
		return r;
	if (r != 0) {
		*ret = new_file(n, -1);
		return 0;
	}
	if ((fd = open_dir(n)) < 0)
		return fd;
	if ((d = fdopendir(fd)) == NULL)
		return -errno;
	f = new_file(n, steal_fd(&fd));
	f->dir = xcalloc(1, sizeof(*f->dir));
	f->dir->d = d;
	*ret = f;
	return 0;
}

void
fs_close(struct sbxfs *s, struct fs_file *f)
{
	fs_file_remove(s, f);
	if (f->dir != NULL)
		(void)closedir(f->dir->d);
	else
		close_fd(&f->fd);
	free(f->dir);
	free(f);
}

int
fs_close_but_fd(struct sbxfs *s, struct fs_file *f)
{
	int fd = steal_fd(&f->fd);

	fs_close(s, f);
	return fd;
}

void
fs_close_all(struct sbxfs *s, struct box *b)
{
	struct node *n;

	while ((n = LIST_FIRST(&b->opened)) != NULL)
		fs_close(s, LIST_FIRST(&n->files));
}

/*** Listing ***/

struct name {
	const char *name;
	struct stat st; /* number and type */
	off_t next;
};

/* One entry into what is left; the bytes used, 0 when it does not fit. */
static size_t
add_plain(
    fuse_req_t req, const struct fs_list *l, size_t used, const struct name *nm)
{
	struct fuse_entry_param e = { .attr = nm->st };
	size_t n;

	if (l->plus)
		n = fuse_add_direntry_plus(
		    req, l->p + used, l->n - used, nm->name, &e, nm->next);
	else
		n = fuse_add_direntry(
		    req, l->p + used, l->n - used, nm->name, &nm->st, nm->next);
	return n <= l->n - used ? n : 0;
}

static size_t
add_plus(fuse_req_t req, const struct fs_list *l, size_t used,
    struct node *parent, const struct dirent *de)
{
	struct sbxfs *s = req_fs(req);
	struct fuse_entry_param e;
	struct node *n;
	size_t len;

	if (fs_entry(s, parent, de->d_name, &e) < 0)
		memset(&e, 0, sizeof(e)); /* gone meanwhile: only a name */
	n = (struct node *)(uintptr_t)e.ino;
	len = fuse_add_direntry_plus(
	    req, l->p + used, l->n - used, de->d_name, &e, de->d_off);
	if (len > l->n - used)
		len = 0;
	if (n == NULL)
		return len;
	if (len != 0)
		node_looked_up(n);
	node_unref(&s->nodes, n);
	return len;
}

static size_t
add_entry(fuse_req_t req, const struct fs_list *l, size_t used,
    const struct fs_file *f, const struct dirent *de)
{
	struct name nm = { .name = de->d_name, .next = de->d_off };
	bool dots =
	    strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0;

	if (l->plus && !dots)
		return add_plus(req, l, used, f->node, de);
	nm.st.st_dev = f->node->dev;
	nm.st.st_ino = de->d_ino;
	nm.st.st_ino = fs_number(&nm.st);
	nm.st.st_mode = (mode_t)DTTOIF(de->d_type);
	return add_plain(req, l, used, &nm);
}

static ssize_t
list_empty(fuse_req_t req, const struct fs_list *l)
{
	struct name nm = { .st = { .st_ino = 2, .st_mode = S_IFDIR } };
	size_t used = 0;
	off_t at;

	for (at = l->off; at < 2; at++) {
		nm.name = at == 0 ? "." : "..";
		nm.next = at + 1;
		used += add_plain(req, l, used, &nm);
	}
	return (ssize_t)used;
}

ssize_t
fs_readdir(fuse_req_t req, struct fs_file *f, const struct fs_list *l)
{
	struct fs_dir *dir = f->dir;
	struct dirent *de;
	size_t n, used = 0;

	if (dir == NULL)
		return list_empty(req, l);
	if (l->plus && f->node->box->trees == NULL)
		return -ESTALE;
	if (l->off != dir->at)
		seekdir(dir->d, l->off);
	dir->at = l->off;
	for (;;) {
		errno = 0;
		if ((de = readdir(dir->d)) == NULL)
			break;
		if ((n = add_entry(req, l, used, f, de)) == 0) {
			seekdir(dir->d, dir->at);
			return (ssize_t)used;
		}
		used += n;
		dir->at = de->d_off;
	}
	return used == 0 && errno != 0 ? -errno : (ssize_t)used;
}
