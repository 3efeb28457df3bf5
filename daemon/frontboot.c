#include "daemon/frontboot.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/frontmain.h"
#include "lib/fd.h"
#include "lib/jail.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/size.h"

/* A job holds two pipes, a client a socket, a sandbox a socket. */
#define FRONT_NOFILE 262144

#define ALL (~(uint32_t)0)

/* What the front may ask the kernel: no exec, no fork, no other process. */
static const struct jail_call front_calls[] = {
	JAIL_THREADS,
	/* bytes and descriptors */
	JAIL_CALL(read), JAIL_CALL(readv), JAIL_CALL(pread64),
	JAIL_CALL(preadv), JAIL_CALL(preadv2), JAIL_CALL(write),
	JAIL_CALL(writev), JAIL_CALL(pwrite64), JAIL_CALL(pwritev),
	JAIL_CALL(pwritev2), JAIL_CALL(lseek), JAIL_CALL(close),
	JAIL_CALL(close_range), JAIL_CALL(dup), JAIL_CALL(dup3),
	JAIL_CALL(fcntl), JAIL_CALL(pipe2), JAIL_CALL(eventfd2),
	JAIL_CALL(splice), JAIL_CALL(tee), JAIL_CALL(sendfile),
	JAIL_CALL(copy_file_range), JAIL_CALL(memfd_create),
	JAIL_CALL_IF(ioctl, 1, ALL, FIONBIO),
	JAIL_CALL_IF(ioctl, 1, ALL, FIONREAD),
	JAIL_CALL_IF(ioctl, 1, ALL, FIOCLEX),
	JAIL_CALL_IF(ioctl, 1, ALL, TCGETS),
	/* files: the store, the spools, the events */
	JAIL_CALL(openat), JAIL_CALL(openat2), JAIL_CALL(newfstatat),
	JAIL_CALL(fstat), JAIL_CALL(statx), JAIL_CALL(fstatfs),
	JAIL_CALL(statfs), JAIL_CALL(faccessat), JAIL_CALL(faccessat2),
	JAIL_CALL(readlinkat), JAIL_CALL(getdents64), JAIL_CALL(mkdirat),
	JAIL_CALL(unlinkat), JAIL_CALL(renameat2), JAIL_CALL(linkat),
	JAIL_CALL(ftruncate), JAIL_CALL(fallocate), JAIL_CALL(fsync),
	JAIL_CALL(fdatasync), JAIL_CALL(fchmod), JAIL_CALL(fchmodat),
	JAIL_CALL(fchown), JAIL_CALL(fchownat), JAIL_CALL(utimensat),
	JAIL_CALL(flock), JAIL_CALL(fadvise64), JAIL_CALL(getcwd),
	JAIL_CALL(umask),
#if defined(__x86_64__) /* newer architectures have the at calls alone */
	JAIL_CALL(open), JAIL_CALL(stat), JAIL_CALL(lstat), JAIL_CALL(access),
	JAIL_CALL(readlink), JAIL_CALL(mkdir), JAIL_CALL(rmdir),
	JAIL_CALL(unlink), JAIL_CALL(rename), JAIL_CALL(chmod),
	JAIL_CALL(chown), JAIL_CALL(lchown), JAIL_CALL(dup2), JAIL_CALL(pipe),
	JAIL_CALL(poll), JAIL_CALL(epoll_create), JAIL_CALL(epoll_wait),
	JAIL_CALL(time), JAIL_CALL(getrlimit),
#endif
	/* sockets: these families and no raw ones */
	JAIL_CALL_IF(socket, 0, ALL, AF_UNIX),
	JAIL_CALL_IF(socket, 0, ALL, AF_INET),
	JAIL_CALL_IF(socket, 0, ALL, AF_INET6),
	JAIL_CALL_IF(socketpair, 0, ALL, AF_UNIX), JAIL_CALL(bind),
	JAIL_CALL(listen), JAIL_CALL(accept), JAIL_CALL(accept4),
	JAIL_CALL(connect), JAIL_CALL(shutdown), JAIL_CALL(getsockname),
	JAIL_CALL(getpeername), JAIL_CALL(getsockopt), JAIL_CALL(setsockopt),
	JAIL_CALL(sendto), JAIL_CALL(recvfrom), JAIL_CALL(sendmsg),
	JAIL_CALL(recvmsg), JAIL_CALL(sendmmsg), JAIL_CALL(recvmmsg),
	/* the loop */
	JAIL_CALL(ppoll), JAIL_CALL(epoll_create1), JAIL_CALL(epoll_ctl),
	JAIL_CALL(epoll_pwait), JAIL_CALL(epoll_pwait2),
	JAIL_CALL(timerfd_create), JAIL_CALL(timerfd_settime),
	JAIL_CALL(signalfd4), JAIL_CALL(inotify_init1),
	JAIL_CALL(inotify_add_watch), JAIL_CALL(inotify_rm_watch),
	JAIL_CALL(clock_getres), JAIL_CALL(clock_nanosleep),
	JAIL_CALL(nanosleep), JAIL_CALL(gettimeofday),
	/* signals; of ours only */
	JAIL_CALL(rt_sigpending), JAIL_CALL(sigaltstack),
	/* memory, threads (libuv's pool), limits */
	JAIL_CALL(msync), JAIL_CALL(mlock), JAIL_CALL(munlock),
	JAIL_CALL(sched_yield), JAIL_CALL(sched_getaffinity),
	JAIL_CALL(sched_getparam), JAIL_CALL(sched_getscheduler),
	JAIL_CALL(getrusage), JAIL_CALL(prlimit64), JAIL_CALL(sysinfo),
	JAIL_CALL(uname),
	/* who we are */
	JAIL_CALL(getppid), JAIL_CALL(getuid), JAIL_CALL(geteuid),
	JAIL_CALL(getgid), JAIL_CALL(getegid), JAIL_CALL(getgroups),
	JAIL_CALL_IF(prctl, 0, ALL, 15),	 /* PR_SET_NAME: of threads */
	JAIL_CALL_IF(prctl, 0, ALL, 0x53564d41), /* PR_SET_VMA: malloc names */
};

static int
find_user(const char *name, struct front_ids *ids, struct err *e)
{
	const struct passwd *pw;
	int64_t n;

	if (int_parse(name, 0, UINT32_MAX - 1, &n) == 0) {
		pw = getpwuid((uid_t)n);
		ids->uid = (uid_t)n;
		ids->gid = pw != NULL ? pw->pw_gid : (gid_t)n;
	} else if ((pw = getpwnam(name)) != NULL) {
		ids->uid = pw->pw_uid;
		ids->gid = pw->pw_gid;
	} else {
		return err_setx(
		    e, ENOENT, "server.user: there is no user %s", name);
	}
	if (ids->uid == 0)
		return err_setx(
		    e, EINVAL, "server.user: the front must not run as root");
	return 0;
}

static int
find_group(const char *name, struct front_ids *ids, struct err *e)
{
	const struct group *gr;
	int64_t n;

	if (*name == '\0')
		ids->group = ids->gid;
	else if (int_parse(name, 0, UINT32_MAX - 1, &n) == 0)
		ids->group = (gid_t)n;
	else if ((gr = getgrnam(name)) != NULL)
		ids->group = gr->gr_gid;
	else
		return err_setx(
		    e, ENOENT, "server.group: there is no group %s", name);
	return 0;
}

int
front_ids_find(const struct config *cfg, struct front_ids *ret, struct err *e)
{
	struct front_ids ids;

	if (geteuid() != 0) {
		ret->uid = geteuid();
		ret->gid = ret->group = getegid();
		return 0;
	}
	if (find_user(cfg->user, &ids, e) < 0 ||
	    find_group(cfg->group, &ids, e) < 0)
		return -1;
	*ret = ids;
	return 0;
}

static void
raise_nofile(void)
{
	struct rlimit rl = { FRONT_NOFILE, FRONT_NOFILE };

	if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl); /* what there is, then */
}

/* Held until the process ends; the next front waits here for this one. */
static void
take_lock(const char *run_dir)
{
	cleanup_free char *path = xasprintf("%s/front.lock", run_dir);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		fatal("%s", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			fatal("%s", path);
}

static void
drop(const struct front_ids *ids)
{
	gid_t groups[2] = { ids->gid, ids->group };
	int err = 0;

	if (geteuid() == 0)
		err = jail_ids(ids->uid, ids->gid, groups, 2);
	if (err == 0)
		err = jail_hide();
	if (err == 0)
		err = jail_no_new_privs();
	if (err != 0) {
		errno = -err;
		fatal("give up privileges");
	}
}

/* As the broker has it: the first text for what holds until the next start. */
static int
load_config(const char *path, struct config **ret, struct err *e)
{
	struct config *first, *now;
	cleanup_free char *a = xasprintf("/proc/self/fd/%d", FRONT_FIRST_FD);
	cleanup_free char *b = xasprintf("/proc/self/fd/%d", FRONT_CONFIG_FD);

	if (config_load(a, config_warned, &first, e) < 0)
		return -1;
	if (config_load(b, config_warned, &now, e) < 0) {
		config_free(first);
		return -1;
	}
	config_keep(now, first, NULL);
	config_free(first);
	free(now->path);
	now->path = path != NULL ? xstrdup(path) : NULL;
	(void)close(FRONT_FIRST_FD);
	(void)close(FRONT_CONFIG_FD);
	*ret = now;
	return 0;
}

/* Files that may be root's alone. */
static void
load_secrets(struct front_boot *b)
{
	const struct config *c = b->cfg;
	struct err e;

	if (*c->tcp == '\0')
		return;
	if (*c->tls_cert != '\0' &&
	    http_tls_new(c->tls_cert, c->tls_key, &b->tls, &e) < 0)
		fatalx("%s", e.text);
	if (*c->token_file != '\0' &&
	    tokens_load(c->token_file, &b->tokens, &e) < 0)
		fatalx("%s", e.text);
}

int
frontboot_run(const char *path, size_t nworkers)
{
	struct front_boot boot = {
		.nworkers = nworkers,
		.ready_fd = FRONT_READY_FD,
	};
	cleanup_free int *workers = xcalloc(nworkers, sizeof(*workers));
	struct front_ids ids;
	struct err e;
	size_t i;
	int err;

	for (i = 0; i < nworkers; i++)
		workers[i] = FRONT_WORKER_FD + (int)i;
	for (i = FRONT_READY_FD; i < FRONT_WORKER_FD + nworkers; i++)
		(void)fcntl((int)i, F_SETFD, FD_CLOEXEC);
	boot.workers = workers;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077);
	if (load_config(path, &boot.cfg, &e) < 0 ||
	    front_ids_find(boot.cfg, &ids, &e) < 0)
		fatalx("%s", e.text);
	load_secrets(&boot);
	raise_nofile();
	drop(&ids);
	if (boot.cfg->path != NULL && access(boot.cfg->path, R_OK) < 0)
		log_warn("%s: a reload (SIGHUP) will not work: uid %u",
		    boot.cfg->path, (unsigned)ids.uid);
	take_lock(boot.cfg->run_dir);
	err = jail_filter(
	    front_calls, sizeof(front_calls) / sizeof(front_calls[0]));
	if (err < 0) {
		errno = -err;
		fatal("seccomp filter");
	}
	return front_main(&boot);
}
