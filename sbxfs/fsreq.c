#include "sbxfs/fsreq.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "sbxfs/work.h"

#define COPY_BYTES (8 << 20) /* in pieces: whoever wants more asks again */

/*** What a thread does with one open file ***/

struct io {
	struct work w; /* first */
	int fd, to_fd;
	int mode;
	off_t off, to_off;
	size_t len;
	char bytes[]; /* of a write */
};

static struct io *
new_io(fuse_req_t req, const struct fs_file *f, size_t more)
{
	struct io *io = xcalloc(1, sizeof(*io) + more);

	io->w.req = req;
	io->fd = f->fd;
	return io;
}

static ssize_t
result(ssize_t r)
{
	return r < 0 ? -errno : r;
}

static void
end_err(struct work *w)
{
	reply_err(w->req, (int)-w->result);
}

static void
end_count(struct work *w)
{
	if (w->result < 0)
		reply_err(w->req, (int)-w->result);
	else
		(void)fuse_reply_write(w->req, (size_t)w->result);
}

/* The thread's for good. An array here would be in each thread's memory, and
 * the process that connects to another machine has one for each sandbox. */
static _Thread_local char *bytes;

static ssize_t
run_read(struct work *w)
{
	const struct io *io = (const struct io *)w;

	if (bytes == NULL)
		bytes = xmalloc(KERNEL_IO_MAX);
	return result(pread(io->fd, bytes, io->len, io->off));
}

/* In the thread that has read, whose bytes these are. */
static void
end_read(struct work *w)
{
	if (w->result < 0)
		reply_err(w->req, (int)-w->result);
	else
		(void)fuse_reply_buf(
		    w->req, w->result != 0 ? bytes : NULL, (size_t)w->result);
}

void
fsreq_read(fuse_req_t req, const struct fs_file *f, size_t n, off_t off)
{
	struct io *io = new_io(req, f, 0);

	io->w.run = run_read;
	io->w.end = end_read;
	io->off = off;
	io->len = n < KERNEL_IO_MAX ? n : KERNEL_IO_MAX;
	work_add(&io->w);
}

static ssize_t
run_write(struct work *w)
{
	const struct io *io = (const struct io *)w;

	return result(pwrite(io->fd, io->bytes, io->len, io->off));
}

void
fsreq_write(
    fuse_req_t req, const struct fs_file *f, const char *p, size_t n, off_t off)
{
	struct io *io = new_io(req, f, n);

	io->w.run = run_write;
	io->w.end = end_count;
	io->off = off;
	io->len = n;
	memcpy(io->bytes, p, n);
	work_add(&io->w);
}

static ssize_t
run_fsync(struct work *w)
{
	const struct io *io = (const struct io *)w;

	return result(io->mode != 0 ? fdatasync(io->fd) : fsync(io->fd));
}

void
fsreq_fsync(fuse_req_t req, const struct fs_file *f, bool data_only)
{
	struct io *io;

	if (f->fd < 0) { /* a directory that is shown empty */
		reply_err(req, 0);
		return;
	}
	io = new_io(req, f, 0);
	io->w.run = run_fsync;
	io->w.end = end_err;
	io->mode = data_only;
	work_add(&io->w);
}

static ssize_t
run_fallocate(struct work *w)
{
	const struct io *io = (const struct io *)w;

	return result(fallocate(io->fd, io->mode, io->off, (off_t)io->len));
}

void
fsreq_fallocate(fuse_req_t req, const struct fs_range *at, int mode)
{
	struct io *io = new_io(req, at->f, 0);

	io->w.run = run_fallocate;
	io->w.end = end_err;
	io->mode = mode;
	io->off = at->off;
	io->len = (size_t)at->len;
	work_add(&io->w);
}

static ssize_t
run_copy(struct work *w)
{
	struct io *io = (struct io *)w;

	return result(copy_file_range(
	    io->fd, &io->off, io->to_fd, &io->to_off, io->len, 0));
}

void
fsreq_copy(
    fuse_req_t req, const struct fs_range *from, const struct fs_range *to)
{
	struct io *io = new_io(req, from->f, 0);

	io->w.run = run_copy;
	io->w.end = end_count;
	io->off = from->off;
	io->len = (size_t)from->len;
	if (io->len > COPY_BYTES)
		io->len = COPY_BYTES;
	io->to_fd = to->f->fd;
	io->to_off = to->off;
	work_add(&io->w);
}

/*** The last close of what takes long to free ***/

static ssize_t
run_close(struct work *w)
{
	struct io *io = (struct io *)w;

	close_fd(&io->fd);
	return 0;
}

static void
end_close(struct work *w)
{
	struct io *io = (struct io *)w;

	close_fd(&io->fd); /* it did not begin */
	if (w->req != NULL)
		reply_err(w->req, 0);
}

/* Closes fd in a thread, then answers 0; req may be NULL. */
static void
close_later(fuse_req_t req, int fd)
{
	struct io *io = xcalloc(1, sizeof(*io));

	io->w.run = run_close;
	io->w.end = end_close;
	io->w.req = req;
	io->fd = fd;
	work_add(&io->w);
}

/* Answers what has taken away the name of what fd holds, -1 nothing. */
static void
reply_held(fuse_req_t req, int r, int fd)
{
	if (fd >= 0)
		close_later(req, fd);
	else
		reply_err(req, -r);
}

void
fsreq_unlink(fuse_req_t req, struct node *parent, const char *name)
{
	int fd = -1, r = fs_unlink(req_fs(req), parent, name, &fd);

	reply_held(req, r, fd);
}

void
fsreq_rename(fuse_req_t req, const struct fs_name *from,
    const struct fs_name *to, unsigned flags)
{
	int fd = -1, r = fs_rename(req_fs(req), from, to, flags, &fd);

	reply_held(req, r, fd);
}

void
fsreq_release(fuse_req_t req, struct fs_file *f)
{
	struct stat st;

	if (f->dir == NULL && f->fd >= 0 && fstat(f->fd, &st) == 0 &&
	    st.st_nlink == 0 && fs_takes_long(&st))
		close_later(NULL, fs_close_but_fd(req_fs(req), f));
	else
		fs_close(req_fs(req), f);
	reply_err(req, 0);
}

/*** Sizes ***/

struct cut {
	struct work w;	/* first */
	struct node *n; /* a reference, where there is no f */
	struct fs_file *f;
	int fd; /* owned where there is no f */
	off_t size;
	struct stat st; /* the rest of a setattr */
	int to_set;
};

/* Would cutting what is open as fd to this size take long? */
static bool
cuts_long(int fd, off_t size)
{
	struct stat st;

	return fstat(fd, &st) == 0 && size < st.st_size && fs_takes_long(&st);
}

/* truncate(2) sets the times by other rules than ftruncate(2). */
static int
cut(const struct cut *c)
{
	char path[40];

	if (c->f != NULL)
		return ftruncate(c->fd, c->size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", c->fd);
	return truncate(path, c->size);
}

static ssize_t
run_cut(struct work *w)
{
	return result(cut((const struct cut *)w));
}

/* All but the size, and the answer. */
static void
set_rest(fuse_req_t req, struct node *n, const struct cut *c)
{
	struct stat st = c->st;
	int r;

	r = n->box->life == BOX_LIVE ? fs_setattr(n, &st, c->to_set) : -ENOENT;
	if (r < 0)
		reply_err(req, -r);
	else
		(void)fuse_reply_attr(
		    req, &st, fs_attr_timeout(req_fs(req), n, &st));
}

static void
end_setattr(struct work *w)
{
	struct cut *c = (struct cut *)w;
	struct sbxfs *s = req_fs(w->req);

	if (w->result < 0)
		reply_err(w->req, (int)-w->result);
	else
		set_rest(w->req, c->n, c);
	if (c->f == NULL)
		close_fd(&c->fd);
	node_unref(&s->nodes, c->n);
}

/* The size first: that takes setuid bits away, which a mode may put back. */
static void
set_size(fuse_req_t req, struct node *n, struct cut *c)
{
	struct cut *later;
	int r;

	c->fd = c->f != NULL ? c->f->fd : fs_open_file(req_fs(req), n, O_PATH);
	if (c->fd < 0) {
		reply_err(req, -c->fd);
		return;
	}
	if (cuts_long(c->fd, c->size)) {
		later = xcalloc(1, sizeof(*later));
		*later = *c;
		later->n = node_ref(n);
		later->w = (struct work){ .run = run_cut,
			.end = end_setattr,
			.tree = true,
			.req = req };
		work_add(&later->w);
		return;
	}
	r = cut(c) < 0 ? -errno : 0;
	if (c->f == NULL)
		close_fd(&c->fd);
	if (r < 0)
		reply_err(req, -r);
	else
		set_rest(req, n, c);
}

void
fsreq_setattr(fuse_req_t req, struct node *n, const struct stat *st, int to_set,
    const struct fs_file *f)
{
	struct cut c = { .f = (struct fs_file *)(uintptr_t)f,
		.size = st->st_size,
		.st = *st,
		.to_set = to_set & ~FUSE_SET_ATTR_SIZE };

	if (n->box->trees == NULL)
		reply_err(req, ESTALE);
	else if ((to_set & FUSE_SET_ATTR_SIZE) != 0)
		set_size(req, n, &c);
	else
		set_rest(req, n, &c);
}

/*** Opening ***/

/* Sent as they are: libfuse 3.14 has no word for some flags. */
static struct open_out
open_out(const struct fs_file *f)
{
	struct open_out out = {
		.fh = (uint64_t)(uintptr_t)f,
		.open_flags = OPEN_NOFLUSH,
		.backing_id = f->node->backing,
	};

	out.open_flags |=
	    out.backing_id != 0 ? OPEN_PASSTHROUGH : OPEN_DIRECT_IO;
	return out;
}

static void
opened(fuse_req_t req, struct fs_file *f)
{
	const struct open_out out = open_out(f);
	struct sbxfs *s = req_fs(req);

	if (fuse_reply_buf(req, (const char *)&out, sizeof(out)) != 0)
		fs_close(s, f);
}

static void
end_open(struct work *w)
{
	struct cut *c = (struct cut *)w;

	if (w->result == 0) {
		opened(w->req, c->f);
		return;
	}
	fs_close(req_fs(w->req), c->f);
	reply_err(w->req, (int)-w->result);
}

void
fsreq_open(fuse_req_t req, struct node *n, int flags)
{
	bool cut = (flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY;
	struct fs_file *f;
	struct cut *c;
	int r;

	if (cut)
		flags &= ~O_TRUNC;
	if ((r = fs_open(req_fs(req), n, flags, &f)) < 0) {
		reply_err(req, -r);
		return;
	}
	if (cut && cuts_long(f->fd, 0)) {
		c = xcalloc(1, sizeof(*c));
		c->w = (struct work){ .run = run_cut,
			.end = end_open,
			.tree = true,
			.req = req };
		c->f = f;
		c->fd = f->fd;
		work_add(&c->w);
	} else if (cut && ftruncate(f->fd, 0) < 0) {
		r = errno;
		fs_close(req_fs(req), f);
		reply_err(req, r);
	} else {
		opened(req, f);
	}
}

static struct fuse_attr
attr_out(const struct stat *st)
{
	return (struct fuse_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = (uint32_t)st->st_rdev,
		.blksize = (uint32_t)st->st_blksize,
	};
}

void
fsreq_create(fuse_req_t req, struct fs_new *w)
{
	struct {
		struct fuse_entry_out entry;
		struct open_out open;
	} out = { 0 };
	struct sbxfs *s = req_fs(req);
	struct fuse_entry_param e;
	struct fs_file *f;
	struct node *n;
	int r;

	if ((r = fs_create(s, w, &e, &f)) < 0) {
		reply_err(req, -r);
		return;
	}
	n = f->node;
	out.entry.nodeid = e.ino;
	out.entry.entry_valid = (uint64_t)e.entry_timeout;
	out.entry.attr_valid = (uint64_t)e.attr_timeout;
	out.entry.attr = attr_out(&e.attr);
	out.open = open_out(f);
	node_looked_up(n);
	if (fuse_reply_buf(req, (const char *)&out, sizeof(out)) != 0) {
		node_forget(&s->nodes, n, 1);
		fs_close(s, f);
	}
	node_unref(&s->nodes, n);
}
