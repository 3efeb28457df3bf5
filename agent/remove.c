#include "agent/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fd.h"

/* Descriptors of one walk. What lies deeper is moved up to the top, so that
 * no tree is too deep. */
#define DEPTH_MAX 64
#define PASSES_MAX 1000 /* somebody inside may be adding all the time */

struct walk {
	int top;	/* the tree's own directory */
	unsigned moved; /* names of what was moved there */
	int first;	/* error, -errno */
	bool progress;
};

static void
failed(struct walk *w, int code)
{
	if (w->first == 0)
		w->first = -code;
}

static int
open_dir(int fd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int dir = openat(fd, name, flags);

	/* Without capabilities even root needs the bits; a link is not
	 * followed: it would not have given EACCES. */
	if (dir < 0 && errno == EACCES && fchmodat(fd, name, 0700, 0) == 0)
		dir = openat(fd, name, flags);
	return dir;
}

static void empty_dir(struct walk *w, int fd, int depth);

static void
remove_dir(struct walk *w, int fd, const char *name, int depth)
{
	cleanup_fd int dir = -1;
	char up[32];

	if (depth == DEPTH_MAX) {
		(void)snprintf(up, sizeof(up), ".sbx-rm-%u", w->moved++);
		if (renameat(fd, name, w->top, up) == 0)
			w->progress = true;
		else
			failed(w, errno);
		return;
	}
	if ((dir = open_dir(fd, name)) < 0) {
		failed(w, errno);
		return;
	}
	empty_dir(w, dir, depth);
	if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
		w->progress = true;
	else if (errno != ENOENT)
		failed(w, errno);
}

/* One pass over what is in fd. */
static void
empty_dir(struct walk *w, int fd, int depth)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (d == NULL) {
		failed(w, errno);
		close_fd(&copy);
		return;
	}
	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0)
			w->progress = true;
		else if (errno == EISDIR)
			remove_dir(w, fd, e->d_name, depth + 1);
		else if (errno != ENOENT)
			failed(w, errno);
	}
	(void)closedir(d);
}

int
remove_tree(int fd, const char *name)
{
	cleanup_fd int top = -1;
	struct walk w = { 0 };
	int i;

	if (unlinkat(fd, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return -errno;
	if ((top = open_dir(fd, name)) < 0)
		return -errno;
	w.top = top;
	for (i = 0; i < PASSES_MAX; i++) {
		if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
		w.progress = false;
		w.first = 0;
		empty_dir(&w, top, 1);
		if (!w.progress)
			return w.first != 0 ? w.first : -ENOTEMPTY;
	}
	return -ENOTEMPTY;
}
