/*
 * Extended attributes in fs/: those of the name space user. The others say
 * something to a kernel, security and trust, which no sandbox has to say to
 * this one's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "lib/fd.h"
#include "sbxfs/fs.h"

bool
fs_is_user(const char *name)
{
	return strncmp(name, "user.", 5) == 0;
}

ssize_t
fs_user_names(char *p, size_t n)
{
	size_t at, len, used = 0;

	if (n != 0 && p[n - 1] != '\0')
		return -EIO;
	for (at = 0; at < n; at += len) {
		len = strlen(p + at) + 1;
		if (!fs_is_user(p + at))
			continue;
		memmove(p + used, p + at, len);
		used += len;
	}
	return (ssize_t)used;
}

/* For the attribute of that name, or all. The kernel has refused what is no
 * regular file and no directory. Returns what is open, or *own; -errno. */
static int
open_for(const struct node *n, const char *name, int *own)
{
	const struct fs_file *f = LIST_FIRST(&n->files);

	if (name != NULL && !fs_is_user(name))
		return -EOPNOTSUPP;
	if (f != NULL && f->fd >= 0)
		return f->fd;
	*own = fs_open_node(n, NULL, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
	return *own;
}

ssize_t
fs_getxattr(const struct node *n, const char *name, void *p, size_t size)
{
	cleanup_fd int own = -1;
	ssize_t r;
	int fd;

	if ((fd = open_for(n, name, &own)) < 0)
		return fd;
	r = fgetxattr(fd, name, p, size);
	return r < 0 ? -errno : r;
}

int
fs_setxattr(
    const struct node *n, const char *name, const struct fs_value *value)
{
	cleanup_fd int own = -1;
	int fd;

	if ((fd = open_for(n, name, &own)) < 0)
		return fd;
	if (fsetxattr(fd, name, value->p, value->n, value->flags) < 0)
		return -errno;
	return 0;
}

int
fs_removexattr(const struct node *n, const char *name)
{
	cleanup_fd int own = -1;
	int fd;

	if ((fd = open_for(n, name, &own)) < 0)
		return fd;
	return fremovexattr(fd, name) < 0 ? -errno : 0;
}

ssize_t
fs_listxattr(const struct node *n, char *p, size_t size)
{
	cleanup_fd int own = -1;
	ssize_t r;
	int fd;

	if ((fd = open_for(n, NULL, &own)) < 0)
		return fd;
	if ((r = flistxattr(fd, p, size)) < 0)
		return -errno;
	return fs_user_names(p, (size_t)r);
}
