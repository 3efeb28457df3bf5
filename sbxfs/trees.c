#include "sbxfs/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "sbxfs/box.h"

#define KEEP_MS 10

static void
add_tree(struct trees *t, const char *prefix, bool ro, int fd)
{
	struct tree *row = &t->t[t->n++];

	while (*prefix == '/')
		prefix++;
	row->prefix = xstrdup(prefix);
	row->len = strlen(prefix);
	while (row->len > 0 && row->prefix[row->len - 1] == '/')
		row->prefix[--row->len] = '\0';
	row->ro = ro;
	row->fd = fd;
}

struct trees *
trees_new(const struct reply *r)
{
	struct trees *t = xcalloc(1, sizeof(*t));
	json_t *prefixes, *ro = NULL, *p;
	json_int_t run, base;
	const char *s;
	size_t i;
	int fd;

	if (json_unpack(r->result, "{s:I,s:I,s:o,s?o}", "run", &run, "base",
		&base, "trees", &prefixes, "ro", &ro) < 0)
		goto bad;
	t->run = (uint32_t)run;
	t->base = (uid_t)base;
	json_array_foreach (prefixes, i, p) {
		if ((fd = client_take_fd(r->client)) < 0)
			goto bad;
		if ((s = json_string_value(p)) == NULL || t->n == TREES_MAX)
			(void)close(fd);
		else
			add_tree(t, s, json_is_true(json_array_get(ro, i)), fd);
	}
	return t;
bad:
	trees_free(t);
	return NULL;
}

/* Of all tables one: nobody holds more descriptors for it. */
static struct {
	const struct trees *t; /* NULL: none */
	char *path;
	int fd;
	int64_t until_ms;
} kept = { .fd = -1 };

void
trees_forget(const struct trees *t)
{
	if (kept.t != t || t == NULL)
		return;
	kept.t = NULL;
	close_fd(&kept.fd);
	free(kept.path);
	kept.path = NULL;
}

void
trees_free(struct trees *t)
{
	size_t i;

	if (t == NULL)
		return;
	trees_forget(t);
	for (i = 0; i < t->n; i++) {
		close_fd(&t->t[i].fd);
		free(t->t[i].prefix);
	}
	free(t);
}

void
trees_drop(struct box *b)
{
	trees_free(b->trees);
	b->trees = NULL;
}

const struct tree *
trees_at(const struct trees *t, const char *path, const char **ret_rest)
{
	const struct tree *best = NULL, *row;
	size_t i;

	for (i = 0; i < t->n; i++) {
		row = &t->t[i];
		if (row->len != 0 &&
		    (strncmp(path, row->prefix, row->len) != 0 ||
			(path[row->len] != '/' && path[row->len] != '\0')))
			continue;
		if (best == NULL || row->len > best->len)
			best = row;
	}
	if (best == NULL)
		return NULL;
	path += best->len;
	while (*path == '/')
		path++;
	*ret_rest = *path != '\0' ? path : ".";
	return best;
}

/* The first part of a path that is too long for one call: its length. */
static size_t
first_part(const char *path)
{
	size_t n = PATH_MAX - 1;

	while (n > 0 && path[n] != '/')
		n--;
	return n;
}

int
trees_open(const struct trees *t, const char *path, int flags)
{
	cleanup_fd int dir = -1;
	const struct tree *row;
	char part[PATH_MAX];
	int at, fd;
	size_t n;

	if ((row = trees_at(t, path, &path)) == NULL)
		return -ENOENT;
	for (at = row->fd; strlen(path) >= PATH_MAX; at = dir) {
		if ((n = first_part(path)) == 0)
			return -ENAMETOOLONG;
		memcpy(part, path, n);
		part[n] = '\0';
		fd = fd_open_beneath(
		    at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd < 0)
			return fd;
		close_fd(&dir);
		dir = fd;
		path += n + 1;
	}
	return fd_open_beneath(at, path, flags, 0);
}

int
trees_kept(const struct trees *t, const char *path)
{
	if (kept.t != t || !t->keep || clock_ms() >= kept.until_ms ||
	    strcmp(kept.path, path) != 0)
		return -1;
	return kept.fd;
}

int
trees_dir(const struct trees *t, const char *path)
{
	int fd = trees_kept(t, path);

	if (fd >= 0)
		return fd;
	fd = trees_open(t, path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	trees_forget(kept.t);
	kept.t = t;
	kept.path = xstrdup(path);
	kept.fd = fd;
	kept.until_ms = clock_ms() + KEEP_MS;
	return fd;
}

bool
trees_empty_dir(const char *path)
{
	return strcmp(path, "proc") == 0 || strcmp(path, "dev") == 0 ||
	    strcmp(path, "sys") == 0;
}

bool
trees_fixed(const struct trees *t, const char *path)
{
	size_t i, n = strlen(path);

	/* a directory above a prefix carries it along */
	for (i = 0; i < t->n; i++)
		if (strncmp(t->t[i].prefix, path, n) == 0 &&
		    (t->t[i].prefix[n] == '/' || t->t[i].prefix[n] == '\0'))
			return true;
	return trees_empty_dir(path);
}

uint32_t
id_shown(const struct trees *t, uint32_t host, uint32_t owner)
{
	uint32_t inside = host - t->base;

	/* What is bound from the host is shown as the host's: the kernel's
	 * check of its mode must not take one for another. */
	if (host < t->base || inside >= TREE_IDS)
		return host;
	if (inside == 0)
		return owner;
	return inside == owner ? 0 : inside;
}

int
id_stored(
    const struct trees *t, uint32_t shown, uint32_t owner, uint32_t *ret_host)
{
	if (shown == owner)
		shown = 0;
	if (shown >= TREE_IDS)
		return -EINVAL;
	*ret_host = t->base + shown;
	return 0;
}
