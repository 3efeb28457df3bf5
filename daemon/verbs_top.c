/*
 * verbs_top.c - lines of the root's ctl and pool, and the arguments of create.
 */
#include <errno.h>
#include <string.h>

#include "daemon/brokerc.h"
#include "daemon/config.h"
#include "daemon/poolrun.h"
#include "daemon/verbs_impl.h"
#include "lib/mem.h"
#include "lib/size.h"

/*** Values ***/

int
setting_size(const char *key, const char *s, int64_t *ret, struct err *e)
{
	int64_t n;

	if (size_parse(s, &n) < 0 || n < 0)
		return err_setx(e, EINVAL,
		    "%s %.64s: expected a size in bytes, as 512M", key, s);
	*ret = n;
	return 0;
}

int
setting_cpu(const char *s, int64_t *ret, struct err *e)
{
	int64_t n;

	if (milli_parse(s, &n) < 0)
		return err_setx(
		    e, EINVAL, "cpu %.64s: expected cores, as 1.5", s);
	*ret = n;
	return 0;
}

int
setting_pids(const char *s, int64_t *ret, struct err *e)
{
	int64_t n;

	if (int_parse(s, 0, RT_PIDS_MAX, &n) < 0)
		return err_setx(
		    e, EINVAL, "pids %.64s: expected a number of processes", s);
	*ret = n;
	return 0;
}

int
setting_seconds(const char *key, const char *s, int64_t *ret, struct err *e)
{
	int64_t ms;

	if (duration_parse(s, &ms) < 0 || ms < 0 || ms % 1000 != 0)
		return err_setx(
		    e, EINVAL, "%s %.64s: expected seconds", key, s);
	*ret = ms / 1000;
	return 0;
}

int
setting_ttl(const char *s, int64_t *ret, struct err *e)
{
	if (strcmp(s, "none") == 0) {
		*ret = -1;
		return 0;
	}
	if (setting_seconds("ttl", s, ret, e) == 0)
		return 0;
	return err_setx(e, EINVAL, "ttl %.64s: expected seconds, or none", s);
}

/*** create ***/

static int
arg_profile(struct create_words *cw, const char *s, struct err *e)
{
	(void)e;
	cw->args.profile = s;
	return 0;
}

static int
arg_template(struct create_words *cw, const char *s, struct err *e)
{
	(void)cw;
	return err_setx(
	    e, EINVAL, "template %.64s: templates are not there yet", s);
}

static int
arg_image(struct create_words *cw, const char *s, struct err *e)
{
	(void)e;
	cw->args.image = s;
	return 0;
}

static int
arg_memory(struct create_words *cw, const char *s, struct err *e)
{
	return setting_size("memory", s, &cw->args.limits.memory_bytes, e);
}

static int
arg_cpu(struct create_words *cw, const char *s, struct err *e)
{
	return setting_cpu(s, &cw->args.limits.cpu_milli, e);
}

static int
arg_pids(struct create_words *cw, const char *s, struct err *e)
{
	return setting_pids(s, &cw->args.limits.pids, e);
}

static int
arg_storage(struct create_words *cw, const char *s, struct err *e)
{
	return setting_size("storage", s, &cw->args.limits.storage_bytes, e);
}

static int
arg_timeout(struct create_words *cw, const char *s, struct err *e)
{
	return setting_seconds("timeout", s, &cw->args.timeout_s, e);
}

static int
arg_ttl(struct create_words *cw, const char *s, struct err *e)
{
	return setting_ttl(s, &cw->args.ttl_s, e);
}

static int
arg_idle(struct create_words *cw, const char *s, struct err *e)
{
	return setting_seconds("idle", s, &cw->args.idle_s, e);
}

static int
arg_network(struct create_words *cw, const char *s, struct err *e)
{
	(void)e;
	cw->args.network = s;
	return 0;
}

/* KEY=VALUE, of label.KEY=VALUE and env.KEY=VALUE. */
static int
add_to_map(json_t *map, const char *what, const char *s, struct err *e)
{
	const char *value = strchr(s, '=');
	cleanup_free char *key = NULL;

	if (value == NULL || value == s)
		return err_setx(e, EINVAL, "%s.%.64s: expected %s.KEY=VALUE",
		    what, s, what);
	key = xstrndup(s, (size_t)(value - s));
	if (json_object_set_new(map, key, json_string(value + 1)) < 0)
		return err_setx(
		    e, EINVAL, "%s.%.64s: the value is not UTF-8", what, key);
	return 0;
}

static const struct {
	const char *key;
	int (*set)(struct create_words *cw, const char *s, struct err *e);
} create_keys[] = {
	{ "profile", arg_profile },
	{ "template", arg_template },
	{ "image", arg_image },
	{ "memory", arg_memory },
	{ "cpu", arg_cpu },
	{ "pids", arg_pids },
	{ "storage", arg_storage },
	{ "timeout", arg_timeout },
	{ "ttl", arg_ttl },
	{ "idle", arg_idle },
	{ "network", arg_network },
};

#define NKEYS (sizeof(create_keys) / sizeof(create_keys[0]))

void
create_words_init(struct create_words *cw)
{
	create_args_init(&cw->args);
	cw->args.labels = cw->labels = json_object();
	cw->args.env = cw->env = json_object();
}

void
create_words_done(struct create_words *cw)
{
	json_decref(cw->labels);
	json_decref(cw->env);
}

static int
unknown_key(const char *word, struct err *e)
{
	cleanup_buf struct buf known = BUF_INIT;
	size_t i;

	for (i = 0; i < NKEYS; i++)
		(void)buf_addf(&known, " %s", create_keys[i].key);
	return err_setx(e, EINVAL,
	    "unknown key %.*s: known are%s label.K env.K",
	    (int)strcspn(word, "="), word, buf_str(&known));
}

int
create_words_add(struct create_words *cw, const char *word, struct err *e)
{
	const char *value;
	size_t i;

	if (strncmp(word, "label.", 6) == 0)
		return add_to_map(cw->labels, "label", word + 6, e);
	if (strncmp(word, "env.", 4) == 0)
		return add_to_map(cw->env, "env", word + 4, e);
	for (i = 0; i < NKEYS; i++) {
		value = words_value(word, create_keys[i].key);
		if (value == NULL)
			continue;
		return create_keys[i].set(cw, value, e);
	}
	if (strchr(word, '=') == NULL)
		return err_setx(e, EINVAL,
		    "%.64s: expected key=value after the name", word);
	return unknown_key(word, e);
}

static int
create(struct verbs *v, const struct create_words *cw)
{
	struct sandbox *sb;

	if (sandbox_create(v->f, &v->caller, &cw->args, &sb, &v->e) < 0)
		return -1;
	str_copy(v->made, sb->id, sizeof(v->made));
	return verbs_wait(v, sb, verbs_start_ms(sb), NULL);
}

static int
top_create(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct create_words cw;
	size_t i = 1;
	int r = 0;

	(void)sb;
	create_words_init(&cw);
	if (w->n > 1 && strchr(w->w[1], '=') == NULL)
		cw.args.name = w->w[i++];
	for (; i < w->n && r == 0; i++)
		r = create_words_add(&cw, w->w[i], &v->e);
	if (r == 0)
		r = create(v, &cw);
	create_words_done(&cw);
	return r;
}

/*** The other words ***/

/* All are looked for before the first is destroyed. */
static int
top_destroy(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	size_t i;

	for (i = 1; i < w->n; i++)
		if (sandbox_find(v->f, &v->caller, w->w[i]) == NULL)
			return err_setx(
			    &v->e, ENOENT, "no sandbox %.64s", w->w[i]);
	for (i = 1; i < w->n; i++) {
		sb = sandbox_find(v->f, &v->caller, w->w[i]);
		if (sb != NULL && sandbox_destroy(sb, &v->e) < 0)
			return err_wrap(&v->e, "%.64s", w->w[i]);
	}
	return 0;
}

static int
top_flush(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	(void)sb;
	if (verbs_root_only(v, "flush") < 0)
		return -1;
	return poolrun_flush(v->f, w->w[1], &v->e);
}

/* Read once here, for the sentence; the broker then tells everybody. */
static int
top_reload(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct broker_req q = { .op = BROKER_RELOAD };
	struct config *c;

	(void)sb;
	(void)w;
	if (verbs_root_only(v, "reload") < 0)
		return -1;
	if (config_load(v->f->cfg->path, config_warned, &c, &v->e) < 0)
		return -1;
	config_free(c);
	brokerc_ask(v->f->broker, &q, true, NULL, NULL);
	return 0;
}

const struct verb verbs_top[] = {
	{ "create", top_create, 0, WORDS_MAX, "[NAME] [key=value...]", false },
	{ "destroy", top_destroy, 1, WORDS_MAX, "NAME...", false },
	{ "flush", top_flush, 1, 1, "PROFILE", false },
	{ "reload", top_reload, 0, 0, "", false },
	{ 0 },
};

/*** pool ***/

/* What reading shows beside the number, and is not to be set. */
static const char *const pool_counts[] = { "ready", "hits", "misses" };

static int
pool_arg(const char *word, struct pool_bounds *b, struct err *e)
{
	const char *s;
	int64_t *to;
	size_t i;

	for (i = 0; i < sizeof(pool_counts) / sizeof(pool_counts[0]); i++)
		if (words_value(word, pool_counts[i]) != NULL)
			return 0;
	if ((s = words_value(word, "min")) != NULL)
		to = &b->min;
	else if ((s = words_value(word, "max")) != NULL)
		to = &b->max;
	else
		return err_setx(e, EINVAL,
		    "unknown key %.*s: known are min max ready hits misses",
		    (int)strcspn(word, "="), word);
	if (int_parse(s, 0, INT32_MAX, to) < 0)
		return err_setx(e, EINVAL, "%.64s: expected a number", word);
	return 0;
}

static int
pool_words(struct verbs *v, const struct words *w)
{
	struct pool_bounds b = { -1, -1 };
	int64_t want;
	size_t i;

	if (w->n < 2)
		return err_setx(
		    &v->e, EINVAL, "usage: PROFILE WANT [min=N] [max=N]");
	if (int_parse(w->w[1], 0, INT32_MAX, &want) < 0)
		return err_setx(&v->e, EINVAL,
		    "%.64s: expected how many to keep ready", w->w[1]);
	for (i = 2; i < w->n; i++)
		if (pool_arg(w->w[i], &b, &v->e) < 0)
			return -1;
	return poolrun_set(v->f, w->w[0], want, &b, &v->e);
}

int
verbs_pool_line(struct verbs *v, struct sandbox *sb, const char *p, size_t n)
{
	cleanup_words struct words w = { 0 };

	(void)sb;
	if (words_split(&w, p, n, &v->e) < 0)
		return -1;
	return w.n == 0 ? 0 : pool_words(v, &w);
}
