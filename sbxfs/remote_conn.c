/*
 * Connections to agents. One is made when it is needed, lost when the agent
 * goes (the next call asks for another) and given up when nothing is open on
 * it for a while.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "sbxfs/net.h"
#include "sbxfs/remote_impl.h"

/* An agent that says nothing for so long does not answer. */
#define ANSWER_MS 30000
#define IDLE_MS 60000

static void
on_notice(void *arg, const char *method, const json_t *params)
{
	(void)arg;
	(void)method;
	(void)params;
}

static void
on_up(void *arg)
{
	(void)arg;
}

static void
on_down(void *arg)
{
	(void)arg;
}

static const struct client_events events = {
	.notice = on_notice,
	.up = on_up,
	.down = on_down,
};

struct rconn *
rconn_of(struct sbxfs *s, struct box *b)
{
	struct rconn *rc = b->rconn;

	if (rc != NULL) {
		rc->used_ms = clock_ms();
		return rc;
	}
	rc = xcalloc(1, sizeof(*rc));
	rc->s = s;
	rc->used_ms = clock_ms();
	rc->box = box_ref(b);
	(void)snprintf(rc->path, sizeof(rc->path), NET_FILES, b->id);
	rc->c = client_new(&(struct client_conf){
	    .path = rc->path,
	    .dial = s->dial,
	    .queues = true,
	    .ev = &events,
	    .arg = rc,
	});
	b->rconn = rc;
	s->fs_seen = true;
	TAILQ_INSERT_TAIL(&s->rconns, rc, link);
	return rc;
}

static void
rconn_free(struct rconn *rc)
{
	client_free(rc->c);
	TAILQ_REMOVE(&rc->s->rconns, rc, link);
	rc->box->rconn = NULL;
	box_unref(rc->box);
	free(rc);
}

int
rconn_reach(struct rconn *rc)
{
	/* what the tree's connection knows is known of all */
	if (!client_is_up(rc->s->client))
		return EIO;
	if (client_connect(rc->c))
		return 0;
	return client_is_absent(rc->c) ? ENOENT : EIO;
}

void
remote_changed(struct box *b)
{
	/* One that is begun reaches the agent of the new state. */
	if (b->rconn != NULL && client_is_up(b->rconn->c))
		client_drop(b->rconn->c);
}

size_t
remote_count(const struct sbxfs *s)
{
	const struct rconn *rc;
	size_t n = 0;

	TAILQ_FOREACH (rc, &s->rconns, link)
		n++;
	return n;
}

void
remote_poll(const struct sbxfs *s, struct pollfd *p)
{
	const struct rconn *rc;

	TAILQ_FOREACH (rc, &s->rconns, link) {
		p->fd = client_fd(rc->c);
		p->events = POLLIN;
		if (client_wants_write(rc->c))
			p->events |= POLLOUT;
		p->revents = 0;
		p++;
	}
}

void
remote_polled(struct sbxfs *s)
{
	struct rconn *rc;

	TAILQ_FOREACH (rc, &s->rconns, link)
		client_drain(rc->c);
}

void
remote_tick(struct sbxfs *s)
{
	struct rconn *rc, *next;
	int64_t now = clock_ms(), since;

	for (rc = TAILQ_FIRST(&s->rconns); rc != NULL; rc = next) {
		next = TAILQ_NEXT(rc, link);
		since = client_waits_since(rc->c);
		if (since != 0 && now - since > ANSWER_MS)
			client_drop(rc->c);
		if (client_waits(rc->c) || rc->opened != 0)
			continue;
		if (rc->box->life != BOX_LIVE || now - rc->used_ms > IDLE_MS)
			rconn_free(rc);
	}
}

void
remote_free_all(struct sbxfs *s)
{
	struct rconn *rc;
	struct box *b;
	struct node *n;

	TAILQ_FOREACH (rc, &s->rconns, link)
		client_close(rc->c); /* no call has a file any more */
	/* The kernel sends no RELEASE when it is unmounted lazily. */
	TAILQ_FOREACH (b, &s->boxes.all, link)
		while (s->dial >= 0 && (n = LIST_FIRST(&b->opened)) != NULL)
			rfile_unref(s, (struct rfile *)LIST_FIRST(&n->files));
	while ((rc = TAILQ_FIRST(&s->rconns)) != NULL)
		rconn_free(rc);
}
