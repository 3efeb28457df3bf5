/*
 * size.h - numbers that people write: sizes "512m", counts, cores "1.5",
 * durations "1h30m". The whole string must be the number: 0 or -EINVAL,
 * -ERANGE; *ret_* is untouched on failure.
 */
#ifndef LIB_SIZE_H
#define LIB_SIZE_H

#include <stdint.h>

/* Of a hexadecimal digit, or -1. */
int hex_digit(char c);
/* "10", "10k", "10M", "2g", "1t": powers of 1024, blanks around allowed. */
int size_parse(const char *s, int64_t *ret_bytes);
/* A decimal integer in [min, max]. */
int int_parse(const char *s, int64_t min, int64_t max, int64_t *ret_n);
/* Cores: "2", "1.5", "0.25": to thousandths, 0 to 1,000,000 cores. */
int milli_parse(const char *s, int64_t *ret_milli);
/* "300ms", "10s", "1h30m"; a bare number is seconds. */
int duration_parse(const char *s, int64_t *ret_ms);

#endif
