#include "sbxfs/client.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "agent/frame.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "sbxfs/net.h"

#define OUT_MAX (256u << 20) /* a front that does not read: then it is dead */
/* What waits to be sent before nothing is added that can be left out: whoever
 * causes it need not wait for the front. */
#define HINTS_MAX (1u << 20)
#define IN_MAX (FRAME_MAX_FILES * 2 + (1u << 20))
#define READ_BYTES (256u << 10)
#define BUCKETS 256
#define NET_RETRY_MS 1000 /* each attempt is a handshake there */

struct pending {
	LIST_ENTRY(pending) link;
	uint64_t id;
	client_done done;
	void *arg;
};

LIST_HEAD(pending_list, pending);

struct client {
	struct client_conf conf;
	int fd;
	bool up;
	int64_t not_before_ms; /* the next attempt */
	int64_t progress_ms;   /* when something came, or was first asked */
	bool closed;	       /* by client_close */
	bool absent;	       /* said by the process that connects */
	unsigned lost;
	bool broken; /* found while writing; dropped by the next drain */
	struct buf in;
	struct buf out;
	struct buf binary; /* the last binary message, until its JSON comes */
	bool has_binary;
	int fds[FD_PASS_MAX * 4]; /* came, not taken yet */
	size_t nfds;
	size_t own_fds; /* of them, those of the message that is handled */
	uint64_t next_id;
	struct pending_list pending[BUCKETS];
	size_t npending;
};

struct client *
client_new(const struct client_conf *conf)
{
	struct client *c = xcalloc(1, sizeof(*c));
	size_t i;

	c->conf = *conf;
	c->fd = -1;
	c->next_id = 1;
	buf_limit(&c->in, IN_MAX);
	buf_limit(&c->out, OUT_MAX);
	for (i = 0; i < BUCKETS; i++)
		LIST_INIT(&c->pending[i]);
	return c;
}

static void
fail_pending(struct client *c)
{
	const struct reply r = { .error = c->absent ? -ENOENT : -EIO,
		.lost = !c->absent,
		.client = c };
	struct pending_list all = LIST_HEAD_INITIALIZER(all);
	struct pending *p;
	size_t i;

	/* A done may call again, and then there is no connection: 0. */
	for (i = 0; i < BUCKETS; i++)
		while ((p = LIST_FIRST(&c->pending[i])) != NULL) {
			LIST_REMOVE(p, link);
			LIST_INSERT_HEAD(&all, p, link);
		}
	while ((p = LIST_FIRST(&all)) != NULL) {
		LIST_REMOVE(p, link);
		c->npending--;
		p->done(p->arg, &r);
		free(p);
	}
}

static void
disconnect(struct client *c)
{
	/* Whoever was there comes back soon, or not so soon. */
	if (c->conf.dial >= 0 && !(c->up && c->conf.queues))
		c->not_before_ms =
		    clock_ms() + (c->up ? CLIENT_RETRY_MS : NET_RETRY_MS);
	close_fd(&c->fd);
	c->up = false;
	c->lost++;
	c->broken = false;
	buf_clear(&c->in);
	buf_clear(&c->out);
	buf_clear(&c->binary);
	c->has_binary = false;
	fd_close_all(c->fds, c->nfds);
	c->nfds = 0;
	fail_pending(c);
}

void
client_close(struct client *c)
{
	c->closed = true;
	disconnect(c);
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	client_close(c);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->binary);
	free(c);
}

int
client_fd(const struct client *c)
{
	return c->fd;
}

bool
client_waits(const struct client *c)
{
	return c->npending != 0;
}

bool
client_is_up(const struct client *c)
{
	return c->up;
}

bool
client_is_absent(const struct client *c)
{
	return c->absent;
}

unsigned
client_lost(const struct client *c)
{
	return c->lost;
}

int64_t
client_waits_since(const struct client *c)
{
	return c->npending != 0 ? c->progress_ms : 0;
}

bool
client_wants_write(const struct client *c)
{
	return c->out.len != 0;
}

bool
client_connect(struct client *c)
{
	if (c->fd >= 0)
		return true;
	if (c->closed || clock_ms() < c->not_before_ms)
		return false;
	c->fd = c->conf.dial >= 0
	    ? net_dial(c->conf.dial, c->conf.path)
	    : fd_unix_connect(c->conf.path, SOCK_STREAM | SOCK_NONBLOCK);
	if (c->fd < 0) {
		c->fd = -1;
		return false;
	}
	c->absent = false;
	/* The other side of a network says itself when it is there. */
	c->up = c->conf.dial < 0;
	if (c->up)
		c->conf.ev->up(c->conf.arg);
	return true;
}

static void
flush_out(struct client *c)
{
	ssize_t r;

	while (c->out.len != 0 && c->fd >= 0 && !c->broken) {
		r = fd_send(c->fd, c->out.data, c->out.len, NULL, 0);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			c->broken = true;
			return;
		}
		buf_consume(&c->out, (size_t)r);
	}
}

static int
add_json(struct client *c, json_t *msg)
{
	cleanup_free char *text = NULL;

	text = json_dumps(msg, JSON_COMPACT);
	json_decref(msg);
	if (text == NULL)
		return -EINVAL;
	return frame_add(&c->out, FRAME_JSON, text, strlen(text));
}

static int
add_request(struct client *c, const struct request *rq, uint64_t id)
{
	int r;

	if (rq->bin != NULL) {
		json_object_set_new(rq->params, "binary", json_true());
		r = frame_add(&c->out, FRAME_BINARY, rq->bin, rq->len);
		if (r < 0) {
			json_decref(rq->params);
			return r;
		}
	}
	return add_json(c,
	    json_pack("{s:s,s:I,s:s,s:o}", "jsonrpc", "2.0", "id",
		(json_int_t)id, "method", rq->method, "params", rq->params));
}

uint64_t
client_call(
    struct client *c, const struct request *rq, client_done done, void *arg)
{
	bool reachable = c->up || (c->conf.queues && c->fd >= 0);
	uint64_t id = c->next_id;
	size_t start = c->out.len;
	struct pending *p;

	if (!reachable || c->broken) {
		json_decref(rq->params);
		return 0;
	}
	if (c->npending == 0)
		c->progress_ms = clock_ms();
	if (add_request(c, rq, id) < 0) {
		buf_cut(&c->out, start);
		return 0;
	}
	c->next_id++;
	p = xcalloc(1, sizeof(*p));
	p->id = id;
	p->done = done;
	p->arg = arg;
	LIST_INSERT_HEAD(&c->pending[id % BUCKETS], p, link);
	c->npending++;
	flush_out(c);
	return id;
}

void
client_notify(struct client *c, const char *method, json_t *params)
{
	if (!c->up || c->broken) {
		json_decref(params);
		return;
	}
	if (add_json(c,
		json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", method,
		    "params", params)) < 0)
		c->broken = true;
	flush_out(c);
}

void
client_hint(struct client *c, const char *method, json_t *params)
{
	if (c->out.len > HINTS_MAX)
		json_decref(params);
	else
		client_notify(c, method, params);
}

void
client_cancel(struct client *c, uint64_t id, bool soft)
{
	client_notify(c, "cancel",
	    json_pack("{s:I,s:b}", "req", (json_int_t)id, "soft", (int)soft));
}

int
client_take_fd(struct client *c)
{
	int fd;

	if (c->own_fds == 0 || c->nfds == 0)
		return -1;
	c->own_fds--;
	fd = c->fds[0];
	memmove(c->fds, c->fds + 1, --c->nfds * sizeof(c->fds[0]));
	return fd;
}

static struct pending *
take_pending(struct client *c, uint64_t id)
{
	struct pending *p;

	LIST_FOREACH (p, &c->pending[id % BUCKETS], link)
		if (p->id == id) {
			LIST_REMOVE(p, link);
			c->npending--;
			return p;
		}
	return NULL;
}

static void
nobody(void *arg, const struct reply *r)
{
	(void)arg;
	(void)r;
}

void
client_abandon(struct client *c, uint64_t id)
{
	struct pending *p;

	LIST_FOREACH (p, &c->pending[id % BUCKETS], link)
		if (p->id == id)
			p->done = nobody;
}

/* The descriptors of a message come in order, and go with it. */
static void
begin_fds(struct client *c, const json_t *msg)
{
	json_int_t n = json_integer_value(json_object_get(msg, "fds"));

	c->own_fds = n > 0 && n <= FD_PASS_MAX ? (size_t)n : 0;
}

static void
end_fds(struct client *c)
{
	int fd;

	while ((fd = client_take_fd(c)) >= 0)
		close_fd(&fd);
	c->own_fds = 0;
}

/* The -errno of an error object; what is not one of ours is -EIO. */
static int
error_of(const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));

	if (code >= 0 || code < -4095)
		return -EIO;
	return (int)code;
}

static int
handle_reply(struct client *c, json_t *msg, json_int_t id)
{
	struct reply r = { .client = c };
	json_t *error = json_object_get(msg, "error");
	struct pending *p;

	if ((p = take_pending(c, (uint64_t)id)) == NULL)
		return -EPROTO;
	r.result = json_object_get(msg, "result");
	if (error != NULL || !json_is_object(r.result)) {
		r.error = error_of(error);
		r.result = NULL;
		log_debug("%s: %s", c->conf.path,
		    json_string_value(json_object_get(error, "message")) ?: "");
	} else if (json_is_true(json_object_get(r.result, "binary"))) {
		r.data = buf_str(&c->binary);
		r.len = c->binary.len;
	}
	p->done(p->arg, &r);
	free(p);
	return 0;
}

static int
handle_json(struct client *c, const struct frame *f)
{
	json_t *msg = json_loadb(f->data, f->len, JSON_ALLOW_NUL, NULL);
	json_t *params, *id;
	const char *method;
	int r = -EPROTO;

	if (!json_is_object(msg))
		goto out;
	id = json_object_get(msg, "id");
	method = json_string_value(json_object_get(msg, "method"));
	params = json_object_get(msg, "params");
	begin_fds(c, msg);
	if (method != NULL && id == NULL && json_is_object(params)) {
		c->conf.ev->notice(c->conf.arg, method, params);
		r = 0;
	} else if (json_is_integer(id)) {
		r = handle_reply(c, msg, json_integer_value(id));
	}
	end_fds(c);
	buf_clear(&c->binary);
	c->has_binary = false;
out:
	json_decref(msg);
	return r;
}

static int
handle_frame(struct client *c, const struct frame *f)
{
	static const char pong = 1;

	switch (f->type) {
	case FRAME_JSON:
		return handle_json(c, f);
	case FRAME_BINARY:
		if (c->has_binary)
			return -EPROTO;
		c->has_binary = true;
		return buf_add(&c->binary, f->data, f->len);
	case FRAME_PING:
		if (f->data[0] == NET_ABSENT) {
			c->absent = true;
			return 0;
		}
		if (!c->up) {
			c->up = true;
			c->conf.ev->up(c->conf.arg);
		}
		return f->data[0] != 0
		    ? 0
		    : frame_add(&c->out, FRAME_PING, &pong, 1);
	}
	return -EPROTO;
}

static int
handle_frames(struct client *c)
{
	struct frame f;
	long n;
	int r;

	while ((n = frame_decode(
		    buf_str(&c->in), c->in.len, FRAME_MAX_FILES, &f)) > 0) {
		if ((r = handle_frame(c, &f)) < 0)
			return r;
		buf_consume(&c->in, (size_t)n);
	}
	return (int)n;
}

static int
read_some(struct client *c)
{
	size_t n = 0;
	ssize_t r;
	char *to;

	if (c->nfds + FD_PASS_MAX > sizeof(c->fds) / sizeof(c->fds[0]))
		return -EPROTO;
	if (buf_reserve(&c->in, READ_BYTES, &to) < 0)
		return -EMSGSIZE;
	r = fd_recv(c->fd, to, READ_BYTES, c->fds + c->nfds, &n);
	if (r == 0)
		return -ECONNRESET;
	if (r < 0)
		return (int)r;
	c->nfds += n;
	c->progress_ms = clock_ms();
	buf_grew(&c->in, (size_t)r);
	return 0;
}

void
client_drain(struct client *c)
{
	int r = 0;

	if (c->fd < 0)
		return;
	flush_out(c);
	while (!c->broken && (r = read_some(c)) == 0)
		if ((r = handle_frames(c)) < 0)
			break;
	if (r == -EAGAIN && !c->broken)
		return;
	if (r < 0 && r != -ECONNRESET && r != -EAGAIN)
		log_warnx("%s: %s", c->conf.path, strerror(-r));
	client_drop(c);
}

void
client_drop(struct client *c)
{
	bool up = c->up;

	disconnect(c);
	if (up)
		c->conf.ev->down(c->conf.arg);
}
