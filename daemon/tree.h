/*
 * tree.h - the server of files.sock: what sbxfs asks (agent/protocol.md).
 */
#ifndef DAEMON_TREE_H
#define DAEMON_TREE_H

#include "daemon/front.h"
#include "daemon/jobs.h"

/* fd: listening Unix socket, owned. */
int tree_new(struct front *f, int fd, struct tree_server **ret, struct err *e);
void tree_free(struct tree_server *t);
/* One more client, on this connected socket (owned), that speaks for the
 * caller alone and gets no descriptors. 0; -1: there are too many, closed. */
int tree_join(struct front *f, int fd, const struct caller *c);

/*** Notifications to all clients; called by front.c, events.c, jobs.c ***/
void tree_sandbox(struct front *f, const struct sandbox *sb);
void tree_gone(struct front *f, const struct sandbox *sb);
void tree_job_end(struct front *f, const struct job *job);
void tree_event(struct front *f);
/* The log of a sandbox grew. */
void tree_log(struct front *f);
void tree_profiles(struct front *f);

#endif
