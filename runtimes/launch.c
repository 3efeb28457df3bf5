#include "runtimes/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "runtimes/child.h"
#include "runtimes/dirs.h"
#include "runtimes/disk.h"
#include "runtimes/impl.h"
#include "runtimes/place.h"
#include "runtimes/userns.h"
#include "runtimes/pid.h"

#define STACK_SIZE (64u << 10)
#define START_WAIT_S 30
#define KILL_WAIT_S 5
#define OOM_SCORE_ADJ "500" /* before anything of the host's */

/* The child makes the others itself, when it belongs to its user namespace. */
#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)

/* One child at a time. Static: should one ever outlive our patience, its
 * memory stays what it is. */
static struct child child;
static char child_stack[STACK_SIZE] __attribute__((aligned(16)));

/* What this end holds while the child starts. */
struct ends {
	struct cgroup_entry cgroup;
	int pidfd, proc, userns;
	int listen, root, dev, usr;
	bool files; /* it serves files and runs no jobs */
};

static void
close_ends(struct ends *n)
{
	int *all[] = { &n->pidfd, &n->proc, &n->userns, &n->listen, &n->root,
		&n->dev, &n->usr };
	size_t i;

	cgroup_close(&n->cgroup);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		close_fd(all[i]);
}

/*** Cloning ***/

/* clone3 whose child calls run(c) on its own stack and never returns. */
#if defined(__x86_64__)
static long
clone_run(struct clone_args *args, void (*run)(struct child *), struct child *c)
{
	register void (*fn)(struct child *) __asm__("r12") = run;
	register struct child *arg __asm__("r13") = c;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone3), "D"(args), "S"(sizeof(*args)),
			 "r"(fn), "r"(arg)
			 : "rcx", "r11", "memory");
	return ret;
}
#else
static long
clone_run(struct clone_args *args, void (*run)(struct child *), struct child *c)
{
	register void (*fn)(struct child *) __asm__("x19") = run;
	register struct child *arg __asm__("x20") = c;
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(*args);

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, 0\n\t"
			 "mov x0, x20\n\t"
			 "blr x19\n\t"
			 "brk 0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(fn), "r"(arg)
			 : "memory");
	return x0;
}
#endif

static void
say(uint32_t go)
{
	__atomic_store_n(&child.go, go, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &child.go, FUTEX_WAKE_PRIVATE, 1);
}

/*
 * From the stem namespace, which holds three mounts, since the child gets a
 * copy of what we are in. Signals are blocked: its handlers would be ours.
 */
static long
clone_child(const struct ends *n, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = NAMESPACES | CLONE_VM | CLONE_FILES | CLONE_PIDFD |
		    CLONE_CHILD_CLEARTID |
		    (n->cgroup.unified >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uintptr_t)ret_pidfd,
		.child_tid = (uintptr_t)&child.alive,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)child_stack,
		.stack_size = STACK_SIZE,
		.cgroup =
		    n->cgroup.unified >= 0 ? (uint64_t)n->cgroup.unified : 0,
	};
	sigset_t all, old;
	long pid;

	if (setns(native.stem_ns, CLONE_NEWNS) < 0)
		return -errno;
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone_run(&args, child_run, &child);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (setns(native.pin_ns, CLONE_NEWNS) < 0) {
		pid = -errno;
		say(CHILD_GIVE_UP);
	}
	return pid;
}

/*** While it starts ***/

/* Until it has left our memory, by exec or death: false when it does not. */
static bool
wait_left(int seconds)
{
	struct timespec ts = { .tv_sec = seconds };
	uint32_t alive;

	while ((alive = __atomic_load_n(&child.alive, __ATOMIC_ACQUIRE)) != 0)
		if (syscall(SYS_futex, &child.alive, FUTEX_WAIT, alive, &ts) <
			0 &&
		    errno == ETIMEDOUT)
			return false;
	return true;
}

/*
 * The kernel says so a moment before it is true (exec_mmap), and what is set
 * for a process in between is set for all who share its memory. It has left
 * when the program is another one; of a dead one nothing can be told.
 */
static bool
wait_exec(int proc)
{
	struct timespec pause = { .tv_nsec = 20000 };
	int64_t until = clock_ms() + KILL_WAIT_S * 1000;
	struct stat ours, its;

	if (stat("/proc/self/exe", &ours) < 0)
		return false;
	while (fstatat(proc, "exe", &its, 0) == 0 &&
	    its.st_dev == ours.st_dev && its.st_ino == ours.st_ino) {
		if (clock_ms() > until)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

static void
reap(int pidfd)
{
	siginfo_t si;

	while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
}

/* The front connects, and nobody else; inside, the address is a bare name. */
static int
bind_socket(const char *id, int *ret_fd, struct err *e)
{
	char name[RT_ID_MAX + 8];
	int fd, err = 0;

	(void)snprintf(name, sizeof(name), "%s.sock", id);
	if (fchdir(native.agents_fd) < 0)
		return err_set(e, errno, "%s/agents", native.env.run_dir);
	if ((fd = fd_unix_listen(name, 0600, SOCK_STREAM)) < 0)
		err = -fd;
	else if (chown(name, native.env.front_uid, native.env.front_gid) < 0)
		err = errno;
	dirs_leave();
	*ret_fd = fd; /* the caller closes it in any case */
	return err == 0 ? 0 : err_set(e, err, "agents/%s", name);
}

/* The overlay, mounted already or now, as a mount for the child. */
static int
prepare_root(
    const char *id, const struct record *r, struct ends *n, struct err *e)
{
	bool fresh = r->state == RECORD_CREATING;

	if (!fresh && (n->root = disk_clone(id)) >= 0)
		return 0;
	if (!fresh && r->limits.storage_bytes != 0)
		return err_setx(
		    e, ENOENT, "sandbox %s: its disk, in memory, is gone", id);
	n->userns = openat(n->proc, "ns/user", O_RDONLY | O_CLOEXEC);
	if (n->userns < 0)
		return err_set(e, errno, "sandbox %s: its ids", id);
	if (disk_make(id, r, e) < 0 || disk_mount(id, r, n->userns, e) < 0)
		return -1;
	if ((n->root = disk_clone(id)) < 0)
		return err_set(e, -n->root, "sandbox %s: root", id);
	return 0;
}

/* What the child waits for. */
static int
prepare_go(
    const char *id, const struct record *r, struct ends *n, struct err *e)
{
	int err;

	if ((err = userns_map(n->proc, r->id_base)) < 0)
		return err_set(e, -err, "sandbox %s: map its ids", id);
	if (cgroup_join(&native.cgroups, id, &n->cgroup, e) < 0 ||
	    bind_socket(id, &n->listen, e) < 0 || prepare_root(id, r, n, e) < 0)
		return -1;
	if ((n->dev = place_clone_dev()) < 0)
		return err_set(e, -n->dev, "sandbox %s: /dev", id);
	if (strcmp(r->kind, "host") == 0 && (n->usr = place_clone_usr()) < 0)
		return err_set(e, -n->usr, "sandbox %s: /usr", id);
	child.listen_fd = n->listen;
	child.root_fd = n->root;
	child.dev_fd = n->dev;
	child.usr_fd = n->usr;
	return 0;
}

/* After the exec: what makes it known again. */
static int
identify(const struct ends *n, struct record *r)
{
	struct stat st;
	int err;

	if ((err = pid_start_time(n->proc, &r->start)) < 0)
		return err;
	if (fstatat(n->proc, "ns/net", &st, 0) < 0)
		return -errno;
	r->netns = st.st_ino;
	(void)snprintf(r->boot, sizeof(r->boot), "%s", native.boot);
	return 0;
}

/*
 * After the exec as well: the child was in its group while our memory was its
 * own, and whoever has to free memory of a group kills all who share it. Who
 * serves files alone runs nothing of the sandbox's, and must get at what
 * fills its limit.
 */
static int
confine(
    const char *id, const struct record *r, const struct ends *n, struct err *e)
{
	if (!wait_exec(n->proc))
		return err_setx(e, ETIMEDOUT, "sandbox %s: no exec", id);
	/* a help for the host only: it may be refused */
	(void)fd_write_at(n->proc, "oom_score_adj", OOM_SCORE_ADJ);
	return n->files ? 0 : cgroup_limit(&native.cgroups, id, &r->limits, e);
}

static int
child_failed(const char *id, struct err *e)
{
	if (child.err == 0)
		return err_setx(e, EIO, "sandbox %s: died: %s", id, child.step);
	if (child.what != NULL)
		return err_set(e, -child.err, "sandbox %s: %s: %s", id,
		    child.step, child.what);
	return err_set(e, -child.err, "sandbox %s: %s", id, child.step);
}

static int
finish(const char *id, struct record *r, struct ends *n, struct err *e)
{
	int err;

	if (prepare_go(id, r, n, e) < 0) {
		say(CHILD_GIVE_UP);
		err = -1;
	} else {
		say(CHILD_GO);
		err = 0;
		if (r->state == RECORD_CREATING)
			disk_spool(id); /* the child is at work */
	}
	if (!wait_left(START_WAIT_S)) {
		(void)syscall(
		    SYS_pidfd_send_signal, n->pidfd, SIGKILL, NULL, 0);
		if (!wait_left(KILL_WAIT_S))
			return err_setx(e, ETIMEDOUT, "sandbox %s: stuck: %s",
			    id, child.step);
	}
	if (err == 0 && (child.err != 0 || strcmp(child.step, "exec") != 0))
		err = child_failed(id, e);
	else if (err == 0 && (err = identify(n, r)) < 0)
		err = err_set(e, -err, "sandbox %s: agent", id);
	else if (err == 0)
		err = confine(id, r, n, e);
	if (err < 0) {
		(void)syscall(
		    SYS_pidfd_send_signal, n->pidfd, SIGKILL, NULL, 0);
		reap(n->pidfd);
	}
	return err;
}

static int
begin(const char *id, struct record *r, struct ends *n, struct err *e)
{
	static const struct rt_limits none = { 0 };
	bool again = r->state != RECORD_CREATING;
	struct err ignored;
	long pid;

	if (cgroup_begin(&native.cgroups, id, again, &n->cgroup, e) < 0)
		return -1;
	if (again) { /* it may have ended frozen, or full */
		(void)cgroup_freeze(&native.cgroups, id, false, &ignored);
		(void)cgroup_limit(&native.cgroups, id, &none, &ignored);
	}
	child.cgroup = &n->cgroup;
	if ((pid = clone_child(n, &n->pidfd)) < 0)
		return err_set(e, (int)-pid, "sandbox %s: clone", id);
	r->pid = (pid_t)pid;
	if ((n->proc = pid_open(r->pid)) < 0) {
		say(CHILD_GIVE_UP);
		(void)wait_left(KILL_WAIT_S);
		reap(n->pidfd);
		return err_set(e, -n->proc, "sandbox %s: process", id);
	}
	return finish(id, r, n, e);
}

int
launch(const char *id, struct record *r, bool files, struct err *e)
{
	const char *argv[] = { "sbx-agent", files ? "--files" : NULL, NULL };
	struct ends n = { { .unified = -1 }, -1, -1, -1, -1, -1, -1, -1,
		files };
	int rc;

	child = (struct child){
		.hostname = r->hostname,
		.argv = argv,
		.filters = &native.filters,
		.masks = native.masks,
		.agent_fd = native.agent_fd,
		.listen_fd = -1,
		.root_fd = -1,
		.dev_fd = -1,
		.usr_fd = -1,
		.go = CHILD_WAIT,
		.step = "clone",
		.alive = 1,
	};
	rc = begin(id, r, &n, e);
	if (rc < 0)
		r->pid = 0;
	close_ends(&n);
	return rc;
}
