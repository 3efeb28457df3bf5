/*
 * native.c - the native runtime: what happens to an instance, step by step.
 *
 * The record is written before the first thing is made and removed after the
 * last is gone, and destroy needs no record at all: so whatever kills us in
 * between, destroy(id) cleans up, and list names the id.
 */
#include "runtimes/native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "runtimes/dirs.h"
#include "runtimes/disk.h"
#include "runtimes/ids.h"
#include "runtimes/image.h"
#include "runtimes/impl.h"
#include "runtimes/instance.h"
#include "runtimes/keep.h"
#include "runtimes/launch.h"
#include "runtimes/pid.h"
#include "runtimes/place.h"
#include "runtimes/probe.h"

#define DEATH_WAIT_MS 10000

/*** Ending ***/

/* Process 1 is gone only when everything in its pid namespace is. */
static int
kill_agent(const char *id, const struct record *r, struct err *e)
{
	cleanup_fd int fd = -1;
	struct pollfd p = { .events = POLLIN };

	if (strcmp(r->boot, native.boot) != 0 ||
	    (fd = pid_fd_same(r->pid, r->start)) < 0)
		return 0;
	(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	p.fd = fd;
	if (poll(&p, 1, DEATH_WAIT_MS) == 0)
		return err_setx(
		    e, ETIMEDOUT, "sandbox %s: process 1 does not die", id);
	return 0;
}

static int
remove_socket(const char *id, struct err *e)
{
	char name[RT_ID_MAX + 8];

	(void)snprintf(name, sizeof(name), "%s.sock", id);
	if (unlinkat(native.agents_fd, name, 0) < 0 && errno != ENOENT)
		return err_set(e, errno, "agents/%s", name);
	return 0;
}

static int
kill_all(const char *id, const struct record *r, struct err *e)
{
	if (cgroup_kill(&native.cgroups, id, e) < 0 || kill_agent(id, r, e) < 0)
		return -1;
	return remove_socket(id, e);
}

static int
native_destroy(const char *id, struct err *e)
{
	struct record r = { 0 };
	bool known = keep_read(id, &r, e) == 0;

	if (!known && e->code != ENOENT && e->code != EUCLEAN)
		return -1;
	if (kill_all(id, &r, e) < 0 || disk_unmount(id, e) < 0 ||
	    cgroup_remove(&native.cgroups, id, e) < 0 || disk_remove(id, e) < 0)
		return -1;
	if (known && r.boot[0] != '\0'
		? ids_give(native.ids_fd, r.slot, id, e) < 0
		: ids_give_all(native.ids_fd, id, e) < 0)
		return -1;
	return record_remove(native.instances_fd, id, e);
}

static int
native_stop(const char *id, struct rt_info *ret, struct err *e)
{
	struct record r;

	if (keep_read(id, &r, e) < 0)
		return -1;
	if (r.state == RECORD_CREATING)
		return err_setx(e, EBUSY, "sandbox %s: half made", id);
	if (kill_all(id, &r, e) < 0)
		return -1;
	if (r.state != RECORD_DOWN) {
		r.run += r.state == RECORD_UP;
		r.state = RECORD_DOWN;
		r.pid = 0;
		if (keep_write(id, &r, e) < 0)
			return -1;
	}
	instance_info(id, &r, ret);
	return 0;
}

/*** Beginning ***/

/* The process; then the record says so. */
static int
run(const char *id, struct record *r, enum record_state then, struct err *e)
{
	if (launch(id, r, then == RECORD_FILES, e) < 0)
		return -1;
	r->state = then;
	return keep_write(id, r, e);
}

static int
fill_record(const struct rt_spec *spec, struct record *r, struct err *e)
{
	*r = (struct record){
		.state = RECORD_CREATING,
		.limits = spec->limits,
	};
	(void)str_copy(r->boot, native.boot, sizeof(r->boot));
	(void)str_copy(r->kind, spec->image->kind, sizeof(r->kind));
	(void)str_copy(r->hostname,
	    spec->hostname != NULL ? spec->hostname : spec->id,
	    sizeof(r->hostname));
	if (image_layer(spec->image, r->layer, e) < 0 ||
	    ids_take(native.ids_fd, native.env.id_count / ID_RANGE, spec->id,
		&r->slot, e) < 0)
		return -1;
	r->id_base = (uint32_t)native.env.id_first + r->slot * ID_RANGE;
	return 0;
}

/* What a create that was killed has left is in the way of the next one. */
static int
clear_way(const char *id, struct err *e)
{
	struct record r;

	if (!dirs_is_id(id))
		return err_setx(e, EINVAL, "%s: not an id", id);
	if (keep_read(id, &r, e) < 0)
		return e->code == ENOENT ? 0 : native_destroy(id, e);
	if (r.state != RECORD_CREATING)
		return err_set(e, EEXIST, "sandbox %s", id);
	return native_destroy(id, e);
}

static int
native_create(const struct rt_spec *spec, struct rt_info *ret, struct err *e)
{
	struct record r;
	struct err ignored;

	if (clear_way(spec->id, e) < 0)
		return -1;
	if (fill_record(spec, &r, e) < 0 ||
	    record_write(native.instances_fd, spec->id, &r, e) < 0 ||
	    run(spec->id, &r, RECORD_UP, e) < 0) {
		(void)native_destroy(spec->id, &ignored);
		return -1;
	}
	instance_info(spec->id, &r, ret);
	return 0;
}

static int
native_start(const char *id, struct rt_info *ret, struct err *e)
{
	struct record r;
	struct err ignored;

	if (keep_read(id, &r, e) < 0)
		return -1;
	if (r.state == RECORD_CREATING)
		return err_setx(e, EBUSY, "sandbox %s: half made", id);
	instance_info(id, &r, ret);
	if (ret->state == RT_UP)
		return 0;
	if (kill_all(id, &r, e) < 0 || keep_revive(id, &r, e) < 0)
		return -1;
	r.run++;
	if (run(id, &r, RECORD_UP, e) < 0) {
		(void)kill_all(id, &r, &ignored);
		return -1;
	}
	instance_info(id, &r, ret);
	return 0;
}

static int
native_files(const char *id, struct err *e)
{
	cleanup_fd int proc = -1;
	struct record r;
	struct rt_info info;

	if (keep_read(id, &r, e) < 0)
		return -1;
	instance_info(id, &r, &info);
	if (r.state == RECORD_CREATING || info.state == RT_UP)
		return err_setx(e, EBUSY, "sandbox %s: not stopped", id);
	if (r.state == RECORD_FILES &&
	    (proc = pid_open_same(r.pid, r.start)) >= 0)
		return 0;
	if (kill_all(id, &r, e) < 0 || keep_revive(id, &r, e) < 0)
		return -1;
	return run(id, &r, RECORD_FILES, e);
}

/*** Changing ***/

static int
set_hostname(int proc, const char *name)
{
	cleanup_fd int uts = openat(proc, "ns/uts", O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (uts < 0 || setns(uts, CLONE_NEWUTS) < 0)
		return -errno;
	if (sethostname(name, strlen(name)) < 0)
		err = -errno;
	if (setns(native.uts_ns, CLONE_NEWUTS) < 0)
		return -errno;
	return err;
}

static int
native_claim(const char *id, const char *hostname,
    const struct rt_limits *limits, struct err *e)
{
	cleanup_fd int proc = -1;
	struct record r;
	int err;

	if (instance_up(id, &r, &proc, e) < 0 ||
	    disk_resize(id, &r, limits->storage_bytes, e) < 0)
		return -1;
	/* most claims take what the profile has */
	if (memcmp(&r.limits, limits, sizeof(*limits)) != 0 &&
	    cgroup_limit(&native.cgroups, id, limits, e) < 0)
		return -1;
	r.limits = *limits;
	if (hostname != NULL) {
		if ((err = set_hostname(proc, hostname)) < 0)
			return err_set(e, -err, "sandbox %s: host name", id);
		(void)str_copy(r.hostname, hostname, sizeof(r.hostname));
	}
	return keep_update(id, &r, e);
}

static int
native_freeze(const char *id, bool on, struct err *e)
{
	cleanup_fd int proc = -1;
	struct record r;

	if (instance_up(id, &r, &proc, e) < 0)
		return -1;
	return cgroup_freeze(&native.cgroups, id, on, e);
}

/*** Init ***/

struct looking {
	const char *layer;
	bool found;
};

static int
look(const char *id, void *arg)
{
	struct looking *l = arg;
	struct record r;
	struct err e;
	const char *name;

	if (keep_read(id, &r, &e) < 0)
		return 0;
	name = strrchr(r.layer, '/');
	l->found = name != NULL && strcmp(name + 1, l->layer) == 0;
	return l->found;
}

static bool
layer_used(const char *layer)
{
	struct looking l = { layer, false };
	struct err e;

	return keep_each(look, &l, &e) < 0 || l.found;
}

/* Everything under the runtime's feet: namespace, directories, groups. */
static int
enter(const struct rt_env *env, struct err *e)
{
	if (native.entered)
		return 0;
	if (geteuid() != 0)
		return err_setx(e, EPERM, "native sandboxes need root");
	if (env->id_count < ID_RANGE ||
	    env->id_first + env->id_count > (int64_t)UINT32_MAX)
		return err_setx(e, ERANGE, "id_first and id_count: no range");
	/* nothing that we start finds our keys */
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (place_init(env, e) < 0)
		return -1;
	cgroup_find(&native.cgroups, native.env.cgroup, CGROUP_MOUNTINFO);
	if (cgroup_init(&native.cgroups, e) < 0)
		return -1;
	native.entered = true;
	return 0;
}

static int
native_init(const struct rt_env *env, struct err *e)
{
	if (enter(env, e) < 0 || seccomp_compile(&native.filters, e) < 0)
		return -1;
	return image_init(layer_used, e);
}

static int
destroy_one(const struct rt_info *info, void *arg)
{
	struct err *e = arg;
	struct err now;

	if (native_destroy(info->id, &now) < 0)
		*e = now;
	return 0;
}

int
native_undo(const struct rt_env *env, struct err *e)
{
	struct err failed = { 0 };

	if (enter(env, e) < 0 || instance_list(destroy_one, &failed, e) < 0)
		return -1;
	if (failed.code != 0) {
		*e = failed;
		return -1;
	}
	native.entered = false;
	return cgroup_done(&native.cgroups, e) < 0 ? -1 : place_undo(env, e);
}

static unsigned
native_unheld(void)
{
	static const struct {
		enum cgroup_part part;
		unsigned bit;
	} bits[] = {
		{ CGROUP_MEMORY, RT_LIMIT_MEMORY },
		{ CGROUP_CPU, RT_LIMIT_CPU },
		{ CGROUP_PIDS, RT_LIMIT_PIDS },
	};
	unsigned ret = 0;
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (native.cgroups.part[bits[i].part] < 0)
			ret |= bits[i].bit;
	return ret;
}

const struct runtime runtime_native = {
	.name = "native",
	.probe = probe_native,
	.init = native_init,
	.unheld = native_unheld,
	.create = native_create,
	.claim = native_claim,
	.start = native_start,
	.stop = native_stop,
	.destroy = native_destroy,
	.freeze = native_freeze,
	.stats = instance_stats,
	.trees = instance_trees,
	.stream = instance_stream,
	.sockets = instance_sockets,
	.files = native_files,
	.list = instance_list,
};
