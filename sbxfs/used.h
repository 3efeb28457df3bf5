/*
 * used.h - a sandbox whose files are changed is not idle: the front is told,
 * at most once a second a sandbox. What the kernel writes by itself
 * (passthrough) shows when the file is opened for it and when it is closed.
 */
#ifndef SBXFS_USED_H
#define SBXFS_USED_H

#include <stddef.h>

struct sbxfs;

/* Looks at a request of n bytes, as it was read. */
void used_note(struct sbxfs *s, const void *bytes, size_t n);

#endif
