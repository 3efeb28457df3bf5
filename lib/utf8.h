/*
 * utf8.h - text of strangers, character by character.
 */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stddef.h>

/* Bytes of the character at p, of which left (> 0) are there; 0: it is not
 * UTF-8 (overlong, a surrogate, above U+10FFFF, cut off). */
size_t utf8_length(const void *p, size_t left);

#endif
