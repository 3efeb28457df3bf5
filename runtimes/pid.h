/*
 * pid.h - processes by their number and their start: a number alone may be
 * another's by now.
 */
#ifndef RUNTIMES_PID_H
#define RUNTIMES_PID_H

#include <stdint.h>
#include <sys/types.h>

/* The descriptor of /proc/PID, or -errno. */
int pid_open(pid_t pid);
/* When it started, from such a descriptor: 0, or -errno; ESRCH when it has
 * ended and waits to be reaped. */
int pid_start_time(int proc, uint64_t *ret_start);
/* pid_open of the process that started then, or -ESRCH. */
int pid_open_same(pid_t pid, uint64_t start);
/* A pidfd of the process that started then, or -ESRCH. */
int pid_fd_same(pid_t pid, uint64_t start);
/* The id of this boot of the kernel. */
int pid_boot_id(char *ret, size_t room);

#endif
