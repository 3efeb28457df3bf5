#include "daemon/api.h"

#include <stdio.h>
#include <string.h>

#include "daemon/api_files.h"
#include "daemon/api_impl.h"
#include "daemon/metrics.h"

#define HEAD_TIMEOUT_MS 10000
#define IDLE_TIMEOUT_MS 300000
#define WRITE_TIMEOUT_MS 60000
#define BODY_MIN_RATE 512 /* bytes a second, over each HEAD_TIMEOUT_MS */

/* A route without a body of its own. */
#define ROUTE(m, p, fn, text)                                                 \
	{                                                                     \
		.method = (m), .path = (p), .handle = (fn), .summary = (text) \
	}

/* One whose body is JSON. */
#define ROUTE_BODY(m, p, fn, text)                          \
	{                                                   \
		.method = (m), .path = (p), .handle = (fn), \
		.body_max = API_BODY_MAX, .summary = (text) \
	}

const struct http_route api_routes[] = {
	ROUTE("GET", "/health", api_health, "The daemon's state in short"),
	ROUTE("GET", "/metrics", api_metrics, "Counters for Prometheus"),
	ROUTE("GET", "/profiles", api_profiles,
	    "What a sandbox can be made from"),
	ROUTE("GET", "/pools", api_pools,
	    "The pool of each profile (Unix socket only)"),
	{ .method = "PUT",
	    .path = "/pools/{profile}",
	    .body_max = API_BODY_MAX,
	    .too_big = API_BAD_BODY,
	    .handle = api_pool_resize,
	    .summary = "Keep count instances ready (Unix socket only)" },
	ROUTE("POST", "/pools/{profile}/flush", api_pool_flush,
	    "Replace all ready instances (Unix socket only)"),
	ROUTE("GET", "/events", api_events,
	    "What happens, as server-sent events"),
	ROUTE("GET", "/events/history", api_events_history,
	    "What happened, oldest first"),
	ROUTE("GET", "/openapi.json", api_openapi, "This description"),
	{ .method = "POST",
	    .path = "/sandboxes",
	    .body_max = API_BODY_MAX,
	    .too_big = API_BAD_BODY,
	    .handle = api_create,
	    .summary = "Make a sandbox; answers when it is running" },
	ROUTE("GET", "/sandboxes", api_list, "All sandboxes of the caller"),
	ROUTE("GET", "/sandboxes/{id}", api_get, "One sandbox, by id or name"),
	ROUTE_BODY("PATCH", "/sandboxes/{id}", api_patch,
	    "Change limits, ttl, labels, name"),
	ROUTE("DELETE", "/sandboxes/{id}", api_delete, "Destroy a sandbox"),
	ROUTE("GET", "/sandboxes/{id}/stats", api_stats, "What it uses"),
	ROUTE("POST", "/sandboxes/{id}/start", api_verb_start,
	    "Start a stopped sandbox"),
	ROUTE_BODY("POST", "/sandboxes/{id}/stop", api_verb_stop,
	    "End everything in it; its disk stays"),
	ROUTE_BODY("POST", "/sandboxes/{id}/restart", api_verb_restart,
	    "Stop, then start"),
	ROUTE("POST", "/sandboxes/{id}/pause", api_verb_pause,
	    "Freeze what runs in it"),
	ROUTE("POST", "/sandboxes/{id}/resume", api_verb_resume,
	    "Go on after a pause"),
	{ .method = "POST",
	    .path = "/sandboxes/{id}/exec",
	    .body_max = API_EXEC_BODY_MAX,
	    .handle = api_exec,
	    .summary = "Run a command; with Accept: text/event-stream its "
		       "output comes as it is written" },
	ROUTE("GET", "/sandboxes/{id}/env", api_env_get,
	    "The environment of what is started in it"),
	ROUTE_BODY("PUT", "/sandboxes/{id}/env", api_env_put,
	    "Replace that environment"),
	ROUTE("GET", "/sandboxes/{id}/log", api_log, "All output of its jobs"),
	ROUTE("GET", "/sandboxes/{id}/ws", api_ws,
	    "A WebSocket to its agent; service=files: its files by handle; "
	    "quiet=1: without counting as use of it"),
	ROUTE("GET", "/tree/ws", api_tree_ws,
	    "A WebSocket with the messages of the mount's tree"),
	ROUTE("GET", "/sandboxes/{id}/ports", api_ports,
	    "What is exposed on this host"),
	ROUTE_BODY("POST", "/sandboxes/{id}/ports/{port}/expose", api_expose,
	    "Wait for who listens there, and open a port of this host"),
	ROUTE("DELETE", "/sandboxes/{id}/ports/{port}/expose", api_unexpose,
	    "Close it and cut its connections"),
	{ .method = HTTP_ANY,
	    .path = "/sandboxes/{id}/ports/{port}",
	    .stream = true,
	    .handle = api_proxy,
	    .summary = "As below, of the path /" },
	{ .method = HTTP_ANY,
	    .path = "/sandboxes/{id}/ports/{port}/*",
	    .stream = true,
	    .raw = true,
	    .handle = api_proxy,
	    .summary = "Pass the request on to who listens there" },
	ROUTE("GET", "/sandboxes/{id}/files/*", api_files_get,
	    "A file's bytes, or a directory as a list or a tar"),
	ROUTE("HEAD", "/sandboxes/{id}/files/*", api_files_head,
	    "A file's size and time"),
	{ .method = "PUT",
	    .path = "/sandboxes/{id}/files/*",
	    .stream = true,
	    .handle = api_files_put,
	    .summary = "Write a file, whole or not at all" },
	ROUTE("DELETE", "/sandboxes/{id}/files/*", api_files_delete,
	    "Remove a file or a directory"),
	{ .method = NULL },
};

/* One server a process: static, so that what hangs on it is never lost. */
static struct api the_api;

static void
count(void *arg, const struct http_route *route, int status, int64_t usec)
{
	const struct api *api = arg;

	if (route == NULL || route->handle != api_metrics)
		metrics_request(api->metrics, route, status, usec);
}

int
api_start(struct front *f, int unix_fd, int tcp_fd, struct err *e)
{
	const struct http_conf conf = {
		.routes = api_routes,
		.arg = &the_api,
		.head_timeout_ms = HEAD_TIMEOUT_MS,
		.idle_timeout_ms = IDLE_TIMEOUT_MS,
		.body_min_rate = BODY_MIN_RATE,
		.write_timeout_ms = WRITE_TIMEOUT_MS,
		.admit = api_admit,
		.done = count,
	};

	the_api.f = f;
	if (the_api.metrics == NULL)
		the_api.metrics = metrics_new(api_routes);
	f->http = http_new(f->loop, &conf);
	if (http_listen(f->http, unix_fd, true, e) != 0)
		return -1;
	if (tcp_fd < 0)
		return 0;
	return f->tls != NULL ? http_listen_tls(f->http, tcp_fd, f->tls, e)
			      : http_listen(f->http, tcp_fd, false, e);
}
