/*
 * sbx-agent: process 1 of a sandbox. Its listening socket is descriptor 3,
 * bound by the broker outside, where nobody inside can reach it. It starts
 * jobs, keeps their pipes and their status while the front is away, works on
 * files, and reaps whatever is left behind. It never ends by itself, except
 * in files mode (--files), where there are no jobs.
 *
 * The code beside it has the same uid: so the process is not dumpable, which
 * closes /proc/1/{mem,fd,environ} to it, and holds no secret. As process 1 it
 * gets no signal that it has no handler for, whoever inside sends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent/impl.h"
#include "lib/clock.h"
#include "lib/fd.h"

#define LISTEN_FD 3
#define EVENTS_MAX 64
#define HELD_MS 1 /* an answer waits so long for the end of a short job */

static int loop_fd = -1;
static int signal_fd = -1;
static int nconns;
static bool listening;
static int64_t alone_since; /* when the last connection ended */

static void accept_ready(struct source *s, uint32_t events);
static struct source listener = { .ready = accept_ready };

static _Noreturn void
die(const char *what)
{
	(void)fprintf(stderr, "sbx-agent: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static int
control(int op, int fd, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	return epoll_ctl(loop_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int
loop_add(int fd, struct source *s, uint32_t events)
{
	return control(EPOLL_CTL_ADD, fd, s, events);
}

int
loop_change(int fd, struct source *s, uint32_t events)
{
	return control(EPOLL_CTL_MOD, fd, s, events);
}

void
loop_drop(int fd)
{
	(void)control(EPOLL_CTL_DEL, fd, NULL, 0);
}

static void
listen_on(bool on)
{
	if (on == listening)
		return;
	if (loop_change(LISTEN_FD, &listener, on ? EPOLLIN : 0) == 0)
		listening = on;
}

void
loop_conns(int n)
{
	nconns = n;
	alone_since = clock_ms();
	listen_on(n < CONNS_MAX);
}

static void
accept_ready(struct source *s, uint32_t events)
{
	int fd;

	(void)s;
	(void)events;
	fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		conn_new(fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
	    errno == ENOBUFS)
		listen_on(false); /* until one ends, or a second has passed */
}

static void
child_ready(struct source *s, uint32_t events)
{
	struct signalfd_siginfo si;
	struct rusage ru;
	pid_t pid;
	int status;

	(void)s;
	(void)events;
	/* of SIGCHLD one is pending, however many died */
	(void)!read(signal_fd, &si, sizeof(si));
	while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0)
		if (!work_reaped(pid, status))
			jobs_reaped(pid, status, &ru);
}

static struct source children = { .ready = child_ready };

/* Descriptors 0 to 2 exist, so that no other ever gets their numbers. */
static void
hold_standard_fds(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd < 3)
		continue;
	while (fd < 0 && (fd = open("/", O_PATH | O_CLOEXEC)) >= 0 && fd < 3)
		fd = -1;
	if (fd > 2)
		(void)close(fd);
}

static void
set_up(void)
{
	/* the kernel's struct, whose zero is SIG_DFL: libc keeps signals 32
	 * to 34 from us, and those who start daemons may leave them ignored */
	static const unsigned long dfl[8];
	sigset_t set;
	int sig;

	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		die("prctl");
	if (fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0)
		die("descriptor 3, the listening socket");
	(void)syscall(SYS_close_range, LISTEN_FD + 1, ~0U, 0);
	hold_standard_fds();
	jobs_init();
	(void)umask(0); /* modes are what was asked for */
	for (sig = 1; sig < _NSIG; sig++)
		(void)syscall(SYS_rt_sigaction, sig, dfl, NULL, _NSIG / 8);
	/* Blocked signals would queue up; those without a handler do not
	 * reach process 1 at all. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		die("sigprocmask");
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	loop_fd = epoll_create1(EPOLL_CLOEXEC);
	if (signal_fd < 0 || loop_fd < 0 ||
	    loop_add(signal_fd, &children, EPOLLIN) < 0 ||
	    fd_nonblock(LISTEN_FD, 1) < 0 ||
	    loop_add(LISTEN_FD, &listener, EPOLLIN) < 0)
		die("event loop");
	listening = true;
	alone_since = clock_ms();
}

/* How long to wait at most: -1 for ever; 0 and *ret_end when it is over. */
static int
patience(bool *ret_end)
{
	int64_t left;

	if (!listening && nconns < CONNS_MAX)
		return 1000;
	if (!rpc_files_only || nconns > 0)
		return -1;
	left = alone_since + FILES_LINGER_MS - clock_ms();
	*ret_end = left <= 0;
	return left > 0 ? (int)left : 0;
}

static void
run(void)
{
	struct epoll_event ev[EVENTS_MAX];
	bool end = false, held;
	struct source *s;
	int i, n, wait_ms;

	for (;;) {
		wait_ms = patience(&end);
		held = conn_any_held();
		if (held)
			wait_ms = HELD_MS;
		n = epoll_wait(loop_fd, ev, EVENTS_MAX, wait_ms);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		if (n == 0 && end && !held)
			return;
		for (i = 0; i < n; i++) {
			s = ev[i].data.ptr;
			s->ready(s, ev[i].events);
		}
		if (held)
			conn_send_held();
		conn_sweep();
		jobs_sweep();
		if (n == 0 && !held && nconns < CONNS_MAX)
			listen_on(true);
	}
}

int
main(int argc, char **argv)
{
	rpc_files_only = argc == 2 && strcmp(argv[1], "--files") == 0;
	if (argc > 1 && !rpc_files_only) {
		(void)fprintf(stderr, "usage: sbx-agent [--files]\n");
		return 2;
	}
	set_up();
	run();
	return 0;
}
