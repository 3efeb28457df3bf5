#include "runtimes/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "runtimes/raw.h"

#define LISTEN_FD 3
#define GO_WAIT_S 60 /* who cloned us is dead or stuck */

#define TMP_SIZE "104857600"
#define TMP_INODES "65536"
#define PTYS_MAX "256" /* kernel.pty.max is one number for the host */

#define FILES_SOFT 1024
#define FILES_HARD 65536
#define MEMLOCK_MAX (8u << 20)
#define MSGQUEUE_MAX 819200
#define SIGPENDING_MAX 4096

/* Left by steps for later ones; one child at a time in a process's memory. */
static int proc_fd;

/*** Before go ***/

/* Who cloned us may be killed before we are in a group by which we can be
 * found. The change of ids ends this again. */
static int
die_with_parent(struct child *c)
{
	(void)c;
	return (int)raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* Most of what a start takes is the network namespace: made here, while the
 * groups and the disk are made on the other side. */
static int
new_namespaces(struct child *c)
{
	(void)c;
	return (int)raw(
	    SYS_unshare, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
}

static int
loopback_up(struct child *c)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	long fd = raw(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long r;

	(void)c;
	if (fd < 0)
		return (int)fd;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	r = raw(SYS_ioctl, fd, SIOCSIFFLAGS, &ifr);
	(void)raw(SYS_close, fd);
	return (int)r;
}

static int
set_hostname(struct child *c)
{
	return (int)raw(SYS_sethostname, c->hostname, strlen(c->hostname));
}

static int
wait_go(struct child *c)
{
	struct timespec ts = { .tv_sec = GO_WAIT_S };
	uint32_t go;
	long r = 0;

	while ((go = __atomic_load_n(&c->go, __ATOMIC_ACQUIRE)) == CHILD_WAIT &&
	    r != -ETIMEDOUT)
		r = raw(SYS_futex, &c->go, FUTEX_WAIT_PRIVATE, CHILD_WAIT, &ts);
	return go == CHILD_GO ? 0 : -ECANCELED;
}

/*** After go ***/

static int
own_descriptors(struct child *c)
{
	(void)c;
	return (int)raw(SYS_unshare, CLONE_FILES);
}

/* Each "0" moves us, and only us, which the kernel does without the lock
 * that cgroup.procs needs. */
static int
enter_cgroups(struct child *c)
{
	size_t i;
	long r;

	for (i = 0; i < c->cgroup->ntasks; i++)
		if ((r = raw(SYS_write, c->cgroup->tasks[i], "0", 1)) < 0)
			return (int)r;
	/* only now: its root is where we are */
	return (int)raw(SYS_unshare, CLONE_NEWCGROUP);
}

static int
become_root(struct child *c)
{
	long r;

	(void)c;
	if ((r = raw(SYS_setgroups, 0, NULL)) < 0 ||
	    (r = raw(SYS_setresgid, 0, 0, 0)) < 0)
		return (int)r;
	return (int)raw(SYS_setresuid, 0, 0, 0);
}

static int
move(int mount, int at, const char *path)
{
	return (int)raw(SYS_move_mount, mount, "", at, path,
	    MOVE_MOUNT_F_EMPTY_PATH |
		(*path == '\0' ? MOVE_MOUNT_T_EMPTY_PATH : 0));
}

static int
attach_root(struct child *c)
{
	return move(c->root_fd, AT_FDCWD, STEM_ROOT);
}

/*
 * A directory of the image to mount on: made when it is missing, refused
 * when it is anything else. An image, or what ran here before, may have put a
 * link there to have us mount elsewhere.
 */
static long
target(struct child *c, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		    RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	c->what = name;
	fd = raw(SYS_openat2, c->root_fd, name + 1, &how, sizeof(how));
	if (fd != -ENOENT)
		return fd;
	fd = raw(SYS_mkdirat, c->root_fd, name + 1, 0755);
	if (fd < 0)
		return fd;
	return raw(SYS_openat2, c->root_fd, name + 1, &how, sizeof(how));
}

static int
mount_on(struct child *c, int mount, const char *name)
{
	long at = target(c, name);

	return at < 0 ? (int)at : move(mount, (int)at, "");
}

static int
mount_usr(struct child *c)
{
	return c->usr_fd < 0 ? 0 : mount_on(c, c->usr_fd, "/usr");
}

/* type and pairs of options up to a NULL: a detached mount. */
static long
new_mount(const char *type, const char *const *options, long attr)
{
	long fs = raw(SYS_fsopen, type, FSOPEN_CLOEXEC), r = fs;

	for (; fs >= 0 && r >= 0 && options[0] != NULL; options += 2)
		r = raw(SYS_fsconfig, fs, FSCONFIG_SET_STRING, options[0],
		    options[1], 0);
	if (r >= 0)
		r = raw(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	return r < 0 ? r : raw(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr);
}

static int
mount_proc(struct child *c)
{
	static const char *const none[] = { NULL };
	long fd = new_mount("proc", none,
	    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

	if (fd < 0)
		return (int)fd;
	proc_fd = (int)fd;
	return mount_on(c, proc_fd, "/proc");
}

static int
mount_dev(struct child *c)
{
	return mount_on(c, c->dev_fd, "/dev");
}

static int
mount_in_dev(struct child *c, long mount, const char *name)
{
	c->what = name;
	return mount < 0 ? (int)mount : move((int)mount, c->dev_fd, name);
}

static int
mount_pts(struct child *c)
{
	static const char *const options[] = { "ptmxmode", "0666", "mode",
		"0620", "gid", "5", "max", PTYS_MAX, NULL };

	return mount_in_dev(c,
	    new_mount("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC),
	    "pts");
}

/*
 * /tmp and /dev/shm are two directories of one tmpfs: each superblock costs
 * every memory group of the host some bytes more. It stays behind in the
 * stem, which is gone after the pivot.
 */
static int
mount_memory(struct child *c)
{
	static const char *const options[] = { "source", "tmp", "mode", "0755",
		"size", TMP_SIZE, "nr_inodes", TMP_INODES, NULL };
	static const char *const names[] = { "tmp", "shm" };
	long fd = new_mount("tmpfs", options,
	    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	long dir[2], r;
	int i;

	if (fd < 0 || (r = move((int)fd, AT_FDCWD, STEM_TMP)) < 0)
		return (int)(fd < 0 ? fd : r);
	(void)raw(SYS_umask, 0);
	for (i = 0; i < 2; i++) {
		c->what = names[i];
		if ((r = raw(SYS_mkdirat, fd, names[i], 01777)) < 0)
			return (int)r;
		dir[i] = raw(SYS_open_tree, fd, names[i],
		    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (dir[i] < 0)
			return (int)dir[i];
	}
	(void)raw(SYS_umask, 022);
	if ((r = mount_on(c, (int)dir[0], "/tmp")) < 0)
		return (int)r;
	return mount_in_dev(c, dir[1], "shm");
}

/* Relative to our own fresh /proc, in which there are no links: one call
 * each. What this kernel does not have needs no mask. */
static int
mask_proc(struct child *c)
{
	long r = raw(SYS_fchdir, proc_fd);
	const struct child_mask *m;

	for (m = c->masks; r >= 0 && m->name != NULL; m++) {
		c->what = m->name;
		r = raw(SYS_mount, m->with, m->name, NULL, MS_BIND, NULL);
		if (r == -ENOENT)
			r = 0;
	}
	return (int)r;
}

static int
protect_proc(struct child *c)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	long r;

	c->what = "sys";
	r = raw(SYS_mount, "sys", "sys", NULL, MS_BIND, NULL);
	if (r < 0)
		return (int)r;
	return (int)raw(SYS_mount_setattr, AT_FDCWD, "sys", 0, &ro, sizeof(ro));
}

/* The old root lies over the new one for a moment, then is gone. */
static int
pivot(struct child *c)
{
	long r;

	if ((r = raw(SYS_fchdir, c->root_fd)) < 0 ||
	    (r = raw(SYS_pivot_root, ".", ".")) < 0 ||
	    (r = raw(SYS_umount2, ".", MNT_DETACH)) < 0)
		return (int)r;
	return (int)raw(SYS_chdir, "/");
}

/* A limit that is lower already stays: we may not be allowed to raise it. */
static int
set_rlimit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit now, l = { soft, hard };
	long r = raw(SYS_prlimit64, 0, what, NULL, &now);

	if (r < 0)
		return (int)r;
	if (l.rlim_max > now.rlim_max)
		l.rlim_max = now.rlim_max;
	if (l.rlim_cur > l.rlim_max)
		l.rlim_cur = l.rlim_max;
	return (int)raw(SYS_prlimit64, 0, what, &l, NULL);
}

static int
set_rlimits(struct child *c)
{
	static const struct {
		int what;
		rlim_t soft, hard;
	} rows[] = {
		{ RLIMIT_CORE, 0, 0 },
		{ RLIMIT_NOFILE, FILES_SOFT, FILES_HARD },
		{ RLIMIT_MEMLOCK, MEMLOCK_MAX, MEMLOCK_MAX },
		{ RLIMIT_MSGQUEUE, MSGQUEUE_MAX, MSGQUEUE_MAX },
		{ RLIMIT_SIGPENDING, SIGPENDING_MAX, SIGPENDING_MAX },
		{ RLIMIT_RTPRIO, 0, 0 },
		{ RLIMIT_NICE, 0, 0 },
		{ RLIMIT_RTTIME, RLIM_INFINITY, RLIM_INFINITY },
	};
	size_t i;
	int err = 0;

	(void)c;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]) && err == 0; i++)
		err = set_rlimit(rows[i].what, rows[i].soft, rows[i].hard);
	return err;
}

/* 0, 1, 2 are the sandbox's own /dev/null; whatever else is ours closes
 * itself at the exec. */
static int
place_descriptors(struct child *c)
{
	long fd = raw(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0), r = fd;
	int i;

	c->what = "/dev/null";
	for (i = 0; i < 3 && r >= 0; i++)
		if (fd != i)
			r = raw(SYS_dup3, fd, i, 0);
	if (r >= 0 && fd > 2)
		(void)raw(SYS_close, fd);
	if (r >= 0 && c->listen_fd != LISTEN_FD)
		r = raw(SYS_dup3, c->listen_fd, LISTEN_FD, 0);
	else if (r >= 0)
		r = raw(SYS_fcntl, LISTEN_FD, F_SETFD, 0);
	if (r >= 0)
		r = raw(
		    SYS_close_range, LISTEN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	return r < 0 ? (int)r : 0;
}

static int
new_session(struct child *c)
{
	long r;

	(void)c;
	(void)raw(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
	r = raw(SYS_setsid, 0);
	/* process 1 of a pid namespace leads a session from the start */
	return r < 0 && r != -EPERM ? (int)r : 0;
}

static int
drop_capabilities(struct child *c)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2];
	long r = 0;
	long cap;

	(void)c;
	memset(none, 0, sizeof(none));
	for (cap = 0; r >= 0; cap++)
		r = raw(SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (r != -EINVAL) /* past the last one */
		return (int)r;
	r = raw(SYS_prctl, PR_SET_SECUREBITS,
	    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	    0, 0, 0);
	if (r < 0)
		return (int)r;
	r = raw(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (r < 0)
		return (int)r;
	return (int)raw(SYS_capset, &head, none);
}

static int
unblock_signals(struct child *c)
{
	uint64_t none = 0;

	(void)c;
	return (int)raw(
	    SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, 8);
}

static int
filter_calls(struct child *c)
{
	long r = raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	if (r >= 0)
		r = raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
		    &c->filters->allow);
	if (r >= 0)
		r = raw(
		    SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &c->filters->deny);
	return (int)r;
}

static int
exec_agent(struct child *c)
{
	static const char *const none[] = { NULL };

	return (int)raw(
	    SYS_execveat, c->agent_fd, "", c->argv, none, AT_EMPTY_PATH);
}

static const struct {
	const char *name;
	int (*run)(struct child *c);
} steps[] = {
	{ "death signal", die_with_parent },
	{ "namespaces", new_namespaces },
	{ "loopback", loopback_up },
	{ "host name", set_hostname },
	{ "wait", wait_go },
	{ "descriptors", own_descriptors },
	{ "enter cgroups", enter_cgroups },
	{ "ids", become_root },
	{ "attach root", attach_root },
	{ "mount proc", mount_proc },
	{ "mount dev", mount_dev },
	{ "mount pts", mount_pts },
	{ "mount tmp", mount_memory },
	{ "mount usr", mount_usr },
	{ "mask proc", mask_proc },
	{ "protect proc", protect_proc },
	{ "pivot", pivot },
	{ "rlimits", set_rlimits },
	{ "place descriptors", place_descriptors },
	{ "session", new_session },
	{ "capabilities", drop_capabilities },
	{ "signals", unblock_signals },
	{ "filter", filter_calls },
	{ "exec", exec_agent },
};

void
child_run(struct child *c)
{
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		c->step = steps[i].name;
		c->what = NULL;
		if ((c->err = steps[i].run(c)) < 0)
			break;
	}
	for (;;)
		(void)raw(SYS_exit_group, 1);
}
