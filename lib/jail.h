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
