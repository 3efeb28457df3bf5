/*
 * verbs_ports.c - lines of a sandbox's ports.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ports.h"
#include "daemon/verbs_impl.h"
#include "lib/mem.h"
#include "lib/size.h"

/* What is waited for, and where it shall be. */
struct waited {
	struct expose x;
	struct hostport at;
};

void
verbs_expose_cancel(struct verbs *v)
{
	struct waited *w = (struct waited *)(void *)v->expose;

	if (w == NULL)
		return;
	ports_expose_cancel(&w->x);
	free(w);
	v->expose = NULL;
}

static void
on_exposed(struct expose *x, const struct err *e)
{
	struct verbs *v = x->arg;

	verbs_expose_cancel(v);
	verbs_settle(v, e);
}

static int
read_port(struct verbs *v, const struct words *w, int *ret)
{
	int64_t port;

	if (int_parse(w->w[1], 1, 65535, &port) < 0)
		return err_setx(&v->e, EINVAL,
		    "%s %.32s: expected a port, 1 to 65535", w->w[0], w->w[1]);
	*ret = (int)port;
	return 0;
}

/* "PORT" alone is of the address that the configuration names. */
static int
read_host(struct verbs *v, const char *text, struct hostport *ret)
{
	int64_t port;

	if (int_parse(text, 1, 65535, &port) == 0 &&
	    hostport_set(ret, v->f->cfg->tunnel_bind_address, (int)port))
		return 0;
	if (hostport_parse(ret, text))
		return 0;
	return err_setx(&v->e, EINVAL,
	    "expose as %.64s: expected [ADDRESS:]PORT, a numeric address and "
	    "1 to 65535",
	    text);
}

/* What ports says can be written back: what is so already is done. */
static bool
is_exposed(
    const struct sandbox *sb, const struct expose *x, const struct hostport *at)
{
	const struct tunnel *t = ports_find(sb, x->port);

	return t != NULL && (at == NULL || hostport_equal(tunnel_host(t), at));
}

static int
expose(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	struct waited *new = xcalloc(1, sizeof(*new));
	bool was = v->in_line;
	int r;

	new->x = (struct expose){
		.timeout_ms = EXPOSE_WAIT_S * 1000, .done = on_exposed, .arg = v
	};
	v->expose = &new->x;
	if (w->n > 3)
		new->x.at = &new->at;
	if (read_port(v, w, &new->x.port) < 0 ||
	    (new->x.at != NULL &&read_host(v, w->w[3], &new->at) < 0)) {
		verbs_expose_cancel(v);
		return -1;
	}
	if (is_exposed(sb, &new->x, new->x.at)) {
		verbs_expose_cancel(v);
		return 0;
	}
	v->settled = false;
	v->in_line = true;
	r = ports_expose(sb, &new->x, &v->e);
	v->in_line = was;
	if (r < 0) {
		verbs_expose_cancel(v);
		return -1;
	}
	if (v->settled)
		return v->failed ? -1 : 0;
	return LINE_WAITS;
}

static int
ports_line_expose(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	if (w->n == 3 || (w->n == 4 && strcmp(w->w[2], "as") != 0))
		return err_setx(
		    &v->e, EINVAL, "usage: expose PORT [as [ADDRESS:]PORT]");
	return expose(v, sb, w);
}

static int
ports_line_close(struct verbs *v, struct sandbox *sb, const struct words *w)
{
	int port = 0;

	if (read_port(v, w, &port) < 0)
		return -1;
	return ports_close(sb, port, &v->e);
}

const struct verb verbs_ports[] = {
	{ "expose", ports_line_expose, 1, 3, "PORT [as [ADDRESS:]PORT]", true },
	{ "close", ports_line_close, 1, 1, "PORT", false },
	{ 0 },
};
