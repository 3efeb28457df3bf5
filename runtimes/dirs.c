#include "runtimes/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/runtime.h"

/* So many directories are open at once; what lies deeper is moved up. */
#define DEPTH_MAX 64

int
dirs_make(
    int at, const char *path, mode_t mode, const uid_t owner[2], struct err *e)
{
	cleanup_fd int fd = -1;

	if ((mkdirat(at, path, 0700) < 0 && errno != EEXIST) ||
	    (fd = openat(at, path,
		 O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
	    fchown(fd, owner[0], owner[1]) < 0 || fchmod(fd, mode) < 0)
		return err_set(e, errno, "%s", path);
	return steal_fd(&fd);
}

static bool
is_dots(const char *s)
{
	return s[0] == '.' && (s[1] == '\0' || (s[1] == '.' && s[2] == '\0'));
}

static void
close_dir(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

static DIR *
open_dir(int at, const char *path)
{
	int fd =
	    openat(at, path, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL && fd >= 0)
		(void)close(fd);
	return d;
}

int
dirs_each(int at, const char *path, int (*each)(const char *name, void *arg),
    void *arg, struct err *e)
{
	__attribute__((cleanup(close_dir))) DIR *d = open_dir(at, path);
	struct dirent *de;

	if (d == NULL)
		return errno == ENOENT ? 0 : err_set(e, errno, "%s", path);
	while ((de = readdir(d)) != NULL)
		if (!is_dots(de->d_name) && each(de->d_name, arg) != 0)
			return 0;
	return 0;
}

struct removal {
	int top;	/* where deep directories are moved to */
	unsigned moved; /* how many were, for their names */
};

static int empty(struct removal *r, int at, const char *name, int depth);

/* An entry that is a directory: empties it, or moves it up when too deep. */
static int
remove_dir(struct removal *r, int at, const char *name, int depth)
{
	char up[32];
	int err;

	if (depth >= DEPTH_MAX) {
		(void)snprintf(up, sizeof(up), ".sbx-rm-%u", r->moved++);
		return renameat(at, name, r->top, up) < 0 ? -errno : 0;
	}
	if ((err = empty(r, at, name, depth + 1)) < 0)
		return err;
	if (unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int
remove_entry(struct removal *r, int at, const char *name, int depth)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	return remove_dir(r, at, name, depth);
}

/* Reads again until a whole pass finds nothing: deep ones arrive meanwhile. */
static int
empty(struct removal *r, int at, const char *name, int depth)
{
	__attribute__((cleanup(close_dir))) DIR *d = open_dir(at, name);
	struct dirent *de;
	bool found;
	int err;

	if (d == NULL)
		return errno == ENOENT ? 0 : -errno;
	do {
		found = false;
		rewinddir(d);
		while ((de = readdir(d)) != NULL) {
			if (is_dots(de->d_name))
				continue;
			found = true;
			err = remove_entry(r, dirfd(d), de->d_name, depth);
			if (err < 0)
				return err;
		}
	} while (found);
	return 0;
}

int
dirs_remove(int at, const char *name, struct err *e)
{
	struct removal r = { .top = -1 };
	cleanup_fd int top =
	    openat(at, name, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (top < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "%s", name);
	r.top = top;
	if ((err = remove_dir(&r, at, name, 0)) < 0)
		return err_set(e, -err, "remove %s", name);
	return 0;
}

bool
dirs_is_id(const char *s)
{
	static const char prefix[] = "sbx-";
	static const char set[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";
	size_t n = strlen(s);

	return n > sizeof(prefix) && n < RT_ID_MAX &&
	    strncmp(s, prefix, sizeof(prefix) - 1) == 0 && strspn(s, set) == n;
}

void
dirs_leave(void)
{
	if (chdir("/") < 0)
		abort(); /* there is always a root */
}
