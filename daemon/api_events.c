/*
 * api_events.c - what happens, as server-sent events, and what happened.
 *
 * The ring of events.h is every subscriber's queue: one that reads slowly
 * goes on from where it was, and is told of a gap when the ring has passed it.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/api_impl.h"
#include "daemon/events.h"
#include "lib/mem.h"
#include "lib/size.h"

#define SUBSCRIBERS_MAX 100
#define PING_MS 15000
#define QUEUE_MAX (64u << 10)
#define HISTORY_DEFAULT 1000
#define HISTORY_MAX 10000

/* Which events one sees. */
struct filter {
	struct caller c;
	char identity[SB_IDENTITY_MAX]; /* "": any */
};

struct stream {
	struct http_req *r;
	struct subscriber sub;
	uv_timer_t ping;
	struct filter filter;
	uint64_t last; /* number of the last one looked at */
};

static bool
sees(const struct filter *f, const struct event *ev)
{
	if (f->identity[0] != '\0' && strcmp(f->identity, ev->owner) != 0)
		return false;
	return f->c.all || strcmp(f->c.identity, ev->owner) == 0 ||
	    (f->c.uid != (uid_t)-1 && f->c.uid == ev->uid);
}

/* False: answered. */
static bool
make_filter(struct http_req *r, struct filter *f)
{
	const char *identity = http_query(r, "identity");

	f->identity[0] = '\0';
	if (!api_caller(r, &f->c))
		return false;
	if (identity != NULL &&
	    !str_copy(f->identity, identity, sizeof(f->identity))) {
		http_error(r, 400, "invalid 'identity' parameter");
		return false;
	}
	return true;
}

/*** GET /events ***/

static size_t
send_event(struct http_req *r, const struct event *ev)
{
	cleanup_free char *data = json_dumps(ev->wire, JSON_COMPACT);
	cleanup_free char *text = xasprintf("id: %llu\ndata: %s\n\n",
	    (unsigned long long)ev->seq, data != NULL ? data : "{}");

	return http_send(r, text, strlen(text));
}

static size_t
send_gap(struct http_req *r, uint64_t after)
{
	cleanup_free char *text = xasprintf(
	    "event: events.gap\n"
	    "data: {\"after_id\":%llu,\"message\":\"some events were lost\"}"
	    "\n\n",
	    (unsigned long long)after);

	return http_send(r, text, strlen(text));
}

static void
send_more(struct http_req *r)
{
	struct stream *s = http_user(r);
	struct front *f = api_front(r);
	const struct event *ev;
	size_t queued = 0;

	if (s->last < event_floor(f)) {
		queued = send_gap(r, s->last);
		s->last = event_floor(f);
	}
	while (queued < QUEUE_MAX && (ev = event_after(f, s->last)) != NULL) {
		if (sees(&s->filter, ev))
			queued = send_event(r, ev);
		s->last = ev->seq;
	}
}

static void
on_event(struct subscriber *sub)
{
	send_more(((struct stream *)sub->arg)->r);
}

static void
on_ping(uv_timer_t *t)
{
	const struct stream *s = t->data;

	(void)http_send(s->r, ": ping\n\n", 8);
}

static void
on_ping_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
stream_free(void *arg)
{
	struct stream *s = arg;
	struct api *api = http_arg(s->r);

	events_unsubscribe(api->f, &s->sub);
	api->subscribers--;
	uv_close((uv_handle_t *)&s->ping, on_ping_closed);
}

/* Last-Event-ID: where to go on; nothing sensible is from now on. */
static uint64_t
start_after(const struct http_req *r)
{
	const char *id = http_header(r, "last-event-id");
	uint64_t last = event_last(api_front(r));
	int64_t n;

	if (id == NULL || int_parse(id, 1, INT64_MAX, &n) != 0 ||
	    (uint64_t)n > last)
		return last;
	return (uint64_t)n;
}

void
api_events(struct http_req *r)
{
	struct api *api = http_arg(r);
	struct filter filter;
	struct stream *s;

	if (!make_filter(r, &filter))
		return;
	if (strcmp(http_method(r), "HEAD") == 0) {
		http_begin(r, 200, "text/event-stream", -1);
		http_end(r);
		return;
	}
	if (api->subscribers >= SUBSCRIBERS_MAX) {
		http_error(r, 503, "too many event subscribers");
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->r = r;
	s->filter = filter;
	s->last = start_after(r);
	s->sub.added = on_event;
	s->sub.arg = s;
	api->subscribers++;
	events_subscribe(api->f, &s->sub);
	(void)uv_timer_init(api->f->loop, &s->ping);
	s->ping.data = s;
	(void)uv_timer_start(&s->ping, on_ping, PING_MS, PING_MS);
	http_set_user(r, s, stream_free);
	http_add_header(r, "Cache-Control", "no-cache");
	http_begin(r, 200, "text/event-stream", -1);
	http_on_drain(r, send_more);
	send_more(r);
}

/*** GET /events/history ***/

static json_t *
history(
    struct front *f, const struct filter *filter, uint64_t after, int64_t limit)
{
	const struct event *ev = event_after(f, after);
	uint64_t last = event_last(f);
	json_t *list = json_array();

	for (; ev != NULL && limit > 0; ev = event_after(f, ev->seq)) {
		if (!sees(filter, ev))
			continue;
		(void)json_array_append(list, ev->wire);
		limit--;
	}
	return json_pack("{s:b,s:o,s:I}", "complete",
	    (int)(after >= event_floor(f)), "events", list, "seq",
	    (json_int_t)last);
}

void
api_events_history(struct http_req *r)
{
	const char *after_text = http_query(r, "after");
	const char *limit_text = http_query(r, "limit");
	int64_t after = 0, limit = HISTORY_DEFAULT;
	struct filter filter;

	if (!make_filter(r, &filter))
		return;
	if (after_text != NULL &&
	    int_parse(after_text, 0, INT64_MAX, &after) != 0)
		http_error(r, 400,
		    "invalid 'after' parameter \u2014 must be a "
		    "numeric event ID");
	else if (limit_text != NULL &&
	    int_parse(limit_text, 1, INT64_MAX, &limit) != 0)
		http_error(r, 400, "invalid 'limit' parameter");
	else
		http_json(r, 200,
		    history(api_front(r), &filter, (uint64_t)after,
			limit < HISTORY_MAX ? limit : HISTORY_MAX));
}
