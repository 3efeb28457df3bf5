#include "agent/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/mem.h"

#define LINKS_MAX 40 /* as the kernel */
#define RACES_MAX 64 /* renames that we lose against, in a row */

/* Kept open: what it names does not change while we live. */
static int root_fd = -1;

static int
open_beneath_root(const char *text, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.resolve = resolve | RESOLVE_NO_MAGICLINKS,
	};
	int i;
	long r = -1;

	if (root_fd < 0 &&
	    (root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -errno;
	if ((flags & O_PATH) == 0)
		how.flags |= O_NOCTTY;
	if ((flags & O_CREAT) != 0)
		how.mode = mode;
	/* EAGAIN: a rename elsewhere raced with a ".."; but not for ever. */
	for (i = 0; i < RACES_MAX && r < 0; i++) {
		r = syscall(SYS_openat2, root_fd, text, &how, sizeof(how));
		if (r < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
	return r < 0 ? -errno : (int)r;
}

static int
open_text(const struct path *p, const char *text, int flags, mode_t mode)
{
	return open_beneath_root(text, flags, mode,
	    p->follow ? RESOLVE_IN_ROOT
		      : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int
path_open(const struct path *p, int flags, mode_t mode)
{
	return open_text(p, p->text, flags, mode);
}

/* Appends the part to what is there; ".." takes the last one away. */
static int
add_part(char *text, const char *part, size_t n)
{
	size_t len = strlen(text);
	char *slash;

	if (n == 0 || (n == 1 && part[0] == '.'))
		return 0;
	if (n == 2 && part[0] == '.' && part[1] == '.') {
		if (len == 0)
			return -EXDEV;
		slash = strrchr(text, '/');
		*(slash != NULL ? slash : text) = '\0';
		return 0;
	}
	if (n > NAME_MAX || len + n + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	if (len > 0)
		text[len++] = '/';
	memcpy(text + len, part, n);
	text[len + n] = '\0';
	return 0;
}

static int
clean(struct path *p, const char *from)
{
	size_t n;
	int r;

	p->text[0] = '\0';
	for (;; from += n + 1) {
		n = strcspn(from, "/");
		if ((r = add_part(p->text, from, n)) < 0)
			return r;
		if (from[n] == '\0')
			break;
	}
	return 0;
}

int
path_set(struct path *p, const struct bytes *from, bool follow)
{
	const char *text = from->p != NULL ? from->p : "";
	size_t len;
	int r;

	p->follow = follow;
	if (follow) {
		while (*text == '/')
			text++;
		if (!str_copy(p->text, text, sizeof(p->text)))
			return -ENAMETOOLONG;
		len = strlen(p->text);
		while (len > 0 && p->text[len - 1] == '/')
			p->text[--len] = '\0';
	} else if ((r = clean(p, text)) < 0) {
		return r;
	}
	if (p->text[0] == '\0')
		(void)str_copy(p->text, ".", sizeof(p->text));
	return 0;
}

static int
guard_text(const char *text)
{
	static const char *const system[] = { "proc", "dev", "sys" };
	size_t i, n = strcspn(text, "/");

	for (i = 0; i < sizeof(system) / sizeof(*system); i++)
		if (strlen(system[i]) == n && memcmp(text, system[i], n) == 0)
			return text[n] == '\0' ? -EBUSY : -EPERM;
	return 0;
}

int
path_guard(const struct path *p)
{
	return guard_text(p->text);
}

/* After links were followed only the kernel knows where the directory is. */
static int
guard_parent(int dirfd, const char *name)
{
	char link[32], text[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, text, sizeof(text) - 1);
	if (n <= 0)
		return 0; /* no /proc, as in files mode: nothing to guard */
	text[n] = '\0';
	if (n == 1)
		return guard_text(name);
	return guard_text(text + 1) < 0 ? -EPERM : 0;
}

static int
make_one(const struct path *p, int dirfd, const char *text)
{
	const char *slash = strrchr(text, '/');

	if (mkdirat(dirfd, slash != NULL ? slash + 1 : text, 0755) < 0 &&
	    errno != EEXIST)
		return -errno;
	return open_text(p, text, O_PATH | O_DIRECTORY, 0);
}

/* The directory text, each missing part of it made. */
static int
make_path(const struct path *p, const char *text)
{
	char part[PATH_MAX];
	cleanup_fd int dir = -1;
	size_t n = 0;
	int fd;

	if ((dir = open_text(p, ".", O_PATH | O_DIRECTORY, 0)) < 0)
		return dir;
	while (text[n] != '\0') {
		n += strspn(text + n, "/");
		n += strcspn(text + n, "/");
		memcpy(part, text, n);
		part[n] = '\0';
		fd = open_text(p, part, O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT)
			fd = make_one(p, dir, part);
		if (fd < 0)
			return fd;
		close_fd(&dir);
		dir = fd;
	}
	return steal_fd(&dir);
}

/* Splits text at its last part, which stays in it: the name's place. */
static int
open_parent(const struct path *p, bool parents, const char **ret_name)
{
	char dir[PATH_MAX] = ".";
	const char *slash = strrchr(p->text, '/');
	const char *name = slash != NULL ? slash + 1 : p->text;
	int fd;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return slash == NULL ? -EBUSY : -EINVAL;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (slash != NULL) {
		memcpy(dir, p->text, (size_t)(slash - p->text));
		dir[slash - p->text] = '\0';
	}
	fd = open_text(p, dir, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT && parents)
		fd = make_path(p, dir);
	if (fd >= 0)
		*ret_name = name;
	return fd;
}

/* If name is a link: p becomes what it says. 1, 0 when it is none, -errno. */
static int
follow_name(struct path *p, int dirfd, const char *name)
{
	char target[PATH_MAX];
	struct bytes b = { .p = target };
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
	size_t at = (size_t)(name - p->text);

	if (n < 0)
		return errno == EINVAL || errno == ENOENT ? 0 : -errno;
	target[n] = '\0';
	if (target[0] != '/') {
		if (at + (size_t)n >= sizeof(target))
			return -ENAMETOOLONG;
		memmove(target + at, target, (size_t)n + 1);
		memcpy(target, p->text, at);
	}
	n = path_set(p, &b, true);
	return n < 0 ? (int)n : 1;
}

int
path_parent(struct path *p, int how, const char **ret_name)
{
	cleanup_fd int dir = -1;
	int i, r;

	if (!p->follow && (r = path_guard(p)) < 0)
		return r;
	for (i = 0; i < LINKS_MAX; i++) {
		close_fd(&dir);
		dir = open_parent(p, (how & PATH_MAKE) != 0, ret_name);
		if (dir < 0 || !p->follow)
			return steal_fd(&dir);
		if ((r = guard_parent(dir, *ret_name)) < 0)
			return r;
		if ((how & PATH_LAST) == 0)
			return steal_fd(&dir);
		if ((r = follow_name(p, dir, *ret_name)) < 0)
			return r;
		if (r == 0)
			return steal_fd(&dir);
	}
	return -ELOOP;
}
