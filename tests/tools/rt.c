/*
 * rt - drives the native runtime by lines, for tests: no daemon around it.
 *
 *	rt RUN_DIR DATA_DIR CGROUP AGENT ID_FIRST ID_COUNT [undo|check]
 *
 * One answer a request: "ok", what it returns, or "err ERRNO SENTENCE".
 * `fork` makes a new process that serves the lines which follow, as the
 * broker makes workers.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/sockdiag.h"
#include "lib/words.h"
#include "runtimes/native.h"
#include "runtimes/runtime.h"

static const struct runtime *rt = &runtime_native;

static int64_t
number(const struct words *w, size_t i, int64_t otherwise)
{
	return i < w->n ? strtoll(w->w[i], NULL, 0) : otherwise;
}

static int
answer(int rc, const struct err *e)
{
	if (rc < 0)
		printf("err %d %s\n", e->code, e->text);
	else
		printf("ok\n");
	return rc;
}

static void
show(const struct rt_info *i)
{
	static const char *const states[] = { "down", "up", "dead" };

	printf("ok %s %s pid=%d base=%" PRIu32 " run=%" PRIu32 "\n", i->id,
	    i->lost ? "lost" : states[i->state], (int)i->pid, i->id_base,
	    i->run);
}

static struct rt_limits
limits_of(const struct words *w, size_t i)
{
	return (struct rt_limits){
		.memory_bytes = number(w, i, 256 << 20),
		.cpu_milli = number(w, i + 1, 0),
		.pids = number(w, i + 2, 256),
		.storage_bytes = number(w, i + 3, 64 << 20),
	};
}

/* create ID KIND PATH [MEMORY CPU PIDS STORAGE] */
static void
do_create(const struct words *w)
{
	struct rt_image image = {
		.name = "test", .kind = w->w[2], .path = w->w[3]
	};
	struct rt_spec spec = { .id = w->w[1],
		.hostname = w->w[1],
		.image = &image,
		.limits = limits_of(w, 4) };
	struct rt_info info;
	struct err e;

	if (rt->create(&spec, &info, &e) < 0)
		answer(-1, &e);
	else
		show(&info);
}

/* claim ID HOSTNAME [limits] */
static void
do_claim(const struct words *w)
{
	struct rt_limits l = limits_of(w, 3);
	struct err e;

	answer(rt->claim(w->w[1], w->w[2], &l, &e), &e);
}

static void
do_start(const struct words *w)
{
	struct rt_info info;
	struct err e;

	if (rt->start(w->w[1], &info, &e) < 0)
		answer(-1, &e);
	else
		show(&info);
}

static void
do_stop(const struct words *w)
{
	struct rt_info info;
	struct err e;

	if (rt->stop(w->w[1], &info, &e) < 0)
		answer(-1, &e);
	else
		show(&info);
}

static void
do_destroy(const struct words *w)
{
	struct err e;

	answer(rt->destroy(w->w[1], &e), &e);
}

static void
do_files(const struct words *w)
{
	struct err e;

	answer(rt->files(w->w[1], &e), &e);
}

static void
do_freeze(const struct words *w)
{
	struct err e;

	answer(rt->freeze(w->w[1], number(w, 2, 1) != 0, &e), &e);
}

static void
do_stats(const struct words *w)
{
	struct rt_stats s;
	struct err e;

	if (rt->stats(w->w[1], &s, &e) < 0) {
		answer(-1, &e);
		return;
	}
	printf("ok cpu=%" PRIu64 " memory=%" PRIu64 " peak=%" PRIu64
	       " memory_limit=%" PRIu64 " pids=%" PRIu64 " pids_limit=%" PRIu64
	       " rx=%" PRIu64 " tx=%" PRIu64 " disk=%" PRIu64
	       " disk_limit=%" PRIu64 "\n",
	    s.cpu_usec, s.memory_bytes, s.memory_peak, s.memory_limit, s.pids,
	    s.pids_limit, s.net_rx, s.net_tx, s.disk_bytes, s.disk_limit);
}

/* trees ID: each with the device and inode of its directory. */
static void
do_trees(const struct words *w)
{
	struct rt_tree t[RT_TREES_MAX];
	size_t i, n = RT_TREES_MAX;
	struct stat st;
	struct err e;

	if (rt->trees(w->w[1], t, &n, &e) < 0) {
		answer(-1, &e);
		return;
	}
	printf("ok");
	for (i = 0; i < n; i++) {
		if (fstat(t[i].fd, &st) < 0)
			st.st_ino = 0;
		printf(" %s:%d:%u:%o", t[i].prefix, t[i].readonly,
		    (unsigned)st.st_uid, (unsigned)st.st_mode);
		(void)close(t[i].fd);
	}
	printf("\n");
}

/* put ID PATH TEXT, get ID PATH: a file, made with an id of the range. */
static void
do_put(const struct words *w)
{
	struct rt_tree t[RT_TREES_MAX];
	size_t i, n = RT_TREES_MAX;
	char text[4096] = "";
	bool put = strcmp(w->w[0], "put") == 0;
	struct stat st;
	struct err e;
	ssize_t got;
	int fd;

	if (rt->trees(w->w[1], t, &n, &e) < 0) {
		answer(-1, &e);
		return;
	}
	if (fstat(t[0].fd, &st) == 0) {
		(void)setfsuid(st.st_uid);
		(void)setfsgid(st.st_gid);
	}
	fd = fd_open_beneath(t[0].fd, w->w[2],
	    put ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0644);
	got = fd < 0 ? fd
	    : put    ? fd_write_full(fd, w->w[3], strlen(w->w[3]))
		     : fd_read_full(fd, text, sizeof(text) - 1);
	(void)setfsuid(0);
	(void)setfsgid(0);
	if (fd >= 0)
		(void)close(fd);
	for (i = 0; i < n; i++)
		(void)close(t[i].fd);
	if (got < 0)
		printf("err %d %s\n", (int)-got, w->w[2]);
	else
		printf("ok %.*s\n", (int)strcspn(text, "\n"), text);
}

/* stream ID FD INO r|w: a byte is read or written. */
static void
do_stream(const struct words *w)
{
	const struct rt_stream which = { .fdnum = (int)number(w, 2, 0),
		.ino = (uint64_t)number(w, 3, 0),
		.writing = *w->w[4] == 'w' };
	struct err e;
	char c = 'x';
	int fd;

	if (rt->stream(w->w[1], &which, &fd, &e) < 0) {
		answer(-1, &e);
		return;
	}
	if (which.writing ? write(fd, &c, 1) == 1 : read(fd, &c, 1) == 1)
		printf("ok %c\n", c);
	else
		printf("err %d byte\n", errno);
	(void)close(fd);
}

/* listen ID: the ports that are listened on, in order, and whether a socket of
 * its network can be connected to the first. */
static void
do_listen(const struct words *w)
{
	static struct listener l[SOCKDIAG_MAX];
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	int fds[RT_SOCKETS], diag, n, i;
	struct err e;

	if (rt->sockets(w->w[1], RT_SOCKET_DIAG, &diag, 1, &e) < 0 ||
	    rt->sockets(w->w[1], RT_SOCKET_TCP, fds, RT_SOCKETS, &e) < 0) {
		answer(-1, &e);
		return;
	}
	n = sockdiag_listeners(diag, l);
	printf("ok");
	for (i = 0; i < n; i++)
		printf(" %u", l[i].port);
	if (n > 0) {
		to.sin6_port = htons(l[0].port);
		to.sin6_addr = l[0].addr;
		i = connect(fds[0], (struct sockaddr *)&to, sizeof(to));
		printf(" %s", i == 0 || errno == EINPROGRESS ? "reached" : "-");
	}
	printf("\n");
	(void)close(diag);
	for (i = 0; i < RT_SOCKETS; i++)
		(void)close(fds[i]);
}

static int
list_one(const struct rt_info *info, void *arg)
{
	(void)arg;
	show(info);
	return 0;
}

static void
do_list(const struct words *w)
{
	struct err e;

	(void)w;
	answer(rt->list(list_one, NULL, &e), &e);
}

static void
do_fork(const struct words *w)
{
	pid_t pid;

	(void)w;
	if ((pid = fork()) == 0)
		return;
	printf("ok %d\n", (int)pid);
	(void)fflush(stdout);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	exit(0);
}

static const struct {
	const char *name;
	size_t words;
	void (*run)(const struct words *w);
} commands[] = {
	{ "create", 4, do_create },
	{ "claim", 3, do_claim },
	{ "start", 2, do_start },
	{ "stop", 2, do_stop },
	{ "destroy", 2, do_destroy },
	{ "files", 2, do_files },
	{ "freeze", 3, do_freeze },
	{ "stats", 2, do_stats },
	{ "trees", 2, do_trees },
	{ "put", 4, do_put },
	{ "get", 3, do_put },
	{ "stream", 5, do_stream },
	{ "listen", 2, do_listen },
	{ "list", 1, do_list },
	{ "fork", 1, do_fork },
};

static void
serve(const char *line, size_t len)
{
	cleanup_words struct words w = { 0 };
	struct err e;
	size_t i;

	if (words_split(&w, line, len, &e) < 0) {
		answer(-1, &e);
		return;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (w.n >= commands[i].words &&
		    strcmp(w.w[0], commands[i].name) == 0) {
			commands[i].run(&w);
			(void)fflush(stdout);
			return;
		}
	printf("err 22 what?\n");
	(void)fflush(stdout);
}

static int
check(const struct rt_env *env)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct err e;
	int rc = rt->probe(env, &b, &e);

	fputs(buf_str(&b), stdout);
	return answer(rc, &e) < 0;
}

int
main(int argc, char **argv)
{
	struct rt_env env;
	struct err e;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (argc < 7)
		return 2;
	env = (struct rt_env){
		.run_dir = argv[1],
		.data_dir = argv[2],
		.cgroup = argv[3],
		.agent_path = argv[4],
		.id_first = strtoll(argv[5], NULL, 0),
		.id_count = strtoll(argv[6], NULL, 0),
		.front_uid = 65534,
		.front_gid = 65534,
	};
	if (argc > 7 && strcmp(argv[7], "undo") == 0)
		return answer(native_undo(&env, &e), &e) < 0;
	if (argc > 7 && strcmp(argv[7], "check") == 0)
		return check(&env);
	if (answer(rt->init(&env, &e), &e) < 0)
		return 1;
	(void)fflush(stdout);
	while ((n = getline(&line, &room, stdin)) > 0) {
		serve(line, (size_t)n - (line[n - 1] == '\n'));
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	free(line);
	return 0;
}
