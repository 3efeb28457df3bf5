/*
 * tree_box.c - sandboxes as directories: made, destroyed, renamed, given
 * away; what is held by an open file; the directories beneath fs/.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/brokerc.h"
#include "daemon/front_impl.h"
#include "daemon/tree_impl.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/words.h"

void
tree_hello(struct treq *r)
{
	struct tree_conn *c = r->conn;
	struct front *f = r->t->f;
	int64_t version = 0;
	struct json_field fields[] = {
		{ "version", JSON_K_INT, true, &version },
	};

	if (TREQ_TAKE(r, fields) < 0)
		return;
	if (version != TREE_VERSION) {
		treq_fail_code(r, EPROTO, "another version of the protocol");
		return;
	}
	c->hello = true;
	treq_reply(r,
	    json_pack("{s:i,s:I,s:I}", "version", TREE_VERSION, "gid",
		(json_int_t)f->group, "since",
		(json_int_t)(f->since_ms / 1000)));
	conn_sync(c);
}

/*** Held by an open file of /sbx/new ***/

static struct held *
held_find(struct tree_server *t, const char *id)
{
	struct held *h;

	TAILQ_FOREACH (h, &t->held, link)
		if (strcmp(h->id, id) == 0)
			return h;
	return NULL;
}

static struct held *
held_add(struct tree_server *t, const char *id, struct tree_conn *c)
{
	struct held *h = held_find(t, id);

	if (h == NULL) {
		h = xcalloc(1, sizeof(*h));
		str_copy(h->id, id, sizeof(h->id));
		TAILQ_INSERT_TAIL(&t->held, h, link);
	}
	h->conn = c;
	if (c == NULL) {
		h->until_ms = (int64_t)uv_now(t->f->loop) + TREE_HELD_MS;
		tree_tick_start(t);
	}
	return h;
}

static void
held_drop(struct tree_server *t, struct held *h)
{
	TAILQ_REMOVE(&t->held, h, link);
	free(h);
}

/* Nobody has it open any more. */
static void
held_end(struct tree_server *t, struct held *h)
{
	struct sandbox *sb = sandbox_by_id(t->f, h->id);
	struct err e;

	held_drop(t, h);
	if (sb != NULL && sb->held && sandbox_destroy(sb, &e) < 0)
		log_warnx("sandbox %s: %s", sb->id, e.text);
}

/* After a restart: whoever had them open says so, or they go. */
void
held_start(struct tree_server *t)
{
	const struct sandbox *sb;

	TAILQ_FOREACH (sb, &t->f->sandboxes, link)
		if (sb->held)
			(void)held_add(t, sb->id, NULL);
}

void
held_conn_gone(struct tree_conn *c)
{
	struct held *h;

	TAILQ_FOREACH (h, &c->t->held, link)
		if (h->conn == c)
			(void)held_add(c->t, h->id, NULL);
}

bool
held_tick(struct tree_server *t)
{
	int64_t now = (int64_t)uv_now(t->f->loop);
	struct held *h, *next;
	bool any = false;

	for (h = TAILQ_FIRST(&t->held); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->conn != NULL)
			continue;
		if (now >= h->until_ms)
			held_end(t, h);
		else
			any = true;
	}
	return any;
}

void
held_free_all(struct tree_server *t)
{
	struct held *h;

	while ((h = TAILQ_FIRST(&t->held)) != NULL)
		held_drop(t, h);
}

void
tree_hold(struct treq *r)
{
	const json_t *ids = NULL, *id;
	struct json_field fields[] = {
		{ "ids", JSON_K_ARRAY, true, &ids },
	};
	const struct sandbox *sb;
	struct err e;
	size_t i;

	if (JSON_TAKE(r->params, fields, &e) == 0)
		json_array_foreach (ids, i, id) {
			if (!json_is_string(id))
				continue;
			sb = sandbox_by_id(r->t->f, json_string_value(id));
			if (sb != NULL && sb->held &&
			    (r->conn->root || caller_owns(&r->caller, sb)))
				(void)held_add(r->t, sb->id, r->conn);
		}
	treq_reply(r, NULL);
}

void
tree_release(struct treq *r)
{
	const char *id = NULL;
	struct json_field fields[] = {
		{ "id", JSON_K_STRING, true, &id },
	};
	struct held *h;
	struct err e;

	if (JSON_TAKE(r->params, fields, &e) == 0 &&
	    (h = held_find(r->t, id)) != NULL && h->conn == r->conn)
		held_end(r->t, h);
	treq_reply(r, NULL);
}

/* Something beneath fs/ changes: it is not idle. */
void
tree_used(struct treq *r)
{
	const char *id = NULL;
	struct json_field fields[] = {
		{ "id", JSON_K_STRING, true, &id },
	};
	struct sandbox *sb;
	struct err e;

	if (JSON_TAKE(r->params, fields, &e) == 0 &&
	    (sb = sandbox_by_id(r->t->f, id)) != NULL &&
	    (r->conn->root || caller_owns(&r->caller, sb)))
		sb->active_ms = clock_real_ms();
	treq_reply(r, NULL);
}

/*** create ***/

struct create_params {
	const char *name;
	const json_t *args;
	bool wait, hold, check;
};

static void
reply_created(struct treq *r, const struct sandbox *sb)
{
	treq_reply(r,
	    json_pack("{s:s,s:s}", "id", sb->id, "name", sandbox_called(sb)));
}

static void
created(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct treq *r = w->arg;
	struct held *h = held_find(r->t, sb->id);

	if (e == NULL) {
		reply_created(r, sb);
		return;
	}
	if (h != NULL)
		held_drop(r->t, h);
	treq_fail(r, e);
}

/* For /sbx/errors: what a line of ctl would have been. */
static void
show_command(struct treq *r, const struct create_params *p)
{
	const json_t *word;
	size_t i;

	(void)buf_adds(
	    &r->cmd, p->hold || p->name == NULL ? "create" : "mkdir");
	if (p->name != NULL)
		(void)buf_addf(&r->cmd, " %s", p->name);
	json_array_foreach (p->args, i, word) {
		(void)buf_adds(&r->cmd, " ");
		if (json_is_string(word))
			(void)words_quote(&r->cmd, json_string_value(word));
	}
}

static int
add_words(const struct create_params *p, struct create_words *cw, struct err *e)
{
	const json_t *word;
	size_t i;

	json_array_foreach (p->args, i, word) {
		if (!json_is_string(word))
			return err_setx(e, EINVAL, "args: expected strings");
		if (create_words_add(cw, json_string_value(word), e) < 0)
			return -1;
	}
	return 0;
}

static void
create(struct treq *r, const struct create_params *p)
{
	struct create_words cw;
	struct sandbox *sb = NULL;
	struct err e;
	int ret;

	create_words_init(&cw);
	cw.args.name = p->name;
	cw.args.held = p->hold;
	cw.args.keep_failed = !p->wait;
	ret = add_words(p, &cw, &e);
	if (ret == 0)
		ret = p->check
		    ? sandbox_create_check(r->t->f, &r->caller, &cw.args, &e)
		    : sandbox_create(r->t->f, &r->caller, &cw.args, &sb, &e);
	create_words_done(&cw);
	if (ret < 0) {
		treq_fail(r, &e);
		return;
	}
	if (p->check) {
		treq_reply(r, json_object());
		return;
	}
	if (p->hold)
		(void)held_add(r->t, sb->id, r->conn);
	if (!p->wait) {
		reply_created(r, sb);
		return;
	}
	str_copy(r->made, sb->id, sizeof(r->made));
	r->wait = (struct wait){ .done = created, .arg = r };
	sandbox_wait(sb, &r->wait);
}

void
tree_create(struct treq *r)
{
	struct create_params p = { 0 };
	struct json_field fields[] = {
		{ "name", JSON_K_STRING, false, &p.name },
		{ "args", JSON_K_ARRAY, false, &p.args },
		{ "wait", JSON_K_BOOL, false, &p.wait },
		{ "hold", JSON_K_BOOL, false, &p.hold },
		{ "check", JSON_K_BOOL, false, &p.check },
	};

	if (TREQ_TAKE(r, fields) < 0)
		return;
	show_command(r, &p);
	create(r, &p);
}

/*** destroy, rename, chown and chmod ***/

/* The sandbox of params, and it is the caller's. NULL: answered. */
static struct sandbox *
own_box(struct treq *r)
{
	struct sandbox *sb = treq_box(r);

	if (sb == NULL || caller_owns(&r->caller, sb))
		return sb;
	treq_fail_code(r, EPERM, "another user's");
	return NULL;
}

void
tree_destroy(struct treq *r)
{
	struct sandbox *sb = own_box(r);
	struct err e;

	if (sb == NULL)
		return;
	(void)buf_adds(&r->cmd, "destroy");
	treq_end(r, sandbox_destroy(sb, &e), &e);
}

void
tree_rename(struct treq *r)
{
	struct sandbox *sb = own_box(r);
	const char *name = NULL;
	struct json_field fields[] = {
		{ "name", JSON_K_STRING, true, &name },
	};
	struct err e;

	if (sb == NULL || TREQ_TAKE(r, fields) < 0)
		return;
	(void)buf_addf(&r->cmd, "mv %s %s", sandbox_called(sb), name);
	treq_end(r, sandbox_rename(sb, name, &e), &e);
}

/* Those who owned it and do not any more never hear of it again. */
static void
tell_former(struct tree_server *t, const struct sandbox *sb, uid_t before)
{
	struct tree_conn *c;

	TAILQ_FOREACH (c, &t->conns, link) {
		if (!c->hello || c->root || c->peer.uid != before ||
		    caller_owns(&c->peer, sb))
			continue;
		conn_notify(c, "gone", json_pack("{s:s}", "id", sb->id));
		conn_flush(c);
	}
}

static int
set_attrs(struct treq *r, struct sandbox *sb, const struct tree_attrs *a,
    struct err *e)
{
	const struct file_mode m = { (mode_t)a->mode, (uid_t)a->owner,
		(gid_t)a->group };
	uid_t before = sb->uid;

	if (a->file != NULL || json_object_get(r->params, "job") != NULL)
		return tree_chmod(r, sb, a->file, &m, e);
	if ((a->owner >= 0 || a->group >= 0) &&
	    sandbox_chown(sb, (uid_t)a->owner, (gid_t)a->group, e) < 0)
		return -1;
	tell_former(r->t, sb, before);
	if (a->mode < 0)
		return 0;
	return sandbox_chmod(sb, NULL, &m, e);
}

static int
check_attrs(struct treq *r, const struct tree_attrs *a, struct err *e)
{
	if (a->mode < -1 || a->mode > 07777 || a->owner < -1 ||
	    a->owner >= UINT32_MAX || a->group < -1 || a->group >= UINT32_MAX)
		return err_setx(e, EINVAL, "owner, group, mode: out of range");
	if (r->conn->remote && (a->owner >= 0 || a->group >= 0))
		return err_setx(
		    e, EPERM, "users are those of the daemon's machine");
	if (a->owner >= 0 && !r->caller.all && (uid_t)a->owner != r->caller.uid)
		return err_setx(e, EPERM, "only root gives sandboxes away");
	/* the kernel knows all groups of those that root speaks for */
	if (a->group >= 0 && !r->conn->root && (gid_t)a->group != r->caller.gid)
		return err_setx(e, EPERM, "not a group of yours");
	return 0;
}

void
tree_setattr(struct treq *r)
{
	bool top = json_object_get(r->params, "id") == NULL;
	struct sandbox *sb = top ? NULL : own_box(r);
	struct tree_attrs a = { .owner = -1, .group = -1, .mode = -1 };
	struct json_field fields[] = {
		{ "file", JSON_K_STRING, false, &a.file },
		{ "owner", JSON_K_INT, false, &a.owner },
		{ "group", JSON_K_INT, false, &a.group },
		{ "mode", JSON_K_INT, false, &a.mode },
	};
	struct err e;
	int ret;

	if (sb == NULL && !top)
		return;
	fields[0].required = top;
	if (TREQ_TAKE(r, fields) < 0)
		return;
	ret = check_attrs(r, &a, &e);
	if (ret == 0)
		ret = top ? top_set(r, &a, &e) : set_attrs(r, sb, &a, &e);
	treq_end(r, ret, &e);
}

/*** trees ***/

static json_t *
trees_result(const struct treq *r, const struct broker_rep *rep)
{
	const struct sandbox *sb = sandbox_by_id(r->t->f, r->box);
	json_t *trees = json_array(), *ro = json_array();
	size_t i;

	for (i = 0; i < rep->ntrees; i++) {
		json_array_append_new(trees, json_string(rep->trees[i].prefix));
		json_array_append_new(
		    ro, json_boolean(rep->trees[i].readonly != 0));
	}
	return json_pack("{s:I,s:I,s:o,s:o}", "run",
	    (json_int_t)(sb != NULL ? sb->run : 0), "base",
	    (json_int_t)(sb != NULL ? sb->id_base : 0), "trees", trees, "ro",
	    ro);
}

static void
got_trees(void *arg, struct broker_answer *a)
{
	struct treq *r = arg;
	struct err e;

	if (r->answered) {
		; /* nobody to tell */
	} else if (broker_failed(a, &e) < 0) {
		err_wrap(&e, "fs");
		treq_fail(r, &e);
	} else if (a->rep.ntrees != a->nfds) {
		treq_fail_code(r, EIO, "fs: not as many directories as names");
	} else {
		treq_reply_fds(r, trees_result(r, &a->rep), a->fds, a->nfds);
		a->nfds = 0;
	}
	treq_unref(r);
}

static void
ask_trees(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct treq *r = w->arg;
	struct broker_req q;

	/* one in state error has its disk as well */
	if (e != NULL && sb->state != SB_ERROR) {
		treq_fail(r, e);
		return;
	}
	sb_req(sb, BROKER_TREES, &q);
	brokerc_ask(r->t->f->broker, &q, true, got_trees, treq_ref(r));
}

void
tree_trees(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "fs", X_OK);

	if (sb == NULL)
		return;
	/* others are served by the agent, not by directories of the host */
	if (r->conn->remote || (!r->conn->root && !r->conn->peer.all)) {
		treq_fail_code(r, EPERM, "directories are for root's sbxfs");
		return;
	}
	r->wait = (struct wait){ .done = ask_trees, .arg = r };
	sandbox_wait(sb, &r->wait);
}
