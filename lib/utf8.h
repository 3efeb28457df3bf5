/*
 * utf8.h - text of strangers, character by character.
 */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at p, of which left (> 0) are there; 0: it is not
 * UTF-8 (overlong, a surrogate, above U+10FFFF, cut off). */
size_t utf8_length(const void *p, size_t left);

/* The same, and 0 for what a terminal or a reader of lines could act on:
 * control characters, line and paragraph separators, changes of direction. */
size_t utf8_visible(const void *p, size_t left);

/* All n bytes are UTF-8. */
bool utf8_valid(const void *p, size_t n);

#endif
