#include "runtimes/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"

#define STAT_START 22 /* the field, counted from 1 */
#define STAT_STATE 3

int
pid_open(pid_t pid)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* The name, field 2, may hold blanks and parentheses: count from its end. */
int
pid_start_time(int proc, uint64_t *ret_start)
{
	char text[1024], *p;
	ssize_t n = fd_read_at(proc, "stat", text, sizeof(text));
	int i;

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	if ((p = strrchr(text, ')')) == NULL || p[1] == '\0')
		return -EPROTO;
	if (p[2] == 'Z' || p[2] == 'X')
		return -ESRCH;
	for (i = STAT_STATE - 1; i < STAT_START && p != NULL; i++)
		p = strchr(p + 1, ' ');
	if (p == NULL)
		return -EPROTO;
	*ret_start = strtoull(p + 1, NULL, 10);
	return 0;
}

int
pid_open_same(pid_t pid, uint64_t start)
{
	cleanup_fd int fd = -1;
	uint64_t now;
	int err;

	if (pid <= 0)
		return -ESRCH;
	if ((fd = pid_open(pid)) < 0)
		return fd;
	/* the descriptor stays this process's even if the number changes */
	if ((err = pid_start_time(fd, &now)) < 0)
		return err;
	return now == start ? steal_fd(&fd) : -ESRCH;
}

int
pid_fd_same(pid_t pid, uint64_t start)
{
	cleanup_fd int fd = -1, proc = -1;

	if (pid <= 0)
		return -ESRCH;
	if ((fd = (int)syscall(SYS_pidfd_open, pid, 0)) < 0)
		return -errno;
	/* looked at after the pidfd was taken: so both are the same */
	if ((proc = pid_open_same(pid, start)) < 0)
		return proc;
	return steal_fd(&fd);
}

int
pid_boot_id(char *ret, size_t room)
{
	ssize_t n =
	    fd_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret, room);

	if (n <= 0)
		return n < 0 ? (int)n : -EPROTO;
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}
