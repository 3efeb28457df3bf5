#include "runtimes/place.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "runtimes/child.h"
#include "runtimes/dirs.h"
#include "runtimes/impl.h"
#include "runtimes/pid.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define DISKS "d"
#define INSTANCES "instances"
#define IDS "ids"
#define READY "ready" /* the last thing made in our tmpfs */
#define HIGH_FD 10    /* out of the way of what a child has */

struct native native;

/*** A namespace made by a child ***/

/*
 * Forks a child that makes a mount namespace by steps, and opens it here: the
 * descriptor, or -errno. The child ends before this returns, except that
 * use, which may be NULL, runs while it still lives.
 */
static int
new_namespace(int (*steps)(void), int (*use)(pid_t child))
{
	int pair[2], err = 0, fd;
	char path[48];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if ((pid = fork()) == 0) {
		(void)close(pair[0]);
		err = steps();
		(void)fd_write_full(pair[1], &err, sizeof(err));
		(void)fd_read_full(pair[1], path, 1);
		_exit(0);
	}
	if (pid < 0)
		err = -errno;
	(void)close(pair[1]);
	if (pid > 0 && fd_read_full(pair[0], &err, sizeof(err)) != sizeof(err))
		err = -EIO;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	fd = err < 0 ? err : open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		fd = -errno;
	if (fd >= 0 && use != NULL && (err = use(pid)) < 0) {
		(void)close(fd);
		fd = err;
	}
	(void)close(pair[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

/*** The pinned namespace ***/

static char *
pin_path(const char *name)
{
	return xasprintf("%s/mnt%s", native.env.run_dir, name);
}

static bool
is_mount_namespace(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC &&
	    ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNS;
}

/* A copy of an sbxfs mount would keep it alive when the host unmounts it. */
static void
drop_own_mounts(void)
{
	char *line = NULL, *at = NULL;
	size_t size = 0;
	FILE *f;

	if ((f = fopen("/proc/self/mountinfo", "re")) == NULL)
		return;
	while (getline(&line, &size, f) > 0) {
		if (strstr(line, " - fuse.sbx ") != NULL &&
		    sscanf(line, "%*s %*s %*s %*s %ms", &at) == 1)
			(void)umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW);
		free(at);
		at = NULL;
	}
	free(line);
	(void)fclose(f);
}

/* The processor that pin_steps runs on; -1: any. */
static int pin_cpu = -1;

static int
pin_steps(void)
{
	cleanup_free char *dir = pin_path("");
	cpu_set_t one;

	if (pin_cpu >= 0) {
		CPU_ZERO(&one);
		CPU_SET((unsigned)pin_cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) < 0)
			return -errno;
	}
	/* What the host unmounts is not kept here, where the host shares. */
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return -errno;
	/* the copy of what pins it is of no use here */
	(void)umount2(dir, MNT_DETACH);
	drop_own_mounts();
	return 0;
}

static int
pin_use(pid_t child)
{
	cleanup_free char *file = pin_path("/ns");
	char ns[48];

	(void)snprintf(ns, sizeof(ns), "/proc/%d/ns/mnt", (int)child);
	return mount(ns, file, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/*
 * The kernel binds a mount namespace only in an older one, lest there be a
 * loop, and tells the age by a number. Linux 6.18 deals these numbers out to
 * each processor in batches, so that a new namespace may pass for an older
 * one: on the processor where ours was made it does not.
 */
static int
new_pin(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int fd;

	for (pin_cpu = -1; pin_cpu < cpus; pin_cpu++) {
		fd = new_namespace(pin_steps, pin_use);
		if (fd != -EINVAL || pin_cpu + 1 == cpus)
			break;
	}
	return fd;
}

/* A namespace can only be bound where nothing propagates to it. */
static int
make_pin(struct err *e)
{
	cleanup_free char *dir = pin_path("");
	cleanup_free char *file = pin_path("/ns");
	cleanup_fd int fd = -1;

	if (mount(dir, dir, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0)
		return err_set(e, errno, "mount %s", dir);
	fd = open(file, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_set(e, errno, "%s", file);
	native.pin_ns = new_pin();
	if (native.pin_ns < 0)
		return err_set(e, -native.pin_ns, "%s: mount namespace", file);
	return 0;
}

static int
enter_pin(struct err *e)
{
	cleanup_free char *file = pin_path("/ns");

	native.host_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (native.host_ns < 0)
		return err_set(e, errno, "mount namespace");
	native.pin_ns = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (native.pin_ns < 0 || !is_mount_namespace(native.pin_ns)) {
		close_fd(&native.pin_ns);
		if (make_pin(e) < 0)
			return -1;
	}
	if (setns(native.pin_ns, CLONE_NEWNS) < 0)
		return err_set(e, errno, "enter %s", file);
	return 0;
}

/*** What is prepared in it ***/

static int
fill_dev(int at)
{
	static const struct {
		const char *name;
		unsigned minor;
		unsigned major;
	} nodes[] = { { "null", 3, 1 }, { "zero", 5, 1 }, { "full", 7, 1 },
		{ "random", 8, 1 }, { "urandom", 9, 1 }, { "tty", 0, 5 } };
	static const char *const links[][2] = { { "fd", "/proc/self/fd" },
		{ "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
		{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" } };
	size_t i;

	for (i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		if (mknodat(at, nodes[i].name, S_IFCHR | 0666,
			makedev(nodes[i].major, nodes[i].minor)) < 0 ||
		    fchmodat(at, nodes[i].name, 0666, 0) < 0)
			return -1;
	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlinkat(links[i][1], at, links[i][0]) < 0)
			return -1;
	return mkdirat(at, "pts", 0755) < 0 || mkdirat(at, "shm", 0755) < 0 ? -1
									    : 0;
}

/*
 * The host's /usr with all that is mounted there, for reading. Private: what
 * a host that shares its mounts, as systemd does, mounts there later would
 * appear in every sandbox, writable.
 */
static int
bind_usr(int inner)
{
	struct mount_attr ro = {
		.attr_set =
		    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
		.propagation = MS_PRIVATE,
	};
	cleanup_fd int usr = open_tree(AT_FDCWD, "/usr",
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (usr < 0 ||
	    mount_setattr(
		usr, "", AT_EMPTY_PATH | AT_RECURSIVE, &ro, sizeof(ro)) < 0)
		return -1;
	return move_mount(usr, "", inner, "usr", MOVE_MOUNT_F_EMPTY_PATH);
}

static int
make_dev(int inner)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	cleanup_fd int dev = -1;

	if (fchdir(inner) < 0 || mkdir("dev", 0755) < 0 ||
	    mount("dev", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC,
		"mode=0755,size=64k,nr_inodes=32") < 0)
		return -1;
	dev = open("dev", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	dirs_leave();
	if (dev < 0 || fill_dev(dev) < 0)
		return -1;
	return mount_setattr(dev, "", AT_EMPTY_PATH, &ro, sizeof(ro));
}

static int
fill_inner(int inner)
{
	if (make_dev(inner) < 0 || mkdirat(inner, "usr", 0755) < 0 ||
	    bind_usr(inner) < 0 || mkdirat(inner, DISKS, 0700) < 0 ||
	    mkdirat(inner, INSTANCES, 0700) < 0 ||
	    mkdirat(inner, IDS, 0700) < 0)
		return -1;
	return mkdirat(inner, READY, 0755);
}

static int
new_inner(const char *dir)
{
	(void)umount2(dir, MNT_DETACH); /* half made, perhaps */
	if (mount("sbxd", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		"mode=0755,size=256m,nr_inodes=1048576") < 0)
		return -1;
	native.inner_fd =
	    open(dir, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return native.inner_fd < 0 ? -1 : fill_inner(native.inner_fd);
}

static int
open_inner(struct err *e)
{
	const int flags = O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
	cleanup_free char *dir = pin_path("");

	if ((native.inner_fd = open(dir, flags)) < 0)
		return err_set(e, errno, "%s", dir);
	if (faccessat(native.inner_fd, READY, F_OK, 0) < 0) {
		close_fd(&native.inner_fd);
		if (new_inner(dir) < 0)
			return err_set(e, errno, "prepare %s", dir);
	}
	native.disks_fd = openat(native.inner_fd, DISKS, flags);
	native.instances_fd = openat(native.inner_fd, INSTANCES, flags);
	native.ids_fd = openat(native.inner_fd, IDS, flags);
	if (native.disks_fd < 0 || native.instances_fd < 0 || native.ids_fd < 0)
		return err_set(e, errno, "%s, inside", dir);
	return 0;
}

int
place_clone_dev(void)
{
	int fd = open_tree(
	    native.inner_fd, "dev", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int
place_clone_usr(void)
{
	int fd = open_tree(native.inner_fd, "usr",
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	return fd < 0 ? -errno : fd;
}

int
place_open_usr(void)
{
	int fd =
	    openat(native.inner_fd, "usr", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*** The stem ***/

/*
 * A root of three directories and /proc, whole, without which the kernel
 * mounts no other one in a user namespace. Read-only: what is bound from it
 * to hide something is, too.
 */
static int
stem_steps(void)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	cleanup_free char *dir = pin_path("");
	int proc;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		"mode=0755,size=64k,nr_inodes=16") < 0 ||
	    chdir(dir) < 0)
		return -errno;
	if (mkdir(STEM_ROOT, 0755) < 0 || mkdir(STEM_TMP, 0755) < 0 ||
	    mkdir("proc", 0755) < 0 || mkdir("e", 0755) < 0 ||
	    mkdir(&STEM_DIR[1], 0555) < 0 ||
	    mknod(&STEM_FILE[1], S_IFREG | 0444, 0) < 0)
		return -errno;
	proc =
	    open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (proc < 0 ||
	    move_mount(proc, "", AT_FDCWD, "proc", MOVE_MOUNT_F_EMPTY_PATH) <
		0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mount_setattr(AT_FDCWD, "/", 0, &ro, sizeof(ro)) < 0)
		return -errno;
	return 0;
}

/*** What nobody inside needs of /proc ***/

/*
 * Files that are root's alone need no mask: inside, that root is nobody. The
 * rest tell of the host and of others, or take orders (pressure).
 */
static void
choose_masks(void)
{
	static const char *const names[] = { "kcore", "keys", "key-users",
		"kmsg", "kallsyms", "sysrq-trigger", "latency_stats",
		"timer_list", "sched_debug", "interrupts", "kpagecount",
		"kpageflags", "kpagecgroup", "vmallocinfo", "slabinfo",
		"modules", "config.gz", "mtrr", "acpi", "asound", "scsi",
		"driver", "pressure", "bus", "fs", "irq" };
	struct child_mask *m = native.masks;
	size_t i;

	static_assert(sizeof(names) / sizeof(names[0]) <= MASKS_MAX,
	    "room for the masks");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cleanup_free char *path = xasprintf("/proc/%s", names[i]);
		struct stat st;

		if (lstat(path, &st) == 0 && (st.st_mode & 07) != 0)
			*m++ = (struct child_mask){
				.name = names[i],
				.with =
				    S_ISDIR(st.st_mode) ? STEM_DIR : STEM_FILE,
			};
	}
}

/*** The agent's program ***/

static int
copy_agent(int to, const char *path, struct err *e)
{
	cleanup_fd int from = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = 1;
	off_t done = 0;

	if (from < 0 || fstat(from, &st) < 0)
		return err_set(e, errno, "agent %s", path);
	while (done < st.st_size && n > 0)
		n = sendfile(to, from, &done, (size_t)(st.st_size - done));
	if (n < 0 || done < st.st_size)
		return err_set(e, n < 0 ? errno : EIO, "agent %s", path);
	return 0;
}

/* Sealed: no process of a sandbox can change it, whatever it may open. */
static int
open_agent(struct err *e)
{
	const char *path = native.env.agent_path;
	cleanup_fd int fd = memfd_create(
	    "sbx-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create("sbx-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_set(e, errno, "agent %s", path);
	if (copy_agent(fd, path, e) < 0)
		return -1;
	if (fchmod(fd, 0555) < 0 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    (native.agent_fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD)) < 0)
		return err_set(e, errno, "agent %s", path);
	return 0;
}

/*** All of it ***/

struct dir {
	int *fd;
	const char *path;
	mode_t mode;
	bool front; /* its group is the front's */
};

static int
make_dirs(const char *top, const struct dir *dirs, size_t n, struct err *e)
{
	cleanup_fd int at = open(top, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	size_t i;

	if (at < 0)
		return err_set(e, errno, "%s", top);
	for (i = 0; i < n; i++) {
		uid_t owner[2] = { 0,
			dirs[i].front ? native.env.front_gid : 0 };

		close_fd(dirs[i].fd);
		*dirs[i].fd =
		    dirs_make(at, dirs[i].path, dirs[i].mode, owner, e);
		if (*dirs[i].fd < 0)
			return err_wrap(e, "%s", top);
	}
	return 0;
}

/* Once outside, where the directory to pin on must be, and once inside. */
static int
open_dirs(struct err *e)
{
	int mnt = -1;
	const struct dir run[] = {
		{ &native.agents_fd, "agents", 0710, true },
		{ &mnt, "mnt", 0755, false },
	};
	const struct dir data[] = {
		{ &native.sandboxes_fd, "sandboxes", 0711, false },
		{ &native.layers_fd, "layers", 0700, false },
	};
	bool outside = native.pin_ns < 0;
	int rc;

	rc = make_dirs(native.env.run_dir, run, outside ? 2 : 1, e);
	if (rc == 0)
		rc = make_dirs(native.env.data_dir, data, 2, e);
	close_fd(&mnt);
	return rc;
}

static void
copy_env(const struct rt_env *env)
{
	native = (struct native){
		.env = *env,
		.instances_fd = -1,
		.ids_fd = -1,
		.agents_fd = -1,
		.sandboxes_fd = -1,
		.layers_fd = -1,
		.inner_fd = -1,
		.disks_fd = -1,
		.host_ns = -1,
		.pin_ns = -1,
		.stem_ns = -1,
		.uts_ns = -1,
		.net_ns = -1,
		.agent_fd = -1,
	};
	native.env.run_dir = xstrdup(env->run_dir);
	native.env.data_dir = xstrdup(env->data_dir);
	native.env.cgroup = xstrdup(env->cgroup);
	native.env.agent_path = xstrdup(env->agent_path);
}

int
place_init(const struct rt_env *env, struct err *e)
{
	int err;

	copy_env(env);
	choose_masks();
	if ((err = pid_boot_id(native.boot, sizeof(native.boot))) < 0)
		return err_set(e, -err, "boot id");
	if (open_agent(e) < 0 || open_dirs(e) < 0 || enter_pin(e) < 0 ||
	    open_dirs(e) < 0 || open_inner(e) < 0)
		return -1;
	if ((native.stem_ns = new_namespace(stem_steps, NULL)) < 0)
		return err_set(e, -native.stem_ns, "stem mount namespace");
	native.uts_ns = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	native.net_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (native.uts_ns < 0 || native.net_ns < 0)
		return err_set(e, errno, "namespaces of host name, network");
	return 0;
}

/* From the host's namespace again: what pins ours, then what is in RUN_DIR. */
int
place_undo(const struct rt_env *env, struct err *e)
{
	static const char *const names[] = { "mnt", "agents" };
	cleanup_free char *file = pin_path("/ns");
	cleanup_free char *dir = pin_path("");
	cleanup_fd int run = -1;
	size_t i;

	close_fd(&native.stem_ns);
	if (setns(native.host_ns, CLONE_NEWNS) < 0)
		return err_set(e, errno, "leave %s", file);
	close_fd(&native.pin_ns);
	while (umount2(file, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	while (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if ((run = open(env->run_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC)) < 0)
		return err_set(e, errno, "%s", env->run_dir);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (dirs_remove(run, names[i], e) < 0)
			return -1;
	return 0;
}
