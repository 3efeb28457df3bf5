#include "daemon/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/errlog.h"
#include "daemon/ports.h"
#include "lib/words.h"

/* Of text on these files; what an agent says never makes them longer. */

/* On one line, whoever wrote s: a reason may quote a guest. */
static void
add_text(struct buf *b, const char *key, const char *s)
{
	(void)buf_addf(b, "%s ", key);
	errlog_escape(
	    b, *s != '\0' ? s : "-", *s != '\0' ? strlen(s) : 1, false);
	(void)buf_adds(b, "\n");
}

static void
add_int(struct buf *b, const char *key, int64_t n)
{
	(void)buf_addf(b, "%s %" PRId64 "\n", key, n);
}

/* "" where there is none. */
static void
add_known(struct buf *b, const char *key, bool known, int64_t n)
{
	if (known)
		add_int(b, key, n);
	else
		add_text(b, key, "");
}

/* Unix seconds with milliseconds; 0 is never. */
static void
add_time(struct buf *b, const char *key, int64_t ms)
{
	if (ms == 0)
		add_text(b, key, "");
	else
		(void)buf_addf(b, "%s %" PRId64 ".%03d\n", key, ms / 1000,
		    (int)(ms % 1000));
}

/* Thousandths as people write them: 1500 is 1.5. */
static void
milli_text(char text[32], int64_t milli)
{
	size_t n;

	n = (size_t)snprintf(
	    text, 32, "%" PRId64 ".%03d", milli / 1000, (int)(milli % 1000));
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	text[n] = '\0';
}

/*** The root ***/

void
value_top_status(struct buf *b, struct front *f, const struct caller *c)
{
	int64_t all = 0, running = 0;
	const struct sandbox *sb;

	TAILQ_FOREACH (sb, &f->sandboxes, link) {
		if (!caller_owns(c, sb))
			continue;
		all++;
		running += sb->state == SB_RUNNING;
	}
	add_int(b, "version", 1);
	add_int(b, "sandboxes", all);
	add_int(b, "running", running);
	add_int(b, "max", f->cfg->max_sandboxes);
	add_int(b, "since", f->since_ms / 1000);
}

void
value_profile(struct buf *b, const struct profile *p)
{
	char cpu[32], start[32];

	milli_text(cpu, p->limits.cpu_milli);
	milli_text(start, p->start_timeout_ms);
	add_text(b, "image", p->image);
	add_text(b, "runtime", p->runtime);
	add_int(b, "memory", p->limits.memory_bytes);
	add_text(b, "cpu", cpu);
	add_int(b, "pids", p->limits.pids);
	add_int(b, "storage", p->limits.storage_bytes);
	add_text(b, "network", p->network);
	add_int(b, "timeout", p->timeout_s);
	add_text(b, "start_timeout", start);
	add_int(b, "pool_min", p->pool_min);
	add_int(b, "pool_max", p->pool_max);
	add_text(b, "proxy", p->proxy);
}

void
value_pool_line(
    struct buf *b, const struct profile *p, const struct pool_profile *pp)
{
	(void)words_quote(b, p->name);
	(void)buf_addf(b,
	    " %" PRId64 " min=%" PRId64 " max=%" PRId64 " ready=%" PRId64
	    " hits=%" PRIu64 " misses=%" PRIu64 "\n",
	    pp->want, pp->min, pp->max, pp->ready, pp->hits, pp->misses);
}

/*** Create lines ***/

static void
add_arg(struct buf *b, const char *key, const char *value)
{
	cleanup_buf struct buf word = BUF_INIT;

	(void)buf_addf(&word, "%s=%s", key, value);
	(void)buf_adds(b, " ");
	(void)words_quote(b, buf_str(&word));
}

static void
add_arg_int(struct buf *b, const char *key, int64_t n, int64_t usual)
{
	if (n != usual)
		(void)buf_addf(b, " %s=%" PRId64, key, n);
}

static void
add_map(struct buf *b, const char *prefix, const json_t *map)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)map, key, v) {
		cleanup_buf struct buf name = BUF_INIT;

		(void)buf_addf(&name, "%s.%s", prefix, key);
		add_arg(b, buf_str(&name), json_string_value(v));
	}
}

/* What the profile says anyway is left out: it may exceed what a request is
 * allowed to ask for, and the line stays readable. */
static void
add_limits(struct buf *b, const struct sandbox *sb, const struct profile *p)
{
	struct rt_limits none = { -1, -1, -1, -1 };
	const struct rt_limits *usual = p != NULL ? &p->limits : &none;
	char cpu[32];

	add_arg_int(b, "memory", sb->limits.memory_bytes, usual->memory_bytes);
	if (sb->limits.cpu_milli != usual->cpu_milli) {
		milli_text(cpu, sb->limits.cpu_milli);
		add_arg(b, "cpu", cpu);
	}
	add_arg_int(b, "pids", sb->limits.pids, usual->pids);
	add_arg_int(
	    b, "storage", sb->limits.storage_bytes, usual->storage_bytes);
	add_arg_int(b, "timeout", sb->timeout_s, p != NULL ? p->timeout_s : -1);
}

void
value_create_line(struct buf *b, const struct sandbox *sb)
{
	const struct profile *p = config_profile(sb->f->cfg, sb->profile);

	(void)buf_adds(b, "create");
	if (*sb->name != '\0')
		(void)buf_addf(b, " %s", sb->name);
	add_arg(b, "profile", sb->profile);
	if (p == NULL || strcmp(p->image, sb->image) != 0)
		add_arg(b, "image", sb->image);
	add_limits(b, sb, p);
	add_arg_int(b, "ttl", sb->ttl_s, -1);
	add_arg_int(b, "idle", sb->idle_s, 0);
	if (p == NULL || strcmp(p->network, sb->network) != 0)
		add_arg(b, "network", sb->network);
	add_map(b, "label", sb->labels);
	add_map(b, "env", sb->env);
	(void)buf_adds(b, "\n");
}

void
value_top_ctl(struct buf *b, struct front *f, const struct caller *c)
{
	const struct sandbox *sb;

	TAILQ_FOREACH (sb, &f->sandboxes, link)
		if (caller_owns(c, sb))
			value_create_line(b, sb);
}

/*** A sandbox ***/

static int64_t
count_jobs(const struct sandbox *sb, const struct job **ret_last)
{
	const struct job *job;
	int64_t n = 0;

	*ret_last = NULL;
	TAILQ_FOREACH (job, &sb->jobs, link) {
		*ret_last = job;
		n++;
	}
	return n;
}

void
value_status(struct buf *b, const struct sandbox *sb, int64_t now_ms)
{
	const struct job *last;
	int64_t jobs = count_jobs(sb, &last);

	add_text(b, "name", sb->name);
	add_text(b, "id", sb->id);
	add_text(b, "state", sb_state_names[sb->state]);
	add_text(b, "profile", sb->profile);
	add_text(b, "image", sb->image);
	add_text(b, "template", "");
	add_text(b, "runtime", sb->runtime);
	add_text(b, "owner", sb->owner);
	add_int(b, "created", sb->created_ms / 1000);
	add_known(b, "uptime", sb->started_ms != 0,
	    now_ms > sb->started_ms ? (now_ms - sb->started_ms) / 1000 : 0);
	add_int(b, "jobs", jobs);
	add_int(b, "running", jobs_running(sb));
	add_known(b, "last", last != NULL, last != NULL ? last->number : 0);
	add_known(b, "exit", sb->last_exit >= 0, sb->last_exit);
	add_text(b, "reason", sb->reason);
}

static void
add_ttl(struct buf *b, int64_t ttl_s)
{
	if (ttl_s < 0)
		add_text(b, "ttl", "none");
	else
		add_int(b, "ttl", ttl_s);
}

void
value_ctl(struct buf *b, const struct sandbox *sb)
{
	const char *key;
	json_t *v;
	char cpu[32];

	milli_text(cpu, sb->limits.cpu_milli);
	add_int(b, "memory", sb->limits.memory_bytes);
	add_text(b, "cpu", cpu);
	add_int(b, "pids", sb->limits.pids);
	add_int(b, "timeout", sb->timeout_s);
	add_ttl(b, sb->ttl_s);
	add_int(b, "idle", sb->idle_s);
	add_text(b, "network", sb->network);
	json_object_foreach (sb->labels, key, v) {
		(void)buf_adds(b, "label");
		add_arg(b, key, json_string_value(v));
		(void)buf_adds(b, "\n");
	}
	add_text(b, "protect", sb->protect ? "on" : "off");
}

/* A value with a line break, which only HTTP and create lines can give, is
 * named in a comment: what is read here must be what could be written. */
void
value_env(struct buf *b, const struct sandbox *sb)
{
	const char *key, *s;
	json_t *v;

	json_object_foreach (sb->env, key, v) {
		s = json_string_value(v);
		if (strchr(s, '\n') != NULL)
			(void)buf_addf(b, "# %s has more than one line\n", key);
		else
			(void)buf_addf(b, "%s=%s\n", key, s);
	}
}

static const struct {
	const char *key;
	size_t off;
} stats_keys[] = {
	{ "cpu_usec", offsetof(struct rt_stats, cpu_usec) },
	{ "memory_bytes", offsetof(struct rt_stats, memory_bytes) },
	{ "memory_peak", offsetof(struct rt_stats, memory_peak) },
	{ "memory_limit", offsetof(struct rt_stats, memory_limit) },
	{ "pids", offsetof(struct rt_stats, pids) },
	{ "pids_limit", offsetof(struct rt_stats, pids_limit) },
	{ "io_rbytes", offsetof(struct rt_stats, io_rbytes) },
	{ "io_wbytes", offsetof(struct rt_stats, io_wbytes) },
	{ "net_rx", offsetof(struct rt_stats, net_rx) },
	{ "net_tx", offsetof(struct rt_stats, net_tx) },
	{ "disk_bytes", offsetof(struct rt_stats, disk_bytes) },
	{ "disk_limit", offsetof(struct rt_stats, disk_limit) },
};

void
value_stats(struct buf *b, const struct rt_stats *s)
{
	size_t i;

	for (i = 0; i < sizeof(stats_keys) / sizeof(stats_keys[0]); i++)
		(void)buf_addf(b, "%s %" PRIu64 "\n", stats_keys[i].key,
		    *(const uint64_t *)((const char *)s + stats_keys[i].off));
}

void
value_ports(
    struct buf *b, const struct sandbox *sb, const struct listener *l, size_t n)
{
	const struct tunnel *t = NULL;
	char text[HOSTPORT_TEXT];
	size_t i;

	while ((t = ports_next(sb, t)) != NULL) {
		hostport_text(tunnel_host(t), text);
		(void)buf_addf(b, "expose %d as %s\n", tunnel_port(t), text);
	}
	for (i = 0; i < n; i++)
		if ((i == 0 || l[i].port != l[i - 1].port) &&
		    ports_find(sb, l[i].port) == NULL)
			(void)buf_addf(b, "# listen %u\n", l[i].port);
}

/*** A job ***/

static const char *const job_states[] = {
	[JOB_QUEUED] = "queued",
	[JOB_RUNNING] = "running",
	[JOB_ENDED] = "ended",
};

void
value_job_status(struct buf *b, const struct job *job)
{
	bool ended = job->state == JOB_ENDED;
	const char *sig = NULL;

	add_text(b, "state", job_states[job->state]);
	add_known(b, "pid", job->pid > 0, job->pid);
	add_known(b, "exit", ended, job_exit_status(job));
	if (job->signal > 0)
		sig = sigabbrev_np(job->signal);
	if (job->signal > 0 && sig == NULL)
		add_int(b, "signal", job->signal);
	else
		add_text(b, "signal", sig != NULL ? sig : "");
	add_time(b, "started", job->started_ms);
	add_time(b, "ended", ended ? job->ended_ms : 0);
	add_known(b, "cpu_usec", ended, (int64_t)job->cpu_usec);
	add_known(b, "memory_peak", ended, (int64_t)job->memory_peak);
}

void
value_job_ctl(struct buf *b, const struct job *job)
{
	if (job->input == JOB_TERMINAL)
		(void)buf_addf(b, "winsize %lld %lld\n",
		    (long long)job->terminal.rows,
		    (long long)job->terminal.cols);
}

void
value_job_secs(char text[32], const struct job *job)
{
	int64_t ms = (job->usec + 500) / 1000;

	if (ms < 0)
		ms = 0;
	snprintf(text, 32, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}
