/*
 * front_impl.h - what front.c, life.c, adopt.c and poolrun.c share.
 */
#ifndef DAEMON_FRONT_IMPL_H
#define DAEMON_FRONT_IMPL_H

#include "daemon/brokerproto.h"
#include "daemon/front.h"

/* A new sandbox with one reference, in no list. id NULL: a random one. */
struct sandbox *sb_new(struct front *f, const char *id);
struct sandbox *sb_ref(struct sandbox *sb);
void sb_unref(struct sandbox *sb);

/* Into the list and the trees, and out of them. */
void registry_add(struct sandbox *sb);
void registry_remove(struct sandbox *sb);
void registry_rename(struct sandbox *sb, const char *name);
struct sandbox *registry_named(struct front *f, const char *name);

/* Row and notification; a pooled one has neither. */
int sb_store(struct sandbox *sb, struct err *e);
void sb_announce(struct sandbox *sb);
/* Wakes all who wait; e NULL is success. */
void sb_wake(struct sandbox *sb, const struct err *e);

/* settings.c: may who ask for these limits (-1: not asked for) where usual
 * hold otherwise? 0 is no limit at all. One rule for all doors. */
int limits_check(const struct config *c, const struct caller *who,
    const struct rt_limits *want, const struct rt_limits *usual, struct err *e);
/* The limits that are asked for into those that hold. */
void limits_take(struct rt_limits *l, const struct rt_limits *want);
/* settings.c: EINVAL for what is no variable's name, or no string; E2BIG.
 * env may be NULL. */
int env_check_all(const json_t *env, struct err *e);

/* life.c: what the broker says of its instance. */
void sb_took_info(struct sandbox *sb, const struct rt_info *i);
/* A request to the broker about sb, all fields but op and id zero. */
void sb_req(
    const struct sandbox *sb, enum broker_op op, struct broker_req *ret);

/* life.c: a transition begins; answers that belong to an older one are
 * dropped from now on. */
void life_begin(struct sandbox *sb, enum sb_state state);
/* Brings an instance up from nothing, in state creating. */
void life_create(struct sandbox *sb);
/* Connects to the agent of one that is up and goes to running. */
void life_connect(struct sandbox *sb);
/* Host name and limits of one that is up, then connects where needed. */
void life_claim(struct sandbox *sb);
/* One of the pool that has its limits already runs at once; the host name
 * follows, and jobs wait for it. */
void life_run_claimed(struct sandbox *sb);
/* Kills what runs, keeps the disk, goes to stopped. */
void life_stop(struct sandbox *sb);
/* Destroys what there is of it and makes it again: what the pool gave died in
 * the claim, or a crash left half of it. */
void life_recreate(struct sandbox *sb);
/* Ends the instance, whatever it is, without a word to anybody. */
void life_reclaim(struct sandbox *sb);
/* Sends limits and name to a live one; wakes the waiting. */
void life_apply(struct sandbox *sb, const struct rt_limits *old);
void life_send_env(struct sandbox *sb);

/* oom.c: has the memory limit killed something since it was asked last? Then
 * there is an event. first: what was before now is none. */
void oom_look(struct sandbox *sb, int job, bool first);

/* adopt.c: loads the store, lists the instances, joins the two; then done. */
int adopt_start(struct front *f, void (*done)(struct front *f), struct err *e);

#endif
