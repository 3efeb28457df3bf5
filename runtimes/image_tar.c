/*
 * An image from an archive: unpacked once into layers/tar-NAME-KEY, the key
 * being its time and size. The helper that reads the archive is in a user
 * namespace with a range of ids of its own, on a mount that maps these to the
 * image's; that directory is its root, and no other file is in its reach.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/dirs.h"
#include "runtimes/ids.h"
#include "runtimes/image.h"
#include "runtimes/impl.h"
#include "runtimes/pid.h"
#include "runtimes/unpack.h"
#include "runtimes/userns.h"

#define UNPACK_WAIT_MS (30 * 60 * 1000)
/* Owner of the helper's ids: swept like a sandbox's if we are killed. */
#define HELPER_ID "sbx-00000000000000000000000000000000"

/*** The helper ***/

/* Its last words: an errno and a sentence, or nothing when all is well. */
struct words {
	int code;
	char text[480];
};

static int
helper(int sock, int archive_fd, struct err *e)
{
	int mount = -1, err;
	size_t n = 0;
	char c;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (fd_recv(sock, &c, 1, &mount, &n) != 1 || n != 1)
		return err_setx(e, ECANCELED, "unpack: no directory");
	if (unpack_limit(e) < 0)
		return -1;
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 ||
	    setresuid(0, 0, 0) < 0 || fchdir(mount) < 0 || chroot(".") < 0 ||
	    close(mount) < 0)
		return err_set(e, errno, "unpack: enter");
	(void)umask(0);
	/* setresuid has cleared it */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if ((err = unpack_jail(e)) < 0)
		return err;
	return unpack(archive_fd, e);
}

_Noreturn static void
run_helper(int sock, int archive_fd)
{
	struct words w = { 0 };
	struct err e = { 0 };

	if (helper(sock, archive_fd, &e) < 0) {
		w.code = e.code != 0 ? e.code : EIO;
		(void)snprintf(w.text, sizeof(w.text), "%.479s", e.text);
	}
	(void)fd_write_full(sock, &w, sizeof(w));
	_exit(0);
}

static long
clone_helper(int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
		    CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
		    CLONE_NEWCGROUP | CLONE_PIDFD,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	return syscall(SYS_clone3, &args, sizeof(args));
}

/* The layer's directory with the helper's ids, for it alone. */
static int
send_directory(int sock, int proc, int dir, uint32_t base)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP |
		    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	cleanup_fd int userns = -1, mount = -1;
	int err;

	if ((err = userns_map(proc, base)) < 0)
		return err;
	userns = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	mount = open_tree(
	    dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (userns < 0 || mount < 0)
		return -errno;
	a.userns_fd = (uint64_t)userns;
	if (mount_setattr(mount, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return -errno;
	err = (int)fd_send(sock, "d", 1, &mount, 1);
	return err < 0 ? err : 0;
}

static int
hear(int sock, struct err *e)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct words w;

	if (poll(&p, 1, UNPACK_WAIT_MS) == 0)
		return err_setx(e, ETIMEDOUT, "unpacking takes too long");
	if (fd_read_full(sock, &w, sizeof(w)) != sizeof(w))
		return err_setx(e, EIO, "the helper that unpacks has died");
	w.text[sizeof(w.text) - 1] = '\0';
	return w.code == 0 ? 0 : err_setx(e, w.code, "%s", w.text);
}

static int
unpack_into(int dir, int archive_fd, uint32_t base, struct err *e)
{
	cleanup_fd int pidfd = -1, proc = -1, ours = -1;
	int pair[2], rc;
	long pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "unpack");
	ours = pair[0];
	if ((pid = clone_helper(&pidfd)) == 0) {
		(void)close(pair[0]);
		run_helper(pair[1], archive_fd);
	}
	(void)close(pair[1]);
	if (pid < 0)
		return err_set(e, errno, "unpack: clone");
	if ((proc = pid_open((pid_t)pid)) < 0)
		rc = proc;
	else
		rc = send_directory(ours, proc, dir, base);
	rc = rc < 0 ? err_set(e, -rc, "unpack: ids") : hear(ours, e);
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED) < 0 &&
	    errno == EINTR)
		;
	return rc;
}

/*** The layer ***/

static int
make_layer(const char *temp, const char *name, int archive_fd, struct err *e)
{
	const uid_t root[2] = { 0, 0 };
	cleanup_fd int dir = -1;
	struct err ignored;
	uint32_t slot;
	int rc;

	if (dirs_remove(native.layers_fd, temp, e) < 0 ||
	    (dir = dirs_make(native.layers_fd, temp, 0755, root, e)) < 0 ||
	    ids_take(native.ids_fd, native.env.id_count / ID_RANGE, HELPER_ID,
		&slot, e) < 0)
		return -1;
	rc = unpack_into(dir, archive_fd,
	    (uint32_t)native.env.id_first + slot * ID_RANGE, e);
	(void)ids_give(native.ids_fd, slot, HELPER_ID, &ignored);
	if (rc == 0 &&
	    renameat(native.layers_fd, temp, native.layers_fd, name) < 0)
		rc = err_set(e, errno, "layers/%s", name);
	if (rc < 0)
		(void)dirs_remove(native.layers_fd, temp, &ignored);
	return rc;
}

static int
open_archive(const struct rt_image *image, char name[NAME_MAX],
    char temp[NAME_MAX], struct err *e)
{
	static const char ok[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
	cleanup_fd int fd =
	    open(image->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, errno, "%s", image->path);
	if (!S_ISREG(st.st_mode))
		return err_setx(e, EINVAL, "%s: not a file", image->path);
	if (strspn(image->name, ok) != strlen(image->name) ||
	    strlen(image->name) >= RT_NAME_MAX)
		return err_setx(e, EINVAL, "not a name for a layer");
	(void)snprintf(name, NAME_MAX, "tar-%s-%llx.%09lx-%llx", image->name,
	    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
	    (long long)st.st_size);
	(void)snprintf(temp, NAME_MAX, ".tar-%s", image->name);
	return steal_fd(&fd);
}

static bool
there(const char *name)
{
	return faccessat(native.layers_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) ==
	    0;
}

int
image_tar(const struct rt_image *image, char ret[NAME_MAX], struct err *e)
{
	cleanup_fd int archive_fd = -1, lock = -1;
	char temp[NAME_MAX];

	if ((archive_fd = open_archive(image, ret, temp, e)) < 0)
		return err_wrap(e, "image %s", image->name);
	if (there(ret))
		return 0;
	/* one worker unpacks, the others wait for it */
	lock =
	    openat(native.layers_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_set(e, errno, "image %s: lock", image->name);
	if (there(ret))
		return 0;
	if (make_layer(temp, ret, archive_fd, e) < 0)
		return err_wrap(e, "image %s", image->name);
	return 0;
}
