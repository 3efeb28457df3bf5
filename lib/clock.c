#include "lib/clock.h"

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
