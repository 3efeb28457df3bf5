#include "daemon/ports.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/brokerc.h"
#include "daemon/front_impl.h"
#include "daemon/ports_impl.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define DIAL_MS 5000

struct ports *
ports_of(struct sandbox *sb)
{
	struct ports *p = sb->ports;

	if (p != NULL)
		return p;
	p = sb->ports = xcalloc(1, sizeof(*p));
	p->sb = sb;
	p->refs = 1;
	p->diag = -1;
	TAILQ_INIT(&p->looks);
	TAILQ_INIT(&p->dials);
	TAILQ_INIT(&p->conns);
	TAILQ_INIT(&p->tunnels);
	TAILQ_INIT(&p->exposes);
	return p;
}

static void
unref(struct ports *p)
{
	if (--p->refs == 0)
		free(p);
}

static int
is_down(struct err *e)
{
	return err_setx(e, EHOSTDOWN, "the sandbox is not running");
}

/*** Sockets from the broker ***/

static void fail_looks(struct ports *p, const struct err *e);
static void fail_dials(struct ports *p, const struct err *e);
static void answer_looks(struct ports *p);
static void connect_dials(struct ports *p);

static int
no_sockets(const struct broker_answer *a, struct err *e)
{
	if (broker_failed(a, e) < 0)
		return -1;
	if (a->nfds == 0)
		return err_setx(e, EIO, "the broker made no socket");
	return 0;
}

static void
got_diag(void *arg, struct broker_answer *a)
{
	struct ports *p = arg;
	struct err e;

	p->asked[RT_SOCKET_DIAG] = false;
	if (p->sb == NULL) {
		; /* nobody to tell */
	} else if (no_sockets(a, &e) < 0) {
		fail_looks(p, &e);
	} else {
		p->diag = steal_fd(&a->fds[0]);
		answer_looks(p);
	}
	unref(p);
}

static void
got_tcp(void *arg, struct broker_answer *a)
{
	struct ports *p = arg;
	struct err e;
	size_t i;

	p->asked[RT_SOCKET_TCP] = false;
	if (p->sb == NULL) {
		; /* nobody to tell */
	} else if (no_sockets(a, &e) < 0) {
		fail_dials(p, &e);
	} else {
		for (i = 0; i < a->nfds && p->nstock < RT_SOCKETS; i++)
			p->stock[p->nstock++] = steal_fd(&a->fds[i]);
		connect_dials(p);
	}
	unref(p);
}

static void
ask_sockets(struct ports *p, enum rt_socket what, broker_done *done)
{
	struct broker_req q;

	if (p->asked[what])
		return;
	p->asked[what] = true;
	p->refs++;
	sb_req(p->sb, BROKER_SOCKETS, &q);
	q.flag = what == RT_SOCKET_TCP;
	brokerc_ask(p->sb->f->broker, &q, true, done, p);
}

/*** What listens ***/

static struct ports_look *
take_look(struct ports *p)
{
	struct ports_look *k = TAILQ_FIRST(&p->looks);

	if (k != NULL)
		ports_look_cancel(k);
	return k;
}

static void
fail_looks(struct ports *p, const struct err *e)
{
	struct ports_look *k;

	while ((k = take_look(p)) != NULL)
		k->done(k, NULL, 0, e);
}

/* Where p->diag is there. What is done here may end p. */
static void
answer_looks(struct ports *p)
{
	static struct listener all[SOCKDIAG_MAX];
	struct ports_look *k;
	struct err e;
	int n;

	p->refs++;
	while (p->diag >= 0 && (k = take_look(p)) != NULL) {
		if ((n = sockdiag_listeners(p->diag, all)) >= 0) {
			k->done(k, all, (size_t)n, NULL);
			continue;
		}
		close_fd(&p->diag);
		err_set(&e, -n, "what listens");
		k->done(k, NULL, 0, &e);
	}
	if (p->sb != NULL && !TAILQ_EMPTY(&p->looks))
		ask_sockets(p, RT_SOCKET_DIAG, got_diag);
	unref(p);
}

void
ports_look(struct sandbox *sb, struct ports_look *k)
{
	struct ports *p;
	struct err e;

	k->p = NULL;
	if (sb->state != SB_RUNNING && sb->state != SB_PAUSED) {
		(void)is_down(&e);
		k->done(k, NULL, 0, &e);
		return;
	}
	p = ports_of(sb);
	k->p = p;
	TAILQ_INSERT_TAIL(&p->looks, k, link);
	answer_looks(p);
}

void
ports_look_cancel(struct ports_look *k)
{
	if (k->p == NULL)
		return;
	TAILQ_REMOVE(&k->p->looks, k, link);
	k->p = NULL;
}

/*** Connections ***/

static void
dialed(struct dial *d, struct tcp *t, const struct err *e)
{
	d->t = NULL;
	d->done(d, t, e);
}

static void
on_connected(void *arg, int code)
{
	struct dial *d = arg;
	struct tcp *t = d->t;
	struct err e;

	if (code == 0) {
		dialed(d, t, NULL);
		return;
	}
	tcp_close(t);
	err_set(&e, code, "port %d", d->port);
	dialed(d, NULL, &e);
}

static void
on_cut(void *arg)
{
	on_connected(arg, ECONNRESET);
}

static const struct tcp_ops dial_ops = {
	.connected = on_connected,
	.broken = on_cut,
};

static struct dial *
take_dial(struct ports *p)
{
	struct dial *d = TAILQ_FIRST(&p->dials);

	if (d == NULL)
		return NULL;
	TAILQ_REMOVE(&p->dials, d, link);
	d->p = NULL;
	return d;
}

static void
fail_dials(struct ports *p, const struct err *e)
{
	struct dial *d;

	while ((d = take_dial(p)) != NULL)
		dialed(d, NULL, e);
}

/* None of these is told anything before the loop goes on. */
static void
connect_dials(struct ports *p)
{
	struct dial *d;

	while (p->nstock > 0 && (d = take_dial(p)) != NULL) {
		d->t = tcp_connect(
		    p->sb->f->loop, p->stock[--p->nstock], &d->to, DIAL_MS);
		tcp_set_ops(d->t, &dial_ops, d);
		tcp_join(d->t, &p->conns);
	}
	if (!TAILQ_EMPTY(&p->dials))
		ask_sockets(p, RT_SOCKET_TCP, got_tcp);
}

static void
looked(struct ports_look *k, const struct listener *l, size_t n,
    const struct err *e)
{
	struct dial *d = k->arg;
	const struct listener *at = sockdiag_find(l, n, (uint16_t)d->port);
	struct err none;

	if (at == NULL) {
		err_setx(
		    &none, ECONNREFUSED, "nothing listens on port %d", d->port);
		dialed(d, NULL, e != NULL ? e : &none);
		return;
	}
	d->to = (struct sockaddr_in6){ .sin6_family = AF_INET6,
		.sin6_port = htons(at->port),
		.sin6_addr = at->addr };
	d->p = ports_of(d->sb);
	TAILQ_INSERT_TAIL(&d->p->dials, d, link);
	connect_dials(d->p);
}

void
ports_dial(struct sandbox *sb, struct dial *d)
{
	d->t = NULL;
	d->p = NULL;
	d->sb = sb;
	d->look = (struct ports_look){ .done = looked, .arg = d };
	ports_look(sb, &d->look);
}

void
ports_dial_cancel(struct dial *d)
{
	if (d->look.p != NULL)
		ports_look_cancel(&d->look);
	else if (d->p != NULL)
		TAILQ_REMOVE(&d->p->dials, d, link);
	d->p = NULL;
	tcp_close(d->t);
	d->t = NULL;
}

/*** The sandbox's life ***/

bool
ports_busy(const struct sandbox *sb)
{
	return sb->ports != NULL && !TAILQ_EMPTY(&sb->ports->conns);
}

void
ports_free(struct sandbox *sb)
{
	struct ports *p = sb->ports;
	struct err e;

	if (p == NULL)
		return;
	sb->ports = NULL;
	p->sb = NULL;
	(void)is_down(&e);
	tunnels_end(p);
	fail_looks(p, &e);
	fail_dials(p, &e);
	tcp_cut_all(&p->conns);
	close_fd(&p->diag);
	fd_close_all(p->stock, p->nstock);
	p->nstock = 0;
	unref(p);
}

void
ports_down(struct sandbox *sb)
{
	ports_free(sb);
	json_object_clear(sb->exposed);
}
