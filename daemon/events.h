/*
 * events.h - what happened, numbered: DATA_DIR/events holds the lines of
 * /sbx/events (SEQ TIME NAME EVENT [k=v...]); it restarts from size 0 at
 * 16 MiB. Sequence numbers go on after a restart. events.json holds those that
 * HTTP is told, as it is told them; a ring of the last 10,000 of these serves
 * /events and /events/history, and is read from there at start.
 *
 * Both files are written when the loop has done what came in, and before
 * anybody is told of an event: answers do not wait for them, and a front that
 * is killed in that moment loses the lines of what it had just answered. The
 * store does not.
 */
#ifndef DAEMON_EVENTS_H
#define DAEMON_EVENTS_H

#include <jansson.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/front.h"

struct event {
	uint64_t seq;
	char owner[SB_IDENTITY_MAX];
	uid_t uid;
	json_t *wire; /* Event object for HTTP */
};

struct subscriber {
	TAILQ_ENTRY(subscriber) link;
	void (*added)(struct subscriber *s); /* event_after has it */
	void *arg;
};

int events_open(struct front *f, struct events **ret, struct err *e);
void events_close(struct events *ev);
/* kind: "created", "started", ...; fields: " job=1 exit=0" or "". */
void event_add(struct front *f, const struct sandbox *sb, const char *kind,
    const char *fields);
void events_subscribe(struct front *f, struct subscriber *s);
void events_unsubscribe(struct front *f, struct subscriber *s);
/* The ring, oldest first; NULL at the end. after 0: all. */
const struct event *event_after(struct front *f, uint64_t after);
/* What came up to this number may be lost, nothing after it. */
uint64_t event_floor(const struct front *f);
uint64_t event_last(struct front *f);
/* The file as this caller sees it; NULL caller or all: all of it. */
ssize_t events_read(
    struct front *f, const struct caller *c, uint64_t off, void *p, size_t n);
uint64_t events_size(struct front *f, const struct caller *c);
/* Real time of its last change. */
int64_t events_mtime_ms(struct front *f);

#endif
