/*
 * launch.h - a new process 1 for a sandbox: cloned, its ids mapped, its disk
 * mounted if it is not yet, its agent running when this returns.
 */
#ifndef RUNTIMES_LAUNCH_H
#define RUNTIMES_LAUNCH_H

#include <stdbool.h>

#include "lib/err.h"
#include "runtimes/record.h"

/*
 * Needs the groups of id, and its directories. Sets pid, start, netns and
 * boot of r. On failure no process is left; what was mounted is.
 */
int launch(const char *id, struct record *r, bool files, struct err *e);

#endif
