/*
 * btime.h - when a file was made. A file that was removed leaves its number
 * to the next one, which is told from it by this.
 */
#ifndef AGENT_BTIME_H
#define AGENT_BTIME_H

#include <stdint.h>

/* Nanoseconds of real time; 0: its file system does not say. */
int64_t btime_ns(int fd);

#endif
