#include "daemon/front.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/agentc.h"
#include "daemon/brokerc.h"
#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/jobs.h"
#include "daemon/store.h"
#include "daemon/tree.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

const char *const sb_state_names[SB_STATES] = {
	[SB_CREATING] = "creating",
	[SB_RUNNING] = "running",
	[SB_PAUSED] = "paused",
	[SB_STOPPING] = "stopping",
	[SB_STOPPED] = "stopped",
	[SB_STARTING] = "starting",
	[SB_DESTROYING] = "destroying",
	[SB_DESTROYED] = "destroyed",
	[SB_ERROR] = "error",
};

/*** Making and freeing ***/

/* "sbx-", the node's name and "-" where it has one, 32 random digits. */
static void
new_id(const struct front *f, char id[RT_ID_MAX])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char r[16];
	size_t i, n;

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		fatal("getrandom");
	str_copy(id, "sbx-", RT_ID_MAX);
	n = strlen(id);
	if (*f->cfg->node_id != '\0') {
		n += strlen(f->cfg->node_id) + 1;
		assert(n + 33 <= RT_ID_MAX);
		strcat(id, f->cfg->node_id);
		strcat(id, "-");
	}
	for (i = 0; i < sizeof(r); i++) {
		id[n++] = hex[r[i] >> 4];
		id[n++] = hex[r[i] & 15];
	}
	id[n] = '\0';
}

struct sandbox *
sb_new(struct front *f, const char *id)
{
	struct sandbox *sb = xcalloc(1, sizeof(*sb));

	sb->f = f;
	sb->refs = 1;
	if (id != NULL)
		str_copy(sb->id, id, sizeof(sb->id));
	else
		new_id(f, sb->id);
	sb->mode = 0700;
	sb->ttl_s = -1;
	sb->last_exit = -1;
	sb->next_job = 1;
	sb->labels = json_object();
	sb->env = json_object();
	sb->modes = json_object();
	sb->exposed = json_object();
	sb->created_ms = clock_real_ms();
	sb->changed_ms = sb->env_ms = sb->ctl_ms = sb->created_ms;
	sb->active_ms = sb->created_ms;
	TAILQ_INIT(&sb->jobs);
	TAILQ_INIT(&sb->waits);
	return sb;
}

struct sandbox *
sb_ref(struct sandbox *sb)
{
	sb->refs++;
	return sb;
}

void
sb_unref(struct sandbox *sb)
{
	if (--sb->refs != 0)
		return;
	assert(
	    TAILQ_EMPTY(&sb->waits) && sb->agent == NULL && sb->ports == NULL);
	jobs_free(sb);
	json_decref(sb->labels);
	json_decref(sb->env);
	json_decref(sb->modes);
	json_decref(sb->exposed);
	free(sb);
}

/*** The registry ***/

/* The trees hold pointers to the id and name members of sandboxes. */
static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct sandbox *
tree_find(void *const *root, const char *key, size_t member)
{
	char **node = tfind(key, root, compare);

	return node == NULL ? NULL : (struct sandbox *)(void *)(*node - member);
}

void
registry_add(struct sandbox *sb)
{
	struct front *f = sb->f;

	TAILQ_INSERT_TAIL(&f->sandboxes, sb, link);
	f->nsandboxes++;
	if (tsearch(sb->id, &f->by_id, compare) == NULL ||
	    (*sb->name != '\0' &&
		tsearch(sb->name, &f->by_name, compare) == NULL))
		abort();
}

void
registry_remove(struct sandbox *sb)
{
	struct front *f = sb->f;

	(void)tdelete(sb->id, &f->by_id, compare);
	if (*sb->name != '\0')
		(void)tdelete(sb->name, &f->by_name, compare);
	TAILQ_REMOVE(&f->sandboxes, sb, link);
	f->nsandboxes--;
}

void
registry_rename(struct sandbox *sb, const char *name)
{
	struct front *f = sb->f;

	if (*sb->name != '\0')
		(void)tdelete(sb->name, &f->by_name, compare);
	str_copy(sb->name, name, sizeof(sb->name));
	if (*name != '\0' && tsearch(sb->name, &f->by_name, compare) == NULL)
		abort();
}

struct sandbox *
registry_named(struct front *f, const char *name)
{
	return tree_find(&f->by_name, name, offsetof(struct sandbox, name));
}

struct sandbox *
sandbox_by_id(struct front *f, const char *id)
{
	return tree_find(&f->by_id, id, offsetof(struct sandbox, id));
}

uid_t
identity_key(const char *identity, uid_t uid)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	if (*identity == '\0' || strcmp(identity, "-") == 0 ||
	    strncmp(identity, "uid:", 4) == 0)
		return uid;
	for (; *identity != '\0'; identity++)
		h = (h ^ (unsigned char)*identity) * 16777619u;
	/* not (uid_t)-1, which is nobody */
	return (h | 0x80000000u) & ~1u;
}

bool
caller_owns(const struct caller *c, const struct sandbox *sb)
{
	return c->all || strcmp(c->identity, sb->owner) == 0 ||
	    (c->uid != (uid_t)-1 && c->uid == sb->uid);
}

struct sandbox *
sandbox_look(struct front *f, const struct caller *c, const char *id_or_name)
{
	struct sandbox *sb = sandbox_by_id(f, id_or_name);

	if (sb == NULL)
		sb = registry_named(f, id_or_name);
	return sb != NULL && caller_owns(c, sb) ? sb : NULL;
}

struct sandbox *
sandbox_find(struct front *f, const struct caller *c, const char *id_or_name)
{
	struct sandbox *sb = sandbox_look(f, c, id_or_name);

	if (sb == NULL)
		return NULL;
	sb->used = true;
	sb->active_ms = clock_real_ms();
	return sb;
}

static bool
name_char(char c, bool first)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') ||
	    (!first && (c == '.' || c == '_' || c == '-'));
}

int
sandbox_name_check(const char *name, struct err *e)
{
	static const char *const reserved[] = { "ctl", "new", "events",
		"errors", "status", "profiles", "pool", "templates", "jobs",
		"stats", "log", "net", "version", "help", "volumes", "images",
		"nodes", "tools" };
	size_t i;

	if (*name == '\0')
		return err_setx(e, EINVAL, "a name may not be empty");
	if (strlen(name) >= SB_NAME_MAX)
		return err_setx(e, EINVAL,
		    "name %.20s...: longer than %d characters", name,
		    SB_NAME_MAX - 1);
	for (i = 0; name[i] != '\0'; i++)
		if (!name_char(name[i], i == 0))
			return err_setx(e, EINVAL,
			    "name %s: only letters, digits, . _ - and a letter "
			    "or digit first",
			    name);
	if (strncmp(name, "sbx-", 4) == 0 || strncmp(name, "tpl-", 4) == 0)
		return err_setx(e, EINVAL,
		    "name %s: sbx- and tpl- begin ids, not names", name);
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(name, reserved[i]) == 0)
			return err_setx(e, EINVAL, "name %s is reserved", name);
	return 0;
}

const char *
sandbox_called(const struct sandbox *sb)
{
	return *sb->name != '\0' ? sb->name : sb->id;
}

/*** Row, notification, who waits ***/

int
sb_store(struct sandbox *sb, struct err *e)
{
	sb->changed_ms = clock_real_ms();
	return sb->pooled ? 0 : store_put(sb->f->store, sb, e);
}

void
sb_announce(struct sandbox *sb)
{
	if (!sb->pooled)
		tree_sandbox(sb->f, sb);
}

void
sb_req(const struct sandbox *sb, enum broker_op op, struct broker_req *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->op = op;
	str_copy(ret->id, sb->id, sizeof(ret->id));
}

bool
sandbox_settled(const struct sandbox *sb)
{
	switch (sb->state) {
	case SB_CREATING:
	case SB_STOPPING:
	case SB_STARTING:
	case SB_DESTROYING:
		return false;
	case SB_RUNNING:
	case SB_PAUSED:
	case SB_STOPPED:
	case SB_DESTROYED:
	case SB_ERROR:
	case SB_STATES:
		break;
	}
	return sb->applying == 0;
}

void
sandbox_wait(struct sandbox *sb, struct wait *w)
{
	struct err e;

	w->sb = NULL;
	if (!sandbox_settled(sb)) {
		w->sb = sb;
		TAILQ_INSERT_TAIL(&sb->waits, w, link);
		return;
	}
	if (sb->state == SB_ERROR)
		err_setx(&e, EIO, "%s", sb->reason);
	else if (sb->state == SB_DESTROYED)
		err_setx(&e, ESTALE, "the sandbox was destroyed");
	w->done(w, sb,
	    sb->state == SB_ERROR || sb->state == SB_DESTROYED ? &e : NULL);
}

void
wait_cancel(struct wait *w)
{
	if (w->sb == NULL)
		return;
	TAILQ_REMOVE(&w->sb->waits, w, link);
	w->sb = NULL;
}

void
sb_wake(struct sandbox *sb, const struct err *e)
{
	struct wait *w;

	if (!sandbox_settled(sb))
		return;
	sb_ref(sb);
	while (sandbox_settled(sb) && (w = TAILQ_FIRST(&sb->waits)) != NULL) {
		TAILQ_REMOVE(&sb->waits, w, link);
		w->sb = NULL;
		w->done(w, sb, e);
	}
	sb_unref(sb);
}

int
sandbox_changed(struct sandbox *sb, struct err *e)
{
	/* its row would come back, and the mount would hear of it again */
	if (sb->state == SB_DESTROYING || sb->state == SB_DESTROYED)
		return 0;
	sb->ctl_ms = clock_real_ms();
	if (sb_store(sb, e) < 0)
		return -1;
	sb_announce(sb);
	return 0;
}
