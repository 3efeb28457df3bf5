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
		rconn_notify(k->rc, "sbx.fs.close",
		    json_pack("{s:I}", "h", json_integer_value(h)));
	rcall_entry(k, r);
}

/* Sends method, whose answer is the attributes of name in parent. */
static void
make(fuse_req_t req, struct node *parent, const char *name, const char *method,
    json_t *params)
{
	struct rcall *k = rcall_new(req, parent, made);

	if (k == NULL) {
		json_decref(params);
		return;
	}
	k->name = xstrdup(name);
	k->flags = 1; /* that it is not there is an error */
	rcall_send(k, method, params);
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
	json_t *params;
	int error = 0;
	size_t i;

	for (i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		if ((w->mode & S_IFMT) == makers[i].type)
			method = makers[i].method;
	if (method == NULL) {
		reply_err(req, EPERM); /* devices, sockets */
		return;
	}
	if ((params = rpath(w->parent, w->name, &error)) == NULL) {
		reply_err(req, error);
		return;
	}
	if (S_ISLNK(w->mode))
		json_object_set_new(
		    params, "target", rname(w->target, strlen(w->target)));
	else
		json_object_set_new(
		    params, "mode", json_integer(w->mode & 07777));
	if (S_ISREG(w->mode)) {
		json_object_set_new(params, "flags", json_string("w"));
		json_object_set_new(params, "create", json_true());
		json_object_set_new(params, "excl", json_true());
	}
	make(req, w->parent, w->name, method, params);
}

static json_t *
two_paths(const struct fs_name *from, const struct fs_name *to, int *ret_error)
{
	json_t *a = rpath(from->parent, from->name, ret_error), *b = NULL;
	json_t *params = NULL;

	if (a != NULL && (b = rpath(to->parent, to->name, ret_error)) != NULL)
		params =
		    json_pack("{s:O,s:O}", "from", json_object_get(a, "path"),
			"to", json_object_get(b, "path"));
	json_decref(a);
	json_decref(b);
	return params;
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

static void
link_to(
    fuse_req_t req, struct node *n, const struct fs_name *where, json_t *params)
{
	struct rcall *k = rcall_new(req, where->parent, linked);

	if (k == NULL) {
		json_decref(params);
		return;
	}
	k->to = node_ref(n);
	k->name = xstrdup(where->name);
	k->flags = 1;
	rcall_send(k, "sbx.fs.link", params);
}

void
rop_link(fuse_req_t req, struct node *n, struct node *to, const char *newname)
{
	const struct fs_name from = { n->parent, n->name };
	const struct fs_name where = { to, newname };
	json_t *params;
	int error;

	if (n->box != to->box || n->file->at != AT_FS) {
		reply_err(req, EXDEV);
		return;
	}
	if (!n->hashed)
		reply_err(req, ENOENT);
	else if ((params = two_paths(&from, &where, &error)) == NULL)
		reply_err(req, error);
	else
		link_to(req, n, &where, params);
}

/*** Removing and renaming ***/

static void
removed(struct rcall *k, const struct reply *r)
{
	struct node *n;

	if (r->error == 0 &&
	    (n = nodes_find(&k->s->nodes, k->n, k->name)) != NULL)
		nodes_unhash(&k->s->nodes, n);
	rcall_err(k, r);
}

void
rop_remove(fuse_req_t req, struct node *parent, const char *name, bool dir)
{
	struct rcall *k;
	json_t *params;
	int error;

	if (parent->box->life == BOX_LIVE && parent->box->protect) {
		reply_err(req, EBUSY);
		return;
	}
	if ((params = rpath(parent, name, &error)) == NULL) {
		reply_err(req, error);
		return;
	}
	if ((k = rcall_new(req, parent, removed)) == NULL) {
		json_decref(params);
		return;
	}
	k->name = xstrdup(name);
	rcall_send(k, dir ? "sbx.fs.rmdir" : "sbx.fs.unlink", params);
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
	json_t *params;
	int error;

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
	if ((params = two_paths(from, to, &error)) == NULL) {
		reply_err(req, error);
		return;
	}
	json_object_set_new(params, "flags",
	    json_integer((json_int_t)(keep ? RENAME_NOREPLACE : flags)));
	if ((k = rcall_new(req, from->parent, renamed)) == NULL) {
		json_decref(params);
		return;
	}
	k->to = node_ref(to->parent);
	k->name = xstrdup(from->name);
	k->newname = xstrdup(to->name);
	k->flags = (int)flags;
	k->error = keep ? EBUSY : 0;
	rcall_send(k, "sbx.fs.rename", params);
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
add_time(json_t *params, const char *key, const struct timespec *ts)
{
	json_object_set_new(params, key,
	    json_integer((json_int_t)ts->tv_sec * 1000000000 + ts->tv_nsec));
}

/* 0 or an errno: an id that has no place inside. */
static int
add_attrs(
    const struct box *b, json_t *params, const struct stat *st, int to_set)
{
	static const struct trees inside = { .base = 0 };
	uint32_t uid, gid;

	if ((to_set & FUSE_SET_ATTR_MODE) != 0)
		json_object_set_new(
		    params, "mode", json_integer(st->st_mode & 07777));
	if ((to_set & FUSE_SET_ATTR_SIZE) != 0)
		json_object_set_new(params, "size", json_integer(st->st_size));
	if ((to_set & FUSE_SET_ATTR_UID) != 0) {
		if (id_stored(&inside, st->st_uid, b->uid, &uid) < 0)
			return EINVAL;
		json_object_set_new(params, "uid", json_integer(uid));
	}
	if ((to_set & FUSE_SET_ATTR_GID) != 0) {
		if (id_stored(&inside, st->st_gid, b->gid, &gid) < 0)
			return EINVAL;
		json_object_set_new(params, "gid", json_integer(gid));
	}
	if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0)
		json_object_set_new(params, "atime_now", json_true());
	else if ((to_set & FUSE_SET_ATTR_ATIME) != 0)
		add_time(params, "atime_ns", &st->st_atim);
	if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0)
		json_object_set_new(params, "mtime_now", json_true());
	else if ((to_set & FUSE_SET_ATTR_MTIME) != 0)
		add_time(params, "mtime_ns", &st->st_mtim);
	return 0;
}

void
rop_setattr(fuse_req_t req, struct node *n, const struct stat *st, int to_set,
    struct rfile *f)
{
	json_t *params = NULL;
	struct rcall *k;
	int error = EIO;

	/* By the handle only where it may write: others only look. */
	if (f == NULL && (to_set & FUSE_SET_ATTR_SIZE) == 0)
		f = (struct rfile *)LIST_FIRST(&n->files);
	if (f != NULL)
		params = rfile_params(f);
	if (params == NULL && (params = rpath(n, NULL, &error)) == NULL) {
		reply_err(req, error);
		return;
	}
	if ((error = add_attrs(n->box, params, st, to_set)) != 0) {
		json_decref(params);
		reply_err(req, error);
		return;
	}
	if ((k = rcall_new(req, n, got_attr)) == NULL)
		json_decref(params);
	else
		rcall_send(k, "sbx.fs.setattr", params);
}
