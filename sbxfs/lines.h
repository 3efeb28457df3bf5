/*
 * lines.h - what one WRITE holds of lines that shells cut.
 *
 * A write holds whole lines, the last newline is optional. One that does not
 * end in a newline and is a multiple of 4,096 bytes, or longer than
 * 1,044,480, was cut by the writer's buffer or the kernel: what follows its
 * last newline is kept with the open file and begins the first line of the
 * next write; FLUSH makes a line of it; a failing line takes it along.
 */
#ifndef SBXFS_LINES_H
#define SBXFS_LINES_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/buf.h"

#define LINE_MAX_BYTES (64u << 10)
#define LINES_UNCUT_MAX 1044480u

/* A zeroed one is empty. */
struct lines {
	struct buf kept;
	size_t before; /* kept bytes that went in front of the last text */
};

void lines_done(struct lines *l);

/*
 * Appends to ret what is to be done now for a write of n bytes: the kept
 * piece and the whole lines. It may be nothing. A piece longer than a line
 * may be is not kept: who does the lines then says so. 0 or -errno.
 */
int lines_take(struct lines *l, const char *p, size_t n, struct buf *ret);

/*
 * The answer to a write of n bytes whose text was done up to done bytes, and
 * then failed with error (0: it did not): a count or -errno.
 */
ssize_t lines_answer(struct lines *l, size_t n, size_t done, int error);

/* Appends the kept piece to ret, which makes a line of it. 0 or -errno. */
int lines_flush(struct lines *l, struct buf *ret);

#endif
