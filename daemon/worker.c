#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/brokerproto.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define FDNUM_MAX (1 << 20)

#define ID_PREFIX "sbx-"
#define ID_HEX 32

/* What goes back: the packet, and descriptors that are closed once sent. */
struct answer {
	struct broker_rep rep;
	int fds[RT_TREES_MAX];
	size_t nfds;
};

static_assert(RT_SOCKETS <= RT_TREES_MAX, "fds of an answer");

struct op {
	const char *name;
	bool id;
	bool (*check)(const struct worker *w, const struct broker_req *q);
	int (*run)(struct worker *w, const struct broker_req *q,
	    struct answer *a, struct err *e);
};

static volatile sig_atomic_t reload_asked;

/*** Checks ***/

static bool
text_ok(const char *s, size_t room)
{
	return memchr(s, '\0', room) != NULL;
}

static bool
all_of(const char *s, size_t n, const char *set)
{
	return strspn(s, set) >= n;
}

/* "sbx-", perhaps letters, digits and '-' of a node, then 32 hex digits. */
static bool
id_ok(const char *id)
{
	static const char hex[] = "0123456789abcdef";
	static const char node[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";
	size_t n = strlen(id), head = sizeof(ID_PREFIX) - 1;

	return n >= head + ID_HEX && strncmp(id, ID_PREFIX, head) == 0 &&
	    all_of(id + head, n - head - ID_HEX, node) &&
	    all_of(id + n - ID_HEX, ID_HEX, hex);
}

static bool
hostname_ok(const char *s)
{
	static const char set[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-";

	return all_of(s, strlen(s), set);
}

static bool
in_range(int64_t n, int64_t max)
{
	return n >= 0 && n <= max;
}

static bool
limits_ok(const struct rt_limits *l)
{
	return in_range(l->memory_bytes, RT_BYTES_MAX) &&
	    in_range(l->storage_bytes, RT_BYTES_MAX) &&
	    in_range(l->cpu_milli, RT_MILLI_MAX) &&
	    in_range(l->pids, RT_PIDS_MAX);
}

static bool
check_create(const struct worker *w, const struct broker_req *q)
{
	return limits_ok(&q->limits) && config_image(w->cfg, q->name) != NULL;
}

static bool
check_claim(const struct worker *w, const struct broker_req *q)
{
	(void)w;
	return limits_ok(&q->limits) && hostname_ok(q->name);
}

static bool
check_flag(const struct worker *w, const struct broker_req *q)
{
	(void)w;
	return q->flag <= 1;
}

static bool
check_stream(const struct worker *w, const struct broker_req *q)
{
	return check_flag(w, q) && q->fdnum >= 0 && q->fdnum < FDNUM_MAX &&
	    q->ino != 0;
}

static bool
check_none(const struct worker *w, const struct broker_req *q)
{
	(void)w;
	(void)q;
	return true;
}

/*** Requests ***/

static int
run_create(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	struct rt_spec spec = {
		.id = q->id,
		.hostname = q->id,
		.image = &config_image(w->cfg, q->name)->rt,
		.limits = q->limits,
	};

	return w->rt->create(&spec, &a->rep.info, e);
}

static int
run_claim(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	(void)a;
	return w->rt->claim(
	    q->id, *q->name != '\0' ? q->name : NULL, &q->limits, e);
}

static int
run_start(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	return w->rt->start(q->id, &a->rep.info, e);
}

static int
run_stop(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	return w->rt->stop(q->id, &a->rep.info, e);
}

static int
run_destroy(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	(void)a;
	return w->rt->destroy(q->id, e);
}

static int
run_freeze(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	(void)a;
	return w->rt->freeze(q->id, q->flag != 0, e);
}

static int
run_stats(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	return w->rt->stats(q->id, &a->rep.stats, e);
}

static int
run_trees(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	struct rt_tree t[RT_TREES_MAX];
	size_t i, n = RT_TREES_MAX;

	if (w->rt->trees(q->id, t, &n, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		memcpy(
		    a->rep.trees[i].prefix, t[i].prefix, sizeof(t[i].prefix));
		a->rep.trees[i].readonly = t[i].readonly;
		a->fds[i] = t[i].fd;
	}
	a->rep.ntrees = (uint32_t)n;
	a->nfds = n;
	return 0;
}

static int
run_stream(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	const struct rt_stream which = {
		.fdnum = q->fdnum, .ino = q->ino, .writing = q->flag != 0
	};

	if (w->rt->stream(q->id, &which, &a->fds[0], e) < 0)
		return -1;
	a->nfds = 1;
	return 0;
}

static int
run_sockets(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	bool tcp = q->flag != 0;
	size_t n = tcp ? RT_SOCKETS : 1;

	if (w->rt->sockets(
		q->id, tcp ? RT_SOCKET_TCP : RT_SOCKET_DIAG, a->fds, n, e) < 0)
		return -1;
	a->nfds = n;
	return 0;
}

static int
run_files(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	(void)a;
	return w->rt->files(q->id, e);
}

static int
list_one(const struct rt_info *info, void *arg)
{
	const struct worker *w = arg;
	struct broker_rep rep = { .more = 1, .info = *info };

	return fd_send(w->sock, &rep, sizeof(rep), NULL, 0) < 0;
}

static int
run_list(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	(void)q;
	(void)a;
	return w->rt->list(list_one, w, e);
}

/* The broker reads it, then tells every worker and the front. */
static int
run_reload(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	(void)q;
	(void)a;
	if (getppid() != w->broker || kill(w->broker, SIGHUP) < 0)
		return err_set(e, errno, "reload");
	return 0;
}

static const struct op ops[BROKER_OPS] = {
	[BROKER_CREATE] = { "create", true, check_create, run_create },
	[BROKER_CLAIM] = { "claim", true, check_claim, run_claim },
	[BROKER_START] = { "start", true, check_none, run_start },
	[BROKER_STOP] = { "stop", true, check_none, run_stop },
	[BROKER_DESTROY] = { "destroy", true, check_none, run_destroy },
	[BROKER_FREEZE] = { "freeze", true, check_flag, run_freeze },
	[BROKER_STATS] = { "stats", true, check_none, run_stats },
	[BROKER_TREES] = { "trees", true, check_none, run_trees },
	[BROKER_STREAM] = { "stream", true, check_stream, run_stream },
	[BROKER_SOCKETS] = { "sockets", true, check_flag, run_sockets },
	[BROKER_FILES] = { "files", true, check_none, run_files },
	[BROKER_LIST] = { "list", false, check_none, run_list },
	[BROKER_RELOAD] = { "reload", false, check_none, run_reload },
};

static int
run(struct worker *w, const struct broker_req *q, struct answer *a,
    struct err *e)
{
	const struct op *op;

	if (q->op == 0 || q->op >= BROKER_OPS)
		return err_setx(e, ENOSYS, "broker: no request %u", q->op);
	op = &ops[q->op];
	if (!text_ok(q->id, sizeof(q->id)) ||
	    !text_ok(q->name, sizeof(q->name)))
		return err_setx(e, EINVAL, "broker: %s: open text", op->name);
	if (op->id && !id_ok(q->id))
		return err_setx(e, EINVAL, "broker: %s: bad id", op->name);
	if (!op->check(w, q))
		return err_setx(
		    e, EINVAL, "broker: %s: bad argument", op->name);
	return op->run(w, q, a, e);
}

/*** The loop ***/

static void
reload(struct worker *w)
{
	struct config *cfg;
	struct err e;

	reload_asked = 0;
	if (config_load(w->config_path, config_warned, &cfg, &e) < 0)
		return; /* the broker has said it */
	config_free(w->cfg);
	w->cfg = cfg;
}

static int
serve(struct worker *w, const struct broker_req *q, ssize_t len)
{
	struct answer a;
	struct err e;
	ssize_t sent;
	int r;

	memset(&a, 0, sizeof(a));
	if (len != sizeof(*q))
		r = err_setx(&e, EINVAL, "broker: a request of %zd bytes", len);
	else
		r = run(w, q, &a, &e);
	if (r < 0) {
		a.rep.code = e.code;
		(void)str_copy(a.rep.text, e.text, sizeof(a.rep.text));
	}
	sent = fd_send(w->sock, &a.rep, sizeof(a.rep), a.fds, a.nfds);
	fd_close_all(a.fds, a.nfds);
	return sent < 0 ? (int)sent : 0;
}

static void
on_signal(int sig)
{
	if (sig == SIGHUP)
		reload_asked = 1;
}

/*
 * Handlers, not SIG_IGN: an exec resets them, and what a runtime starts has
 * its signals as they should be. The worker ends by its sockets, never in the
 * middle of a request.
 */
static void
set_signals(void)
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD,
		SIGUSR1 };
	struct sigaction sa = { .sa_handler = on_signal,
		.sa_flags = SA_RESTART };
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		(void)sigaction(sigs[i], &sa, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Waits for a request and reaps meanwhile; -1 when front or broker is gone.
 * SIGCHLD is blocked between the reaping and ppoll, so that none is missed,
 * and only there, since children would inherit that.
 */
static int
wait_request(const struct worker *w)
{
	struct pollfd p[2] = {
		{ .fd = w->sock, .events = POLLIN },
		{ .fd = w->lifeline, .events = POLLIN },
	};
	sigset_t chld, old;
	int n;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &chld, &old);
	do {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		n = ppoll(p, 2, NULL, &old);
	} while (n < 0 && errno == EINTR);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (n < 0 || p[1].revents != 0)
		return -1;
	return 0;
}

void
worker_run(struct worker *w)
{
	struct {
		struct broker_req q;
		char more; /* a longer packet is not cut to a good one */
	} in;
	ssize_t n;

	set_signals();
	w->broker = getppid();
	while (wait_request(w) == 0) {
		/* a descriptor in a request is refused and closed */
		n = fd_recv(w->sock, &in, sizeof(in), NULL, NULL);
		if (n == 0 || (n < 0 && n != -EPROTO))
			return;
		if (reload_asked)
			reload(w);
		if (serve(w, &in.q, n) < 0)
			return;
	}
}
