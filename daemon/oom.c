/*
 * oom.c - the event of a memory limit that was hit. Nobody tells the front:
 * it asks for the kernel's count when something ended badly.
 */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/brokerc.h"
#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "lib/log.h"
#include "lib/mem.h"

struct look {
	struct sandbox *sb; /* a reference */
	int job;	    /* 0: none */
	bool first;	    /* what was before is not news */
};

/* Its processes are gone: by whom is a better reason than that they are. */
static void
say_why(struct sandbox *sb)
{
	struct err e;

	if (sb->state != SB_ERROR)
		return;
	str_copy(sb->reason,
	    "out of memory: the limit was hit, and its processes were killed",
	    sizeof(sb->reason));
	if (sb_store(sb, &e) < 0)
		log_warnx("sandbox %s: %s", sb->id, e.text);
	sb_announce(sb);
}

static void
counted(void *arg, struct broker_answer *a)
{
	struct look *l = arg;
	struct sandbox *sb = l->sb;
	char job[24] = "";
	struct err ignored;
	bool known = broker_failed(a, &ignored) == 0;
	uint64_t n = known ? a->rep.stats.oom_kills : 0;

	/* the count begins anew with the group */
	if (n != 0 && n != sb->oom_kills && !l->first &&
	    sandbox_by_id(sb->f, sb->id) == sb) {
		if (l->job != 0)
			snprintf(job, sizeof(job), " job=%d", l->job);
		event_add(sb->f, sb, "oom", job);
		say_why(sb);
	}
	if (known)
		sb->oom_kills = n;
	sb_unref(sb);
	free(l);
}

void
oom_look(struct sandbox *sb, int job, bool first)
{
	struct look *l = xcalloc(1, sizeof(*l));
	struct broker_req q;

	l->sb = sb_ref(sb);
	l->job = job;
	l->first = first;
	sb_req(sb, BROKER_STATS, &q);
	brokerc_ask(sb->f->broker, &q, true, counted, l);
}
