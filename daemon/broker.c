#include "daemon/broker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/compat.h"
#include "daemon/frontboot.h"
#include "daemon/worker.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/notify.h"
#include "lib/proc.h"

#define WORKERS_MAX 32 /* they are handed over in one exec: PROC_FDS_MAX */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define STEADY_MS 10000	  /* lived that long: the back-off begins anew */
#define END_FRONT_MS 5000 /* for a front that has lost a worker */
#define STOP_FRONT_MS 120000
#define END_WORKER_MS 30000
#define LOCK_WAIT_MS 30000 /* for the last request of a dead broker */

static_assert(
    FRONT_WORKER_FD + WORKERS_MAX <= PROC_FDS_MAX, "a front's descriptors");

struct broker {
	struct broker_opts o;
	struct config *cfg;
	struct rt_env env;    /* strings of the first configuration */
	struct config *first; /* which owns them; cfg may be another */
	struct front_ids ids;
	int lock_fd;
	int sig_fd;
	int host_mnt_fd;   /* the mount namespace we were started in */
	int lifeline[2];   /* workers read its end; we hold the other */
	int ready_fd;	   /* of a front that is not ready yet */
	int log_fd, log_w; /* stderr of front and workers, as a daemon */
	struct buf log;
	pid_t front; /* 0: none */
	pid_t workers[WORKERS_MAX];
	size_t nworkers;
	int64_t began_ms;   /* this generation */
	int64_t restart_ms; /* when the next begins; 0: not waiting */
	int64_t backoff_ms;
	int64_t kill_ms; /* when what is left of it is killed; 0 never */
	bool ready;	 /* a front was, once */
	int stop_sig;	 /* why we end; 0: we do not */
};

/*** Start ***/

/*
 * Two locks on one file. Workers inherit the first: until the last one has
 * done what a dead broker's front asked of it, nobody else begins. The second
 * is the broker's alone and says whether there is one, and which.
 */
static int
wait_lock(const struct broker *b, const char *path)
{
	struct flock own = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct timespec ts = { .tv_nsec = 20000000 };
	int64_t until = clock_ms() + LOCK_WAIT_MS;

	while (flock(b->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (fcntl(b->lock_fd, F_GETLK, &own) == 0 &&
		    own.l_type != F_UNLCK) {
			log_warnx("%s: already running: pid %ld",
			    b->cfg->run_dir, (long)own.l_pid);
			return -1;
		}
		if (clock_ms() > until) {
			log_warnx(
			    "%s: a worker of a dead broker holds it", path);
			return -1;
		}
		own.l_type = F_WRLCK;
		(void)nanosleep(&ts, NULL);
	}
	own.l_type = F_WRLCK;
	if (fcntl(b->lock_fd, F_SETLK, &own) < 0) {
		log_warn("%s", path);
		return -1;
	}
	return 0;
}

static int
take_lock(struct broker *b)
{
	cleanup_free char *path = xasprintf("%s/broker.lock", b->cfg->run_dir);
	char text[32];

	b->lock_fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b->lock_fd < 0) {
		log_warn("%s", path);
		return -1;
	}
	if (wait_lock(b, path) < 0)
		return -1;
	(void)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(b->lock_fd, 0) < 0 ||
	    pwrite(b->lock_fd, text, strlen(text), 0) < 0)
		log_warn("%s", path);
	return 0;
}

/* root:front 1775, sticky: the front can add entries, not move ours. */
static int
make_dir(const struct broker *b, const char *path)
{
	cleanup_fd int fd = -1;

	if ((mkdir(path, 0755) < 0 && errno != EEXIST) ||
	    (fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC)) < 0 ||
	    fchown(fd, geteuid(), b->ids.gid) < 0 || fchmod(fd, 01775) < 0) {
		log_warn("%s", path);
		return -1;
	}
	return 0;
}

/*
 * It is the front's: with O_CREAT nobody, root neither, opens another's file
 * in a directory like this where fs.protected_regular is 2. A second link to
 * it may be to any file of the host's.
 */
static int
make_front_lock(const struct broker *b)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
	cleanup_free char *path = xasprintf("%s/front.lock", b->cfg->run_dir);
	cleanup_fd int fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	struct stat st;

	if (fd < 0 && errno == EEXIST)
		fd = open(path, flags);
	if (fd < 0 || fstat(fd, &st) < 0) {
		log_warn("%s", path);
		return -1;
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
		log_warnx("%s: not a file of ours", path);
		return -1;
	}
	if (fchown(fd, b->ids.uid, b->ids.gid) < 0) {
		log_warn("%s", path);
		return -1;
	}
	return 0;
}

static void
fill_env(struct broker *b)
{
	b->env = (struct rt_env){
		.run_dir = b->cfg->run_dir,
		.data_dir = b->cfg->data_dir,
		.cgroup = b->cfg->cgroup,
		.agent_path = b->cfg->agent,
		.id_first = b->cfg->id_first,
		.id_count = b->cfg->id_count,
		.front_uid = b->ids.uid,
		.front_gid = b->ids.gid,
	};
}

static int
take_signals(struct broker *b)
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaddset(&set, sigs[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    (b->sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
		log_warn("signals");
		return -1;
	}
	return 0;
}

static int
open_fds(struct broker *b)
{
	int p[2];

	b->host_mnt_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (b->host_mnt_fd < 0 || pipe2(b->lifeline, O_CLOEXEC) < 0) {
		log_warn("start");
		return -1;
	}
	if (b->o.foreground)
		return 0;
	if (pipe2(p, O_CLOEXEC) < 0) {
		log_warn("start");
		return -1;
	}
	b->log_fd = p[0];
	b->log_w = p[1];
	(void)fd_nonblock(b->log_fd, 1);
	return 0;
}

static int
prepare(struct broker *b)
{
	struct err e;

	(void)umask(022);
	if (front_ids_find(b->cfg, &b->ids, &e) < 0) {
		log_warnx("%s", e.text);
		return -1;
	}
	if (make_dir(b, b->cfg->run_dir) < 0 || take_lock(b) < 0 ||
	    make_dir(b, b->cfg->data_dir) < 0 || make_front_lock(b) < 0 ||
	    open_fds(b) < 0)
		return -1;
	/* orphans of the workers, agents among them, are ours to reap */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	fill_env(b);
	if (b->o.rt->init(&b->env, &e) < 0) {
		log_warnx("%s: %s", b->o.rt->name, e.text);
		return -1;
	}
	return take_signals(b);
}

/*** A generation ***/

/* What a worker must not keep: its ends decide who sees an end of file. */
static void
close_fds(const struct broker *b, const int *front_ends, size_t n)
{
	(void)close(b->sig_fd);
	(void)close(b->host_mnt_fd);
	(void)close(b->lifeline[1]);
	if (b->log_fd >= 0)
		(void)close(b->log_fd);
	if (b->o.notify_fd >= 0)
		(void)close(b->o.notify_fd);
	while (n > 0)
		(void)close(front_ends[--n]);
}

_Noreturn static void
be_worker(struct broker *b, int sock, const int *front_ends, size_t n)
{
	struct worker w = {
		.rt = b->o.rt,
		.cfg = b->cfg,
		.config_path = b->o.config_path,
		.sock = sock,
		.lifeline = b->lifeline[0],
	};

	log_init("sbxd: worker", false, b->o.debug);
	proc_title("sbxd: worker");
	(void)setsid(); /* ^C is for the broker alone */
	close_fds(b, front_ends, n);
	if (b->log_w >= 0 &&
	    (dup2(b->log_w, STDOUT_FILENO) < 0 ||
		dup2(b->log_w, STDERR_FILENO) < 0))
		_exit(1);
	worker_run(&w);
	_exit(0);
}

static int
start_worker(struct broker *b, int *front_ends, size_t i)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	front_ends[i] = pair[0];
	if ((pid = fork()) == 0)
		be_worker(b, pair[1], front_ends, i + 1);
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		return -1;
	}
	b->workers[i] = pid;
	b->nworkers = i + 1;
	return 0;
}

/* In the front's child: not in our mount namespace, with every sandbox's
 * disk in it, and not in our session. */
static int
leave_broker(void *arg)
{
	const struct broker *b = arg;

	if (geteuid() == 0 && setns(b->host_mnt_fd, CLONE_NEWNS) < 0)
		return -errno;
	(void)setsid();
	(void)signal(SIGHUP, SIG_IGN); /* until it has a handler */
	return chdir("/") < 0 ? -errno : 0;
}

/* What a configuration was read from, to be read once more. */
static int
text_fd(const struct config *c)
{
	int fd = memfd_create("sbxd.toml", MFD_CLOEXEC);

	if (fd >= 0 && fd_write_full(fd, buf_str(&c->text), c->text.len) < 0)
		close_fd(&fd);
	return fd;
}

static int
start_front(struct broker *b, const int *front_ends, int ready_w)
{
	char count[16], unheld[16];
	const char *argv[10] = { "sbxd: front", "-F", count, "-U", unheld };
	int fds[FRONT_WORKER_FD + WORKERS_MAX] = { -1 };
	struct proc_spec s = {
		.path = "/proc/self/exe",
		.argv = (char *const *)(uintptr_t)argv,
		.fds = fds,
		.nfds = FRONT_WORKER_FD + b->nworkers,
		.prepare = leave_broker,
		.arg = b,
	};
	cleanup_fd int first = text_fd(b->first), now = text_fd(b->cfg);
	size_t i, n = 5;
	int err;

	if (first < 0 || now < 0)
		return -1;
	(void)snprintf(count, sizeof(count), "%zu", b->nworkers);
	(void)snprintf(unheld, sizeof(unheld), "%u", b->o.rt->unheld());
	if (b->o.debug)
		argv[n++] = "-d";
	if (b->o.config_path != NULL) {
		argv[n++] = "-c";
		argv[n++] = b->o.config_path;
	}
	fds[1] = fds[2] = b->log_w >= 0 ? b->log_w : STDERR_FILENO;
	fds[FRONT_READY_FD] = ready_w;
	fds[FRONT_FIRST_FD] = first;
	fds[FRONT_CONFIG_FD] = now;
	for (i = 0; i < b->nworkers; i++)
		fds[FRONT_WORKER_FD + i] = front_ends[i];
	if ((err = proc_spawn(&s, &b->front)) < 0) {
		errno = -err;
		return -1;
	}
	return 0;
}

static void
begin(struct broker *b)
{
	int front_ends[WORKERS_MAX], ready[2] = { -1, -1 };
	size_t want = (size_t)b->cfg->workers, i;

	if (want < 1)
		want = 1;
	if (want > WORKERS_MAX)
		want = WORKERS_MAX;
	b->began_ms = clock_ms();
	b->restart_ms = b->kill_ms = 0;
	b->nworkers = 0;
	for (i = 0; i < want; i++)
		if (start_worker(b, front_ends, i) < 0)
			break;
	if (i < want || pipe2(ready, O_CLOEXEC) < 0 ||
	    start_front(b, front_ends, ready[1]) < 0) {
		log_warn("start front and workers");
		close_fd(&ready[0]);
	}
	close_fd(&ready[1]);
	b->ready_fd = ready[0];
	while (i > 0)
		(void)close(front_ends[--i]);
}

static size_t
workers_alive(const struct broker *b)
{
	size_t i, n = 0;

	for (i = 0; i < b->nworkers; i++)
		n += b->workers[i] != 0;
	return n;
}

static void
kill_all(const struct broker *b)
{
	size_t i;

	if (b->front != 0) {
		log_warnx("front: does not end: killed");
		(void)kill(b->front, SIGKILL);
	}
	for (i = 0; i < b->nworkers; i++)
		if (b->workers[i] != 0 && b->front == 0) {
			log_warnx("worker: does not end: killed");
			(void)kill(b->workers[i], SIGKILL);
		}
}

static const char *
how(int status, char *text, size_t n)
{
	if (WIFSIGNALED(status))
		(void)snprintf(
		    text, n, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		(void)snprintf(text, n, "exited with %d", WEXITSTATUS(status));
	return text;
}

static void
reaped(struct broker *b, pid_t pid, int status)
{
	char text[64];
	size_t i;

	if (pid == b->front) {
		b->front = 0;
		b->kill_ms = clock_ms() + END_WORKER_MS;
		if (b->stop_sig == 0 || status != 0)
			log_warnx("front: %s", how(status, text, sizeof(text)));
		return;
	}
	for (i = 0; i < b->nworkers; i++) {
		if (b->workers[i] != pid)
			continue;
		b->workers[i] = 0;
		if (b->front == 0)
			return;
		if (status != 0) /* 0: it saw the front's end first */
			log_warnx(
			    "worker: %s", how(status, text, sizeof(text)));
		if (b->kill_ms == 0)
			b->kill_ms = clock_ms() + END_FRONT_MS;
		return;
	}
}

static void
reap(struct broker *b)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reaped(b, pid, status);
}

/*** Signals ***/

static void
reload(struct broker *b)
{
	struct config *cfg;
	struct err e;
	size_t i;

	if (config_load(b->o.config_path, config_warn, &cfg, &e) < 0) {
		log_warnx("%s: the old configuration stays", e.text);
		return;
	}
	config_keep(cfg, b->first, config_warn);
	if (b->cfg != b->first)
		config_free(b->cfg);
	b->cfg = cfg;
	/* workers first: they must know an image before they are asked */
	for (i = 0; i < b->nworkers; i++)
		if (b->workers[i] != 0)
			(void)kill(b->workers[i], SIGHUP);
	if (b->front != 0)
		(void)kill(b->front, SIGHUP);
	log_info("configuration read again");
}

static void
stop(struct broker *b, int sig)
{
	b->stop_sig = sig;
	b->kill_ms = clock_ms() + STOP_FRONT_MS;
	if (b->front != 0)
		(void)kill(b->front, sig == SIGUSR1 ? SIGUSR1 : SIGTERM);
}

static void
read_signals(struct broker *b)
{
	struct signalfd_siginfo si;

	while (read(b->sig_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue; /* reaped on every turn */
		if (si.ssi_signo == SIGHUP)
			reload(b);
		else
			stop(b, (int)si.ssi_signo);
	}
}

/*** The log of front and workers, as a daemon ***/

static void
relay_line(const struct broker *b, const char *line)
{
	/* before we are ready stderr is whoever started us */
	if (b->ready)
		log_info("%s", line);
	else
		dprintf(STDERR_FILENO, "%s\n", line);
}

static void
read_log(struct broker *b)
{
	char *p, *nl;
	ssize_t n;

	if (buf_reserve(&b->log, LOG_LINE_MAX, &p) < 0)
		return;
	if ((n = read(b->log_fd, p, LOG_LINE_MAX)) <= 0)
		return;
	buf_grew(&b->log, (size_t)n);
	while (b->log.len != 0) {
		nl = memchr(b->log.data, '\n', b->log.len);
		if (nl == NULL && b->log.len < LOG_LINE_MAX)
			return;
		if (nl != NULL)
			*nl = '\0';
		relay_line(b, b->log.data);
		buf_consume(&b->log,
		    nl == NULL ? b->log.len : (size_t)(nl - b->log.data) + 1);
	}
}

static void
read_ready(struct broker *b)
{
	char c;
	ssize_t n = read(b->ready_fd, &c, 1);
	int err;

	if (n < 0 && errno == EINTR)
		return;
	close_fd(&b->ready_fd);
	if (n != 1 || b->ready)
		return;
	if (b->log_fd >= 0)
		read_log(b); /* warnings of the start are still for stderr */
	b->ready = true;
	if (b->o.notify_fd >= 0)
		(void)fd_write_full(b->o.notify_fd, "r", 1);
	close_fd(&b->o.notify_fd);
	if (!b->o.foreground)
		log_init("sbxd", true, b->o.debug);
	log_info("ready: %s", b->cfg->socket);
	if ((err = notify_ready()) < 0)
		log_warnx("NOTIFY_SOCKET: %s", strerror(-err));
	if (!b->o.foreground) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(fd, STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
		close_fd(&fd);
	}
}

/*** The loop ***/

/* Nothing of the generation is left: true when we end as well. */
static bool
ended(struct broker *b)
{
	int64_t now = clock_ms();

	if (b->restart_ms != 0)
		return b->stop_sig != 0;
	close_fd(&b->ready_fd);
	b->kill_ms = 0;
	if (b->stop_sig != 0 || !b->ready)
		return true;
	if (now - b->began_ms > STEADY_MS || b->backoff_ms == 0)
		b->backoff_ms = BACKOFF_MIN_MS;
	else if ((b->backoff_ms *= 2) > BACKOFF_MAX_MS)
		b->backoff_ms = BACKOFF_MAX_MS;
	b->restart_ms = now + b->backoff_ms;
	return false;
}

static int
timeout_ms(const struct broker *b)
{
	int64_t at = b->restart_ms != 0 ? b->restart_ms : b->kill_ms;
	int64_t left = at - clock_ms();

	if (at == 0)
		return -1;
	return left < 0 ? 0 : (int)left;
}

static void
turn(struct broker *b)
{
	struct pollfd p[3] = {
		{ .fd = b->sig_fd, .events = POLLIN },
		{ .fd = b->ready_fd, .events = POLLIN },
		{ .fd = b->log_fd, .events = POLLIN },
	};

	if (poll(p, 3, timeout_ms(b)) < 0)
		return;
	if (p[2].revents != 0)
		read_log(b);
	if (p[1].revents != 0)
		read_ready(b);
	if (p[0].revents != 0)
		read_signals(b);
	reap(b);
	if (b->restart_ms != 0 && clock_ms() >= b->restart_ms &&
	    b->stop_sig == 0)
		begin(b);
	if (b->kill_ms != 0 && clock_ms() >= b->kill_ms) {
		kill_all(b);
		b->kill_ms = clock_ms() + END_WORKER_MS;
	}
}

/* What a front that did not end well has left running. */
struct sweep {
	const struct runtime *rt;
	size_t n; /* instances there are */
};

static int
stop_one(const struct rt_info *info, void *arg)
{
	struct sweep *s = arg;
	struct rt_info after;
	struct err e;

	s->n++;
	if (info->state != RT_DOWN && s->rt->stop(info->id, &after, &e) < 0)
		log_warnx("sandbox %s: stop: %s", info->id, e.text);
	return 0;
}

/* From the mount namespace in which init began. */
static void
undo(const struct broker *b)
{
	struct err e;

	if (geteuid() == 0 && setns(b->host_mnt_fd, CLONE_NEWNS) < 0)
		log_warn("clean up");
	else if (b->o.undo(&b->env, &e) < 0)
		log_warnx("%s: clean up: %s", b->o.rt->name, e.text);
}

/* A stopped sandbox needs what init made: its disk is mounted there. */
static void
sweep(struct broker *b)
{
	struct sweep s = { .rt = b->o.rt };
	struct err e;

	if (b->o.rt->list(stop_one, &s, &e) < 0)
		log_warnx("stop sandboxes: %s", e.text);
	else if (s.n == 0)
		undo(b);
}

int
broker_run(const struct broker_opts *o)
{
	struct broker b = {
		.o = *o,
		.cfg = o->cfg,
		.first = o->cfg,
		.lock_fd = -1,
		.sig_fd = -1,
		.host_mnt_fd = -1,
		.lifeline = { -1, -1 },
		.ready_fd = -1,
		.log_fd = -1,
		.log_w = -1,
	};
	struct err e;

	proc_title("sbxd: broker");
	if (prepare(&b) < 0)
		return 1;
	if (b.cfg->compat_socket &&
	    compat_link(COMPAT_DIR, b.cfg->socket, &e) < 0)
		log_warnx("%s", e.text);
	begin(&b);
	do
		turn(&b);
	while (b.front != 0 || workers_alive(&b) != 0 || !ended(&b));
	if (b.log_fd >= 0)
		read_log(&b);
	if (b.stop_sig == SIGTERM || b.stop_sig == SIGINT)
		sweep(&b);
	if (b.cfg->compat_socket)
		compat_unlink(COMPAT_DIR, b.cfg->socket);
	buf_done(&b.log);
	if (b.cfg != b.first)
		config_free(b.cfg);
	config_free(b.first);
	if (b.stop_sig == 0)
		log_warnx("the front did not start");
	return b.stop_sig == 0;
}
