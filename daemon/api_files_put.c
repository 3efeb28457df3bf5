/*
 * Uploads. The agent writes a file of another name, which takes the place of
 * the old one when the last byte is there; when this connection to the agent
 * ends before, nothing is left of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api_files.h"
#include "daemon/fileop.h"
#include "lib/buf.h"
#include "lib/mem.h"

struct put {
	json_int_t h; /* -1: not open yet */
	bool replaces;
	bool ended;	 /* the body is here */
	bool committing; /* and in the file */
	json_int_t off, acked;
	int pending;
	struct buf data; /* less than a chunk, once open */
};

static void
put_free(void *own)
{
	struct put *p = own;

	buf_done(&p->data);
	free(p);
}

static void
on_closed(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct put *p = op->own;

	if (fileop_failed(op, a->e))
		return;
	op->over = true;
	http_reply(op->r, p->replaces ? 204 : 201, NULL, NULL, 0);
}

static void go_on(struct fileop *op);

static void
on_write(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct put *p = op->own;
	json_int_t len, want = p->off - p->acked;

	if (fileop_failed(op, a->e) ||
	    !fileop_int(op, a->result, "len", 0, &len))
		return;
	if (want > FILEOP_CHUNK)
		want = FILEOP_CHUNK;
	if (len != want) {
		fileop_fail(op, ENOSPC, "");
		return;
	}
	p->acked += len;
	p->pending--;
	go_on(op);
}

static void
write_chunk(struct fileop *op, size_t n)
{
	struct put *p = op->own;

	fileop_write(op,
	    json_pack("{s:I,s:I,s:b}", "h", p->h, "off", p->off, "binary", 1),
	    p->data.data, n, on_write);
	p->off += (json_int_t)n;
	p->pending++;
	buf_consume(&p->data, n);
}

/* Writes what there is, as far as the window allows, and lets the client
 * send more when there is room. */
static void
go_on(struct fileop *op)
{
	struct put *p = op->own;

	while (p->h >= 0 && p->pending < FILEOP_WINDOW &&
	    p->data.len >= FILEOP_CHUNK)
		write_chunk(op, FILEOP_CHUNK);
	if (p->ended && p->h >= 0 && p->data.len > 0 &&
	    p->data.len < FILEOP_CHUNK && p->pending < FILEOP_WINDOW)
		write_chunk(op, p->data.len);
	if (p->h < 0 || p->data.len >= FILEOP_CHUNK)
		http_pause(op->r);
	else if (!p->ended)
		http_resume(op->r);
	if (!p->ended || p->h < 0 || p->committing || p->data.len > 0 ||
	    p->pending > 0)
		return;
	p->committing = true;
	fileop_call(op, "close", json_pack("{s:I,s:b}", "h", p->h, "commit", 1),
	    on_closed);
}

static void
on_data(struct http_req *r, const void *data, size_t n)
{
	struct fileop *op = http_user(r);
	struct put *p;

	if (op->over)
		return;
	p = op->own;
	if (n == 0)
		p->ended = true;
	else if (buf_add(&p->data, data, n) != 0) {
		fileop_fail(op, ENOMEM, "out of memory");
		return;
	}
	go_on(op);
}

static void
on_open(void *arg, const struct agent_answer *a)
{
	struct fileop *op = arg;
	struct put *p = op->own;

	if (fileop_failed(op, a->e) ||
	    !fileop_int(op, a->result, "h", 0, &p->h))
		return;
	p->replaces = json_is_true(json_object_get(a->result, "replaces"));
	go_on(op);
}

/* ?mode=755, octal. -1: none given, -2: not one. */
static long
mode_of(struct http_req *r)
{
	const char *s = http_query(r, "mode");
	char *end;
	long mode;

	if (s == NULL)
		return -1;
	if (strspn(s, "01234567") != strlen(s) || *s == '\0' || strlen(s) > 5)
		return -2;
	mode = strtol(s, &end, 8);
	return mode <= 07777 ? mode : -2;
}

static void
begin_put(struct fileop *op)
{
	json_t *params =
	    json_pack("{s:o,s:s,s:b,s:b,s:b}", "path", fileop_path(op), "flags",
		"w", "atomic", 1, "parents", 1, "follow", 1);
	long mode = mode_of(op->r);

	if (mode >= 0)
		(void)json_object_set_new(params, "mode", json_integer(mode));
	fileop_call(op, "open", params, on_open);
}

void
api_files_put(struct http_req *r)
{
	const char *path = http_var(r, 1);
	struct put *p;

	if (*path == '\0' || path[strlen(path) - 1] == '/') {
		http_error(r, 400, "/%s: not the path of a file", path);
		return;
	}
	if (mode_of(r) == -2) {
		http_error(r, 400, "mode: not an octal number up to 7777");
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->h = -1;
	if (fileop_new(r, begin_put, p, put_free) == NULL)
		return;
	http_body(r, on_data);
	http_pause(r);
}
