/*
 * tree.c - files.sock: connections, frames, notifications.
 *
 * What others were told must be what a mount shows, so a notification of a
 * change is given to the kernel before this file returns to whoever made it.
 * What only wakes a poll, and answers, wait until the loop is about to wait,
 * and then go together.
 */
#include "daemon/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/frame.h"
#include "daemon/tree_impl.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

#define CONNS_MAX 256
#define READ_BYTES (256u << 10)
/* A client that does not read: it is not read any more, and then it is cut. */
#define OUT_SOME (4u << 20)
#define OUT_MAX (16u << 20)
#define BIG (256u << 10)
/* A message after which the socket may be full. */
#define CROWD (16u << 10)
#define TICK_MS 200

/*** The stream out ***/

static void set_events(struct tree_conn *c);

static void
conn_die(struct tree_conn *c, const char *why)
{
	if (!c->dead && why != NULL)
		log_warnx("files.sock: client of uid %u: %s", c->peer.uid, why);
	c->dead = true;
}

static void
drop_out_fds(struct out_fds *o)
{
	fd_close_all(o->fds, o->n);
	free(o);
}

/* One piece: up to the next byte that descriptors go with. */
static ssize_t
send_piece(struct tree_conn *c)
{
	struct out_fds *o = TAILQ_FIRST(&c->out_fds), *next = o;
	size_t len = c->out.len;
	ssize_t r;

	if (o != NULL && o->at == c->sent)
		next = TAILQ_NEXT(o, link);
	else
		o = NULL;
	if (next != NULL && next->at - c->sent < len)
		len = (size_t)(next->at - c->sent);
	r = fd_send(c->fd, c->out.data, len, o != NULL ? o->fds : NULL,
	    o != NULL ? o->n : 0);
	if (r > 0 && o != NULL) {
		TAILQ_REMOVE(&c->out_fds, o, link);
		drop_out_fds(o);
	}
	return r;
}

void
conn_flush(struct tree_conn *c)
{
	ssize_t r;

	while (c->out.len != 0 && !c->dead) {
		if ((r = send_piece(c)) == -EAGAIN)
			break;
		if (r < 0) {
			conn_die(c,
			    r != -EPIPE && r != -ECONNRESET ? strerror((int)-r)
							    : NULL);
			return;
		}
		c->sent += (uint64_t)r;
		buf_consume(&c->out, (size_t)r);
	}
	/* what one large message needed is not kept */
	if (c->out.len == 0 && c->out_big)
		buf_done(&c->out);
	c->out_big = c->out.len > BIG;
	c->blocked = c->out.len != 0;
	if (!c->dead)
		set_events(c);
}

static void
add_frame(struct tree_conn *c, enum frame_type type, const void *p, size_t n)
{
	if (c->dead)
		return;
	if (frame_add(&c->out, type, p, n) < 0)
		conn_die(c, "it does not read what it is sent");
	c->out_big |= n > BIG;
	c->crowded |= n > CROWD;
}

void
conn_json(struct tree_conn *c, json_t *msg)
{
	cleanup_free char *text = json_dumps(msg, JSON_COMPACT);

	json_decref(msg);
	if (text == NULL)
		conn_die(c, "an answer is no JSON");
	else
		add_frame(c, FRAME_JSON, text, strlen(text));
}

void
conn_json_fds(struct tree_conn *c, json_t *msg, const int *fds, size_t n)
{
	struct out_fds *o = xcalloc(1, sizeof(*o));

	o->at = c->sent + c->out.len;
	o->n = n;
	memcpy(o->fds, fds, n * sizeof(*fds));
	TAILQ_INSERT_TAIL(&c->out_fds, o, link);
	conn_json(c, msg);
}

void
conn_binary(struct tree_conn *c, const void *p, size_t n)
{
	add_frame(c, FRAME_BINARY, p, n);
}

static json_t *
notification(const char *method, json_t *params)
{
	return json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", method,
	    "params", params);
}

void
conn_notify(struct tree_conn *c, const char *method, json_t *params)
{
	conn_json(c, notification(method, params));
}

void
conn_notify_fd(struct tree_conn *c, const char *method, json_t *params, int fd)
{
	json_t *msg = notification(method, params);

	json_object_set_new(msg, "fds", json_integer(1));
	conn_json_fds(c, msg, &fd, 1);
}

/*** Notifications ***/

#define NOTE "{\"jsonrpc\":\"2.0\",\"method\":"

/* By hand, since each create says it: nothing in these strings has to be
 * escaped. The caller frees it. */
static char *
sandbox_note(const struct sandbox *sb)
{
	const char *quote = *sb->name != '\0' ? "\"" : "";
	cleanup_free char *modes = json_dumps(sb->modes, JSON_COMPACT);

	return xasprintf(NOTE "\"sandbox\",\"params\":{\"id\":\"%s\","
			      "\"name\":%s%s%s,\"uid\":%u,\"gid\":%u,"
			      "\"mode\":%u,\"state\":\"%s\","
			      "\"created\":%" PRId64 ",\"run\":%" PRIu32
			      ",\"protect\":%s,\"modes\":%s}}",
	    sb->id, quote, *sb->name != '\0' ? sb->name : "null", quote,
	    sb->uid, sb->gid, sb->mode, sb_state_names[sb->state],
	    sb->created_ms / 1000, sb->run, sb->protect ? "true" : "false",
	    modes);
}

/* Takes the text. */
static void
add_note(struct tree_conn *c, char *text)
{
	add_frame(c, FRAME_JSON, text, strlen(text));
	free(text);
}

/* To all who may know of sb; takes the text. */
static void
tell(struct tree_server *t, const struct sandbox *sb, char *text)
{
	struct tree_conn *c;

	TAILQ_FOREACH (c, &t->conns, link) {
		if (!c->hello)
			continue;
		if (c->root || caller_owns(&c->peer, sb))
			add_frame(c, FRAME_JSON, text, strlen(text));
		else
			conn_notify(
			    c, "gone", json_pack("{s:s}", "id", sb->id));
		conn_flush(c);
	}
	free(text);
}

void
tree_sandbox(struct front *f, const struct sandbox *sb)
{
	struct tree_server *t = f->tree;

	if (t == NULL)
		return;
	t->changed_ms = clock_real_ms();
	if (!TAILQ_EMPTY(&t->conns))
		tell(t, sb, sandbox_note(sb));
}

void
tree_gone(struct front *f, const struct sandbox *sb)
{
	struct tree_server *t = f->tree;

	if (t == NULL)
		return;
	t->changed_ms = clock_real_ms();
	if (!TAILQ_EMPTY(&t->conns))
		tell(t, sb,
		    xasprintf(
			NOTE "\"gone\",\"params\":{\"id\":\"%s\"}}", sb->id));
}

void
tree_job_end(struct front *f, const struct job *job)
{
	struct tree_server *t = f->tree;

	if (t != NULL && !TAILQ_EMPTY(&t->conns))
		tell(t, job->sb,
		    xasprintf(NOTE "\"job.end\",\"params\":{\"id\":\"%s\","
				   "\"job\":%d}}",
			job->sb->id, job->number));
}

void
tree_event(struct front *f)
{
	if (f->tree != NULL)
		f->tree->grew[WATCH_EVENTS] = true;
}

void
tree_log(struct front *f)
{
	if (f->tree != NULL)
		f->tree->grew[WATCH_LOG] = true;
}

static void
errors_grew(void *arg)
{
	struct tree_server *t = arg;

	t->grew[WATCH_ERRORS] = true;
}

static json_t *
profile_params(const struct front *f)
{
	json_t *names = json_array();
	const struct profile *p;

	TAILQ_FOREACH (p, &f->cfg->profiles, link)
		json_array_append_new(names, json_string(p->name));
	return json_pack("{s:o}", "names", names);
}

void
tree_profiles(struct front *f)
{
	struct tree_conn *c;

	if (f->tree == NULL)
		return;
	f->tree->profiles_ms = clock_real_ms();
	top_load(f->tree);
	TAILQ_FOREACH (c, &f->tree->conns, link) {
		if (!c->hello)
			continue;
		conn_notify(c, "profiles", profile_params(f));
		conn_notify(
		    c, "top", json_pack("{s:O}", "modes", f->tree->modes));
		conn_flush(c);
	}
}

void
conn_sync(struct tree_conn *c)
{
	struct front *f = c->t->f;
	const struct sandbox *sb;

	conn_notify(c, "profiles", profile_params(f));
	conn_notify(c, "top", json_pack("{s:O}", "modes", c->t->modes));
	TAILQ_FOREACH (sb, &f->sandboxes, link)
		if (c->root || caller_owns(&c->peer, sb))
			add_note(c, sandbox_note(sb));
	conn_notify(c, "synced", json_object());
}

/*** The stream in ***/

static void
take_json(struct tree_conn *c, const struct frame *f)
{
	json_t *msg = json_loadb(f->data, f->len, JSON_ALLOW_NUL, NULL);

	if (msg == NULL)
		conn_json(c,
		    json_pack("{s:s,s:n,s:{s:i,s:s}}", "jsonrpc", "2.0", "id",
			"error", "code", -32700, "message", "no JSON"));
	else
		tree_dispatch(c, msg);
	json_decref(msg);
	buf_clear(&c->bin);
	c->has_bin = false;
}

static void
take_frame(struct tree_conn *c, const struct frame *f)
{
	static const char pong = 1;

	switch (f->type) {
	case FRAME_JSON:
		take_json(c, f);
		break;
	case FRAME_BINARY:
		if (c->has_bin || buf_add(&c->bin, f->data, f->len) < 0)
			conn_die(c, "a binary message without its JSON");
		c->has_bin = true;
		break;
	case FRAME_PING:
		if (f->data[0] == 0)
			add_frame(c, FRAME_PING, &pong, 1);
		break;
	}
}

/* Notifications must find room in the socket, or who was answered over HTTP
 * would look before the mount has heard of it: after a large message we wait
 * until most of it was read. The kernel says so when we may write. */
static bool
is_full(struct tree_conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	if (c->crowded) {
		conn_flush(c);
		c->crowded = c->out.len != 0 || poll(&p, 1, 0) == 0;
	}
	return c->crowded || c->out.len >= OUT_SOME;
}

/* Takes what has come, as long as the client takes what it is sent. */
static void
take_frames(struct tree_conn *c)
{
	bool big = c->in.len > BIG;
	struct frame f;
	long n = 0;

	c->stalled = false;
	while (!c->dead &&
	    (n = frame_decode(
		 buf_str(&c->in), c->in.len, FRAME_MAX_FILES, &f)) > 0) {
		if (is_full(c)) {
			c->stalled = true;
			break;
		}
		take_frame(c, &f);
		buf_consume(&c->in, (size_t)n);
	}
	if (n < 0)
		conn_die(c, "it sent no frame");
	if (c->in.len == 0 && big)
		buf_done(&c->in);
	set_events(c);
}

static void
read_some(struct tree_conn *c)
{
	ssize_t r;
	char *to;

	if (buf_reserve(&c->in, READ_BYTES, &to) < 0) {
		conn_die(c, "it sent too much at once");
		return;
	}
	/* no room for descriptors: none is allowed here */
	r = fd_recv(c->fd, to, READ_BYTES, NULL, NULL);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		conn_die(
		    c, r == 0 || r == -ECONNRESET ? NULL : strerror((int)-r));
		return;
	}
	buf_grew(&c->in, (size_t)r);
	take_frames(c);
}

static void
on_conn(uv_poll_t *p, int status, int events)
{
	struct tree_conn *c = p->data;

	if (status < 0) {
		/* what libuv calls a bad descriptor was reset */
		conn_die(c, status == UV_EBADF ? NULL : uv_strerror(status));
		return;
	}
	if ((events & UV_WRITABLE) != 0 && !c->dead) {
		conn_flush(c);
		take_frames(c);
	}
	if ((events & (UV_READABLE | UV_DISCONNECT)) != 0 && !c->dead)
		read_some(c);
}

static void
set_events(struct tree_conn *c)
{
	int events = UV_DISCONNECT;

	if (c->out.len < OUT_SOME)
		events |= UV_READABLE;
	if (c->blocked || c->stalled) /* others are flushed before we wait */
		events |= UV_WRITABLE;
	if (c->dead || events == c->events)
		return;
	c->events = events;
	(void)uv_poll_start(&c->poll, events, on_conn);
}

/*** Connections ***/

static void
release(struct tree_server *t)
{
	if (--t->handles == 0)
		free(t);
}

static void
conn_closed(uv_handle_t *h)
{
	struct tree_conn *c = h->data;
	struct tree_server *t = c->t;

	close_fd(&c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->bin);
	free(c);
	release(t);
}

static void
conn_close(struct tree_conn *c)
{
	struct treq *r, *next;
	struct out_fds *o;

	TAILQ_REMOVE(&c->t->conns, c, link);
	c->t->nconns--;
	c->dead = true;
	watch_conn_gone(c);
	inputs_conn_gone(c);
	held_conn_gone(c);
	for (r = TAILQ_FIRST(&c->reqs); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		treq_orphan(r);
	}
	while ((o = TAILQ_FIRST(&c->out_fds)) != NULL) {
		TAILQ_REMOVE(&c->out_fds, o, link);
		drop_out_fds(o);
	}
	uv_close((uv_handle_t *)&c->poll, conn_closed);
}

static void
set_peer(struct tree_conn *c)
{
	struct ucred cred = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(cred);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		conn_die(c, strerror(errno));
	tree_caller(&c->peer, cred.uid, cred.gid, cred.pid);
	c->root = cred.uid == 0;
}

static struct tree_conn *
conn_new(struct tree_server *t, int fd)
{
	struct tree_conn *c = xcalloc(1, sizeof(*c));

	c->t = t;
	c->fd = fd;
	TAILQ_INIT(&c->out_fds);
	TAILQ_INIT(&c->reqs);
	buf_limit(&c->in, FRAME_MAX_FILES + FRAME_HEAD + READ_BYTES);
	buf_limit(&c->out, OUT_MAX);
	buf_limit(&c->bin, FRAME_MAX_FILES);
	(void)uv_poll_init(t->f->loop, &c->poll, fd);
	c->poll.data = c;
	t->handles++;
	t->nconns++;
	TAILQ_INSERT_TAIL(&t->conns, c, link);
	set_events(c);
	return c;
}

int
tree_join(struct front *f, int fd, const struct caller *caller)
{
	struct tree_conn *c;

	if (f->tree == NULL || f->tree->nconns >= CONNS_MAX) {
		close_fd(&fd);
		return -1;
	}
	c = conn_new(f->tree, fd);
	c->peer = *caller;
	c->remote = true;
	return 0;
}

static void
on_accept(uv_poll_t *p, int status, int events)
{
	struct tree_server *t = p->data;
	int fd;

	(void)events;
	if (status < 0)
		return;
	fd = accept4(t->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			(void)uv_poll_stop(p); /* it would ask at once again */
			tree_tick_start(t);
		}
		return;
	}
	if (t->nconns >= CONNS_MAX) {
		close_fd(&fd);
		return;
	}
	set_peer(conn_new(t, fd));
}

/*** Before the loop waits ***/

static void
on_prepare(uv_prepare_t *p)
{
	struct tree_server *t = p->data;
	struct tree_conn *c, *next;

	watch_send(t);
	for (c = TAILQ_FIRST(&t->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->out.len != 0)
			conn_flush(c);
		if (c->dead)
			conn_close(c);
	}
}

static void
on_tick(uv_timer_t *tick)
{
	struct tree_server *t = tick->data;

	(void)uv_poll_start(&t->poll, UV_READABLE, on_accept);
	if (!held_tick(t))
		(void)uv_timer_stop(tick);
}

void
tree_tick_start(struct tree_server *t)
{
	if (!uv_is_active((uv_handle_t *)&t->tick))
		(void)uv_timer_start(&t->tick, on_tick, TICK_MS, TICK_MS);
}

/*** The server ***/

int
tree_new(struct front *f, int fd, struct tree_server **ret, struct err *e)
{
	cleanup_free char *errors = xasprintf("%s/errors", f->cfg->data_dir);
	struct tree_server *t = xcalloc(1, sizeof(*t));

	t->f = f;
	t->fd = fd;
	TAILQ_INIT(&t->conns);
	TAILQ_INIT(&t->held);
	TAILQ_INIT(&t->watched);
	TAILQ_INIT(&t->inputs);
	TAILQ_INIT(&t->orphans);
	t->next_handle = 1;
	t->changed_ms = t->profiles_ms = t->pool_ms = clock_real_ms();
	if (errlog_open(errors, errors_grew, t, &t->errors, e) < 0) {
		close_fd(&t->fd);
		free(t);
		return -1;
	}
	(void)uv_poll_init(f->loop, &t->poll, fd);
	(void)uv_prepare_init(f->loop, &t->prepare);
	(void)uv_timer_init(f->loop, &t->tick);
	t->poll.data = t->prepare.data = t->tick.data = t;
	t->handles = 3;
	(void)uv_poll_start(&t->poll, UV_READABLE, on_accept);
	(void)uv_prepare_start(&t->prepare, on_prepare);
	uv_unref((uv_handle_t *)&t->prepare);
	held_start(t);
	top_load(t);
	*ret = t;
	return 0;
}

static void
closed(uv_handle_t *h)
{
	release(h->data);
}

void
tree_free(struct tree_server *t)
{
	struct tree_conn *c;

	if (t == NULL)
		return;
	/* held sandboxes stay: their clients name them to the next front */
	held_free_all(t);
	while ((c = TAILQ_FIRST(&t->conns)) != NULL) {
		conn_flush(c);
		conn_close(c);
	}
	treq_free_all(t);
	errlog_close(t->errors);
	t->errors = NULL;
	json_decref(t->modes);
	t->modes = NULL;
	uv_close((uv_handle_t *)&t->poll, closed);
	uv_close((uv_handle_t *)&t->prepare, closed);
	uv_close((uv_handle_t *)&t->tick, closed);
	close_fd(&t->fd);
}
