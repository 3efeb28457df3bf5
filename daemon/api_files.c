#include "daemon/api_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/api_impl.h"
#include "daemon/fileop.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "lib/size.h"

#define TIME_MAX_MS 253402300799999 /* the end of the year 9999 */

static bool
is_head(const struct fileop *op)
{
	return strcmp(http_method(op->r), "HEAD") == 0;
}

/*** A file ***/

struct get {
	json_int_t h, size;
	json_int_t ask, off, end; /* next read, next byte sent, the last + 1 */
	int pending;
	bool full; /* the client is slow: drained goes on */
};

static void read_more(struct fileop *op);

static void
on_read(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct get *g = op->own;
	json_int_t want = g->end - g->off;

	if (fileop_failed(op, a->e))
		return;
	g->pending--;
	if (want > FILEOP_CHUNK)
		want = FILEOP_CHUNK;
	if (a->bin == NULL || (json_int_t)a->bin_len != want) {
		fileop_fail(op, EIO, "the file became shorter");
		return;
	}
	g->off += want;
	g->full = http_send(op->r, a->bin, a->bin_len) > FILEOP_QUEUE;
	if (g->off == g->end) {
		op->over = true;
		http_end(op->r);
		return;
	}
	read_more(op);
}

static void
read_more(struct fileop *op)
{
	struct get *g = op->own;
	json_int_t n;

	while (!g->full && g->pending < FILEOP_WINDOW && g->ask < g->end) {
		n = g->end - g->ask;
		if (n > FILEOP_CHUNK)
			n = FILEOP_CHUNK;
		fileop_call(op, "read",
		    json_pack(
			"{s:I,s:I,s:I}", "h", g->h, "off", g->ask, "len", n),
		    on_read);
		g->ask += n;
		g->pending++;
	}
}

static void
drained(struct http_req *r)
{
	struct fileop *op = http_user(r);
	struct get *g = op->own;

	if (op->over || !g->full)
		return;
	g->full = false;
	read_more(op);
}

/* One range of "bytes=A-B", "A-", "-N". 1: it is one; 0: to be ignored, as
 * what we do not understand is; -1: nothing of it is in the file. */
static int
take_range(const char *s, json_int_t size, json_int_t *from, json_int_t *end)
{
	char first[24], last[24];
	int64_t a = 0, b = size - 1;
	size_t n;

	if (s == NULL || strncmp(s, "bytes=", 6) != 0)
		return 0;
	s += 6;
	n = strcspn(s, "-");
	if (s[n] == '\0' || n >= sizeof(first) ||
	    !str_copy(last, s + n + 1, sizeof(last)))
		return 0;
	memcpy(first, s, n);
	first[n] = '\0';
	if (last[0] != '\0' && int_parse(last, 0, INT64_MAX, &b) != 0)
		return 0;
	if (first[0] == '\0') {
		if (last[0] == '\0')
			return 0;
		a = b > size ? 0 : size - b;
		b = b == 0 ? -1 : size - 1;
	} else if (int_parse(first, 0, INT64_MAX, &a) != 0 ||
	    (last[0] != '\0' && b < a)) {
		return 0;
	}
	if (a >= size || b < 0)
		return -1;
	*from = a;
	*end = (b < size - 1 ? b : size - 1) + 1;
	return 1;
}

static void
add_time(struct fileop *op, json_int_t ms)
{
	time_t t = (time_t)(ms / 1000);
	char text[64];
	struct tm tm;

	if (ms >= 0 && ms <= TIME_MAX_MS && gmtime_r(&t, &tm) != NULL &&
	    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		http_add_header(op->r, "Last-Modified", text);
}

static void
send_file(struct fileop *op, json_int_t mtime)
{
	struct get *g = op->own;
	char text[80];
	int range = 0;

	http_add_header(op->r, "Accept-Ranges", "bytes");
	http_add_header(op->r, "X-Content-Type-Options", "nosniff");
	add_time(op, mtime);
	g->end = g->size;
	if (!is_head(op))
		range = take_range(
		    http_header(op->r, "range"), g->size, &g->off, &g->end);
	(void)snprintf(text, sizeof(text), "bytes */%lld", (long long)g->size);
	if (range > 0)
		(void)snprintf(text, sizeof(text), "bytes %lld-%lld/%lld",
		    (long long)g->off, (long long)g->end - 1,
		    (long long)g->size);
	if (range != 0)
		http_add_header(op->r, "Content-Range", text);
	if (range < 0) {
		op->over = true;
		http_error(op->r, 416, "/%s: has %lld bytes",
		    http_var(op->r, 1), (long long)g->size);
		return;
	}
	op->begun = true;
	g->ask = g->off;
	http_begin(op->r, range > 0 ? 206 : 200, "application/octet-stream",
	    g->end - g->off);
	if (is_head(op) || g->off == g->end) {
		op->over = true;
		http_end(op->r);
		return;
	}
	http_on_drain(op->r, drained);
	read_more(op);
}

/*** A directory ***/

struct list {
	json_int_t h;
	json_int_t after;
	bool more; /* after is where to go on */
	bool any;  /* an entry was sent */
};

static void list_more(struct fileop *op);

/* As /sandboxes/{id}/files shows it: of what the agent says, only what we
 * know. NULL: it is no entry. */
static json_t *
list_entry(const json_t *e)
{
	json_t *name = json_object_get(e, "name");
	const char *type = json_string_value(json_object_get(e, "type"));
	json_int_t mtime = json_integer_value(json_object_get(e, "mtime"));
	char mode[16];

	if (!json_is_string(json_object_get(name, "base64")) &&
	    !json_is_string(name))
		return NULL;
	if (type == NULL)
		return NULL;
	if (mtime < 0 || mtime > TIME_MAX_MS)
		mtime = 0;
	(void)snprintf(mode, sizeof(mode), "%04llo",
	    (unsigned long long)json_integer_value(json_object_get(e, "mode")) &
		07777);
	return json_pack("{s:O,s:s,s:b,s:I,s:s,s:o}", "name", name, "type",
	    type, "is_dir", strcmp(type, "dir") == 0, "size",
	    json_integer_value(json_object_get(e, "size")), "mode", mode,
	    "mod_time", api_time(mtime));
}

static int
add_text(const char *p, size_t n, void *arg)
{
	return buf_add(arg, p, n);
}

/* False: it failed. */
static bool
list_page(struct fileop *op, const json_t *result, struct buf *text)
{
	struct list *l = op->own;
	const json_t *next = json_object_get(result, "next");
	json_t *entry;
	size_t i;
	json_t *e;
	int r = 0;

	if (buf_adds(text, op->begun ? "" : "[") != 0)
		r = -1;
	json_array_foreach (json_object_get(result, "entries"), i, e) {
		if ((entry = list_entry(e)) == NULL)
			continue;
		if (buf_adds(text, l->any ? ",\n" : "") != 0 ||
		    json_dump_callback(entry, add_text, text, JSON_COMPACT) !=
			0)
			r = -1;
		l->any = true;
		json_decref(entry);
	}
	/* A page without an entry is the last: nobody may send us round. */
	l->more = json_is_integer(next) && json_integer_value(next) >= 0 &&
	    json_array_size(json_object_get(result, "entries")) > 0;
	l->after = json_integer_value(next);
	if (!l->more && buf_adds(text, "]\n") != 0)
		r = -1;
	if (r != 0)
		fileop_fail(op, EPROTO, "the agent's list is too long");
	return r == 0;
}

static void
on_list(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct list *l = op->own;
	cleanup_buf struct buf text = BUF_INIT;

	if (fileop_failed(op, a->e) || !list_page(op, a->result, &text))
		return;
	if (!op->begun)
		http_begin(op->r, 200, "application/json", -1);
	op->begun = true;
	if (!is_head(op) &&
	    http_send(op->r, text.data, text.len) > FILEOP_QUEUE && l->more)
		return; /* drained goes on */
	if (l->more && !is_head(op)) {
		list_more(op);
		return;
	}
	op->over = true;
	http_end(op->r);
}

static void
list_more(struct fileop *op)
{
	struct list *l = op->own;
	json_t *params = json_pack("{s:I}", "h", l->h);

	if (l->more)
		(void)json_object_set_new(
		    params, "after", json_integer(l->after));
	l->more = false; /* asked: drained has nothing to do */
	fileop_call(op, "readdir", params, on_list);
}

static void
list_drained(struct http_req *r)
{
	struct fileop *op = http_user(r);
	struct list *l = op->own;

	if (!op->over && l->more)
		list_more(op);
}

static void
on_dir(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	const char *accept = http_header(op->r, "accept");
	struct list *l;
	json_int_t h;

	if (fileop_failed(op, a->e) || !fileop_int(op, a->result, "h", 0, &h))
		return;
	op->own_free(op->own);
	op->own = NULL;
	if (accept != NULL && strstr(accept, "application/x-tar") != NULL) {
		fileop_tar(op);
		return;
	}
	op->own = l = xcalloc(1, sizeof(*l));
	l->h = h;
	http_on_drain(op->r, list_drained);
	list_more(op);
}

/*** Both ***/

static void
on_open(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct get *g = op->own;

	if (!op->over && a->e != NULL && a->e->code == EISDIR) {
		fileop_call(op, "open",
		    json_pack("{s:o,s:s,s:b}", "path", fileop_path(op), "flags",
			"d", "follow", 1),
		    on_dir);
		return;
	}
	if (fileop_failed(op, a->e) ||
	    !fileop_int(op, a->result, "h", 0, &g->h) ||
	    !fileop_int(op, a->result, "size", 0, &g->size))
		return;
	send_file(op, json_integer_value(json_object_get(a->result, "mtime")));
}

static void
begin_get(struct fileop *op)
{
	fileop_call(op, "open",
	    json_pack("{s:o,s:s,s:b}", "path", fileop_path(op), "flags", "r",
		"follow", 1),
	    on_open);
}

void
api_files_get(struct http_req *r)
{
	(void)fileop_new(r, begin_get, xcalloc(1, sizeof(struct get)), free);
}

void
api_files_head(struct http_req *r)
{
	api_files_get(r);
}

/*** Removing ***/

static void
on_removed(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;

	if (fileop_failed(op, a->e))
		return;
	op->over = true;
	http_reply(op->r, 204, NULL, NULL, 0);
}

static void
begin_remove(struct fileop *op)
{
	fileop_call(op, "remove",
	    json_pack("{s:o,s:b}", "path", fileop_path(op), "follow", 1),
	    on_removed);
}

void
api_files_delete(struct http_req *r)
{
	(void)fileop_new(r, begin_remove, NULL, NULL);
}
