/* What changes sandboxes as directories, and the attributes of files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/size.h"
#include "sbxfs/control.h"

static bool
is_top(const struct node *n)
{
	return n->file == &file_top;
}

/* The sandbox whose directory the name in the root is; NULL for none, or
 * the link from its id. */
static struct box *
box_named(struct sbxfs *s, const char *name)
{
	struct box *b = boxes_by_name(&s->boxes, name);

	if (b == NULL && (b = boxes_by_id(&s->boxes, name)) != NULL &&
	    b->name[0] != '\0')
		b = NULL;
	return b;
}

/*** mkdir ***/

static void
created(struct call *c, const struct reply *r)
{
	const char *id;

	if (r->error != 0) {
		reply_err(c->req, -r->error);
		return;
	}
	id = json_string_value(json_object_get(r->result, "id"));
	/* The front told of it before it answered. */
	if (id == NULL || boxes_by_id(&c->s->boxes, id) == NULL)
		reply_err(c->req, EIO);
	else
		control_lookup(c->req, c->n, c->text);
}

void
control_create(fuse_req_t req, struct node *parent, const char *name)
{
	/* A husk's ctl was removed with the sandbox. */
	if (node_stale(parent) != 0 ||
	    (parent->box != NULL && parent->box->life == BOX_HUSK))
		reply_err(req, ENOENT);
	else
		reply_why(req, parent, EPERM, "%s: nothing can be made here%s",
		    name, is_top(parent) ? " but sandboxes: mkdir" : "");
}

void
control_mkdir(fuse_req_t req, struct node *parent, const char *name)
{
	struct call *c;

	if (!is_top(parent)) {
		control_create(req, parent, name);
		return;
	}
	c = call_new(req, created);
	c->text = xstrdup(name);
	call_node(c, parent);
	call_send(c, "create",
	    json_pack("{s:s,s:s,s:b,s:b}", "file", ".", "name", name, "wait", 0,
		"hold", 0));
}

/*** rmdir and unlink ***/

static void
reply_stays(fuse_req_t req, const struct node *parent, const char *name)
{
	reply_why(req, parent, EPERM, "%s: it cannot be removed", name);
}

static void
rmdir_box(fuse_req_t req, const struct node *top, const char *name)
{
	struct sbxfs *s = req_fs(req);
	struct box *b = box_named(s, name);

	if (file_find(AT_TOP, name) != NULL) {
		reply_stays(req, top, name);
	} else if (b == NULL) {
		reply_err(req,
		    boxes_by_id(&s->boxes, name) != NULL ? ENOTDIR : ENOENT);
	} else if (b->life == BOX_HUSK) {
		boxes_drop_husk(&s->boxes, b);
		reply_err(req, 0);
	} else {
		b->leaves_husk = false;
		call_send(
		    call_new(req, call_done_err), "destroy", box_params(b));
	}
}

/* What rm -r removes of a sandbox that its first unlink has destroyed. */
static void
remove_from_husk(fuse_req_t req, struct node *parent, const char *name)
{
	const struct file *f = file_find(parent->file->inside, name);

	if (f == NULL) {
		reply_err(req, ENOENT);
		return;
	}
	box_remove_row(parent->box, f);
	reply_err(req, 0);
}

static void
forget_job(struct call *c, const struct box *b, int job)
{
	call_send(
	    c, "job.forget", json_pack("{s:s,s:i}", "id", b->id, "job", job));
}

static void
rmdir_job(fuse_req_t req, const struct node *parent, const char *name)
{
	struct job_husk *k;
	int64_t job;

	if (int_parse(name, 1, INT32_MAX, &job) < 0) {
		reply_err(req, ENOTDIR);
		return;
	}
	if ((k = box_job_husk(parent->box, (int)job)) != NULL) {
		job_husk_drop(k);
		reply_err(req, 0);
		return;
	}
	forget_job(call_new(req, call_done_err), parent->box, (int)job);
}

void
control_rmdir(fuse_req_t req, struct node *parent, const char *name)
{
	const struct file *f = file_find(parent->file->inside, name);

	if (is_top(parent))
		rmdir_box(req, parent, name);
	else if (node_stale(parent) != 0)
		reply_err(req, ENOENT);
	else if (parent->box != NULL && parent->box->life == BOX_HUSK)
		remove_from_husk(req, parent, name);
	else if (parent->file->inside == AT_JOBS && f == NULL)
		rmdir_job(req, parent, name);
	else if (f != NULL && f->kind == KIND_TREE)
		reply_why(req, parent, EBUSY, "fs is the sandbox's root");
	else
		reply_stays(req, parent, name);
}

static void
forgotten(struct call *c, const struct reply *r)
{
	if (r->error == 0)
		job_husk_remove_row(box_leave_job(c->n->box, c->n->job),
		    file_find(AT_JOB, "ctl"));
	reply_err(c->req, -r->error);
}

/* As of a sandbox: ctl is first, and with it goes the job. */
static void
unlink_of_job(fuse_req_t req, struct node *parent, const char *name)
{
	struct job_husk *k = box_job_husk(parent->box, parent->job);
	const struct file *f = file_find(AT_JOB, name);
	struct call *c;

	if (f == NULL) {
		reply_err(req, ENOENT);
	} else if (k != NULL) {
		job_husk_remove_row(k, f);
		reply_err(req, 0);
	} else if (strcmp(name, "ctl") == 0) {
		c = call_new(req, forgotten);
		call_node(c, parent);
		forget_job(c, parent->box, parent->job);
	} else {
		reply_stays(req, parent, name);
	}
}

static void
destroyed(struct call *c, const struct reply *r)
{
	if (r->error != 0 && c->n->box->life == BOX_LIVE)
		c->n->box->leaves_husk = false;
	reply_err(c->req, -r->error);
}

void
control_unlink(fuse_req_t req, struct node *parent, const char *name)
{
	struct box *b = parent->box;
	struct call *c;

	if (node_stale(parent) != 0) {
		reply_err(req, ENOENT);
		return;
	}
	if (b != NULL && b->life == BOX_HUSK) {
		remove_from_husk(req, parent, name);
		return;
	}
	if (parent->file->inside == AT_JOB) {
		unlink_of_job(req, parent, name);
		return;
	}
	if (parent->file->inside != AT_BOX || strcmp(name, "ctl") != 0) {
		reply_stays(req, parent, name);
		return;
	}
	b->leaves_husk = true;
	b->removed = 1ull << file_index(file_find(AT_BOX, "ctl"));
	c = call_new(req, destroyed);
	call_node(c, parent);
	call_send(c, "destroy", box_params(b));
}

/*** rename ***/

void
control_rename(fuse_req_t req, struct node *parent, const char *name,
    const char *newname, unsigned flags)
{
	struct sbxfs *s = req_fs(req);
	struct box *b = is_top(parent) ? box_named(s, name) : NULL;

	/* Gone since the kernel has looked for it. */
	if (is_top(parent) && b == NULL && file_find(AT_TOP, name) == NULL &&
	    boxes_by_id(&s->boxes, name) == NULL) {
		reply_err(req, ENOENT);
		return;
	}
	if (b == NULL) {
		reply_why(req, parent, EPERM,
		    "%s: only sandboxes can be renamed", name);
		return;
	}
	if (b->life != BOX_LIVE || (flags & ~1u) != 0) {
		reply_err(req, b->life != BOX_LIVE ? ENOENT : EINVAL);
		return;
	}
	call_send(call_new(req, call_done_err), "rename",
	    json_pack("{s:s,s:s}", "id", b->id, "name", newname));
}

/*** chmod, chown, truncate ***/

static void
answer_getattr(struct call *c, const struct reply *r)
{
	if (r->error != 0)
		reply_err(c->req, -r->error);
	else
		control_getattr(c->req, c->n);
}

static json_t *
own_params(const struct node *n, const struct stat *st, int to_set)
{
	json_t *p = node_params(n); /* of NAME/ and jobs/N/ without a file */

	if (n->file->at == AT_JOBS && n->job == 0)
		json_object_set_new(
		    p, "file", json_sprintf("jobs/%s", n->file->name));
	if ((to_set & FUSE_SET_ATTR_MODE) != 0)
		json_object_set_new(
		    p, "mode", json_integer(st->st_mode & 07777));
	if ((to_set & FUSE_SET_ATTR_UID) != 0)
		json_object_set_new(p, "owner", json_integer(st->st_uid));
	if ((to_set & FUSE_SET_ATTR_GID) != 0)
		json_object_set_new(p, "group", json_integer(st->st_gid));
	return p;
}

#define SET_OWN (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)

void
control_setattr(
    fuse_req_t req, struct node *n, const struct stat *st, int to_set)
{
	struct call *c;

	if (node_stale(n) != 0) {
		reply_err(req, ESTALE);
		return;
	}
	if ((to_set & SET_OWN) != 0 &&
	    (n->file == &file_top ||
		(n->file->kind == KIND_LINK && n->file->at == AT_TOP))) {
		reply_why(req, n, EPERM, "its owner and mode stay as they are");
		return;
	}
	if ((to_set & SET_OWN) != 0) {
		c = call_new(req, answer_getattr);
		call_node(c, n);
		call_send(c, "setattr", own_params(n, st, to_set));
		return;
	}
	if ((to_set & FUSE_SET_ATTR_SIZE) != 0 && n->box != NULL &&
	    n->file->kind == KIND_VALUE && (n->file->mode & 0200) != 0 &&
	    st->st_size == 0) {
		c = call_new(req, answer_getattr);
		call_node(c, n);
		call_send(c, "truncate", node_params(n));
		return;
	}
	control_getattr(req, n);
}
