/*
 * userns.h - a user namespace with a range of ids that nobody is in: what
 * mounts are mapped with while no process of the sandbox lives.
 */
#ifndef RUNTIMES_USERNS_H
#define RUNTIMES_USERNS_H

#include <stdint.h>

/* Maps 0 to base and ID_RANGE of them in a process's uid_map and gid_map. */
int userns_map(int proc, uint32_t base);
/* Its descriptor, or -errno. */
int userns_new(uint32_t base);

#endif
