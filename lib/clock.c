#include "lib/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t
units(clockid_t id, int64_t a_second)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * a_second +
	    ts.tv_nsec / (1000000000 / a_second);
}

int64_t
clock_ms(void)
{
	return units(CLOCK_MONOTONIC, 1000);
}

int64_t
clock_us(void)
{
	return units(CLOCK_MONOTONIC, 1000000);
}

int64_t
clock_real_ms(void)
{
	return units(CLOCK_REALTIME, 1000);
}

void
clock_text(char text[CLOCK_TEXT], int64_t real_ms)
{
	time_t s = (time_t)(real_ms / 1000);
	struct tm tm;
	size_t n;

	(void)gmtime_r(&s, &tm);
	n = strftime(text, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(
	    text + n, CLOCK_TEXT - n, ".%03dZ", (int)(real_ms % 1000));
}
