/*
 * jail.h - giving up what a process does not need: ids, capabilities, and
 * system calls. Every step is for good. Functions return 0 or -errno.
 */
#ifndef LIB_JAIL_H
#define LIB_JAIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * One allowed system call: always when mask is 0, else when the low 32 bits
 * of argument arg, masked, are value. The kernel cuts the int arguments that
 * are worth a check (families, flags, requests) to 32 bits as well, so the
 * upper half must not count. Several rows for one call: any of them allows.
 */
struct jail_call {
	int nr;
	unsigned arg;
	uint32_t mask;
	uint32_t value;
};

#define JAIL_CALL(name)          \
	{                        \
		.nr = SYS_##name \
	}
#define JAIL_CALL_IF(name, a, m, v)                                     \
	{                                                               \
		.nr = SYS_##name, .arg = (a), .mask = (m), .value = (v) \
	}

/* Rows that no program does without: memory, signals to itself, the time, its
 * end. And, with these, one that has threads. */
#define JAIL_BASE                                                              \
	JAIL_CALL(brk), JAIL_CALL(mmap), JAIL_CALL(munmap), JAIL_CALL(mremap), \
	    JAIL_CALL(mprotect), JAIL_CALL(madvise), JAIL_CALL(futex),         \
	    JAIL_CALL(rt_sigaction), JAIL_CALL(rt_sigprocmask),                \
	    JAIL_CALL(rt_sigreturn), JAIL_CALL(clock_gettime),                 \
	    JAIL_CALL(getrandom), JAIL_CALL(getpid), JAIL_CALL(exit),          \
	    JAIL_CALL(exit_group)
#define JAIL_THREADS                                                        \
	JAIL_BASE, JAIL_CALL_IF(clone, 0, CLONE_THREAD, CLONE_THREAD),      \
	    JAIL_CALL(set_robust_list), JAIL_CALL(rseq), JAIL_CALL(gettid), \
	    JAIL_CALL(tgkill), JAIL_CALL(restart_syscall)

/*
 * Becomes uid, gid and groups for good: every capability is gone from every
 * set, the bounding one too, and the result is checked. Root only.
 */
int jail_ids(uid_t uid, gid_t gid, const gid_t *groups, size_t n);

/* No core file, no ptrace and /proc of this process by its own uid. */
int jail_hide(void);

/* No program that we execute gains anything; needed by jail_filter. */
int jail_no_new_privs(void);

/*
 * Allows only the n calls (at most 512): others fail with ENOSYS, so that
 * libraries fall back; calls of another architecture kill.
 */
int jail_filter(const struct jail_call *calls, size_t n);

#endif
