/*
 * ids.h - who has which range of 65,536 host ids: RUN_DIR/mnt/ids/SLOT, a link
 * whose text is the id of the sandbox, so that a slot is taken and named in
 * one step, whatever kills us.
 */
#ifndef RUNTIMES_IDS_H
#define RUNTIMES_IDS_H

#include <stdint.h>

#include "lib/err.h"

/* Takes a slot below count for id. */
int ids_take(
    int at, int64_t count, const char *id, uint32_t *ret_slot, struct err *e);
/* Gives back the slot when it is id's; what is not there is no error. */
int ids_give(int at, uint32_t slot, const char *id, struct err *e);
/* Gives back whatever is id's, by looking at every slot. */
int ids_give_all(int at, const char *id, struct err *e);
/* Calls each with the owner of every slot, until it returns non-zero. */
int ids_each(
    int at, int (*each)(const char *id, void *arg), void *arg, struct err *e);

#endif
