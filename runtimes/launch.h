/*
 * launch.h - a new process 1 for a sandbox: cloned, its ids mapped, its groups
 * and its disk made and mounted where they are not yet, its agent running when
 * this returns.
 */
#ifndef RUNTIMES_LAUNCH_H
#define RUNTIMES_LAUNCH_H

#include <stdbool.h>

#include "lib/err.h"
#include "runtimes/record.h"

/*
 * In state RECORD_CREATING nothing is there yet. Sets pid, start, netns and
 * boot of r. On failure no process is left; what was mounted is.
 */
int launch(const char *id, struct record *r, bool files, struct err *e);

#endif
