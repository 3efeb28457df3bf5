/*
 * native.h - what the native runtime offers beside struct runtime.
 */
#ifndef RUNTIMES_NATIVE_H
#define RUNTIMES_NATIVE_H

#include "lib/err.h"
#include "runtimes/runtime.h"

/*
 * Destroys every sandbox and takes away what init made: the pinned mount
 * namespace, the groups, our directories under run_dir. No broker may run.
 * What lies in data_dir/layers stays.
 */
int native_undo(const struct rt_env *env, struct err *e);

#endif
