#include "daemon/http.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http_impl.h"
#include "lib/log.h"
#include "lib/mem.h"

/*
 * The server: listeners, the sweep that looks for deadlines, the list of
 * connections that are due. Theory of operation: http_conn.c.
 */

#define SWEEP_MIN_MS 20
#define SWEEP_MAX_MS 1000
#define BACKLOG 1024

struct http_listener {
	union http_socket u;
	struct http_listener *next;
	struct http_server *s;
	struct http_tls *tls; /* borrowed; NULL: none */
	bool is_unix, closing;
};

void
http_server_unref(struct http_server *s)
{
	struct http_req *r;

	if (--s->handles > 0 || !s->freed)
		return;
	while ((r = TAILQ_FIRST(&s->spare)) != NULL) {
		TAILQ_REMOVE(&s->spare, r, link);
		buf_done(&r->head);
		free(r);
	}
	free(s->patterns);
	free(s);
}

static void
on_server_closed(uv_handle_t *h)
{
	http_server_unref(h->data);
}

/*** Time ***/

static void
on_sweep(uv_timer_t *t)
{
	struct http_server *s = t->data;
	int64_t now = (int64_t)uv_now(s->loop);
	struct http_conn *c, *next;

	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		http_conn_check(c, now);
	}
	if (TAILQ_EMPTY(&s->conns))
		(void)uv_timer_stop(t);
}

static void
run_due(struct http_server *s)
{
	struct http_conn *c;

	while ((c = TAILQ_FIRST(&s->due)) != NULL) {
		TAILQ_REMOVE(&s->due, c, due_link);
		c->is_due = false;
		http_conn_run(c, NULL, 0);
	}
}

static void
on_prepare(uv_prepare_t *h)
{
	run_due(h->data);
}

static void
on_check(uv_check_t *h)
{
	run_due(h->data);
}

static int64_t
sweep_interval(const struct http_conf *conf)
{
	int64_t ms = conf->head_timeout_ms;

	ms = conf->idle_timeout_ms < ms ? conf->idle_timeout_ms : ms;
	ms = conf->write_timeout_ms < ms ? conf->write_timeout_ms : ms;
	ms /= 4;
	ms = ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : ms;
	return ms < SWEEP_MIN_MS ? SWEEP_MIN_MS : ms;
}

/*** Connections come ***/

static void
on_refused(uv_handle_t *h)
{
	struct http_conn *c = h->data;

	http_server_unref(c->s);
	free(c);
}

static int
init_socket(uv_loop_t *loop, union http_socket *u, bool is_unix)
{
	return is_unix ? uv_pipe_init(loop, &u->pipe, 0)
		       : uv_tcp_init(loop, &u->tcp);
}

static void
learn_peer(struct http_conn *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd;

	c->uid = (uid_t)-1;
	c->gid = (gid_t)-1;
	if (!c->is_unix)
		(void)uv_tcp_nodelay(&c->u.tcp, 1);
	else if (uv_fileno(&c->u.handle, &fd) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
		c->uid = cred.uid;
		c->gid = cred.gid;
		c->pid = cred.pid;
	}
}

static void
on_connection(uv_stream_t *stream, int status)
{
	struct http_listener *l = stream->data;
	struct http_server *s = l->s;
	struct http_conn *c;

	if (status < 0) {
		log_warnx("http: accept: %s", uv_strerror(status));
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->s = s;
	c->is_unix = l->is_unix;
	if (init_socket(s->loop, &c->u, c->is_unix) != 0) {
		free(c);
		return;
	}
	c->u.handle.data = c;
	s->handles++;
	if (uv_accept(stream, &c->u.stream) != 0) {
		uv_close(&c->u.handle, on_refused);
		return;
	}
	learn_peer(c);
	if (l->tls != NULL)
		c->tls = http_tls_accept(l->tls, http_conn_send, c);
	c->broken = l->tls != NULL && c->tls == NULL;
	c->since_ms = c->sent_ms = (int64_t)uv_now(s->loop);
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	s->nconns++;
	if (!uv_is_active((uv_handle_t *)&s->sweep))
		(void)uv_timer_start(&s->sweep, on_sweep, (uint64_t)s->sweep_ms,
		    (uint64_t)s->sweep_ms);
	http_conn_run(c, NULL, 0);
}

static void
on_listener_closed(uv_handle_t *h)
{
	struct http_listener *l = h->data;

	http_server_unref(l->s);
	free(l);
}

static int
listen_on(struct http_server *s, int fd, bool is_unix, struct http_tls *tls,
    struct err *e)
{
	struct http_listener *l = xcalloc(1, sizeof(*l));
	int rc;

	l->s = s;
	l->is_unix = is_unix;
	l->tls = tls;
	if ((rc = init_socket(s->loop, &l->u, is_unix)) != 0) {
		free(l);
		(void)close(fd);
		return err_set(e, -rc, "http listener");
	}
	l->u.handle.data = l;
	s->handles++;
	rc =
	    is_unix ? uv_pipe_open(&l->u.pipe, fd) : uv_tcp_open(&l->u.tcp, fd);
	if (rc != 0)
		(void)close(fd);
	else
		rc = uv_listen(&l->u.stream, BACKLOG, on_connection);
	if (rc != 0) {
		uv_close(&l->u.handle, on_listener_closed);
		return err_set(e, -rc, "http listener");
	}
	l->next = s->listeners;
	s->listeners = l;
	return 0;
}

int
http_listen(struct http_server *s, int fd, bool is_unix, struct err *e)
{
	return listen_on(s, fd, is_unix, NULL, e);
}

int
http_listen_tls(
    struct http_server *s, int fd, struct http_tls *tls, struct err *e)
{
	return listen_on(s, fd, false, tls, e);
}

/*** The server ***/

struct http_server *
http_new(uv_loop_t *loop, const struct http_conf *conf)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	/* A write to a closed connection is to be an error, not our end. */
	(void)signal(SIGPIPE, SIG_IGN);
	s->loop = loop;
	s->conf = *conf;
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->due);
	TAILQ_INIT(&s->spare);
	s->sweep_ms = sweep_interval(conf);
	http_route_compile(s);
	s->handles = 3;
	(void)uv_timer_init(loop, &s->sweep);
	(void)uv_prepare_init(loop, &s->prepare);
	(void)uv_check_init(loop, &s->check);
	s->sweep.data = s->prepare.data = s->check.data = s;
	(void)uv_prepare_start(&s->prepare, on_prepare);
	(void)uv_check_start(&s->check, on_check);
	uv_unref((uv_handle_t *)&s->prepare);
	uv_unref((uv_handle_t *)&s->check);
	return s;
}

void
http_quiet(struct http_server *s)
{
	struct http_conn *c, *next_conn;
	struct http_listener *l;

	s->quiet = true;
	while ((l = s->listeners) != NULL) {
		s->listeners = l->next;
		uv_close(&l->u.handle, on_listener_closed);
	}
	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next_conn) {
		next_conn = TAILQ_NEXT(c, link);
		if (c->r == NULL)
			http_conn_close(c);
	}
}

void
http_free(struct http_server *s)
{
	if (s == NULL)
		return;
	http_quiet(s);
	s->freed = true;
	while (!TAILQ_EMPTY(&s->conns))
		http_conn_close(TAILQ_FIRST(&s->conns));
	uv_close((uv_handle_t *)&s->sweep, on_server_closed);
	uv_close((uv_handle_t *)&s->prepare, on_server_closed);
	uv_close((uv_handle_t *)&s->check, on_server_closed);
}

/*** About a request ***/

void *
http_arg(const struct http_req *r)
{
	return r->c->s->conf.arg;
}

const void *
http_body_data(const struct http_req *r, size_t *ret_len)
{
	*ret_len = r->body.len;
	return buf_str(&r->body);
}

bool
http_is_unix(const struct http_req *r)
{
	return r->c->is_unix;
}

void
http_peer(const struct http_req *r, uid_t *uid, gid_t *gid, pid_t *pid)
{
	*uid = r->c->uid;
	*gid = r->c->gid;
	*pid = r->c->pid;
}

const char *
http_peer_name(const struct http_req *r)
{
	static char name[64];
	struct sockaddr_storage addr;
	int len = sizeof(addr);

	if (r->c->is_unix)
		return "unix";
	if (uv_tcp_getpeername(&r->c->u.tcp, (struct sockaddr *)&addr, &len) !=
		0 ||
	    uv_ip_name((struct sockaddr *)&addr, name, sizeof(name)) != 0)
		return "unknown";
	return name;
}

void
http_peer_address(const struct http_req *r, unsigned char ret[16])
{
	struct sockaddr_storage addr = { 0 };
	const struct sockaddr_in *v4 = (void *)&addr;
	const struct sockaddr_in6 *v6 = (void *)&addr;
	int len = sizeof(addr);

	memset(ret, 0, 16);
	if (r->c->is_unix ||
	    uv_tcp_getpeername(&r->c->u.tcp, (struct sockaddr *)&addr, &len) !=
		0)
		return;
	if (addr.ss_family == AF_INET6) {
		memcpy(ret, &v6->sin6_addr, 16);
		return;
	}
	memset(ret + 10, 0xff, 2);
	memcpy(ret + 12, &v4->sin_addr, 4);
}

void
http_set_user(struct http_req *r, void *user, void (*free_user)(void *))
{
	r->user = user;
	r->free_user = free_user;
}

void *
http_user(const struct http_req *r)
{
	return r->user;
}

void
http_body(struct http_req *r,
    void (*data)(struct http_req *r, const void *p, size_t n))
{
	r->data = data;
}

int64_t
http_content_length(const struct http_req *r)
{
	return r->length;
}

void
http_pause(struct http_req *r)
{
	r->paused = true;
	http_conn_due(r->c);
}

void
http_resume(struct http_req *r)
{
	r->paused = false;
	r->window_ms = (int64_t)uv_now(r->c->s->loop);
	r->window_bytes = 0;
	http_conn_due(r->c);
}
