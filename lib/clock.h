/*
 * clock.h - what time it is, in the units that the rest counts in.
 */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>

/* Only goes forward, from some moment of the machine's start: for waits and
 * for how long something took. */
int64_t clock_ms(void);
int64_t clock_us(void);

/* Since 1970, as somebody set it: for what people read and what is kept. */
int64_t clock_real_ms(void);

#define CLOCK_TEXT 48
/* 2026-01-02T03:04:05.678Z (RFC 3339) of what that gives. */
void clock_text(char text[CLOCK_TEXT], int64_t real_ms);

#endif
