#include "daemon/reach.h"

#include <errno.h>
#include <unistd.h>

#include "daemon/brokerc.h"
#include "daemon/front_impl.h"
#include "lib/mem.h"

/* What the broker's answer finds: nobody may wait for it by then. */
struct asked {
	struct reach *h; /* borrowed, NULL: over */
};

static void
reached(struct reach *h)
{
	cleanup_free char *path =
	    xasprintf("%s/agents/%s.sock", h->f->cfg->run_dir, h->id);

	h->done(h, path, NULL);
}

static void
fail(struct reach *h, int code, const char *text)
{
	struct err e;

	err_setx(&e, code, "%s", text);
	h->done(h, NULL, &e);
}

static void
files_asked(void *arg, struct broker_answer *a)
{
	struct asked *asked = arg;
	struct reach *h = asked->h;
	struct err e;

	free(asked);
	if (h == NULL)
		return;
	h->asked = NULL;
	if (broker_failed(a, &e) == 0) {
		reached(h);
		return;
	}
	err_wrap(&e, "sandbox is not running");
	fail(h, EHOSTDOWN, e.text);
}

/* The agent's program without jobs, on the disk of one that is stopped. */
static void
ask_files(struct reach *h, struct sandbox *sb)
{
	struct broker_req req;

	sb_req(sb, BROKER_FILES, &req);
	h->asked = xcalloc(1, sizeof(*h->asked));
	h->asked->h = h;
	brokerc_ask(sb->f->broker, &req, false, files_asked, h->asked);
}

static void
reach_running(struct reach *h, struct sandbox *sb)
{
	(void)sb;
	reached(h);
}

static void
refuse_paused(struct reach *h, struct sandbox *sb)
{
	(void)sb;
	fail(h, EHOSTDOWN, "sandbox is paused");
}

static void
refuse_down(struct reach *h, struct sandbox *sb)
{
	(void)sb;
	fail(h, EHOSTDOWN, "sandbox is not running");
}

static void
refuse_gone(struct reach *h, struct sandbox *sb)
{
	(void)sb;
	fail(h, ESTALE, "");
}

/* In the states that a wait ends in; it ends in no other. */
static void (*const ways[SB_STATES])(struct reach *, struct sandbox *) = {
	[SB_RUNNING] = reach_running,
	[SB_PAUSED] = refuse_paused,
	[SB_STOPPED] = ask_files,
	[SB_DESTROYING] = refuse_gone,
	[SB_DESTROYED] = refuse_gone,
	[SB_ERROR] = refuse_down,
};

static void
settled(struct wait *w, struct sandbox *sb, const struct err *e)
{
	struct reach *h = w->arg;

	(void)e; /* the state says it as well */
	if (ways[sb->state] == NULL)
		refuse_down(h, sb);
	else
		ways[sb->state](h, sb);
}

void
reach_start(struct reach *h, struct sandbox *sb)
{
	h->f = sb->f;
	(void)str_copy(h->id, sb->id, sizeof(h->id));
	h->wait.done = settled;
	h->wait.arg = h;
	sandbox_wait(sb, &h->wait);
}

void
reach_cancel(struct reach *h)
{
	wait_cancel(&h->wait);
	if (h->asked != NULL)
		h->asked->h = NULL;
	h->asked = NULL;
}
