/*
 * proc and jail: programs that are started, and what a process gives up.
 * Jails are for good, so each is tried in a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/jail.h"
#include "lib/proc.h"
#include "tests/unit/unit.h"

#define NOBODY 65534

/*** Programs ***/

static char output[4096];

/* The shell's answer to a script, with fd as its descriptor 3 where >= 0. */
static const char *
shell(const char *script, int fd, char *const *envp)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	int p[2], fds[4] = { -1, -1, -1, fd }, status;
	struct proc_spec s = { .path = "/bin/sh",
		.argv = (char *const *)(uintptr_t)argv,
		.envp = envp,
		.fds = fds,
		.nfds = fd >= 0 ? 4 : 3 };
	pid_t pid;
	ssize_t n;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	fds[1] = p[1];
	ck_assert_int_eq(proc_spawn(&s, &pid), 0);
	close(p[1]);
	n = fd_read_full(p[0], output, sizeof(output) - 1);
	close(p[0]);
	ck_assert_int_ge(n, 0);
	output[n] = '\0';
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return output;
}

START_TEST(a_program_has_the_descriptors_it_is_given)
{
	int p[2];

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_eq(fd_write_full(p[1], "hi\n", 3), 0);
	ck_assert_str_eq(
	    shell("read x <&3; echo got $x", p[0], NULL), "got hi\n");
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(a_program_has_no_other_descriptor)
{
	int stray[8], i;

	for (i = 0; i < 8; i++)
		stray[i] = dup(STDERR_FILENO); /* not CLOEXEC */
	/* 0 to 2, and the one that ls has of the directory */
	ck_assert_str_eq(
	    shell("ls /proc/self/fd | tr '\\n' ' '", -1, NULL), "0 1 2 3 ");
	for (i = 0; i < 8; i++)
		close(stray[i]);
}
END_TEST

START_TEST(a_descriptor_of_minus_one_is_dev_null)
{
	ck_assert_str_eq(
	    shell("readlink /proc/self/fd/0", -1, NULL), "/dev/null\n");
}
END_TEST

START_TEST(descriptors_may_change_places)
{
	const char *argv[] = { "sh", "-c", "echo one; echo two >&2", NULL };
	int a[2], b[2], fds[3], saved[2], status;
	struct proc_spec s = { .path = "/bin/sh",
		.argv = (char *const *)(uintptr_t)argv,
		.fds = fds,
		.nfds = 3 };
	char text[8] = "";
	pid_t pid;

	saved[0] = dup(1);
	saved[1] = dup(2);
	ck_assert(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0);
	dup2(a[1], 1);
	dup2(b[1], 2);
	fds[0] = -1;
	fds[1] = 2; /* crosswise */
	fds[2] = 1;
	ck_assert_int_eq(proc_spawn(&s, &pid), 0);
	waitpid(pid, &status, 0);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	ck_assert_int_eq(fd_read_full(a[0], text, 4), 4);
	ck_assert_str_eq(text, "two\n");
	ck_assert_int_eq(fd_read_full(b[0], text, 4), 4);
	ck_assert_str_eq(text, "one\n");
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
	close(saved[0]), close(saved[1]);
}
END_TEST

START_TEST(a_program_has_the_environment_it_is_given)
{
	char *const env[] = { (char[]){ "ONLY=this" }, NULL };

	ck_assert_str_eq(
	    shell("tr '\\0' ' ' </proc/self/environ", -1, env), "ONLY=this ");
}
END_TEST

START_TEST(a_program_begins_with_default_signals)
{
	sigset_t all;

	(void)signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	ck_assert_str_eq(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status | "
			       "tr -d '\\t'",
			     -1, NULL),
	    "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}
END_TEST

static int
refuse(void *arg)
{
	return *(int *)arg;
}

START_TEST(what_fails_before_the_program_is_the_answer)
{
	const char *argv[] = { "x", NULL };
	int fds[3] = { -1, -1, -1 }, why = -EXDEV;
	struct proc_spec s = { .path = "/nope/x",
		.argv = (char *const *)(uintptr_t)argv,
		.fds = fds,
		.nfds = 3 };
	pid_t pid = 77;

	ck_assert_int_eq(proc_spawn(&s, &pid), -ENOENT);
	s.path = "/etc/passwd";
	ck_assert_int_eq(proc_spawn(&s, &pid), -EACCES);
	s.path = "/bin/true";
	s.prepare = refuse;
	s.arg = &why;
	ck_assert_int_eq(proc_spawn(&s, &pid), -EXDEV);
	s.prepare = NULL;
	fds[1] = 4000;
	ck_assert_int_eq(proc_spawn(&s, &pid), -EBADF);
	s.nfds = 2;
	ck_assert_int_eq(proc_spawn(&s, &pid), -EINVAL);
	ck_assert_int_eq(pid, 77);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/*** Jails ***/

/* The exit status of fn in a child; 100 + n when signal n ended it. */
static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	/* not _exit, before which a sanitizer asks for a signal stack */
	if (pid == 0)
		(void)syscall(SYS_exit_group, fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* How a line of /proc/self/status goes on. */
static bool
status_is(const char *key, const char *want)
{
	char text[4096], *p;
	ssize_t n =
	    fd_read_at(AT_FDCWD, "/proc/self/status", text, sizeof(text));

	return n > 0 && (p = strstr(text, key)) != NULL &&
	    strncmp(p + strlen(key), want, strlen(want)) == 0;
}

static int
become_nobody(void)
{
	static const gid_t groups[] = { NOBODY };

	if (jail_ids(NOBODY, NOBODY, groups, 1) != 0)
		return 1;
	if (getuid() != NOBODY || getegid() != NOBODY ||
	    getgroups(0, NULL) != 1)
		return 2;
	if (setuid(0) == 0 || setgid(0) == 0 ||
	    open("/etc/shadow", O_RDONLY) >= 0)
		return 3;
	if (!status_is("\nCapInh:\t", "0000000000000000\n") ||
	    !status_is("\nCapPrm:\t", "0000000000000000\n") ||
	    !status_is("\nCapEff:\t", "0000000000000000\n") ||
	    !status_is("\nCapBnd:\t", "0000000000000000\n") ||
	    !status_is("\nCapAmb:\t", "0000000000000000\n"))
		return 4;
	return 0;
}

static int
hide(void)
{
	struct rlimit rl;

	if (jail_hide() != 0 || prctl(PR_GET_DUMPABLE) != 0)
		return 1;
	return getrlimit(RLIMIT_CORE, &rl) != 0 || rl.rlim_max != 0;
}

static int
no_new_privs(void)
{
	return jail_no_new_privs() != 0 || !status_is("\nNoNewPrivs:\t", "1\n");
}

/* With this filter nothing but these and what is said here works. */
static const struct jail_call calls[] = {
	JAIL_CALL(exit_group),
	JAIL_CALL(getpid),
	JAIL_CALL_IF(socket, 0, ~(uint32_t)0, AF_UNIX),
	JAIL_CALL_IF(socket, 0, ~(uint32_t)0, AF_INET),
	JAIL_CALL_IF(clone, 0, CLONE_THREAD, CLONE_THREAD),
};

static int
filter(void)
{
	return jail_no_new_privs() != 0 ||
	    jail_filter(calls, sizeof(calls) / sizeof(calls[0])) != 0;
}

static int
allowed_calls(void)
{
	if (filter() != 0)
		return 1;
	return getpid() <= 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0 ||
	    socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int
other_calls(void)
{
	if (filter() != 0)
		return 1;
	if (syscall(SYS_getppid) != -1 || errno != ENOSYS)
		return 2;
	if (open("/etc/passwd", O_RDONLY) != -1 || errno != ENOSYS)
		return 3;
	if (socket(AF_NETLINK, SOCK_RAW, 0) != -1 || errno != ENOSYS)
		return 4;
	return fork() != -1;
}

/* The kernel looks at 32 bits of a family, and so must the filter. */
static int
upper_half(void)
{
	if (filter() != 0)
		return 1;
	if (syscall(SYS_socket, (1L << 32) | AF_NETLINK, SOCK_RAW, 0) != -1)
		return 2;
	return syscall(SYS_socket, (1L << 32) | AF_UNIX, SOCK_STREAM, 0) < 0;
}

#if defined(__x86_64__)
/* int 0x80 with getpid of the i386 table. */
static int
other_abi(void)
{
	long r = 20;

	if (filter() != 0)
		return 1;
	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
	return 2;
}

/* x32: the same architecture, another bit in the number. */
static int
x32(void)
{
	if (filter() != 0)
		return 1;
	return syscall(0x40000000 | SYS_getpid) != -1;
}
#endif

static int
filter_without_no_new_privs(void)
{
	if (setuid(NOBODY) != 0)
		return 1;
	return jail_filter(calls, 1) != -EACCES;
}

static int
too_long_a_filter(void)
{
	static struct jail_call many[4096];

	return jail_filter(many, 4096) != -E2BIG;
}

START_TEST(who_becomes_nobody_keeps_nothing)
{
	if (geteuid() == 0)
		ck_assert_int_eq(in_child(become_nobody), 0);
}
END_TEST

START_TEST(a_hidden_process_leaves_no_core)
{
	ck_assert_int_eq(in_child(hide), 0);
}
END_TEST

START_TEST(no_new_privileges_are_for_good)
{
	ck_assert_int_eq(in_child(no_new_privs), 0);
}
END_TEST

START_TEST(a_filter_lets_through_what_it_lists)
{
	ck_assert_int_eq(in_child(allowed_calls), 0);
}
END_TEST

START_TEST(a_filter_says_enosys_to_everything_else)
{
	ck_assert_int_eq(in_child(other_calls), 0);
}
END_TEST

START_TEST(a_filter_compares_as_many_bits_as_the_kernel)
{
	ck_assert_int_eq(in_child(upper_half), 0);
}
END_TEST

START_TEST(another_abi_is_no_way_around_a_filter)
{
#if defined(__x86_64__)
	int how = in_child(other_abi);

	/* SIGSYS by the filter, SIGSEGV where the kernel has no i386 */
	ck_assert(how == 100 + SIGSYS || how == 100 + SIGSEGV);
	ck_assert_int_eq(in_child(x32), 0);
#endif
}
END_TEST

START_TEST(a_filter_needs_no_new_privileges_first)
{
	if (geteuid() == 0)
		ck_assert_int_eq(in_child(filter_without_no_new_privs), 0);
}
END_TEST

START_TEST(a_filter_too_long_for_the_kernel_is_refused)
{
	ck_assert_int_eq(in_child(too_long_a_filter), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_program_has_the_descriptors_it_is_given,
		a_program_has_no_other_descriptor,
		a_descriptor_of_minus_one_is_dev_null,
		descriptors_may_change_places,
		a_program_has_the_environment_it_is_given,
		a_program_begins_with_default_signals,
		what_fails_before_the_program_is_the_answer,
		who_becomes_nobody_keeps_nothing,
		a_hidden_process_leaves_no_core, no_new_privileges_are_for_good,
		a_filter_lets_through_what_it_lists,
		a_filter_says_enosys_to_everything_else,
		a_filter_compares_as_many_bits_as_the_kernel,
		another_abi_is_no_way_around_a_filter,
		a_filter_needs_no_new_privileges_first,
		a_filter_too_long_for_the_kernel_is_refused
	};
	Suite *s = suite_create("lib");

	UNIT_ADD(s, "proc", tests);
	return unit_run(s);
}
