/*
 * sbxfs - sandboxes as files.
 *
 * Three processes, each the parent of the next, and for a remote mount a
 * fourth, the guard's child too, which alone speaks to the network (net.h).
 * The one that was started
 * waits until the mount is up, says what went wrong, and ends (with -f it is
 * the guard itself). The guard keeps privileges and does nothing but wait for
 * the server: when that is dead for good it takes the dead mount away, if it
 * is still its own. The server mounts, gives up what it does not need, and
 * answers the kernel. It ends when the guard does.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/notify.h"
#include "lib/proc.h"
#include "sbxfs/mount.h"
#include "sbxfs/net.h"
#include "sbxfs/privs.h"
#include "sbxfs/serve.h"

static char *opt_mountpoint;
static const char *opt_socket = "/run/sbxd/files.sock";
static const char *opt_fsname = "sbx";
static const char *opt_url, *opt_token_file, *opt_cafile;
static bool opt_allow_other;
static bool opt_direct_io;
static bool opt_foreground;
static bool opt_debug;

/*** Options ***/

static _Noreturn void
usage(int status)
{
	(void)fprintf(status == 0 ? stdout : stderr,
	    "usage: sbxfs [-dfhV] [-o option,...] [-s socket] mountpoint\n"
	    "  -d            print each request; implies -f\n"
	    "  -f            stay in the foreground\n"
	    "  -o option,... mount options; url=URL,token-file=FILE for\n"
	    "                the daemon of another machine\n"
	    "  -s socket     the daemon's (/run/sbxd/files.sock)\n"
	    "  -h, -V        this text, the version\n");
	exit(status);
}

/* Those without a place for a value or a flag are what is so anyway. */
static const struct {
	const char *name;
	const char **value;
	bool *flag;
} mount_options[] = {
	{ .name = "fsname", .value = &opt_fsname },
	{ .name = "socket", .value = &opt_socket },
	{ .name = "url", .value = &opt_url },
	{ .name = "token-file", .value = &opt_token_file },
	{ .name = "cafile", .value = &opt_cafile },
	{ .name = "direct_io", .flag = &opt_direct_io },
	{ .name = "rw" },
	{ .name = "nosuid" },
	{ .name = "nodev" },
	{ .name = "noexec" },
	{ .name = "noatime" },
	{ .name = "allow_other", .flag = &opt_allow_other },
	{ .name = "default_permissions" },
	{ .name = "defaults" },
};

static void
one_option(const char *opt)
{
	size_t i, n = strcspn(opt, "=");

	for (i = 0; i < sizeof(mount_options) / sizeof(mount_options[0]); i++) {
		if (strlen(mount_options[i].name) != n ||
		    strncmp(mount_options[i].name, opt, n) != 0)
			continue;
		if ((mount_options[i].value != NULL) != (opt[n] == '='))
			fatalx("-o %s: %s a value", opt,
			    opt[n] == '=' ? "takes no" : "needs");
		if (mount_options[i].value != NULL)
			*mount_options[i].value = opt + n + 1;
		if (mount_options[i].flag != NULL)
			*mount_options[i].flag = true;
		return;
	}
	fatalx("-o %s: unknown option", opt);
}

static void
parse_mount_options(char *list)
{
	char *opt;

	while ((opt = strsep(&list, ",")) != NULL)
		if (*opt != '\0')
			one_option(opt);
}

static const char *
parse_options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "dfho:s:V")) != -1)
		switch (c) {
		case 'd':
			opt_debug = opt_foreground = true;
			break;
		case 'f':
			opt_foreground = true;
			break;
		case 'h':
			usage(0);
		case 'o':
			parse_mount_options(optarg);
			break;
		case 's':
			opt_socket = optarg;
			break;
		case 'V':
			puts("sbxfs " SBX_VERSION);
			exit(0);
		default:
			usage(2);
		}
	if (argc - optind != 1)
		usage(2);
	return argv[optind];
}

/*** The server ***/

/* What the server tells the guard: the mount's number, then that it is up. */
struct report {
	uint64_t mount_id;
	bool ready;
};

struct server {
	int guard; /* the pipe to it */
	struct report report;
};

static void
tell(struct server *sv)
{
	if (sv->guard >= 0 &&
	    fd_write_full(sv->guard, &sv->report, sizeof(sv->report)) < 0)
		fatalx("the guard is gone");
}

static void
to_background(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	for (i = 0; i <= 2 && fd >= 0; i++)
		(void)dup3(fd, i, 0);
	close_fd(&fd);
	log_init("sbxfs", true, opt_debug);
}

static void
ready(void *arg)
{
	struct server *sv = arg;

	sv->report.ready = true;
	tell(sv);
	close_fd(&sv->guard);
	if (!opt_foreground)
		to_background();
}

/* The ends of the dial socket, -1 for a local mount: the server's, which the
 * guard keeps no more once it has started it, and that of the process that
 * speaks to the network, which the guard keeps to start it again. */
static int dial_server = -1, dial_net = -1;

static _Noreturn void
run_server(const char *mountpoint, int guard)
{
	const struct mount_how how = { .fsname = opt_fsname,
		.allow_other = opt_allow_other };
	struct server sv = { .guard = guard };
	struct serve_config cfg = { .mountpoint = mountpoint,
		.socket = opt_url != NULL ? opt_url : opt_socket,
		.dial = dial_server,
		.uid = geteuid(),
		.gid = geteuid() != 0 ? getegid() : 0,
		.direct_io = opt_direct_io,
		.debug = opt_debug,
		.ready = ready,
		.arg = &sv };
	struct err e;
	int r;

	proc_title("sbxfs: server");
	(void)umask(0); /* the kernel has applied the caller's */
	close_fd(&dial_net);
	if (mount_make(mountpoint, &how, &cfg.devfd, &sv.report.mount_id, &e) <
	    0)
		fatalx("%s", e.text);
	tell(&sv);
	r = cfg.dial < 0 ? privs_drop() : privs_drop_remote();
	if (r < 0)
		fatalx("giving up privileges: %s", strerror(-r));
	r = serve(&cfg);
	if (r < 0)
		fatalx("/dev/fuse: %s", strerror(-r));
	if (r > 0)
		(void)mount_remove(mountpoint, sv.report.mount_id);
	exit(0);
}

/*** The guard ***/

/* In the child: it ends with us, and takes no signal that we wait for. */
static void
be_child(pid_t guard)
{
	sigset_t none;

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		fatal("prctl");
	if (getppid() != guard)
		exit(1);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static pid_t
start_server(const char *mountpoint, int *ret_pipe)
{
	pid_t self = getpid(), pid;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		fatal("pipe");
	if ((pid = fork()) < 0)
		fatal("fork");
	if (pid != 0) {
		(void)close(p[1]);
		*ret_pipe = p[0];
		return pid;
	}
	(void)close(p[0]);
	be_child(self);
	run_server(mountpoint, p[1]);
}

/* 0 where there is none. */
static pid_t
start_net(void)
{
	const struct net_conf conf = { .url = opt_url,
		.token_file = opt_token_file,
		.cafile = opt_cafile };
	pid_t self = getpid(), pid;

	if (opt_url == NULL)
		return 0;
	if ((pid = fork()) < 0)
		fatal("fork");
	if (pid != 0)
		return pid;
	be_child(self);
	close_fd(&dial_server);
	net_run(&conf, dial_net);
}

static void
open_dial(void)
{
	int pair[2];

	if (opt_url == NULL)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		fatal("socketpair");
	dial_server = pair[0];
	dial_net = pair[1];
}

/* Waits for the server's end, handing on what ends us. */
static int
wait_server(pid_t pid, pid_t net, const sigset_t *set)
{
	const struct timespec pause = { .tv_sec = 1 };
	siginfo_t si;
	int status;

	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		if (net > 0 && waitpid(net, &status, WNOHANG) == net) {
			net = 0;
			/* it ends by itself when the server has */
			if (status == 0)
				continue;
			log_warnx("net died, it is started again");
			(void)nanosleep(&pause, NULL);
			net = start_net();
		}
		if (sigwaitinfo(set, &si) < 0)
			continue;
		if (si.si_signo == SIGTERM || si.si_signo == SIGINT)
			(void)kill(pid, SIGTERM);
	}
}

static _Noreturn void
run_guard(const char *mountpoint, int starter)
{
	struct report rep, now = { 0 };
	sigset_t set;
	int fd, status, err;
	pid_t pid, net;

	proc_title("sbxfs: guard");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	open_dial();
	net = start_net();
	pid = start_server(mountpoint, &fd);
	close_fd(&dial_server);
	while (!now.ready &&
	    fd_read_full(fd, &rep, sizeof(rep)) == (ssize_t)sizeof(rep))
		now = rep;
	(void)close(fd);
	if (now.ready && (err = notify_ready()) < 0)
		log_warnx("NOTIFY_SOCKET: %s", strerror(-err));
	if (now.ready && starter >= 0) {
		(void)fd_write_full(starter, "r", 1);
		to_background();
	}
	close_fd(&starter);
	status = wait_server(pid, net, &set);
	/* One without privileges leaves that to us. */
	if (mount_remove(mountpoint, now.mount_id) && status != 0)
		log_warnx("%s: the server died, unmounted", mountpoint);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* In the background: returns in the guard, with a pipe to who was started. */
static int
daemonise(void)
{
	char word = 0;
	pid_t pid;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		fatal("pipe");
	if ((pid = fork()) < 0)
		fatal("fork");
	if (pid == 0) {
		(void)close(p[0]);
		(void)setsid();
		if (chdir("/") < 0)
			fatal("/");
		return p[1];
	}
	(void)close(p[1]);
	/* Without a word it has said on stderr what is wrong. */
	exit(fd_read_full(p[0], &word, 1) == 1 ? 0 : 1);
}

/* A copy that stays, and from anywhere. */
static const char *
whole_path(const char *path)
{
	char *whole = path != NULL ? realpath(path, NULL) : NULL;

	if (path != NULL && whole == NULL)
		fatal("%s", path);
	return whole;
}

static void
check_remote(void)
{
	struct net_conf conf;
	struct err e;

	opt_url = xstrdup(opt_url);
	opt_token_file = whole_path(opt_token_file);
	opt_cafile = whole_path(opt_cafile);
	conf = (struct net_conf){ opt_url, opt_token_file, opt_cafile };
	if (net_check(&conf, &e) < 0)
		fatalx("%s", e.text);
}

/* One for each file that is open in fs/; over a network four for each sandbox
 * that is asked. Nothing here uses select(2). */
static void
raise_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
}

int
main(int argc, char **argv)
{
	const char *given;
	int starter = -1;
	struct err e;

	proc_title_init(argv);
	/* What a caller left open would stay open for as long as we live. */
	(void)close_range(3, ~0u, 0);
	raise_files();
	log_init("sbxfs", false, false);
	given = parse_options(argc, argv);
	/* The title takes argv away: what is needed of it is copied. */
	opt_socket = xstrdup(opt_socket);
	opt_fsname = xstrdup(opt_fsname);
	log_init("sbxfs", false, opt_debug);
	if (opt_url != NULL)
		check_remote();
	else if (geteuid() != 0)
		fatalx("must be root, or mount a url");
	if (*opt_socket != '/')
		fatalx("%s: the socket must be an absolute path", opt_socket);
	if ((opt_mountpoint = mount_prepare(given, &e)) == NULL)
		fatalx("%s", e.text);
	if (!opt_foreground)
		starter = daemonise();
	run_guard(opt_mountpoint, starter);
}
