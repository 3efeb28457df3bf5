/*
 * seccomp.h - the filters of a sandbox, compiled once by libseccomp and
 * loaded as plain BPF in each child.
 *
 * Two programs, both loaded, the stricter answer counts: the first allows
 * what programs need and answers ENOSYS to everything else, so that libraries
 * fall back; the second refuses with EPERM what is never for a sandbox, and
 * the arguments of allowed calls that are doors.
 */
#ifndef RUNTIMES_SECCOMP_H
#define RUNTIMES_SECCOMP_H

#include <linux/filter.h>

#include "lib/err.h"

struct filters {
	struct sock_fprog allow;
	struct sock_fprog deny; /* loaded last: its errno wins */
};

/* Compiles both; the programs stay for the life of the process. */
int seccomp_compile(struct filters *ret, struct err *e);

#endif
