#include "daemon/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/ownlog.h"
#include "daemon/store.h"
#include "daemon/tree.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

#define FILE_MAX (16u << 20)
#define RING 10000
#define RING_BYTES (8u << 20) /* labels may make events large */
/* The store knows a number that is not reached yet, this far ahead. */
#define SEQ_AHEAD 1000
#define SEQ_META "event_seq"

/* An event in the ring, small: what it is shown as is made when asked for. */
struct kept {
	uint64_t seq;
	int64_t time_ms;
	uid_t uid;
	uint32_t size;
	uint16_t owner, line, wire; /* where they begin in text; wire 0: none */
	char text[];		    /* id, owner, line, wire */
};

struct events {
	struct ownlog *log;
	uint64_t seq;	   /* of the last event */
	uint64_t reserved; /* the store's number */
	struct kept *ring[RING];
	size_t first, n, bytes;
	struct event shown; /* what event_after answered last */
	bool failing;	    /* appending fails, and it was said */
	TAILQ_HEAD(, subscriber) subscribers;
};

/*** Opening ***/

/*
 * The file's last line says how far we came, unless the file is gone, or a
 * power loss took its end: then the store's number is ahead of all.
 */
static uint64_t
last_seq(struct events *ev, struct front *f)
{
	uint64_t reserved = (uint64_t)store_get_meta(f->store, SEQ_META, 0);
	uint64_t last = 0;
	char line[1024];

	if (ownlog_last(ev->log, line, sizeof(line)) != 0)
		last = strtoull(line, NULL, 10);
	return last + SEQ_AHEAD < reserved || last == 0 ? reserved : last;
}

static void
reserve(struct events *ev, struct front *f)
{
	struct err e;

	if (ev->seq < ev->reserved)
		return;
	ev->reserved = ev->seq + SEQ_AHEAD;
	if (store_set_meta(f->store, SEQ_META, (int64_t)ev->reserved, &e) < 0)
		log_warnx("events: %s", e.text);
}

int
events_open(struct front *f, struct events **ret, struct err *e)
{
	cleanup_free char *path = xasprintf("%s/events", f->cfg->data_dir);
	struct events *ev = xcalloc(1, sizeof(*ev));

	TAILQ_INIT(&ev->subscribers);
	if (ownlog_open(path, FILE_MAX, &ev->log, e) < 0) {
		free(ev);
		return -1;
	}
	ev->seq = last_seq(ev, f);
	reserve(ev, f);
	*ret = ev;
	return 0;
}

void
events_close(struct events *ev)
{
	size_t i;

	if (ev == NULL)
		return;
	for (i = 0; i < RING; i++)
		free(ev->ring[i]);
	json_decref(ev->shown.wire);
	free(ev->shown.line);
	ownlog_close(ev->log);
	free(ev);
}

/*** What HTTP is told ***/

static json_t *
wire_time(int64_t ms)
{
	char text[48];
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
	return json_string(text);
}

static json_t *
created_data(const struct sandbox *sb, const char *fields)
{
	json_t *labels = json_object_size(sb->labels) != 0
	    ? json_deep_copy(sb->labels)
	    : json_null();

	(void)fields;
	return json_pack("{s:s,s:o,s:s,s:s}", "image", sb->image, "labels",
	    labels, "method", sb->warm ? "warm" : "cold", "profile",
	    sb->profile);
}

/* " port=N" */
static json_t *
port_data(const struct sandbox *sb, const char *fields)
{
	(void)sb;
	return json_pack("{s:i}", "port", atoi(strchr(fields, '=') + 1));
}

static const struct {
	const char *kind;
	const char *type;
	/* NULL: none */
	json_t *(*data)(const struct sandbox *sb, const char *fields);
} wire_events[] = {
	{ "created", "sandbox.created", created_data },
	{ "destroyed", "sandbox.destroyed", NULL },
	{ "port", "sandbox.port", port_data },
};

static json_t *
make_wire(const struct sandbox *sb, const char *kind, const char *fields,
    const struct event *ev)
{
	json_t *o;
	size_t i;

	for (i = 0; i < sizeof(wire_events) / sizeof(wire_events[0]); i++)
		if (strcmp(wire_events[i].kind, kind) == 0)
			break;
	if (i == sizeof(wire_events) / sizeof(wire_events[0]))
		return NULL;
	o = json_pack("{s:I,s:s,s:s}", "id", (json_int_t)ev->seq, "type",
	    wire_events[i].type, "sandbox_id", ev->id);
	if (*ev->owner != '\0' && strcmp(ev->owner, "-") != 0)
		json_object_set_new(o, "identity", json_string(ev->owner));
	json_object_set_new(o, "timestamp", wire_time(ev->time_ms));
	if (wire_events[i].data != NULL)
		json_object_set_new(o, "data", wire_events[i].data(sb, fields));
	return o;
}

/*** The ring ***/

static void
add_text(struct kept *k, uint16_t at, const char *s)
{
	memcpy(k->text + at, s, strlen(s) + 1);
}

static struct kept *
make_kept(const struct event *ev)
{
	cleanup_free char *wire =
	    ev->wire != NULL ? json_dumps(ev->wire, JSON_COMPACT) : NULL;
	size_t owner = strlen(ev->id) + 1;
	size_t line = owner + strlen(ev->owner) + 1;
	size_t end = line + strlen(ev->line) + 1;
	size_t all = end + (wire != NULL ? strlen(wire) + 1 : 0);
	struct kept *k = xmalloc(sizeof(*k) + all);

	k->seq = ev->seq;
	k->time_ms = ev->time_ms;
	k->uid = ev->uid;
	k->size = (uint32_t)(sizeof(*k) + all);
	k->owner = (uint16_t)owner;
	k->line = (uint16_t)line;
	k->wire = wire != NULL ? (uint16_t)end : 0;
	add_text(k, 0, ev->id);
	add_text(k, k->owner, ev->owner);
	add_text(k, k->line, ev->line);
	if (wire != NULL)
		add_text(k, k->wire, wire);
	return k;
}

static void
drop_oldest(struct events *ev)
{
	struct kept **at = &ev->ring[ev->first];

	ev->bytes -= (*at)->size;
	free(*at);
	*at = NULL;
	ev->first = (ev->first + 1) % RING;
	ev->n--;
}

static void
keep(struct events *ev, const struct event *one)
{
	struct kept *k = make_kept(one);

	while (
	    ev->n == RING || (ev->n != 0 && ev->bytes + k->size > RING_BYTES))
		drop_oldest(ev);
	ev->ring[(ev->first + ev->n++) % RING] = k;
	ev->bytes += k->size;
}

static const struct event *
show(struct events *ev, const struct kept *k)
{
	struct event *s = &ev->shown;

	json_decref(s->wire);
	free(s->line);
	memset(s, 0, sizeof(*s));
	s->seq = k->seq;
	s->time_ms = k->time_ms;
	s->uid = k->uid;
	str_copy(s->id, k->text, sizeof(s->id));
	str_copy(s->owner, k->text + k->owner, sizeof(s->owner));
	s->line = xstrdup(k->text + k->line);
	if (k->wire != 0)
		s->wire = json_loads(k->text + k->wire, 0, NULL);
	return s;
}

const struct event *
event_after(struct front *f, uint64_t after)
{
	struct events *ev = f->events;
	uint64_t oldest;
	size_t i = 0;

	if (ev->n == 0)
		return NULL;
	/* the numbers in the ring have no gaps */
	oldest = ev->ring[ev->first]->seq;
	if (after >= oldest)
		i = (size_t)(after - oldest + 1);
	if (i >= ev->n)
		return NULL;
	return show(ev, ev->ring[(ev->first + i) % RING]);
}

uint64_t
event_last(struct front *f)
{
	return f->events->seq;
}

/*** Adding ***/

static void
append(struct events *ev, const struct event *one)
{
	int r = ownlog_add(ev->log, one->uid, one->line, strlen(one->line));

	if (r < 0 && !ev->failing)
		log_warnx("events: %s", strerror(-r));
	ev->failing = r < 0;
}

void
event_add(struct front *f, const struct sandbox *sb, const char *kind,
    const char *fields)
{
	struct events *ev = f->events;
	struct event one = { .seq = ++ev->seq, .time_ms = clock_real_ms() };
	struct subscriber *s, *next;

	reserve(ev, f);
	str_copy(one.id, sb->id, sizeof(one.id));
	str_copy(one.owner, sb->owner, sizeof(one.owner));
	one.uid = identity_key(sb->owner, sb->uid);
	one.line = xasprintf("%" PRIu64 " %" PRId64 ".%03d %s %s%s\n", one.seq,
	    one.time_ms / 1000, (int)(one.time_ms % 1000),
	    *sb->name != '\0' ? sb->name : sb->id, kind, fields);
	one.wire = make_wire(sb, kind, fields, &one);
	append(ev, &one);
	keep(ev, &one);
	tree_event(f);
	for (s = TAILQ_FIRST(&ev->subscribers); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		s->event(s, &one);
	}
	json_decref(one.wire);
	free(one.line);
}

void
events_subscribe(struct front *f, struct subscriber *s)
{
	TAILQ_INSERT_TAIL(&f->events->subscribers, s, link);
}

void
events_unsubscribe(struct front *f, struct subscriber *s)
{
	TAILQ_REMOVE(&f->events->subscribers, s, link);
}

/*** The file ***/

static struct ownlog_view
view_of(const struct caller *c)
{
	struct ownlog_view v = { .all = c == NULL || c->all };

	if (!v.all)
		v.uid = identity_key(c->identity, c->uid);
	return v;
}

ssize_t
events_read(
    struct front *f, const struct caller *c, uint64_t off, void *p, size_t n)
{
	struct ownlog_view v = view_of(c);

	return ownlog_read(f->events->log, &v, off, p, n);
}

uint64_t
events_size(struct front *f, const struct caller *c)
{
	struct ownlog_view v = view_of(c);

	return ownlog_size(f->events->log, &v);
}

int64_t
events_mtime_ms(struct front *f)
{
	return ownlog_mtime_ms(f->events->log);
}
