/* What changes names and attributes, over the agent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/remote_impl.h"
#include "sbxfs/trees.h"

/*** Making ***/

/* Of a regular file the answer has a handle, which nobody wants. */
static void
made(struct rcall *k, const struct reply *r)
{
	const json_t *h = json_object_get(r->result, "h");

	if (json_is_integer(h))
		rconn_close(k->rc, json_integer_value(h));
	rcall_entry(k, r);
}

static const struct {
	mode_t type;
	const char *method;
} makers[] = {
	{ S_IFDIR, "sbx.fs.mkdir" },
	{ S_IFIFO, "sbx.fs.mknod" },
	{ S_IFLNK, "sbx.fs.symlink" },
	{ S_IFREG, "sbx.fs.open" },
};

void
rop_make(fuse_req_t req, const struct fs_new *w)
{
	const char *method = NULL;
	struct rcall *k;
	size_t i;

	for (i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		if ((w->mode & S_IFMT) == makers[i].type)
			method = makers[i].method;
	if (method == NULL) {
		reply_err(req, EPERM); /* devices, sockets */
		return;
	}
	if ((k = rcall_path(req, w->parent, w->name, made)) == NULL)
		return;
	k->flags = 1; /* that it is not there is an error */
	if (S_ISLNK(w->mode))
		rcall_put(k, "target", rname(w->target, strlen(w->target)));
	else
		rcall_int(k, "mode", w->mode & 07777);
	if (S_ISREG(w->mode)) {
		rcall_put(k, "flags", json_string("w"));
		rcall_put(k, "create", json_true());
		rcall_put(k, "excl", json_true());
	}
	rcall_send(k, method);
}

/* A call about a, whose params are {a_is: its path, b_is: b's path}, "from"
 * and "to". NULL: req was answered. */
static struct rcall *
two_paths(fuse_req_t req, const struct fs_name *a, const char *a_is,
    const struct fs_name *b, rcall_done done)
{
	struct rcall *k = rcall_path(req, a->parent, a->name, done);
	bool from = strcmp(a_is, "from") == 0;
	json_t *path;
	int error;

	if (k == NULL)
		return NULL;
	if ((path = rpath(b->parent, b->name, &error)) == NULL) {
		reply_err(req, error);
		rcall_free(k);
		return NULL;
	}
	rcall_put(k, a_is, json_incref(json_object_get(k->params, "path")));
	rcall_put(k, from ? "to" : "from", path);
	(void)json_object_del(k->params, "path");
	return k;
}

static void
linked(struct rcall *k, const struct reply *r)
{
	/* The kernel does not see that the new name is of the same file. */
	if (r->error == 0) {
		kernel_forget_names(k->s, NULL);
		kernel_forget_attr(k->s, k->to);
	}
	rcall_entry(k, r);
}

void
rop_link(fuse_req_t req, struct node *n, struct node *to, const char *newname)
{
	const struct fs_name from = { n->parent, n->name };
	const struct fs_name where = { to, newname };
	struct rcall *k;

	if (n->box != to->box || n->file->at != AT_FS) {
		reply_err(req, EXDEV);
		return;
	}
	if (!n->hashed) {
		reply_err(req, ENOENT);
		return;
	}
	if ((k = two_paths(req, &where, "to", &from, linked)) == NULL)
		return;
	k->to = node_ref(n);
	k->flags = 1;
	rcall_send(k, "sbx.fs.link");
}

/*** Removing and renaming ***/

static void
removed(struct rcall *k, const struct reply *r)
{
	struct node *n;

	if (r->error == 0 &&
	    (n = nodes_find(&k->s->nodes, k->n, k->name)) != NULL)
		fs_orphan(k->s, n);
	rcall_err(k, r);
}

void
rop_remove(fuse_req_t req, struct node *parent, const char *name, bool dir)
{
	struct rcall *k;

	if (parent->box->life == BOX_LIVE && parent->box->protect)
		reply_err(req, EBUSY);
	else if ((k = rcall_path(req, parent, name, removed)) != NULL)
		rcall_send(k, dir ? "sbx.fs.rmdir" : "sbx.fs.unlink");
}

static void
renamed(struct rcall *k, const struct reply *r)
{
	const struct fs_name from = { k->n, k->name };
	const struct fs_name to = { k->to, k->newname };

	if (r->error == 0)
		fs_renamed(k->s, &from, &to, (unsigned)k->flags);
	/* a protected sandbox's files are not replaced */
	if (k->req != NULL)
		reply_err(k->req,
		    k->error != 0 && r->error == -EEXIST ? k->error
							 : -r->error);
}

void
rop_rename(fuse_req_t req, const struct fs_name *from, const struct fs_name *to,
    unsigned flags)
{
	const struct box *b = from->parent->box;
	bool keep = b->protect && (flags & RENAME_NOREPLACE) == 0;
	struct rcall *k;

	if (b != to->parent->box) {
		reply_err(req, EXDEV);
		return;
	}
	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) {
		reply_err(req, EINVAL);
		return;
	}
	if (keep && (flags & RENAME_EXCHANGE) != 0) {
		reply_err(req, EBUSY);
		return;
	}
	if ((k = two_paths(req, from, "from", to, renamed)) == NULL)
		return;
	rcall_int(k, "flags", keep ? RENAME_NOREPLACE : flags);
	k->to = node_ref(to->parent);
	k->newname = xstrdup(to->name);
	k->flags = (int)flags;
	k->error = keep ? EBUSY : 0;
	rcall_send(k, "sbx.fs.rename");
}

/*** Attributes ***/

static void
got_attr(struct rcall *k, const struct reply *r)
{
	struct stat st;
	int error = -r->error;

	if (error == 0 && rstat_take(k->n->box, r->result, &st) < 0)
		error = EIO;
	if (k->req == NULL)
		return;
	if (error != 0) {
		reply_err(k->req, error);
		return;
	}
	st.st_ino = fs_number(&st);
	(void)fuse_reply_attr(k->req, &st, fs_attr_timeout(k->s, k->n, &st));
}

static void
add_time(struct rcall *k, const char *key, const struct timespec *ts)
{
	rcall_int(k, key, (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec);
}

/* 0 or an errno: an id that has no place inside. */
static int
add_attrs(struct rcall *k, const struct stat *st, int to_set)
{
	static const struct trees inside = { .base = 0 };
	const struct box *b = k->n->box;
	uint32_t uid, gid;

	if ((to_set & FUSE_SET_ATTR_MODE) != 0)
		rcall_int(k, "mode", st->st_mode & 07777);
	if ((to_set & FUSE_SET_ATTR_SIZE) != 0)
		rcall_int(k, "size", st->st_size);
	if ((to_set & FUSE_SET_ATTR_UID) != 0) {
		if (id_stored(&inside, st->st_uid, b->uid, &uid) < 0)
			return EINVAL;
		rcall_int(k, "uid", uid);
	}
	if ((to_set & FUSE_SET_ATTR_GID) != 0) {
		if (id_stored(&inside, st->st_gid, b->gid, &gid) < 0)
			return EINVAL;
		rcall_int(k, "gid", gid);
	}
	if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0)
		rcall_put(k, "atime_now", json_true());
	else if ((to_set & FUSE_SET_ATTR_ATIME) != 0)
		add_time(k, "atime_ns", &st->st_atim);
	if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0)
		rcall_put(k, "mtime_now", json_true());
	else if ((to_set & FUSE_SET_ATTR_MTIME) != 0)
		add_time(k, "mtime_ns", &st->st_mtim);
	return 0;
}

void
rop_setattr(fuse_req_t req, struct node *n, const struct stat *st, int to_set,
    struct rfile *f)
{
	struct rcall *k;
	int error;

	/* By the handle only where it may write: others only look. */
	if (f != NULL)
		k = rcall_file(req, f, got_attr);
	else if ((to_set & FUSE_SET_ATTR_SIZE) != 0)
		k = rcall_path(req, n, NULL, got_attr);
	else
		k = rcall_node(req, n, got_attr);
	if (k == NULL)
		return;
	if ((error = add_attrs(k, st, to_set)) != 0) {
		reply_err(req, error);
		rcall_free(k);
	} else {
		rcall_send(k, "sbx.fs.setattr");
	}
}
