#include "daemon/compat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"

#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static bool
is_link_to(int at, const char *socket)
{
	char to[PATH_MAX];
	ssize_t n = readlinkat(at, COMPAT_NAME, to, sizeof(to));

	return n >= 0 && (size_t)n == strlen(socket) &&
	    memcmp(to, socket, (size_t)n) == 0;
}

int
compat_link(const char *dir, const char *socket, struct err *e)
{
	cleanup_fd int at = -1;
	struct stat st;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set(e, errno, "server.compat_socket: %s", dir);
	if ((at = open(dir, DIR_FLAGS)) < 0)
		return err_set(e, errno, "server.compat_socket: %s", dir);
	if (is_link_to(at, socket))
		return 0;
	if (fstatat(at, COMPAT_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (!S_ISLNK(st.st_mode) || unlinkat(at, COMPAT_NAME, 0) < 0))
		return err_set(
		    e, EEXIST, "server.compat_socket: %s/%s", dir, COMPAT_NAME);
	if (symlinkat(socket, at, COMPAT_NAME) < 0)
		return err_set(
		    e, errno, "server.compat_socket: %s/%s", dir, COMPAT_NAME);
	return 0;
}

void
compat_unlink(const char *dir, const char *socket)
{
	cleanup_fd int at = open(dir, DIR_FLAGS);

	if (at < 0 || !is_link_to(at, socket))
		return;
	(void)unlinkat(at, COMPAT_NAME, 0);
	(void)rmdir(dir);
}
