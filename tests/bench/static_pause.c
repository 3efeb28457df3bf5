/*
 * The floor of an idle sandbox's memory: N processes that do nothing, each in
 * namespaces of its own of every kind that a sandbox has. Prints "ready" when
 * all are there, and ends them when stdin does.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES                                                   \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | \
	    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static pid_t
start(char *self)
{
	char *argv[] = { self, NULL };
	pid_t pid;

	pid = (pid_t)syscall(
	    SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid != 0)
		return pid;
	(void)close(0);
	(void)close(1);
	execve("/proc/self/exe", argv, NULL);
	_exit(127);
}

int
main(int argc, char **argv)
{
	int i, n = argc > 1 ? atoi(argv[1]) : 0;
	pid_t *pids;
	char c;

	if (n <= 0)
		for (;;)
			(void)pause();
	pids = calloc((size_t)n, sizeof(*pids));
	for (i = 0; pids != NULL && i < n; i++)
		if ((pids[i] = start(argv[0])) < 0) {
			perror("clone");
			break;
		}
	(void)sleep(1);
	puts(i == n ? "ready" : "failed");
	(void)fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	while (i-- > 0) {
		(void)kill(pids[i], SIGKILL);
		(void)waitpid(pids[i], NULL, 0);
	}
	free(pids);
	return 0;
}
