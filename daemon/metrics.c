#include "daemon/metrics.h"

#include <inttypes.h>

#include "daemon/poolrun.h"
#include "lib/mem.h"

#define BUCKETS 9
#define STATUSES 24 /* different ones of one route */

static const struct {
	int64_t usec;
	const char *le;
} buckets[BUCKETS] = {
	{ 1000, "0.001" },
	{ 5000, "0.005" },
	{ 10000, "0.01" },
	{ 50000, "0.05" },
	{ 100000, "0.1" },
	{ 500000, "0.5" },
	{ 1000000, "1" },
	{ 5000000, "5" },
	{ INT64_MAX, "+Inf" },
};

struct series {
	uint64_t bucket[BUCKETS]; /* not cumulated */
	uint64_t count, usec;
	struct {
		int status;
		uint64_t n;
	} status[STATUSES];
};

struct metrics {
	const struct http_route *routes; /* borrowed */
	size_t n;
	struct series *series; /* n + 1: the last is what matched none */
};

struct metrics *
metrics_new(const struct http_route *routes)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	m->routes = routes;
	while (routes[m->n].method != NULL)
		m->n++;
	m->series = xcalloc(m->n + 1, sizeof(*m->series));
	return m;
}

void
metrics_request(
    struct metrics *m, const struct http_route *route, int status, int64_t usec)
{
	struct series *s =
	    &m->series[route != NULL ? (size_t)(route - m->routes) : m->n];
	size_t i = 0;

	while (usec > buckets[i].usec)
		i++;
	s->bucket[i]++;
	s->count++;
	s->usec += (uint64_t)usec;
	for (i = 0; i < STATUSES - 1; i++)
		if (s->status[i].status == status || s->status[i].n == 0)
			break;
	s->status[i].status = status;
	s->status[i].n++;
}

static const char *
method_of(const struct metrics *m, size_t i)
{
	return i < m->n ? m->routes[i].method : "other";
}

static const char *
path_of(const struct metrics *m, size_t i)
{
	return i < m->n ? m->routes[i].path : "other";
}

static int
head(struct buf *out, const char *name, const char *type, const char *help)
{
	return buf_addf(
	    out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int
print_counts(const struct metrics *m, struct buf *out)
{
	int rc = head(out, "sandboxd_requests_total", "counter",
	    "HTTP requests by route and status.");

	for (size_t i = 0; i <= m->n && rc == 0; i++)
		for (size_t j = 0; j < STATUSES && rc == 0; j++)
			if (m->series[i].status[j].n > 0)
				rc = buf_addf(out,
				    "sandboxd_requests_total{method=\"%s\","
				    "path=\"%s\",status=\"%d\"} %" PRIu64 "\n",
				    method_of(m, i), path_of(m, i),
				    m->series[i].status[j].status,
				    m->series[i].status[j].n);
	return rc;
}

static int
print_durations(const struct metrics *m, struct buf *out)
{
	static const char name[] = "sandboxd_request_duration_seconds";
	int rc = head(out, name, "histogram", "Time until the answer's end.");

	for (size_t i = 0; i <= m->n && rc == 0; i++) {
		const struct series *s = &m->series[i];
		uint64_t sum = 0;

		if (s->count == 0)
			continue;
		for (size_t j = 0; j < BUCKETS && rc == 0; j++) {
			sum += s->bucket[j];
			rc = buf_addf(out,
			    "%s_bucket{method=\"%s\",path=\"%s\","
			    "le=\"%s\"} %" PRIu64 "\n",
			    name, method_of(m, i), path_of(m, i), buckets[j].le,
			    sum);
		}
		if (rc == 0)
			rc = buf_addf(out,
			    "%s_sum{method=\"%s\",path=\"%s\"} %.6f\n"
			    "%s_count{method=\"%s\",path=\"%s\"} %" PRIu64 "\n",
			    name, method_of(m, i), path_of(m, i),
			    (double)s->usec / 1e6, name, method_of(m, i),
			    path_of(m, i), s->count);
	}
	return rc;
}

/*** The pool and the sandboxes ***/

static void
print_ready(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	(void)buf_addf(arg, "sandboxd_pool_ready{profile=\"%s\"} %" PRId64 "\n",
	    p->name, pp->ready);
}

static void
print_claims(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	(void)buf_addf(arg,
	    "sbxd_pool_claims_total{profile=\"%s\",result=\"hit\"} %" PRIu64
	    "\n"
	    "sbxd_pool_claims_total{profile=\"%s\",result=\"miss\"} %" PRIu64
	    "\n",
	    p->name, pp->hits, p->name, pp->misses);
}

static void
print_refills(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	(void)buf_addf(arg,
	    "sbxd_pool_refills_total{profile=\"%s\"} %" PRIu64 "\n", p->name,
	    pp->refills);
}

static const struct {
	const char *name, *type, *help;
	void (*print)(
	    void *arg, const struct profile *p, const struct pool_profile *pp);
} pools[] = {
	{ "sandboxd_pool_ready", "gauge", "Instances ready to be claimed.",
	    print_ready },
	{ "sbxd_pool_claims_total", "counter", "Claims of the pool.",
	    print_claims },
	{ "sbxd_pool_refills_total", "counter", "Instances started for it.",
	    print_refills },
};

static int
print_front(struct front *f, struct buf *out)
{
	int rc = head(out, "sandboxd_sandboxes_active", "gauge",
	    "Sandboxes that are not destroyed.");

	if (rc == 0)
		rc = buf_addf(
		    out, "sandboxd_sandboxes_active %zu\n", f->nsandboxes);
	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		if (rc == 0)
			rc = head(
			    out, pools[i].name, pools[i].type, pools[i].help);
		poolrun_each(f, pools[i].print, out);
	}
	if (rc == 0)
		rc = head(out, "sandboxd_sandbox_creates_total", "counter",
		    "Sandboxes made, from the pool or not.");
	if (rc == 0)
		rc = buf_addf(out,
		    "sandboxd_sandbox_creates_total{method=\"warm\"} %" PRIu64
		    "\n"
		    "sandboxd_sandbox_creates_total{method=\"cold\"} %" PRIu64
		    "\n",
		    f->creates_warm, f->creates_cold);
	if (rc == 0)
		rc = head(out, "sandboxd_sandbox_destroys_total", "counter",
		    "Sandboxes destroyed.");
	if (rc == 0)
		rc = buf_addf(out,
		    "sandboxd_sandbox_destroys_total %" PRIu64 "\n",
		    f->destroys);
	return rc;
}

int
metrics_print(const struct metrics *m, struct front *f, struct buf *out)
{
	int rc = print_front(f, out);

	if (rc == 0)
		rc = print_counts(m, out);
	if (rc == 0)
		rc = print_durations(m, out);
	return rc;
}
