/*
 * err.h - what went wrong, for a reader: an errno and a sentence.
 *
 * The struct lives on the caller's stack; text is cut at its size. A function
 * that takes one returns -1 and fills it, or leaves it alone on success.
 * Sentences are lower case, name the object, and have no full stop.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

struct err {
	int code; /* errno, positive; chosen for its strerror text */
	char text[512];
};

/* Sets code and "fmt: strerror(code)". Returns -1. */
int err_set(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets code and the text alone: the sentence says it all. Returns -1. */
int err_setx(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "fmt: " before the text, keeps the code. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
