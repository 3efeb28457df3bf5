/*
 * frontmain.c - the front: one thread, one loop. It opens the store, takes
 * over what lives, opens the doors and serves until a signal or the broker's
 * end.
 */
#include "daemon/frontmain.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/agentc.h"
#include "daemon/api.h"
#include "daemon/brokerc.h"
#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/frontboot.h"
#include "daemon/http.h"
#include "daemon/jobs.h"
#include "daemon/poolrun.h"
#include "daemon/ports.h"
#include "daemon/store.h"
#include "daemon/tree.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/hostport.h"
#include "lib/log.h"
#include "lib/mem.h"

/* Time limits are columns; how often they are looked at. */
#define TICK_MS 1000
/* What a stop may take before the front leaves the rest to the next start. */
#define STOP_MS 20000
#define STOP_LOOK_MS 5

struct process {
	struct front f;
	uv_timer_t tick;
	uv_timer_t stop;
	uv_signal_t signals[4];
	int64_t stop_by_ms;
	int ready_fd;
	char *files_sock;
};

/*** Doors ***/

static int
unix_door(const char *path, gid_t group)
{
	int fd = fd_unix_listen(path, 0660, SOCK_STREAM | SOCK_NONBLOCK);

	if (fd < 0) {
		errno = -fd;
		fatal("%s", path);
	}
	if (chown(path, (uid_t)-1, group) < 0)
		log_warn("%s: group", path);
	return fd;
}

static int
tcp_door(const char *addr)
{
	struct hostport h;
	int fd, on = 1;

	if (!config_tcp(addr, &h))
		fatalx("server.tcp: %s: expected address:port", addr);
	fd = socket(
	    h.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&h.addr, h.len) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		fatal("server.tcp: %s", addr);
	return fd;
}

static void
open_doors(struct front *f)
{
	struct process *p = (struct process *)f;
	int tcp = -1;
	struct err e;

	poolrun_new(f);
	if (*f->cfg->tcp != '\0')
		tcp = tcp_door(f->cfg->tcp);
	if (tree_new(f, unix_door(p->files_sock, f->group), &f->tree, &e) < 0 ||
	    api_start(f, unix_door(f->cfg->socket, f->group), tcp, &e) < 0)
		fatalx("%s", e.text);
	if (p->ready_fd >= 0 && write(p->ready_fd, "", 1) != 1)
		log_warn("ready");
	close_fd(&p->ready_fd);
	log_info("serving %s%s%s", f->cfg->socket, tcp >= 0 ? " and " : "",
	    tcp >= 0 ? f->cfg->tcp : "");
}

/*** The clock ***/

static bool
is_over(const struct sandbox *sb, int64_t now)
{
	const struct config *c = sb->f->cfg;

	if (sb->protect || sb->state == SB_DESTROYING)
		return false;
	if (sb->http && !sb->used && sb->ttl_s == 0 &&
	    c->connect_timeout_s > 0 &&
	    now - sb->created_ms > c->connect_timeout_s * 1000)
		return true;
	return sb->idle_s > 0 && jobs_running(sb) == 0 &&
	    now - sb->active_ms > sb->idle_s * 1000;
}

static void
on_tick(uv_timer_t *t)
{
	struct front *f = t->data;
	struct sandbox *sb, *next;
	int64_t now = clock_real_ms();
	struct err e;

	for (sb = TAILQ_FIRST(&f->sandboxes); sb != NULL; sb = next) {
		next = TAILQ_NEXT(sb, link);
		if (ports_busy(sb))
			sb->active_ms = now;
		if (is_over(sb, now) && sandbox_destroy(sb, &e) < 0)
			log_warnx("sandbox %s: %s", sb->id, e.text);
	}
}

/*** The end ***/

static bool
all_down(const struct front *f)
{
	const struct sandbox *sb;

	TAILQ_FOREACH (sb, &f->sandboxes, link)
		if (sb->state != SB_STOPPED && sb->state != SB_ERROR)
			return false;
	return f->reclaiming == 0;
}

static void
on_stop(uv_timer_t *t)
{
	struct process *p = t->data;

	if (!all_down(&p->f) && clock_ms() < p->stop_by_ms)
		return;
	if (!all_down(&p->f))
		log_warnx("stop: not all sandboxes are down; the next start "
			  "finishes it");
	uv_stop(p->f.loop);
}

static void
stop(struct front *f, bool keep_guests)
{
	struct process *p = (struct process *)f;
	struct sandbox *sb, *next;
	struct err e;

	if (f->stopping)
		return;
	f->stopping = true;
	if (keep_guests || f->http == NULL) {
		uv_stop(f->loop);
		return;
	}
	http_quiet(f->http);
	poolrun_stop(f);
	for (sb = TAILQ_FIRST(&f->sandboxes); sb != NULL; sb = next) {
		next = TAILQ_NEXT(sb, link);
		if (sandbox_stop(sb, 0, &e) == 0)
			continue;
		/* its row cannot be written: down it goes nevertheless */
		log_warnx("sandbox %s: %s", sb->id, e.text);
		life_stop(sb);
	}
	p->stop_by_ms = clock_ms() + STOP_MS;
	(void)uv_timer_start(&p->stop, on_stop, 0, STOP_LOOK_MS);
}

static void
broker_gone(void *arg)
{
	struct front *f = arg;

	log_warnx("the broker is gone");
	f->exit_status = 1;
	f->stopping = true; /* guests and their jobs go on */
	uv_stop(f->loop);
}

/*** Signals ***/

/* Renewed certificates, other tokens: as far as we may read them. */
static void
reload_secrets(struct front *f)
{
	struct tokens *tokens;
	struct err e;

	if (f->tls != NULL &&
	    http_tls_load(f->tls, f->cfg->tls_cert, f->cfg->tls_key, &e) < 0)
		log_warnx("reload: %s; the old ones stay", e.text);
	if (f->tokens == NULL)
		return;
	if (tokens_load(f->cfg->token_file, &tokens, &e) < 0) {
		log_warnx("reload: %s; the old ones stay", e.text);
		return;
	}
	tokens_free(f->tokens);
	f->tokens = tokens;
}

static void
reload(struct front *f)
{
	struct config *now, *old = f->cfg;
	struct err e;

	if (config_load(old->path, config_warned, &now, &e) < 0) {
		log_warnx("reload: %s; the old configuration stays", e.text);
		return;
	}
	config_keep(now, old, NULL); /* the broker warns */
	f->cfg = now;
	reload_secrets(f);
	poolrun_reload(f);
	tree_profiles(f);
	config_free(old);
	log_info("the configuration was read again");
}

static void
on_signal(uv_signal_t *s, int sig)
{
	struct front *f = s->data;

	if (sig == SIGHUP)
		reload(f);
	else
		stop(f, sig == SIGUSR1);
}

static void
take_signals(struct process *p)
{
	static const int sigs[4] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP };
	size_t i;

	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < 4; i++) {
		(void)uv_signal_init(p->f.loop, &p->signals[i]);
		p->signals[i].data = &p->f;
		(void)uv_signal_start(&p->signals[i], on_signal, sigs[i]);
	}
}

/*** The whole ***/

static void
start(struct process *p, const struct front_boot *b)
{
	struct front *f = &p->f;
	cleanup_free char *db = NULL;
	struct front_ids ids;
	struct err e;

	f->cfg = b->cfg;
	f->tls = b->tls;
	f->tokens = b->tokens;
	f->since_ms = clock_real_ms();
	p->ready_fd = b->ready_fd;
	TAILQ_INIT(&f->sandboxes);
	if (front_ids_find(f->cfg, &ids, &e) < 0)
		fatalx("%s", e.text);
	f->group = ids.group;
	db = xasprintf("%s/state.db", f->cfg->data_dir);
	p->files_sock = xasprintf("%s/files.sock", f->cfg->run_dir);
	if (store_open(db, &f->store, &e) < 0 ||
	    events_open(f, &f->events, &e) < 0)
		fatalx("%s", e.text);
	f->broker =
	    brokerc_new(f->loop, b->workers, b->nworkers, broker_gone, f);
	take_signals(p);
	(void)uv_timer_init(f->loop, &p->tick);
	(void)uv_timer_init(f->loop, &p->stop);
	p->tick.data = p->stop.data = f;
	(void)uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
	if (adopt_start(f, open_doors, &e) < 0)
		fatalx("%s", e.text);
}

static void
close_all(struct process *p)
{
	struct front *f = &p->f;
	struct sandbox *sb;
	size_t i;

	http_free(f->http);
	tree_free(f->tree);
	f->tree = NULL;
	(void)unlink(f->cfg->socket);
	(void)unlink(p->files_sock);
	brokerc_free(f->broker);
	poolrun_free(f);
	while ((sb = TAILQ_FIRST(&f->sandboxes)) != NULL) {
		agentc_free(sb->agent);
		sb->agent = NULL;
		ports_free(sb);
		registry_remove(sb);
		sb_unref(sb);
	}
	jobs_done();
	events_close(f->events);
	store_close(f->store);
	for (i = 0; i < 4; i++)
		uv_close((uv_handle_t *)&p->signals[i], NULL);
	uv_close((uv_handle_t *)&p->tick, NULL);
	uv_close((uv_handle_t *)&p->stop, NULL);
}

int
front_main(const struct front_boot *b)
{
	struct process *p = xcalloc(1, sizeof(*p));
	uv_loop_t loop;
	int status;

	if (uv_loop_init(&loop) != 0)
		fatalx("no event loop");
	p->f.loop = &loop;
	start(p, b);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	close_all(p);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	(void)uv_loop_close(&loop);
	http_tls_free(p->f.tls);
	tokens_free(p->f.tokens);
	config_free(p->f.cfg);
	free(p->files_sock);
	status = p->f.exit_status;
	free(p);
	return status;
}
