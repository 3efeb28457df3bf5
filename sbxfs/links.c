#include "sbxfs/links.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/mem.h"

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

/* Goes one name down; a link there becomes part of todo. */
static int
step(struct buf *ret, size_t start, struct buf *todo, const char **p, size_t n,
    link_reader read_link, void *arg, int *links)
{
	char target[PATH_MAX];
	size_t before = ret->len;
	ssize_t len;
	int r;

	if ((r = buf_addf(
		 ret, "%s%.*s", ret->len > start ? "/" : "", (int)n, *p)) < 0)
		return r;
	*p += n;
	len = read_link(arg, ret->data + start, target, sizeof(target) - 1);
	if (len <= 0)
		return (int)len;
	if (++*links > LINKS_MAX)
		return -ELOOP;
	target[len] = '\0';
	buf_cut(ret, target[0] == '/' ? start : before);
	if ((r = splice_target(todo, target, *p)) < 0)
		return r;
	*p = buf_str(todo);
	return 0;
}

int
link_resolve(const char *dir, const char *target, link_reader read_link,
    void *arg, struct buf *ret)
{
	cleanup_buf struct buf todo = BUF_INIT;
	size_t n, start = ret->len;
	int r, links = 0;
	const char *p;

	if ((*target != '/' && (r = buf_adds(ret, dir)) < 0) ||
	    (r = buf_adds(&todo, target)) < 0)
		return r;
	for (p = buf_str(&todo); (n = next_name(&p)) != 0;) {
		if (n == 1 && *p == '.') {
			p++;
			continue;
		}
		if (is_dotdot(p, n)) {
			drop_last(ret, start);
			p += n;
			continue;
		}
		if ((r = step(
			 ret, start, &todo, &p, n, read_link, arg, &links)) < 0)
			return r;
	}
	return 0;
}
