/*
 * floor_cold N: the floor of a cold create, in microseconds. Bare C with
 * nothing around it: the same groups, one clone3 with the same namespaces, the
 * same number of mounts, pivot_root, no capability, the same filters, and a
 * byte back from the child. What it takes to clean up is not counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/cgroup.h"
#include "runtimes/seccomp.h"

#define ID_BASE 4200000000u
#define ID "floor"

static struct cgroups groups;
static struct filters filters;
static char top[] = "/tmp/sbx-floor.XXXXXX";

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
need(int r, const char *what)
{
	if (r < 0)
		die(what);
}

static double
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* What is there before: a layer, devices, something to hide things with. */
static void
prepare(void)
{
	static const char *const dirs[] = { "layer", "layer/proc", "layer/dev",
		"layer/tmp", "layer/usr", "dev", "dev/pts", "dev/shm", "empty",
		"disk" };
	size_t i;

	if (mkdtemp(top) == NULL || chmod(top, 0755) < 0 || chdir(top) < 0)
		die(top);
	need(mount("none", top, "tmpfs", 0, "mode=755"), top);
	need(mount(NULL, top, NULL, MS_PRIVATE, NULL), top);
	need(chdir(top), top);
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		need(mkdir(dirs[i], 0755), dirs[i]);
	need(mknod("none", S_IFREG | 0444, 0), "none");
	need(mknod("dev/null", S_IFCHR | 0666, makedev(1, 3)), "null");
}

static void
enter_groups(const struct cgroup_entry *entry)
{
	size_t i;

	for (i = 0; i < entry->ntasks; i++)
		if (write(entry->tasks[i], "0", 1) != 1)
			die("cgroup");
	need(unshare(CLONE_NEWCGROUP), "cgroup");
}

static void
loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	need(ioctl(fd, SIOCSIFFLAGS, &ifr), "lo");
	(void)close(fd);
}

static void
mount_disk(void)
{
	need(mount("none", "disk", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m"),
	    "disk");
	need(chdir("disk"), "disk");
	need(mkdir("u", 0755), "u");
	need(mkdir("w", 0755), "w");
	need(mkdir("l", 0755), "l");
	need(mkdir("r", 0755), "r");
	need(mount("../layer", "l", NULL, MS_BIND, NULL), "layer");
	need(mount("overlay", "r", "overlay", MS_NOSUID | MS_NODEV,
		 "lowerdir=l,upperdir=u,workdir=w,userxattr"),
	    "overlay");
	need(chdir("r"), "r");
}

static void
mount_rest(void)
{
	static const char *const files[] = { "proc/keys", "proc/key-users",
		"proc/kmsg", "proc/kallsyms", "proc/timer_list",
		"proc/interrupts", "proc/kpagecount", "proc/kpageflags",
		"proc/vmallocinfo", "proc/slabinfo", "proc/config.gz" };
	static const char *const dirs[] = { "proc/acpi", "proc/driver",
		"proc/pressure", "proc/bus", "proc/fs", "proc/irq" };
	const unsigned long bad = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	size_t i;

	need(mount("none", "proc", "proc", bad, NULL), "proc");
	need(mount("../../dev", "dev", NULL, MS_BIND, NULL), "dev");
	need(mount("none", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		 "ptmxmode=0666,max=256"),
	    "pts");
	need(mount("none", "dev/shm", "tmpfs", bad, "size=64m"), "shm");
	need(mount("none", "tmp", "tmpfs", bad, "size=100m"), "tmp");
	need(mount("/usr", "usr", NULL, MS_BIND, NULL), "usr");
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)mount("../../none", files[i], NULL, MS_BIND, NULL);
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		(void)mount("../../empty", dirs[i], NULL, MS_BIND, NULL);
	need(mount("proc/sys", "proc/sys", NULL, MS_BIND, NULL), "sys");
	need(mount(NULL, "proc/sys", NULL,
		 MS_REMOUNT | MS_BIND | MS_RDONLY | bad, NULL),
	    "sys");
	need((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", MNT_DETACH), "umount");
	need(chdir("/"), "/");
}

static void
confine(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2] = { { 0 } };
	int cap;

	(void)setsid();
	for (cap = 0; prctl(PR_CAPBSET_DROP, cap) >= 0; cap++)
		;
	need((int)syscall(SYS_capset, &head, none), "capset");
	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	need((int)syscall(
		 SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filters.allow),
	    "seccomp");
	need((int)syscall(
		 SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filters.deny),
	    "seccomp");
}

_Noreturn static void
child(const struct cgroup_entry *entry, int go, int done)
{
	char c;

	if (read(go, &c, 1) != 1)
		die("go");
	enter_groups(entry);
	need(setresgid(0, 0, 0), "gid");
	need(setresuid(0, 0, 0), "uid");
	loopback_up();
	need(sethostname("floor", 5), "host name");
	mount_disk();
	mount_rest();
	confine();
	if (write(done, "d", 1) != 1)
		die("done");
	for (;;)
		(void)pause();
}

static void
map_ids(pid_t pid)
{
	char path[64], map[64];

	(void)snprintf(map, sizeof(map), "0 %u 65536", ID_BASE);
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	need(fd_write_at(AT_FDCWD, path, map), path);
	(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
	need(fd_write_at(AT_FDCWD, path, map), path);
}

static pid_t
start(struct cgroup_entry *entry)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
		    CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
		    (entry->unified >= 0 ? CLONE_INTO_CGROUP : 0),
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)(unsigned)entry->unified,
	};
	int go[2], done[2];
	char c;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		die("pipe");
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		child(entry, go[0], done[1]);
	need(pid, "clone3");
	(void)close(done[1]);
	map_ids(pid);
	if (write(go[1], "g", 1) != 1 || read(done[0], &c, 1) != 1)
		die("child");
	(void)close(go[0]);
	(void)close(go[1]);
	(void)close(done[0]);
	return pid;
}

static double
sample(void)
{
	const struct rt_limits limits = {
		.memory_bytes = 256 << 20, .cpu_milli = 1000, .pids = 256
	};
	struct cgroup_entry entry;
	struct err e;
	double began = now_us(), took;
	pid_t pid;

	if (cgroup_begin(&groups, ID, false, &entry, &e) < 0 ||
	    cgroup_join(&groups, ID, &entry, &e) < 0 ||
	    cgroup_limit(&groups, ID, &limits, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	pid = start(&entry);
	took = now_us() - began;
	cgroup_close(&entry);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)cgroup_remove(&groups, ID, &e);
	return took;
}

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int
main(int argc, char **argv)
{
	size_t i, n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	double *took = calloc(n + 1, sizeof(*took));
	char name[64];
	struct err e;

	if (took == NULL || n == 0)
		return 2;
	(void)snprintf(name, sizeof(name), "sbxfloor-%d", (int)getpid());
	cgroup_find(&groups, name, CGROUP_MOUNTINFO);
	if (seccomp_compile(&filters, &e) < 0 || cgroup_init(&groups, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	prepare();
	for (i = 0; i < n; i++)
		took[i] = sample();
	qsort(took, n, sizeof(*took), by_size);
	printf(
	    "floor_cold %.1f %.1f %zu\n", took[n / 2], took[n * 99 / 100], n);
	need(chdir("/"), "/");
	(void)umount2(top, MNT_DETACH);
	(void)rmdir(top);
	return cgroup_done(&groups, &e) < 0;
}
