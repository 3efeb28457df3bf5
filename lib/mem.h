/*
 * mem.h - memory that is there or the program is not: small requests of our
 * own size abort when they fail. Sizes that come from outside go through buf.
 */
#ifndef LIB_MEM_H
#define LIB_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Copies s into dst of size n, always terminated. False when it was cut. */
_Bool str_copy(char *dst, const char *s, size_t n);

static inline void
free_ptr(void *p)
{
	free(*(void **)p);
}

/* Declare as: cleanup_free char *s = NULL; */
#define cleanup_free __attribute__((cleanup(free_ptr)))

/* Takes the pointer out of p, which becomes NULL: how ownership leaves. */
#define steal_ptr(p)                             \
	__extension__({                          \
		__typeof__(*(p)) stolen_ = *(p); \
		*(p) = NULL;                     \
		stolen_;                         \
	})

#endif
