#include "sbxfs/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/size.h"
#include "sbxfs/fs.h"

/* Behind it the node of a link from an id is kept, beside the directory's. */
#define LINK_MARK '\001'

void
entry_reply(fuse_req_t req, struct node *n, struct fuse_entry_param *e)
{
	struct sbxfs *s = req_fs(req);

	e->ino = n == s->nodes.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)n;
	node_looked_up(n);
	if (fuse_reply_entry(req, e) != 0)
		node_forget(&s->nodes, n, 1);
	node_unref(&s->nodes, n);
}

/*** Attributes ***/

#define KEY_MAX 300 /* a name has at most 255 bytes */

/* What the front calls n where it keeps modes, as jobs/3/stdout. */
static const char *
mode_key(const struct node *n, char room[KEY_MAX])
{
	switch (n->file->at) {
	case AT_PROFILES:
		(void)snprintf(room, KEY_MAX, "profiles/%s", n->name);
		return room;
	case AT_JOBS:
		(void)snprintf(room, KEY_MAX, "jobs/%s", n->name);
		return room;
	case AT_JOB:
		(void)snprintf(
		    room, KEY_MAX, "jobs/%d/%s", n->job, n->file->name);
		return room;
	case AT_NOWHERE:
	case AT_TOP:
	case AT_BOX:
	case AT_FS:
		break;
	}
	return n->file->name;
}

/* What chmod and chown said; -1: as it is. */
static void
own_of(const struct sbxfs *s, const json_t *modes, const struct node *n,
    struct stat *st)
{
	json_int_t mode, uid, gid;
	char room[KEY_MAX];

	if (json_object_size(modes) == 0 ||
	    json_unpack(json_object_get(modes, mode_key(n, room)), "[I,I,I]",
		&mode, &uid, &gid) < 0)
		return;
	if (mode >= 0)
		st->st_mode = (mode_t)mode & 07777;
	/* another machine's ids say nothing here */
	if (uid >= 0 && s->dial < 0)
		st->st_uid = (uid_t)uid;
	if (gid >= 0 && s->dial < 0)
		st->st_gid = (gid_t)gid;
}

static void
own_of_top(const struct sbxfs *s, const struct node *n, struct stat *st)
{
	st->st_uid = s->uid;
	st->st_gid = s->group;
	if (n->file->at != AT_NOWHERE)
		own_of(s, s->modes, n, st);
}

static void
own_of_box(const struct sbxfs *s, const struct node *n, struct stat *st)
{
	const struct box *b = n->box;

	st->st_uid = b->uid;
	st->st_gid = b->gid;
	if (n->file->at == AT_TOP)
		st->st_mode = b->mode;
	else
		own_of(s, b->modes, n, st);
}

/* All but what the front must be asked for. */
static void
fill_attr(const struct sbxfs *s, const struct node *n, struct stat *st)
{
	const struct file *f = n->file;

	if (f->kind == KIND_TREE) {
		fs_stat_root(n, st);
		return;
	}
	memset(st, 0, sizeof(*st));
	st->st_ino = n == s->nodes.root ? 1 : node_number(n);
	st->st_mode = f->mode;
	st->st_nlink = 1;
	st->st_mtime = (time_t)(n->box != NULL ? n->box->created : s->since);
	if (f->kind == KIND_LINK && f->at == AT_TOP)
		st->st_uid = n->box->uid;
	else if (n->box != NULL)
		own_of_box(s, n, st);
	else
		own_of_top(s, n, st);
	switch (f->kind) {
	case KIND_DIR:
		st->st_mode |= S_IFDIR;
		st->st_nlink = 2;
		break;
	case KIND_LINK:
		st->st_mode |= S_IFLNK;
		break;
	case KIND_VALUE:
	case KIND_COMMAND:
	case KIND_LOG:
	case KIND_STREAM:
	case KIND_TREE:
		st->st_mode |= S_IFREG;
		break;
	}
	st->st_atime = st->st_ctime = st->st_mtime;
}

/*
 * Names are asked for each time, and so is what a file says of itself. A
 * directory's owner and mode change by notifications, which take the cached
 * ones back (serve.c); without a timeout each step of a path would be asked
 * for twice. fs/ is there as long as its sandbox, whose name is asked for.
 */
static void
set_timeouts(
    const struct sbxfs *s, const struct file *f, struct fuse_entry_param *e)
{
	if (f->kind == KIND_TREE)
		e->attr_timeout = e->entry_timeout = fs_timeout(s);
	else if (f->kind == KIND_DIR)
		e->attr_timeout = 60;
}

static void
reply_attr(fuse_req_t req, struct node *n, bool entry, struct stat *st)
{
	struct fuse_entry_param e = { .attr = *st };

	set_timeouts(req_fs(req), n->file, &e);
	if (entry)
		entry_reply(req, node_ref(n), &e);
	else
		(void)fuse_reply_attr(req, st, e.attr_timeout);
}

/* What was last said of n; 0 before that. */
static void
fill_size(const struct node *n, struct stat *st)
{
	st->st_size = n->size;
	st->st_blocks = (n->size + 511) / 512;
	if (n->mtime_ms > 0) {
		st->st_mtim.tv_sec = n->mtime_ms / 1000;
		st->st_mtim.tv_nsec = n->mtime_ms % 1000 * 1000000;
		st->st_ctim = st->st_atim = st->st_mtim;
	}
}

static void
got_size(struct call *c, const struct reply *r)
{
	json_int_t size = 0, mtime = 0;
	struct stat st;

	if (r->error != 0) {
		reply_err(c->req, -r->error);
		return;
	}
	(void)json_unpack(
	    r->result, "{s?I,s?I}", "size", &size, "mtime", &mtime);
	c->n->size = size;
	c->n->mtime_ms = mtime;
	fill_attr(c->s, c->n, &st);
	fill_size(c->n, &st);
	reply_attr(c->req, c->n, false, &st);
}

static void
ask_size(fuse_req_t req, struct node *n)
{
	struct call *c = call_new(req, got_size);
	json_t *params = node_params(n);

	call_node(c, n);
	if (n->file->kind != KIND_LOG) {
		json_object_set_new(params, "stat", json_true());
		call_send(c, "read", params);
		return;
	}
	json_object_set_new(params, "off", json_integer(0));
	json_object_set_new(params, "len", json_integer(0));
	call_send(c, "pread", params);
}

/* Which rows of n's directory, or of the one that n is, were removed; NULL:
 * it is no husk. */
static const uint64_t *
husk_removed(const struct node *n)
{
	const struct job_husk *k;

	if (n->box == NULL)
		return NULL;
	if (n->box->life == BOX_HUSK)
		return &n->box->removed;
	if (n->job == 0 || (k = box_job_husk(n->box, n->job)) == NULL)
		return NULL;
	return &k->removed;
}

/*
 * Answers with the entry or the attributes of n. An entry never waits for the
 * front, and what the front may wait for: the kernel holds a lock on the
 * directory meanwhile. With it goes the size that was said last; whoever
 * opens the file or wants to know asks for the attributes in any case, as
 * they are not cached.
 */
static void
answer_attr(fuse_req_t req, struct node *n, bool entry)
{
	bool sized = file_sized(n->file) && husk_removed(n) == NULL &&
	    (n->box == NULL || n->box->life == BOX_LIVE);
	struct stat st;

	if (sized && !entry) {
		ask_size(req, n);
		return;
	}
	fill_attr(req_fs(req), n, &st);
	if (sized)
		fill_size(n, &st);
	reply_attr(req, n, entry, &st);
}

void
control_getattr(fuse_req_t req, struct node *n)
{
	if (node_stale(n) != 0)
		reply_err(req, ESTALE);
	else
		answer_attr(req, n, false);
}

/*** Looking up ***/

/* The child's node, made if need be, with a reference for the caller. */
static struct node *
child(struct sbxfs *s, struct node *parent, const char *key,
    const struct file *f, struct box *b)
{
	struct node *n = nodes_find(&s->nodes, parent, key);

	if (n != NULL && (n->box != b || n->file != f)) {
		nodes_unhash(&s->nodes, n);
		n = NULL;
	}
	return n != NULL ? node_ref(n)
			 : nodes_add(&s->nodes, parent, key, f, b);
}

static void
answer_child(fuse_req_t req, struct node *parent, const char *key,
    const struct file *f, struct box *b)
{
	struct sbxfs *s = req_fs(req);
	struct node *n = child(s, parent, key, f, b);

	answer_attr(req, n, true);
	node_unref(&s->nodes, n);
}

static void
lookup_box(fuse_req_t req, struct node *top, const char *name)
{
	struct sbxfs *s = req_fs(req);
	struct box *b = boxes_by_name(&s->boxes, name);
	char key[BOX_ID_MAX + 2];

	if (b == NULL && (b = boxes_by_id(&s->boxes, name)) != NULL &&
	    b->name[0] != '\0') {
		if (b->life != BOX_LIVE) {
			reply_err(req, ENOENT);
			return;
		}
		(void)snprintf(key, sizeof(key), "%c%s", LINK_MARK, b->id);
		answer_child(req, top, key, file_any(AT_TOP, KIND_LINK), b);
		return;
	}
	if (b == NULL)
		reply_err(req, ENOENT);
	else
		answer_child(req, top, b->id, file_any(AT_TOP, KIND_DIR), b);
}

static void
lookup_profile(fuse_req_t req, struct node *parent, const char *name)
{
	struct sbxfs *s = req_fs(req);
	size_t i;

	for (i = 0; i < s->nprofiles; i++)
		if (strcmp(s->profiles[i], name) == 0) {
			answer_child(req, parent, name,
			    file_any(AT_PROFILES, KIND_VALUE), NULL);
			return;
		}
	reply_err(req, ENOENT);
}

static void
answer_job(fuse_req_t req, struct node *parent, const char *name, int job)
{
	struct sbxfs *s = req_fs(req);
	struct node *n =
	    child(s, parent, name, file_any(AT_JOBS, KIND_DIR), parent->box);

	n->job = job;
	answer_attr(req, n, true);
	node_unref(&s->nodes, n);
}

static void
got_jobs(struct call *c, const struct reply *r)
{
	json_t *jobs = json_object_get(r->result, "jobs"), *job;
	int64_t number = 0;
	size_t i;

	if (r->error != 0) {
		reply_err(c->req, -r->error);
		return;
	}
	(void)int_parse(c->text, 1, INT32_MAX, &number);
	json_array_foreach (jobs, i, job) {
		if (json_integer_value(job) != number)
			continue;
		answer_job(c->req, c->n, c->text, (int)number);
		return;
	}
	reply_err(c->req, ENOENT);
}

static void
lookup_job(fuse_req_t req, struct node *parent, const char *name)
{
	struct call *c;
	int64_t job;

	if (*name < '1' || *name > '9' ||
	    int_parse(name, 1, INT32_MAX, &job) < 0) {
		reply_err(req, ENOENT);
		return;
	}
	if (box_job_husk(parent->box, (int)job) != NULL) {
		answer_job(req, parent, name, (int)job);
		return;
	}
	c = call_new(req, got_jobs);
	c->text = xstrdup(name);
	call_node(c, parent);
	call_send(c, "jobs", box_params(parent->box));
}

static bool
is_removed(const struct node *parent, const struct file *f)
{
	const uint64_t *removed = husk_removed(parent);

	return removed != NULL && (*removed & 1ull << file_index(f)) != 0;
}

void
control_lookup(fuse_req_t req, struct node *parent, const char *name)
{
	const struct file *f = file_find(parent->file->inside, name);
	bool husk = parent->box != NULL && parent->box->life != BOX_LIVE;

	if (node_stale(parent) != 0)
		reply_err(req, ENOENT);
	else if (f != NULL && !is_removed(parent, f))
		answer_child(req, parent, name, f, parent->box);
	else if (f != NULL || husk)
		reply_err(req, ENOENT);
	else if (parent->file->inside == AT_TOP)
		lookup_box(req, parent, name);
	else if (parent->file->inside == AT_PROFILES)
		lookup_profile(req, parent, name);
	else if (parent->file->inside == AT_JOBS)
		lookup_job(req, parent, name);
	else
		reply_err(req, ENOENT);
}

/*** Links ***/

static void
got_last(struct call *c, const struct reply *r)
{
	char text[24];
	json_int_t last;

	last = json_integer_value(json_object_get(r->result, "last"));
	if (r->error != 0 || last <= 0) {
		reply_err(c->req, r->error != 0 ? -r->error : ENOENT);
		return;
	}
	(void)snprintf(text, sizeof(text), "%lld", (long long)last);
	(void)fuse_reply_readlink(c->req, text);
}

void
control_readlink(fuse_req_t req, struct node *n)
{
	if (n->file->kind != KIND_LINK)
		reply_err(req, EINVAL);
	else if (n->box->life != BOX_LIVE)
		reply_err(req, ENOENT);
	else if (n->file->at == AT_TOP)
		(void)fuse_reply_readlink(req, n->box->name);
	else
		call_send(call_new(req, got_last), "jobs", box_params(n->box));
}

/*** Listing ***/

struct listing {
	size_t n;
	struct item {
		char name[BOX_NAME_MAX + BOX_ID_MAX];
		mode_t type;
	} * items;
};

static void
add_item(struct listing *l, const char *name, mode_t type)
{
	if ((l->n & (l->n - 1)) == 0)
		l->items = xrealloc(
		    l->items, l->n != 0 ? l->n * 2 : 1, sizeof(*l->items));
	(void)str_copy(l->items[l->n].name, name, sizeof(l->items[l->n].name));
	l->items[l->n++].type = type;
}

static void
add_rows(struct listing *l, const struct node *n)
{
	const struct file *f;
	mode_t type;
	size_t i;

	for (i = 0; (f = file_row(i)) != NULL; i++) {
		if (f->at != n->file->inside || f->name == NULL ||
		    is_removed(n, f))
			continue;
		type = f->kind == KIND_DIR || f->kind == KIND_TREE ? S_IFDIR
		    : f->kind == KIND_LINK			   ? S_IFLNK
								   : S_IFREG;
		add_item(l, f->name, type);
	}
}

static void
add_boxes(struct listing *l, const struct sbxfs *s, uid_t uid)
{
	const struct box *b;

	TAILQ_FOREACH (b, &s->boxes.all, link)
		if (b->life == BOX_LIVE && (uid == 0 || uid == b->uid))
			add_item(l, box_shown(b), S_IFDIR);
}

static void
listed(fuse_req_t req, struct listing *l)
{
	struct fuse_file_info fi = { .fh = (uint64_t)(uintptr_t)l };

	if (fuse_reply_open(req, &fi) != 0)
		control_releasedir(l);
}

static struct listing *
new_listing(const struct node *n)
{
	struct listing *l = xcalloc(1, sizeof(*l));

	add_item(l, ".", S_IFDIR);
	add_item(l, "..", S_IFDIR);
	add_rows(l, n);
	return l;
}

static void
list_jobs(struct call *c, const struct reply *r)
{
	json_t *jobs = json_object_get(r->result, "jobs"), *job;
	struct listing *l;
	char name[24];
	size_t i;

	if (r->error != 0) {
		reply_err(c->req, -r->error);
		return;
	}
	l = new_listing(c->n);
	json_array_foreach (jobs, i, job) {
		(void)snprintf(name, sizeof(name), "%lld",
		    (long long)json_integer_value(job));
		add_item(l, name, S_IFDIR);
	}
	if (json_array_size(jobs) == 0)
		l->n--; /* last, the last of the rows */
	listed(c->req, l);
}

void
control_opendir(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct sbxfs *s = req_fs(req);
	struct listing *l;
	struct call *c;
	size_t i;

	(void)fi;
	if (node_stale(n) != 0) {
		reply_err(req, ENOENT);
		return;
	}
	if (n->file->inside == AT_JOBS && n->box->life == BOX_LIVE) {
		c = call_new(req, list_jobs);
		call_node(c, n);
		call_send(c, "jobs", box_params(n->box));
		return;
	}
	l = new_listing(n);
	if (n->file->inside == AT_TOP)
		add_boxes(l, s, req_caller(req).uid);
	for (i = 0; n->file->inside == AT_PROFILES && i < s->nprofiles; i++)
		add_item(l, s->profiles[i], S_IFREG);
	listed(req, l);
}

void
control_readdir(
    fuse_req_t req, struct listing *l, size_t n, off_t off, bool plus)
{
	cleanup_free char *p = xmalloc(n);
	struct fuse_entry_param e;
	size_t used = 0, len;
	size_t i;

	/* Without a node the kernel takes the name alone, and asks for what
	 * it needs: sizes are the front's to say. */
	memset(&e, 0, sizeof(e));
	for (i = (size_t)off; i < l->n; i++) {
		e.attr.st_ino = i + 2;
		e.attr.st_mode = l->items[i].type;
		if (plus)
			len = fuse_add_direntry_plus(req, p + used, n - used,
			    l->items[i].name, &e, (off_t)i + 1);
		else
			len = fuse_add_direntry(req, p + used, n - used,
			    l->items[i].name, &e.attr, (off_t)i + 1);
		if (len > n - used)
			break;
		used += len;
	}
	(void)fuse_reply_buf(req, p, used);
}

void
control_releasedir(struct listing *l)
{
	free(l->items);
	free(l);
}
