/*
 * check_impl.h - the report, and the probes of the host (check_host.c).
 */
#ifndef DAEMON_CHECK_IMPL_H
#define DAEMON_CHECK_IMPL_H

#include <stdio.h>

#include "daemon/config.h"

struct report {
	const struct config *cfg;
	FILE *to;
	int costs; /* what works less well */
	int fatal; /* what sbxd cannot do without */
};

/* One line each; cost and fatal sentences say what it means. */
void report_ok(struct report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void report_cost(struct report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void report_fatal(struct report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void check_fuse(struct report *r);
void check_namespaces(struct report *r);
void check_idmap(struct report *r);
void check_nftables(struct report *r);

#endif
