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

const struct http_route api_routes[] = {
	{ .method = "GET",
	    .path = "/health",
	    .handle = api_health,
	    .summary = "The daemon's state in short" },
	{ .method = "GET",
	    .path = "/metrics",
	    .handle = api_metrics,
	    .summary = "Counters for Prometheus" },
	{ .method = "GET",
	    .path = "/profiles",
	    .handle = api_profiles,
	    .summary = "What a sandbox can be made from" },
	{ .method = "GET",
	    .path = "/pools",
	    .handle = api_pools,
	    .summary = "The pool of each profile (Unix socket only)" },
	{ .method = "PUT",
	    .path = "/pools/{profile}",
	    .body_max = API_BODY_MAX,
	    .too_big = API_BAD_BODY,
	    .handle = api_pool_resize,
	    .summary = "Keep count instances ready (Unix socket only)" },
	{ .method = "POST",
	    .path = "/pools/{profile}/flush",
	    .handle = api_pool_flush,
	    .summary = "Replace all ready instances (Unix socket only)" },
	{ .method = "GET",
	    .path = "/events",
	    .handle = api_events,
	    .summary = "What happens, as server-sent events" },
	{ .method = "GET",
	    .path = "/events/history",
	    .handle = api_events_history,
	    .summary = "What happened, oldest first" },
	{ .method = "GET",
	    .path = "/openapi.json",
	    .handle = api_openapi,
	    .summary = "This description" },
	{ .method = "POST",
	    .path = "/sandboxes",
	    .body_max = API_BODY_MAX,
	    .too_big = API_BAD_BODY,
	    .handle = api_create,
	    .summary = "Make a sandbox; answers when it is running" },
	{ .method = "GET",
	    .path = "/sandboxes",
	    .handle = api_list,
	    .summary = "All sandboxes of the caller" },
	{ .method = "GET",
	    .path = "/sandboxes/{id}",
	    .handle = api_get,
	    .summary = "One sandbox, by id or name" },
	{ .method = "PATCH",
	    .path = "/sandboxes/{id}",
	    .body_max = API_BODY_MAX,
	    .handle = api_patch,
	    .summary = "Change limits, ttl, labels, name" },
	{ .method = "DELETE",
	    .path = "/sandboxes/{id}",
	    .handle = api_delete,
	    .summary = "Destroy a sandbox" },
	{ .method = "GET",
	    .path = "/sandboxes/{id}/stats",
	    .handle = api_stats,
	    .summary = "What it uses" },
	{ .method = "POST",
	    .path = "/sandboxes/{id}/start",
	    .handle = api_verb_start,
	    .summary = "Start a stopped sandbox" },
	{ .method = "POST",
	    .path = "/sandboxes/{id}/stop",
	    .body_max = API_BODY_MAX,
	    .handle = api_verb_stop,
	    .summary = "End everything in it; its disk stays" },
	{ .method = "POST",
	    .path = "/sandboxes/{id}/restart",
	    .body_max = API_BODY_MAX,
	    .handle = api_verb_restart,
	    .summary = "Stop, then start" },
	{ .method = "POST",
	    .path = "/sandboxes/{id}/pause",
	    .handle = api_verb_pause,
	    .summary = "Freeze what runs in it" },
	{ .method = "POST",
	    .path = "/sandboxes/{id}/resume",
	    .handle = api_verb_resume,
	    .summary = "Go on after a pause" },
	{ .method = "POST",
	    .path = "/sandboxes/{id}/exec",
	    .body_max = API_EXEC_BODY_MAX,
	    .handle = api_exec,
	    .summary = "Run a command; with Accept: text/event-stream its "
		       "output comes as it is written" },
	{ .method = "GET",
	    .path = "/sandboxes/{id}/env",
	    .handle = api_env_get,
	    .summary = "The environment of what is started in it" },
	{ .method = "PUT",
	    .path = "/sandboxes/{id}/env",
	    .body_max = API_BODY_MAX,
	    .handle = api_env_put,
	    .summary = "Replace that environment" },
	{ .method = "GET",
	    .path = "/sandboxes/{id}/log",
	    .handle = api_log,
	    .summary = "All output of its jobs" },
	{ .method = "GET",
	    .path = "/sandboxes/{id}/files/*",
	    .handle = api_files_get,
	    .summary = "A file's bytes, or a directory as a list or a tar" },
	{ .method = "HEAD",
	    .path = "/sandboxes/{id}/files/*",
	    .handle = api_files_head,
	    .summary = "A file's size and time" },
	{ .method = "PUT",
	    .path = "/sandboxes/{id}/files/*",
	    .stream = true,
	    .handle = api_files_put,
	    .summary = "Write a file, whole or not at all" },
	{ .method = "DELETE",
	    .path = "/sandboxes/{id}/files/*",
	    .handle = api_files_delete,
	    .summary = "Remove a file or a directory" },
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
		.done = count,
	};

	the_api.f = f;
	if (the_api.metrics == NULL)
		the_api.metrics = metrics_new(api_routes);
	f->http = http_new(f->loop, &conf);
	if (http_listen(f->http, unix_fd, true, e) != 0)
		return -1;
	return tcp_fd < 0 ? 0 : http_listen(f->http, tcp_fd, false, e);
}
