/*
 * /sbx/new: a sandbox that lives as long as this open file. Lines before the
 * first read say what it is to be; the first read makes it and gives its
 * name; lines after it are lines of its ctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/words.h"
#include "sbxfs/stream.h"

/* Words before the first read. */
#define ARGS_MAX 1024

struct clone {
	struct stream st; /* first */
	json_t *args;	  /* of create */
	struct lines lines;
	struct buf text; /* of a write: lines that the front has to look at */
	size_t done;	 /* bytes of them that were taken */
	json_t *next;	 /* args with the line at done */
	bool creating;
	bool closed;
	int error;
	char id[BOX_ID_MAX]; /* "" before the first read */
	struct reply_line line;
};

static ssize_t
new_next(struct stream *st, char *p, size_t n)
{
	struct clone *k = (struct clone *)st;
	int error = k->error;

	if (k->creating)
		return -EAGAIN;
	k->error = 0;
	if (error != 0)
		return -error;
	return reply_line_read(&k->line, p, n);
}

static bool
new_ready(const struct stream *st)
{
	return !((const struct clone *)st)->creating;
}

static void
release(struct clone *k)
{
	client_notify(
	    k->st.h.s->client, "release", json_pack("{s:s}", "id", k->id));
}

static void
created(struct call *c, const struct reply *r)
{
	struct clone *k = (struct clone *)c->h;
	const char *id = NULL, *name;

	k->creating = false;
	if (r->error == 0)
		id = json_string_value(json_object_get(r->result, "id"));
	if (id == NULL || !str_copy(k->id, id, sizeof(k->id))) {
		k->error = r->error != 0 ? -r->error : EIO;
		stream_wake(&k->st);
		return;
	}
	name = json_string_value(json_object_get(r->result, "name"));
	reply_line_set(
	    &k->line, "%.*s\n", BOX_NAME_MAX, name != NULL ? name : id);
	if (k->closed)
		release(k);
	stream_wake(&k->st);
}

static void
new_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	struct clone *k;

	/* Whoever only looks at files must not make sandboxes. */
	if ((fi->flags & O_ACCMODE) != O_RDWR) {
		reply_why(req, n, EACCES, "open it to read and write");
		return;
	}
	k = stream_new(sizeof(*k), req, n, fi);
	k->st.next = new_next;
	k->st.ready = new_ready;
	k->args = json_array();
	stream_opened(req, &k->st);
}

static void
new_read(fuse_req_t req, struct handle *h, size_t n, off_t off)
{
	struct clone *k = (struct clone *)h;
	struct call *c;

	(void)off;
	if (k->id[0] == '\0' && !k->creating) {
		k->creating = true;
		c = call_for(h, created);
		c->caller = req_caller(req);
		call_send(c, "create",
		    json_pack("{s:O,s:b,s:b}", "args", k->args, "wait", 1,
			"hold", 1));
	}
	stream_read(req, &k->st, n);
}

static void
written(struct call *c, const struct reply *r)
{
	call_done_lines(c, &((struct clone *)c->h)->lines, r);
}

/*** Before the first read ***/

/* Args with the words of one line; NULL and e. */
static json_t *
add_line(const struct clone *k, const char *p, size_t n, struct err *e)
{
	cleanup_words struct words w = { 0 };
	json_t *args;
	size_t i;

	e->code = 0;
	if (n > LINE_MAX_BYTES)
		err_setx(e, E2BIG, "a line of %zu bytes: at most %u", n,
		    LINE_MAX_BYTES);
	else if (words_split(&w, p, n, e) == 0 &&
	    w.n + json_array_size(k->args) > ARGS_MAX)
		err_setx(e, E2BIG, "more than %d settings", ARGS_MAX);
	for (i = 0; e->code == 0 && i < w.n; i++)
		if (strchr(w.w[i], '=') == NULL)
			err_setx(e, EINVAL,
			    "%.64s: expected key=value before the first read",
			    w.w[i]);
	if (e->code != 0)
		return NULL;
	args = json_copy(k->args);
	for (i = 0; i < w.n; i++)
		json_array_append_new(args, json_string(w.w[i]));
	return args;
}

static size_t
line_at(const struct clone *k)
{
	const char *p = k->text.data + k->done;
	const char *nl = memchr(p, '\n', k->text.len - k->done);

	return nl != NULL ? (size_t)(nl - p) : k->text.len - k->done;
}

static void
pass_line(struct clone *k)
{
	k->done += line_at(k);
	if (k->done < k->text.len)
		k->done++;
	json_decref(k->args);
	k->args = k->next;
	k->next = NULL;
}

/* Answers a write of size bytes, or a flush (0). e: what ended it, or NULL;
 * without a text there is a sentence for it already. */
static void
answer(fuse_req_t req, struct clone *k, size_t size, const struct err *e)
{
	int error = e != NULL ? e->code : 0;
	ssize_t n = lines_answer(&k->lines, size, k->done, error);

	json_decref(k->next);
	k->next = NULL;
	buf_done(&k->text);
	if ((n < 0 || size == 0) && e != NULL && e->text[0] != '\0')
		reply_why(req, k->st.h.node, error, "%s", e->text);
	else if (n < 0 || size == 0)
		reply_err(req, error);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

static void look_at_lines(fuse_req_t req, struct clone *k, size_t size);

static void
looked(struct call *c, const struct reply *r)
{
	struct clone *k = (struct clone *)c->h;
	const struct err e = { .code = -r->error };

	if (r->error != 0) {
		answer(c->req, k, c->size, &e);
		return;
	}
	pass_line(k);
	look_at_lines(c->req, k, c->size);
}

/* One after the other, as each is good or bad by those before it. */
static void
look_at_lines(fuse_req_t req, struct clone *k, size_t size)
{
	struct handle *h = &k->st.h;
	struct call *c;
	struct err e;

	for (; k->done < k->text.len; pass_line(k)) {
		k->next = add_line(k, k->text.data + k->done, line_at(k), &e);
		if (k->next == NULL) {
			answer(req, k, size, &e);
			return;
		}
		if (json_array_size(k->next) == json_array_size(k->args))
			continue; /* a comment */
		c = call_new(req, looked);
		c->size = size;
		call_hold(c, h);
		call_send(c, "create",
		    json_pack("{s:O,s:b,s:b}", "args", k->next, "hold", 1,
			"check", 1));
		return;
	}
	answer(req, k, size, NULL);
}

/*** Writing ***/

static json_t *
ctl_params(const struct clone *k)
{
	return json_pack("{s:s,s:s}", "file", "ctl", "id", k->id);
}

/* Its whole lines: of the sandbox's ctl, or of what it is to be. */
static void
take_text(fuse_req_t req, struct clone *k, struct buf *text, size_t size)
{
	struct call *c;

	if (k->id[0] == '\0') {
		k->text = *text;
		k->done = 0;
		memset(text, 0, sizeof(*text));
		look_at_lines(req, k, size);
		return;
	}
	c = call_new(req, written);
	c->size = size;
	call_hold(c, &k->st.h);
	call_send_bin(c, "write", ctl_params(k), text->data, text->len);
}

static void
new_write(fuse_req_t req, struct handle *h, const char *p, size_t n)
{
	struct clone *k = (struct clone *)h;
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	if (k->creating || k->text.len != 0) {
		reply_why(req, h->node, EBUSY,
		    k->creating ? "the sandbox is being made"
				: "the write before is not done yet");
		return;
	}
	if ((r = lines_take(&k->lines, p, n, &text)) < 0)
		reply_err(req, -r);
	else if (text.len == 0)
		(void)fuse_reply_write(req, n);
	else
		take_text(req, k, &text, n);
}

static void
new_flush(fuse_req_t req, struct handle *h)
{
	struct clone *k = (struct clone *)h;
	cleanup_buf struct buf text = BUF_INIT;

	if (k->creating || k->text.len != 0 ||
	    lines_flush(&k->lines, &text) < 0 || text.len == 0)
		reply_err(req, 0);
	else
		take_text(req, k, &text, 0);
}

static void
new_poll(fuse_req_t req, struct handle *h, unsigned events,
    struct fuse_pollhandle *ph)
{
	struct clone *k = (struct clone *)h;

	(void)events;
	stream_poll(req, &k->st, !k->creating, ph);
}

static void
new_close(struct handle *h)
{
	struct clone *k = (struct clone *)h;

	k->closed = true;
	if (k->id[0] != '\0')
		release(k);
}

static void
new_free(struct handle *h)
{
	struct clone *k = (struct clone *)h;

	stream_free(&k->st);
	lines_done(&k->lines);
	buf_done(&k->text);
	json_decref(k->next);
	json_decref(k->args);
}

static void
new_down(struct handle *h, int error)
{
	stream_fail((struct stream *)h, error);
}

const struct file_ops new_ops = {
	.open = new_open,
	.read = new_read,
	.write = new_write,
	.flush = new_flush,
	.poll = new_poll,
	.close = new_close,
	.free = new_free,
	.down = new_down,
};

const char *
new_held(const struct handle *h)
{
	const struct clone *k = (const struct clone *)h;

	return h->ops == &new_ops && k->id[0] != '\0' ? k->id : NULL;
}
