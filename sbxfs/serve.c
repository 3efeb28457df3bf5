/*
 * The loop. One thread, which nothing may block: requests of the kernel come
 * in the order in which they were made, so that the RELEASE of a writer is
 * handled before the OPEN of the reader after it. Before each that shows
 * something, all that the front has sent is taken: whatever anybody was told
 * is what the mount shows.
 */
#include "sbxfs/serve.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "sbxfs/fs.h"
#include "sbxfs/impl.h"
#include "sbxfs/kernel.h"
#include "sbxfs/net.h"
#include "sbxfs/ops.h"
#include "sbxfs/park.h"
#include "sbxfs/remote.h"
#include "sbxfs/used.h"
#include "sbxfs/work.h"

#define REQUEST_MAX (KERNEL_IO_MAX + (64u << 10))
#define READY_MS 5000 /* the front is waited for, then we go on without */
#define BATCH 64      /* requests before the others are looked at */
#define TICK_MS 1000
#define LAZY_MS 1000 /* for what the front says and nobody waits for */

/*** What the front says ***/

static void
box_lost(struct sbxfs *s, const char *id)
{
	struct box *b = box_ref(boxes_by_id(&s->boxes, id));
	struct handle *h;

	if (b == NULL)
		return;
	boxes_gone(&s->boxes, id);
	kernel_forget_names(s, NULL);
	park_fail(s, b, ESTALE);
	TAILQ_FOREACH (h, &s->handles, link)
		if (h->node->box == b && h->ops->down != NULL)
			h->ops->down(h, ESTALE);
	box_unref(b);
}

/* Owner or mode of b's directories are others now. */
static void
box_changed(struct sbxfs *s, const struct box *b)
{
	const struct node *n = nodes_find(&s->nodes, s->nodes.root, b->id);
	const struct node *child, *jobs = NULL;
	const char *key;
	json_t *mode;
	size_t i;

	kernel_forget_names(s, NULL);
	if (n == NULL)
		return;
	kernel_forget_attr(s, n);
	for (i = 0; file_row(i) != NULL; i++)
		if (file_row(i)->at == AT_BOX &&
		    (child = nodes_find(&s->nodes, n, file_row(i)->name)) !=
			NULL)
			kernel_forget_attr(s, child);
	jobs = nodes_find(&s->nodes, n, "jobs");
	json_object_foreach (b->modes, key, mode)
		if (jobs != NULL && strncmp(key, "jobs/", 5) == 0 &&
		    (child = nodes_find(&s->nodes, jobs, key + 5)) != NULL)
			kernel_forget_attr(s, child);
}

static void
on_sandbox(struct sbxfs *s, const json_t *params)
{
	const char *id = json_string_value(json_object_get(params, "id"));
	struct box was = { .life = BOX_DEAD }, *b;
	json_t *modes = NULL; /* they were */

	if (id != NULL && (b = boxes_by_id(&s->boxes, id)) != NULL) {
		was = *b;
		modes = json_incref(b->modes);
	}
	b = boxes_update(&s->boxes, params);
	if (b != NULL && s->dial >= 0) {
		b->uid = s->uid;
		b->gid = s->group;
		if (was.run != b->run || strcmp(was.state, b->state) != 0)
			remote_changed(b);
	}
	if (b == NULL)
		log_warnx("files.sock: a sandbox that makes no sense");
	else if (was.life == BOX_LIVE &&
	    (was.uid != b->uid || was.gid != b->gid || was.mode != b->mode ||
		!json_equal(modes, b->modes)))
		box_changed(s, b);
	json_decref(modes);
}

static void
on_gone(struct sbxfs *s, const json_t *params)
{
	const char *id = json_string_value(json_object_get(params, "id"));

	if (id != NULL)
		box_lost(s, id);
}

static void
on_profiles(struct sbxfs *s, const json_t *params)
{
	json_t *names = json_object_get(params, "names"), *name;
	size_t i;

	while (s->nprofiles > 0)
		free(s->profiles[--s->nprofiles]);
	s->profiles = xrealloc(
	    s->profiles, json_array_size(names) + 1, sizeof(*s->profiles));
	json_array_foreach (names, i, name)
		if (json_is_string(name))
			s->profiles[s->nprofiles++] =
			    xstrdup(json_string_value(name));
}

static void
on_top(struct sbxfs *s, const json_t *params)
{
	json_t *modes = json_object_get(params, "modes");
	struct node *n;

	if (!json_is_object(modes))
		return;
	json_decref(s->modes);
	s->modes = json_incref(modes);
	if ((n = nodes_find(&s->nodes, s->nodes.root, "profiles")) != NULL)
		kernel_forget_attr(s, n);
}

static void
on_synced(struct sbxfs *s, const json_t *params)
{
	(void)params;
	boxes_synced(&s->boxes);
	kernel_forget_names(s, NULL);
	s->synced = true;
}

static void
on_job_end(struct sbxfs *s, const json_t *params)
{
	const char *id = json_string_value(json_object_get(params, "id"));

	kernel_forget_names(s, id != NULL ? boxes_by_id(&s->boxes, id) : NULL);
}

static void
to_handles(struct sbxfs *s, const json_t *params, bool ended)
{
	struct handle *h;

	TAILQ_FOREACH (h, &s->handles, link)
		if (h->ops->notice != NULL && h->ops->notice(h, ended, params))
			return;
}

static void
on_grew(struct sbxfs *s, const json_t *params)
{
	to_handles(s, params, false);
}

static void
on_more(struct sbxfs *s, const json_t *params)
{
	int fd = client_take_fd(s->client);
	struct handle *h;

	TAILQ_FOREACH (h, &s->handles, link)
		if (h->ops->more != NULL && h->ops->more(h, params, fd))
			return;
	close_fd(&fd);
}

static void
on_ended(struct sbxfs *s, const json_t *params)
{
	to_handles(s, params, true);
}

static const struct {
	const char *method;
	void (*run)(struct sbxfs *s, const json_t *params);
} notices[] = {
	{ "sandbox", on_sandbox },
	{ "gone", on_gone },
	{ "profiles", on_profiles },
	{ "top", on_top },
	{ "synced", on_synced },
	{ "job.end", on_job_end },
	{ "grew", on_grew },
	{ "room", on_grew },
	{ "file", on_more },
	{ "more", on_more },
	{ "ended", on_ended },
};

static void
front_notice(void *arg, const char *method, const json_t *params)
{
	struct sbxfs *s = arg;
	size_t i;

	s->changes++;
	for (i = 0; i < sizeof(notices) / sizeof(notices[0]); i++)
		if (strcmp(notices[i].method, method) == 0) {
			notices[i].run(s, params);
			return;
		}
}

static void
said_hello(void *arg, const struct reply *r)
{
	struct sbxfs *s = arg;
	json_int_t version = 0, gid = 0, since = 0;

	if (r->error == -EIO)
		return; /* lost again */
	if (r->error != 0 ||
	    json_unpack(r->result, "{s:I,s:I,s:I}", "version", &version, "gid",
		&gid, "since", &since) < 0 ||
	    version != 1) {
		log_warnx("files.sock: the daemon speaks another version");
		return;
	}
	if (s->dial < 0) /* otherwise it is a number of another machine */
		s->group = (gid_t)gid;
	s->since = since;
	kernel_forget_attr(s, s->nodes.root);
}

static void
front_up(void *arg)
{
	struct request rq = { .method = "hello" };
	struct sbxfs *s = arg;
	json_t *held = json_array();
	struct handle *h, *next;

	boxes_begin(&s->boxes);
	rq.params = json_pack("{s:i,s:i,s:i,s:i}", "version", 1, "uid", 0,
	    "gid", 0, "pid", (int)getpid());
	client_call(s->client, &rq, said_hello, s);
	for (h = TAILQ_FIRST(&s->handles); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (new_held(h) != NULL)
			json_array_append_new(held, json_string(new_held(h)));
		if (h->ops->up != NULL)
			h->ops->up(h); /* one that was closed meanwhile goes */
	}
	if (json_array_size(held) != 0)
		client_notify(
		    s->client, "hold", json_pack("{s:O}", "ids", held));
	json_decref(held);
}

static void
front_down(void *arg)
{
	struct sbxfs *s = arg;
	struct handle *h;

	log_info("%s: connection lost", s->dial < 0 ? "files.sock" : NET_TREE);
	TAILQ_FOREACH (h, &s->handles, link)
		if (h->ops->down != NULL)
			h->ops->down(h, EIO);
}

static const struct client_events events = {
	.notice = front_notice,
	.up = front_up,
	.down = front_down,
};

/*** The kernel ***/

/* What is answered with nothing shows nothing. */
static bool
shows(const void *bytes, size_t n)
{
	const struct fuse_in_header *in = bytes;

	if (n < sizeof(*in))
		return true;
	return in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET &&
	    in->opcode != FUSE_RELEASE;
}

static int
handle_one(struct sbxfs *s, char *p)
{
	struct fuse_buf buf = { .mem = p };
	ssize_t n;

	n = read(s->devfd, p, REQUEST_MAX);
	if (n < 0)
		return -errno;
	kernel_saw(s, p, (size_t)n);
	used_note(s, p, (size_t)n);
	if (shows(p, (size_t)n))
		client_drain(s->client);
	if (park_interrupt(s, p, (size_t)n) || park_take(s, p, (size_t)n))
		return 0;
	buf.size = (size_t)n;
	fuse_session_process_buf(s->se, &buf);
	return fuse_session_exited(s->se) ? -ENODEV : 0;
}

/* 0; -ENODEV when it is unmounted. */
static int
handle_requests(struct sbxfs *s, char *p)
{
	int i, r = 0;

	for (i = 0; i < BATCH && r == 0; i++) {
		r = handle_one(s, p);
		/* ENOENT: the request was taken back before we read it. */
		if (r == -EINTR || r == -ENOENT)
			r = 0;
	}
	return r == -EAGAIN ? 0 : r;
}

/*** The loop ***/

static int
signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
taken_signal(int fd)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return 0;
	/* There is no configuration to read again. */
	return si.ssi_signo == SIGHUP ? 0 : (int)si.ssi_signo;
}

struct loop {
	struct sbxfs *s;
	const struct serve_config *cfg;
	char *p; /* a request */
	int sigfd, workfd;
	int64_t started;
	int64_t ticked;
	struct pollfd *pfd;
	size_t npfd;
	bool told; /* cfg->ready was called */
};

static void
tell_ready(struct loop *l)
{
	if (l->told || (!l->s->synced && clock_ms() - l->started < READY_MS))
		return;
	if (!l->s->synced)
		log_warnx("%s: nobody answers yet", l->cfg->socket);
	l->told = true;
	if (l->cfg->ready != NULL)
		l->cfg->ready(l->cfg->arg);
}

/*
 * Whether what the front says matters before the next request, which takes
 * all of it first. While it does not, a sandbox made or destroyed by another
 * door does not wake us: the processor is rather the one's who waits for it.
 */
static bool
prompt(const struct loop *l)
{
	const struct sbxfs *s = l->s;

	return !l->told || s->fs_seen || !TAILQ_EMPTY(&s->handles) ||
	    client_waits(s->client);
}

enum {
	POLL_KERNEL,
	POLL_SIGNALS,
	POLL_FRONT,
	POLL_WORK,
	POLL_AGENTS, /* and what follows: of a remote mount */
};

/* Fills l->pfd: how many. */
static size_t
wait_for(struct loop *l, bool now)
{
	const struct client *c = l->s->client;
	const struct pollfd first[POLL_AGENTS] = {
		[POLL_KERNEL] = { .fd = l->s->devfd, .events = POLLIN },
		[POLL_SIGNALS] = { .fd = l->sigfd, .events = POLLIN },
		[POLL_FRONT] = { .fd = client_fd(c),
		    .events = (short)((now ? POLLIN : POLLRDHUP) |
			(client_wants_write(c) ? POLLOUT : 0)) },
		[POLL_WORK] = { .fd = l->workfd, .events = POLLIN },
	};
	size_t n = remote_count(l->s);

	if (l->npfd < POLL_AGENTS + n) {
		l->npfd = POLL_AGENTS + n + 16;
		l->pfd = xrealloc(l->pfd, l->npfd, sizeof(*l->pfd));
	}
	memcpy(l->pfd, first, sizeof(first));
	remote_poll(l->s, l->pfd + POLL_AGENTS);
	return POLL_AGENTS + n;
}

/* What agents say, and once a second what they do not say. */
static void
look_at_agents(struct loop *l, size_t n)
{
	size_t i;

	for (i = POLL_AGENTS; i < n; i++)
		if (l->pfd[i].revents != 0) {
			remote_polled(l->s);
			break;
		}
	if (clock_ms() - l->ticked < TICK_MS)
		return;
	l->ticked = clock_ms();
	remote_tick(l->s);
}

static bool
somebody_interrupted(struct sbxfs *s)
{
	bool calls = calls_look(s, clock_ms());
	bool parked = park_look(s);

	return remote_look(s) || parked || calls;
}

/* 0 to go on; a signal's number, or -errno. */
static int
turn(struct loop *l)
{
	struct client *c = l->s->client;
	bool up = client_connect(c), now = prompt(l) || !client_is_up(c);
	size_t n = wait_for(l, now);
	int r, ms = now ? -1 : LAZY_MS;

	if (n > POLL_AGENTS)
		ms = TICK_MS;
	if (!up || !l->told || somebody_interrupted(l->s))
		ms = CLIENT_RETRY_MS;
	r = poll(l->pfd, n, ms);
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	if (l->pfd[POLL_SIGNALS].revents != 0) {
		int sig = taken_signal(l->sigfd);

		if (sig != 0)
			return sig;
	}
	if (l->pfd[POLL_FRONT].revents != 0 || r == 0)
		client_drain(c);
	if (l->pfd[POLL_WORK].revents != 0)
		work_ended();
	look_at_agents(l, n);
	tell_ready(l);
	if (l->pfd[POLL_KERNEL].revents == 0)
		return 0;
	return handle_requests(l->s, l->p);
}

static int
run(struct sbxfs *s, const struct serve_config *cfg)
{
	struct loop l = { .s = s, .cfg = cfg, .started = clock_ms() };
	int r = 0;

	if ((l.sigfd = signals()) < 0)
		return -errno;
	/* After the signals are blocked: the threads inherit that. */
	r = work_start(&l.workfd);
	l.p = xmalloc(REQUEST_MAX);
	while (r == 0)
		r = turn(&l);
	work_stop();
	free(l.p);
	free(l.pfd);
	close_fd(&l.sigfd);
	return r == -ENODEV ? 0 : r;
}

static struct fuse_session *
new_session(struct sbxfs *s, bool debug)
{
	char name[] = "sbxfs", size[] = "-omax_read=1048576";
	char verbose[] = "-odebug";
	char *argv[] = { name, size, debug ? verbose : NULL, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(debug ? 3 : 2, argv);
	_Static_assert(KERNEL_IO_MAX == 1048576, "max_read says so");
	struct fuse_session *se;

	se = fuse_session_new(&args, s->dial < 0 ? &sbxfs_ops : &remote_ops,
	    sizeof(sbxfs_ops), s);
	fuse_opt_free_args(&args);
	if (se != NULL &&
	    fuse_session_custom_io(se, &kernel_io, s->devfd) < 0) {
		fuse_session_destroy(se);
		se = NULL;
	}
	return se;
}

static void
free_all(struct sbxfs *s)
{
	struct handle *h;
	struct box *b;

	client_close(s->client);
	remote_free_all(s);
	TAILQ_FOREACH (b, &s->boxes.all, link)
		fs_close_all(s, b);
	/* The kernel sends no RELEASE when it is unmounted lazily. */
	while ((h = TAILQ_FIRST(&s->handles)) != NULL) {
		h->refs = 1;
		handle_unref(h);
	}
	client_free(s->client); /* those above may still say something */
	boxes_done(&s->boxes);
	nodes_done(&s->nodes);
	while (s->nprofiles > 0)
		free(s->profiles[--s->nprofiles]);
	free(s->profiles);
	json_decref(s->modes);
	free(s->mountpoint);
}

int
serve(const struct serve_config *cfg)
{
	struct sbxfs s = {
		.devfd = cfg->devfd,
		.direct_io = cfg->direct_io || cfg->dial >= 0,
		.dial = cfg->dial,
		.uid = cfg->uid,
		.group = cfg->gid,
	};
	int r = -EIO;

	TAILQ_INIT(&s.handles);
	TAILQ_INIT(&s.interrupted);
	TAILQ_INIT(&s.rconns);
	TAILQ_INIT(&s.rinterrupted);
	nodes_init(&s.nodes);
	boxes_init(&s.boxes);
	s.since = time(NULL);
	s.mountpoint = xstrdup(cfg->mountpoint);
	s.client = client_new(&(struct client_conf){
	    .path = cfg->dial >= 0 ? NET_TREE : cfg->socket,
	    .dial = cfg->dial,
	    .ev = &events,
	    .arg = &s,
	});
	if ((s.se = new_session(&s, cfg->debug)) != NULL)
		r = run(&s, cfg);
	/* What waits is answered while there is a session to answer by. */
	free_all(&s);
	if (s.se != NULL)
		fuse_session_destroy(s.se);
	return r;
}
