#include "sbxfs/signals.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"

#define BIT(sig) (UINT64_C(1) << ((sig)-1))

/* What people and their tools end programs with. */
#define ENDING \
	(BIT(SIGINT) | BIT(SIGQUIT) | BIT(SIGTERM) | BIT(SIGHUP) | BIT(SIGKILL))
/* These interrupt nothing. */
#define HARMLESS                                                        \
	(BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH) |    \
	    BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU) | \
	    BIT(SIGPROF) | BIT(SIGVTALRM))

/* The set that a line of status says; 0 where it is not there. */
static uint64_t
set_of(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	uint64_t set = 0;

	if (at != NULL)
		(void)sscanf(at + strlen(key), "%" SCNx64, &set);
	return set;
}

enum signals
signals_of(pid_t tid)
{
	char path[32], status[4096];
	uint64_t pending;
	ssize_t n;
	int fd;

	if (tid <= 0)
		return SIGNALS_END; /* of another process namespace */
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return SIGNALS_END;
	n = read(fd, status, sizeof(status) - 1);
	close_fd(&fd);
	if (n <= 0)
		return SIGNALS_END;
	status[n] = '\0';
	pending = (set_of(status, "\nSigPnd:") | set_of(status, "\nShdPnd:")) &
	    ~set_of(status, "\nSigBlk:");
	if ((pending & ENDING) != 0)
		return SIGNALS_END;
	pending &= ~HARMLESS & ~set_of(status, "\nSigIgn:");
	if ((pending & ~set_of(status, "\nSigCgt:")) != 0)
		return SIGNALS_END;
	return pending != 0 ? SIGNALS_BREAK : SIGNALS_NONE;
}
