/*
 * api_look.c - what can be seen of a sandbox: stats, environment, log.
 */
#include <math.h>
#include <string.h>

#include "daemon/api_impl.h"
#include "daemon/brokerc.h"
#include "daemon/jobs.h"
#include "lib/clock.h"
#include "lib/mem.h"

/*** Stats ***/

/* The broker's answer comes in any case, so it outlives the request. */
struct stats_ask {
	struct http_req *r; /* NULL: the client is gone */
	int64_t started_ms;
};

static void
stats_gone(void *arg)
{
	struct stats_ask *ask = arg;

	ask->r = NULL;
}

static double
round2(double x)
{
	return round(x * 100) / 100;
}

static json_t *
stats_json(const struct rt_stats *s, int64_t started_ms)
{
	double up =
	    started_ms > 0 ? (double)(clock_real_ms() - started_ms) / 1000 : 0;
	double cpu = up > 0 ? (double)s->cpu_usec / 1e4 / up : 0;
	double memory = s->memory_limit > 0
	    ? 100 * (double)s->memory_bytes / (double)s->memory_limit
	    : 0;

	return json_pack("{s:f,s:I,s:I,s:f,s:I,s:I,s:I,s:f,"
			 "s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
	    "cpu_percent", round2(cpu), "memory_usage_bytes",
	    (json_int_t)s->memory_bytes, "memory_limit_bytes",
	    (json_int_t)s->memory_limit, "memory_percent", round2(memory),
	    "network_rx_bytes", (json_int_t)s->net_rx, "network_tx_bytes",
	    (json_int_t)s->net_tx, "pids", (json_int_t)s->pids,
	    "uptime_seconds", round2(up), "cpu_usec", (json_int_t)s->cpu_usec,
	    "memory_peak_bytes", (json_int_t)s->memory_peak, "pids_limit",
	    (json_int_t)s->pids_limit, "io_read_bytes",
	    (json_int_t)s->io_rbytes, "io_write_bytes",
	    (json_int_t)s->io_wbytes, "disk_usage_bytes",
	    (json_int_t)s->disk_bytes, "disk_limit_bytes",
	    (json_int_t)s->disk_limit);
}

static void
stats_done(void *arg, struct broker_answer *a)
{
	struct stats_ask *ask = arg;
	struct http_req *r = ask->r;
	struct err e;

	if (r != NULL)
		http_set_user(r, NULL, NULL);
	if (r == NULL)
		; /* nobody to tell */
	else if (broker_failed(a, &e) < 0)
		http_error(
		    r, 500, "failed to retrieve sandbox stats: %s", e.text);
	else
		http_json(r, 200, stats_json(&a->rep.stats, ask->started_ms));
	free(ask);
}

void
api_stats(struct http_req *r)
{
	const struct sandbox *sb = api_sandbox(r);
	struct broker_req req = { .op = BROKER_STATS };
	struct stats_ask *ask;

	if (sb == NULL)
		return;
	ask = xcalloc(1, sizeof(*ask));
	ask->r = r;
	/* one from the pool had run before it was anybody's */
	ask->started_ms = sb->started_ms;
	if (sb->started_ms > 0 && sb->created_ms > sb->started_ms)
		ask->started_ms = sb->created_ms;
	http_set_user(r, ask, stats_gone);
	(void)str_copy(req.id, sb->id, sizeof(req.id));
	brokerc_ask(api_front(r)->broker, &req, true, stats_done, ask);
}

/*** Environment ***/

void
api_env_get(struct http_req *r)
{
	const struct sandbox *sb = api_sandbox(r);

	if (sb != NULL)
		http_json(r, 200, json_incref(sb->env));
}

static const char *
bad_value(const json_t *env)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)env, key, v)
		if (!json_is_string(v) ||
		    strlen(json_string_value(v)) != json_string_length(v))
			return key;
	return NULL;
}

void
api_env_put(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	const char *bad;
	struct err e;
	json_t *env;

	if (sb == NULL || (env = api_object(r, false)) == NULL)
		return;
	bad = bad_value(env);
	if (bad != NULL)
		http_error(r, 400,
		    API_BAD_BODY ": %s: expected a string without a NUL byte",
		    bad);
	else if (sandbox_replace_env(sb, env, &e) != 0)
		api_fail(r, &e, "env");
	else
		http_json(r, 200, json_incref(sb->env));
	json_decref(env);
}

/*** Log ***/

/* By id, not by pointer: the sandbox may be destroyed while it is read. */
struct log_read {
	char id[RT_ID_MAX];
	uint64_t off, end;
};

static void
log_more(struct http_req *r)
{
	static char block[65536];
	struct log_read *l = http_user(r);
	struct sandbox *sb = sandbox_by_id(api_front(r), l->id);
	size_t queued = 0;

	while (sb != NULL && l->off < l->end && queued < sizeof(block) * 4) {
		size_t want = l->end - l->off < sizeof(block)
		    ? (size_t)(l->end - l->off)
		    : sizeof(block);
		ssize_t n = sandbox_log_read(sb, l->off, block, want);

		if (n <= 0) {
			sb = NULL; /* it was cut meanwhile */
			break;
		}
		queued = http_send(r, block, (size_t)n);
		l->off += (uint64_t)n;
	}
	if (l->off == l->end)
		http_end(r);
	else if (sb == NULL)
		http_abort(r);
}

void
api_log(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	struct log_read *l;

	if (sb == NULL)
		return;
	l = xcalloc(1, sizeof(*l));
	(void)str_copy(l->id, sb->id, sizeof(l->id));
	l->end = sandbox_log_size(sb);
	http_set_user(r, l, free);
	http_add_header(r, "X-Content-Type-Options", "nosniff");
	http_begin(r, 200, "text/plain; charset=utf-8", (int64_t)l->end);
	if (strcmp(http_method(r), "HEAD") == 0) {
		http_end(r);
		return;
	}
	http_on_drain(r, log_more);
	log_more(r);
}
