/*
 * A directory as a tar, written while it is read: one directory page and one
 * read are held at a time, however large the tree. Directories are visited
 * by path, so that the depth costs no handle. What disappears meanwhile or
 * may not be read is left out; what is no file, directory, link or FIFO too.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/fileop.h"
#include "lib/buf.h"
#include "lib/mem.h"

#define DEPTH_MAX 2048 /* a path of 4096 bytes has no more parts */
#define PATH_BYTES_MAX 4096
#define NAME_BYTES_MAX 255

/* A directory that is being walked. */
struct level {
	size_t path_len; /* of t->path */
	json_t *entries; /* a page of them; NULL: none read yet */
	size_t next;	 /* the next of them */
	json_int_t after;
	bool more; /* pages */
};

struct tar {
	struct archive *a;
	struct buf path; /* relative to the top, of what is being done */
	struct level *levels;
	size_t depth, room;
	json_int_t h; /* of what is open */
	json_int_t off, size;
	const json_t *entry;		   /* borrowed from a level */
	size_t queued;			   /* of the answer, when last looked */
	void (*resume)(struct fileop *op); /* when the client has taken it */
	bool stepping, again;		   /* of step */
};

static void step(struct fileop *op);

/*** The archive ***/

static la_ssize_t
on_bytes(struct archive *a, void *arg, const void *p, size_t n)
{
	struct fileop *op = arg;
	struct tar *t = op->own;

	(void)a;
	t->queued = http_send(op->r, p, n);
	return (la_ssize_t)n;
}

/* Continues with next, now or when there is room. */
static void
go_on(struct fileop *op, void (*next)(struct fileop *op))
{
	struct tar *t = op->own;

	if (t->queued > FILEOP_QUEUE)
		t->resume = next;
	else
		next(op);
}

static void
drained(struct http_req *r)
{
	struct fileop *op = http_user(r);
	struct tar *t = op->own;
	void (*resume)(struct fileop *) = NULL;

	if (op->over)
		return;
	resume = t->resume;
	t->resume = NULL;
	t->queued = 0;
	if (resume != NULL)
		resume(op);
}

static void
tar_free(void *own)
{
	struct tar *t = own;

	while (t->depth > 0)
		json_decref(t->levels[--t->depth].entries);
	free(t->levels);
	buf_done(&t->path);
	if (t->a != NULL) {
		(void)archive_write_fail(t->a);
		(void)archive_write_free(t->a);
	}
	free(t);
}

static json_int_t
int_of(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v < 0 ? 0 : v;
}

/* A header for t->path from what the agent said. False: it failed. */
static bool
put_header(struct fileop *op, const json_t *st, mode_t type, const char *link)
{
	struct tar *t = op->own;
	struct archive_entry *e = archive_entry_new();
	cleanup_free char *name =
	    xasprintf("%s%s%s", t->path.len == 0 ? "." : "", buf_str(&t->path),
		S_ISDIR(type) ? "/" : "");
	bool ok = false;

	if (e == NULL)
		abort();
	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, type | (mode_t)(int_of(st, "mode") & 07777));
	archive_entry_set_mtime(e, (time_t)(int_of(st, "mtime") / 1000), 0);
	archive_entry_set_uid(e, int_of(st, "uid"));
	archive_entry_set_gid(e, int_of(st, "gid"));
	archive_entry_set_size(e, S_ISREG(type) ? t->size : 0);
	if (link != NULL)
		archive_entry_set_symlink(e, link);
	ok = archive_write_header(t->a, e) >= ARCHIVE_WARN;
	archive_entry_free(e);
	if (!ok)
		fileop_fail(op, EIO, archive_error_string(t->a));
	return ok;
}

/*** Names ***/

/* The path of t->path in the sandbox. */
static json_t *
full_path(const struct fileop *op)
{
	const struct tar *t = op->own;
	cleanup_free char *path =
	    xasprintf("%s/%s", http_var(op->r, 1), buf_str(&t->path));

	return fileop_name(path, strlen(path));
}

/* Bytes of a name or a link's target; false for none, or a NUL in it. */
static bool
text_of(const json_t *v, char *to, size_t room)
{
	const json_t *coded = json_object_get(v, "base64");
	gnutls_datum_t in, out = { NULL, 0 };
	const void *p = json_string_value(v);
	size_t n = json_string_length(v);
	bool ok;

	if (json_is_string(coded)) {
		in.data = (void *)(uintptr_t)json_string_value(coded);
		in.size = (unsigned)json_string_length(coded);
		if (gnutls_base64_decode2(&in, &out) < 0)
			return false;
		p = out.data;
		n = out.size;
	}
	ok = n > 0 && n < room && memchr(p, '\0', n) == NULL;
	if (ok) {
		memcpy(to, p, n);
		to[n] = '\0';
	}
	gnutls_free(out.data);
	return ok;
}

/* Appends the entry's name to the path of its directory. False: it has none
 * that a stranger may unpack. */
static bool
enter_name(struct tar *t, const struct level *l, const json_t *entry)
{
	char name[NAME_BYTES_MAX + 1];

	buf_cut(&t->path, l->path_len);
	if (!text_of(json_object_get(entry, "name"), name, sizeof(name)) ||
	    strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return false;
	if (l->path_len + strlen(name) + 2 > PATH_BYTES_MAX)
		return false;
	return buf_addf(&t->path, "%s%s", l->path_len > 0 ? "/" : "", name) ==
	    0;
}

/*** Files ***/

static void
close_handle(struct fileop *op)
{
	struct tar *t = op->own;

	fileop_call(op, "close", json_pack("{s:I}", "h", t->h), NULL);
}

static void read_more(struct fileop *op);

static void
on_read(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct tar *t = op->own;

	if (fileop_failed(op, a->e))
		return;
	if (a->bin == NULL || (json_int_t)a->bin_len > t->size - t->off) {
		fileop_fail(op, EPROTO, "the agent's answer is wrong");
		return;
	}
	if (a->bin_len > 0 &&
	    archive_write_data(t->a, a->bin, a->bin_len) < 0) {
		fileop_fail(op, EIO, archive_error_string(t->a));
		return;
	}
	t->off += (json_int_t)a->bin_len;
	if (a->bin_len == 0) /* it became shorter: what is missing is zeros */
		t->off = t->size;
	go_on(op, read_more);
}

static void
read_more(struct fileop *op)
{
	struct tar *t = op->own;
	json_int_t n = t->size - t->off;

	if (n == 0) {
		close_handle(op);
		step(op);
		return;
	}
	if (n > FILEOP_CHUNK)
		n = FILEOP_CHUNK;
	fileop_call(op, "read",
	    json_pack("{s:I,s:I,s:I}", "h", t->h, "off", t->off, "len", n),
	    on_read);
}

/* What an entry may fail with without ending the whole. */
static bool
left_out(const struct err *e)
{
	static const int codes[] = { ENOENT, EACCES, EPERM, ELOOP, ENXIO,
		EISDIR, ENOTDIR, EINVAL, ENAMETOOLONG };

	for (size_t i = 0; e != NULL && i < sizeof(codes) / sizeof(codes[0]);
	     i++)
		if (e->code == codes[i])
			return true;
	return false;
}

static void
on_file(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct tar *t = op->own;

	if (!op->over && left_out(a->e)) {
		step(op);
		return;
	}
	if (fileop_failed(op, a->e) ||
	    !fileop_int(op, a->result, "h", 0, &t->h) ||
	    !fileop_int(op, a->result, "size", 0, &t->size))
		return;
	t->off = 0;
	if (put_header(op, a->result, S_IFREG, NULL))
		go_on(op, read_more);
}

static void
do_file(struct fileop *op)
{
	fileop_call(op, "open",
	    json_pack("{s:o,s:s}", "path", full_path(op), "flags", "r"),
	    on_file);
}

/*** Links ***/

static void
on_link(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct tar *t = op->own;
	char target[PATH_BYTES_MAX];

	if (!op->over && left_out(a->e)) {
		step(op);
		return;
	}
	if (fileop_failed(op, a->e))
		return;
	if (text_of(
		json_object_get(a->result, "target"), target, sizeof(target)) &&
	    !put_header(op, t->entry, S_IFLNK, target))
		return;
	go_on(op, step);
}

static void
do_link(struct fileop *op)
{
	fileop_call(
	    op, "readlink", json_pack("{s:o}", "path", full_path(op)), on_link);
}

static void
do_fifo(struct fileop *op)
{
	const struct tar *t = op->own;

	if (put_header(op, t->entry, S_IFIFO, NULL))
		go_on(op, step);
}

/*** Directories ***/

static void
on_page(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct tar *t = op->own;
	struct level *l;
	json_t *next, *entries;

	if (fileop_failed(op, a->e))
		return;
	l = &t->levels[t->depth - 1];
	next = json_object_get(a->result, "next");
	entries = json_object_get(a->result, "entries");
	json_decref(l->entries);
	l->entries = json_is_array(entries) ? json_incref(entries) : NULL;
	l->next = 0;
	/* A page without an entry is the last: nobody may send us round. */
	l->more = json_is_integer(next) && json_array_size(entries) > 0;
	l->after = json_integer_value(next);
	close_handle(op);
	step(op);
}

static void
on_dir(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct tar *t = op->own;
	struct level *l;
	json_t *params;

	if (!op->over && t->depth > 1 && left_out(a->e)) {
		t->depth--;
		json_decref(t->levels[t->depth].entries);
		step(op);
		return;
	}
	if (fileop_failed(op, a->e) ||
	    !fileop_int(op, a->result, "h", 0, &t->h))
		return;
	l = &t->levels[t->depth - 1];
	if (l->entries == NULL && !put_header(op, a->result, S_IFDIR, NULL))
		return;
	params = json_pack("{s:I}", "h", t->h);
	if (l->more)
		(void)json_object_set_new(
		    params, "after", json_integer(l->after));
	fileop_call(op, "readdir", params, on_page);
}

/* The next page of the deepest level. Only the top may be a link. */
static void
read_page(struct fileop *op)
{
	struct tar *t = op->own;

	buf_cut(&t->path, t->levels[t->depth - 1].path_len);
	fileop_call(op, "open",
	    json_pack("{s:o,s:s,s:b}", "path", full_path(op), "flags", "d",
		"follow", t->depth == 1),
	    on_dir);
}

static void
do_dir(struct fileop *op)
{
	struct tar *t = op->own;

	if (t->depth == DEPTH_MAX) {
		fileop_fail(op, ENAMETOOLONG, "");
		return;
	}
	if (t->depth == t->room) {
		t->room = t->room * 2 + 16;
		t->levels = xrealloc(t->levels, t->room, sizeof(*t->levels));
	}
	t->levels[t->depth++] = (struct level){ .path_len = t->path.len };
	go_on(op, read_page);
}

/*** The walk ***/

static const struct {
	const char *type;
	void (*act)(struct fileop *op);
} kinds[] = {
	{ "file", do_file },
	{ "dir", do_dir },
	{ "symlink", do_link },
	{ "fifo", do_fifo },
};

/* False: nothing of this kind goes into the archive. */
static bool
act_on(struct fileop *op, const json_t *entry)
{
	struct tar *t = op->own;
	const char *type = json_string_value(json_object_get(entry, "type"));

	for (size_t i = 0; type != NULL && i < sizeof(kinds) / sizeof(kinds[0]);
	     i++) {
		if (strcmp(type, kinds[i].type) != 0)
			continue;
		t->entry = entry;
		t->size = 0;
		kinds[i].act(op);
		return true;
	}
	return false;
}

static void
finish(struct fileop *op)
{
	struct tar *t = op->own;

	if (archive_write_close(t->a) != ARCHIVE_OK) {
		fileop_fail(op, EIO, archive_error_string(t->a));
		return;
	}
	op->over = true;
	http_end(op->r);
}

/* Begins the next thing; whatever it is ends in a call or in go_on. */
static void
step_once(struct fileop *op)
{
	struct tar *t = op->own;
	const json_t *entry;
	struct level *l;

	while (t->depth > 0) {
		l = &t->levels[t->depth - 1];
		entry = json_array_get(l->entries, l->next++);
		if (entry != NULL && enter_name(t, l, entry) &&
		    act_on(op, entry))
			return;
		if (entry != NULL)
			continue;
		if (l->more) {
			read_page(op);
			return;
		}
		json_decref(l->entries);
		t->depth--;
	}
	finish(op);
}

/* A loop, whoever calls it: a page may hold more entries that end at once than
 * a stack holds calls. */
static void
step(struct fileop *op)
{
	struct tar *t = op->own;

	t->again = true;
	if (t->stepping)
		return;
	t->stepping = true;
	while (t->again) {
		t->again = false;
		step_once(op);
	}
	t->stepping = false;
}

void
fileop_tar(struct fileop *op)
{
	struct tar *t = xcalloc(1, sizeof(*t));

	op->own = t;
	op->own_free = tar_free;
	buf_limit(&t->path, PATH_BYTES_MAX);
	t->a = archive_write_new();
	/* GNU's, not pax: names are bytes there, of no charset at all. */
	if (t->a == NULL ||
	    archive_write_set_format_gnutar(t->a) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(t->a, 0) != ARCHIVE_OK ||
	    archive_write_open(t->a, op, NULL, on_bytes, NULL) != ARCHIVE_OK) {
		fileop_fail(op, EIO, "the archive cannot be written");
		return;
	}
	op->begun = true;
	http_begin(op->r, 200, "application/x-tar", -1);
	if (strcmp(http_method(op->r), "HEAD") == 0) {
		op->over = true;
		http_end(op->r);
		return;
	}
	http_on_drain(op->r, drained);
	do_dir(op);
}
