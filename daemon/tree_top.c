/*
 * tree_top.c - who may use the files of the mount's root: what chmod and chown
 * said of them, kept in the store and told to every client.
 */
#include <errno.h>
#include <string.h>

#include "daemon/store.h"
#include "daemon/tree_impl.h"
#include "lib/mem.h"

static const char *const files[] = { "ctl", "new", "events", "errors", "status",
	"pool", "profiles" };

#define NFILES (sizeof(files) / sizeof(files[0]))

/* Its two rows in the store: the mode, and owner and group in one number. */
static char *
mode_key(const char *file)
{
	return xasprintf("mode /%s", file);
}

static char *
owner_key(const char *file)
{
	return xasprintf("owner /%s", file);
}

/* Ids that were never set are as the table of files says: -1. */
static int64_t
id_of(uint32_t n)
{
	return n != UINT32_MAX ? (int64_t)n : -1;
}

static void
load(struct tree_server *t, const char *file)
{
	cleanup_free char *mode = mode_key(file), *owner = owner_key(file);
	int64_t m = store_get_meta(t->f->store, mode, -1);
	uint64_t ids = (uint64_t)store_get_meta(t->f->store, owner, -1);

	if (m >= 0 || ids != UINT64_MAX)
		json_object_set_new(t->modes, file,
		    json_pack("[I,I,I]", (json_int_t)m,
			(json_int_t)id_of((uint32_t)(ids >> 32)),
			(json_int_t)id_of((uint32_t)ids)));
}

void
top_load(struct tree_server *t)
{
	const struct profile *p;
	size_t i;

	json_decref(t->modes);
	t->modes = json_object();
	for (i = 0; i < NFILES; i++)
		load(t, files[i]);
	TAILQ_FOREACH (p, &t->f->cfg->profiles, link) {
		cleanup_free char *file = xasprintf("profiles/%s", p->name);

		load(t, file);
	}
}

static bool
is_file(const struct tree_server *t, const char *file)
{
	size_t i;

	if (strncmp(file, "profiles/", 9) == 0)
		return config_profile(t->f->cfg, file + 9) != NULL;
	for (i = 0; i < NFILES; i++)
		if (strcmp(files[i], file) == 0)
			return true;
	return false;
}

static int
keep(struct tree_server *t, const char *file, const struct tree_attrs *a,
    struct err *e)
{
	cleanup_free char *mode = mode_key(file), *owner = owner_key(file);
	uint64_t ids = (uint64_t)(uint32_t)a->owner << 32 | (uint32_t)a->group;

	if (store_set_meta(t->f->store, mode, a->mode, e) < 0)
		return -1;
	return store_set_meta(t->f->store, owner, (int64_t)ids, e);
}

static void
tell(struct tree_server *t)
{
	struct tree_conn *c;

	TAILQ_FOREACH (c, &t->conns, link) {
		if (!c->hello)
			continue;
		conn_notify(c, "top", json_pack("{s:O}", "modes", t->modes));
		conn_flush(c);
	}
}

/* What is not given stays as it was. */
static void
merge(const json_t *old, struct tree_attrs *a)
{
	json_int_t mode, owner, group;

	if (json_unpack(
		(json_t *)(uintptr_t)old, "[I,I,I]", &mode, &owner, &group) < 0)
		return;
	if (a->mode < 0)
		a->mode = mode;
	if (a->owner < 0)
		a->owner = owner;
	if (a->group < 0)
		a->group = group;
}

int
top_set(struct treq *r, struct tree_attrs *a, struct err *e)
{
	struct tree_server *t = r->t;

	if (!is_file(t, a->file))
		return err_setx(e, ENOENT, "no such file");
	if (!r->caller.all)
		return err_setx(e, EPERM, "only root may");
	merge(json_object_get(t->modes, a->file), a);
	if (keep(t, a->file, a, e) < 0)
		return -1;
	json_object_set_new(t->modes, a->file,
	    json_pack("[I,I,I]", (json_int_t)a->mode, (json_int_t)a->owner,
		(json_int_t)a->group));
	tell(t);
	return 0;
}
