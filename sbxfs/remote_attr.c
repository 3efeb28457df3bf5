/* Names, attributes and open files, as an agent and the kernel have them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "sbxfs/remote_impl.h"
#include "sbxfs/trees.h"

#define BLOCK_MIN (64 << 10)
#define BLOCK_MAX (1 << 20)
/* How long what was said of an open file is not asked for again. */
#define JUST_MS 10

/*** Names ***/

json_t *
rname(const char *p, size_t n)
{
	const gnutls_datum_t in = { (unsigned char *)(uintptr_t)p,
		(unsigned)n };
	json_t *text = json_stringn(p, n);
	gnutls_datum_t out;

	if (text != NULL)
		return text;
	if (gnutls_base64_encode2(&in, &out) < 0)
		abort(); /* memory */
	text = json_pack("{s:s#}", "base64", out.data, (int)out.size);
	gnutls_free(out.data);
	return text;
}

char *
rname_take(const json_t *j, size_t *ret_len)
{
	const char *coded = json_string_value(json_object_get(j, "base64"));
	gnutls_datum_t in, out;
	char *name;

	if (json_is_string(j)) {
		*ret_len = json_string_length(j);
		name = xstrndup(json_string_value(j), *ret_len);
	} else {
		if (coded == NULL)
			return NULL;
		in.data = (unsigned char *)(uintptr_t)coded;
		in.size = (unsigned)strlen(coded);
		if (gnutls_base64_decode2(&in, &out) < 0)
			return NULL;
		*ret_len = out.size;
		name = xstrndup((char *)out.data, out.size);
		gnutls_free(out.data);
	}
	if (strlen(name) == *ret_len)
		return name;
	free(name); /* a NUL within */
	return NULL;
}

json_t *
rpath(const struct node *n, const char *name, int *ret_error)
{
	cleanup_buf struct buf path = BUF_INIT;
	int r;

	if ((r = fs_path(n, name, &path)) == 0 && path.len >= PATH_MAX)
		r = -ENAMETOOLONG;
	if (r == 0)
		return rname(buf_str(&path), path.len);
	*ret_error = -r;
	return NULL;
}

/*** Attributes ***/

static const struct {
	const char *name;
	mode_t type;
} types[] = {
	{ "file", S_IFREG },
	{ "dir", S_IFDIR },
	{ "symlink", S_IFLNK },
	{ "fifo", S_IFIFO },
	{ "socket", S_IFSOCK },
	{ "char", S_IFCHR },
	{ "block", S_IFBLK },
};

static struct timespec
from_ns(json_int_t ns)
{
	json_int_t rest = ns % 1000000000;

	if (rest < 0)
		rest += 1000000000;
	return (struct timespec){ .tv_sec = (ns - rest) / 1000000000,
		.tv_nsec = rest };
}

/* By this cp, cmp and python choose how much they read and write at once; each
 * time somebody on the network is asked. A buffer costs as well, its pages
 * are the kernel's meanwhile: a small file has a small one, what is new may
 * become a large one. */
static blksize_t
block_of(off_t size)
{
	blksize_t n = BLOCK_MIN;

	while (n < BLOCK_MAX && (size == 0 || n < size))
		n *= 2;
	return n;
}

int
rstat_take(const struct box *b, const json_t *o, struct stat *st)
{
	static const struct trees inside = { .base = 0 };
	json_int_t mode, size, atime, mtime, ctime, blocks, dev, uid, gid, ino,
	    nlink;
	const char *type;
	size_t i;

	if (json_unpack((json_t *)(uintptr_t)o,
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "mode",
		&mode, "size", &size, "atime_ns", &atime, "mtime_ns", &mtime,
		"ctime_ns", &ctime, "blocks", &blocks, "dev", &dev, "uid", &uid,
		"gid", &gid, "ino", &ino, "nlink", &nlink, "type", &type) < 0)
		return -EPROTO;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, type) == 0)
			break;
	if (i == sizeof(types) / sizeof(types[0]) || size < 0 || blocks < 0)
		return -EPROTO;
	memset(st, 0, sizeof(*st));
	st->st_mode = types[i].type | ((mode_t)mode & 07777);
	st->st_size = size;
	st->st_blocks = blocks;
	st->st_blksize = S_ISREG(st->st_mode) ? block_of(size) : 4096;
	st->st_atim = from_ns(atime);
	st->st_mtim = from_ns(mtime);
	st->st_ctim = from_ns(ctime);
	st->st_dev = (dev_t)dev;
	st->st_ino = (ino_t)ino;
	st->st_nlink = (nlink_t)nlink;
	st->st_uid = id_shown(&inside, (uint32_t)uid, b->uid);
	st->st_gid = id_shown(&inside, (uint32_t)gid, b->gid);
	return 0;
}

void
rentry_fill(const struct sbxfs *s, struct node *n, const struct stat *st,
    struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = (fuse_ino_t)(uintptr_t)n;
	e->attr = *st;
	e->attr.st_ino = fs_number(st);
	e->entry_timeout = e->attr_timeout = fs_attr_timeout(s, n, st);
}

void
rcall_entry(struct rcall *k, const struct reply *r)
{
	struct fuse_entry_param e;
	struct stat st;
	struct node *n;
	int error = k->error != 0 ? k->error : -r->error;

	if (error == 0 && rstat_take(k->n->box, r->result, &st) < 0)
		error = EIO;
	if (k->req == NULL)
		return;
	if (error == ENOENT && k->flags == 0) {
		/* That it is not there may be remembered as well. */
		memset(&e, 0, sizeof(e));
		e.entry_timeout = fs_timeout(k->s);
		(void)fuse_reply_entry(k->req, &e);
		return;
	}
	if (error != 0) {
		reply_err(k->req, error);
		return;
	}
	n = fs_node_for(k->s, k->n, k->name, &st);
	rentry_fill(k->s, n, &st, &e);
	if (fuse_reply_entry(k->req, &e) == 0)
		node_looked_up(n);
	node_unref(&k->s->nodes, n);
}

/*** Open files ***/

struct rfile *
rfile_of(const struct fuse_file_info *fi)
{
	return (struct rfile *)(uintptr_t)fi->fh;
}

void
ropen_put(json_t *params, int flags)
{
	static const char *const access[] = {
		[O_RDONLY] = "r", [O_WRONLY] = "w", [O_RDWR] = "rw"
	};
	static const struct {
		int flag;
		const char *name;
	} more[] = {
		{ O_TRUNC, "trunc" },
		{ O_APPEND, "append" },
		{ O_CREAT, "create" },
		{ O_EXCL, "excl" },
	};
	int mode = flags & O_ACCMODE;
	const char *name;
	size_t i;

	/* Who reads only may empty it as well, if it may write. */
	if (mode == O_RDONLY && (flags & O_TRUNC) != 0)
		mode = O_RDWR;
	name = access[mode != O_ACCMODE ? mode : 0];
	if ((flags & O_DIRECTORY) != 0)
		name = "d";
	(void)json_object_set_new(params, "flags", json_string(name));
	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if ((flags & more[i].flag) != 0)
			(void)json_object_set_new(
			    params, more[i].name, json_true());
}

int
ropen_take(
    const struct rcall *k, const struct reply *r, int64_t *h, struct stat *st)
{
	const json_t *number = json_object_get(r->result, "h");

	if (r->error != 0)
		return -r->error;
	if (!json_is_integer(number) ||
	    rstat_take(k->n->box, r->result, st) < 0)
		return EIO;
	*h = json_integer_value(number);
	return 0;
}

static int64_t
made_ns(const struct reply *r)
{
	return json_integer_value(json_object_get(r->result, "btime_ns"));
}

struct rfile *
rfile_empty(struct node *n)
{
	struct rfile *f = xcalloc(1, sizeof(*f));

	f->refs = 1;
	f->f.fd = -1;
	fs_file_add(&f->f, n);
	return f;
}

struct rfile *
rfile_new(const struct rcall *k, const struct reply *r, struct node *n)
{
	struct rfile *f = rfile_empty(n);

	f->rc = k->rc;
	f->rc->opened++;
	f->flags = k->flags & ~(O_CREAT | O_EXCL | O_TRUNC);
	f->h = json_integer_value(json_object_get(r->result, "h"));
	f->made_ns = made_ns(r);
	f->lost = client_lost(f->rc->c);
	return f;
}

struct rfile *
rfile_ref(struct rfile *f)
{
	f->refs++;
	return f;
}

void
rjust_said(const struct rcall *k, struct rjust *j)
{
	j->changes = k->changes;
	j->ms = clock_ms();
}

bool
rjust_is(const struct sbxfs *s, const struct rjust *j)
{
	return j->ms != 0 && j->changes == s->changes &&
	    clock_ms() - j->ms < JUST_MS;
}

bool
rfile_is_open(const struct rfile *f)
{
	return f->rc != NULL && f->lost == client_lost(f->rc->c);
}

json_t *
rfile_again(const struct rfile *f, int *ret_error)
{
	json_t *path = rpath(f->f.node, NULL, ret_error), *params;

	if (path == NULL)
		return NULL;
	params = json_pack("{s:o}", "path", path);
	ropen_put(params, f->flags);
	return params;
}

int
rfile_reopened(const struct rcall *k, const struct reply *r)
{
	struct rfile *f = k->file;
	struct stat st;
	int64_t h = -1;
	int error = ropen_take(k, r, &h, &st);

	if (error == 0 && S_ISREG(st.st_mode) &&
	    (fs_same_file(k->n, &st) < 0 || made_ns(r) != f->made_ns))
		error = ESTALE;
	if (error == 0 && !rfile_is_open(f)) {
		f->h = h;
		f->lost = client_lost(f->rc->c);
	} else if (h >= 0) {
		rconn_close(f->rc, h); /* another call was first */
	}
	return fs_open_failed(k->s, k->n, -error);
}

void
rfile_unref(struct sbxfs *s, struct rfile *f)
{
	if (--f->refs > 0)
		return;
	if (rfile_is_open(f))
		rconn_close(f->rc, f->h);
	if (f->rc != NULL)
		f->rc->opened--;
	fs_file_remove(s, &f->f);
	rlist_free(f->list);
	free(f);
}
