/*
 * Each function decodes one request, hands it to fs/ (fs.h, answered here) or
 * to the rest of the tree (control.h and the files' own functions, which
 * answer themselves), and sends one reply.
 */
#include "sbxfs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sbxfs/control.h"
#include "sbxfs/fs.h"
#include "sbxfs/fsreq.h"

#define EPOCH_MINOR 44

static struct node *
node_of(fuse_req_t req, fuse_ino_t ino)
{
	_Static_assert(sizeof(ino) >= sizeof(void *), "an ino is a pointer");
	if (ino == FUSE_ROOT_ID)
		return req_fs(req)->nodes.root;
	return (struct node *)(uintptr_t)ino;
}

static struct handle *
handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static struct fs_file *
file_of(const struct fuse_file_info *fi)
{
	return (struct fs_file *)(uintptr_t)fi->fh;
}

/* A dead sandbox's fs/ is not there; a husk's is empty. */
static int
fs_check(const struct node *n)
{
	return n->box->life == BOX_LIVE ? 0 : -ENOENT;
}

static void
sbxfs_init(void *userdata, struct fuse_conn_info *conn)
{
	struct sbxfs *s = userdata;

	conn->max_write = KERNEL_IO_MAX;
	conn->max_read = KERNEL_IO_MAX;
	conn->max_background = 1024;
	conn->congestion_threshold = 768;
	/* Whoever looks for a name waits for none that is answered late. */
	if ((conn->capable & FUSE_CAP_PARALLEL_DIROPS) != 0)
		conn->want |= FUSE_CAP_PARALLEL_DIROPS;
	/* what stream_reply has by a pipe */
	conn->want |= conn->capable & FUSE_CAP_SPLICE_WRITE;
	s->epoch = conn->proto_major > 7 || conn->proto_minor >= EPOCH_MINOR;
}

/*** Names ***/

static void
reply_entry(fuse_req_t req, int r, struct fuse_entry_param *e)
{
	if (r < 0)
		reply_err(req, -r);
	else
		entry_reply(req, (struct node *)(uintptr_t)e->ino, e);
}

static void
op_lookup(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *parent = node_of(req, ino);
	struct sbxfs *s = req_fs(req);
	struct fuse_entry_param e;
	int r;

	if (!fs_has(parent)) {
		control_lookup(req, parent, name);
		return;
	}
	if ((r = fs_check(parent)) == 0)
		r = fs_entry(s, parent, name, &e);
	if (r == -ENOENT && parent->box->life == BOX_LIVE) {
		/* That it is not there may be remembered as well. */
		memset(&e, 0, sizeof(e));
		e.entry_timeout = fs_timeout(s);
		(void)fuse_reply_entry(req, &e);
		return;
	}
	reply_entry(req, r, &e);
}

static void
op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	node_forget(&req_fs(req)->nodes, node_of(req, ino), nlookup);
	fuse_reply_none(req);
}

static void
op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *f)
{
	size_t i;

	for (i = 0; i < count; i++)
		node_forget(
		    &req_fs(req)->nodes, node_of(req, f[i].ino), f[i].nlookup);
	fuse_reply_none(req);
}

/* Makes what w says, and answers with its entry. */
static void
make(fuse_req_t req, struct fs_new *w)
{
	struct caller caller = req_caller(req);
	struct fuse_entry_param e;
	int r;

	w->caller = &caller;
	if ((r = fs_check(w->parent)) == 0 && (r = fs_make(w, NULL)) == 0)
		r = fs_entry(req_fs(req), w->parent, w->name, &e);
	reply_entry(req, r, &e);
}

static void
op_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode)
{
	struct fs_new w = { .parent = node_of(req, ino),
		.name = name,
		.mode = S_IFDIR | (mode & 07777) };

	if (fs_has(w.parent))
		make(req, &w);
	else
		control_mkdir(req, w.parent, name);
}

static void
op_mknod(
    fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, dev_t rdev)
{
	struct fs_new w = {
		.parent = node_of(req, ino), .name = name, .mode = mode
	};

	(void)rdev;
	if (fs_has(w.parent))
		make(req, &w);
	else
		control_create(req, w.parent, name);
}

static void
op_symlink(fuse_req_t req, const char *target, fuse_ino_t ino, const char *name)
{
	struct fs_new w = { .parent = node_of(req, ino),
		.name = name,
		.mode = S_IFLNK | 0777,
		.target = target };

	if (fs_has(w.parent))
		make(req, &w);
	else
		control_create(req, w.parent, name);
}

static void
op_link(
    fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct node *n = node_of(req, ino), *to = node_of(req, newparent);
	struct fuse_entry_param e;
	int r;

	if (fs_has(to) != fs_has(n)) {
		reply_err(req, EXDEV);
		return;
	}
	if (!fs_has(to)) {
		control_create(req, to, newname);
		return;
	}
	if ((r = fs_check(to)) == 0 &&
	    (r = fs_link(req_fs(req), n, to, newname)) == 0)
		r = fs_entry(req_fs(req), to, newname, &e);
	reply_entry(req, r, &e);
}

static void
op_unlink(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *parent = node_of(req, ino);

	if (!fs_has(parent))
		control_unlink(req, parent, name);
	else if (fs_check(parent) < 0)
		reply_err(req, ENOENT);
	else
		fsreq_unlink(req, parent, name);
}

static void
op_rmdir(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *parent = node_of(req, ino);

	if (!fs_has(parent))
		control_rmdir(req, parent, name);
	else if (fs_check(parent) < 0)
		reply_err(req, ENOENT);
	else
		reply_err(req, -fs_rmdir(req_fs(req), parent, name));
}

static void
op_rename(fuse_req_t req, fuse_ino_t ino, const char *name,
    fuse_ino_t newparent, const char *newname, unsigned flags)
{
	struct node *from = node_of(req, ino), *to = node_of(req, newparent);
	const struct fs_name a = { from, name }, b = { to, newname };

	if (fs_has(from) != fs_has(to))
		reply_err(req, EXDEV);
	else if (fs_has(from) && fs_check(from) < 0)
		reply_err(req, ENOENT);
	else if (fs_has(from))
		fsreq_rename(req, &a, &b, flags);
	else if (from != to)
		reply_why(req, from, EPERM,
		    "%s: a sandbox can be given another name, and no more",
		    name);
	else
		control_rename(req, from, name, newname, flags);
}

static void
op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_of(req, ino);
	cleanup_buf struct buf to = BUF_INIT;
	int r;

	if (!fs_has(n)) {
		control_readlink(req, n);
		return;
	}
	if ((r = fs_check(n)) == 0)
		r = fs_readlink(req_fs(req), n, &to);
	if (r < 0)
		reply_err(req, -r);
	else
		(void)fuse_reply_readlink(req, buf_str(&to));
}

/*** Attributes ***/

static void
op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);
	struct stat st;
	int r;

	(void)fi;
	if (!fs_has(n) || n->file->at != AT_FS) {
		control_getattr(req, n);
		return;
	}
	if ((r = fs_stat(n, &st)) < 0)
		reply_err(req, -r);
	else
		(void)fuse_reply_attr(
		    req, &st, fs_attr_timeout(req_fs(req), n, &st));
}

static void
op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
    struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		control_setattr(req, n, st, to_set);
	else if (fs_check(n) < 0)
		reply_err(req, ENOENT);
	else
		fsreq_setattr(
		    req, n, st, to_set, fi != NULL ? file_of(fi) : NULL);
}

static void
op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	/* No blocks: df leaves the mount out of its list. */
	struct statvfs sv = {
		.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255
	};
	struct node *n = node_of(req, ino);
	int r = 0;

	if (fs_has(n) && fs_check(n) == 0)
		r = fs_statfs(n, &sv);
	if (r < 0)
		reply_err(req, -r);
	else
		(void)fuse_reply_statfs(req, &sv);
}

/*** Extended attributes ***/

/* The answer ENOSYS would be for the whole mount: a control file has none. */
static int
xattr_check(const struct node *n)
{
	return fs_has(n) ? fs_check(n) : -EOPNOTSUPP;
}

void
reply_xattr(fuse_req_t req, ssize_t r, const char *p, size_t size)
{
	if (size != 0 && r > (ssize_t)size)
		r = -ERANGE;
	if (r < 0)
		reply_err(req, (int)-r);
	else if (size == 0)
		(void)fuse_reply_xattr(req, (size_t)r);
	else
		(void)fuse_reply_buf(req, p, (size_t)r);
}

static void
op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const struct node *n = node_of(req, ino);
	static char value[XATTR_SIZE_MAX];
	ssize_t r;

	if ((r = xattr_check(n)) == 0)
		r = fs_getxattr(n, name, value, sizeof(value));
	reply_xattr(req, r, value, size);
}

static void
op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	const struct node *n = node_of(req, ino);
	static char names[XATTR_LIST_MAX];
	ssize_t r;

	if ((r = xattr_check(n)) == 0)
		r = fs_listxattr(n, names, sizeof(names));
	else if (r == -EOPNOTSUPP)
		r = 0;
	reply_xattr(req, r, names, size);
}

static void
op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
    size_t size, int flags)
{
	const struct fs_value v = { .p = value, .n = size, .flags = flags };
	const struct node *n = node_of(req, ino);
	int r;

	if ((r = xattr_check(n)) == 0)
		r = fs_setxattr(n, name, &v);
	reply_err(req, -r);
}

static void
op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	const struct node *n = node_of(req, ino);
	int r;

	if ((r = xattr_check(n)) == 0)
		r = fs_removexattr(n, name);
	reply_err(req, -r);
}

/*** Open files ***/

static void
op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);

	if (fs_has(n) && fs_check(n) < 0)
		reply_err(req, ENOENT);
	else if (fs_has(n))
		fsreq_open(req, n, fi->flags);
	else if (n->file->ops == NULL)
		reply_err(req, EISDIR);
	else if (n->box != NULL && n->box->life == BOX_HUSK)
		reply_check(req, n, ESTALE);
	else
		n->file->ops->open(req, n, fi);
}

static void
op_create(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode,
    struct fuse_file_info *fi)
{
	struct caller caller = req_caller(req);
	struct fs_new w = { .parent = node_of(req, ino),
		.name = name,
		.caller = &caller,
		.mode = S_IFREG | (mode & 07777),
		.flags = fi->flags };

	if (!fs_has(w.parent))
		control_create(req, w.parent, name);
	else if (fs_check(w.parent) < 0)
		reply_err(req, ENOENT);
	else
		fsreq_create(req, &w);
}

static void
op_read(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	struct handle *h;

	if (fs_has(node_of(req, ino))) {
		fsreq_read(req, file_of(fi), n, off);
		return;
	}
	h = handle_of(fi);
	h->flags = fi->flags;
	if (h->ops->read == NULL)
		reply_err(req, EBADF);
	else
		h->ops->read(req, h, n, off);
}

static void
op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	struct handle *h;

	if (fs_has(node_of(req, ino))) {
		fsreq_write(req, file_of(fi), p, n, off);
		return;
	}
	h = handle_of(fi);
	h->flags = fi->flags;
	if (h->ops->write == NULL)
		reply_err(req, EBADF);
	else
		h->ops->write(req, h, p, n);
}

static void
op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h;

	if (fs_has(node_of(req, ino))) {
		reply_err(req, 0);
		return;
	}
	h = handle_of(fi);
	if (h->ops->flush == NULL)
		reply_err(req, 0);
	else
		h->ops->flush(req, h);
}

static void
op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h;

	if (fs_has(node_of(req, ino))) {
		fsreq_release(req, file_of(fi));
		return;
	}
	h = handle_of(fi);
	if (h->ops->close != NULL)
		h->ops->close(h);
	handle_unref(h);
	reply_err(req, 0);
}

static void
op_fsync(
    fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	if (fs_has(node_of(req, ino)))
		fsreq_fsync(req, file_of(fi), datasync != 0);
	else
		reply_err(req, 0);
}

static void
op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
    struct fuse_file_info *fi)
{
	const struct fs_range at = { file_of(fi), off, len };

	if (fs_has(node_of(req, ino)))
		fsreq_fallocate(req, &at, mode);
	else
		reply_err(req, EOPNOTSUPP);
}

static void
op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
    struct fuse_file_info *fi)
{
	off_t r;

	if (!fs_has(node_of(req, ino)))
		reply_err(req, EINVAL);
	else if ((r = lseek(file_of(fi)->fd, off, whence)) < 0)
		reply_err(req, errno);
	else
		(void)fuse_reply_lseek(req, r);
}

static void
op_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t off,
    struct fuse_file_info *fi, fuse_ino_t to, off_t to_off,
    struct fuse_file_info *to_fi, size_t len, int flags)
{
	const struct fs_range from = { file_of(fi), off, (off_t)len };
	const struct fs_range at = { file_of(to_fi), to_off, 0 };

	(void)flags; /* there are none */
	if (fs_has(node_of(req, ino)) && fs_has(node_of(req, to)))
		fsreq_copy(req, &from, &at);
	else
		reply_err(req, EXDEV); /* cp then reads and writes */
}

static void
op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph)
{
	struct handle *h = handle_of(fi);

	if (!fs_has(node_of(req, ino)) && h->ops->poll != NULL) {
		h->ops->poll(req, h, fi->poll_events, ph);
		return;
	}
	if (ph != NULL)
		fuse_pollhandle_destroy(ph);
	/* as any file on a disk */
	(void)fuse_reply_poll(req,
	    fi->poll_events & (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM));
}

/*** Directories ***/

/* One buffer: one thread, and each answer is sent before the next. */
static char bytes[KERNEL_IO_MAX];

static void
op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);
	struct sbxfs *s = req_fs(req);
	struct fs_file *f;
	int r;

	if (!fs_has(n)) {
		control_opendir(req, n, fi);
		return;
	}
	if (node_stale(n) != 0)
		r = -ENOENT;
	else
		r = fs_opendir(s, n, &f);
	if (r < 0) {
		reply_err(req, -r);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)f;
	if (fuse_reply_open(req, fi) != 0)
		fs_close(s, f);
}

static void
list(fuse_req_t req, fuse_ino_t ino, struct fs_list *l,
    const struct fuse_file_info *fi)
{
	ssize_t r;

	if (!fs_has(node_of(req, ino))) {
		control_readdir(req, (struct listing *)(uintptr_t)fi->fh, l->n,
		    l->off, l->plus);
		return;
	}
	l->p = bytes;
	if (l->n > KERNEL_IO_MAX)
		l->n = KERNEL_IO_MAX;
	r = fs_readdir(req, file_of(fi), l);
	if (r < 0)
		reply_err(req, (int)-r);
	else
		(void)fuse_reply_buf(req, bytes, (size_t)r);
}

static void
op_readdir(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	struct fs_list l = { .n = n, .off = off };

	list(req, ino, &l, fi);
}

static void
op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	struct fs_list l = { .n = n, .off = off, .plus = true };

	list(req, ino, &l, fi);
}

static void
op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fs_has(node_of(req, ino)))
		fs_close(req_fs(req), file_of(fi));
	else
		control_releasedir((struct listing *)(uintptr_t)fi->fh);
	reply_err(req, 0);
}

const struct fuse_lowlevel_ops sbxfs_ops = {
	.init = sbxfs_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsync,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.create = op_create,
	.poll = op_poll,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.lseek = op_lseek,
};
