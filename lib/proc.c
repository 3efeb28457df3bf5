#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"

/* Where ps reads: the arguments, then the environment; all NUL-terminated. */
static char *title_start;
static char *title_end;

static void
reset_signals(void)
{
	/* the kernel's struct, whose zero is SIG_DFL: libc keeps signals 32
	 * and 33 from us, and posix_spawn of glibc leaves them ignored */
	static const unsigned long dfl[8];
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++) /* KILL, STOP: EINVAL */
		(void)syscall(SYS_rt_sigaction, sig, dfl, NULL, NSIG / 8);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All go above the targets first, so that no dup2 covers one still needed. */
static int
place_fds(const struct proc_spec *s, int null_fd, int *report)
{
	int high[PROC_FDS_MAX], base = (int)s->nfds;
	size_t i;

	if ((*report = fcntl(*report, F_DUPFD_CLOEXEC, base)) < 0)
		return -errno;
	for (i = 0; i < s->nfds; i++) {
		high[i] = fcntl(
		    s->fds[i] < 0 ? null_fd : s->fds[i], F_DUPFD_CLOEXEC, base);
		if (high[i] < 0)
			return -errno;
	}
	for (i = 0; i < s->nfds; i++)
		if (dup2(high[i], (int)i) < 0)
			return -errno;
	/* what others left open on us ends here */
	if (close_range((unsigned)base, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	return 0;
}

_Noreturn static void
child(const struct proc_spec *s, int report)
{
	/* prepare may go where there is none */
	int err = 0, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	reset_signals();
	if (s->prepare != NULL)
		err = s->prepare(s->arg);
	if (err == 0 && (err = place_fds(s, null_fd, &report)) == 0) {
		(void)execve(
		    s->path, s->argv, s->envp != NULL ? s->envp : environ);
		err = -errno;
	}
	(void)fd_write_full(report, &err, sizeof(err));
	_exit(127);
}

int
proc_spawn(const struct proc_spec *s, pid_t *ret_pid)
{
	cleanup_fd int get = -1;
	int p[2], err = 0;
	pid_t pid;

	if (s->nfds < 3 || s->nfds > PROC_FDS_MAX)
		return -EINVAL;
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	get = p[0];
	pid = fork();
	if (pid == 0)
		child(s, p[1]);
	if (pid < 0)
		err = -errno;
	(void)close(p[1]);
	if (err < 0)
		return err;
	if (fd_read_full(get, &err, sizeof(err)) == sizeof(err)) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return err;
	}
	*ret_pid = pid;
	return 0;
}

void
proc_title_init(char **argv)
{
	char *end, **env;
	size_t i, n = 0;

	title_start = end = argv[0];
	for (i = 0; argv[i] != NULL && argv[i] == end; i++)
		end += strlen(argv[i]) + 1;
	while (environ[n] != NULL)
		n++;
	env = xcalloc(n + 1, sizeof(*env));
	for (i = 0; i < n; i++) {
		if (environ[i] == end)
			end += strlen(environ[i]) + 1;
		env[i] = xstrdup(environ[i]);
	}
	title_end = end;
	environ = env;
}

/*
 * /proc/PID/cmdline ends at the arguments' end while the byte there is NUL,
 * else at the first NUL: so a longer title may go on into the environment.
 */
void
proc_title(const char *title)
{
	size_t n = strlen(title), room;

	(void)prctl(PR_SET_NAME, title, 0, 0, 0);
	if (title_start == NULL)
		return;
	room = (size_t)(title_end - title_start);
	if (n >= room)
		return;
	memset(title_start, 0, room);
	memcpy(title_start, title, n);
}
