#include "daemon/http.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/http_impl.h"
#include "lib/clock.h"
#include "lib/mem.h"

/*
 * A connection is pumped by conn_run(): bytes that came go through the
 * screen into the head, then into the parser; a complete head finds its
 * route, whose handler is called; when the answer is with the kernel the
 * next request begins. Nothing is freed from within a handler or an answering
 * function: they set flags and put the connection on the server's due list,
 * which is looked at before and after each poll of the loop.
 */

#define SPARE_MAX 64	    /* requests kept for the next ones */
#define SPARE_HEAD_MAX 4096 /* and what their buffers may keep */

static int64_t
now_ms(const struct http_conn *c)
{
	return (int64_t)uv_now(c->s->loop);
}

/*** Requests ***/

static struct http_req *
req_new(struct http_conn *c)
{
	struct http_server *s = c->s;
	struct http_req *r = TAILQ_FIRST(&s->spare);
	struct buf head;

	if (r == NULL) {
		r = xcalloc(1, sizeof(*r));
	} else {
		TAILQ_REMOVE(&s->spare, r, link);
		s->nspare--;
		head = r->head;
		memset(r, 0, sizeof(*r));
		r->head = head;
	}
	r->c = c;
	r->to_send = -1;
	r->started_us = clock_us();
	http_head_init(r);
	return r;
}

/* The exchange is over for whatever reason. */
static void
req_free(struct http_req *r)
{
	struct http_server *s = r->c->s;
	void (*free_user)(void *) = r->free_user;

	r->free_user = NULL;
	if (free_user != NULL)
		free_user(r->user);
	if (s->conf.done != NULL && (r->status != 0 || r->route != NULL))
		s->conf.done(s->conf.arg, r->route,
		    r->status != 0 && !r->cut ? r->status : 499,
		    clock_us() - r->started_us);
	buf_done(&r->body);
	buf_done(&r->extra);
	free(r->params);
	buf_clear(&r->head);
	if (s->freed || s->nspare >= SPARE_MAX ||
	    r->head.cap > SPARE_HEAD_MAX) {
		buf_done(&r->head);
		free(r);
		return;
	}
	TAILQ_INSERT_HEAD(&s->spare, r, link);
	s->nspare++;
}

/*** Ends of connections ***/

static void
on_conn_closed(uv_handle_t *h)
{
	struct http_conn *c = h->data;
	struct http_server *s = c->s;

	http_tls_end(c->tls);
	free(c->stash);
	free(c);
	http_server_unref(s);
}

void
http_conn_close(struct http_conn *c)
{
	struct http_req *r = c->r;

	if (c->closing)
		return;
	c->closing = true;
	TAILQ_REMOVE(&c->s->conns, c, link);
	if (c->is_due)
		TAILQ_REMOVE(&c->s->due, c, due_link);
	c->is_due = false;
	c->s->nconns--;
	c->r = NULL;
	if (r != NULL)
		req_free(r);
	uv_close(&c->u.handle, on_conn_closed);
}

void
http_conn_due(struct http_conn *c)
{
	if (c->running || c->is_due || c->closing)
		return;
	c->is_due = true;
	TAILQ_INSERT_TAIL(&c->s->due, c, due_link);
}

/* No more answers. Our end is shut, what still comes is dropped for a while,
 * so that the client reads the answer and not a reset. */
static void
linger(struct http_conn *c)
{
	int fd = -1;

	c->lingering = true;
	if (c->tls != NULL)
		http_tls_bye(c->tls);
	c->since_ms = c->sent_ms = now_ms(c);
	free(c->stash);
	c->stash = NULL;
	c->stash_len = 0;
	if (c->eof || uv_fileno(&c->u.handle, &fd) != 0 ||
	    shutdown(fd, SHUT_WR) != 0)
		http_conn_close(c);
}

/*** Writing ***/

struct write_req {
	uv_write_t req;
	struct http_conn *c;
	char data[];
};

static void
on_written(uv_write_t *req, int status)
{
	struct write_req *w = (struct write_req *)(void *)req;
	struct http_conn *c = w->c;
	struct http_req *r = c->r;

	free(w);
	if (c->closing)
		return;
	if (status < 0)
		c->broken = true;
	else if (r != NULL && !r->over && r->drained != NULL &&
	    uv_stream_get_write_queue_size(&c->u.stream) < HTTP_DRAIN_BELOW)
		r->drained(r);
	http_conn_due(c);
}

static void
queue_write(struct http_conn *c, const uv_buf_t *bufs, unsigned n, size_t skip)
{
	size_t total = 0, at = 0;
	struct write_req *w;
	uv_buf_t out;

	for (unsigned i = 0; i < n; i++)
		total += bufs[i].len;
	w = xmalloc(sizeof(*w) + total - skip);
	w->c = c;
	for (unsigned i = 0; i < n; i++) {
		size_t drop = skip < bufs[i].len ? skip : bufs[i].len;

		if (bufs[i].len > drop)
			memcpy(w->data + at, bufs[i].base + drop,
			    bufs[i].len - drop);
		at += bufs[i].len - drop;
		skip -= drop;
	}
	out = uv_buf_init(w->data, (unsigned)at);
	if (uv_write(&w->req, &c->u.stream, &out, 1, on_written) != 0) {
		free(w);
		c->broken = true;
	}
}

static void
write_plain(struct http_conn *c, const uv_buf_t *bufs, unsigned n)
{
	size_t total = 0;
	int done;

	for (unsigned i = 0; i < n; i++)
		total += bufs[i].len;
	if (c->broken || c->closing || total == 0)
		return;
	c->written += total;
	done = uv_try_write(&c->u.stream, bufs, n);
	if (done < 0 && done != UV_EAGAIN) {
		c->broken = true;
		http_conn_due(c);
		return;
	}
	done = done < 0 ? 0 : done;
	if ((size_t)done < total)
		queue_write(c, bufs, n, (size_t)done);
}

void
http_conn_send(void *arg, const void *p, size_t n)
{
	const uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);

	write_plain(arg, &buf, 1);
}

void
http_conn_write(struct http_conn *c, const uv_buf_t *bufs, unsigned n)
{
	if (c->tls == NULL) {
		write_plain(c, bufs, n);
		return;
	}
	for (unsigned i = 0; i < n && !c->broken && !c->closing; i++)
		if (http_tls_send(c->tls, bufs[i].base, bufs[i].len) < 0) {
			c->broken = true;
			http_conn_due(c);
		}
}

/*** Requests on a connection ***/

/* An error, after which the connection ends. */
static void
refuse(struct http_req *r, int status, const char *text)
{
	r->keep_alive = false;
	if (r->status != 0)
		http_abort(r);
	else
		http_error(r, status, "%s", text);
}

static void
too_big(struct http_req *r)
{
	const char *text = r->pending->too_big;

	if (r->route == NULL) /* 404, 405, 307 say more */
		r->pending->handle(r);
	else if (text != NULL)
		refuse(r, 400, text);
	else
		refuse(r, 413, "request body too large");
}

/* The head is complete. */
static void
dispatch(struct http_req *r)
{
	const char *text;
	int status = http_head_parse(r, &text);

	if (status != 0) {
		r->minor = true;
		refuse(r, status, text);
		return;
	}
	r->phase = r->length == 0 ? PHASE_WAIT : PHASE_BODY;
	r->window_ms = now_ms(r->c);
	r->pending = http_route_find(r);
	if (r->route != NULL && r->c->s->conf.admit != NULL &&
	    !r->c->s->conf.admit(r, r->route))
		return;
	if (r->pending->stream) {
		r->pending->handle(r);
		if (r->length == 0 && r->data != NULL && !r->over)
			r->data(r, NULL, 0);
		return;
	}
	r->body_max =
	    r->pending->body_max > 0 ? r->pending->body_max : HTTP_DROP_MAX;
	buf_limit(&r->body, r->body_max);
	if (r->length > (int64_t)r->body_max)
		too_big(r);
	else if (r->phase == PHASE_WAIT)
		r->pending->handle(r);
}

static size_t
feed_head(struct http_req *r, const char *p, size_t n)
{
	size_t used;
	enum screen_verdict v = screen_feed(&r->screen, p, n, &used);

	if (v == SCREEN_BAD) {
		r->minor = true;
		refuse(r, r->screen.status, r->screen.text);
		return n;
	}
	if (v == SCREEN_PASS && buf_add(&r->head, p, used) != 0) {
		refuse(r, 431, "head too long");
		return n;
	}
	if (r->screen.head_done)
		dispatch(r);
	return used;
}

static size_t
feed_raw(struct http_req *r, const char *p, size_t n)
{
	r->data(r, p, n);
	return n;
}

static size_t
feed_body(struct http_req *r, const char *p, size_t n)
{
	size_t used;
	enum screen_verdict v = screen_feed(&r->screen, p, n, &used);
	int parsed = HPE_OK;

	r->expects = false;
	if (v == SCREEN_BAD) {
		refuse(r, r->screen.status, r->screen.text);
		return n;
	}
	if (v == SCREEN_PASS)
		parsed = (int)llhttp_execute(&r->parser, p, used);
	if (r->over)
		return used;
	if (r->overfull) {
		too_big(r);
		return n;
	}
	if (parsed != HPE_OK || r->screen.done != r->parsed) {
		refuse(r, 400, "bad request body");
		return n;
	}
	if (!r->screen.done)
		return used;
	r->phase = PHASE_WAIT;
	if (r->data != NULL)
		r->data(r, NULL, 0);
	else if (!r->pending->stream)
		r->pending->handle(r);
	return used;
}

/*** The pump ***/

/* The answer is out: what comes next. False: nothing now. */
static bool
next_exchange(struct http_conn *c)
{
	struct http_req *r = c->r;
	bool keep = r->keep_alive && r->phase == PHASE_WAIT && !c->s->quiet;

	if (r->cut) {
		c->broken = true;
		return false;
	}
	if (uv_stream_get_write_queue_size(&c->u.stream) > 0)
		return false;
	c->r = NULL;
	req_free(r);
	c->since_ms = now_ms(c);
	if (!keep)
		linger(c);
	return keep;
}

/* Uses bytes while there is somebody to take them; returns how many. */
static size_t
pump(struct http_conn *c, const char *p, size_t n)
{
	size_t used = 0;

	while (!c->broken && !c->lingering && !c->closing) {
		struct http_req *r = c->r;

		if (r != NULL && r->over) {
			if (!next_exchange(c))
				break;
			continue;
		}
		if (used == n)
			break;
		if (r == NULL) {
			r = c->r = req_new(c);
			c->since_ms = now_ms(c);
		}
		if (r->phase == PHASE_HEAD)
			used += feed_head(r, p + used, n - used);
		else if (r->phase == PHASE_BODY && !r->paused)
			used += feed_body(r, p + used, n - used);
		else if (r->phase == PHASE_RAW && !r->paused)
			used += feed_raw(r, p + used, n - used);
		else
			break;
	}
	return used;
}

/* Is the client gone, not only done with sending? A Unix socket can tell the
 * two apart; on TCP the end of its stream is taken for its end. */
static bool
peer_gone(struct http_conn *c)
{
	struct pollfd pfd = { .events = POLLRDHUP };

	if (uv_fileno(&c->u.handle, &pfd.fd) != 0 || poll(&pfd, 1, 0) < 0)
		return true;
	return (pfd.revents & (POLLHUP | POLLERR)) != 0 ||
	    (!c->is_unix && (pfd.revents & POLLRDHUP) != 0);
}

static void
tell_eof(struct http_req *r)
{
	if (r->paused || r->eof_told)
		return;
	r->eof_told = true;
	r->data(r, NULL, 0);
}

/* The client sends no more, and all it sent has been used. */
static void
at_eof(struct http_conn *c)
{
	struct http_req *r = c->r;

	if (r == NULL)
		http_conn_close(c);
	else if (r->phase == PHASE_RAW && !r->over)
		tell_eof(r);
	else if (!r->over && r->phase != PHASE_WAIT && !r->paused)
		refuse(r, 400, "incomplete request");
	else if (!r->over && peer_gone(c))
		http_conn_close(c);
}

static void
on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct http_conn *c = h->data;

	(void)hint;
	*buf = uv_buf_init(c->s->in, sizeof(c->s->in));
}

static void
run_tls(struct http_conn *c, const char *p, size_t n)
{
	ssize_t got = http_tls_feed(c->tls, p, n, c->s->plain);

	if (got == -ECONNRESET)
		c->eof = true;
	else if (got < 0)
		c->broken = true;
	if (got != 0)
		http_conn_run(c, c->s->plain, got > 0 ? (size_t)got : 0);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct http_conn *c = stream->data;

	if (n == UV_EOF)
		c->eof = true;
	else if (n < 0)
		c->broken = true;
	if (c->lingering) {
		c->sent_ms = now_ms(c);
		if (n < 0)
			http_conn_close(c);
		return;
	}
	if (n > 0 && c->tls != NULL)
		run_tls(c, buf->base, (size_t)n);
	else if (n != 0)
		http_conn_run(c, buf->base, n > 0 ? (size_t)n : 0);
}

static void
keep_rest(struct http_conn *c, const char *p, size_t n)
{
	char *rest = NULL;

	if (n > 0) {
		rest = xmalloc(n);
		memcpy(rest, p, n);
	}
	free(c->stash);
	c->stash = rest;
	c->stash_len = n;
}

void
http_conn_run(struct http_conn *c, const char *p, size_t n)
{
	static const uv_buf_t go_on = { .len = 25,
		.base = (char *)(uintptr_t) "HTTP/1.1 100 Continue\r\n\r\n" };
	struct http_req *r;
	size_t used;
	bool want;

	if (n == 0) {
		p = c->stash;
		n = c->stash_len;
	}
	c->running = true;
	used = pump(c, p, n);
	c->running = false;
	if (c->closing)
		return;
	if (!c->lingering && (used < n || c->stash != NULL))
		keep_rest(c, p + used, n - used);
	r = c->r;
	if (r != NULL && r->expects && r->phase == PHASE_BODY && !r->over &&
	    !r->paused && r->status == 0) {
		r->expects = false;
		http_conn_write(c, &go_on, 1);
	}
	if (c->eof && c->stash_len == 0 && !c->broken)
		at_eof(c);
	if (c->broken)
		http_conn_close(c);
	if (c->closing)
		return;
	r = c->r;
	want = !c->eof && c->stash_len == 0 &&
	    !(r != NULL && r->paused && r->phase != PHASE_WAIT);
	if (want && !c->reading)
		(void)uv_read_start(&c->u.stream, on_alloc, on_read);
	else if (!want && c->reading)
		(void)uv_read_stop(&c->u.stream);
	c->reading = want;
}

/*** Deadlines ***/

static void
check_body_rate(struct http_conn *c, struct http_req *r, int64_t now)
{
	const struct http_conf *conf = &c->s->conf;
	int64_t span = now - r->window_ms;

	if (r->paused || conf->body_min_rate == 0) {
		r->window_ms = now;
		r->window_bytes = 0;
	} else if (span >= conf->head_timeout_ms) {
		if (r->window_bytes < conf->body_min_rate * span / 1000)
			refuse(r, 408, "request body too slow");
		r->window_ms = now;
		r->window_bytes = 0;
	}
}

/* Closes it when what it is at has taken too long. */
void
http_conn_check(struct http_conn *c, int64_t now)
{
	const struct http_conf *conf = &c->s->conf;
	size_t queued = uv_stream_get_write_queue_size(&c->u.stream);
	struct http_req *r = c->r;

	if (c->lingering) {
		if (now - c->sent_ms > HTTP_LINGER_MS ||
		    now - c->since_ms > HTTP_LINGER_MAX_MS)
			http_conn_close(c);
		return;
	}
	if (queued == 0 || c->written - queued != c->sent_seen) {
		c->sent_seen = c->written - queued;
		c->sent_ms = now;
	} else if (now - c->sent_ms > conf->write_timeout_ms) {
		http_conn_close(c);
		return;
	}
	if (c->tls != NULL && !http_tls_ready(c->tls)) {
		if (now - c->since_ms > conf->head_timeout_ms)
			http_conn_close(c);
	} else if (r == NULL) {
		if (now - c->since_ms > conf->idle_timeout_ms)
			http_conn_close(c);
	} else if (r->over) {
		return;
	} else if (r->phase == PHASE_HEAD) {
		if (now - c->since_ms > conf->head_timeout_ms)
			refuse(r, 408, "request head too slow");
	} else if (r->phase == PHASE_BODY) {
		check_body_rate(c, r, now);
	} else if (!c->reading && peer_gone(c)) {
		http_conn_close(c);
	}
}
