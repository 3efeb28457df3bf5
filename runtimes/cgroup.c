#include "runtimes/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "runtimes/dirs.h"

#define LEAF "/p"
#define PERIOD_USEC 100000
#define QUOTA_MIN_USEC 1000
#define EMPTY_WAIT_MS 10000
#define REMOVE_TRIES 200

/*** Our parent groups ***/

/* Version 2 gives a group's children the controllers that it was given. */
static void
enable(const struct cgroups *c, const struct cgroup_tree *t, const char *group)
{
	char path[PATH_MAX + 32], text[32];
	int tree = (int)(t - c->tree);
	size_t i;

	(void)snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group);
	for (i = 0; i < CGROUP_PARTS && t->unified; i++)
		if (i != CGROUP_UNIFIED && c->part[i] == tree) {
			(void)snprintf(text, sizeof(text), "+%s",
			    cgroup_part_name((enum cgroup_part)i));
			(void)fd_write_at(AT_FDCWD, path, text);
		}
}

/* NAME, and what is missing above it: what we do not make is not touched. */
static int
make_parent(struct cgroups *c, struct cgroup_tree *t, struct err *e)
{
	char path[PATH_MAX];
	char *p;

	if (snprintf(path, sizeof(path), "%s/%s", t->path, c->name) >=
	    (int)sizeof(path))
		return err_set(e, ENAMETOOLONG, "cgroup %s", c->name);
	for (p = path + strlen(t->path) + 1; (p = strchr(p, '/')) != NULL;
	     p++) {
		*p = '\0';
		if (mkdir(path, 0755) == 0)
			enable(c, t, path);
		else if (errno != EEXIST)
			return err_set(e, errno, "cgroup %s", path);
		*p = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(e, errno, "cgroup %s", path);
	enable(c, t, path);
	t->fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return t->fd < 0 ? err_set(e, errno, "cgroup %s", path) : 0;
}

int
cgroup_init(struct cgroups *c, struct err *e)
{
	size_t i;

	for (i = 0; i < c->ntrees; i++)
		if (cgroup_tree_used(c, i) &&
		    make_parent(c, &c->tree[i], e) < 0)
			return -1;
	return 0;
}

int
cgroup_done(struct cgroups *c, struct err *e)
{
	char path[PATH_MAX];
	size_t i;
	int rc = 0;

	for (i = 0; i < c->ntrees; i++) {
		(void)snprintf(
		    path, sizeof(path), "%s/%s", c->tree[i].path, c->name);
		close_fd(&c->tree[i].fd);
		if (cgroup_tree_used(c, i) && rmdir(path) < 0 &&
		    errno != ENOENT)
			rc = err_set(e, errno, "cgroup %s", path);
	}
	return rc;
}

/*** A sandbox's groups ***/

struct knob {
	enum cgroup_part part;
	const char *file;
	const char *text;
	bool optional; /* not every kernel has it */
};

static int
turn(const struct cgroups *c, const char *id, const struct knob *k,
    struct err *e)
{
	char path[RT_ID_MAX + 48];
	int t = c->part[k->part], err;

	(void)snprintf(path, sizeof(path), "%s/%s", id, k->file);
	err = fd_write_at(c->tree[t].fd, path, k->text);
	if (err == 0 || (k->optional && err == -ENOENT))
		return 0;
	return err_set(e, -err, "cgroup %s: %s to %s", id, k->file, k->text);
}

static int
turn_all(const struct cgroups *c, const char *id, const struct knob *k,
    struct err *e)
{
	for (; k->file != NULL; k++)
		if (turn(c, id, k, e) < 0)
			return -1;
	return 0;
}

static int
limit_memory(
    const struct cgroups *c, const char *id, int64_t bytes, struct err *e)
{
	bool v2 = c->tree[c->part[CGROUP_MEMORY]].unified;
	char n[32];
	const struct knob two[] = {
		{ CGROUP_MEMORY, "memory.swap.max", "0", true },
		{ CGROUP_MEMORY, "memory.max", n, false },
		/* all of it or nothing: half a sandbox helps nobody */
		{ CGROUP_MEMORY, "memory.oom.group", "1", true },
		{ .file = NULL },
	};
	/* memsw may not be below the other: raising begins with it */
	const struct knob up[] = {
		{ CGROUP_MEMORY, "memory.memsw.limit_in_bytes", n, true },
		{ CGROUP_MEMORY, "memory.limit_in_bytes", n, false },
		{ .file = NULL },
	};
	const struct knob down[] = {
		{ CGROUP_MEMORY, "memory.limit_in_bytes", n, false },
		{ CGROUP_MEMORY, "memory.memsw.limit_in_bytes", n, true },
		{ .file = NULL },
	};

	(void)snprintf(n, sizeof(n), "%lld", (long long)bytes);
	if (bytes == 0)
		(void)str_copy(n, v2 ? "max" : "-1", sizeof(n));
	if (v2)
		return turn_all(c, id, two, e);
	if (turn_all(c, id, down, e) == 0)
		return 0;
	if (e->code == EBUSY)
		return err_setx(
		    e, EBUSY, "memory %s: more than that is in use", n);
	return turn_all(c, id, up, e);
}

static int
limit_cpu(const struct cgroups *c, const char *id, int64_t milli, struct err *e)
{
	bool v2 = c->tree[c->part[CGROUP_CPU]].unified;
	int64_t quota = milli * (PERIOD_USEC / 1000);
	char n[64];
	const struct knob k = { CGROUP_CPU, v2 ? "cpu.max" : "cpu.cfs_quota_us",
		n, false };

	if (quota < QUOTA_MIN_USEC)
		quota = QUOTA_MIN_USEC;
	if (milli == 0)
		(void)str_copy(n, v2 ? "max" : "-1", sizeof(n));
	else if (v2)
		(void)snprintf(
		    n, sizeof(n), "%lld %d", (long long)quota, PERIOD_USEC);
	else
		(void)snprintf(n, sizeof(n), "%lld", (long long)quota);
	return turn(c, id, &k, e);
}

static int
limit_pids(const struct cgroups *c, const char *id, int64_t pids, struct err *e)
{
	char n[32] = "max";
	const struct knob k = { CGROUP_PIDS, "pids.max", n, false };

	if (pids != 0)
		(void)snprintf(n, sizeof(n), "%lld", (long long)pids);
	return turn(c, id, &k, e);
}

int
cgroup_limit(const struct cgroups *c, const char *id, const struct rt_limits *l,
    struct err *e)
{
	static const struct {
		enum cgroup_part part;
		size_t at;
		int (*set)(const struct cgroups *, const char *, int64_t,
		    struct err *);
	} rows[] = {
		{ CGROUP_MEMORY, offsetof(struct rt_limits, memory_bytes),
		    limit_memory },
		{ CGROUP_CPU, offsetof(struct rt_limits, cpu_milli),
		    limit_cpu },
		{ CGROUP_PIDS, offsetof(struct rt_limits, pids), limit_pids },
	};
	int64_t n;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(&n, (const char *)l + rows[i].at, sizeof(n));
		if (c->part[rows[i].part] >= 0 && rows[i].set(c, id, n, e) < 0)
			return -1;
		if (c->part[rows[i].part] < 0 && n != 0)
			return err_setx(e, EOPNOTSUPP,
			    "no cgroup controller %s on this host: "
			    "its limit cannot be held",
			    cgroup_part_name(rows[i].part));
	}
	return 0;
}

static int
make_leaf(const struct cgroup_tree *t, const char *id)
{
	char path[RT_ID_MAX + 8];

	(void)snprintf(path, sizeof(path), "%s" LEAF, id);
	if (mkdirat(t->fd, path, 0755) == 0)
		return 0;
	if (errno != EEXIST || unlinkat(t->fd, path, AT_REMOVEDIR) < 0)
		return -1;
	return mkdirat(t->fd, path, 0755);
}

void
cgroup_close(struct cgroup_entry *entry)
{
	close_fd(&entry->unified);
	while (entry->ntasks > 0)
		close_fd(&entry->tasks[--entry->ntasks]);
}

int
cgroup_begin(const struct cgroups *c, const char *id, bool again,
    struct cgroup_entry *ret, struct err *e)
{
	const struct cgroup_tree *t;
	char path[RT_ID_MAX + 8];

	*ret = (struct cgroup_entry){ .unified = -1 };
	if (c->part[CGROUP_UNIFIED] < 0)
		return 0;
	t = &c->tree[c->part[CGROUP_UNIFIED]];
	(void)snprintf(path, sizeof(path), "%s%s", id, again ? LEAF : "");
	if ((mkdirat(t->fd, id, 0755) < 0 && errno != EEXIST) ||
	    (again && make_leaf(t, id) < 0))
		return err_set(e, errno, "cgroup %s/%s", t->path, id);
	ret->unified = openat(t->fd, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (ret->unified < 0)
		return err_set(e, errno, "cgroup %s/%s", t->path, path);
	return 0;
}

int
cgroup_join(const struct cgroups *c, const char *id, struct cgroup_entry *entry,
    struct err *e)
{
	char path[RT_ID_MAX + 16];
	size_t i;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/tasks", id);
	for (i = 0; i < c->ntrees; i++) {
		const struct cgroup_tree *t = &c->tree[i];

		if (t->fd < 0 || t->unified)
			continue;
		if ((mkdirat(t->fd, id, 0755) < 0 && errno != EEXIST) ||
		    (fd = openat(t->fd, path, O_WRONLY | O_CLOEXEC)) < 0)
			return err_set(e, errno, "cgroup %s/%s", t->path, id);
		entry->tasks[entry->ntasks++] = fd;
	}
	return 0;
}

int
cgroup_freeze(const struct cgroups *c, const char *id, bool on, struct err *e)
{
	const struct knob two = { CGROUP_UNIFIED, "cgroup.freeze",
		on ? "1" : "0", false };
	const struct knob one = { CGROUP_FREEZER, "freezer.state",
		on ? "FROZEN" : "THAWED", false };

	if (c->part[CGROUP_UNIFIED] >= 0)
		return turn(c, id, &two, e);
	if (c->part[CGROUP_FREEZER] >= 0)
		return turn(c, id, &one, e);
	return err_setx(e, EOPNOTSUPP, "no cgroup on this host can freeze");
}

/*** Killing ***/

/* Signals everyone in a group: how many there were, or -errno. The list and
 * its processes are of one moment only: the caller asks again. */
static int
signal_group(int at, const char *id, const char *leaf, int sig)
{
	cleanup_fd int fd = -1;
	char path[RT_ID_MAX + 48], *line = NULL;
	size_t room = 0;
	int n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s%s/cgroup.procs", id, leaf);
	if ((fd = openat(at, path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? 0 : -errno;
	if ((f = fdopen(fd, "r")) == NULL)
		return -errno;
	fd = -1; /* f's */
	while (getline(&line, &room, f) > 0) {
		long pid = strtol(line, NULL, 10);

		/* 0: of another pid namespace, which is not ours to see */
		if (pid > 1)
			(void)kill((pid_t)pid, sig);
		n++;
	}
	free(line);
	(void)fclose(f);
	return n;
}

/* One pass; 0 when all is empty or not there. All groups are entered
 * together: the unified one, whose fork cannot be outrun, knows everybody. */
static int
kill_pass(const struct cgroups *c, const char *id)
{
	const struct knob v2 = { CGROUP_UNIFIED, "cgroup.kill", "1", false };
	int u = c->part[CGROUP_UNIFIED], n, all = 0;
	size_t i;
	struct err e;

	if (u >= 0) {
		(void)turn(c, id, &v2, &e); /* kernels before 5.14 have none */
		n = signal_group(c->tree[u].fd, id, "", SIGKILL);
		all = signal_group(c->tree[u].fd, id, LEAF, SIGKILL);
		return n < 0 ? n : all < 0 ? all : n + all;
	}
	for (i = 0; i < c->ntrees; i++) {
		if (c->tree[i].fd < 0)
			continue;
		if ((n = signal_group(c->tree[i].fd, id, "", SIGKILL)) < 0)
			return n;
		all += n;
	}
	return all;
}

int
cgroup_kill(const struct cgroups *c, const char *id, struct err *e)
{
	struct timespec pause = { .tv_nsec = 200000 };
	int64_t until = clock_ms() + EMPTY_WAIT_MS;
	bool frozen = c->part[CGROUP_FREEZER] >= 0;
	struct err ignored;
	int n;

	while ((n = kill_pass(c, id)) != 0) {
		if (n < 0)
			return err_set(e, -n, "cgroup %s", id);
		if (frozen) /* version 1 keeps the dead frozen */
			(void)cgroup_freeze(c, id, false, &ignored);
		if (clock_ms() > until)
			return err_setx(e, ETIMEDOUT,
			    "sandbox %s: %d processes do not die", id, n);
		(void)nanosleep(&pause, NULL);
		if (pause.tv_nsec < 5000000)
			pause.tv_nsec *= 2;
	}
	return 0;
}

/* A group is busy for a moment after its last process ended. */
static int
remove_group(int at, const char *path)
{
	struct timespec pause = { .tv_nsec = 500000 };
	int tries = 0;

	while (unlinkat(at, path, AT_REMOVEDIR) < 0) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || ++tries == REMOVE_TRIES)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

int
cgroup_remove(const struct cgroups *c, const char *id, struct err *e)
{
	char leaf[RT_ID_MAX + 8];
	size_t i;

	(void)snprintf(leaf, sizeof(leaf), "%s" LEAF, id);
	for (i = 0; i < c->ntrees; i++) {
		const struct cgroup_tree *t = &c->tree[i];

		if (t->fd < 0)
			continue;
		if ((t->unified && remove_group(t->fd, leaf) < 0) ||
		    remove_group(t->fd, id) < 0)
			return err_set(
			    e, errno, "remove cgroup %s/%s", t->path, id);
	}
	return 0;
}

int
cgroup_each(const struct cgroups *c, int (*each)(const char *id, void *arg),
    void *arg, struct err *e)
{
	size_t i;

	for (i = 0; i < c->ntrees; i++)
		if (c->tree[i].fd >= 0 &&
		    dirs_each(c->tree[i].fd, ".", each, arg, e) < 0)
			return -1;
	return 0;
}

/*** Counting ***/

static uint64_t
read_number(const struct cgroups *c, enum cgroup_part part, const char *id,
    const char *file)
{
	char path[RT_ID_MAX + 48], text[64];

	if (c->part[part] < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", id, file);
	if (fd_read_at(c->tree[c->part[part]].fd, path, text, sizeof(text)) < 0)
		return 0;
	return strtoull(text, NULL, 10); /* "max": 0, no limit */
}

static uint64_t
cpu_usec(const struct cgroups *c, const char *id)
{
	static const char key[] = "usage_usec ";
	char path[RT_ID_MAX + 48], text[512], *p;
	int u = c->part[CGROUP_UNIFIED];

	if (u < 0)
		return read_number(c, CGROUP_CPUACCT, id, "cpuacct.usage") /
		    1000;
	(void)snprintf(path, sizeof(path), "%s/cpu.stat", id);
	if (fd_read_at(c->tree[u].fd, path, text, sizeof(text)) < 0 ||
	    (p = strstr(text, key)) == NULL)
		return 0;
	return strtoull(p + sizeof(key) - 1, NULL, 10);
}

/* "8:0 rbytes=1 wbytes=2 rios=...", a line a device. */
static void
add_io(const struct cgroups *c, const char *id, struct rt_stats *ret)
{
	char path[RT_ID_MAX + 48], text[4096], *p;
	int u = c->part[CGROUP_UNIFIED];

	(void)snprintf(path, sizeof(path), "%s/io.stat", id);
	if (u < 0 || fd_read_at(c->tree[u].fd, path, text, sizeof(text)) < 0)
		return;
	for (p = text; (p = strstr(p, "rbytes=")) != NULL; p++)
		ret->io_rbytes += strtoull(p + 7, NULL, 10);
	for (p = text; (p = strstr(p, "wbytes=")) != NULL; p++)
		ret->io_wbytes += strtoull(p + 7, NULL, 10);
}

/* "oom_kill 3", a line of version 2's memory.events, of version 1's
 * memory.oom_control. */
static uint64_t
oom_kills(const struct cgroups *c, const char *id, bool v2)
{
	static const char key[] = "\noom_kill ";
	char path[RT_ID_MAX + 48], text[512], *p;

	if (c->part[CGROUP_MEMORY] < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", id,
	    v2 ? "memory.events" : "memory.oom_control");
	if (fd_read_at(c->tree[c->part[CGROUP_MEMORY]].fd, path, text,
		sizeof(text)) < 0 ||
	    (p = strstr(text, key)) == NULL)
		return 0;
	return strtoull(p + sizeof(key) - 1, NULL, 10);
}

void
cgroup_stats(const struct cgroups *c, const char *id, struct rt_stats *ret)
{
	bool v2 = c->part[CGROUP_MEMORY] >= 0 &&
	    c->tree[c->part[CGROUP_MEMORY]].unified;

	ret->cpu_usec = cpu_usec(c, id);
	ret->memory_bytes = read_number(c, CGROUP_MEMORY, id,
	    v2 ? "memory.current" : "memory.usage_in_bytes");
	ret->memory_peak = read_number(c, CGROUP_MEMORY, id,
	    v2 ? "memory.peak" : "memory.max_usage_in_bytes");
	ret->pids = read_number(c, CGROUP_PIDS, id, "pids.current");
	ret->oom_kills = oom_kills(c, id, v2);
	ret->io_rbytes = ret->io_wbytes = 0;
	add_io(c, id, ret);
}
