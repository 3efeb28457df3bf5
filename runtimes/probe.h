/*
 * probe.h - what the host offers to native sandboxes, for sbxd --check.
 */
#ifndef RUNTIMES_PROBE_H
#define RUNTIMES_PROBE_H

#include "lib/buf.h"
#include "lib/err.h"
#include "runtimes/runtime.h"

/* A line a thing: what there is, or what its absence costs. -1 and a
 * sentence when sandboxes cannot run at all. Changes nothing. */
int probe_native(const struct rt_env *env, struct buf *report, struct err *e);

#endif
