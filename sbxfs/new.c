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
#include "sbxfs/lines.h"
#include "sbxfs/stream.h"

struct clone {
	struct stream st; /* first */
	json_t *args;	  /* of create */
	struct lines lines;
	bool creating;
	bool closed;
	int error;
	char id[BOX_ID_MAX]; /* "" before the first read */
	char line[BOX_NAME_MAX + BOX_ID_MAX];
	size_t len;
	size_t pos;
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
	if (n > k->len - k->pos)
		n = k->len - k->pos;
	memcpy(p, k->line + k->pos, n);
	k->pos += n;
	return (ssize_t)n;
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
	k->len = (size_t)snprintf(k->line, sizeof(k->line), "%.*s\n",
	    BOX_NAME_MAX, name != NULL ? name : id);
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

/*** Writing ***/

/* Takes the words of one line as arguments of create. */
static int
take_line(struct clone *k, const char *p, size_t n, struct err *e)
{
	cleanup_words struct words w = { 0 };
	size_t i;

	if (n > LINE_MAX_BYTES)
		return err_setx(e, E2BIG, "a line of %zu bytes: at most %u", n,
		    LINE_MAX_BYTES);
	if (words_split(&w, p, n, e) < 0)
		return -1;
	for (i = 0; i < w.n; i++)
		if (strchr(w.w[i], '=') == NULL)
			return err_setx(e, EINVAL,
			    "%.64s: expected key=value before the first read",
			    w.w[i]);
	for (i = 0; i < w.n; i++)
		json_array_append_new(k->args, json_string(w.w[i]));
	return 0;
}

/* How many bytes of whole lines were taken; e->code is what stopped it. */
static size_t
take_lines(struct clone *k, const char *p, size_t n, struct err *e)
{
	size_t done = 0, len;
	const char *nl;

	e->code = 0;
	while (done < n) {
		nl = memchr(p + done, '\n', n - done);
		len = nl != NULL ? (size_t)(nl - p) - done : n - done;
		if (take_line(k, p + done, len, e) < 0)
			break;
		done += len + (nl != NULL);
	}
	return done;
}

static void
written(struct call *c, const struct reply *r)
{
	struct clone *k = (struct clone *)c->h;
	json_int_t done = 0, error = -r->error;
	ssize_t n;

	if (r->error == 0 &&
	    json_unpack(
		r->result, "{s:I,s:I}", "done", &done, "errno", &error) < 0)
		error = EIO;
	n = lines_answer(&k->lines, c->size, (size_t)done, (int)error);
	if (n < 0)
		reply_err(c->req, (int)-n);
	else if (c->size == 0)
		reply_err(c->req, 0);
	else
		(void)fuse_reply_write(c->req, (size_t)n);
}

static json_t *
ctl_params(const struct clone *k)
{
	return json_pack("{s:s,s:s}", "file", "ctl", "id", k->id);
}

static void
new_write(fuse_req_t req, struct handle *h, const char *p, size_t n)
{
	struct clone *k = (struct clone *)h;
	cleanup_buf struct buf text = BUF_INIT;
	struct call *c;
	ssize_t r = 0;
	struct err e;

	if (k->creating) {
		reply_why(req, h->node, EBUSY, "the sandbox is being made");
		return;
	}
	if ((r = lines_take(&k->lines, p, n, &text)) < 0) {
		reply_err(req, (int)-r);
		return;
	}
	if (k->id[0] != '\0' && text.len != 0) {
		c = call_new(req, written);
		c->size = n;
		call_hold(c, h);
		call_send_bin(c, "write", ctl_params(k), text.data, text.len);
		return;
	}
	r = (ssize_t)take_lines(k, buf_str(&text), text.len, &e);
	r = lines_answer(&k->lines, n, (size_t)r, e.code);
	if (r < 0)
		reply_why(req, h->node, (int)-r, "%s", e.text);
	else
		(void)fuse_reply_write(req, (size_t)r);
}

static void
new_flush(fuse_req_t req, struct handle *h)
{
	struct clone *k = (struct clone *)h;
	cleanup_buf struct buf text = BUF_INIT;
	struct err e = { .code = 0 };
	struct call *c;

	if (lines_flush(&k->lines, &text) == 0 && text.len != 0) {
		if (k->id[0] != '\0') {
			c = call_new(req, written);
			call_hold(c, h);
			call_send_bin(
			    c, "write", ctl_params(k), text.data, text.len);
			return;
		}
		(void)take_lines(k, text.data, text.len, &e);
	}
	if (e.code != 0)
		reply_why(req, h->node, e.code, "%s", e.text);
	else
		reply_err(req, 0);
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
