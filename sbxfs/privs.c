#include "sbxfs/privs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/jail.h"
#include "sbxfs/kernel.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static const unsigned char kept[] = {
	CAP_CHOWN,
	CAP_DAC_OVERRIDE,
	CAP_FOWNER,
	CAP_SETGID,
	CAP_SETUID,
	CAP_SYS_ADMIN,
};

static const struct jail_call calls[] = {
	JAIL_THREADS,
	/* the kernel, the front, the log */
	JAIL_CALL(read),
	JAIL_CALL(write),
	JAIL_CALL(readv),
	JAIL_CALL(writev),
	JAIL_CALL(pipe2),
	JAIL_CALL(splice),
	JAIL_CALL(vmsplice),
	JAIL_CALL_IF(ioctl, 1, 0xffffffff, FIONREAD),
	JAIL_CALL(recvmsg),
	JAIL_CALL(sendmsg),
	JAIL_CALL(sendto),
	JAIL_CALL(connect),
	JAIL_CALL_IF(socket, 0, 0xffffffff, AF_UNIX),
	JAIL_CALL_IF(socketpair, 0, 0xffffffff, AF_UNIX),
	JAIL_CALL(ppoll),
	JAIL_CALL(close),
	JAIL_CALL(fcntl),
	JAIL_CALL(dup3),
	JAIL_CALL_IF(ioctl, 1, 0xffffffff, BACKING_OPEN),
	JAIL_CALL_IF(ioctl, 1, 0xffffffff, BACKING_CLOSE),
	/* fs/ */
	JAIL_CALL(openat),
	JAIL_CALL(openat2),
	JAIL_CALL(fstat),
	JAIL_CALL(newfstatat),
	JAIL_CALL(statx),
	JAIL_CALL(fstatfs),
	JAIL_CALL(pread64),
	JAIL_CALL(pwrite64),
	JAIL_CALL(getdents64),
	JAIL_CALL(lseek),
	JAIL_CALL(readlinkat),
	JAIL_CALL(mkdirat),
	JAIL_CALL(mknodat),
	JAIL_CALL(symlinkat),
	JAIL_CALL(linkat),
	JAIL_CALL(unlinkat),
	JAIL_CALL(renameat),
	JAIL_CALL(renameat2),
	JAIL_CALL(fchmodat2),
	JAIL_CALL(fchmodat),
	JAIL_CALL(fchownat),
	JAIL_CALL(utimensat),
	JAIL_CALL(fgetxattr),
	JAIL_CALL(fsetxattr),
	JAIL_CALL(flistxattr),
	JAIL_CALL(fremovexattr),
	JAIL_CALL(truncate),
	JAIL_CALL(ftruncate),
	JAIL_CALL(fallocate),
	JAIL_CALL(fsync),
	JAIL_CALL(fdatasync),
	JAIL_CALL(copy_file_range),
	JAIL_CALL(setfsuid),
	JAIL_CALL(setfsgid),
	/* the end */
	JAIL_CALL(umount2),
	/* the C library */
	JAIL_CALL(signalfd4),
	JAIL_CALL(eventfd2),
#ifdef SYS_poll /* older machines have it, newer do not */
	JAIL_CALL(poll),
#endif
#ifdef SYS_chmod
	JAIL_CALL(chmod),
#endif
};

/* The resolver, TLS with its certificates, threads. */
static const struct jail_call net_calls[] = {
	JAIL_THREADS,
	/* sockets */
	JAIL_CALL_IF(socket, 0, 0xffffffff, AF_UNIX),
	JAIL_CALL_IF(socket, 0, 0xffffffff, AF_INET),
	JAIL_CALL_IF(socket, 0, 0xffffffff, AF_INET6),
	JAIL_CALL_IF(socket, 0, 0xffffffff, AF_NETLINK),
	JAIL_CALL_IF(socketpair, 0, 0xffffffff, AF_UNIX),
	JAIL_CALL(bind),
	JAIL_CALL(connect),
	JAIL_CALL(getsockname),
	JAIL_CALL(getpeername),
	JAIL_CALL(getsockopt),
	JAIL_CALL(setsockopt),
	JAIL_CALL(shutdown),
	JAIL_CALL(sendto),
	JAIL_CALL(recvfrom),
	JAIL_CALL(sendmsg),
	JAIL_CALL(recvmsg),
	JAIL_CALL(sendmmsg),
	JAIL_CALL(ppoll),
	JAIL_CALL_IF(ioctl, 1, 0xffffffff, FIONBIO),
	JAIL_CALL_IF(ioctl, 1, 0xffffffff, FIONREAD),
	JAIL_CALL(eventfd2),
	JAIL_CALL(pipe2),
	/* files, to read */
	JAIL_CALL_IF(openat, 2, O_ACCMODE | O_CREAT, O_RDONLY),
	JAIL_CALL(read),
	JAIL_CALL(readv),
	JAIL_CALL(pread64),
	JAIL_CALL(lseek),
	JAIL_CALL(fstat),
	JAIL_CALL(newfstatat),
	JAIL_CALL(statx),
	JAIL_CALL(getdents64),
	JAIL_CALL(readlinkat),
	JAIL_CALL(faccessat),
	JAIL_CALL(write), /* the log */
	JAIL_CALL(writev),
	JAIL_CALL(close),
	JAIL_CALL(fcntl),
#ifdef __x86_64__ /* newer machines have only the at calls */
	JAIL_CALL(poll),
	JAIL_CALL(stat),
	JAIL_CALL(lstat),
	JAIL_CALL(access),
	JAIL_CALL(readlink),
	JAIL_CALL(pipe),
	JAIL_CALL(time),
#endif
	/* threads, the C library */
	JAIL_CALL(getuid),
	JAIL_CALL(geteuid),
	JAIL_CALL(getgid),
	JAIL_CALL(getegid),
	JAIL_CALL(clock_nanosleep),
	JAIL_CALL(gettimeofday),
	JAIL_CALL(getrusage),
	JAIL_CALL(uname),
	JAIL_CALL(sysinfo),
	JAIL_CALL(sched_yield),
	JAIL_CALL(sched_getaffinity),
	JAIL_CALL(prlimit64),
};

static uint64_t
kept_mask(void)
{
	uint64_t mask = 0;
	size_t i;

	for (i = 0; i < sizeof(kept); i++)
		mask |= 1ull << kept[i];
	return mask;
}

static int
drop_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { { 0 }, { 0 } };
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if ((keep & 1ull << cap) == 0 &&
		    prctl(PR_CAPBSET_DROP, cap) < 0)
			return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	data[0].effective = data[0].permitted = (uint32_t)keep;
	data[1].effective = data[1].permitted = (uint32_t)(keep >> 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Weak: there in a build with the address sanitizer, whose run time makes
 * system calls of its own. */
extern void __asan_init(void) __attribute__((weak));

static int
drop(uint64_t keep, const struct jail_call *allowed, size_t n)
{
	int r;

	/* With it, setfsuid leaves the capabilities alone. An ordinary user
	 * has none to give up. */
	if (geteuid() == 0 &&
	    prctl(PR_SET_SECUREBITS,
		SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED) < 0)
		return -errno;
	if (geteuid() == 0 && (r = drop_caps(keep)) < 0)
		return r;
	if ((r = jail_no_new_privs()) < 0)
		return r;
	if (__asan_init != NULL)
		return 0;
	if ((r = jail_hide()) < 0)
		return r;
	return jail_filter(allowed, n);
}

int
privs_drop(void)
{
	return drop(kept_mask(), calls, sizeof(calls) / sizeof(calls[0]));
}

int
privs_drop_remote(void)
{
	return drop(0, calls, sizeof(calls) / sizeof(calls[0]));
}

int
privs_drop_net(void)
{
	return drop(0, net_calls, sizeof(net_calls) / sizeof(net_calls[0]));
}
