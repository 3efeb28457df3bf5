#include "sbxfs/park.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "sbxfs/fs.h"
#include "sbxfs/trees.h"

struct parked {
	TAILQ_ENTRY(parked) link;
	uint64_t unique;
	bool interrupted;
	size_t n;
	char bytes[]; /* as they were read */
};

static pid_t
caller_of(const struct parked *p)
{
	return (pid_t)((const struct fuse_in_header *)(const void *)p->bytes)
	    ->pid;
}

/* What opens a path beneath a tree. Others have an open file, or need none. */
static const uint8_t needs_trees[] = {
	[FUSE_LOOKUP] = 1,
	[FUSE_GETATTR] = 1,
	[FUSE_SETATTR] = 1,
	[FUSE_READLINK] = 1,
	[FUSE_SYMLINK] = 1,
	[FUSE_MKNOD] = 1,
	[FUSE_MKDIR] = 1,
	[FUSE_UNLINK] = 1,
	[FUSE_RMDIR] = 1,
	[FUSE_RENAME] = 1,
	[FUSE_RENAME2] = 1,
	[FUSE_LINK] = 1,
	[FUSE_OPEN] = 1,
	[FUSE_OPENDIR] = 1,
	[FUSE_READDIRPLUS] = 1,
	[FUSE_CREATE] = 1,
	[FUSE_STATFS] = 1,
	[FUSE_SETXATTR] = 1,
	[FUSE_GETXATTR] = 1,
	[FUSE_LISTXATTR] = 1,
	[FUSE_REMOVEXATTR] = 1,
};

static void
fail(const struct sbxfs *s, uint64_t unique, int error)
{
	const struct fuse_out_header out = {
		.len = sizeof(out),
		.error = -error,
		.unique = unique,
	};

	/* ENOENT: whoever asked is gone. */
	if (write(s->devfd, &out, sizeof(out)) < 0 && errno != ENOENT)
		log_warn("/dev/fuse");
}

static void
take_out(struct sbxfs *s, struct box *b, struct parked *p)
{
	TAILQ_REMOVE(&b->parked, p, link);
	s->park_interrupted -= p->interrupted;
}

static void
fail_one(struct sbxfs *s, struct box *b, struct parked *p, int error)
{
	take_out(s, b, p);
	fail(s, p->unique, error);
	free(p);
}

void
park_fail(struct sbxfs *s, struct box *b, int error)
{
	struct parked *p;

	while ((p = TAILQ_FIRST(&b->parked)) != NULL)
		fail_one(s, b, p, error);
}

static void
resume(struct sbxfs *s, struct box *b)
{
	struct fuse_buf buf = { 0 };
	struct parked *p;

	while ((p = TAILQ_FIRST(&b->parked)) != NULL) {
		take_out(s, b, p);
		buf.mem = p->bytes;
		buf.size = p->n;
		fuse_session_process_buf(s->se, &buf);
		free(p);
	}
}

struct asked {
	struct sbxfs *s;
	struct box *b; /* a reference */
};

static void
got_trees(void *arg, const struct reply *r)
{
	struct asked *a = arg;
	struct box *b = a->b;
	struct trees *t = NULL;

	b->trees_asked = false;
	if (r->error == 0)
		t = trees_new(r);
	if (b->life != BOX_LIVE) {
		trees_free(t);
		park_fail(a->s, b, ESTALE);
	} else if (t == NULL) {
		park_fail(a->s, b, r->error != 0 ? -r->error : EIO);
	} else {
		trees_drop(b);
		t->keep = a->s->epoch;
		b->trees = t;
		a->s->fs_seen = true;
		resume(a->s, b);
		/* Of a run that has ended meanwhile: good for these only. */
		if (t->run != b->run && b->trees == t)
			trees_drop(b);
	}
	box_unref(b);
	free(a);
}

static void
ask(struct sbxfs *s, struct box *b)
{
	struct request rq = { .method = "trees" };
	struct asked *a;

	if (b->trees_asked)
		return;
	a = xcalloc(1, sizeof(*a));
	a->s = s;
	a->b = box_ref(b);
	b->trees_asked = true;
	rq.params = json_pack("{s:s,s:i,s:i,s:i}", "id", b->id, "uid", 0, "gid",
	    0, "pid", (int)getpid());
	if (client_call(s->client, &rq, got_trees, a) != 0)
		return;
	b->trees_asked = false;
	box_unref(b);
	free(a);
	park_fail(s, b, EIO);
}

bool
park_take(struct sbxfs *s, const void *bytes, size_t n)
{
	const struct fuse_in_header *in = bytes;
	const struct node *node;
	struct parked *p;

	if (s->dial >= 0 || n < sizeof(*in) ||
	    in->opcode >= sizeof(needs_trees) || !needs_trees[in->opcode] ||
	    in->nodeid <= FUSE_ROOT_ID)
		return false;
	node = (const struct node *)(uintptr_t)in->nodeid;
	if (!fs_has(node) || node->box->life != BOX_LIVE ||
	    node->box->trees != NULL)
		return false;
	/* The attributes of fs/ itself never wait: ls -l of its sandbox. */
	if (in->opcode == FUSE_GETATTR && node->file->at != AT_FS)
		return false;
	p = xcalloc(1, sizeof(*p) + n);
	p->unique = in->unique;
	p->n = n;
	memcpy(p->bytes, bytes, n);
	TAILQ_INSERT_TAIL(&node->box->parked, p, link);
	ask(s, node->box);
	return true;
}

bool
park_interrupt(struct sbxfs *s, const void *bytes, size_t n)
{
	const struct fuse_in_header *in = bytes;
	const struct fuse_interrupt_in *what = (const void *)(in + 1);
	struct parked *p;
	struct box *b;

	if (n < sizeof(*in) + sizeof(*what) || in->opcode != FUSE_INTERRUPT)
		return false;
	TAILQ_FOREACH (b, &s->boxes.all, link)
		TAILQ_FOREACH (p, &b->parked, link) {
			if (p->unique != what->unique)
				continue;
			s->park_interrupted += !p->interrupted;
			p->interrupted = true;
			(void)park_look(s);
			return true;
		}
	return false;
}

static void
let_go(struct sbxfs *s, struct box *b)
{
	struct parked *p, *next;

	for (p = TAILQ_FIRST(&b->parked); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->interrupted && signals_of(caller_of(p)) != SIGNALS_NONE)
			fail_one(s, b, p, EINTR);
	}
}

bool
park_look(struct sbxfs *s)
{
	struct box *b;

	if (s->park_interrupted != 0)
		TAILQ_FOREACH (b, &s->boxes.all, link)
			let_go(s, b);
	return s->park_interrupted != 0;
}
