/*
 * Directories: all pages of a listing are asked for when it is read from its
 * start, and what the kernel takes is served from that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "sbxfs/remote_impl.h"

/* A guest may list without end. */
#define ENTRIES_MAX 1000000
/* Attributes that are older are not the kernel's to keep. */
#define FRESH_MS 100

struct item {
	char *name;
	struct stat st;
};

struct rlist {
	struct item *v;
	size_t n, room;
	bool whole;
	int64_t read_ms;
};

void
rlist_free(struct rlist *l)
{
	if (l == NULL)
		return;
	while (l->n > 0)
		free(l->v[--l->n].name);
	free(l->v);
	free(l);
}

static int
add_item(const struct box *b, struct rlist *l, const json_t *o)
{
	struct item it;
	size_t len;

	if (l->n >= ENTRIES_MAX || rstat_take(b, o, &it.st) < 0 ||
	    (it.name = rname_take(json_object_get(o, "name"), &len)) == NULL)
		return -EPROTO;
	/* a name that is none would be a path */
	if (len == 0 || len > NAME_MAX || strchr(it.name, '/') != NULL ||
	    strcmp(it.name, ".") == 0 || strcmp(it.name, "..") == 0) {
		free(it.name);
		return -EPROTO;
	}
	if (l->n == l->room) {
		l->room = l->room != 0 ? l->room * 2 : 64;
		l->v = xrealloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = it;
	return 0;
}

/*** Answering ***/

static size_t
add_dots(const struct rcall *k, size_t i, char *p, size_t n)
{
	struct fuse_entry_param e = { .attr = { .st_ino = 2 + i,
					  .st_mode = S_IFDIR } };
	const char *name = i == 0 ? "." : "..";

	if (k->plus)
		return fuse_add_direntry_plus(
		    k->req, p, n, name, &e, (off_t)i + 1);
	return fuse_add_direntry(k->req, p, n, name, &e.attr, (off_t)i + 1);
}

static size_t
add_plus(struct rcall *k, const struct rlist *l, size_t i, char *p, size_t n)
{
	const struct item *it = &l->v[i];
	struct fuse_entry_param e = { .attr = it->st };
	struct node *node;
	size_t len;

	if (it->st.st_nlink == 0) /* only a name */
		return fuse_add_direntry_plus(
		    k->req, p, n, it->name, &e, (off_t)i + 3);
	node = fs_node_for(k->s, k->n, it->name, &it->st);
	rentry_fill(k->s, node, &it->st, &e);
	if (clock_ms() - l->read_ms > FRESH_MS)
		e.attr_timeout = e.entry_timeout = 0;
	len = fuse_add_direntry_plus(k->req, p, n, it->name, &e, (off_t)i + 3);
	if (len <= n)
		node_looked_up(node);
	node_unref(&k->s->nodes, node);
	return len;
}

static size_t
add_entry(struct rcall *k, const struct rlist *l, size_t i, char *p, size_t n)
{
	struct stat st = l->v[i].st;

	if (k->plus)
		return add_plus(k, l, i, p, n);
	st.st_ino = fs_number(&st);
	return fuse_add_direntry(k->req, p, n, l->v[i].name, &st, (off_t)i + 3);
}

/* Of what is known: nothing but the dots of a husk, or where it is shown empty.
 * k->off is the number of entries that were given, with the two dots. */
static void
answer(struct rcall *k, const struct rlist *l)
{
	cleanup_free char *p = xmalloc(k->size);
	size_t used = 0, len, i, n = 2 + (l != NULL ? l->n : 0);

	for (i = (size_t)k->off; i < n; i++) {
		len = i < 2 ? add_dots(k, i, p + used, k->size - used)
			    : add_entry(k, l, i - 2, p + used, k->size - used);
		if (len > k->size - used)
			break;
		used += len;
	}
	(void)fuse_reply_buf(k->req, used != 0 ? p : NULL, used);
}

/*** Reading ***/

static void
got_page(struct rcall *k, const struct reply *r)
{
	struct rfile *f = k->file;
	json_t *entries = json_object_get(r->result, "entries"), *o;
	json_t *next = json_object_get(r->result, "next");
	int error = -r->error;
	size_t i;

	/* Closed meanwhile: the kernel does not wait for what it interrupts. */
	if (k->req == NULL)
		return;
	if (json_object_get(k->params, "after") == NULL) {
		rlist_free(f->list);
		f->list = xcalloc(1, sizeof(*f->list));
	}
	json_array_foreach (entries, i, o)
		if (error == 0 && add_item(k->n->box, f->list, o) < 0)
			error = EIO;
	if (error == 0 && json_is_integer(next)) {
		rcall_again(k, "sbx.fs.readdir",
		    json_pack("{s:O}", "after", next), got_page);
		return;
	}
	if (error != 0) {
		reply_err(k->req, error);
		return;
	}
	f->list->whole = true;
	f->list->read_ms = clock_ms();
	answer(k, f->list);
}

static void
opened(struct rcall *k, const struct reply *r)
{
	const json_t *h = json_object_get(r->result, "h");
	struct fuse_file_info fi = { 0 };
	struct rfile *f;

	if (r->error == 0 && json_is_integer(h)) {
		if (k->req == NULL) {
			rconn_close(k->rc, json_integer_value(h));
			return;
		}
		f = rfile_new(k, r, k->n);
		fi.fh = (uint64_t)(uintptr_t)f;
		if (fuse_reply_open(k->req, &fi) != 0)
			rfile_unref(k->s, f);
	} else if (k->req != NULL) {
		reply_err(k->req, r->error != 0 ? -r->error : EIO);
	}
}

void
rop_opendir(fuse_req_t req, struct node *n)
{
	struct rcall *k = rcall_path(req, n, NULL, opened);

	if (k == NULL)
		return;
	k->flags = O_DIRECTORY;
	ropen_put(k->params, k->flags);
	rcall_look(k, "sbx.fs.open");
}

/* Without asking. */
static void
answer_known(fuse_req_t req, const struct rfile *f, const struct fs_list *l)
{
	struct rcall k = { .s = req_fs(req),
		.req = req,
		.n = f->f.node,
		.size = l->n,
		.off = l->off,
		.plus = l->plus };

	answer(&k, f->list);
}

void
rop_readdir(fuse_req_t req, struct rfile *f, const struct fs_list *l)
{
	struct rcall *k;

	if (f->rc == NULL ||
	    (l->off != 0 && f->list != NULL && f->list->whole)) {
		answer_known(req, f, l);
		return;
	}
	if ((k = rcall_file(req, f, got_page)) == NULL)
		return;
	k->size = l->n;
	k->off = l->off;
	k->plus = l->plus;
	rcall_look(k, "sbx.fs.readdir");
}
