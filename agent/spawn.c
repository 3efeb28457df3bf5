#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent/plain.h"
#include "lib/fd.h"

#define SHELL "/bin/sh"
#define SCRIPT_FD 3
#define SCRIPT_PATH "/dev/fd/3"
#define ARG_BYTES_MAX (128u << 10) /* the kernel's, of one argument */

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* Shared with the child, which runs in our memory until it executes. */
struct child {
	const struct spawn *s;
	int script_fd;		   /* -1: the script is an argument */
	bool exec_script;	   /* it has its own interpreter */
	const struct plain *plain; /* it needs none, or NULL */
	const char *step;	   /* where it failed */
	int code;
};

static int
run_steps(struct child *c)
{
	const struct spawn *s = c->s;
	char *const by_arg[] = { (char *)"sh", (char *)"-c",
		(char *)(uintptr_t)s->script, NULL };
	char *const by_file[] = { (char *)"sh", (char *)SCRIPT_PATH, NULL };
	char *const itself[] = { (char *)SCRIPT_PATH, NULL };
	sigset_t none;
	int in = s->in;

	(void)setsid();
	(void)umask(022);
	(void)setrlimit(RLIMIT_NOFILE, s->nofile);
	c->step = "/dev/null";
	if (in < 0 && (in = open("/dev/null", O_RDONLY)) < 0)
		return -1;
	c->step = "streams";
	if (dup2(in, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->err, 2) < 0)
		return -1;
	if (s->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		return -1;
	if (c->script_fd == SCRIPT_FD)
		(void)fcntl(SCRIPT_FD, F_SETFD, 0);
	else if (c->script_fd >= 0 && dup2(c->script_fd, SCRIPT_FD) < 0)
		return -1;
	(void)syscall(SYS_close_range, c->script_fd >= 0 ? 4U : 3U, ~0U, 0);
	c->step = s->cwd;
	if (chdir(s->cwd) < 0)
		return -1;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (c->plain != NULL)
		plain_exec(c->plain, s->env);
	c->step = c->exec_script ? "the script" : SHELL;
	if (c->exec_script)
		return (int)syscall(
		    SYS_execveat, SCRIPT_FD, "", itself, s->env, AT_EMPTY_PATH);
	return execve(SHELL, c->script_fd >= 0 ? by_file : by_arg, s->env);
}

static pid_t
start(struct child *c)
{
	pid_t pid = vfork();

	if (pid == 0) {
		(void)run_steps(c);
		c->code = errno;
		_exit(127);
	}
	return pid;
}

/* A file in memory that stays open in the job: by its path in /dev/fd the
 * shell, or the interpreter, reads it. */
static int
script_file(const struct spawn *s)
{
	cleanup_fd int fd = -1;
	int r;

	fd = memfd_create("script", MFD_CLOEXEC | MFD_EXEC);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("script", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if ((r = fd_write_full(fd, s->script, s->script_len)) < 0)
		return r;
	return steal_fd(&fd);
}

pid_t
spawn_job(const struct spawn *s, struct err *e)
{
	struct child c = { .s = s, .script_fd = -1 };
	cleanup_fd int script = -1;
	struct plain plain;
	pid_t pid;

	if (plain_split(&plain, s->script, s->script_len))
		c.plain = &plain;
	c.exec_script = s->script_len > 2 && memcmp(s->script, "#!", 2) == 0;
	if (c.exec_script || s->script_len >= ARG_BYTES_MAX ||
	    memchr(s->script, '\0', s->script_len) != NULL) {
		if ((script = script_file(s)) < 0) {
			(void)err_set(e, -script, "the script's file");
			return script;
		}
		c.script_fd = script;
	}
	if ((pid = start(&c)) < 0) {
		(void)err_set(e, errno, "a new process");
		return -e->code;
	}
	if (c.code == 0)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	(void)err_set(e, c.code, "%s", c.step);
	return -c.code;
}
