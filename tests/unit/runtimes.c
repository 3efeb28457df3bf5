/*
 * What of the runtimes needs no root: records, slots of ids, trees removed,
 * cgroups as different hosts have them, filters, and processes by number.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/cgroup.h"
#include "runtimes/dirs.h"
#include "runtimes/ids.h"
#include "runtimes/pid.h"
#include "runtimes/record.h"
#include "runtimes/seccomp.h"
#include "tests/unit/unit.h"

#define ID "sbx-0123456789abcdef0123456789abcdef"
#define OTHER "sbx-ffffffffffffffffffffffffffffffff"

static char top[64];
static int at = -1;
static struct err e;

static void
setup(void)
{
	strcpy(top, "/tmp/sbx-unit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	at = open(top, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(at, 0);
	memset(&e, 0, sizeof(e));
}

static void
teardown(void)
{
	ck_assert_int_eq(dirs_remove(AT_FDCWD, top, &e), 0);
	close_fd(&at);
}

static void
put(const char *path, const char *text)
{
	cleanup_fd int fd =
	    openat(at, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_full(fd, text, strlen(text)), 0);
}

/*** record ***/

static const struct record sample = {
	.state = RECORD_UP,
	.slot = 7,
	.id_base = 4294901760u,
	.run = 3,
	.pid = 4194304,
	.start = UINT64_C(9000000000000000000),
	.netns = 4026531840,
	.boot = "0d6f3c1e-1111-2222-3333-444444444444",
	.kind = "dir",
	.hostname = "web 1",
	.layer = "/a b/c=d/\xff",
	.limits = { 1 << 30, 1500, 256, 0 },
};

START_TEST(a_record_is_read_back_as_it_was)
{
	struct record r;

	ck_assert_int_eq(record_write(at, ID, &sample, &e), 0);
	ck_assert_int_eq(record_read(at, ID, &r, &e), 0);
	ck_assert_int_eq(r.state, RECORD_UP);
	ck_assert_uint_eq(r.slot, 7);
	ck_assert_uint_eq(r.id_base, 4294901760u);
	ck_assert_uint_eq(r.run, 3);
	ck_assert_int_eq(r.pid, 4194304);
	ck_assert(r.start == sample.start);
	ck_assert(r.netns == sample.netns);
	ck_assert_str_eq(r.boot, sample.boot);
	ck_assert_str_eq(r.kind, "dir");
	ck_assert_str_eq(r.hostname, "web 1");
	ck_assert_str_eq(r.layer, sample.layer);
	ck_assert_int_eq(r.limits.memory_bytes, 1 << 30);
	ck_assert_int_eq(r.limits.cpu_milli, 1500);
	ck_assert_int_eq(r.limits.pids, 256);
	ck_assert_int_eq(r.limits.storage_bytes, 0);
}
END_TEST

START_TEST(an_update_that_is_shorter_leaves_nothing_of_the_old)
{
	struct record r = sample;

	ck_assert_int_eq(record_write(at, ID, &r, &e), 0);
	strcpy(r.hostname, "w");
	r.limits.memory_bytes = 1;
	ck_assert_int_eq(record_update(at, ID, &r, &e), 0);
	ck_assert_int_eq(record_read(at, ID, &r, &e), 0);
	ck_assert_str_eq(r.hostname, "w");
	ck_assert_int_eq(r.limits.memory_bytes, 1);
	ck_assert_str_eq(r.layer, sample.layer);
}
END_TEST

START_TEST(no_record_is_enoent)
{
	struct record r;

	ck_assert_int_eq(record_read(at, ID, &r, &e), -1);
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_int_eq(record_remove(at, ID, &e), 0);
}
END_TEST

static const char *const damaged[] = {
	"",
	"state 1\n",
	"state 9\nslot 1\n",
	"state 1\nslot x\nid_base 1\nrun 0\npid 0\nstart 0\nnetns 0\nboot b\n"
	"kind dir\nhostname h\nlayer /\nmemory 0\ncpu 0\npids 0\nstorage 0\n",
	"state 1\nslot 1\nid_base 1\nrun 0\npid 0\nstart 0\nnetns 0\nboot b\n"
	"kind much-too-long-a-kind\nhostname h\nlayer /\nmemory 0\ncpu 0\n"
	"pids 0\nstorage 0\n",
	"state 1\nslot -1\nid_base 1\nrun 0\npid 0\nstart 0\nnetns 0\nboot b\n"
	"kind dir\nhostname h\nlayer /\nmemory 0\ncpu 0\npids 0\nstorage 0\n",
};

START_TEST(a_damaged_record_is_no_record)
{
	struct record r;

	put(ID, damaged[_i]);
	ck_assert_int_eq(record_read(at, ID, &r, &e), -1);
	ck_assert_int_eq(e.code, EUCLEAN);
}
END_TEST

START_TEST(a_line_break_cannot_forge_a_field)
{
	struct record r = sample;

	strcpy(r.hostname, "x\npid 1");
	ck_assert_int_eq(record_write(at, ID, &r, &e), -1);
	strcpy(r.hostname, "x");
	strcpy(r.layer, "/x\npid 1");
	ck_assert_int_eq(record_write(at, ID, &r, &e), -1);
}
END_TEST

/*** ids ***/

START_TEST(slots_are_each_taken_once)
{
	uint32_t a, b, c;

	ck_assert_int_eq(ids_take(at, 2, ID, &a, &e), 0);
	ck_assert_int_eq(ids_take(at, 2, OTHER, &b, &e), 0);
	ck_assert_uint_ne(a, b);
	ck_assert_int_eq(ids_take(at, 2, "sbx-third", &c, &e), -1);
	ck_assert_int_eq(e.code, EAGAIN);
	ck_assert_int_eq(ids_give(at, a, OTHER, &e), 0); /* not its own */
	ck_assert_int_eq(ids_take(at, 2, "sbx-third", &c, &e), -1);
	ck_assert_int_eq(ids_give(at, a, ID, &e), 0);
	ck_assert_int_eq(ids_take(at, 2, "sbx-third", &c, &e), 0);
	ck_assert_uint_eq(a, c);
}
END_TEST

static int
count_owner(const char *id, void *arg)
{
	if (strcmp(id, ID) == 0)
		(*(int *)arg)++;
	return 0;
}

START_TEST(an_owner_that_asks_again_has_the_same_slot)
{
	uint32_t a, b;
	int n = 0;

	ck_assert_int_eq(ids_take(at, 1000, ID, &a, &e), 0);
	ck_assert_int_eq(ids_take(at, 1000, ID, &b, &e), 0);
	ck_assert_uint_eq(a, b);
	ck_assert_int_eq(ids_each(at, count_owner, &n, &e), 0);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(ids_give_all(at, ID, &e), 0);
	n = 0;
	ck_assert_int_eq(ids_each(at, count_owner, &n, &e), 0);
	ck_assert_int_eq(n, 0);
}
END_TEST

/*** dirs ***/

START_TEST(ids_are_told_from_other_names)
{
	ck_assert(dirs_is_id(ID));
	ck_assert(!dirs_is_id(".." ID));
	ck_assert(!dirs_is_id("sbx-"));
	ck_assert(!dirs_is_id("sbx-a/b"));
	ck_assert(!dirs_is_id("sbx-a.sock"));
	ck_assert(!dirs_is_id("." ID));
	ck_assert(!dirs_is_id(""));
}
END_TEST

START_TEST(a_tree_is_removed_and_what_links_lead_to_stays)
{
	ck_assert_int_eq(mkdirat(at, "keep", 0700), 0);
	put("keep/f", "x");
	ck_assert_int_eq(mkdirat(at, "t", 0700), 0);
	ck_assert_int_eq(mkdirat(at, "t/d", 0700), 0);
	put("t/d/f", "x");
	ck_assert_int_eq(mkfifoat(at, "t/fifo", 0600), 0);
	ck_assert_int_eq(symlinkat("../keep", at, "t/link"), 0);
	ck_assert_int_eq(symlinkat("/", at, "t/d/root"), 0);
	ck_assert_int_eq(fchmodat(at, "t/d", 0, 0), 0);
	if (geteuid() != 0)
		ck_assert_int_eq(fchmodat(at, "t/d", 0700, 0), 0);
	ck_assert_int_eq(dirs_remove(at, "t", &e), 0);
	ck_assert_int_eq(faccessat(at, "t", F_OK, 0), -1);
	ck_assert_int_eq(faccessat(at, "keep/f", F_OK, 0), 0);
	ck_assert_int_eq(dirs_remove(at, "t", &e), 0);
}
END_TEST

START_TEST(a_tree_deeper_than_our_descriptors_is_removed)
{
	int i, here = dup(at), next;

	for (i = 0; i < 3000; i++) {
		ck_assert_int_eq(mkdirat(here, "d", 0700), 0);
		next = openat(here, "d", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		(void)close(here);
		here = next;
	}
	(void)close(here);
	ck_assert_int_eq(dirs_remove(at, "d", &e), 0);
	ck_assert_int_eq(faccessat(at, "d", F_OK, 0), -1);
}
END_TEST

/*** cgroup ***/

/* PATH stands for our directory, whose subtree_control is control. */
static void
find_name(struct cgroups *c, const char *name, const char *mounts,
    const char *control)
{
	char text[4096], path[128];
	size_t n = 0;
	const char *p, *next;

	for (p = mounts; (next = strstr(p, "PATH")) != NULL; p = next + 4)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s%s",
		    (int)(next - p), p, top);
	(void)snprintf(text + n, sizeof(text) - n, "%s", p);
	put("mountinfo", text);
	put("cgroup.subtree_control", control);
	(void)snprintf(path, sizeof(path), "%s/mountinfo", top);
	cgroup_find(c, name, path);
}

static void
find(struct cgroups *c, const char *mounts, const char *control)
{
	find_name(c, "sbxd", mounts, control);
}

START_TEST(version_2_alone_has_what_its_root_gives_away)
{
	struct cgroups c;

	find(&c,
	    "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
	    "30 22 0:26 / PATH rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsd\n",
	    "cpuset cpu io memory pids\n");
	ck_assert_uint_eq(c.ntrees, 1);
	ck_assert_int_eq(c.part[CGROUP_MEMORY], 0);
	ck_assert_int_eq(c.part[CGROUP_CPU], 0);
	ck_assert_int_eq(c.part[CGROUP_PIDS], 0);
	ck_assert_int_eq(c.part[CGROUP_UNIFIED], 0);
	ck_assert_int_eq(c.part[CGROUP_FREEZER], -1);
	find(&c, "30 22 0:26 / PATH rw - cgroup2 cgroup2 rw\n", "cpu pids\n");
	ck_assert_int_eq(c.part[CGROUP_MEMORY], -1);
	ck_assert_int_eq(c.part[CGROUP_CPU], 0);
}
END_TEST

START_TEST(version_2_has_what_reaches_its_group)
{
	static const char mount[] =
	    "30 22 0:26 / PATH rw - cgroup2 cgroup2 rw\n";
	struct cgroups c;

	/* the group above is there, and gives away less */
	ck_assert_int_eq(mkdirat(at, "above", 0700), 0);
	put("above/cgroup.subtree_control", "memory pids\n");
	find_name(&c, "above/a/b", mount, "cpu memory pids\n");
	ck_assert_int_eq(c.part[CGROUP_CPU], -1);
	ck_assert_int_eq(c.part[CGROUP_MEMORY], 0);
	/* so is the group itself */
	ck_assert_int_eq(mkdirat(at, "above/a", 0700), 0);
	put("above/a/cgroup.controllers", "cpu\n");
	find_name(&c, "above/a", mount, "cpu memory pids\n");
	ck_assert_int_eq(c.part[CGROUP_CPU], 0);
	ck_assert_int_eq(c.part[CGROUP_MEMORY], -1);
}
END_TEST

START_TEST(version_1_alone_freezes_and_counts_by_its_controllers)
{
	struct cgroups c;

	find(&c,
	    "33 32 0:30 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	    "34 32 0:31 / /c/memory rw - cgroup cgroup rw,memory\n"
	    "35 32 0:32 / /c/pids rw - cgroup cgroup rw,pids\n"
	    "36 32 0:33 / /c/freezer rw - cgroup cgroup rw,freezer\n"
	    "37 32 0:34 / /c/cpuset rw - cgroup cgroup rw,cpuset\n"
	    "38 32 0:35 / /c/systemd rw - cgroup none rw,name=systemd\n",
	    "");
	ck_assert_uint_eq(c.ntrees, 4);
	ck_assert_int_eq(c.part[CGROUP_CPU], 0);
	ck_assert_int_eq(c.part[CGROUP_CPUACCT], 0);
	ck_assert_int_eq(c.part[CGROUP_MEMORY], 1);
	ck_assert_int_eq(c.part[CGROUP_PIDS], 2);
	ck_assert_int_eq(c.part[CGROUP_FREEZER], 3);
	ck_assert_int_eq(c.part[CGROUP_UNIFIED], -1);
}
END_TEST

START_TEST(a_hybrid_limits_by_version_1_and_kills_by_version_2)
{
	struct cgroups c;

	find(&c,
	    "32 31 0:29 / /c/cpu rw - cgroup cgroup rw,cpu\n"
	    "33 31 0:30 / /c/cpuacct rw - cgroup cgroup rw,cpuacct\n"
	    "35 31 0:32 / /c/memory rw - cgroup cgroup rw,memory\n"
	    "37 31 0:34 / /c/freezer rw - cgroup cgroup rw,freezer\n"
	    "39 31 0:36 / /c/pids rw - cgroup cgroup rw,pids\n"
	    "41 31 0:38 / PATH rw - cgroup2 cgroup2 rw\n",
	    "");
	ck_assert(!c.tree[c.part[CGROUP_MEMORY]].unified);
	ck_assert(!c.tree[c.part[CGROUP_CPU]].unified);
	ck_assert(c.tree[c.part[CGROUP_UNIFIED]].unified);
	ck_assert_int_eq(c.part[CGROUP_FREEZER], -1);
	ck_assert_int_eq(c.part[CGROUP_CPUACCT], -1);
	ck_assert(!cgroup_tree_used(&c, 1)); /* cpuacct's */
}
END_TEST

START_TEST(a_host_without_cgroups_has_none)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct cgroups c;

	find(&c, "22 1 8:1 / / rw - ext4 /dev/sda rw\nnonsense\n\n", "");
	ck_assert_uint_eq(c.ntrees, 0);
	cgroup_report(&c, &b);
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "memory is not limited"));
}
END_TEST

/*** seccomp ***/

/* The kernel's interpreter, as far as these programs go. */
static uint32_t
judge(const struct sock_fprog *p, const struct seccomp_data *d)
{
	uint32_t a = 0, k;
	size_t i;

	for (i = 0; i < p->len; i++) {
		const struct sock_filter *f = &p->filter[i];
		bool yes;

		k = f->k;
		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			ck_assert_uint_le(k + 4, sizeof(*d));
			memcpy(&a, (const char *)d + k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			continue;
		case BPF_RET | BPF_K:
			return k;
		case BPF_JMP | BPF_JA:
			i += k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= k;
			break;
		default:
			ck_abort_msg("instruction %#x", f->code);
		}
		i += yes ? f->jt : f->jf;
	}
	ck_abort_msg("ran off the end");
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

static struct filters filters;

/* The errno, 0 when allowed. */
static int
asked(uint32_t arch, int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data d = {
		.arch = arch, .nr = nr, .args = { a0, a1, a2 }
	};
	uint32_t allow, deny;

	if (filters.allow.len == 0)
		ck_assert_int_eq(seccomp_compile(&filters, &e), 0);
	allow = judge(&filters.allow, &d);
	deny = judge(&filters.deny, &d);
	if (deny != SECCOMP_RET_ALLOW)
		return (int)(deny & SECCOMP_RET_DATA);
	return allow == SECCOMP_RET_ALLOW ? 0 : (int)(allow & SECCOMP_RET_DATA);
}

#define HIGH (UINT64_C(1) << 32)

START_TEST(arguments_are_compared_in_32_bits)
{
	int i, family;

	for (i = 0; i < 3; i++) {
		uint64_t high = HIGH * (uint64_t)i;

		for (family = 0; family < 64; family++) {
			int want = family == 1 || family == 2 || family == 10 ||
				family == 16
			    ? 0
			    : ENOSYS;

			ck_assert_int_eq(asked(ARCH, SYS_socket,
					     high | (uint64_t)family, 1, 0),
			    want);
		}
		ck_assert_int_eq(
		    asked(ARCH, SYS_socket, high | 16, 3, high | 9), ENOSYS);
		ck_assert_int_eq(
		    asked(ARCH, SYS_socketpair, high | 40, 1, 0), ENOSYS);
		ck_assert_int_eq(
		    asked(ARCH, SYS_ioctl, 0, high | 0x5412, 0), EPERM);
		ck_assert_int_eq(
		    asked(ARCH, SYS_ioctl, 0, high | 0x541c, 0), EPERM);
		ck_assert_int_eq(
		    asked(ARCH, SYS_ioctl, 0, high | 0x5401, 0), 0);
		ck_assert_int_eq(
		    asked(ARCH, SYS_unshare, high | 0x10000000, 0, 0), EPERM);
		ck_assert_int_eq(
		    asked(ARCH, SYS_clone, high | 0x40000011, 0, 0), EPERM);
		ck_assert_int_eq(
		    asked(ARCH, SYS_setsockopt, 0, high | 6, high | 31), EPERM);
		ck_assert_int_eq(
		    asked(ARCH, SYS_prlimit64, high | 1, 7, 0), ENOSYS);
		ck_assert_int_eq(asked(ARCH, SYS_prlimit64, high, 7, 0), 0);
	}
}
END_TEST

START_TEST(what_programs_need_is_allowed)
{
	static const int calls[] = { SYS_read, SYS_write, SYS_openat, SYS_mmap,
		SYS_execve, SYS_futex, SYS_wait4, SYS_kill, SYS_statx,
		SYS_getrandom, SYS_setsockopt, SYS_ptrace, SYS_seccomp,
		SYS_rseq, SYS_close_range, SYS_copy_file_range, SYS_mknodat };
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		ck_assert_msg(
		    asked(ARCH, calls[i], 0, 0, 0) == 0, "call %d", calls[i]);
	/* threads and vfork */
	ck_assert_int_eq(asked(ARCH, SYS_clone, 0x3d0f00, 0, 0), 0);
	ck_assert_int_eq(asked(ARCH, SYS_clone, 0x4111, 0, 0), 0);
	ck_assert_int_eq(asked(ARCH, SYS_clone3, 0, 0, 0), ENOSYS);
}
END_TEST

START_TEST(doors_are_closed)
{
	static const int calls[] = { SYS_mount, SYS_umount2, SYS_pivot_root,
		SYS_chroot, SYS_setns, SYS_fsopen, SYS_open_tree,
		SYS_move_mount, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
		SYS_io_uring_setup, SYS_keyctl, SYS_add_key, SYS_request_key,
		SYS_open_by_handle_at, SYS_init_module, SYS_reboot,
		SYS_settimeofday, SYS_clock_settime, SYS_swapon, SYS_syslog,
		SYS_quotactl, SYS_acct, SYS_sethostname };
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		ck_assert_msg(asked(ARCH, calls[i], 0, 0, 0) == EPERM,
		    "call %d", calls[i]);
	for (i = 1000; i < 1100; i++)
		ck_assert_int_eq(asked(ARCH, (int)i, 0, 0, 0), ENOSYS);
}
END_TEST

START_TEST(no_call_of_another_architecture_exists)
{
	static const uint32_t archs[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0 };
	size_t i;
	int nr;

	for (nr = 0; nr < 512; nr++) {
		for (i = 0; i < 3; i++)
			ck_assert_int_eq(asked(archs[i], nr, 0, 0, 0), ENOSYS);
		if (ARCH == AUDIT_ARCH_X86_64) /* x32 */
			ck_assert_int_eq(
			    asked(ARCH, 0x40000000 | nr, 0, 0, 0), ENOSYS);
	}
}
END_TEST

/*** pid ***/

START_TEST(a_process_is_known_by_its_start)
{
	uint64_t start;
	int fd;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			(void)pause();
	ck_assert_int_ge(fd = pid_open(pid), 0);
	ck_assert_int_eq(pid_start_time(fd, &start), 0);
	(void)close(fd);
	ck_assert_int_ge(fd = pid_open_same(pid, start), 0);
	(void)close(fd);
	ck_assert_int_ge(fd = pid_fd_same(pid, start), 0);
	(void)close(fd);
	ck_assert_int_eq(pid_open_same(pid, start + 1), -ESRCH);
	ck_assert_int_eq(pid_fd_same(pid, start + 1), -ESRCH);
	ck_assert_int_eq(pid_open_same(0, start), -ESRCH);
	(void)kill(pid, SIGKILL);
	(void)waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	ck_assert_int_eq(pid_open_same(pid, start), -ESRCH); /* a zombie */
	(void)waitpid(pid, NULL, 0);
	ck_assert_int_eq(pid_open_same(pid, start), -ESRCH);
}
END_TEST

static void
add(Suite *s, const char *name, const TTest *const *tests)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	for (; *tests != NULL; tests++)
		tcase_add_test(t, *tests);
	suite_add_tcase(s, t);
}

int
main(void)
{
	const TTest *const record[] = {
		a_record_is_read_back_as_it_was,
		an_update_that_is_shorter_leaves_nothing_of_the_old,
		no_record_is_enoent,
		a_line_break_cannot_forge_a_field,
		NULL,
	};
	const TTest *const rest[] = {
		slots_are_each_taken_once,
		an_owner_that_asks_again_has_the_same_slot,
		ids_are_told_from_other_names,
		a_tree_is_removed_and_what_links_lead_to_stays,
		a_tree_deeper_than_our_descriptors_is_removed,
		version_2_alone_has_what_its_root_gives_away,
		version_2_has_what_reaches_its_group,
		version_1_alone_freezes_and_counts_by_its_controllers,
		a_hybrid_limits_by_version_1_and_kills_by_version_2,
		a_host_without_cgroups_has_none,
		arguments_are_compared_in_32_bits,
		what_programs_need_is_allowed,
		doors_are_closed,
		no_call_of_another_architecture_exists,
		a_process_is_known_by_its_start,
		NULL,
	};
	Suite *s = suite_create("runtimes");
	TCase *t = tcase_create("damage");

	add(s, "record", record);
	add(s, "rest", rest);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_damaged_record_is_no_record, 0,
	    sizeof(damaged) / sizeof(damaged[0]));
	suite_add_tcase(s, t);
	return unit_run(s);
}
