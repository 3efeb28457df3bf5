/*
 * READLINK: a link that would lead out is shown rewritten, as links.h walks
 * it. Each name on the way is asked of the agent once; the walk begins anew
 * with what is known by then.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/links.h"
#include "sbxfs/remote_impl.h"
#include "sbxfs/trees.h"

#define STEPS_MAX 400 /* names that are asked about */

struct step {
	char *path;
	char *target; /* NULL: no link */
};

struct rwalk {
	char *target; /* of the link itself */
	struct step *v;
	size_t n;
	char *need; /* the name that is being asked about */
};

void
rwalk_free(struct rwalk *w)
{
	if (w == NULL)
		return;
	while (w->n > 0) {
		free(w->v[--w->n].path);
		free(w->v[w->n].target);
	}
	free(w->v);
	free(w->target);
	free(w->need);
	free(w);
}

/* Shown empty, so there are no links in it. */
static bool
is_closed(const char *path)
{
	char first[8];
	size_t n = strcspn(path, "/");

	if (n >= sizeof(first))
		return false;
	memcpy(first, path, n);
	first[n] = '\0';
	return trees_empty_dir(first);
}

static ssize_t
known(void *arg, const char *path, char *to, size_t n)
{
	struct rwalk *w = arg;
	size_t i, len;

	if (is_closed(path))
		return 0;
	for (i = 0; i < w->n; i++) {
		if (strcmp(w->v[i].path, path) != 0)
			continue;
		if (w->v[i].target == NULL)
			return 0;
		len = strlen(w->v[i].target);
		if (len > n)
			return -ENAMETOOLONG;
		memcpy(to, w->v[i].target, len);
		return (ssize_t)len;
	}
	free(w->need);
	w->need = xstrdup(path);
	return -EAGAIN;
}

static void walk(struct rcall *k);

/* The target of an answer; NULL: it is no link. */
static char *
take_target(const struct reply *r)
{
	size_t len;

	if (r->error != 0)
		return NULL;
	return rname_take(json_object_get(r->result, "target"), &len);
}

static void
got_step(struct rcall *k, const struct reply *r)
{
	struct rwalk *w = k->walk;
	struct step s = { .path = steal_ptr(&w->need),
		.target = take_target(r) };

	w->v = xrealloc(w->v, w->n + 1, sizeof(*w->v));
	w->v[w->n++] = s;
	if (k->req == NULL)
		return;
	if (r->error == -EIO)
		reply_err(k->req, EIO);
	else
		walk(k);
}

static void
walk(struct rcall *k)
{
	cleanup_buf struct buf to = BUF_INIT;
	struct rwalk *w = k->walk;
	cleanup_buf struct buf dir = BUF_INIT;
	int r;

	if ((r = fs_path(k->n->parent, NULL, &dir)) == 0)
		r = buf_addf(
		    &to, "%s/%s/fs/", k->s->mountpoint, box_shown(k->n->box));
	if (r == 0)
		r = link_resolve(buf_str(&dir), w->target, known, w, &to);
	if (r == -EAGAIN && w->n < STEPS_MAX) {
		rcall_again(k, "sbx.fs.readlink",
		    json_pack("{s:o}", "path", rname(w->need, strlen(w->need))),
		    got_step);
		return;
	}
	if (r < 0)
		reply_err(k->req, r == -EAGAIN ? ELOOP : -r);
	else
		(void)fuse_reply_readlink(k->req, buf_str(&to));
}

static void
got_target(struct rcall *k, const struct reply *r)
{
	char *target = take_target(r);

	if (k->req == NULL) {
		free(target);
		return;
	}
	if (target == NULL || *target == '\0' || strlen(target) >= PATH_MAX) {
		reply_err(k->req, r->error != 0 ? -r->error : EIO);
		free(target);
		return;
	}
	if (link_is_safe(target, fs_depth(k->n->parent))) {
		(void)fuse_reply_readlink(k->req, target);
		free(target);
		return;
	}
	k->walk = xcalloc(1, sizeof(*k->walk));
	k->walk->target = target;
	walk(k);
}

void
rop_readlink(fuse_req_t req, struct node *n)
{
	struct rcall *k;

	if (n->file->at != AT_FS)
		reply_err(req, EINVAL);
	else if ((k = rcall_path(req, n, NULL, got_target)) != NULL)
		rcall_look(k, "sbx.fs.readlink");
}
