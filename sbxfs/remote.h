/*
 * remote.h - fs/ of sandboxes on another machine: each request is a call of
 * the sandbox's agent (sbx.fs.*, agent/protocol.md) over a connection of its
 * own, answered when the agent has. The rest of the tree is as ever.
 */
#ifndef SBXFS_REMOTE_H
#define SBXFS_REMOTE_H

#include <poll.h>

#include "sbxfs/impl.h"

/* In the place of sbxfs_ops, to which it leaves what is not beneath fs/. */
extern const struct fuse_lowlevel_ops remote_ops;

/* b is in another state or run: its agent is another one now. */
void remote_changed(struct box *b);

/* For the loop: how many descriptors are to be waited for, which, and that
 * something came of it. */
size_t remote_count(const struct sbxfs *s);
void remote_poll(const struct sbxfs *s, struct pollfd *p);
void remote_polled(struct sbxfs *s);
/* Once a second or so: connections that nobody uses, agents that do not
 * answer. */
void remote_tick(struct sbxfs *s);
/* Lets those go whose signals end them; whether others were interrupted. */
bool remote_look(struct sbxfs *s);
void remote_free_all(struct sbxfs *s);

#endif
