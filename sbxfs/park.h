/*
 * park.h - requests of the kernel for a fs/ whose trees the front has still
 * to hand over (a sandbox that is being made, or was started anew): kept as
 * bytes, and handled when the trees are there.
 */
#ifndef SBXFS_PARK_H
#define SBXFS_PARK_H

#include "sbxfs/impl.h"

/* Takes the request if it must wait: then it is answered later. */
bool park_take(struct sbxfs *s, const void *p, size_t n);
/* Answers a FUSE_INTERRUPT of a parked request; false: it is no such one. */
bool park_interrupt(struct sbxfs *s, const void *p, size_t n);
/* Lets those go whose signals end them; whether others were interrupted. */
bool park_look(struct sbxfs *s);
/* Answers all that is parked for b with an error. */
void park_fail(struct sbxfs *s, struct box *b, int error);

#endif
