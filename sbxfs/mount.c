#include "sbxfs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/proc.h"
#include "sbxfs/kernel.h"

#define HELPER "/usr/bin/fusermount3" /* setuid: mounts for users */

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

static void
remove_as_user(const char *path)
{
	char name[] = "fusermount3", u[] = "-u", z[] = "-z", q[] = "-q";
	char end[] = "--", at[PATH_MAX];
	char *argv[] = { name, u, z, q, end, at, NULL };
	int fds[3] = { -1, -1, -1 };
	const struct proc_spec spec = {
		.path = HELPER, .argv = argv, .fds = fds, .nfds = 3
	};
	pid_t pid;

	(void)str_copy(at, path, sizeof(at));
	if (proc_spawn(&spec, &pid) == 0)
		(void)waitpid(pid, NULL, 0);
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
		if (geteuid() != 0) {
			remove_as_user(at);
		} else if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
			err_set(e, errno, "%s: unmount what is dead", at);
			return NULL;
		}
	} else if (is_ours(at)) {
		err_setx(e, EBUSY, "%s: sbxfs is mounted there already", at);
		return NULL;
	}
	return steal_ptr(&at);
}

/* Our part of fusermount3's conversation: it sends /dev/fuse over a socket
 * that _FUSE_COMMFD names. */
static int
ask_helper(const char *path, const char *options, int *ret_fd)
{
	char at[PATH_MAX], o[] = "-o", end[] = "--", name[] = "fusermount3";
	char opts[256], env[] = "_FUSE_COMMFD=3";
	char *argv[] = { name, o, opts, end, at, NULL };
	char *envp[] = { env, NULL };
	cleanup_fd int ours = -1, theirs = -1;
	struct proc_spec spec = { .path = HELPER, .argv = argv, .envp = envp };
	int pair[2], fds[4] = { -1, -1, STDERR_FILENO, -1 }, got[FD_PASS_MAX];
	size_t n = 0;
	pid_t pid;
	char byte;
	int r;

	(void)str_copy(at, path, sizeof(at));
	(void)str_copy(opts, options, sizeof(opts));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = fds[3] = pair[1];
	spec.fds = fds;
	spec.nfds = 4;
	if ((r = proc_spawn(&spec, &pid)) < 0)
		return r;
	close_fd(&theirs);
	r = (int)fd_recv(ours, &byte, 1, got, &n);
	(void)waitpid(pid, NULL, 0);
	if (r < 0 || n != 1) {
		fd_close_all(got, n);
		return r < 0 ? r : -EPERM; /* it has said why */
	}
	*ret_fd = got[0];
	return fd_nonblock(got[0], 1);
}

static int
mount_as_user(
    const char *path, const struct mount_how *how, int *ret_fd, struct err *e)
{
	cleanup_free char *options = xasprintf(
	    "fsname=%s,subtype=sbx,nosuid,nodev,noexec,noatime,"
	    "default_permissions,max_read=%u%s",
	    how->fsname, KERNEL_IO_MAX, how->allow_other ? ",allow_other" : "");
	int r = ask_helper(path, options, ret_fd);

	return r < 0 ? err_set(e, -r, "%s: " HELPER, path) : 0;
}

int
mount_make(const char *path, const struct mount_how *how, int *ret_fd,
    uint64_t *ret_id, struct err *e)
{
	cleanup_fd int fd = -1;
	char data[160];

	if (geteuid() != 0) {
		if (mount_as_user(path, how, &fd, e) < 0)
			return -1;
		*ret_id = mount_id(path);
		*ret_fd = steal_fd(&fd);
		return 0;
	}
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(e, errno, "/dev/fuse");
	(void)snprintf(data, sizeof(data),
	    "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,"
	    "default_permissions,max_read=%u",
	    fd, KERNEL_IO_MAX);
	if (mount(how->fsname, path, "fuse.sbx",
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
	if (id == 0 || mount_id(path) != id)
		return false;
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return true;
	if (errno != EPERM || geteuid() == 0)
		return false;
	remove_as_user(path);
	return true;
}
