/* Apart from others: musl has no statx, and its sys/stat.h does not go with
 * the kernel's. */
#include "agent/btime.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int64_t
btime_ns(int fd)
{
	struct statx sx;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BTIME, &sx) < 0 ||
	    (sx.stx_mask & STATX_BTIME) == 0)
		return 0;
	/* until the year 2262, as the other times */
	return (int64_t)((uint64_t)sx.stx_btime.tv_sec * 1000000000 +
	    sx.stx_btime.tv_nsec);
}
