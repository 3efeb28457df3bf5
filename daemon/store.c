#include "daemon/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"

/* Of the tables below; a file with a larger one is from a later version. */
#define SCHEMA 1

enum kind {
	COL_TEXT, /* char array of size */
	COL_I64,
	COL_INT,
	COL_U32,
	COL_BOOL,
	COL_JSON,  /* json_t *, an object */
	COL_STATE, /* enum sb_state, by its name */
};

struct column {
	const char *name;
	enum kind kind;
	size_t off;
	size_t size;
};

#define COL(name, member, kind)                               \
	{                                                     \
		name, kind, offsetof(struct sandbox, member), \
		    sizeof(((struct sandbox *)0)->member)     \
	}

/* The first is the key. SQL below is made from this table. */
static const struct column columns[] = {
	COL("id", id, COL_TEXT),
	COL("name", name, COL_TEXT),
	COL("state", state, COL_STATE),
	COL("reason", reason, COL_TEXT),
	COL("owner", owner, COL_TEXT),
	COL("uid", uid, COL_U32),
	COL("gid", gid, COL_U32),
	COL("mode", mode, COL_U32),
	COL("modes", modes, COL_JSON),
	COL("profile", profile, COL_TEXT),
	COL("image", image, COL_TEXT),
	COL("runtime", runtime, COL_TEXT),
	COL("network", network, COL_TEXT),
	COL("memory_bytes", limits.memory_bytes, COL_I64),
	COL("cpu_milli", limits.cpu_milli, COL_I64),
	COL("pids", limits.pids, COL_I64),
	COL("storage_bytes", limits.storage_bytes, COL_I64),
	COL("timeout_s", timeout_s, COL_I64),
	COL("ttl_s", ttl_s, COL_I64),
	COL("idle_s", idle_s, COL_I64),
	COL("protect", protect, COL_BOOL),
	COL("held", held, COL_BOOL),
	COL("warm", warm, COL_BOOL),
	COL("used", used, COL_BOOL),
	COL("labels", labels, COL_JSON),
	COL("env", env, COL_JSON),
	COL("created_ms", created_ms, COL_I64),
	COL("env_ms", env_ms, COL_I64),
	COL("ctl_ms", ctl_ms, COL_I64),
	COL("changed_ms", changed_ms, COL_I64),
	COL("next_job", next_job, COL_INT),
	COL("exposed", exposed, COL_JSON),
};

#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

_Static_assert(sizeof(uid_t) == 4 && sizeof(mode_t) == 4, "COL_U32");
_Static_assert(sizeof(enum sb_state) == sizeof(int), "COL_STATE");

struct store {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *put, *del, *each, *set_meta, *get_meta, *queue, *unqueue;
};

static const void *
member(const struct sandbox *sb, const struct column *c)
{
	return (const char *)sb + c->off;
}

/*** Errors ***/

static const struct {
	int code;
	int error;
	const char *text;
} failures[] = {
	{ SQLITE_BUSY, EBUSY, "another process has locked it" },
	{ SQLITE_LOCKED, EBUSY, "another process has locked it" },
	{ SQLITE_NOTADB, EIO, "is no database of sbxd, or is damaged" },
	{ SQLITE_CORRUPT, EIO, "is damaged" },
	{ SQLITE_FULL, ENOSPC, "no space is left on its disk" },
	{ SQLITE_READONLY, EROFS, "cannot be written" },
	{ SQLITE_PERM, EACCES, "cannot be written" },
	{ SQLITE_CANTOPEN, EIO, "cannot be opened" },
};

static int
fail(struct store *s, struct err *e)
{
	int code = sqlite3_errcode(s->db) & 0xff;
	size_t i;

	for (i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (failures[i].code == code)
			return err_setx(e, failures[i].error, "store %s: %s",
			    s->path, failures[i].text);
	return err_setx(e, EIO, "store %s: %s", s->path, sqlite3_errmsg(s->db));
}

/*** Opening ***/

static int
run(struct store *s, const char *sql, struct err *e)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail(s, e);
	return 0;
}

/* One number that a statement answers. */
static int
ask(struct store *s, const char *sql, int *ret, struct err *e)
{
	sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		r = fail(s, e);
	else
		*ret = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	return r;
}

static void
add_list(struct buf *b, const char *between, const char *each)
{
	size_t i;

	for (i = 0; i < NCOLUMNS; i++)
		(void)buf_addf(b, "%s%s", i != 0 ? between : "",
		    each != NULL ? each : columns[i].name);
}

static int
make_tables(struct store *s, struct err *e)
{
	cleanup_buf struct buf sql = BUF_INIT;

	(void)buf_adds(&sql, "BEGIN IMMEDIATE; CREATE TABLE sandbox (");
	add_list(&sql, " NOT NULL, ", NULL);
	(void)buf_addf(&sql,
	    " NOT NULL, PRIMARY KEY (id)) WITHOUT ROWID;"
	    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL)"
	    " WITHOUT ROWID; PRAGMA user_version = %d; COMMIT",
	    SCHEMA);
	return run(s, buf_str(&sql), e);
}

static const char *
missing(enum kind kind)
{
	return kind == COL_JSON ? "'{}'" : kind == COL_TEXT ? "''" : "0";
}

/* A file of before a column was thought of gets it: no other version. */
static int
add_columns(struct store *s, struct err *e)
{
	cleanup_buf struct buf sql = BUF_INIT;
	int there;
	size_t i;

	for (i = 0; i < NCOLUMNS; i++) {
		buf_clear(&sql);
		(void)buf_addf(&sql,
		    "SELECT count(*) FROM pragma_table_info('sandbox') "
		    "WHERE name = '%s'",
		    columns[i].name);
		if (ask(s, buf_str(&sql), &there, e) < 0)
			return -1;
		if (there != 0)
			continue;
		buf_clear(&sql);
		(void)buf_addf(&sql,
		    "ALTER TABLE sandbox ADD COLUMN %s NOT NULL DEFAULT %s",
		    columns[i].name, missing(columns[i].kind));
		if (run(s, buf_str(&sql), e) < 0)
			return -1;
	}
	return 0;
}

/* Another thing that was thought of later. */
static int
add_queue(struct store *s, struct err *e)
{
	return run(s,
	    "CREATE TABLE IF NOT EXISTS queued (id TEXT NOT NULL, "
	    "number INTEGER NOT NULL, session INTEGER NOT NULL, "
	    "input INTEGER NOT NULL, rows INTEGER NOT NULL, "
	    "cols INTEGER NOT NULL, timeout_ms INTEGER NOT NULL, "
	    "script BLOB NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID",
	    e);
}

static int
check_schema(struct store *s, struct err *e)
{
	int version = 0;

	if (ask(s, "PRAGMA user_version", &version, e) < 0)
		return -1;
	if (version == 0 && make_tables(s, e) < 0)
		return -1;
	if (version != 0 && version != SCHEMA)
		return err_setx(e, EINVAL,
		    "store %s: is of a newer sbxd (schema %d, this one knows "
		    "%d)",
		    s->path, version, SCHEMA);
	if (add_columns(s, e) < 0)
		return -1;
	return add_queue(s, e);
}

static int
set_up(struct store *s, struct err *e)
{
	/*
	 * NORMAL: a commit survives any kill; nothing waits for the disk.
	 * EXCLUSIVE, before the first read of a WAL: one front at a time has
	 * it, so that no commit locks anything, and there is no -shm file.
	 */
	if (run(s,
		"PRAGMA locking_mode = EXCLUSIVE;"
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		"PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF",
		e) < 0)
		return -1;
	return check_schema(s, e);
}

static int
prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret,
		NULL) != SQLITE_OK)
		return fail(s, e);
	return 0;
}

static int
prepare_all(struct store *s, struct err *e)
{
	cleanup_buf struct buf put = BUF_INIT, each = BUF_INIT;

	(void)buf_adds(&put, "REPLACE INTO sandbox (");
	add_list(&put, ", ", NULL);
	(void)buf_adds(&put, ") VALUES (");
	add_list(&put, ", ", "?");
	(void)buf_adds(&put, ")");
	(void)buf_adds(&each, "SELECT ");
	add_list(&each, ", ", NULL);
	(void)buf_adds(&each, " FROM sandbox ORDER BY created_ms, id");
	if (prepare(s, buf_str(&put), &s->put, e) < 0 ||
	    prepare(s, buf_str(&each), &s->each, e) < 0 ||
	    prepare(s, "DELETE FROM sandbox WHERE id = ?", &s->del, e) < 0 ||
	    prepare(s, "REPLACE INTO meta (key, value) VALUES (?, ?)",
		&s->set_meta, e) < 0 ||
	    prepare(s, "REPLACE INTO queued VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		&s->queue, e) < 0 ||
	    prepare(s, "DELETE FROM queued WHERE id = ? AND number = ?",
		&s->unqueue, e) < 0)
		return -1;
	return prepare(
	    s, "SELECT value FROM meta WHERE key = ?", &s->get_meta, e);
}

int
store_open(const char *path, struct store **ret, struct err *e)
{
	cleanup_fd int fd = -1;
	struct store *s;

	/* made here for its mode, which SQLite gives to its other files */
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, errno, "store %s", path);
	s = xcalloc(1, sizeof(*s));
	s->path = xstrdup(path);
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE, NULL) !=
	    SQLITE_OK) {
		(void)fail(s, e);
		store_close(s);
		return -1;
	}
	if (set_up(s, e) < 0 || prepare_all(s, e) < 0) {
		store_close(s);
		return -1;
	}
	*ret = s;
	return 0;
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->del);
	sqlite3_finalize(s->each);
	sqlite3_finalize(s->set_meta);
	sqlite3_finalize(s->get_meta);
	sqlite3_finalize(s->queue);
	sqlite3_finalize(s->unqueue);
	(void)sqlite3_close(s->db);
	free(s->path);
	free(s);
}

/*** Writing ***/

static int
finish(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int r = 0;

	if (sqlite3_step(q) != SQLITE_DONE)
		r = fail(s, e);
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return r;
}

static void
bind_json(sqlite3_stmt *q, int at, const json_t *o)
{
	if (o == NULL || json_object_size(o) == 0)
		(void)sqlite3_bind_text(q, at, "{}", 2, SQLITE_STATIC);
	else
		(void)sqlite3_bind_text(
		    q, at, json_dumps(o, JSON_COMPACT), -1, free);
}

static void
bind_value(sqlite3_stmt *q, int at, const struct column *c, const void *p)
{
	switch (c->kind) {
	case COL_TEXT:
		(void)sqlite3_bind_text(q, at, p, -1, SQLITE_STATIC);
		break;
	case COL_I64:
		(void)sqlite3_bind_int64(q, at, *(const int64_t *)p);
		break;
	case COL_INT:
		(void)sqlite3_bind_int(q, at, *(const int *)p);
		break;
	case COL_U32:
		(void)sqlite3_bind_int64(q, at, *(const uint32_t *)p);
		break;
	case COL_BOOL:
		(void)sqlite3_bind_int(q, at, *(const bool *)p);
		break;
	case COL_JSON:
		bind_json(q, at, *(json_t *const *)p);
		break;
	case COL_STATE:
		(void)sqlite3_bind_text(q, at,
		    sb_state_names[*(const enum sb_state *)p], -1,
		    SQLITE_STATIC);
		break;
	}
}

int
store_put(struct store *s, const struct sandbox *sb, struct err *e)
{
	size_t i;

	for (i = 0; i < NCOLUMNS; i++)
		bind_value(
		    s->put, (int)i + 1, &columns[i], member(sb, &columns[i]));
	return finish(s, s->put, e);
}

int
store_delete(struct store *s, const char *id, struct err *e)
{
	(void)sqlite3_bind_text(s->del, 1, id, -1, SQLITE_STATIC);
	return finish(s, s->del, e);
}

/*** Reading ***/

static int
take_state(const char *text, enum sb_state *ret)
{
	int i;

	for (i = 0; i < SB_STATES; i++)
		if (strcmp(sb_state_names[i], text) == 0) {
			*ret = (enum sb_state)i;
			return 0;
		}
	return -1;
}

/* A value into its member; -1 when it cannot be one. */
static int
take(sqlite3_stmt *q, int at, const struct column *c, void *p)
{
	const char *text = "";

	if (c->kind == COL_TEXT || c->kind == COL_JSON || c->kind == COL_STATE)
		text = (const char *)sqlite3_column_text(q, at);
	if (text == NULL)
		return -1;
	switch (c->kind) {
	case COL_TEXT:
		return str_copy(p, text, c->size) ? 0 : -1;
	case COL_I64:
		*(int64_t *)p = sqlite3_column_int64(q, at);
		return 0;
	case COL_INT:
		*(int *)p = sqlite3_column_int(q, at);
		return 0;
	case COL_U32:
		*(uint32_t *)p = (uint32_t)sqlite3_column_int64(q, at);
		return 0;
	case COL_BOOL:
		*(bool *)p = sqlite3_column_int(q, at) != 0;
		return 0;
	case COL_JSON:
		*(json_t **)p = json_loads(text, 0, NULL);
		return json_is_object(*(json_t **)p) ? 0 : -1;
	case COL_STATE:
		return take_state(text, p);
	}
	return -1;
}

static void
free_filled(struct sandbox *sb)
{
	json_decref(sb->modes);
	json_decref(sb->labels);
	json_decref(sb->env);
	json_decref(sb->exposed);
	free(sb);
}

static struct sandbox *
take_row(struct store *s, struct err *e)
{
	struct sandbox *sb = xcalloc(1, sizeof(*sb));
	size_t i;

	for (i = 0; i < NCOLUMNS; i++)
		if (take(s->each, (int)i, &columns[i],
			(char *)sb + columns[i].off) < 0) {
			err_setx(e, EIO,
			    "store %s: is damaged: sandbox %s: bad %s", s->path,
			    sb->id, columns[i].name);
			free_filled(sb);
			return NULL;
		}
	return sb;
}

int
store_each(struct store *s, int (*fn)(struct sandbox *filled, void *arg),
    void *arg, struct err *e)
{
	struct sandbox *sb;
	int r, ret = 0;

	while ((r = sqlite3_step(s->each)) == SQLITE_ROW) {
		if ((sb = take_row(s, e)) == NULL) {
			ret = -1;
			break;
		}
		if (fn(sb, arg) != 0)
			break;
	}
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		ret = fail(s, e);
	(void)sqlite3_reset(s->each);
	return ret;
}

/*** Jobs that wait ***/

int
store_queue(
    struct store *s, const char *id, const struct store_job *j, struct err *e)
{
	sqlite3_stmt *q = s->queue;

	(void)sqlite3_bind_text(q, 1, id, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int(q, 2, j->number);
	(void)sqlite3_bind_int(q, 3, j->session);
	(void)sqlite3_bind_int(q, 4, (int)j->input);
	(void)sqlite3_bind_int64(q, 5, j->terminal.rows);
	(void)sqlite3_bind_int64(q, 6, j->terminal.cols);
	(void)sqlite3_bind_int64(q, 7, j->timeout_ms);
	(void)sqlite3_bind_blob64(q, 8, j->script, j->len, SQLITE_STATIC);
	return finish(s, q, e);
}

int
store_unqueue(struct store *s, const char *id, int number, struct err *e)
{
	(void)sqlite3_bind_text(s->unqueue, 1, id, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int(s->unqueue, 2, number);
	return finish(s, s->unqueue, e);
}

int
store_each_queued(struct store *s,
    void (*fn)(void *arg, const char *id, const struct store_job *j), void *arg,
    struct err *e)
{
	sqlite3_stmt *q;
	struct store_job j;
	int r;

	if (run(s,
		"DELETE FROM queued WHERE id NOT IN (SELECT id FROM sandbox)",
		e) < 0 ||
	    prepare(s, "SELECT * FROM queued ORDER BY id, number", &q, e) < 0)
		return -1;
	while ((r = sqlite3_step(q)) == SQLITE_ROW) {
		j.number = sqlite3_column_int(q, 1);
		j.session = sqlite3_column_int(q, 2) != 0;
		j.input = (enum job_input)sqlite3_column_int(q, 3);
		j.terminal.rows = sqlite3_column_int64(q, 4);
		j.terminal.cols = sqlite3_column_int64(q, 5);
		j.timeout_ms = sqlite3_column_int64(q, 6);
		j.script = sqlite3_column_blob(q, 7);
		j.len = (size_t)sqlite3_column_bytes(q, 7);
		if (j.number > 0 && j.script != NULL)
			fn(arg, (const char *)sqlite3_column_text(q, 0), &j);
	}
	r = r != SQLITE_DONE ? fail(s, e) : 0;
	sqlite3_finalize(q);
	return r;
}

/*** Named numbers ***/

int
store_set_meta(struct store *s, const char *key, int64_t value, struct err *e)
{
	(void)sqlite3_bind_text(s->set_meta, 1, key, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s->set_meta, 2, value);
	return finish(s, s->set_meta, e);
}

int64_t
store_get_meta(struct store *s, const char *key, int64_t missing)
{
	int64_t value = missing;

	(void)sqlite3_bind_text(s->get_meta, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(s->get_meta) == SQLITE_ROW)
		value = sqlite3_column_int64(s->get_meta, 0);
	(void)sqlite3_reset(s->get_meta);
	return value;
}
