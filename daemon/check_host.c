/*
 * check_host.c - what the kernel can do, tried where trying leaves no trace,
 * and what it costs where it cannot.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/mount.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/check_impl.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FUSE_PASSTHROUGH_MINOR 40
#define FUSE_EPOCH_MINOR 44
#define ANSWER_MS 2000

/*** FUSE ***/

static int
fs_open(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int
fs_set(int fs, const char *key, const char *value)
{
	return (int)syscall(
	    SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

/*
 * A mount that is made and never attached: the kernel greets it by INIT,
 * which tells its version. -1 and errno.
 */
static int
fuse_minor(int dev)
{
	struct {
		struct fuse_in_header h;
		struct fuse_init_in init;
		char more[8192];
	} m;
	struct pollfd p = { .fd = dev, .events = POLLIN };
	cleanup_fd int fs = -1;
	char number[16];

	snprintf(number, sizeof(number), "%d", dev);
	if ((fs = fs_open("fuse")) < 0 || fs_set(fs, "source", "sbx") < 0 ||
	    fs_set(fs, "fd", number) < 0 ||
	    fs_set(fs, "rootmode", "40000") < 0 ||
	    fs_set(fs, "user_id", "0") < 0 || fs_set(fs, "group_id", "0") < 0)
		return -1;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	if (poll(&p, 1, ANSWER_MS) != 1 ||
	    read(dev, &m, sizeof(m)) < (ssize_t)(sizeof(m.h) + 16)) {
		errno = ETIMEDOUT;
		return -1;
	}
	return (int)m.init.minor;
}

void
check_fuse(struct report *r)
{
	cleanup_fd int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int minor;

	if (dev < 0) {
		report_cost(r,
		    "/dev/fuse: %s: no mount at /sbx; HTTP works all the same",
		    strerror(errno));
		return;
	}
	if ((minor = fuse_minor(dev)) < 0)
		report_cost(
		    r, "FUSE: %s: its version is not known", strerror(errno));
	else if (minor < FUSE_PASSTHROUGH_MINOR)
		report_cost(r,
		    "FUSE 7.%d, older than 7.%d: no passthrough, so data in "
		    "fs/ takes twice the time; and names in fs/ are not cached",
		    minor, FUSE_PASSTHROUGH_MINOR);
	else if (minor < FUSE_EPOCH_MINOR)
		report_cost(r,
		    "FUSE 7.%d, older than 7.%d: names in fs/ are not cached",
		    minor, FUSE_EPOCH_MINOR);
	else
		report_ok(r, "/dev/fuse, FUSE 7.%d", minor);
}

/*** Namespaces, mounts ***/

/* A child in a user namespace of its own, which waits for the end of a pipe.
 * -1 and errno. */
static pid_t
userns_child(int *ret_hold)
{
	int p[2] = { -1, -1 }, ready[2] = { -1, -1 }, err = 0;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0 ||
	    (pid = fork()) < 0) {
		err = errno;
		close_fd(&p[0]);
		close_fd(&p[1]);
		close_fd(&ready[0]);
		close_fd(&ready[1]);
		errno = err;
		return -1;
	}
	if (pid == 0) {
		err = unshare(CLONE_NEWUSER) < 0 ? errno : 0;
		(void)close(p[1]);
		(void)fd_write_full(ready[1], &err, sizeof(err));
		(void)fd_read_full(p[0], &err, 1);
		_exit(0);
	}
	(void)close(p[0]);
	(void)close(ready[1]);
	if (fd_read_full(ready[0], &err, sizeof(err)) != sizeof(err))
		err = ECHILD;
	(void)close(ready[0]);
	*ret_hold = p[1];
	errno = err;
	return pid;
}

static void
end_child(pid_t pid, int hold)
{
	int saved = errno;

	(void)close(hold);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = saved;
}

/* That they are in the kernel says the runtime; that nothing forbids one is
 * seen by making one. */
void
check_namespaces(struct report *r)
{
	int hold = -1;
	pid_t pid = userns_child(&hold);

	if (pid < 0 || errno != 0)
		report_fatal(r,
		    "user namespaces: %s: no sandbox can start (see "
		    "/proc/sys/user/max_user_namespaces)",
		    strerror(errno));
	else
		report_ok(r, "user namespaces");
	if (pid > 0)
		end_child(pid, hold);
}

/* The first directory on the way up that is there. */
static char *
existing(const char *path)
{
	char *dir = xstrdup(path), *slash;

	while (access(dir, F_OK) < 0 && (slash = strrchr(dir, '/')) != NULL &&
	    slash != dir)
		*slash = '\0';
	return dir;
}

/* A clone of its mount, never attached, is given the child's ids. */
static int
idmap(const char *dir, pid_t pid)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	cleanup_fd int ns = -1, tree = -1;
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%ld/uid_map", (long)pid);
	if ((err = fd_write_at(AT_FDCWD, path, "0 65536 65536")) < 0) {
		errno = -err;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/%ld/gid_map", (long)pid);
	if ((err = fd_write_at(AT_FDCWD, path, "0 65536 65536")) < 0) {
		errno = -err;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/%ld/ns/user", (long)pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	tree = (int)syscall(
	    SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (ns < 0 || tree < 0)
		return -1;
	attr.userns_fd = (uint64_t)ns;
	return (int)syscall(
	    SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

static void
check_idmap_at(struct report *r, const char *path, const char *image)
{
	cleanup_free char *dir = existing(path);
	int hold = -1;
	pid_t pid = userns_child(&hold);

	if (pid < 0 || errno != 0)
		; /* said by check_namespaces */
	else if (idmap(dir, pid) == 0)
		report_ok(r, "idmapped mounts at %s", dir);
	else if (image != NULL)
		report_cost(r,
		    "idmapped mounts at %s: %s: image %s cannot be used from "
		    "there",
		    dir, strerror(errno), image);
	else
		report_fatal(r,
		    "idmapped mounts at %s: %s: no sandbox can start; "
		    "server.data_dir on ext4, xfs or btrfs can",
		    dir, strerror(errno));
	if (pid > 0)
		end_child(pid, hold);
}

void
check_idmap(struct report *r)
{
	const struct image *im;

	if (geteuid() != 0)
		return;
	check_idmap_at(r, r->cfg->data_dir, NULL);
	TAILQ_FOREACH (im, &r->cfg->images, link)
		if (strcmp(im->rt.kind, "dir") == 0)
			check_idmap_at(r, im->rt.path, im->rt.name);
}

/*** Network ***/

/* Asks for the generation of the rules, which changes nothing. */
static int
nft_ask(int sock)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} q = { .h = { .nlmsg_len = sizeof(q),
		    .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
		    .nlmsg_flags = NLM_F_REQUEST } };
	struct pollfd p = { .fd = sock, .events = POLLIN };
	union {
		struct nlmsghdr h;
		char room[1024];
	} a;
	struct nlmsgerr failed;
	ssize_t n;

	if (send(sock, &q, sizeof(q), 0) < 0 || poll(&p, 1, ANSWER_MS) != 1 ||
	    (n = recv(sock, &a, sizeof(a), 0)) < (ssize_t)sizeof(a.h))
		return -1;
	if (a.h.nlmsg_type != NLMSG_ERROR)
		return 0;
	if ((size_t)n < sizeof(a.h) + sizeof(failed))
		return -1;
	memcpy(&failed, NLMSG_DATA(&a.h), sizeof(failed));
	errno = -failed.error;
	return failed.error == 0 ? 0 : -1;
}

void
check_nftables(struct report *r)
{
	cleanup_fd int sock =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (geteuid() != 0)
		return;
	if (sock >= 0 && nft_ask(sock) == 0)
		report_ok(r, "nftables");
	else
		report_cost(r,
		    "nftables: %s: no network but none for sandboxes",
		    strerror(errno));
}
