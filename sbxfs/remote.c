/*
 * The operations of a remote mount: each decodes one request and sends one
 * call; what is not beneath fs/ goes on to sbxfs_ops.
 */
#include "sbxfs/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "sbxfs/ops.h"
#include "sbxfs/remote_impl.h"
#include "sbxfs/trees.h"

#define COPY_MAX (16u << 20)

static struct node *
node_of(fuse_req_t req, fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return req_fs(req)->nodes.root;
	return (struct node *)(uintptr_t)ino;
}

/* /proc, /dev and /sys of a guest are shown empty. */
static bool
is_closed(const struct node *n)
{
	cleanup_buf struct buf path = BUF_INIT;

	return fs_path(n, NULL, &path) == 0 && trees_empty_dir(buf_str(&path));
}

/*** Names and attributes ***/

static void
op_lookup(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *parent = node_of(req, ino);
	struct rcall *k;

	if (!fs_has(parent))
		sbxfs_ops.lookup(req, ino, name);
	else if (is_closed(parent))
		reply_err(req, ENOENT);
	else if ((k = rcall_path(req, parent, name, rcall_entry)) != NULL)
		rcall_look(k, "sbx.fs.lookup");
}

static void
reply_attr(fuse_req_t req, const struct node *n, const struct stat *st)
{
	struct stat shown = *st;

	shown.st_ino = fs_number(st);
	(void)fuse_reply_attr(req, &shown, fs_attr_timeout(req_fs(req), n, st));
}

static void
got_attr(struct rcall *k, const struct reply *r)
{
	int error = -r->error;
	struct stat st;

	if (error == 0 && rstat_take(k->n->box, r->result, &st) < 0)
		error = EIO;
	/* Another thing has the name: the kernel looks it up again. */
	if (error == 0 && (st.st_mode & S_IFMT) != k->n->type)
		error = ESTALE;
	if (k->req == NULL)
		return;
	if (error != 0)
		reply_err(k->req, error);
	else
		reply_attr(k->req, k->n, &st);
}

static void
op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);
	struct rfile *f = (struct rfile *)LIST_FIRST(&n->files);
	struct rcall *k;

	if (!fs_has(n) || n->file->at != AT_FS)
		sbxfs_ops.getattr(req, ino, fi);
	else if (f != NULL && rjust_is(req_fs(req), &f->stat_said))
		reply_attr(req, n, &f->st);
	else if ((k = rcall_node(req, n, got_attr)) != NULL)
		rcall_look(k, "sbx.fs.getattr");
}

static void
op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
    struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		sbxfs_ops.setattr(req, ino, st, to_set, fi);
	else
		rop_setattr(
		    req, n, st, to_set, fi != NULL ? rfile_of(fi) : NULL);
}

static void
op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		sbxfs_ops.readlink(req, ino);
	else
		rop_readlink(req, n);
}

static void
got_statfs(struct rcall *k, const struct reply *r)
{
	struct statvfs sv = { .f_namemax = 255 };
	json_int_t bsize, blocks, bfree, bavail, inodes, ffree;

	if (k->req == NULL)
		return;
	if (r->error != 0) {
		reply_err(k->req, -r->error);
		return;
	}
	if (json_unpack(r->result, "{s:I,s:I,s:I,s:I,s:I,s:I}", "bsize", &bsize,
		"blocks", &blocks, "bfree", &bfree, "bavail", &bavail, "files",
		&inodes, "ffree", &ffree) < 0) {
		reply_err(k->req, EIO);
		return;
	}
	sv.f_bsize = sv.f_frsize = (unsigned long)bsize;
	sv.f_blocks = (fsblkcnt_t)blocks;
	sv.f_bfree = (fsblkcnt_t)bfree;
	sv.f_bavail = (fsblkcnt_t)bavail;
	sv.f_files = (fsfilcnt_t)inodes;
	sv.f_ffree = sv.f_favail = (fsfilcnt_t)ffree;
	(void)fuse_reply_statfs(k->req, &sv);
}

static void
op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_of(req, ino);
	struct rcall *k;

	if (!fs_has(n) || n->box->life != BOX_LIVE)
		sbxfs_ops.statfs(req, ino);
	else if ((k = rcall_path(req, n, NULL, got_statfs)) != NULL)
		rcall_look(k, "sbx.fs.statfs");
}

/*** Extended attributes ***/

static void
op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		sbxfs_ops.getxattr(req, ino, name, size);
	else
		rop_getxattr(req, n, name, size);
}

static void
op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		sbxfs_ops.listxattr(req, ino, size);
	else
		rop_listxattr(req, n, size);
}

static void
op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
    size_t size, int flags)
{
	const struct fs_value v = { .p = value, .n = size, .flags = flags };
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		sbxfs_ops.setxattr(req, ino, name, value, size, flags);
	else
		rop_setxattr(req, n, name, &v);
}

static void
op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *n = node_of(req, ino);

	if (!fs_has(n))
		sbxfs_ops.removexattr(req, ino, name);
	else
		rop_removexattr(req, n, name);
}

/*** Changes of names ***/

static void
op_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode)
{
	const struct fs_new w = { .parent = node_of(req, ino),
		.name = name,
		.mode = S_IFDIR | (mode & 07777) };

	if (!fs_has(w.parent))
		sbxfs_ops.mkdir(req, ino, name, mode);
	else
		rop_make(req, &w);
}

static void
op_mknod(
    fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, dev_t rdev)
{
	const struct fs_new w = {
		.parent = node_of(req, ino), .name = name, .mode = mode
	};

	if (!fs_has(w.parent))
		sbxfs_ops.mknod(req, ino, name, mode, rdev);
	else
		rop_make(req, &w);
}

static void
op_symlink(fuse_req_t req, const char *target, fuse_ino_t ino, const char *name)
{
	const struct fs_new w = { .parent = node_of(req, ino),
		.name = name,
		.mode = S_IFLNK | 0777,
		.target = target };

	if (!fs_has(w.parent))
		sbxfs_ops.symlink(req, target, ino, name);
	else
		rop_make(req, &w);
}

static void
op_link(
    fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct node *n = node_of(req, ino), *to = node_of(req, newparent);

	if (!fs_has(to) || !fs_has(n))
		sbxfs_ops.link(req, ino, newparent, newname);
	else
		rop_link(req, n, to, newname);
}

static void
op_unlink(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *parent = node_of(req, ino);

	if (!fs_has(parent))
		sbxfs_ops.unlink(req, ino, name);
	else
		rop_remove(req, parent, name, false);
}

static void
op_rmdir(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *parent = node_of(req, ino);

	if (!fs_has(parent))
		sbxfs_ops.rmdir(req, ino, name);
	else
		rop_remove(req, parent, name, true);
}

static void
op_rename(fuse_req_t req, fuse_ino_t ino, const char *name,
    fuse_ino_t newparent, const char *newname, unsigned flags)
{
	const struct fs_name from = { node_of(req, ino), name };
	const struct fs_name to = { node_of(req, newparent), newname };

	if (!fs_has(from.parent) || !fs_has(to.parent))
		sbxfs_ops.rename(req, ino, name, newparent, newname, flags);
	else
		rop_rename(req, &from, &to, flags);
}

/*** Opening ***/

static void
opened(struct rcall *k, const struct reply *r)
{
	struct open_out out = { .open_flags = OPEN_DIRECT_IO | OPEN_NOFLUSH };
	struct rfile *f;
	struct stat st;
	int64_t h = -1;
	int error = ropen_take(k, r, &h, &st);

	/* Another file under the name is not this node's. */
	if (error == 0 && fs_same_file(k->n, &st) < 0)
		error = ESTALE;
	if (k->file == NULL) /* by name */
		error = -fs_open_failed(k->s, k->n, -error);
	if (error != 0 || k->req == NULL) {
		if (h >= 0)
			rconn_close(k->rc, h);
		if (k->req != NULL)
			reply_err(k->req, error);
		return;
	}
	f = rfile_new(k, r, k->n);
	f->st = st;
	rjust_said(k, &f->stat_said);
	out.fh = (uint64_t)(uintptr_t)f;
	if (fuse_reply_buf(k->req, (const char *)&out, sizeof(out)) != 0)
		rfile_unref(k->s, f);
}

static void
op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);
	struct rcall *k;

	if (!fs_has(n)) {
		sbxfs_ops.open(req, ino, fi);
		return;
	}
	/* What is open and has no name is opened by what is open. */
	k = n->hashed ? rcall_path(req, n, NULL, opened)
		      : rcall_node(req, n, opened);
	if (k == NULL)
		return;
	k->flags = fi->flags & ~(O_CREAT | O_EXCL);
	ropen_put(k->params, k->flags);
	if ((fi->flags & O_TRUNC) != 0)
		k->s->changes++;
	rcall_look(k, "sbx.fs.open");
}

static void
created(struct rcall *k, const struct reply *r)
{
	struct fuse_file_info fi = { .direct_io = 1, .noflush = 1 };
	struct fuse_entry_param e;
	struct rfile *f;
	struct node *n;
	struct stat st;
	int64_t h = -1;
	int error = ropen_take(k, r, &h, &st);

	if (error != 0 || k->req == NULL) {
		if (h >= 0)
			rconn_close(k->rc, h);
		if (k->req != NULL)
			reply_err(k->req, error);
		return;
	}
	n = fs_node_for(k->s, k->n, k->name, &st);
	f = rfile_new(k, r, n);
	fi.fh = (uint64_t)(uintptr_t)f;
	rentry_fill(k->s, n, &st, &e);
	node_looked_up(n);
	if (fuse_reply_create(k->req, &e, &fi) != 0) {
		node_forget(&k->s->nodes, n, 1);
		rfile_unref(k->s, f);
	}
	node_unref(&k->s->nodes, n);
}

static void
op_create(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode,
    struct fuse_file_info *fi)
{
	struct node *parent = node_of(req, ino);
	struct rcall *k;

	if (!fs_has(parent)) {
		sbxfs_ops.create(req, ino, name, mode, fi);
		return;
	}
	if (is_closed(parent)) {
		reply_err(req, EPERM);
		return;
	}
	if ((k = rcall_path(req, parent, name, created)) == NULL)
		return;
	k->s->changes++;
	k->flags = fi->flags | O_CREAT;
	ropen_put(k->params, k->flags);
	rcall_int(k, "mode", mode & 07777);
	((fi->flags & O_EXCL) != 0 ? rcall_send : rcall_look)(k, "sbx.fs.open");
}

/*** Open files ***/

static void
got_bytes(struct rcall *k, const struct reply *r)
{
	if (k->req == NULL)
		return;
	if (r->error != 0)
		reply_err(k->req, -r->error);
	else if (r->len > k->size)
		reply_err(k->req, EIO);
	else
		(void)fuse_reply_buf(
		    k->req, r->len != 0 ? r->data : NULL, r->len);
	if (r->error != 0 || r->len >= k->size)
		return;
	k->file->end = k->off + (off_t)r->len;
	rjust_said(k, &k->file->end_said);
}

static void
op_read(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	struct rcall *k;
	struct rfile *f;

	if (!fs_has(node_of(req, ino))) {
		sbxfs_ops.read(req, ino, n, off, fi);
		return;
	}
	f = rfile_of(fi);
	if (off >= f->end && rjust_is(req_fs(req), &f->end_said)) {
		(void)fuse_reply_buf(req, NULL, 0);
		return;
	}
	if ((k = rcall_file(req, f, got_bytes)) == NULL)
		return;
	k->off = off;
	k->size = n < KERNEL_IO_MAX ? n : KERNEL_IO_MAX;
	rcall_int(k, "off", off);
	rcall_int(k, "len", (int64_t)k->size);
	rcall_look(k, "sbx.fs.read");
}

/* The answer {"len"} of a write or a copy. */
static void
got_len(struct rcall *k, const struct reply *r)
{
	const json_t *len = json_object_get(r->result, "len");

	if (k->req == NULL)
		return;
	if (r->error != 0)
		reply_err(k->req, -r->error);
	else if (!json_is_integer(len) || json_integer_value(len) < 0 ||
	    (size_t)json_integer_value(len) > k->size)
		reply_err(k->req, EIO);
	else
		(void)fuse_reply_write(k->req, (size_t)json_integer_value(len));
}

static void
op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	struct rcall *k;

	if (!fs_has(node_of(req, ino))) {
		sbxfs_ops.write(req, ino, p, n, off, fi);
		return;
	}
	if ((k = rcall_file(req, rfile_of(fi), got_len)) == NULL)
		return;
	k->size = n;
	rcall_int(k, "off", off);
	rcall_send_bin(k, "sbx.fs.write", p, n);
}

static void
op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (!fs_has(node_of(req, ino))) {
		sbxfs_ops.release(req, ino, fi);
		return;
	}
	rfile_unref(req_fs(req), rfile_of(fi));
	reply_err(req, 0);
}

static void
op_fsync(
    fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct rcall *k;

	if (!fs_has(node_of(req, ino)))
		sbxfs_ops.fsync(req, ino, datasync, fi);
	else if ((k = rcall_file(req, rfile_of(fi), rcall_err)) != NULL)
		rcall_look(k, "sbx.fs.fsync");
}

static void
op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
    struct fuse_file_info *fi)
{
	struct rcall *k;

	if (!fs_has(node_of(req, ino))) {
		sbxfs_ops.fallocate(req, ino, mode, off, len, fi);
		return;
	}
	if ((k = rcall_file(req, rfile_of(fi), rcall_err)) == NULL)
		return;
	rcall_int(k, "mode", mode);
	rcall_int(k, "off", off);
	rcall_int(k, "len", len);
	rcall_send(k, "sbx.fs.fallocate");
}

static void
got_off(struct rcall *k, const struct reply *r)
{
	const json_t *off = json_object_get(r->result, "off");

	if (k->req == NULL)
		return;
	if (r->error != 0 || !json_is_integer(off))
		reply_err(k->req, r->error != 0 ? -r->error : EIO);
	else
		(void)fuse_reply_lseek(k->req, json_integer_value(off));
}

static void
op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
    struct fuse_file_info *fi)
{
	struct rcall *k;

	if (!fs_has(node_of(req, ino))) {
		sbxfs_ops.lseek(req, ino, off, whence, fi);
		return;
	}
	if ((k = rcall_file(req, rfile_of(fi), got_off)) == NULL)
		return;
	rcall_int(k, "off", off);
	rcall_int(k, "whence", whence);
	rcall_look(k, "sbx.fs.lseek");
}

static void
op_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t off,
    struct fuse_file_info *fi, fuse_ino_t to, off_t to_off,
    struct fuse_file_info *to_fi, size_t len, int flags)
{
	struct rfile *a, *b;
	struct rcall *k;

	(void)flags; /* there are none */
	if (!fs_has(node_of(req, ino)) || !fs_has(node_of(req, to))) {
		reply_err(req, EXDEV);
		return;
	}
	a = rfile_of(fi);
	b = rfile_of(to_fi);
	if (a->rc != b->rc || !rfile_is_open(a) || !rfile_is_open(b)) {
		reply_err(req, EXDEV); /* cp then reads and writes */
		return;
	}
	if ((k = rcall_file(req, a, got_len)) == NULL)
		return;
	/* In pieces: whoever wants more asks again. */
	k->size = len < COPY_MAX ? len : COPY_MAX;
	rcall_int(k, "off", off);
	rcall_int(k, "to_h", b->h);
	rcall_int(k, "to_off", to_off);
	rcall_int(k, "len", (int64_t)k->size);
	rcall_send(k, "sbx.fs.copy_range");
}

/*** Directories ***/

static void
op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(req, ino);
	struct sbxfs *s = req_fs(req);
	struct rfile *f;

	if (!fs_has(n)) {
		sbxfs_ops.opendir(req, ino, fi);
	} else if (node_stale(n) != 0) {
		reply_err(req, ENOENT);
	} else if (n->box->life == BOX_LIVE && !is_closed(n)) {
		rop_opendir(req, n);
	} else {
		f = rfile_empty(n);
		fi->fh = (uint64_t)(uintptr_t)f;
		if (fuse_reply_open(req, fi) != 0)
			rfile_unref(s, f);
	}
}

static void
op_readdir(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	const struct fs_list l = { .n = n, .off = off };

	if (!fs_has(node_of(req, ino)))
		sbxfs_ops.readdir(req, ino, n, off, fi);
	else
		rop_readdir(req, rfile_of(fi), &l);
}

static void
op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
    struct fuse_file_info *fi)
{
	const struct fs_list l = { .n = n, .off = off, .plus = true };

	if (!fs_has(node_of(req, ino)))
		sbxfs_ops.readdirplus(req, ino, n, off, fi);
	else
		rop_readdir(req, rfile_of(fi), &l);
}

static void
op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (!fs_has(node_of(req, ino))) {
		sbxfs_ops.releasedir(req, ino, fi);
		return;
	}
	rfile_unref(req_fs(req), rfile_of(fi));
	reply_err(req, 0);
}

/* What is the same in both. */
static void
op_init(void *userdata, struct fuse_conn_info *conn)
{
	sbxfs_ops.init(userdata, conn);
}

static void
op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	sbxfs_ops.forget(req, ino, nlookup);
}

static void
op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *f)
{
	sbxfs_ops.forget_multi(req, count, f);
}

static void
op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	sbxfs_ops.flush(req, ino, fi);
}

static void
op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph)
{
	sbxfs_ops.poll(req, ino, fi, ph);
}

const struct fuse_lowlevel_ops remote_ops = {
	.init = op_init,
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
