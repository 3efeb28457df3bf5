#include "runtimes/ids.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/dirs.h"
#include "runtimes/runtime.h"

#define SLOT_MAX 16

/* Where to begin, so that sandboxes seldom meet: FNV-1a. */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static bool
owned(int at, const char *slot, const char *id)
{
	char text[RT_ID_MAX];
	ssize_t n = readlinkat(at, slot, text, sizeof(text));

	return n > 0 && (size_t)n == strlen(id) &&
	    memcmp(text, id, (size_t)n) == 0;
}

int
ids_take(
    int at, int64_t count, const char *id, uint32_t *ret_slot, struct err *e)
{
	uint32_t first = (uint32_t)(hash(id) % (uint64_t)count);
	char slot[SLOT_MAX];
	int64_t i;

	for (i = 0; i < count; i++) {
		uint32_t n = (uint32_t)((first + i) % count);

		(void)snprintf(slot, sizeof(slot), "%u", n);
		if (symlinkat(id, at, slot) == 0 || owned(at, slot, id)) {
			*ret_slot = n;
			return 0;
		}
		if (errno != EEXIST && errno != ENOENT)
			return err_set(e, errno, "range of ids %s", slot);
	}
	return err_setx(
	    e, EAGAIN, "all %lld ranges of ids are taken", (long long)count);
}

static int
give(int at, const char *slot, const char *id, struct err *e)
{
	if (!owned(at, slot, id))
		return 0;
	if (unlinkat(at, slot, 0) < 0 && errno != ENOENT)
		return err_set(e, errno, "range of ids %s", slot);
	return 0;
}

int
ids_give(int at, uint32_t slot, const char *id, struct err *e)
{
	char name[SLOT_MAX];

	(void)snprintf(name, sizeof(name), "%u", slot);
	return give(at, name, id, e);
}

struct giving {
	int at;
	const char *id;
};

static int
give_one(const char *slot, void *arg)
{
	const struct giving *g = arg;
	struct err e;

	(void)give(g->at, slot, g->id, &e);
	return 0;
}

int
ids_give_all(int at, const char *id, struct err *e)
{
	struct giving g = { at, id };

	return dirs_each(at, ".", give_one, &g, e);
}

struct asking {
	int at;
	int (*each)(const char *id, void *arg);
	void *arg;
};

static int
ask_one(const char *slot, void *arg)
{
	const struct asking *a = arg;
	char id[RT_ID_MAX];
	ssize_t n = readlinkat(a->at, slot, id, sizeof(id) - 1);

	if (n <= 0)
		return 0;
	id[n] = '\0';
	return a->each(id, a->arg);
}

int
ids_each(
    int at, int (*each)(const char *id, void *arg), void *arg, struct err *e)
{
	struct asking a = { at, each, arg };

	return dirs_each(at, ".", ask_one, &a, e);
}
