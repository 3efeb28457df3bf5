/*
 * tree_more.h - output that is not kept any more, to those who follow in a
 * mount: by a pipe, whose reading end they are given when the first such byte
 * comes. Who does not read it stops the job, as a pipe's reader would.
 */
#ifndef DAEMON_TREE_MORE_H
#define DAEMON_TREE_MORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct more;

/* NULL: there is no pipe to be had. moved is called from the loop when the
 * reader has made room. *ret_reader is the caller's. */
struct more *more_new(
    uv_loop_t *loop, void (*moved)(void *arg), void *arg, int *ret_reader);
/* The end of it; NULL is fine. */
void more_free(struct more *m);
void more_add(struct more *m, const void *p, size_t n);
/* As more_add of what a pipe holds, which stays there: bytes taken, 0 for none
 * now. */
size_t more_pass(struct more *m, int fd);
/* The reader has made no room yet: there are bytes that wait, or none are
 * taken. NULL: no. */
bool more_full(const struct more *m);
/* Bytes given to the reader. */
uint64_t more_written(const struct more *m);

#endif
