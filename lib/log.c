#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/utf8.h"

static const char *log_role = "sbx";
static _Bool log_syslog;
static _Bool log_verbose;

void
log_init(const char *role, _Bool to_syslog, _Bool debug)
{
	log_role = role;
	log_syslog = to_syslog;
	log_verbose = debug;
	if (to_syslog)
		openlog(role, LOG_PID, LOG_DAEMON);
}

/* Copies text, making what a terminal or a line reader could act on visible. */
static size_t
escape(char *to, size_t n, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = 0, left = strlen(text), more;
	unsigned char c;

	for (; left > 0 && len + 5 < n; text++, left--) {
		c = (unsigned char)*text;
		more = utf8_visible(text, left);
		if (more > 0) {
			memcpy(to + len, text, more);
			len += more;
			text += more - 1;
			left -= more - 1;
			continue;
		}
		to[len++] = '\\';
		to[len++] = 'x';
		to[len++] = hex[c >> 4];
		to[len++] = hex[c & 15];
	}
	to[len] = '\0';
	return len;
}

__attribute__((format(printf, 3, 0))) static void
vlog(int pri, int err, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 64], out[LOG_LINE_MAX];
	int saved = errno, n;

	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		text[0] = '\0';
	if (err != 0 && n >= 0 && (size_t)n < sizeof(text))
		snprintf(
		    text + n, sizeof(text) - (size_t)n, ": %s", strerror(err));
	(void)escape(out, sizeof(out), text);
	if (log_syslog) {
		syslog(pri, "%s", out);
	} else {
		n = snprintf(line, sizeof(line), "%s: %s\n", log_role, out);
		if (n > (int)sizeof(line) - 1)
			n = (int)sizeof(line) - 1;
		/* stderr that is gone is no reason to stop */
		if (write(STDERR_FILENO, line, (size_t)n) < 0)
			errno = saved;
	}
	errno = saved;
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_WARNING, errno, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_WARNING, 0, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_INFO, 0, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!log_verbose)
		return;
	va_start(ap, fmt);
	vlog(LOG_DEBUG, 0, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_ERR, errno, fmt, ap);
	va_end(ap);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_ERR, 0, fmt, ap);
	va_end(ap);
	exit(1);
}
