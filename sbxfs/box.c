#include "sbxfs/box.h"

#include <search.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "sbxfs/trees.h"

static int
cmp_name(const void *a, const void *b)
{
	return strcmp(
	    ((const struct box *)a)->name, ((const struct box *)b)->name);
}

static int
cmp_id(const void *a, const void *b)
{
	return strcmp(((const struct box *)a)->id, ((const struct box *)b)->id);
}

static struct box *
find(void *const *root, const struct box *key,
    int (*cmp)(const void *, const void *))
{
	struct box *const *at = tfind(key, root, cmp);

	return at != NULL ? *at : NULL;
}

static void
forget_name(struct boxes *bs, struct box *b)
{
	if (find(&bs->by_name, b, cmp_name) == b)
		tdelete(b, &bs->by_name, cmp_name);
}

static void
learn_name(struct boxes *bs, struct box *b)
{
	struct box *was;

	if (b->name[0] == '\0')
		return;
	if ((was = find(&bs->by_name, b, cmp_name)) != NULL)
		tdelete(was, &bs->by_name, cmp_name);
	if (was != NULL && was->life == BOX_HUSK)
		boxes_drop_husk(bs, was);
	tsearch(b, &bs->by_name, cmp_name);
}

void
boxes_init(struct boxes *bs)
{
	memset(bs, 0, sizeof(*bs));
	TAILQ_INIT(&bs->all);
}

/* Out of the list and both indexes; whoever holds it sees it dead. */
static void
drop(struct boxes *bs, struct box *b)
{
	forget_name(bs, b);
	if (find(&bs->by_id, b, cmp_id) == b)
		tdelete(b, &bs->by_id, cmp_id);
	TAILQ_REMOVE(&bs->all, b, link);
	b->life = BOX_DEAD;
	trees_drop(b);
	box_unref(b);
}

void
boxes_done(struct boxes *bs)
{
	struct box *b;

	while ((b = TAILQ_FIRST(&bs->all)) != NULL)
		drop(bs, b);
}

void
boxes_begin(struct boxes *bs)
{
	bs->round++;
}

/* b, or NULL when it is a husk that nobody removes any more. */
static struct box *
unless_old(struct boxes *bs, struct box *b)
{
	if (b == NULL || b->life != BOX_HUSK ||
	    clock_ms() - b->husk_ms < HUSK_MS)
		return b;
	drop(bs, b);
	return NULL;
}

static void
end_box(struct boxes *bs, struct box *b)
{
	if (!b->leaves_husk) {
		drop(bs, b);
		return;
	}
	b->life = BOX_HUSK;
	b->husk_ms = clock_ms();
	trees_drop(b);
}

void
box_remove_row(struct box *b, const struct file *f)
{
	b->removed |= 1ull << file_index(f);
	b->husk_ms = clock_ms();
}

void
boxes_synced(struct boxes *bs)
{
	struct box *b, *next;

	for (b = TAILQ_FIRST(&bs->all); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		if (b->life == BOX_LIVE && b->round != bs->round)
			end_box(bs, b);
	}
}

static struct box *
new_box(struct boxes *bs, const char *id)
{
	struct box *b = xcalloc(1, sizeof(*b)), *old, *next;

	for (old = TAILQ_FIRST(&bs->all); old != NULL; old = next) {
		next = TAILQ_NEXT(old, link);
		(void)unless_old(bs, old);
	}
	b->refs = 1;
	(void)str_copy(b->id, id, sizeof(b->id));
	LIST_INIT(&b->job_husks);
	LIST_INIT(&b->writers);
	LIST_INIT(&b->opened);
	TAILQ_INIT(&b->parked);
	TAILQ_INSERT_TAIL(&bs->all, b, link);
	tsearch(b, &bs->by_id, cmp_id);
	return b;
}

struct box *
boxes_update(struct boxes *bs, const json_t *params)
{
	const char *id, *name, *state = "";
	json_int_t uid, gid, mode, created = 0, run = 0;
	json_t *modes = NULL, *named = NULL;
	int protect = 0;
	struct box *b;

	if (json_unpack((json_t *)(uintptr_t)params,
		"{s:s,s?o,s:I,s:I,s:I,s?s,s?I,s?I,s?o,s?b}", "id", &id, "name",
		&named, "uid", &uid, "gid", &gid, "mode", &mode, "state",
		&state, "created", &created, "run", &run, "modes", &modes,
		"protect", &protect) < 0 ||
	    strlen(id) >= BOX_ID_MAX)
		return NULL;
	/* null where it has none */
	if ((name = json_string_value(named)) == NULL)
		name = "";
	if (strlen(name) >= BOX_NAME_MAX)
		return NULL;
	if ((b = boxes_by_id(bs, id)) == NULL)
		b = new_box(bs, id);
	b->life = BOX_LIVE;
	if (strcmp(b->name, name) != 0) {
		forget_name(bs, b);
		(void)str_copy(b->name, name, sizeof(b->name));
		learn_name(bs, b);
	}
	(void)str_copy(b->state, state, sizeof(b->state));
	b->uid = (uid_t)uid;
	b->gid = (gid_t)gid;
	b->mode = (mode_t)mode & 07777;
	b->created = created;
	b->protect = protect;
	json_decref(b->modes);
	b->modes = json_is_object(modes) ? json_incref(modes) : NULL;
	if (b->run != (uint32_t)run)
		trees_drop(b);
	b->run = (uint32_t)run;
	b->round = bs->round;
	return b;
}

void
boxes_gone(struct boxes *bs, const char *id)
{
	struct box *b = boxes_by_id(bs, id);

	if (b != NULL && b->life == BOX_LIVE)
		end_box(bs, b);
}

struct box *
boxes_by_name(struct boxes *bs, const char *name)
{
	struct box key;

	if (*name == '\0' || !str_copy(key.name, name, sizeof(key.name)))
		return NULL;
	return unless_old(bs, find(&bs->by_name, &key, cmp_name));
}

struct box *
boxes_by_id(struct boxes *bs, const char *id)
{
	struct box key;

	if (!str_copy(key.id, id, sizeof(key.id)))
		return NULL;
	return unless_old(bs, find(&bs->by_id, &key, cmp_id));
}

void
boxes_drop_husk(struct boxes *bs, struct box *b)
{
	if (b->life == BOX_HUSK)
		drop(bs, b);
}

/*** What is left of jobs ***/

void
job_husk_drop(struct job_husk *k)
{
	LIST_REMOVE(k, link);
	free(k);
}

void
job_husk_remove_row(struct job_husk *k, const struct file *f)
{
	k->removed |= 1ull << file_index(f);
	k->husk_ms = clock_ms();
}

struct job_husk *
box_job_husk(struct box *b, int job)
{
	struct job_husk *k, *next, *found = NULL;
	int64_t now = clock_ms();

	for (k = LIST_FIRST(&b->job_husks); k != NULL; k = next) {
		next = LIST_NEXT(k, link);
		if (now - k->husk_ms >= HUSK_MS)
			job_husk_drop(k);
		else if (k->job == job)
			found = k;
	}
	return found;
}

struct job_husk *
box_leave_job(struct box *b, int job)
{
	struct job_husk *k = box_job_husk(b, job);

	if (k != NULL)
		return k;
	k = xcalloc(1, sizeof(*k));
	k->job = job;
	k->husk_ms = clock_ms();
	LIST_INSERT_HEAD(&b->job_husks, k, link);
	return k;
}

const char *
box_shown(const struct box *b)
{
	return b->name[0] != '\0' ? b->name : b->id;
}

struct box *
box_ref(struct box *b)
{
	if (b != NULL)
		b->refs++;
	return b;
}

void
box_unref(struct box *b)
{
	struct job_husk *k;

	if (b == NULL || --b->refs > 0)
		return;
	while ((k = LIST_FIRST(&b->job_husks)) != NULL)
		job_husk_drop(k);
	json_decref(b->modes);
	free(b);
}
