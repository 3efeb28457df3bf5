#include "runtimes/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/impl.h"
#include "runtimes/pid.h"

int
userns_map(int proc, uint32_t base)
{
	char text[64];
	int err;

	(void)snprintf(text, sizeof(text), "0 %u %u", base, ID_RANGE);
	if ((err = fd_write_at(proc, "uid_map", text)) < 0)
		return err;
	return fd_write_at(proc, "gid_map", text);
}

static int
map_and_open(pid_t pid, uint32_t base)
{
	cleanup_fd int proc = pid_open(pid);
	int err, fd;

	if (proc < 0)
		return proc;
	if ((err = userns_map(proc, base)) < 0)
		return err;
	fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A child is in it only until it is mapped. */
int
userns_new(uint32_t base)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	int fd;

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			(void)pause();
	}
	if (pid < 0)
		return -errno;
	fd = map_and_open(pid, base);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}
