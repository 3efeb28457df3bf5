/*
 * buf.h - growable bytes with a hard maximum.
 *
 * A zeroed struct buf is an empty one without a limit of its own
 * (BUF_MAX_DEFAULT holds). Data is always followed by a NUL that does not
 * count, so that text can be printed. Appending past the maximum returns
 * -EMSGSIZE and leaves the buffer as it was.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdarg.h>
#include <stddef.h>

/* No message of ours is larger: 10 MiB frames and their head. */
#define BUF_MAX_DEFAULT (16u << 20)

struct buf {
	char *data; /* NULL while nothing was ever added */
	size_t len;
	/* below is private */
	size_t off; /* consumed bytes before data */
	size_t cap;
	size_t max;
};

#define BUF_INIT  \
	{         \
		0 \
	}

/* Sets the maximum length. */
void buf_limit(struct buf *b, size_t max);
/* Frees the memory; the buffer is empty and usable again. */
void buf_done(struct buf *b);
/* Empties, keeps the memory. */
void buf_clear(struct buf *b);

/* All return 0, or -EMSGSIZE, or -ENOMEM. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_adds(struct buf *b, const char *s);
int buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int buf_vaddf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Makes room for n more bytes; *ret_p is where they go. buf_grew counts. */
int buf_reserve(struct buf *b, size_t n, char **ret_p);
void buf_grew(struct buf *b, size_t n);

/* Drops the first n bytes (n <= len); cheap. */
void buf_consume(struct buf *b, size_t n);
/* Cuts to len n (n <= len). */
void buf_cut(struct buf *b, size_t n);
/* The text, "" while nothing was added; owned by the buffer. */
const char *buf_str(const struct buf *b);
/* Hands the data over to the caller, who frees it; never NULL. */
char *buf_steal(struct buf *b);

#define cleanup_buf __attribute__((cleanup(buf_done)))

#endif
