/*
 * api_pool.c - the daemon itself: health, metrics, profiles, pools.
 */
#include <string.h>

#include "daemon/api_impl.h"
#include "daemon/metrics.h"
#include "daemon/poolrun.h"
#include "lib/mem.h"

#define LOOK_MS 10
#define LOOK_MAX_MS 60000 /* a resize that takes longer is said to fail */

/*** Reading ***/

static void
add_pool(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	(void)json_array_append_new(arg,
	    json_pack("{s:s,s:s,s:I,s:s,s:f,s:I,s:I,s:I,s:I,s:I,s:I}",
		"profile", p->name, "image", p->image, "ready",
		(json_int_t)pp->ready, "memory",
		p->memory_text != NULL ? p->memory_text : "", "cpu",
		(double)p->limits.cpu_milli / 1000, "min", (json_int_t)pp->min,
		"max", (json_int_t)pp->max, "starting",
		(json_int_t)pp->starting, "hits", (json_int_t)pp->hits,
		"misses", (json_int_t)pp->misses, "refills",
		(json_int_t)pp->refills));
}

static json_t *
pools(struct front *f)
{
	json_t *list = json_array();

	poolrun_each(f, add_pool, list);
	return list;
}

void
api_health(struct http_req *r)
{
	struct front *f = api_front(r);
	json_t *j = json_pack("{s:o,s:I,s:s}", "pool", pools(f), "sandboxes",
	    (json_int_t)f->nsandboxes, "status", "ok");

	if (f->cfg->node_id != NULL && f->cfg->node_id[0] != '\0')
		(void)json_object_set_new(
		    j, "node_id", json_string(f->cfg->node_id));
	http_json(r, 200, j);
}

void
api_metrics(struct http_req *r)
{
	const struct api *api = http_arg(r);
	cleanup_buf struct buf out = BUF_INIT;

	if (metrics_print(api->metrics, api->f, &out) != 0)
		http_error(r, 500, "metrics are too large");
	else
		http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8",
		    out.data, out.len);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(const struct profile *const *)a)->name,
	    (*(const struct profile *const *)b)->name);
}

void
api_profiles(struct http_req *r)
{
	const struct config *cfg = api_front(r)->cfg;
	cleanup_free const struct profile **all = NULL;
	const struct profile *p;
	json_t *list = json_array();
	size_t n = 0;

	TAILQ_FOREACH (p, &cfg->profiles, link)
		n++;
	all = xcalloc(n + 1, sizeof(*all));
	n = 0;
	TAILQ_FOREACH (p, &cfg->profiles, link)
		all[n++] = p;
	qsort(all, n, sizeof(*all), by_name);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list,
		    json_pack("{s:s,s:s,s:s,s:f,s:s,s:s,s:s}", "name",
			all[i]->name, "image", all[i]->image, "memory",
			all[i]->memory_text != NULL ? all[i]->memory_text : "",
			"cpu", (double)all[i]->limits.cpu_milli / 1000,
			"storage",
			all[i]->storage_text != NULL ? all[i]->storage_text
						     : "",
			"runtime", all[i]->runtime, "network",
			all[i]->network));
	http_json(r, 200, list);
}

void
api_pools(struct http_req *r)
{
	if (!http_is_unix(r))
		http_error(
		    r, 403, "admin routes are only accessible via Unix socket");
	else
		http_json(r, 200, pools(api_front(r)));
}

/*** Changing: answered when the pool is as asked ***/

struct pool_wait {
	struct http_req *r;
	uv_timer_t timer;
	char profile[RT_NAME_MAX];
	int64_t until_ms;
	int64_t at_least, at_most;
	bool resize, there, done;
};

static void
look(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	struct pool_wait *w = arg;

	if (strcmp(p->name, w->profile) != 0)
		return;
	w->there = true;
	w->done = pp->ready >= w->at_least && pp->ready <= w->at_most;
}

static void
on_look(uv_timer_t *t)
{
	struct pool_wait *w = t->data;
	struct front *f = api_front(w->r);
	const char *what = w->resize ? "resize" : "flush";

	w->there = w->done = false;
	poolrun_each(f, look, w);
	if (w->there && !w->done && (int64_t)uv_now(f->loop) < w->until_ms)
		return;
	(void)uv_timer_stop(t);
	if (w->done)
		http_json(w->r, 200, json_pack("{s:s}", "status", "ok"));
	else
		http_error(w->r, 500, "pool %s failed: %s", what,
		    w->there ? "its instances do not start"
			     : "the profile is gone");
}

static void
on_wait_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
free_wait(void *arg)
{
	struct pool_wait *w = arg;

	uv_close((uv_handle_t *)&w->timer, on_wait_closed);
}

static void
wait_for(struct http_req *r, bool resize, int64_t at_least, int64_t at_most)
{
	struct front *f = api_front(r);
	struct pool_wait *w = xcalloc(1, sizeof(*w));

	w->r = r;
	w->resize = resize;
	w->at_least = at_least;
	w->at_most = at_most;
	(void)str_copy(w->profile, http_var(r, 0), sizeof(w->profile));
	w->until_ms = (int64_t)uv_now(f->loop) + LOOK_MAX_MS;
	(void)uv_timer_init(f->loop, &w->timer);
	w->timer.data = w;
	http_set_user(r, w, free_wait);
	(void)uv_timer_start(&w->timer, on_look, 0, LOOK_MS);
}

struct pool_body {
	int64_t count;
};

const struct api_field api_pool_fields[] = {
	{ "count", API_INT, offsetof(struct pool_body, count),
	    "how many to keep ready", true },
	{ .name = NULL },
};

void
api_pool_resize(struct http_req *r)
{
	struct pool_body body = { 0 };
	struct err e;
	json_t *j;

	if (!api_admin(r))
		return;
	j = api_body(r, api_pool_fields, &body, false);
	if (j == NULL)
		return;
	json_decref(j);
	if (body.count < 0)
		http_error(r, 400, "count must be non-negative");
	else if (body.count > api_front(r)->cfg->pool_max_warm)
		http_error(r, 400,
		    "count %lld: over the limit of %lld "
		    "(pool.max_warm)",
		    (long long)body.count,
		    (long long)api_front(r)->cfg->pool_max_warm);
	else if (poolrun_set(api_front(r), http_var(r, 0), body.count,
		     &(struct pool_bounds){ -1, -1 }, &e) != 0)
		http_error(r, 500, "pool resize failed: %s", e.text);
	else
		wait_for(r, true, body.count, INT64_MAX);
}

static void
find_min(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	struct pool_wait *w = arg;

	if (strcmp(p->name, w->profile) == 0)
		w->at_least = pp->min;
}

void
api_pool_flush(struct http_req *r)
{
	struct pool_wait w = { .at_least = 0 };
	struct err e;

	if (!api_admin(r))
		return;
	if (poolrun_flush(api_front(r), http_var(r, 0), &e) != 0) {
		http_error(r, 500, "pool flush failed: %s", e.text);
		return;
	}
	(void)str_copy(w.profile, http_var(r, 0), sizeof(w.profile));
	poolrun_each(api_front(r), find_min, &w);
	wait_for(r, false, w.at_least, INT64_MAX);
}
