/*
 * sbxd: options, and which of its processes this is.
 *
 *	sbxd: broker  root   broker_run    what is started; supervises
 *	sbxd: worker  root   worker_run    forked by the broker
 *	sbxd: front   _sbx   frontboot_run this program again, by -F
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/broker.h"
#include "daemon/check.h"
#include "daemon/config.h"
#include "daemon/frontboot.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "runtimes/native.h"

#define FRONT_WORKERS_MAX 64

enum {
	OPT_CHECK = 256
};

static struct {
	char *config;
	bool foreground;
	bool debug;
	bool check;
	size_t front; /* workers handed to us: we are the front */
} opt;

_Noreturn static void
usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
	    "usage: sbxd [-dfhV] [--check] [-c file]\n"
	    "  -c file   configuration (/etc/sbxd/sbxd.toml)\n"
	    "  -d        log what happens in detail\n"
	    "  -f        stay in the foreground, log to stderr\n"
	    "  --check   say what this host offers and what the\n"
	    "            configuration would do; starts nothing\n"
	    "  -h, -V    this text, the version\n");
	exit(status);
}

/* The daemon leaves this directory, and reads the file again later. */
static char *
absolute(const char *path)
{
	char cwd[PATH_MAX];

	if (*path == '/')
		return xstrdup(path);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		fatal("%s", path);
	return xasprintf("%s/%s", cwd, path);
}

static void
parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "c:dfhVF:U:", longs, NULL)) != -1) {
		if (c == 'c') {
			free(opt.config);
			opt.config = absolute(optarg);
		} else if (c == 'd') {
			opt.debug = true;
		} else if (c == 'f') {
			opt.foreground = true;
		} else if (c == OPT_CHECK) {
			opt.check = true;
		} else if (c == 'F') { /* internal: broker.c, start_front */
			if (int_parse(optarg, 1, FRONT_WORKERS_MAX, &n) < 0)
				usage(2);
			opt.front = (size_t)n;
		} else if (c == 'U') { /* internal, as -F */
			if (int_parse(optarg, 0, UINT32_MAX, &n) < 0)
				usage(2);
			config_unheld((unsigned)n);
		} else if (c == 'V') {
			puts("sbxd " SBX_VERSION);
			exit(0);
		} else {
			usage(c == 'h' ? 0 : 2);
		}
	}
	if (optind != argc)
		usage(2);
}

/*
 * The child goes on; this process waits for its byte and exits with 0, or
 * with 1 when the child ended before (it has said why on stderr).
 */
static int
daemonise(void)
{
	int p[2], null_fd;
	pid_t pid;
	char c;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		fatal("start");
	if (pid != 0) {
		(void)close(p[1]);
		_exit(fd_read_full(p[0], &c, 1) == 1 ? 0 : 1);
	}
	(void)close(p[0]);
	(void)setsid();
	if (chdir("/") < 0)
		fatal("/");
	if ((null_fd = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
		fatal("/dev/null");
	(void)dup2(null_fd, STDIN_FILENO);
	(void)close(null_fd);
	return p[1];
}

/* Closed ones would be taken by the first files we open. */
static void
hold_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
	if (fd >= 0)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	struct broker_opts o = {
		.rt = &runtime_native, .undo = native_undo, .notify_fd = -1
	};
	struct err e;

	hold_stdio();
	proc_title_init(argv);
	log_init("sbxd", false, false);
	parse(argc, argv);
	if (opt.front != 0) {
		log_init("sbxd: front", false, opt.debug);
		proc_title("sbxd: front");
		return frontboot_run(opt.config, opt.front);
	}
	/* whatever our starter had open is not for us, nor for any guest */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	if (config_load(opt.config, config_warn, &o.cfg, &e) < 0)
		fatalx("%s", e.text);
	if (opt.check)
		return check_print(o.cfg, stdout);
	log_init("sbxd: broker", false, opt.debug);
	o.config_path = opt.config;
	o.foreground = opt.foreground;
	o.debug = opt.debug;
	if (!opt.foreground)
		o.notify_fd = daemonise();
	return broker_run(&o);
}
