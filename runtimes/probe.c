#include "runtimes/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/sockdiag.h"
#include "runtimes/cgroup.h"
#include "runtimes/impl.h"
#include "runtimes/userns.h"

static int
probe_root(struct buf *report, struct err *e)
{
	if (geteuid() != 0)
		return err_setx(e, EPERM,
		    "native sandboxes need root: without it there is no "
		    "range of ids, no cgroup and no mount");
	(void)buf_adds(report, "root: yes\n");
	return 0;
}

static int
probe_kernel(struct buf *report, struct err *e)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		return err_setx(e, ENOSYS, "kernel: no release");
	(void)buf_addf(report, "kernel: %s\n", u.release);
	if (major < 5 || (major == 5 && minor < 19))
		return err_setx(e, ENOSYS,
		    "kernel %s: 5.19 is needed, for overlays with mapped ids",
		    u.release);
	if (major < 6 || (major == 6 && minor < 3))
		(void)buf_adds(report,
		    "tmpfs with mapped ids: no (6.3): files of bounded disks "
		    "have the host's ids\n");
	if (major < 6 || (major == 6 && minor < 6))
		(void)buf_adds(report,
		    "tmpfs with extended attributes: no (6.6): files of "
		    "bounded disks have none\n");
	return 0;
}

static int
probe_namespaces(struct buf *report, struct err *e)
{
	static const char *const kinds[] = { "user", "mnt", "pid", "net", "ipc",
		"uts", "cgroup" };
	char path[64], text[32];
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		(void)snprintf(
		    path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		if (access(path, F_OK) < 0)
			return err_setx(
			    e, ENOSYS, "kernel: no %s namespaces", kinds[i]);
		(void)snprintf(path, sizeof(path),
		    "/proc/sys/user/max_%s_namespaces", kinds[i]);
		if (fd_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 &&
		    atol(text) == 0)
			return err_setx(e, ENOSPC, "%s is 0", path);
	}
	(void)buf_adds(
	    report, "namespaces: user, mount, pid, net, ipc, uts, cgroup\n");
	return 0;
}

/* What `expose` waits by. */
static int
probe_ports(struct buf *report, struct err *e)
{
	cleanup_fd int fd =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	static struct listener all[SOCKDIAG_MAX];
	int n = fd < 0 ? -errno : sockdiag_listeners(fd, all);

	(void)e;
	(void)buf_addf(report, "what listens in a sandbox (inet_diag): %s\n",
	    n >= 0 || n == -EOVERFLOW ? "yes" : strerror(-n));
	return 0;
}

static int
probe_seccomp(struct buf *report, struct err *e)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return err_set(e, errno, "system call filters");
	(void)buf_adds(report, "system call filters: yes\n");
	return 0;
}

static int
probe_overlay(struct buf *report, struct err *e)
{
	cleanup_fd int fs = fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs < 0)
		return err_set(e, errno, "overlay file system");
	(void)buf_adds(report, "overlay: yes\n");
	return 0;
}

static int
probe_usr(struct buf *report, struct err *e)
{
	struct stat st;

	(void)e;
	if (lstat("/bin", &st) == 0 && S_ISLNK(st.st_mode))
		(void)buf_adds(report, "image host: yes\n");
	else
		(void)buf_adds(report,
		    "image host: no: /bin is not a link into /usr here\n");
	return 0;
}

/* The directory, or the one above it that is there already. */
static int
open_nearest(const char *path)
{
	cleanup_free char *p = xstrdup(path);
	char *slash;
	int fd;

	while ((fd = open(p, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 &&
	    (slash = strrchr(p, '/')) != NULL && slash != p)
		*slash = '\0';
	return fd >= 0 ? fd : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Layers lie there with the ids of their images. */
static int
probe_data(const struct rt_env *env, struct buf *report, struct err *e)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP };
	cleanup_fd int at = open_nearest(env->data_dir);
	cleanup_fd int userns = userns_new((uint32_t)env->id_first);
	cleanup_fd int tree = -1;

	if (userns < 0)
		return err_set(e, -userns, "user namespace");
	a.userns_fd = (uint64_t)userns;
	tree = open_tree(
	    at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return err_set(e, errno, "%s: its file system cannot map ids",
		    env->data_dir);
	(void)buf_addf(report, "mapped ids in %s: yes\n", env->data_dir);
	return 0;
}

int
probe_native(const struct rt_env *env, struct buf *report, struct err *e)
{
	static int (*const probes[])(struct buf *, struct err *) = {
		probe_root,
		probe_kernel,
		probe_namespaces,
		probe_ports,
		probe_seccomp,
		probe_overlay,
		probe_usr,
	};
	size_t i;

	for (i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		if (probes[i](report, e) < 0)
			return -1;
	if (probe_data(env, report, e) < 0)
		return -1;
	cgroup_find(&native.cgroups, env->cgroup, CGROUP_MOUNTINFO);
	cgroup_report(&native.cgroups, report);
	(void)buf_adds(report,
	    "storage limits: sized tmpfs: counts as memory, lost at a "
	    "reboot\n");
	(void)buf_addf(report, "ids: %lld ranges of %u from %lld\n",
	    (long long)(env->id_count / ID_RANGE), ID_RANGE,
	    (long long)env->id_first);
	if (access(env->agent_path, R_OK) < 0)
		return err_set(e, errno, "agent %s", env->agent_path);
	return 0;
}
