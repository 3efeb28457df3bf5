#include "runtimes/seccomp.h"

#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"

/* Namespaces, as far as they are flags of clone and unshare. */
#define NEW_NAMESPACES                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define NEW_TIME 0x80 /* CLONE_NEWTIME; for clone it is part of the signal */

#define ALL 0xffffffffu

/* Doors among the arguments of allowed calls. */
#define DOOR_TIOCSTI 0x5412u
#define DOOR_TIOCLINUX 0x541cu
#define DOOR_TIOCSETD 0x5423u
#define DOOR_TIOCCONS 0x541du
#define DOOR_SOL_TCP 6u
#define DOOR_TCP_ULP 31u
#define DOOR_SOL_UDP 17u
#define DOOR_UDP_ENCAP 100u

/* Answers, as libseccomp wants them; 32 bits of each argument count, because
 * the kernel uses no more of these. */
struct when {
	const char *call;
	uint32_t arg, mask, value;
	uint32_t arg2, mask2, value2; /* mask2 0: no second condition */
};

/* Allowed with any arguments. A blank ends each name. */
static const char allowed[] =
    /* files */
    "access chdir chmod chown close close_range copy_file_range creat dup "
    "dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir fchmod "
    "fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock "
    "fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd "
    "getdents getdents64 getxattr inotify_add_watch inotify_init "
    "inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents "
    "io_pgetevents io_setup io_submit ioctl lchown lgetxattr link linkat "
    "listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat "
    "mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv "
    "preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat "
    "readv removexattr rename renameat renameat2 rmdir sendfile setxattr "
    "splice stat statfs statx symlink symlinkat sync sync_file_range syncfs "
    "tee truncate umask unlink unlinkat utime utimensat utimes vmsplice "
    "write writev "
    /* waiting */
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait "
    "epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 poll ppoll "
    "pselect6 select signalfd signalfd4 timerfd_create timerfd_gettime "
    "timerfd_settime "
    /* memory */
    "brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap "
    "mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free "
    "pkey_mprotect process_madvise process_mrelease remap_file_pages "
    /* processes, threads, signals */
    "alarm arch_prctl capget capset execve execveat exit exit_group fork "
    "futex futex_waitv get_robust_list get_thread_area getegid geteuid "
    "getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority "
    "getrandom getresgid getresuid getrlimit getrusage getsid gettid getuid "
    "ioprio_get ioprio_set kcmp kill landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self nanosleep pause "
    "pidfd_getfd pidfd_open pidfd_send_signal prctl process_vm_readv "
    "process_vm_writev ptrace restart_syscall riscv_flush_icache rseq "
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_setaffinity "
    "sched_setattr sched_setparam sched_setscheduler sched_yield seccomp "
    "set_robust_list set_tid_address setfsgid setfsuid setgid setgroups "
    "setitimer setpgid setpriority setregid setresgid setresuid setreuid "
    "setrlimit setsid setuid sigaltstack tgkill time timer_create "
    "timer_delete timer_getoverrun timer_gettime timer_settime times tkill "
    "ugetrlimit vfork wait4 waitid "
    /* clocks and the machine */
    "adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep "
    "getcpu gettimeofday sysinfo uname "
    /* sockets, except how they are made */
    "accept accept4 bind connect getpeername getsockname getsockopt listen "
    "recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt shutdown "
    /* System V and POSIX communication, in a namespace of their own */
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink "
    "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl "
    "shmdt shmget ";

/* Allowed, but newer than libseccomp's names: one number everywhere. */
static const int allowed_new[] = {
	451, /* cachestat */
	452, /* fchmodat2 */
	453, /* map_shadow_stack */
	454, /* futex_wake */
	455, /* futex_wait */
	456, /* futex_requeue */
	462, /* mseal */
	463, /* setxattrat */
	464, /* getxattrat */
	465, /* listxattrat */
	466, /* removexattrat */
};

/* Allowed when the condition holds. */
static const struct when allowed_when[] = {
	{ "socket", 0, ALL, AF_UNIX, 0, 0, 0 },
	{ "socket", 0, ALL, AF_INET, 0, 0, 0 },
	{ "socket", 0, ALL, AF_INET6, 0, 0, 0 },
	{ "socket", 0, ALL, AF_NETLINK, 2, ALL, 0 }, /* NETLINK_ROUTE */
	{ "socketpair", 0, ALL, AF_UNIX, 0, 0, 0 },
	{ "clone", 0, NEW_NAMESPACES, 0, 0, 0, 0 },
	{ "unshare", 0, NEW_NAMESPACES | NEW_TIME, 0, 0, 0, 0 },
	{ "prlimit64", 0, ALL, 0, 0, 0, 0 }, /* on oneself */
	{ "personality", 0, ALL, 0, 0, 0, 0 },
	{ "personality", 0, ALL, 0x8, 0, 0, 0 },     /* PER_LINUX32 */
	{ "personality", 0, ALL, 0x20000, 0, 0, 0 }, /* UNAME26 */
	{ "personality", 0, ALL, 0x20008, 0, 0, 0 },
	{ "personality", 0, ALL, 0x40000, 0, 0, 0 }, /* ADDR_NO_RANDOMIZE */
	{ "personality", 0, ALL, ALL, 0, 0, 0 },     /* asks */
};

/* Never, and known well enough to be told apart from what does not exist. */
static const char denied[] =
    "acct add_key bpf chroot clock_settime delete_module fanotify_init "
    "fanotify_mark finit_module fsconfig fsmount fsopen fspick init_module "
    "io_uring_enter io_uring_register io_uring_setup ioperm iopl "
    "kexec_file_load kexec_load keyctl lookup_dcookie memfd_secret "
    "migrate_pages modify_ldt mount mount_setattr move_mount move_pages "
    "name_to_handle_at nfsservctl open_by_handle_at open_tree "
    "perf_event_open pivot_root quotactl quotactl_fd reboot request_key "
    "setdomainname sethostname setns settimeofday swapoff swapon sysfs "
    "syslog umount umount2 uselib userfaultfd ustat vhangup vserver ";

/* Refused when the condition holds. */
static const struct when denied_when[] = {
	{ "ioctl", 1, ALL, DOOR_TIOCSTI, 0, 0, 0 },
	{ "ioctl", 1, ALL, DOOR_TIOCLINUX, 0, 0, 0 },
	{ "ioctl", 1, ALL, DOOR_TIOCSETD, 0, 0, 0 },
	{ "ioctl", 1, ALL, DOOR_TIOCCONS, 0, 0, 0 },
	{ "setsockopt", 1, ALL, DOOR_SOL_TCP, 2, ALL, DOOR_TCP_ULP },
	{ "setsockopt", 1, ALL, DOOR_SOL_UDP, 2, ALL, DOOR_UDP_ENCAP },
	{ "sendto", 3, MSG_OOB, MSG_OOB, 0, 0, 0 },
	{ "sendmsg", 2, MSG_OOB, MSG_OOB, 0, 0, 0 },
	{ "sendmmsg", 3, MSG_OOB, MSG_OOB, 0, 0, 0 },
	/* devices; of these the kernel itself lets 0:0 through */
	{ "mknod", 1, S_IFMT, S_IFCHR, 0, 0, 0 },
	{ "mknod", 1, S_IFMT, S_IFBLK, 0, 0, 0 },
	{ "mknodat", 2, S_IFMT, S_IFCHR, 0, 0, 0 },
	{ "mknodat", 2, S_IFMT, S_IFBLK, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWNS, CLONE_NEWNS, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWCGROUP, CLONE_NEWCGROUP, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWUTS, CLONE_NEWUTS, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWIPC, CLONE_NEWIPC, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWUSER, CLONE_NEWUSER, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWPID, CLONE_NEWPID, 0, 0, 0 },
	{ "clone", 0, CLONE_NEWNET, CLONE_NEWNET, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWNS, CLONE_NEWNS, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWCGROUP, CLONE_NEWCGROUP, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWUTS, CLONE_NEWUTS, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWIPC, CLONE_NEWIPC, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWUSER, CLONE_NEWUSER, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWPID, CLONE_NEWPID, 0, 0, 0 },
	{ "unshare", 0, CLONE_NEWNET, CLONE_NEWNET, 0, 0, 0 },
	{ "unshare", 0, NEW_TIME, NEW_TIME, 0, 0, 0 },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A call that this machine or this libseccomp does not know is refused by
 * the default anyway. */
static int
add(scmp_filter_ctx ctx, uint32_t action, const struct when *w)
{
	struct scmp_arg_cmp c[2] = {
		SCMP_CMP(w->arg, SCMP_CMP_MASKED_EQ, w->mask, w->value),
		SCMP_CMP(w->arg2, SCMP_CMP_MASKED_EQ, w->mask2, w->value2),
	};
	int nr = seccomp_syscall_resolve_name(w->call);
	unsigned n = w->mask == 0 ? 0 : w->mask2 == 0 ? 1 : 2;

	if (nr < 0)
		return 0;
	return seccomp_rule_add_array(ctx, action, nr, n, c);
}

/* names: each followed by a blank. */
static int
add_names(scmp_filter_ctx ctx, uint32_t action, const char *names)
{
	char name[32];
	size_t n;
	int err = 0;

	for (; *names != '\0' && err == 0; names += n + 1) {
		struct when w = { .call = name };

		n = strcspn(names, " ");
		(void)snprintf(name, sizeof(name), "%.*s", (int)n, names);
		err = add(ctx, action, &w);
	}
	return err;
}

static int
fill_allow(scmp_filter_ctx ctx)
{
	size_t i;
	int err = add_names(ctx, SCMP_ACT_ALLOW, allowed);

	for (i = 0; i < COUNT(allowed_new) && err == 0; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed_new[i], 0);
	for (i = 0; i < COUNT(allowed_when) && err == 0; i++)
		err = add(ctx, SCMP_ACT_ALLOW, &allowed_when[i]);
	return err;
}

static int
fill_deny(scmp_filter_ctx ctx)
{
	size_t i;
	int err = add_names(ctx, SCMP_ACT_ERRNO(EPERM), denied);

	for (i = 0; i < COUNT(denied_when) && err == 0; i++)
		err = add(ctx, SCMP_ACT_ERRNO(EPERM), &denied_when[i]);
	return err;
}

/* The program, as the kernel takes it, in memory of ours. */
static int export(scmp_filter_ctx ctx, struct sock_fprog *ret)
{
	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat st;
	void *p;
	int err;

	if (fd < 0)
		return -errno;
	if ((err = seccomp_export_bpf(ctx, fd)) < 0)
		return err;
	if (fstat(fd, &st) < 0)
		return -errno;
	p = xmalloc((size_t)st.st_size);
	if (pread(fd, p, (size_t)st.st_size, 0) != st.st_size) {
		free(p);
		return -EIO;
	}
	*ret = (struct sock_fprog){
		.len = (unsigned short)((size_t)st.st_size /
		    sizeof(struct sock_filter)),
		.filter = p,
	};
	return 0;
}

static int
compile(uint32_t otherwise, int (*fill)(scmp_filter_ctx ctx),
    struct sock_fprog *ret)
{
	scmp_filter_ctx ctx = seccomp_init(otherwise);
	int err;

	if (ctx == NULL)
		return -ENOMEM;
	/* i386 and x32 are other architectures: no call of theirs exists */
	err = seccomp_attr_set(
	    ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (err == 0) /* a tree; older libraries make a list */
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (err == 0)
		err = fill(ctx);
	if (err == 0)
		err = export(ctx, ret);
	seccomp_release(ctx);
	return err;
}

int
seccomp_compile(struct filters *ret, struct err *e)
{
	int err = compile(SCMP_ACT_ERRNO(ENOSYS), fill_allow, &ret->allow);

	if (err == 0)
		err = compile(SCMP_ACT_ALLOW, fill_deny, &ret->deny);
	return err == 0 ? 0 : err_set(e, -err, "system call filter");
}
