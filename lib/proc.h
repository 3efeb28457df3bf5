/*
 * proc.h - starting programs, and what ps shows of us.
 */
#ifndef LIB_PROC_H
#define LIB_PROC_H

#include <stddef.h>
#include <sys/types.h>

/* Descriptors 0, 1, 2 and what a program of ours is given: few. */
#define PROC_FDS_MAX 64

struct proc_spec {
	const char *path;
	char *const *argv;
	char *const *envp; /* NULL: ours */
	const int *fds;	   /* fds[i] becomes descriptor i; -1: /dev/null */
	size_t nfds;	   /* at least 3 */
	/* Runs in the child, with our descriptors still in place: 0 or
	 * -errno. May be NULL. */
	int (*prepare)(void *arg);
	void *arg;
};

/*
 * Starts a program with these descriptors and no other, signals default and
 * unblocked. What fails in the child before its exec is the answer here:
 * 0 and *ret_pid, or -errno and no child is left.
 */
int proc_spawn(const struct proc_spec *s, pid_t *ret_pid);

/*
 * Once, first in main: remembers where ps looks. Moves the environment, whose
 * room the title may need; pointers from getenv taken before are stale.
 */
void proc_title_init(char **argv);
/* What ps shows in place of argv (which is lost), and the process's name. */
void proc_title(const char *title);

#endif
