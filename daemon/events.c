#include "daemon/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* An event in the ring, as its line in events.json. */
struct kept {
	uint64_t seq;
	uid_t uid;
	uint32_t size; /* of this, with its text */
	char wire[];
};

/* An event that is to be written. */
struct news {
	TAILQ_ENTRY(news) link;
	uint64_t seq;
	int64_t time_ms;
	uid_t uid;
	const struct wire_event *wire; /* what HTTP calls it; NULL: nothing */
	bool warm;
	json_t *labels; /* NULL: none */
	/* where they begin in text; the line ends with fields */
	size_t owner, image, profile, line, fields;
	char text[]; /* id and these, terminated */
};

struct events {
	uv_prepare_t prepare;
	TAILQ_HEAD(, news) news;
	struct ownlog *log;
	struct ownlog *told;	 /* events.json */
	uint64_t seq;		 /* of the last event */
	uint64_t reserved;	 /* the store's number */
	uint64_t floor;		 /* all that HTTP is told after it are in: */
	struct kept *ring[RING]; /* numbers grow, with gaps */
	size_t first, n, bytes;
	struct event shown; /* what event_after answered last */
	bool failing;	    /* appending fails, and it was said */
	TAILQ_HEAD(, subscriber) subscribers;
};

/*** Numbers ***/

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

/*** What HTTP is told ***/

static json_t *
created_data(const struct news *n)
{
	return json_pack("{s:s,s:O?,s:s,s:s}", "image", n->text + n->image,
	    "labels", n->labels, "method", n->warm ? "warm" : "cold", "profile",
	    n->text + n->profile);
}

/* " port=N" */
static json_t *
port_data(const struct news *n)
{
	return json_pack(
	    "{s:i}", "port", atoi(strchr(n->text + n->fields, '=') + 1));
}

static const struct wire_event {
	const char *kind;
	const char *type;
	json_t *(*data)(const struct news *n); /* NULL: none */
} wire_events[] = {
	{ "created", "sandbox.created", created_data },
	{ "destroyed", "sandbox.destroyed", NULL },
	{ "port", "sandbox.port", port_data },
};

static const struct wire_event *
find_wire(const char *kind)
{
	size_t i;

	for (i = 0; i < sizeof(wire_events) / sizeof(wire_events[0]); i++)
		if (strcmp(wire_events[i].kind, kind) == 0)
			return &wire_events[i];
	return NULL;
}

/* As a line of events.json; the caller frees it. */
static char *
make_wire(const struct news *n)
{
	const char *owner = n->text + n->owner;
	char time[CLOCK_TEXT], *text;
	json_t *o;

	/* the number first: load looks for it there */
	o = json_pack("{s:I,s:s,s:s}", "id", (json_int_t)n->seq, "type",
	    n->wire->type, "sandbox_id", n->text);
	if (*owner != '\0' && strcmp(owner, "-") != 0)
		json_object_set_new(o, "identity", json_string(owner));
	clock_text(time, n->time_ms);
	json_object_set_new(o, "timestamp", json_string(time));
	if (n->wire->data != NULL)
		json_object_set_new(o, "data", n->wire->data(n));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/*** The ring ***/

static struct kept *
at(const struct events *ev, size_t i)
{
	return ev->ring[(ev->first + i) % RING];
}

static void
drop_oldest(struct events *ev)
{
	struct kept *k = at(ev, 0);

	ev->floor = k->seq;
	ev->bytes -= k->size;
	ev->ring[ev->first] = NULL;
	free(k);
	ev->first = (ev->first + 1) % RING;
	ev->n--;
}

static void
keep(struct events *ev, uint64_t seq, uid_t uid, const char *wire, size_t len)
{
	struct kept *k = xmalloc(sizeof(*k) + len + 1);

	k->seq = seq;
	k->uid = uid;
	k->size = (uint32_t)(sizeof(*k) + len + 1);
	memcpy(k->wire, wire, len);
	k->wire[len] = '\0';
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
	const char *owner;

	json_decref(s->wire);
	memset(s, 0, sizeof(*s));
	s->seq = k->seq;
	s->uid = k->uid;
	s->wire = json_loads(k->wire, 0, NULL);
	owner = json_string_value(json_object_get(s->wire, "identity"));
	str_copy(s->owner, owner != NULL ? owner : "", sizeof(s->owner));
	return s;
}

/*** Writing ***/

static struct news *
make_news(const struct sandbox *sb, const char *kind, const char *fields,
    const struct news *head)
{
	cleanup_free char *line =
	    xasprintf("%" PRIu64 " %" PRId64 ".%03d %s %s%s\n", head->seq,
		head->time_ms / 1000, (int)(head->time_ms % 1000),
		sandbox_called(sb), kind, fields);
	const char *const texts[] = { sb->id, sb->owner, sb->image, sb->profile,
		line };
	size_t at[6] = { 0 }, i;
	struct news *n;

	for (i = 0; i < 5; i++)
		at[i + 1] = at[i] + strlen(texts[i]) + 1;
	n = xmalloc(sizeof(*n) + at[5]);
	*n = *head;
	for (i = 0; i < 5; i++)
		memcpy(n->text + at[i], texts[i], at[i + 1] - at[i]);
	n->owner = at[1];
	n->image = at[2];
	n->profile = at[3];
	n->line = at[4];
	n->fields = at[5] - 2 - strlen(fields);
	if (n->wire != NULL && json_object_size(sb->labels) != 0)
		n->labels = json_deep_copy(sb->labels);
	return n;
}

/* Into the ring, and what the files will have. */
static int
put(struct events *ev, const struct news *n)
{
	cleanup_free char *wire = n->wire != NULL ? make_wire(n) : NULL;
	cleanup_free char *told = NULL;
	const char *line = n->text + n->line;
	int r = ownlog_put(ev->log, n->uid, line, strlen(line));

	if (wire == NULL)
		return r;
	keep(ev, n->seq, n->uid, wire, strlen(wire));
	told = xasprintf("%s\n", wire);
	return r < 0 ? r : ownlog_put(ev->told, n->uid, told, strlen(told));
}

static void
flush(struct events *ev)
{
	struct news *n;
	int r = 0, more;

	if (TAILQ_EMPTY(&ev->news))
		return;
	while ((n = TAILQ_FIRST(&ev->news)) != NULL) {
		if ((more = put(ev, n)) < 0)
			r = more;
		TAILQ_REMOVE(&ev->news, n, link);
		json_decref(n->labels);
		free(n);
	}
	/* in this order: what the first has beyond the second is lost, and
	 * load_ring sees that */
	if ((more = ownlog_flush(ev->told)) < 0)
		r = more;
	if ((more = ownlog_flush(ev->log)) < 0)
		r = more;
	if (r < 0 && !ev->failing)
		log_warnx("events: %s", strerror(-r));
	ev->failing = r < 0;
}

/* What came of a turn of the loop is written at once, and those who wait for
 * its answers have them already. */
static void
on_prepare(uv_prepare_t *p)
{
	flush(p->data);
}

/*** What HTTP asks ***/

const struct event *
event_after(struct front *f, uint64_t after)
{
	struct events *ev = f->events;
	size_t low = 0, high, mid;

	flush(ev);
	high = ev->n;
	while (low < high) {
		mid = low + (high - low) / 2;
		if (at(ev, mid)->seq > after)
			high = mid;
		else
			low = mid + 1;
	}
	return low < ev->n ? show(ev, at(ev, low)) : NULL;
}

uint64_t
event_floor(const struct front *f)
{
	flush(f->events);
	return f->events->floor;
}

uint64_t
event_last(struct front *f)
{
	flush(f->events);
	return f->events->seq;
}

/*** Opening ***/

/* A line of events.json, which the next one of that number follows. */
static void
load(void *arg, uid_t uid, const char *line, size_t len)
{
	struct events *ev = arg;
	uint64_t seq = 0, before = ev->n != 0 ? at(ev, ev->n - 1)->seq : 0;

	if (sscanf(line, "{\"id\":%" SCNu64 ",", &seq) != 1 || seq <= before ||
	    seq > ev->seq) {
		while (ev->n != 0)
			drop_oldest(ev);
		return;
	}
	if (ev->n == 0)
		ev->floor = seq - 1;
	keep(ev, seq, uid, line, len - 1);
}

/* Was the last event one that HTTP is told, and events.json lacks it? */
static bool
lacks_last(const struct events *ev)
{
	char line[1024], kind[32];
	uint64_t seq;

	return ownlog_last(ev->log, line, sizeof(line)) != 0 &&
	    sscanf(line, "%" SCNu64 " %*s %*s %31s", &seq, kind) == 2 &&
	    find_wire(kind) != NULL && seq > at(ev, ev->n - 1)->seq;
}

/* What is not known to be whole is taken for lost: the floor says so. */
static void
load_ring(struct events *ev)
{
	char line[1024];
	uint64_t last = 0;

	ownlog_tail(ev->told, RING, load, ev);
	if (ownlog_last(ev->log, line, sizeof(line)) != 0)
		last = strtoull(line, NULL, 10);
	if (ev->n != 0 && last == ev->seq && !lacks_last(ev))
		return;
	while (ev->n != 0)
		drop_oldest(ev);
	ev->floor = ev->seq;
}

int
events_open(struct front *f, struct events **ret, struct err *e)
{
	cleanup_free char *path = xasprintf("%s/events", f->cfg->data_dir);
	cleanup_free char *told = xasprintf("%s.json", path);
	struct events *ev = xcalloc(1, sizeof(*ev));

	TAILQ_INIT(&ev->subscribers);
	TAILQ_INIT(&ev->news);
	(void)uv_prepare_init(f->loop, &ev->prepare);
	(void)uv_prepare_start(&ev->prepare, on_prepare);
	uv_unref((uv_handle_t *)&ev->prepare);
	ev->prepare.data = ev;
	if (ownlog_open(path, FILE_MAX, &ev->log, e) < 0 ||
	    ownlog_open(told, FILE_MAX, &ev->told, e) < 0) {
		events_close(ev);
		return -1;
	}
	ev->seq = last_seq(ev, f);
	load_ring(ev);
	reserve(ev, f);
	*ret = ev;
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	free(h->data);
}

void
events_close(struct events *ev)
{
	size_t i;

	if (ev == NULL)
		return;
	flush(ev);
	for (i = 0; i < RING; i++)
		free(ev->ring[i]);
	json_decref(ev->shown.wire);
	ownlog_close(ev->log);
	ownlog_close(ev->told);
	uv_close((uv_handle_t *)&ev->prepare, on_closed);
}

/*** Adding ***/

void
event_add(struct front *f, const struct sandbox *sb, const char *kind,
    const char *fields)
{
	struct events *ev = f->events;
	const struct news head = {
		.seq = ++ev->seq,
		.time_ms = clock_real_ms(),
		.uid = identity_key(sb->owner, sb->uid),
		.wire = find_wire(kind),
		.warm = sb->warm,
	};
	struct news *n = make_news(sb, kind, fields, &head);
	struct subscriber *s, *next;

	reserve(ev, f);
	TAILQ_INSERT_TAIL(&ev->news, n, link);
	tree_event(f);
	for (s = TAILQ_FIRST(&ev->subscribers); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		s->added(s);
	}
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

	flush(f->events);
	return ownlog_read(f->events->log, &v, off, p, n);
}

uint64_t
events_size(struct front *f, const struct caller *c)
{
	struct ownlog_view v = view_of(c);

	flush(f->events);
	return ownlog_size(f->events->log, &v);
}

int64_t
events_mtime_ms(struct front *f)
{
	flush(f->events);
	return ownlog_mtime_ms(f->events->log);
}
