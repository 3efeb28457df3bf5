/*
 * instance.h - the native runtime's functions that look at instances and
 * change none: see runtime.h.
 */
#ifndef RUNTIMES_INSTANCE_H
#define RUNTIMES_INSTANCE_H

#include "lib/err.h"
#include "runtimes/record.h"
#include "runtimes/runtime.h"

/* What a record says now, after a look at its process. */
void instance_info(const char *id, const struct record *r, struct rt_info *ret);
/* The record of one whose agent runs (RECORD_UP), and /proc/PID; both or
 * -1. The descriptor is the caller's. */
int instance_up(
    const char *id, struct record *ret, int *ret_proc, struct err *e);

int instance_stats(const char *id, struct rt_stats *ret, struct err *e);
int instance_trees(
    const char *id, struct rt_tree *ret, size_t *n, struct err *e);
int instance_stream(
    const char *id, const struct rt_stream *which, int *ret_fd, struct err *e);
int instance_sockets(
    const char *id, enum rt_socket what, int *ret_fds, size_t n, struct err *e);
int instance_list(
    int (*each)(const struct rt_info *, void *), void *arg, struct err *e);

#endif
