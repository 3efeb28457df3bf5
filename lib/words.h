/*
 * words.h - a line split into words as sh does it, without any expansion:
 * blanks separate, '..' ".." \c and $'..' quote, # begins a comment at a
 * word's start. What bash's printf %q, ${v@Q} and python's shlex.quote print
 * is read back as it was.
 */
#ifndef LIB_WORDS_H
#define LIB_WORDS_H

#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"

#define WORDS_MAX 256 /* words in a line; a command of ours has under 100 */

struct words {
	size_t n;
	char *w[WORDS_MAX + 1]; /* NULL after the last; all point into text */
	char *text;		/* owned */
};

/* Splits len bytes of line. A NUL byte or an open quote is EINVAL. */
int words_split(struct words *w, const char *line, size_t len, struct err *e);
void words_done(struct words *w);
#define cleanup_words __attribute__((cleanup(words_done)))

/* Appends word to b, quoted only when it must be. */
int words_quote(struct buf *b, const char *word);

/* "key=value": the value when w begins with key and '=', or NULL. */
const char *words_value(const char *w, const char *key);

#endif
