#include "lib/jail.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define JAIL_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define JAIL_ARCH AUDIT_ARCH_AARCH64
#endif

/* The 64-bit arguments are little-endian on both: the low half is first. */
#define ARG_LOW(n) (offsetof(struct seccomp_data, args) + 8 * (n))

static int
drop_bounding(void)
{
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			return -errno;
	return 0;
}

/* Clears every set; setresuid alone leaves the inheritable one. */
static int
drop_caps(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2], now[2];

	memset(none, 0, sizeof(none));
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &head, none) < 0 ||
	    syscall(SYS_capget, &head, now) < 0)
		return -errno;
	return memcmp(none, now, sizeof(now)) == 0 ? 0 : -EPERM;
}

int
jail_ids(uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	uid_t r, e, s;
	int err;

	if ((err = drop_bounding()) < 0)
		return err;
	if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	if ((err = drop_caps()) < 0)
		return err;
	if (getresuid(&r, &e, &s) < 0)
		return -errno;
	if (r != uid || e != uid || s != uid)
		return -EPERM;
	/* what was given up must not come back */
	return uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0 ? -EPERM : 0;
}

int
jail_hide(void)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

int
jail_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static size_t
emit(struct sock_filter *to, const struct jail_call *c)
{
	const struct sock_filter always[] = {
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_filter when[] = {
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)ARG_LOW(c->arg)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
	};

	if (c->mask == 0) {
		memcpy(to, always, sizeof(always));
		return sizeof(always) / sizeof(always[0]);
	}
	memcpy(to, when, sizeof(when));
	return sizeof(when) / sizeof(when[0]);
}

/*
 * A list, not a tree: the kernel runs it once for each call number and keeps
 * the answer in a bitmap where it depends on nothing else (5.11).
 */
int
jail_filter(const struct jail_call *calls, size_t n)
{
	const struct sock_filter head[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, JAIL_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
	};
	const struct sock_filter foot =
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	struct sock_fprog prog = { 0 };
	size_t i, len = sizeof(head) / sizeof(head[0]);
	int err = 0;

	if (n > BPF_MAXINSNS / 8)
		return -E2BIG;
	prog.filter = calloc(len + n * 6 + 1, sizeof(*prog.filter));
	if (prog.filter == NULL)
		return -ENOMEM;
	memcpy(prog.filter, head, sizeof(head));
	for (i = 0; i < n; i++)
		len += emit(prog.filter + len, &calls[i]);
	prog.filter[len++] = foot;
	prog.len = (unsigned short)len;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0)
		err = -errno;
	free(prog.filter);
	return err;
}
