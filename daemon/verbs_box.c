/*
 * verbs_box.c - lines of a sandbox's ctl and env.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "daemon/jobs.h"
#include "daemon/verbs_impl.h"
#include "lib/mem.h"
#include "lib/size.h"

/* What a change of limits may take until it holds. */
#define APPLY_MS 10000
/* stop without a number: between SIGTERM and SIGKILL. */
#define STOP_GRACE_S 10
/* Killing and unmounting, after the grace. */
#define STOP_MS 10000

int
verbs_signal(const char *s, int *ret, struct err *e)
{
	const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s, *known;
	int64_t n;
	int i;

	if (int_parse(s, 1, SIGRTMAX, &n) == 0) {
		*ret = (int)n;
		return 0;
	}
	for (i = 1; i < SIGRTMIN; i++) {
		known = sigabbrev_np(i);
		if (known != NULL && strcasecmp(known, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return err_setx(e, EINVAL, "no signal %.32s", s);
}

/*** Limits ***/

static int
set_limits(struct verbs *v, struct sandbox *sb, const struct rt_limits *l)
{
	if (sandbox_set_limits(sb, &v->caller, l, &v->e) < 0)
		return -1;
	/* a state that is no good otherwise is not this line's failure */
	return sb->applying != 0 ? verbs_wait(v, sb, APPLY_MS, NULL) : 0;
}

static int
box_memory(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct rt_limits l = { -1, -1, -1, -1 };

	if (setting_size("memory", w->w[1], &l.memory_bytes, &v->e) < 0)
		return -1;
	return set_limits(v, sb, &l);
}

static int
box_cpu(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct rt_limits l = { -1, -1, -1, -1 };

	if (setting_cpu(w->w[1], &l.cpu_milli, &v->e) < 0)
		return -1;
	return set_limits(v, sb, &l);
}

static int
box_pids(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct rt_limits l = { -1, -1, -1, -1 };

	if (setting_pids(w->w[1], &l.pids, &v->e) < 0)
		return -1;
	return set_limits(v, sb, &l);
}

/*** Other settings: a row, no more ***/

static int
box_timeout(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct sandbox_plain p = sandbox_plain(sb);

	if (setting_seconds("timeout", w->w[1], &p.timeout_s, &v->e) < 0)
		return -1;
	return sandbox_set_plain(sb, &p, &v->e);
}

static int
box_ttl(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	int64_t max = v->f->cfg->max_ttl_s;
	struct sandbox_plain p = sandbox_plain(sb);

	if (setting_ttl(w->w[1], &p.ttl_s, &v->e) < 0)
		return -1;
	if (max > 0 && p.ttl_s > max)
		return err_setx(&v->e, EINVAL,
		    "ttl %lld: over the limit of %lld", (long long)p.ttl_s,
		    (long long)max);
	return sandbox_set_plain(sb, &p, &v->e);
}

static int
box_idle(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct sandbox_plain p = sandbox_plain(sb);

	if (setting_seconds("idle", w->w[1], &p.idle_s, &v->e) < 0)
		return -1;
	return sandbox_set_plain(sb, &p, &v->e);
}

static int
box_network(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	if (strcmp(w->w[1], sb->network) == 0)
		return 0;
	return err_setx(
	    &v->e, EINVAL, "network %.32s: only none is there yet", w->w[1]);
}

static int
box_label(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	char *value = strchr(w->w[1], '=');
	json_t *change;
	int r;

	if (value != NULL)
		*value++ = '\0';
	change = json_pack("{s:s?}", w->w[1], value);
	if (change == NULL)
		return err_setx(
		    &v->e, EINVAL, "label %.64s: not UTF-8", w->w[1]);
	r = sandbox_set_labels(sb, change, &v->e);
	json_decref(change);
	return r;
}

static int
box_keep(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct sandbox_plain p = sandbox_plain(sb);

	(void)w;
	p.held = false;
	return sandbox_set_plain(sb, &p, &v->e);
}

static int
box_protect(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct sandbox_plain p = sandbox_plain(sb);
	bool on = strcmp(w->w[1], "on") == 0;

	if (!on && strcmp(w->w[1], "off") != 0)
		return err_setx(&v->e, EINVAL,
		    "protect %.32s: expected on or off", w->w[1]);
	p.protect = on;
	return sandbox_set_plain(sb, &p, &v->e);
}

/*** Transitions ***/

static int
start(struct verbs *v, struct sandbox *sb)
{
	if (sandbox_start(sb, &v->e) < 0)
		return -1;
	v->begun = true;
	return verbs_wait(v, sb, verbs_start_ms(sb), NULL);
}

static int
stop(struct verbs *v, struct sandbox *sb, const struct words *w,
    int (*then)(struct verbs *, struct sandbox *))
{
	int64_t grace = STOP_GRACE_S;

	if (w->n > 1 && setting_seconds(w->w[0], w->w[1], &grace, &v->e) < 0)
		return -1;
	if (grace > 3600)
		return err_setx(&v->e, EINVAL, "%s %.32s: at most an hour",
		    w->w[0], w->w[1]);
	if (sandbox_stop(sb, grace * 1000, &v->e) < 0)
		return -1;
	v->begun = true;
	return verbs_wait(v, sb, grace * 1000 + STOP_MS, then);
}

static int
box_start(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	(void)w;
	return start(v, sb);
}

static int
box_stop(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	return stop(v, sb, w, NULL);
}

static int
box_restart(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	return stop(v, sb, w, start);
}

static int
box_pause(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	(void)w;
	return sandbox_pause(sb, true, &v->e);
}

static int
box_resume(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	(void)w;
	return sandbox_pause(sb, false, &v->e);
}

int
verbs_kill(struct verbs *v, struct job *job, const struct words *w)
{
	int sig = SIGTERM;

	if (w->n > 1 && verbs_signal(w->w[1], &sig, &v->e) < 0)
		return -1;
	if (job == NULL || job->state == JOB_ENDED)
		return err_setx(&v->e, ESRCH, "kill: nothing runs");
	return job_signal(job, sig, &v->e);
}

static int
box_kill(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	return verbs_kill(v, job_find(sb, 0), w);
}

static int
box_destroy(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	(void)w;
	return sandbox_destroy(sb, &v->e);
}

static int
box_save(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	(void)sb;
	return err_setx(
	    &v->e, EINVAL, "save %.64s: templates are not there yet", w->w[1]);
}

const struct verb verbs_box[] = {
	{ "memory", box_memory, 1, 1, "BYTES", true },
	{ "cpu", box_cpu, 1, 1, "CORES", true },
	{ "pids", box_pids, 1, 1, "N", true },
	{ "timeout", box_timeout, 1, 1, "SECONDS", false },
	{ "ttl", box_ttl, 1, 1, "SECONDS|none", false },
	{ "idle", box_idle, 1, 1, "SECONDS", false },
	{ "network", box_network, 1, 1, "none", false },
	{ "label", box_label, 1, 1, "KEY[=VALUE]", false },
	{ "start", box_start, 0, 0, "", true },
	{ "stop", box_stop, 0, 1, "[SECONDS]", true },
	{ "restart", box_restart, 0, 1, "[SECONDS]", true },
	{ "pause", box_pause, 0, 0, "", true },
	{ "resume", box_resume, 0, 0, "", true },
	{ "kill", box_kill, 0, 1, "[SIGNAL]", true },
	{ "destroy", box_destroy, 0, 0, "", false },
	{ "save", box_save, 1, 1, "TEMPLATE", false },
	{ "keep", box_keep, 0, 0, "", false },
	{ "protect", box_protect, 1, 1, "on|off", false },
	{ 0 },
};

/*** env ***/

static size_t
env_size(const char *name, const json_t *value)
{
	return value != NULL ? strlen(name) + json_string_length(value) + 2 : 0;
}

/* One line into env, whose size is *bytes. */
static int
env_line(struct verbs *v, json_t *env, size_t *bytes)
{
	cleanup_free char *name = xstrndup(v->text + v->pos, v->line_len);
	size_t before, now;
	char *value;
	json_t *new;

	if (*name == '\0' || *name == '#')
		return 0;
	if (strlen(name) != v->line_len)
		return err_setx(&v->e, EINVAL, "a NUL byte in the line");
	if ((value = strchr(name, '=')) != NULL)
		*value++ = '\0';
	if (env_name_check(name, &v->e) < 0)
		return -1;
	if (v->line_len > VERBS_LINE_MAX)
		return err_setx(&v->e, E2BIG,
		    "%.64s: a line of %zu bytes: at most %u", name, v->line_len,
		    VERBS_LINE_MAX);
	before = env_size(name, json_object_get(env, name));
	if (value == NULL) {
		*bytes -= before;
		(void)json_object_del(env, name);
		return 0;
	}
	if ((new = json_string(value)) == NULL)
		return err_setx(
		    &v->e, EINVAL, "%.64s: the value is not UTF-8", name);
	now = env_size(name, new);
	if (*bytes - before + now > SB_ENV_BYTES_MAX) {
		json_decref(new);
		return err_setx(&v->e, E2BIG,
		    "%.64s: the environment is at most %d bytes", name,
		    SB_ENV_BYTES_MAX);
	}
	*bytes += now - before;
	(void)json_object_set_new(env, name, new);
	return 0;
}

/* All lines into a copy, which then is the environment: one row, one message
 * to the agent, however many lines there are. */
int
verbs_env_text(struct verbs *v, struct sandbox *sb)
{
	json_t *env = json_copy(sb->env), *value;
	struct err failed;
	const char *name;
	size_t bytes = 0;
	int r = 0;

	json_object_foreach (env, name, value)
		bytes += env_size(name, value);
	while (verbs_next_line(v) && (r = env_line(v, env, &bytes)) == 0)
		verbs_pass_line(v);
	failed = v->e;
	if (!json_equal(env, sb->env) &&
	    sandbox_replace_env(sb, env, &v->e) < 0) {
		v->pos = 0;
		r = -1;
	} else if (r < 0) {
		v->e = failed;
	} else {
		v->line_len = 0;
	}
	json_decref(env);
	return r;
}
