/*
 * metrics.h - counts of requests for GET /metrics, by route: as many series
 * as there are routes and status codes, whatever clients ask for.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/front.h"
#include "daemon/http.h"
#include "lib/buf.h"

struct metrics;

/* For the life of the process. */
struct metrics *metrics_new(const struct http_route *routes);
/* route NULL: none matched. */
void metrics_request(struct metrics *m, const struct http_route *route,
    int status, int64_t usec);
/* All of it, in the text format 0.0.4. 0, or -errno of the buffer. */
int metrics_print(const struct metrics *m, struct front *f, struct buf *out);

#endif
