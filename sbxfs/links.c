#include "sbxfs/links.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define LINKS_MAX 40 /* the kernel's own MAXSYMLINKS */

/* The next name of a path: its length, 0 at the end; *p moves to it. */
static size_t
next_name(const char **p)
{
	while (**p == '/')
		(*p)++;
	return strcspn(*p, "/");
}

static bool
is_dotdot(const char *p, size_t n)
{
	return n == 2 && p[0] == '.' && p[1] == '.';
}

bool
link_is_safe(const char *target, size_t depth)
{
	const char *p = target;
	bool names = false;
	size_t n, ups = 0;

	if (*target == '/')
		return false;
	for (; (n = next_name(&p)) != 0; p += n) {
		if (!is_dotdot(p, n)) {
			/* "./.." has its ".." after a name */
			names = true;
			continue;
		}
		if (names || ++ups > depth)
			return false;
	}
	return true;
}

static void
drop_last(struct buf *path, size_t start)
{
	size_t n = path->len;

	while (n > start && path->data[n - 1] != '/')
		n--;
	if (n > start)
		n--;
	buf_cut(path, n);
}

/* Puts a link's target in front of what is still to be walked. */
static int
splice_target(struct buf *todo, const char *target, const char *rest)
{
	cleanup_buf struct buf all = BUF_INIT;
	int r;

	buf_limit(&all, 64 << 10);
	if ((r = buf_addf(&all, "%s/%s", target, rest)) < 0)
		return r == -EMSGSIZE ? -ENAMETOOLONG : r;
	buf_clear(todo);
	return buf_add(todo, all.data, all.len);
}

struct walk {
	struct buf *at; /* what is found so far begins at start */
	size_t start;
	struct buf todo;
	const char *p; /* in todo: what is still to be walked */
	int links;
	link_reader read_link;
	void *arg;
};

/* Goes n bytes of a name down; a link there becomes part of todo. */
static int
step(struct walk *w, size_t n)
{
	char target[PATH_MAX];
	size_t before = w->at->len;
	ssize_t len;
	int r;

	if ((r = buf_addf(w->at, "%s%.*s", before > w->start ? "/" : "", (int)n,
		 w->p)) < 0)
		return r;
	w->p += n;
	len = w->read_link(
	    w->arg, w->at->data + w->start, target, sizeof(target) - 1);
	if (len <= 0)
		return (int)len;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	target[len] = '\0';
	buf_cut(w->at, target[0] == '/' ? w->start : before);
	if ((r = splice_target(&w->todo, target, w->p)) < 0)
		return r;
	w->p = buf_str(&w->todo);
	return 0;
}

static int
walk(struct walk *w)
{
	size_t n;
	int r = 0;

	while (r == 0 && (n = next_name(&w->p)) != 0) {
		if (n == 1 && *w->p == '.') {
			w->p++;
		} else if (is_dotdot(w->p, n)) {
			drop_last(w->at, w->start);
			w->p += n;
		} else {
			r = step(w, n);
		}
	}
	return r;
}

int
link_resolve(const char *dir, const char *target, link_reader read_link,
    void *arg, struct buf *ret)
{
	struct walk w = {
		.at = ret, .start = ret->len, .read_link = read_link, .arg = arg
	};
	int r = 0;

	if (*target != '/')
		r = buf_adds(ret, dir);
	if (r == 0)
		r = buf_adds(&w.todo, target);
	if (r == 0) {
		w.p = buf_str(&w.todo);
		r = walk(&w);
	}
	buf_done(&w.todo);
	return r;
}
