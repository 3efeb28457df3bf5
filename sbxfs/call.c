#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/impl.h"

#define GIVE_UP_MS 1000

struct sbxfs *
req_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

struct caller
req_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (
	    struct caller){ .uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid };
}

void
reply_err(fuse_req_t req, int error)
{
	(void)fuse_reply_err(req, error);
}

/*** Why ***/

#define PATH_SHOWN 512

/* Where n is, as its user writes it; of a long one the end. */
static const char *
shown_path(const struct node *n, char room[PATH_SHOWN])
{
	char *at = room + PATH_SHOWN - 1;
	const char *name;
	size_t len;

	*at = '\0';
	for (; n->parent != NULL; n = n->parent) {
		name = n->file->at == AT_TOP && n->box != NULL
		    ? box_shown(n->box)
		    : n->name;
		len = strlen(name);
		if ((size_t)(at - room) < len + 1)
			break;
		if (*at != '\0')
			*--at = '/';
		at -= len;
		memcpy(at, name, len);
	}
	return *at != '\0' ? at : ".";
}

/* Of any bytes: where they are no text, as far as they are ASCII. */
static json_t *
text_of(const char *s)
{
	cleanup_free char *copy = NULL;
	json_t *text = json_string(s);
	char *p;

	if (text != NULL)
		return text;
	copy = xstrdup(s);
	for (p = copy; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(copy);
}

void
reply_why(fuse_req_t req, const struct node *n, int error, const char *fmt, ...)
{
	struct caller c = req_caller(req);
	char room[PATH_SHOWN], text[PATH_SHOWN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	client_hint(req_fs(req)->client, "error",
	    json_pack("{s:o,s:o,s:I,s:I,s:I}", "file",
		text_of(shown_path(n, room)), "text", text_of(text), "uid",
		(json_int_t)c.uid, "gid", (json_int_t)c.gid, "pid",
		(json_int_t)c.pid));
	reply_err(req, error);
}

void
reply_check(fuse_req_t req, const struct node *n, int error)
{
	if (error == ESTALE)
		reply_why(req, n, error, "the sandbox was destroyed");
	else
		reply_err(req, error);
}

void
reply_part(fuse_req_t req, const char *p, size_t len, size_t n, uint64_t off)
{
	if (off >= len)
		off = len;
	if (n > len - off)
		n = len - (size_t)off;
	(void)fuse_reply_buf(req, n != 0 ? p + off : NULL, n);
}

struct call *
call_new(fuse_req_t req, void (*done)(struct call *, const struct reply *))
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->s = req_fs(req);
	c->req = req;
	c->caller = req_caller(req);
	c->done = done;
	return c;
}

struct call *
call_for(struct handle *h, void (*done)(struct call *, const struct reply *))
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->s = h->s;
	c->caller = h->opener;
	c->done = done;
	call_hold(c, h);
	return c;
}

void
call_hold(struct call *c, struct handle *h)
{
	c->h = handle_ref(h);
}

void
call_node(struct call *c, struct node *n)
{
	c->n = node_ref(n);
}

static void
finish(struct call *c, const struct reply *r)
{
	struct sbxfs *s = c->s;

	if (c->interrupted)
		TAILQ_REMOVE(&s->interrupted, c, link);
	if (c->done != NULL)
		c->done(c, r);
	if (c->h != NULL)
		handle_unref(c->h);
	if (c->n != NULL)
		node_unref(&s->nodes, c->n);
	free(c->text);
	buf_done(&c->bytes);
	free(c);
}

static void
answered(void *arg, const struct reply *r)
{
	struct call *c = arg;

	/* From here on there is nothing to interrupt. */
	if (c->req != NULL)
		fuse_req_interrupt_func(c->req, NULL, NULL);
	finish(c, r);
}

/* Asks the front to end it, as far as the caller's signals want it. */
static void
cancel(struct call *c)
{
	enum signals now = signals_of(c->caller.pid);

	if (now <= c->signals)
		return;
	client_cancel(c->s->client, c->id, now < SIGNALS_END);
	c->signals = now;
}

/* The kernel tells of the first signal, and of no second one: who was
 * interrupted and goes on waiting is looked at again. */
static void
interrupted(fuse_req_t req, void *arg)
{
	struct call *c = arg;

	(void)req;
	if (c->interrupted)
		return;
	TAILQ_INSERT_TAIL(&c->s->interrupted, c, link);
	c->interrupted = true;
	cancel(c);
}

/* Whoever was killed is gone only when it is answered. */
bool
calls_look(struct sbxfs *s, int64_t now_ms)
{
	const struct reply gone = { .error = -EINTR, .client = s->client };
	struct call *c, *next;

	for (c = TAILQ_FIRST(&s->interrupted); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		cancel(c);
		if (c->signals < SIGNALS_END)
			continue;
		if (c->give_up_ms == 0)
			c->give_up_ms = now_ms + GIVE_UP_MS;
		if (c->give_up_ms > now_ms)
			continue;
		client_abandon(s->client, c->id);
		answered(c, &gone);
	}
	return !TAILQ_EMPTY(&s->interrupted);
}

void
call_send_bin(struct call *c, const char *method, json_t *params,
    const void *bin, size_t len)
{
	const struct reply dead = { .error = -EIO };
	const struct request rq = {
		.method = method, .params = params, .bin = bin, .len = len
	};

	json_object_set_new(
	    params, "uid", json_integer((json_int_t)c->caller.uid));
	json_object_set_new(
	    params, "gid", json_integer((json_int_t)c->caller.gid));
	json_object_set_new(params, "pid", json_integer(c->caller.pid));
	c->id = client_call(c->s->client, &rq, answered, c);
	if (c->id == 0)
		finish(c, &dead);
	else if (c->req != NULL)
		fuse_req_interrupt_func(c->req, interrupted, c);
}

void
call_send(struct call *c, const char *method, json_t *params)
{
	call_send_bin(c, method, params, NULL, 0);
}

json_t *
box_params(const struct box *b)
{
	return json_pack("{s:s}", "id", b->id);
}

json_t *
node_params(const struct node *n)
{
	json_t *p = json_object();
	cleanup_free char *profile = NULL;

	if (n->file->at == AT_PROFILES) {
		profile = xasprintf("profiles/%s", n->name);
		json_object_set_new(p, "file", json_string(profile));
	} else if (n->file->name != NULL) {
		json_object_set_new(p, "file", json_string(n->file->name));
	}
	if (n->box != NULL)
		json_object_set_new(p, "id", json_string(n->box->id));
	if (n->job != 0)
		json_object_set_new(p, "job", json_integer(n->job));
	return p;
}

void
call_done_err(struct call *c, const struct reply *r)
{
	reply_err(c->req, -r->error);
}

void
call_done_lines(struct call *c, struct lines *l, const struct reply *r)
{
	json_int_t done = 0, error = -r->error;
	ssize_t n;

	if (r->error == 0 &&
	    json_unpack(
		r->result, "{s:I,s:I}", "done", &done, "errno", &error) < 0)
		error = EIO;
	if (c->size == 0) {
		reply_err(c->req, (int)error);
		return;
	}
	n = lines_answer(l, c->size, (size_t)done, (int)error);
	if (n < 0)
		reply_err(c->req, (int)-n);
	else
		(void)fuse_reply_write(c->req, (size_t)n);
}
