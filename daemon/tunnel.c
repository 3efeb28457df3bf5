/*
 * tunnel.c - exposed ports: a listener on the host, and for each connection to
 * it one into the sandbox; bytes go both ways until both sides have ended.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/ports_impl.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/size.h"

#define BACKLOG 128
/* How soon it is looked again whether something listens, and at most. */
#define LOOK_MS 10
#define LOOK_MAX_MS 500

/* One connection: out to who came, in to the sandbox. */
struct pair {
	TAILQ_ENTRY(pair) link;
	struct tunnel *t;
	struct dial dial;
	struct tcp *out, *in;
	unsigned ends; /* directions that are over */
};

struct tunnel {
	TAILQ_ENTRY(tunnel) link;
	struct ports *p;
	struct sandbox *sb;
	uv_tcp_t listener;
	int port;
	struct hostport host;
	TAILQ_HEAD(, pair) pairs;
	int64_t npairs;
};

/*** Connections ***/

static void
on_listener_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
pair_end(struct pair *r, void (*end)(struct tcp *t))
{
	ports_dial_cancel(&r->dial);
	end(r->out);
	end(r->in);
	TAILQ_REMOVE(&r->t->pairs, r, link);
	r->t->npairs--;
	free(r);
}

static void
on_broken(void *arg)
{
	pair_end(arg, tcp_reset);
}

/* Both have said their last, and it is with the kernel. */
static void
on_finished(void *arg)
{
	struct pair *r = arg;

	if (++r->ends == 2)
		pair_end(r, tcp_close);
}

static void
pass(struct tcp *from, struct tcp *to, const void *p, size_t n)
{
	if (n == 0)
		tcp_finish(to);
	else if (tcp_send(to, p, n) > TCP_QUEUE_MAX)
		tcp_pause(from);
}

static void
on_out_data(void *arg, const void *p, size_t n)
{
	struct pair *r = arg;

	pass(r->out, r->in, p, n);
}

static void
on_in_data(void *arg, const void *p, size_t n)
{
	struct pair *r = arg;

	pass(r->in, r->out, p, n);
}

static void
on_out_drained(void *arg)
{
	struct pair *r = arg;

	tcp_resume(r->in);
}

static void
on_in_drained(void *arg)
{
	struct pair *r = arg;

	tcp_resume(r->out);
}

static const struct tcp_ops out_ops = {
	.data = on_out_data,
	.drained = on_out_drained,
	.finished = on_finished,
	.broken = on_broken,
};

static const struct tcp_ops in_ops = {
	.data = on_in_data,
	.drained = on_in_drained,
	.finished = on_finished,
	.broken = on_broken,
};

static void
on_dialed(struct dial *d, struct tcp *in, const struct err *e)
{
	struct pair *r = d->arg;

	if (e != NULL) {
		pair_end(r, tcp_reset);
		return;
	}
	r->in = in;
	tcp_set_ops(in, &in_ops, r);
	tcp_resume(r->in);
	tcp_resume(r->out);
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct tunnel *t = listener->data;
	int64_t max = t->sb->f->cfg->max_tunnel_conns;
	struct pair *r;
	struct tcp *out;

	if (status < 0) {
		log_warnx("sandbox %s: port %d: accept: %s", t->sb->id, t->port,
		    uv_strerror(status));
		return;
	}
	if ((out = tcp_accept(listener, &out_ops, NULL)) == NULL)
		return;
	if (max > 0 && t->npairs >= max) {
		tcp_close(out);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->t = t;
	r->out = out;
	tcp_set_ops(out, &out_ops, r);
	TAILQ_INSERT_TAIL(&t->pairs, r, link);
	t->npairs++;
	t->sb->active_ms = clock_real_ms();
	r->dial = (struct dial){ .done = on_dialed, .arg = r, .port = t->port };
	ports_dial(t->sb, &r->dial);
}

/*** Listeners ***/

static void
tunnel_end(struct tunnel *t)
{
	struct pair *r;

	TAILQ_REMOVE(&t->p->tunnels, t, link);
	while ((r = TAILQ_FIRST(&t->pairs)) != NULL)
		pair_end(r, tcp_reset);
	uv_close((uv_handle_t *)&t->listener, on_listener_closed);
}

static void
insert(struct ports *p, struct tunnel *t)
{
	struct tunnel *next;

	TAILQ_FOREACH (next, &p->tunnels, link)
		if (next->port > t->port)
			break;
	if (next != NULL)
		TAILQ_INSERT_BEFORE(next, t, link);
	else
		TAILQ_INSERT_TAIL(&p->tunnels, t, link);
	t->p = p;
}

static struct tunnel *
find(const struct sandbox *sb, int port)
{
	struct tunnel *t;

	if (sb->ports == NULL)
		return NULL;
	TAILQ_FOREACH (t, &sb->ports->tunnels, link)
		if (t->port == port)
			break;
	return t;
}

/* Listens on fd, which is bound to host and owned from now on. */
static int
tunnel_open(struct sandbox *sb, int port, int fd, const struct hostport *host,
    struct err *e)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));
	char text[HOSTPORT_TEXT];
	int r;

	t->sb = sb;
	t->port = port;
	t->host = *host;
	TAILQ_INIT(&t->pairs);
	insert(ports_of(sb), t);
	(void)uv_tcp_init(sb->f->loop, &t->listener);
	t->listener.data = t;
	if ((r = uv_tcp_open(&t->listener, fd)) != 0)
		(void)close(fd);
	else
		r = uv_listen(
		    (uv_stream_t *)&t->listener, BACKLOG, on_connection);
	if (r == 0)
		return 0;
	hostport_text(host, text);
	err_set(e, -r, "expose %d as %s", port, text);
	tunnel_end(t);
	return -1;
}

static void
keep_row(struct sandbox *sb)
{
	char port[16], text[HOSTPORT_TEXT];
	const struct tunnel *t = NULL;

	json_object_clear(sb->exposed);
	while ((t = ports_next(sb, t)) != NULL) {
		(void)snprintf(port, sizeof(port), "%d", t->port);
		hostport_text(&t->host, text);
		(void)json_object_set_new(sb->exposed, port, json_string(text));
	}
	sb->ports_ms = clock_real_ms();
}

/*** Which port of the host ***/

/* Two that are bound and not listening yet do not hinder each other. */
static bool
taken_by_us(const struct front *f, const struct hostport *host)
{
	const struct sandbox *sb;
	const struct expose *x;
	const struct tunnel *t;

	TAILQ_FOREACH (sb, &f->sandboxes, link) {
		if (sb->ports == NULL)
			continue;
		TAILQ_FOREACH (t, &sb->ports->tunnels, link)
			if (hostport_equal(&t->host, host))
				return true;
		TAILQ_FOREACH (x, &sb->ports->exposes, link)
			if (hostport_equal(&x->host, host))
				return true;
	}
	return false;
}

/* Binds, and learns the port where the kernel chose it: fd or -errno. */
static int
bind_host(const struct front *f, struct hostport *host)
{
	cleanup_fd int fd = -1;
	int on = 1;

	if (hostport_port(host) != 0 && taken_by_us(f, host))
		return -EADDRINUSE;
	fd = socket(host->addr.ss_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* what is left of old connections is in nobody's way */
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&host->addr, host->len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&host->addr, &host->len) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int
bind_range(const struct front *f, struct hostport *host)
{
	const struct config *c = f->cfg;
	int64_t port;
	int fd = -EADDRINUSE;

	for (port = c->tunnel_port_min; port <= c->tunnel_port_max; port++) {
		hostport_set_port(host, (int)port);
		fd = bind_host(f, host);
		if (fd >= 0 || (fd != -EADDRINUSE && fd != -EACCES))
			break;
	}
	return fd;
}

static int
bind_given(struct sandbox *sb, struct expose *x, struct err *e)
{
	char text[HOSTPORT_TEXT];

	x->host = *x->at;
	if ((x->fd = bind_host(sb->f, &x->host)) >= 0)
		return 0;
	hostport_text(x->at, text);
	return err_set(e, -x->fd, "expose %d as %s", x->port, text);
}

static int
bind_any(struct sandbox *sb, struct expose *x, struct err *e)
{
	const struct config *c = sb->f->cfg;

	(void)hostport_set(&x->host, c->tunnel_bind_address, 0);
	x->fd = c->tunnel_port_max > 0 ? bind_range(sb->f, &x->host)
				       : bind_host(sb->f, &x->host);
	if (x->fd >= 0)
		return 0;
	return err_set(e, -x->fd, "expose %d: no port of %s is to be had",
	    x->port, c->tunnel_bind_address);
}

/*** Exposing: bound at once, listening when something inside does ***/

static void
end_wait(struct expose *x)
{
	ports_look_cancel(&x->look);
	if (x->timer != NULL)
		uv_close((uv_handle_t *)x->timer, (uv_close_cb)free);
	x->timer = NULL;
	TAILQ_REMOVE(&x->p->exposes, x, link);
	x->p = NULL;
}

static int
open_exposed(struct sandbox *sb, struct expose *x, struct err *e)
{
	char fields[64];

	if (tunnel_open(sb, x->port, steal_fd(&x->fd), &x->host, e) < 0)
		return -1;
	keep_row(sb);
	if (sb_store(sb, e) < 0) {
		tunnel_end(find(sb, x->port));
		keep_row(sb);
		return -1;
	}
	(void)snprintf(fields, sizeof(fields), " port=%d", x->port);
	event_add(sb->f, sb, "port", fields);
	return 0;
}

static void on_look_again(uv_timer_t *timer);

static void
on_looked(struct ports_look *k, const struct listener *l, size_t n,
    const struct err *e)
{
	struct expose *x = k->arg;
	struct sandbox *sb = x->sb;
	struct err why;
	int r = 0;

	if (sockdiag_find(l, n, (uint16_t)x->port) != NULL) {
		end_wait(x);
		r = open_exposed(sb, x, &why);
		x->done(x, r < 0 ? &why : NULL);
		return;
	}
	if (clock_ms() < x->until_ms) {
		(void)uv_timer_start(
		    x->timer, on_look_again, (uint64_t)x->delay_ms, 0);
		x->delay_ms *= 2;
		if (x->delay_ms > LOOK_MAX_MS)
			x->delay_ms = LOOK_MAX_MS;
		return;
	}
	if (e != NULL)
		why = *e;
	else
		err_setx(&why, ETIMEDOUT,
		    "nothing listens on port %d after %lld s", x->port,
		    (long long)x->timeout_ms / 1000);
	end_wait(x);
	close_fd(&x->fd);
	x->done(x, &why);
}

static void
on_look_again(uv_timer_t *timer)
{
	struct expose *x = timer->data;

	ports_look(x->sb, &x->look);
}

static int
may_expose(const struct sandbox *sb, int port, struct err *e)
{
	const struct ports *p = sb->ports;
	const struct tunnel *t;
	const struct expose *x;
	int64_t n = 0;

	if (sb->state != SB_RUNNING)
		return err_setx(e, EHOSTDOWN, "the sandbox is %s",
		    sb_state_names[sb->state]);
	if (p == NULL)
		return 0;
	TAILQ_FOREACH (t, &p->tunnels, link) {
		n++;
		if (t->port == port)
			return err_setx(
			    e, EEXIST, "port %d is exposed already", port);
	}
	TAILQ_FOREACH (x, &p->exposes, link) {
		n++;
		if (x->port == port)
			return err_setx(e, EBUSY,
			    "port %d: an expose waits for it already", port);
	}
	if (n >= sb->f->cfg->max_tunnels)
		return err_setx(e, EDQUOT, "tunnel limit reached (%lld)",
		    (long long)sb->f->cfg->max_tunnels);
	return 0;
}

int
ports_expose(struct sandbox *sb, struct expose *x, struct err *e)
{
	x->p = NULL;
	x->fd = -1;
	if (may_expose(sb, x->port, e) < 0)
		return -1;
	if ((x->at != NULL ? bind_given : bind_any)(sb, x, e) < 0)
		return -1;
	x->p = ports_of(sb);
	x->sb = sb;
	x->delay_ms = LOOK_MS;
	x->until_ms = clock_ms() + x->timeout_ms;
	x->look = (struct ports_look){ .done = on_looked, .arg = x };
	x->timer = xcalloc(1, sizeof(*x->timer));
	(void)uv_timer_init(sb->f->loop, x->timer);
	x->timer->data = x;
	TAILQ_INSERT_TAIL(&x->p->exposes, x, link);
	ports_look(sb, &x->look);
	return 0;
}

void
ports_expose_cancel(struct expose *x)
{
	if (x->p == NULL)
		return;
	end_wait(x);
	close_fd(&x->fd);
}

int
ports_close(struct sandbox *sb, int port, struct err *e)
{
	struct tunnel *t = find(sb, port);

	if (t == NULL)
		return err_setx(e, ENOENT, "port %d is not exposed", port);
	tunnel_end(t);
	keep_row(sb);
	return sb_store(sb, e);
}

/*** All of them ***/

const struct tunnel *
ports_next(const struct sandbox *sb, const struct tunnel *t)
{
	if (t != NULL)
		return TAILQ_NEXT(t, link);
	return sb->ports != NULL ? TAILQ_FIRST(&sb->ports->tunnels) : NULL;
}

const struct tunnel *
ports_find(const struct sandbox *sb, int port)
{
	return find(sb, port);
}

int
tunnel_port(const struct tunnel *t)
{
	return t->port;
}

const struct hostport *
tunnel_host(const struct tunnel *t)
{
	return &t->host;
}

static int
adopt_one(struct sandbox *sb, const char *key, const char *text, struct err *e)
{
	struct hostport host;
	int64_t port;
	int fd;

	if (int_parse(key, 1, 65535, &port) < 0 || text == NULL ||
	    !hostport_parse(&host, text))
		return err_setx(e, EINVAL, "a row that is none");
	if ((fd = bind_host(sb->f, &host)) < 0)
		return err_set(e, -fd, "expose %s as %s", key, text);
	return tunnel_open(sb, (int)port, fd, &host, e);
}

void
ports_adopt(struct sandbox *sb)
{
	const char *key;
	json_t *v;
	struct err e;

	if (json_object_size(sb->exposed) == 0)
		return;
	json_object_foreach (sb->exposed, key, v)
		if (adopt_one(sb, key, json_string_value(v), &e) < 0)
			log_warnx("sandbox %s: %s", sb->id, e.text);
	keep_row(sb);
}

void
tunnels_end(struct ports *p)
{
	struct expose *x;
	struct tunnel *t;
	struct err e;

	err_setx(&e, EHOSTDOWN, "the sandbox is not running");
	while ((t = TAILQ_FIRST(&p->tunnels)) != NULL)
		tunnel_end(t);
	while ((x = TAILQ_FIRST(&p->exposes)) != NULL) {
		end_wait(x);
		close_fd(&x->fd);
		x->done(x, &e);
	}
}
