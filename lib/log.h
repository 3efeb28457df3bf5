/*
 * log.h - one line an event, to stderr or to syslog, in OpenBSD's words:
 * log_warn adds strerror(errno), ...x does not, fatal exits with 1. A line
 * starts with its object ("sandbox 7f3a: start: ..."). Bytes that are not
 * printable are shown as \xNN, and a line is cut at LOG_LINE_MAX, so that
 * nobody outside can write into our terminal or forge a line. errno is kept.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#define LOG_LINE_MAX 2048

/* role is the word before each line; to_syslog is for a daemon. */
void log_init(const char *role, _Bool to_syslog, _Bool debug);

void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
_Noreturn void fatalx(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#endif
