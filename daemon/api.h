/*
 * api.h - the HTTP door: the table of routes over the front.
 */
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include "daemon/front.h"
#include "daemon/http.h"

/* Ends with method NULL. */
extern const struct http_route api_routes[];

/*
 * Serves the API on listening sockets, which are owned from now on; tcp_fd
 * may be -1. Sets f->http, for http_quiet and http_free.
 */
int api_start(struct front *f, int unix_fd, int tcp_fd, struct err *e);

#endif
