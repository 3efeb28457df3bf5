/*
 * settings.c - what may be changed of a sandbox that is there: each change is
 * checked, written to its row, announced, and sent to a live one.
 */
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "lib/log.h"
#include "lib/mem.h"

int
sandbox_rename_check(const struct sandbox *sb, const char *name, struct err *e)
{
	const struct sandbox *other;

	if (sandbox_name_check(name, e) < 0)
		return -1;
	if ((other = registry_named(sb->f, name)) != NULL && other != sb)
		return err_setx(e, EEXIST, "the name %s is taken", name);
	return 0;
}

int
sandbox_rename(struct sandbox *sb, const char *name, struct err *e)
{
	char old[SB_NAME_MAX], fields[SB_NAME_MAX + 8];

	if (sandbox_rename_check(sb, name, e) < 0)
		return -1;
	if (strcmp(sb->name, name) == 0)
		return 0;
	str_copy(old, sb->name, sizeof(old));
	registry_rename(sb, name);
	if (sandbox_changed(sb, e) < 0) {
		registry_rename(sb, old);
		return -1;
	}
	snprintf(
	    fields, sizeof(fields), " from=%s", *old != '\0' ? old : sb->id);
	event_add(sb->f, sb, "renamed", fields);
	life_apply(sb, NULL);
	return 0;
}

static const struct {
	const char *name;
	size_t at;  /* in struct rt_limits */
	size_t max; /* in struct config; 0: none */
	int64_t min, most;
	int64_t divide; /* of how it is written */
} limit_rows[] = {
	{ "memory", offsetof(struct rt_limits, memory_bytes),
	    offsetof(struct config, max_memory_bytes), RT_MEMORY_MIN,
	    RT_BYTES_MAX, 1 },
	{ "cpu", offsetof(struct rt_limits, cpu_milli),
	    offsetof(struct config, max_cpu_milli), 0, RT_MILLI_MAX, 1000 },
	{ "pids", offsetof(struct rt_limits, pids), 0, 0, RT_PIDS_MAX, 1 },
	{ "storage", offsetof(struct rt_limits, storage_bytes), 0, 0,
	    RT_BYTES_MAX, 1 },
};

static int64_t
number_at(const void *p, size_t at)
{
	int64_t n;

	memcpy(&n, (const char *)p + at, sizeof(n));
	return n;
}

int
limits_check(const struct config *c, const struct caller *who,
    const struct rt_limits *want, const struct rt_limits *usual, struct err *e)
{
	int64_t n, max, divide;
	const char *name;
	size_t i;

	for (i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
		name = limit_rows[i].name;
		divide = limit_rows[i].divide;
		n = number_at(want, limit_rows[i].at);
		if (n < 0 || n == number_at(usual, limit_rows[i].at))
			continue;
		if (n == 0 && !who->all)
			return err_setx(e, EPERM,
			    "%s 0 is no limit: only root may lift it", name);
		if (n != 0 && n < limit_rows[i].min)
			return err_setx(e, EINVAL,
			    "%s %lld: less than %lld, which it needs to run",
			    name, (long long)n, (long long)limit_rows[i].min);
		if (n > limit_rows[i].most)
			return err_setx(e, EINVAL, "%s %.12g: at most %.12g",
			    name, (double)n / (double)divide,
			    (double)limit_rows[i].most / (double)divide);
		max = limit_rows[i].max != 0 ? number_at(c, limit_rows[i].max)
					     : 0;
		if (max > 0 && (n > max || n == 0))
			return err_setx(e, EINVAL,
			    "%s %.12g: over the limit of %.12g%s", name,
			    (double)n / (double)divide,
			    (double)max / (double)divide,
			    n == 0 ? " (0 is none at all)" : "");
	}
	return 0;
}

void
limits_take(struct rt_limits *l, const struct rt_limits *want)
{
	if (want->memory_bytes >= 0)
		l->memory_bytes = want->memory_bytes;
	if (want->cpu_milli >= 0)
		l->cpu_milli = want->cpu_milli;
	if (want->pids >= 0)
		l->pids = want->pids;
	if (want->storage_bytes >= 0)
		l->storage_bytes = want->storage_bytes;
}

int
sandbox_set_limits(struct sandbox *sb, const struct caller *c,
    const struct rt_limits *l, struct err *e)
{
	struct rt_limits old = sb->limits;

	if (l->storage_bytes >= 0 &&
	    l->storage_bytes != sb->limits.storage_bytes)
		return err_setx(
		    e, EINVAL, "storage is fixed when a sandbox is made");
	if (limits_check(sb->f->cfg, c, l, &old, e) < 0)
		return -1;
	limits_take(&sb->limits, l);
	if (memcmp(&old, &sb->limits, sizeof(old)) == 0)
		return 0;
	if (sandbox_changed(sb, e) < 0) {
		sb->limits = old;
		return -1;
	}
	life_apply(sb, &old);
	return 0;
}

/* What the files can show and take: the key ends at the first '='. */
static int
label_check(const char *key, const json_t *value, struct err *e)
{
	if (*key == '\0')
		return err_setx(e, EINVAL, "label: the key is empty");
	if (strchr(key, '=') != NULL)
		return err_setx(e, EINVAL, "label %s: the key has a =", key);
	if (strlen(key) > 128)
		return err_setx(e, EINVAL,
		    "label key too long: %zu exceeds maximum of 128",
		    strlen(key));
	if (json_string_length(value) > 256)
		return err_setx(e, EINVAL,
		    "label value too long: %zu exceeds maximum of 256",
		    json_string_length(value));
	return 0;
}

int
labels_check(const json_t *have, const json_t *change, struct err *e)
{
	size_t n = json_object_size(have);
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)change, key, v) {
		bool there = json_object_get(have, key) != NULL;

		if (json_is_null(v) && there)
			n--;
		else if (!json_is_null(v) && !there)
			n++;
	}
	if (n > SB_LABELS_MAX)
		return err_setx(e, EINVAL,
		    "too many labels: %zu exceeds maximum of %d", n,
		    SB_LABELS_MAX);
	json_object_foreach ((json_t *)(uintptr_t)change, key, v)
		if (!json_is_null(v) && label_check(key, v, e) < 0)
			return -1;
	return 0;
}

int
sandbox_set_labels(struct sandbox *sb, const json_t *change, struct err *e)
{
	json_t *old;
	const char *key;
	json_t *v;

	if (json_object_size(change) == 0)
		return 0;
	if (labels_check(sb->labels, change, e) < 0)
		return -1;
	old = json_copy(sb->labels);
	json_object_foreach ((json_t *)(uintptr_t)change, key, v)
		if (json_is_null(v))
			(void)json_object_del(sb->labels, key);
		else
			(void)json_object_set(sb->labels, key, v);
	if (sandbox_changed(sb, e) < 0) {
		json_decref(sb->labels);
		sb->labels = old;
		return -1;
	}
	json_decref(old);
	return 0;
}

int
env_name_check(const char *name, struct err *e)
{
	const char *p = name;

	if (*p != '\0' && !isdigit((unsigned char)*p))
		while (isalnum((unsigned char)*p) || *p == '_')
			p++;
	if (p != name && *p == '\0')
		return 0;
	return err_setx(e, EINVAL, "%.64s: not the name of a variable", name);
}

static int
env_check(const char *key, const char *value, struct err *e)
{
	if (env_name_check(key, e) < 0)
		return -1;
	if (strlen(key) + strlen(value) > 128u << 10)
		return err_setx(e, E2BIG, "variable %.64s is too long", key);
	return 0;
}

static size_t
env_bytes(const json_t *env)
{
	const char *key;
	json_t *v;
	size_t n = 0;

	json_object_foreach ((json_t *)(uintptr_t)env, key, v)
		n += strlen(key) + json_string_length(v) + 2;
	return n;
}

int
env_check_all(const json_t *env, struct err *e)
{
	json_t *all = (json_t *)(uintptr_t)env, *v;
	const char *key;

	json_object_foreach (all, key, v) {
		if (!json_is_string(v))
			return err_setx(
			    e, EINVAL, "env: %s: expected string", key);
		if (env_check(key, json_string_value(v), e) < 0)
			return -1;
	}
	if (env_bytes(env) > SB_ENV_BYTES_MAX)
		return err_setx(e, E2BIG,
		    "the environment is larger than %d bytes",
		    SB_ENV_BYTES_MAX);
	return 0;
}

int
sandbox_replace_env(struct sandbox *sb, const json_t *env, struct err *e)
{
	json_t *old = sb->env;

	if (env_check_all(env, e) < 0)
		return -1;
	sb->env =
	    env != NULL ? json_copy((json_t *)(uintptr_t)env) : json_object();
	if (sb_store(sb, e) < 0) {
		json_decref(sb->env);
		sb->env = old;
		return -1;
	}
	json_decref(old);
	sb->env_ms = sb->changed_ms;
	life_send_env(sb);
	return 0;
}

struct sandbox_plain
sandbox_plain(const struct sandbox *sb)
{
	return (struct sandbox_plain){ sb->timeout_s, sb->ttl_s, sb->idle_s,
		sb->protect, sb->held };
}

static void
put_plain(struct sandbox *sb, const struct sandbox_plain *p)
{
	sb->timeout_s = p->timeout_s;
	sb->ttl_s = p->ttl_s;
	sb->idle_s = p->idle_s;
	sb->protect = p->protect;
	sb->held = p->held;
}

int
sandbox_set_plain(
    struct sandbox *sb, const struct sandbox_plain *p, struct err *e)
{
	struct sandbox_plain old = sandbox_plain(sb);

	if (p->timeout_s == old.timeout_s && p->ttl_s == old.ttl_s &&
	    p->idle_s == old.idle_s && p->protect == old.protect &&
	    p->held == old.held)
		return 0;
	put_plain(sb, p);
	if (sandbox_changed(sb, e) == 0)
		return 0;
	put_plain(sb, &old);
	return -1;
}

int
sandbox_chown(struct sandbox *sb, uid_t uid, gid_t gid, struct err *e)
{
	char old_owner[SB_IDENTITY_MAX];
	uid_t old_uid = sb->uid;
	gid_t old_gid = sb->gid;

	str_copy(old_owner, sb->owner, sizeof(old_owner));
	if (uid != (uid_t)-1) {
		sb->uid = uid;
		snprintf(sb->owner, sizeof(sb->owner), "uid:%u", uid);
	}
	if (gid != (gid_t)-1)
		sb->gid = gid;
	if (sandbox_changed(sb, e) == 0)
		return 0;
	str_copy(sb->owner, old_owner, sizeof(sb->owner));
	sb->uid = old_uid;
	sb->gid = old_gid;
	return -1;
}

/* The n-th of a file's three numbers: the new one, or what it was; -1 is as
 * the table of files says. */
static json_t *
kept_or(const json_t *old, size_t n, unsigned now)
{
	if (now != (unsigned)-1)
		return json_integer(now);
	return json_integer(
	    old != NULL ? json_integer_value(json_array_get(old, n)) : -1);
}

void
sandbox_forget_modes(struct sandbox *sb, const char *key)
{
	size_t len = strlen(key);
	const char *k;
	json_t *v;
	void *tmp;
	struct err e;
	bool any = false;

	json_object_foreach_safe (sb->modes, tmp, k, v)
		if (strncmp(k, key, len) == 0 &&
		    (k[len] == '/' || k[len] == '\0')) {
			(void)json_object_del(sb->modes, k);
			any = true;
		}
	if (any && sandbox_changed(sb, &e) < 0)
		log_warnx("sandbox %s: %s", sb->id, e.text);
}

static int
chmod_box(struct sandbox *sb, mode_t mode, struct err *e)
{
	mode_t old = sb->mode;

	sb->mode = mode;
	if (sandbox_changed(sb, e) == 0)
		return 0;
	sb->mode = old;
	return -1;
}

int
sandbox_chmod(struct sandbox *sb, const char *file, const struct file_mode *m,
    struct err *e)
{
	mode_t mode = m->mode != (mode_t)-1 ? m->mode & 07777 : m->mode;
	json_t *old;

	if (file == NULL)
		return chmod_box(sb, mode != (mode_t)-1 ? mode : sb->mode, e);
	old = json_incref(json_object_get(sb->modes, file));
	(void)json_object_set_new(sb->modes, file,
	    json_pack("[o, o, o]", kept_or(old, 0, mode),
		kept_or(old, 1, m->uid), kept_or(old, 2, m->gid)));
	if (sandbox_changed(sb, e) == 0) {
		json_decref(old);
		return 0;
	}
	if (old != NULL)
		(void)json_object_set_new(sb->modes, file, old);
	else
		(void)json_object_del(sb->modes, file);
	return -1;
}
