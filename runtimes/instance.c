#include "runtimes/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "runtimes/disk.h"
#include "runtimes/dirs.h"
#include "runtimes/ids.h"
#include "runtimes/impl.h"
#include "runtimes/keep.h"
#include "runtimes/pid.h"
#include "runtimes/place.h"

void
instance_info(const char *id, const struct record *r, struct rt_info *ret)
{
	struct rt_info info = { .id_base = r->id_base, .run = r->run };
	bool here = strcmp(r->boot, native.boot) == 0;
	cleanup_fd int proc = -1;

	(void)str_copy(info.id, id, sizeof(info.id));
	info.state = RT_DOWN;
	if (r->state == RECORD_UP) {
		proc = here ? pid_open_same(r->pid, r->start) : -ESRCH;
		info.state = proc >= 0 ? RT_UP : RT_DEAD;
		info.pid = proc >= 0 ? r->pid : 0;
	}
	*ret = info;
}

int
instance_up(const char *id, struct record *ret, int *ret_proc, struct err *e)
{
	struct record r;
	int proc;

	if (keep_read(id, &r, e) < 0)
		return -1;
	if (r.state != RECORD_UP || strcmp(r.boot, native.boot) != 0)
		return err_setx(e, ESRCH, "sandbox %s: not running", id);
	if ((proc = pid_open_same(r.pid, r.start)) < 0)
		return err_setx(e, ESRCH, "sandbox %s: has died", id);
	*ret = r;
	*ret_proc = proc;
	return 0;
}

/*** Statistics ***/

/* "  eth0: RBYTES and seven more, TBYTES ...", a line an interface. */
static void
add_net(int proc, struct rt_stats *ret)
{
	char text[8192], *line, *end, name[32];
	uint64_t rx, tx;

	if (fd_read_at(proc, "net/dev", text, sizeof(text)) < 0)
		return;
	for (line = text; *line != '\0'; line = end) {
		end = line + strcspn(line, "\n");
		if (*end != '\0')
			*end++ = '\0';
		if (sscanf(line,
			" %31[^:]: %" SCNu64
			" %*u %*u %*u %*u %*u %*u %*u %" SCNu64,
			name, &rx, &tx) == 3 &&
		    strcmp(name, "lo") != 0) {
			ret->net_rx += rx;
			ret->net_tx += tx;
		}
	}
}

int
instance_stats(const char *id, struct rt_stats *ret, struct err *e)
{
	struct rt_stats s = { 0 };
	cleanup_fd int proc = -1;
	struct record r;
	struct err ignored;

	if (keep_read(id, &r, e) < 0)
		return -1;
	cgroup_stats(&native.cgroups, id, &s);
	s.memory_limit = (uint64_t)r.limits.memory_bytes;
	s.pids_limit = (uint64_t)r.limits.pids;
	disk_usage(id, &s.disk_bytes, &s.disk_limit);
	if (instance_up(id, &r, &proc, &ignored) == 0)
		add_net(proc, &s);
	*ret = s;
	return 0;
}

/*** Trees ***/

static int
open_tmp(int proc)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		    RESOLVE_NO_MAGICLINKS,
	};
	cleanup_fd int root =
	    openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = -1;
	struct statfs fs;

	if (root < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, root, "tmp", &how, sizeof(how));
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	/* before the mount is there, or after it is gone, it is the root's */
	return fs.f_type == TMPFS_MAGIC ? steal_fd(&fd) : -ENOENT;
}

static void
add_tree(struct rt_tree *ret, size_t *n, const char *prefix, int fd)
{
	if (fd < 0)
		return;
	ret[*n] = (struct rt_tree){ .fd = fd,
		.readonly = strcmp(prefix, "/usr") == 0 };
	(void)str_copy(ret[*n].prefix, prefix, sizeof(ret[*n].prefix));
	(*n)++;
}

int
instance_trees(const char *id, struct rt_tree *ret, size_t *n, struct err *e)
{
	cleanup_fd int proc = -1;
	struct record r;
	struct err ignored;
	size_t got = 0;
	int root;

	if (*n < 3)
		return err_setx(e, EINVAL, "trees: no room");
	if (keep_read(id, &r, e) < 0)
		return -1;
	/* after a reboot its disk is mounted by who looks first */
	if (keep_revive(id, &r, e) < 0)
		return -1;
	if ((root = disk_open(id)) < 0)
		return err_set(e, -root, "sandbox %s: root", id);
	add_tree(ret, &got, "/", root);
	if (instance_up(id, &r, &proc, &ignored) == 0)
		add_tree(ret, &got, "/tmp", open_tmp(proc));
	if (strcmp(r.kind, "host") == 0)
		add_tree(ret, &got, "/usr", place_open_usr());
	*n = got;
	return 0;
}

/*** Streams ***/

int
instance_stream(
    const char *id, const struct rt_stream *which, int *ret_fd, struct err *e)
{
	cleanup_fd int proc = -1, at = -1;
	char path[48];
	struct record r;
	struct stat st;
	int fd;

	if (instance_up(id, &r, &proc, e) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "fd/%d", which->fdnum);
	if ((at = openat(proc, path, O_PATH | O_CLOEXEC)) < 0 ||
	    fstat(at, &st) < 0)
		return err_set(
		    e, errno, "sandbox %s: descriptor %d", id, which->fdnum);
	if (!S_ISFIFO(st.st_mode) || st.st_ino != which->ino)
		return err_setx(e, ESTALE,
		    "sandbox %s: descriptor %d is another file now", id,
		    which->fdnum);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	fd = open(path,
	    (which->writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY |
		O_CLOEXEC);
	if (fd < 0)
		return err_set(
		    e, errno, "sandbox %s: descriptor %d", id, which->fdnum);
	*ret_fd = fd;
	return 0;
}

/*** Sockets ***/

static int
make_socket(enum rt_socket what)
{
	const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd;

	switch (what) {
	case RT_SOCKET_DIAG:
		return socket(AF_NETLINK, SOCK_RAW | flags, NETLINK_SOCK_DIAG);
	case RT_SOCKET_TCP:
		break;
	}
	fd = socket(AF_INET6, SOCK_STREAM | flags, 0);
	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, SOCK_STREAM | flags, 0);
	return fd;
}

static int
make_sockets(enum rt_socket what, int *ret_fds, size_t n)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		if ((ret_fds[i] = make_socket(what)) >= 0)
			continue;
		err = -errno;
		fd_close_all(ret_fds, i);
		return err;
	}
	return 0;
}

/* A worker that cannot come back would make the next sandbox's sockets, or
 * the host's, in this one's network: it must not go on. */
int
instance_sockets(
    const char *id, enum rt_socket what, int *ret_fds, size_t n, struct err *e)
{
	cleanup_fd int proc = -1, net = -1;
	struct record r;
	int err;

	if (instance_up(id, &r, &proc, e) < 0)
		return -1;
	if ((net = openat(proc, "ns/net", O_RDONLY | O_CLOEXEC)) < 0 ||
	    setns(net, CLONE_NEWNET) < 0)
		return err_set(e, errno, "sandbox %s: network", id);
	err = make_sockets(what, ret_fds, n);
	if (setns(native.net_ns, CLONE_NEWNET) < 0)
		abort();
	if (err < 0)
		return err_set(e, -err, "sandbox %s: socket", id);
	return 0;
}

/*** List ***/

struct listing {
	int (*each)(const struct rt_info *, void *);
	void *arg;
	char (*left)[RT_ID_MAX]; /* leftovers told already */
	size_t nleft;
	bool ended;
};

static int
list_record(const char *id, void *arg)
{
	struct listing *l = arg;
	struct rt_info info = { .state = RT_DOWN };
	struct record r;
	struct err e;

	(void)str_copy(info.id, id, sizeof(info.id));
	/* a damaged one can still be destroyed */
	if (keep_read(id, &r, &e) == 0)
		instance_info(id, &r, &info);
	else if (e.code == ENOENT)
		return 0;
	l->ended = l->each(&info, l->arg) != 0;
	return l->ended;
}

/* A trace of a sandbox: told unless it has a record. */
static int
list_trace(const char *name, void *arg)
{
	struct listing *l = arg;
	struct rt_info info = { .state = RT_DOWN, .lost = true };
	char id[RT_ID_MAX];
	struct record r;
	struct err e;
	size_t i;

	if (!str_copy(id, name, sizeof(id)))
		return 0;
	id[strcspn(id, ".")] = '\0'; /* ID.sock */
	if (!dirs_is_id(id) || keep_read(id, &r, &e) == 0 || e.code != ENOENT)
		return 0;
	for (i = 0; i < l->nleft; i++)
		if (strcmp(l->left[i], id) == 0)
			return 0;
	l->left = xrealloc(l->left, l->nleft + 1, sizeof(*l->left));
	(void)str_copy(l->left[l->nleft++], id, sizeof(*l->left));
	(void)str_copy(info.id, id, sizeof(info.id));
	l->ended = l->each(&info, l->arg) != 0;
	return l->ended;
}

int
instance_list(
    int (*each)(const struct rt_info *, void *), void *arg, struct err *e)
{
	struct listing l = { .each = each, .arg = arg };
	int rc = keep_each(list_record, &l, e);

	if (rc == 0 && !l.ended)
		rc = ids_each(native.ids_fd, list_trace, &l, e);
	if (rc == 0 && !l.ended)
		rc = dirs_each(native.sandboxes_fd, ".", list_trace, &l, e);
	if (rc == 0 && !l.ended)
		rc = dirs_each(native.disks_fd, ".", list_trace, &l, e);
	if (rc == 0 && !l.ended)
		rc = dirs_each(native.agents_fd, ".", list_trace, &l, e);
	if (rc == 0 && !l.ended)
		rc = cgroup_each(&native.cgroups, list_trace, &l, e);
	free(l.left);
	return rc;
}
