#include "sbxfs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"

#define MAX_READ (1u << 20) /* ops.c says the same to the kernel */

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u /* Linux 6.8: never used again */
#endif

/* Asks the mount's server nothing: it may be dead, or be us. 0: unknown. */
static uint64_t
mount_id(const char *path)
{
	cleanup_fd int fd = -1;
	struct statx sx;

	if ((fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &sx) < 0)
		return 0;
	return sx.stx_mnt_id;
}

/* Does /proc/self/mountinfo show a mount of ours at path? */
static bool
is_ours(const char *path)
{
	cleanup_free char *line = NULL;
	char at[PATH_MAX];
	size_t size = 0;
	bool found = false;
	FILE *f;

	if ((f = fopen("/proc/self/mountinfo", "re")) == NULL)
		return false;
	while (!found && getline(&line, &size, f) > 0)
		found = strstr(line, " - fuse.sbx ") != NULL &&
		    sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 &&
		    strcmp(at, path) == 0;
	(void)fclose(f);
	return found;
}

static char *
canonical(const char *path, struct err *e)
{
	char link[40], to[PATH_MAX];
	cleanup_fd int fd = -1;
	ssize_t n;

	/* realpath would ask a dead mount for its root. */
	if ((fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
		err_set(e, errno, "%s", path);
		return NULL;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if ((n = readlink(link, to, sizeof(to) - 1)) < 0) {
		err_set(e, errno, "%s", link);
		return NULL;
	}
	return xstrndup(to, (size_t)n);
}

char *
mount_prepare(const char *path, struct err *e)
{
	cleanup_free char *at = canonical(path, e);
	struct statfs sf;

	if (at == NULL)
		return NULL;
	if (strpbrk(at, " \t\n\\") != NULL) {
		err_setx(e, EINVAL, "%s: a blank or backslash in the path", at);
		return NULL;
	}
	/* Attributes may be cached; this is asked for each time. */
	if (statfs(at, &sf) < 0 && errno == ENOTCONN) {
		if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
			err_set(e, errno, "%s: unmount what is dead", at);
			return NULL;
		}
	} else if (is_ours(at)) {
		err_setx(e, EBUSY, "%s: sbxfs is mounted there already", at);
		return NULL;
	}
	return steal_ptr(&at);
}

int
mount_make(const char *path, const char *fsname, int *ret_fd, uint64_t *ret_id,
    struct err *e)
{
	cleanup_fd int fd = -1;
	char data[160];

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(e, errno, "/dev/fuse");
	(void)snprintf(data, sizeof(data),
	    "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,"
	    "default_permissions,max_read=%u",
	    fd, MAX_READ);
	if (mount(fsname, path, "fuse.sbx",
		MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, data) < 0)
		return err_set(e, errno, "%s: mount", path);
	*ret_id = mount_id(path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

bool
mount_remove(const char *path, uint64_t id)
{
	/* Somebody else may have mounted over it, or taken it away and
	 * mounted anew: that is not ours to remove. */
	return id != 0 && mount_id(path) == id &&
	    umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}
