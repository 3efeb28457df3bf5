/*
 * create.c - from a request to a sandbox: what it asks for is checked against
 * the configuration, a ready instance is taken from the pool or a new one
 * begun, and its row is written.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/poolrun.h"
#include "lib/clock.h"
#include "lib/mem.h"

void
create_args_init(struct create_args *a)
{
	memset(a, 0, sizeof(*a));
	a->limits = (struct rt_limits){ -1, -1, -1, -1 };
	a->timeout_s = a->idle_s = -1;
	a->ttl_s = INT64_MIN;
}

static int
check_total(struct front *f, const struct rt_limits *l, struct err *e)
{
	const struct config *c = f->cfg;
	int64_t memory = l->memory_bytes, cpu = l->cpu_milli;
	struct sandbox *sb;

	if ((int64_t)f->nsandboxes >= c->max_sandboxes)
		return err_setx(e, EDQUOT,
		    "at capacity: limits.max_sandboxes is %lld",
		    (long long)c->max_sandboxes);
	if (c->total_memory_bytes == 0 && c->total_cpu_milli == 0)
		return 0;
	TAILQ_FOREACH (sb, &f->sandboxes, link) {
		memory += sb->limits.memory_bytes;
		cpu += sb->limits.cpu_milli;
	}
	if (c->total_memory_bytes > 0 && memory > c->total_memory_bytes)
		return err_setx(e, EDQUOT,
		    "at capacity: limits.total_memory is %lld",
		    (long long)c->total_memory_bytes);
	if (c->total_cpu_milli > 0 && cpu > c->total_cpu_milli)
		return err_setx(e, EDQUOT,
		    "at capacity: limits.total_cpu is %.3g",
		    (double)c->total_cpu_milli / 1000);
	return 0;
}

/* s1, s2, ...: the first that is not in use. */
static void
invent_name(struct front *f, char name[SB_NAME_MAX])
{
	unsigned i = 1;

	do
		snprintf(name, SB_NAME_MAX, "s%u", i++);
	while (registry_named(f, name) != NULL);
}

/* What a request resolved to. */
struct plan {
	const struct profile *profile;
	const char *image;
	struct rt_limits limits;
	char name[SB_NAME_MAX];
};

static int
resolve(struct front *f, const struct caller *c, const struct create_args *a,
    struct plan *ret, struct err *e)
{
	const char *profile = a->profile != NULL ? a->profile : "default";

	if (a->name != NULL) {
		if (sandbox_name_check(a->name, e) < 0)
			return -1;
		if (registry_named(f, a->name) != NULL)
			return err_setx(
			    e, EEXIST, "the name %s is taken", a->name);
		str_copy(ret->name, a->name, sizeof(ret->name));
	} else if (a->held) {
		invent_name(f, ret->name);
	}
	if ((ret->profile = config_profile(f->cfg, profile)) == NULL)
		return err_setx(e, ENOENT, "no profile %.64s", profile);
	ret->image = a->image != NULL ? a->image : ret->profile->image;
	if (config_image(f->cfg, ret->image) == NULL)
		return err_setx(e, ENOENT, "no image %.64s", ret->image);
	if (a->network != NULL && strcmp(a->network, "none") != 0)
		return err_setx(e, EINVAL,
		    "network %.32s: only none is there yet", a->network);
	if (limits_check(f->cfg, c, &a->limits, &ret->profile->limits, e) < 0)
		return -1;
	ret->limits = ret->profile->limits;
	limits_take(&ret->limits, &a->limits);
	if (labels_check(NULL, a->labels, e) < 0)
		return -1;
	if (env_check_all(a->env, e) < 0)
		return -1;
	return check_total(f, &ret->limits, e);
}

int
sandbox_create_check(struct front *f, const struct caller *c,
    const struct create_args *a, struct err *e)
{
	struct plan p = { .profile = NULL };

	return resolve(f, c, a, &p, e);
}

static int64_t
choose_ttl(const struct config *c, const struct create_args *a)
{
	if (a->ttl_s == INT64_MIN)
		return a->http ? 0 : -1;
	if (a->ttl_s > c->max_ttl_s && c->max_ttl_s > 0)
		return c->max_ttl_s;
	return a->ttl_s;
}

/* Identity and settings: nothing of these forces a cold start. */
static void
give_identity(struct sandbox *sb, const struct caller *c,
    const struct create_args *a, const struct plan *p)
{
	str_copy(sb->name, p->name, sizeof(sb->name));
	str_copy(sb->owner, c->identity, sizeof(sb->owner));
	sb->uid = c->uid != (uid_t)-1 ? c->uid : 0;
	sb->gid = c->uid != (uid_t)-1 ? c->gid : 0;
	str_copy(sb->profile, p->profile->name, sizeof(sb->profile));
	str_copy(sb->image, p->image, sizeof(sb->image));
	str_copy(sb->runtime, p->profile->runtime, sizeof(sb->runtime));
	str_copy(sb->network, "none", sizeof(sb->network));
	sb->limits = p->limits;
	sb->timeout_s =
	    a->timeout_s >= 0 ? a->timeout_s : p->profile->timeout_s;
	sb->idle_s = a->idle_s >= 0 ? a->idle_s : 0;
	sb->ttl_s = choose_ttl(sb->f->cfg, a);
	sb->held = a->held;
	sb->http = a->http;
	sb->keep_failed = a->keep_failed;
	sb->created_ms = sb->env_ms = sb->ctl_ms = clock_real_ms();
	sb->active_ms = sb->created_ms;
	if (a->labels != NULL)
		(void)json_object_update(
		    sb->labels, (json_t *)(uintptr_t)a->labels);
	if (a->env != NULL)
		(void)json_object_update(sb->env, (json_t *)(uintptr_t)a->env);
}

/* A ready instance fits when its image is what is wanted, and its disk can be
 * made to: a bound may change, whether there is one may not. */
static struct sandbox *
take_ready(struct front *f, const struct plan *p)
{
	if (strcmp(p->image, p->profile->image) != 0 ||
	    (p->limits.storage_bytes == 0) !=
		(p->profile->limits.storage_bytes == 0))
		return NULL;
	return poolrun_take(f, p->profile->name);
}

static void
created_event(struct sandbox *sb)
{
	char fields[RT_NAME_MAX * 2 + 64];

	snprintf(fields, sizeof(fields), " profile=%s image=%s method=%s",
	    sb->profile, sb->image, sb->warm ? "warm" : "cold");
	event_add(sb->f, sb, "created", fields);
}

int
sandbox_create(struct front *f, const struct caller *c,
    const struct create_args *a, struct sandbox **ret, struct err *e)
{
	struct plan p = { .profile = NULL };
	struct sandbox *sb;
	bool ready;

	if (f->stopping)
		return err_setx(e, EBUSY, "the daemon is stopping");
	if (resolve(f, c, a, &p, e) < 0)
		return -1;
	sb = take_ready(f, &p);
	if (sb != NULL) {
		sb->warm = true;
		sb->pooled = false;
		f->creates_warm++;
	} else {
		sb = sb_new(f, NULL);
		f->creates_cold++;
	}
	give_identity(sb, c, a, &p);
	life_begin(sb, SB_CREATING);
	ready = sb->warm &&
	    memcmp(&p.limits, &p.profile->limits, sizeof(p.limits)) == 0;
	/* The worker works while the row is written. */
	if (!sb->warm)
		life_create(sb);
	else if (!ready)
		life_claim(sb);
	/*
	 * A warm one's row says running at once: after a crash it is claimed
	 * again, which is idempotent, and a second write is saved.
	 */
	sb->state = sb->warm ? SB_RUNNING : SB_CREATING;
	if (sb_store(sb, e) < 0) {
		life_reclaim(sb);
		return -1;
	}
	sb->state = SB_CREATING;
	registry_add(sb);
	/* whoever waits for a warm one hears of it when it runs */
	if (!ready && (a->keep_failed || !sb->warm))
		sb_announce(sb);
	created_event(sb);
	if (ready)
		life_run_claimed(sb);
	*ret = sb;
	return 0;
}
