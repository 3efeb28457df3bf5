#include "daemon/agentc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/frame.h"
#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"

/* What an agent may make us hold. Its JSON is parsed into some 40 times its
 * size at worst, so it has a limit of its own, under that of a frame. */
#define JSON_MAX (1u << 20)
#define IN_MAX (2 * (FRAME_MAX_AGENT + FRAME_HEAD) + 4096)
#define CALLS_MAX 65536
#define PONGS_MAX (64u << 10) /* bytes of them not yet taken */

#define READ_SIZE (256u << 10)
#define BATCH 8
#define LATER_MS 1 /* what nobody waits for goes out */

/* What goes out in one message: its descriptors are at its first byte. */
struct out {
	TAILQ_ENTRY(out) link;
	int fds[FD_PASS_MAX]; /* owned once own_fds is done */
	size_t nfds;
	bool owned;
	bool pong;
	size_t off, len;
	char data[];
};

TAILQ_HEAD(outs, out);

/* done NULL: nobody wants the answer any more, but it may come. */
struct call {
	TAILQ_ENTRY(call) link;
	json_int_t id;
	int64_t deadline_ms; /* of the loop's clock; 0 none */
	int code;	     /* how it ends at its deadline */
	const char *text;
	agent_done *done;
	void *arg;
};

TAILQ_HEAD(calls, call);

struct agentc {
	const struct agentc_ops *ops;
	void *arg;
	uv_poll_t poll;
	uv_timer_t timer;
	int handles; /* not yet closed */
	int fd;
	bool ended; /* no connection any more */
	bool freed; /* by its owner; the memory goes with the last handle */
	bool writing;
	struct err why; /* of the end */
	int broken;	/* errno of a send: ends at the next turn */
	struct buf in;	/* frames not yet whole, empty most of the time */
	size_t scan;	/* how far in they were looked at */
	size_t bin_at, bin_len; /* a binary message waits for its JSON */
	bool has_bin;
	struct outs out;
	struct outs later; /* goes behind what is sent next, */
	int64_t later_ms;  /* or then; 0: there is nothing */
	size_t pongs;	   /* bytes of them in out */
	struct calls calls;
	size_t ncalls;
	json_int_t next_id;
};

/* What was just read, by any connection: idle ones hold no buffer. */
static char incoming[READ_SIZE];

/*** The end ***/

static void
free_out(struct agentc *a, struct out *o)
{
	TAILQ_REMOVE(&a->out, o, link);
	if (o->pong)
		a->pongs -= o->len;
	if (o->owned)
		fd_close_all(o->fds, o->nfds);
	free(o);
}

static void
end_call(struct agentc *a, struct call *c, const struct agent_answer *answer)
{
	TAILQ_REMOVE(&a->calls, c, link);
	a->ncalls--;
	if (c->done != NULL)
		c->done(c->arg, answer);
	free(c);
}

static void
fail_call(struct agentc *a, struct call *c, const struct err *e)
{
	end_call(a, c, &(struct agent_answer){ .e = e });
}

static void
on_closed(uv_handle_t *h)
{
	struct agentc *a = h->data;

	if (--a->handles != 0 || !a->freed)
		return;
	buf_done(&a->in);
	free(a);
}

/* Not earlier: the agent wakes by it, and who waits for us goes first. */
static void
on_poll_closed(uv_handle_t *h)
{
	struct agentc *a = h->data;

	close_fd(&a->fd);
	on_closed(h);
}

static void
drop_connection(struct agentc *a)
{
	struct out *o;

	if (a->ended)
		return;
	a->ended = true;
	uv_close((uv_handle_t *)&a->poll, on_poll_closed);
	TAILQ_CONCAT(&a->out, &a->later, link);
	while ((o = TAILQ_FIRST(&a->out)) != NULL)
		free_out(a, o);
}

/* The input stays until the memory goes: a caller up the stack reads it. */
static void
end(struct agentc *a, int code, const char *what)
{
	struct call *c;

	if (a->ended)
		return;
	err_setx(&a->why, code, "%s", what);
	drop_connection(a);
	while (!a->freed && (c = TAILQ_FIRST(&a->calls)) != NULL)
		fail_call(a, c, &a->why);
	if (!a->freed && a->ops->lost != NULL)
		a->ops->lost(a->arg, &a->why);
}

void
agentc_free(struct agentc *a)
{
	struct err e;
	struct call *c;

	if (a == NULL || a->freed)
		return;
	a->freed = true;
	err_setx(&e, ECANCELED, "the connection to the agent was ended");
	drop_connection(a);
	while ((c = TAILQ_FIRST(&a->calls)) != NULL)
		fail_call(a, c, &e);
	uv_close((uv_handle_t *)&a->timer, on_closed);
}

/*** Deadlines ***/

static void set_timer(struct agentc *a);
static void flush_out(struct agentc *a);

/* Ends what is due; false when that ended the connection as well. */
static bool
end_due(struct agentc *a)
{
	int64_t now = (int64_t)uv_now(a->timer.loop);
	struct call *c, *next;
	agent_done *done;
	struct err e;

	for (c = TAILQ_FIRST(&a->calls); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->deadline_ms == 0 || c->deadline_ms > now)
			continue;
		err_setx(&e, c->code, "%s", c->text);
		done = c->done;
		c->deadline_ms = 0;
		c->done = NULL; /* its answer may still come */
		if (done == NULL)
			continue;
		done(c->arg, &(struct agent_answer){ .e = &e });
		if (a->ended)
			return false;
		next = TAILQ_FIRST(&a->calls); /* the list may have changed */
	}
	return true;
}

static void
on_timer(uv_timer_t *t)
{
	struct agentc *a = t->data;
	struct call *c;

	if (a->broken != 0)
		end(a, a->broken, strerror(a->broken));
	while (a->ended && !a->freed && (c = TAILQ_FIRST(&a->calls)) != NULL)
		fail_call(a, c, &a->why);
	if (!a->ended && a->later_ms != 0 &&
	    a->later_ms <= (int64_t)uv_now(t->loop))
		flush_out(a);
	if (!a->ended && end_due(a) && a->broken == 0)
		set_timer(a);
}

static void
set_timer(struct agentc *a)
{
	int64_t now = (int64_t)uv_now(a->timer.loop), first = a->later_ms;
	const struct call *c;

	TAILQ_FOREACH (c, &a->calls, link)
		if (c->deadline_ms != 0 &&
		    (first == 0 || c->deadline_ms < first))
			first = c->deadline_ms;
	if (first == 0)
		(void)uv_timer_stop(&a->timer);
	else
		(void)uv_timer_start(&a->timer, on_timer,
		    first > now ? (uint64_t)(first - now) : 0, 0);
}

/*** Out ***/

static void on_poll(uv_poll_t *p, int status, int events);

static void
want_write(struct agentc *a, bool on)
{
	if (a->writing == on)
		return;
	a->writing = on;
	(void)uv_poll_start(
	    &a->poll, on ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

static void
fill_message(struct msghdr *m, struct iovec *v, char *control, struct out *o)
{
	struct cmsghdr *h = (struct cmsghdr *)(void *)control;

	v->iov_base = o->data + o->off;
	v->iov_len = o->len - o->off;
	memset(m, 0, sizeof(*m));
	m->msg_iov = v;
	m->msg_iovlen = 1;
	if (o->nfds == 0 || o->off != 0)
		return;
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(o->nfds * sizeof(int));
	memset(control, 0, m->msg_controllen);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(o->nfds * sizeof(int));
	memcpy(CMSG_DATA(h), o->fds, o->nfds * sizeof(int));
}

/* The first few messages by one call: >0 done, 0 the socket is full, -errno.
 * The kernel stops after one that it took in part. */
static int
send_batch(struct agentc *a)
{
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	_Alignas(struct cmsghdr) char
	    control[BATCH][CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	struct out *o = TAILQ_FIRST(&a->out);
	int i, n, sent;

	for (n = 0; n < BATCH && o != NULL; n++, o = TAILQ_NEXT(o, link)) {
		m[n].msg_len = 0;
		fill_message(&m[n].msg_hdr, &v[n], control[n], o);
	}
	do
		sent = sendmmsg(
		    a->fd, m, (unsigned)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (i = 0; i < sent; i++) {
		o = TAILQ_FIRST(&a->out);
		o->off += m[i].msg_len;
		if (o->off < o->len)
			return 0;
		free_out(a, o);
	}
	return sent;
}

/* What stays in the queue outlives its caller's descriptors. */
static int
own_fds(struct agentc *a)
{
	struct out *o;
	size_t i;

	TAILQ_FOREACH (o, &a->out, link) {
		if (o->owned || o->nfds == 0)
			continue;
		if (o->off != 0) { /* they went with its first byte */
			o->nfds = 0;
			continue;
		}
		for (i = 0; i < o->nfds; i++) {
			o->fds[i] = fcntl(o->fds[i], F_DUPFD_CLOEXEC, 3);
			if (o->fds[i] < 0) {
				o->nfds = i;
				o->owned = true;
				return -errno;
			}
		}
		o->owned = true;
	}
	return 0;
}

/* A failure ends the connection at the loop's next turn, not under the feet
 * of the caller. */
static void
flush_out(struct agentc *a)
{
	int r = 1;

	a->later_ms = 0;
	TAILQ_CONCAT(&a->out, &a->later, link);
	while (r > 0 && !TAILQ_EMPTY(&a->out))
		r = send_batch(a);
	if (r >= 0)
		r = own_fds(a);
	if (r < 0) {
		a->broken = -r;
		(void)uv_timer_start(&a->timer, on_timer, 0, 0);
		return;
	}
	want_write(a, !TAILQ_EMPTY(&a->out));
}

static struct out *
add_out(struct agentc *a, size_t len)
{
	struct out *o = xmalloc(sizeof(*o) + len);

	o->nfds = 0;
	o->owned = o->pong = false;
	o->off = 0;
	o->len = len;
	TAILQ_INSERT_TAIL(&a->out, o, link);
	return o;
}

static char *
put_frame(char *to, enum frame_type type, const void *p, size_t n)
{
	frame_head(to, type, n);
	if (n != 0)
		memcpy(to + FRAME_HEAD, p, n);
	return to + FRAME_HEAD + n;
}

static void
pong(struct agentc *a)
{
	struct out *o;

	if (a->pongs >= PONGS_MAX) {
		end(a, EPROTO, "the agent sends pings and reads no answers");
		return;
	}
	o = add_out(a, FRAME_HEAD + 1);
	o->pong = true;
	a->pongs += o->len;
	(void)put_frame(o->data, FRAME_PING, "\1", 1);
	flush_out(a);
}

/*** In ***/

static struct call *
find_call(struct agentc *a, json_int_t id)
{
	struct call *c;

	TAILQ_FOREACH (c, &a->calls, link)
		if (c->id == id)
			return c;
	return NULL;
}

/* The sentence is a guest's: one line, of what can be printed. */
static void
take_error(const json_t *error, struct err *e)
{
	const json_t *code = json_object_get(error, "code");
	const char *text = json_string_value(json_object_get(error, "message"));
	json_int_t n = json_is_integer(code) ? json_integer_value(code) : 0;
	char *p;

	e->code = EPROTO;
	if (n < 0 && n > -4096)
		e->code = (int)-n;
	else if (n == -32601)
		e->code = ENOSYS;
	else if (n == -32602)
		e->code = EINVAL;
	(void)str_copy(
	    e->text, text != NULL ? text : "unknown error", sizeof(e->text));
	for (p = e->text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static const char *
take_reply(struct agentc *a, const json_t *msg, const char *bin, size_t len)
{
	struct agent_answer answer = { .bin = bin,
		.bin_len = len,
		.result = json_object_get(msg, "result") };
	const json_t *id = json_object_get(msg, "id");
	const json_t *error = json_object_get(msg, "error");
	bool says = json_is_true(json_object_get(answer.result, "binary"));
	struct call *c = NULL;
	struct err e;

	if (json_is_integer(id))
		c = find_call(a, json_integer_value(id));
	if (c == NULL)
		return "the agent answers what was not asked";
	if ((answer.result != NULL) == (error != NULL) ||
	    (error != NULL && !json_is_object(error)))
		return "the agent's answer has no single result";
	if (says != (bin != NULL))
		return "the agent's answer and its binary message disagree";
	if (error != NULL) {
		take_error(error, &e);
		answer.e = &e;
	}
	end_call(a, c, &answer);
	return NULL;
}

static const char *
take_json(
    struct agentc *a, const struct frame *f, const char *bin, size_t bin_len)
{
	const char *method, *bad = NULL;
	json_t *msg;

	if (f->len > JSON_MAX)
		return "the agent's message is too long";
	if ((msg = json_loadb(f->data, f->len, 0, NULL)) == NULL)
		return "the agent's message is no JSON";
	method = json_string_value(json_object_get(msg, "method"));
	if (!json_is_object(msg))
		bad = "the agent's message is no object";
	else if (method == NULL)
		bad = take_reply(a, msg, bin, bin_len);
	else if (json_object_get(msg, "id") != NULL)
		bad = "the agent makes a request";
	else if (bin != NULL)
		bad = "the agent's notification has a binary message";
	else if (a->ops->notify != NULL)
		a->ops->notify(a->arg, method, json_object_get(msg, "params"));
	json_decref(msg);
	return bad;
}

/* A binary message's place is kept, not a pointer: the bytes move. */
static const char *
take_frame(struct agentc *a, const char *base, const struct frame *f)
{
	const char *bin = a->has_bin ? base + a->bin_at : NULL;

	if (f->type == FRAME_PING) {
		if (*f->data != 0 && *f->data != 1)
			return "the agent's ping is wrong";
		if (*f->data == 0)
			pong(a);
		return NULL;
	}
	if (f->type == FRAME_BINARY) {
		if (a->has_bin)
			return "the agent sends two binary messages in a row";
		a->has_bin = true;
		a->bin_at = (size_t)(f->data - base);
		a->bin_len = f->len;
		return NULL;
	}
	a->has_bin = false;
	return take_json(a, f, bin, bin != NULL ? a->bin_len : 0);
}

/*
 * Takes the whole frames of the n bytes at p. Returns how many bytes are not
 * needed any more, or -1 when the connection has ended. A binary message
 * stays, with its head, until its JSON has come.
 */
static ssize_t
take_frames(struct agentc *a, const char *p, size_t n)
{
	struct frame f;
	const char *bad = NULL;
	size_t at = a->scan, used;
	long r;

	while ((r = frame_decode(p + at, n - at, FRAME_MAX_AGENT, &f)) > 0) {
		at += (size_t)r;
		if ((bad = take_frame(a, p, &f)) != NULL)
			break;
		if (a->ended)
			return -1;
	}
	if (r < 0)
		bad = r == -EMSGSIZE ? "the agent's frame is too long"
				     : "the agent's frame is wrong";
	if (bad != NULL) {
		end(a, EPROTO, bad);
		return -1;
	}
	used = a->has_bin ? a->bin_at - FRAME_HEAD : at;
	if (a->has_bin)
		a->bin_at = FRAME_HEAD;
	a->scan = at - used;
	return (ssize_t)used;
}

/* Decodes where the bytes were read; what is left waits in a->in. */
static void
take_bytes(struct agentc *a, size_t n)
{
	bool direct = a->in.len == 0;
	ssize_t used;
	int r = 0;

	if (!direct)
		r = buf_add(&a->in, incoming, n);
	if (r == 0 && direct) {
		if ((used = take_frames(a, incoming, n)) < 0)
			return;
		r = buf_add(&a->in, incoming + used, n - (size_t)used);
	} else if (r == 0) {
		if ((used = take_frames(a, a->in.data, a->in.len)) < 0)
			return;
		buf_consume(&a->in, (size_t)used);
	}
	if (r < 0)
		end(a, EPROTO, "the agent sends too much at once");
	else if (a->in.len == 0)
		buf_done(&a->in);
}

static void
read_more(struct agentc *a)
{
	ssize_t n = fd_recv(a->fd, incoming, sizeof(incoming), NULL, NULL);

	if (n > 0)
		take_bytes(a, (size_t)n);
	else if (n == 0)
		end(a, ECONNRESET, "the agent closed the connection");
	else if (n == -EPROTO)
		end(a, EPROTO, "the agent sends a descriptor");
	else if (n != -EAGAIN)
		end(a, (int)-n, strerror((int)-n));
}

static void
on_poll(uv_poll_t *p, int status, int events)
{
	struct agentc *a = p->data;

	/* what libuv calls a bad descriptor was reset */
	if (status == UV_EBADF)
		end(a, ECONNRESET, "the agent closed the connection");
	else if (status < 0)
		end(a, -status, uv_strerror(status));
	if (status < 0)
		return;
	if ((events & UV_WRITABLE) != 0 && a->broken == 0)
		flush_out(a);
	if ((events & UV_READABLE) != 0 && !a->ended)
		read_more(a);
}

/*** Calls ***/

struct agentc *
agentc_new(uv_loop_t *loop, const char *path, const struct agentc_ops *ops,
    void *arg, struct err *e)
{
	int fd = fd_unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
	struct agentc *a;

	if (fd < 0) {
		err_set(e, -fd, "agent: connect to %s", path);
		return NULL;
	}
	a = xcalloc(1, sizeof(*a));
	a->ops = ops;
	a->arg = arg;
	a->fd = fd;
	a->next_id = 1;
	TAILQ_INIT(&a->out);
	TAILQ_INIT(&a->later);
	TAILQ_INIT(&a->calls);
	buf_limit(&a->in, IN_MAX + READ_SIZE);
	(void)uv_timer_init(loop, &a->timer);
	a->timer.data = a->poll.data = a;
	a->handles = 2;
	if (uv_poll_init(loop, &a->poll, fd) < 0) {
		close_fd(&fd);
		a->handles = 1;
		a->ended = a->freed = true;
		uv_close((uv_handle_t *)&a->timer, on_closed);
		(void)err_setx(e, EIO, "agent: %s cannot be polled", path);
		return NULL;
	}
	(void)uv_poll_start(&a->poll, UV_READABLE, on_poll);
	return a;
}

/* Steals params; NULL: they are no JSON, or too large. */
static char *
make_message(const char *method, json_t *params, json_int_t id, size_t *ret_n)
{
	cleanup_free char *text =
	    params != NULL ? json_dumps(params, JSON_COMPACT) : xstrdup("{}");
	char number[32] = "", *msg = NULL;

	json_decref(params);
	if (id != 0)
		snprintf(number, sizeof(number), ",\"id\":%lld", (long long)id);
	if (text != NULL)
		msg = xasprintf("{\"jsonrpc\":\"2.0\",\"method\":\"%s\","
				"\"params\":%s%s}",
		    method, text, number);
	*ret_n = msg != NULL ? strlen(msg) : 0;
	return msg;
}

/* Binary and JSON are one message, unless descriptors come with the JSON. */
static void
send_call(struct agentc *a, const struct frame *bin, const struct frame *json,
    const int *fds, size_t nfds)
{
	size_t bin_len = bin->data != NULL ? FRAME_HEAD + bin->len : 0;
	size_t json_len = FRAME_HEAD + json->len;
	struct out *o;
	char *to;

	o = add_out(
	    a, nfds != 0 && bin_len != 0 ? bin_len : bin_len + json_len);
	to = o->data;
	if (bin_len != 0)
		to = put_frame(to, FRAME_BINARY, bin->data, bin->len);
	if (nfds != 0 && bin_len != 0) {
		o = add_out(a, json_len);
		to = o->data;
	}
	(void)put_frame(to, FRAME_JSON, json->data, json->len);
	if (nfds != 0)
		memcpy(o->fds, fds, nfds * sizeof(*fds));
	o->nfds = nfds;
}

/* Not before the caller has returned from agentc_call. */
static void
fail_later(struct agentc *a, struct call *c, int code, const char *text)
{
	if (c == NULL)
		return;
	c->deadline_ms = 1;
	c->code = code;
	c->text = text;
	(void)uv_timer_start(&a->timer, on_timer, 0, 0);
}

static struct call *
add_call(struct agentc *a, int64_t timeout_ms, agent_done *done, void *arg)
{
	struct call *c;

	if (done == NULL)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->id = a->next_id++;
	c->done = done;
	c->arg = arg;
	c->code = ETIMEDOUT;
	c->text = "the agent does not answer";
	if (timeout_ms > 0)
		c->deadline_ms = (int64_t)uv_now(a->timer.loop) + timeout_ms;
	TAILQ_INSERT_TAIL(&a->calls, c, link);
	a->ncalls++;
	return c;
}

/* The message that was just queued. */
static void
put_off(struct agentc *a)
{
	struct out *o = TAILQ_LAST(&a->out, outs);

	TAILQ_REMOVE(&a->out, o, link);
	TAILQ_INSERT_TAIL(&a->later, o, link);
	if (a->later_ms == 0)
		a->later_ms = (int64_t)uv_now(a->timer.loop) + LATER_MS;
}

void
agentc_call(struct agentc *a, const struct agent_call *call)
{
	struct frame b = { .data = call->bin, .len = call->bin_len }, j = { 0 };
	struct call *c;
	struct err e;
	char *text;

	if (a->freed) {
		json_decref(call->params);
		err_setx(&e, ECANCELED, "the connection to the agent ended");
		if (call->done != NULL)
			call->done(
			    call->arg, &(struct agent_answer){ .e = &e });
		return;
	}
	c = add_call(a, call->timeout_ms, call->done, call->arg);
	text = make_message(
	    call->method, call->params, c != NULL ? c->id : 0, &j.len);
	if (a->ended || text == NULL || a->ncalls > CALLS_MAX ||
	    b.len > FRAME_MAX_AGENT || j.len > FRAME_MAX_AGENT ||
	    call->nfds > FD_PASS_MAX) {
		free(text);
		fail_later(a, c, EMSGSIZE, "too much for the agent");
		return;
	}
	j.data = text;
	send_call(a, &b, &j, call->fds, call->nfds);
	free(text);
	if (call->later)
		put_off(a);
	if (a->broken != 0)
		return;
	if (call->later || call->timeout_ms > 0)
		set_timer(a);
	if (!call->later)
		flush_out(a);
}

void
agentc_forget(struct agentc *a, void *arg)
{
	struct call *c;

	if (a == NULL)
		return;
	TAILQ_FOREACH (c, &a->calls, link)
		if (c->arg == arg)
			c->done = NULL;
}
