/*
 * One thread a connection, in straight lines: connect, handshake, relay. The
 * threads share the configuration, which does not change, and what was said
 * last (said_lock).
 */
#include "sbxfs/net.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "agent/frame.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/hostport.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/proc.h"
#include "lib/utf8.h"
#include "lib/ws.h"
#include "sbxfs/privs.h"

#define PATH_MAX_BYTES 256
#define HEAD_MAX (16u << 10)
#define TOKEN_MAX 4096
#define MESSAGE_MAX (2u << 20)
#define READ_BYTES (64u << 10)
#define OUT_SOME (1u << 20)
/* What is read for each side before it must be taken. */
#define SIDE_MAX (MESSAGE_MAX + FRAME_HEAD + READ_BYTES)

/* One connection; its thread's alone. */
struct line {
	const struct net_conf *conf;
	char path[PATH_MAX_BYTES];
	int fd; /* frames */
	CURL *curl;
	int sock; /* curl's, not owned */
	struct ws *ws;
	struct buf in;	/* frames from fd */
	struct buf out; /* frames to fd */
	bool more;	/* curl may hold bytes that poll does not see */
	bool fd_full, sock_full;
	bool held; /* frames wait in `in` for room on the other side */
	bool broken;
	bool absent; /* the daemon is there, what path names is not */
	int64_t heard_ms;
	bool pinged; /* since then */
};

static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
static char said[256]; /* under said_lock: not said again and again */

static void __attribute__((format(printf, 2, 3)))
say(const struct line *l, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)pthread_mutex_lock(&said_lock);
	if (strcmp(text, said) != 0)
		log_warnx("%s: %s", l->conf->url, text);
	(void)str_copy(said, text, sizeof(said));
	(void)pthread_mutex_unlock(&said_lock);
}

/*** The address ***/

/* "host", "host:port" or "[v6]:port": is it this machine by its number? A name
 * may begin like one. */
static bool
is_loopback(const char *host)
{
	size_t n = *host == '[' ? strcspn(++host, "]") : strcspn(host, ":");
	cleanup_free char *addr = xstrndup(host, n);
	struct hostport h;

	return hostport_set(&h, addr, 0) && hostport_is_loopback(&h);
}

/* Behind the scheme; NULL: not one of ours. */
static const char *
host_of(const char *url)
{
	if (strncmp(url, "https://", 8) == 0)
		return url + 8;
	return strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
}

int
net_check(const struct net_conf *conf, struct err *e)
{
	const char *host = host_of(conf->url);

	if (host == NULL || *host == '\0' ||
	    strpbrk(host, "/?#@ \t\r\n\\") != NULL)
		return err_setx(e, EINVAL,
		    "url=%s: expected https://host or https://host:port",
		    conf->url);
	if (conf->token_file != NULL && conf->url[4] != 's' &&
	    !is_loopback(host))
		return err_setx(e, EINVAL,
		    "url=%s: a token is not sent in the clear: use https",
		    conf->url);
	if (conf->token_file != NULL && access(conf->token_file, R_OK) < 0)
		return err_set(e, errno, "token-file=%s", conf->token_file);
	if (conf->cafile != NULL && access(conf->cafile, R_OK) < 0)
		return err_set(e, errno, "cafile=%s", conf->cafile);
	return 0;
}

/*** Connecting ***/

static CURLcode
connect_curl(struct line *l)
{
	CURL *c = l->curl;

	curl_easy_setopt(c, CURLOPT_URL, l->conf->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)NET_CONNECT_S);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_ENABLE_ALPN, 0L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (l->conf->cafile != NULL)
		curl_easy_setopt(c, CURLOPT_CAINFO, l->conf->cafile);
	return curl_easy_perform(c);
}

/* Waits for the socket: false when the time is over. */
static bool
await(const struct line *l, short events, int64_t until)
{
	struct pollfd pfd = { .fd = l->sock, .events = events };
	int64_t left = until - clock_ms();

	return left > 0 && poll(&pfd, 1, (int)left) > 0;
}

static bool
send_all(struct line *l, const char *p, size_t n, int64_t until)
{
	size_t done;

	while (n > 0) {
		CURLcode r = curl_easy_send(l->curl, p, n, &done);

		if (r == CURLE_AGAIN && await(l, POLLOUT, until))
			continue;
		if (r != CURLE_OK)
			return false;
		p += done;
		n -= done;
	}
	return true;
}

/* The token's first line, for as long as the handshake needs it. */
static bool
add_token(const struct line *l, struct buf *b)
{
	char text[TOKEN_MAX];
	ssize_t n;

	if (l->conf->token_file == NULL)
		return true;
	n = fd_read_at(AT_FDCWD, l->conf->token_file, text, sizeof(text));
	if (n < 0) {
		say(l, "%s: %s", l->conf->token_file, strerror((int)-n));
		return false;
	}
	text[strcspn(text, " \t\r\n")] = '\0';
	(void)buf_addf(b, "Authorization: Bearer %s\r\n", text);
	explicit_bzero(text, sizeof(text));
	return true;
}

static bool
ask(struct line *l, const char *key, int64_t until)
{
	struct buf b = BUF_INIT;
	bool ok;

	(void)buf_addf(&b,
	    "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nUser-Agent: sbxfs\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
	    l->path, host_of(l->conf->url), key);
	ok = add_token(l, &b) && buf_adds(&b, "\r\n") == 0 &&
	    send_all(l, b.data, b.len, until);
	explicit_bzero(b.data, b.len);
	buf_done(&b);
	return ok;
}

/* The answer's head, byte by byte: what follows it is the relay's. */
static bool
read_head(struct line *l, char head[HEAD_MAX], int64_t until)
{
	size_t n = 0, got;

	while (n < HEAD_MAX - 1) {
		CURLcode r = curl_easy_recv(l->curl, head + n, 1, &got);

		if (r == CURLE_AGAIN && await(l, POLLIN, until))
			continue;
		if (r != CURLE_OK || got == 0)
			return false;
		n += got;
		head[n] = '\0';
		if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

/* Has a line "name: value" of the head this value? */
static bool
has_field(const char *head, const char *name, const char *value)
{
	const char *at = head, *p;
	size_t n = strlen(name);

	while ((at = strstr(at, "\r\n")) != NULL) {
		at += 2;
		if (strncasecmp(at, name, n) != 0 || at[n] != ':')
			continue;
		p = at + n + 1 + strspn(at + n + 1, " \t");
		return strncmp(p, value, strlen(value)) == 0 &&
		    p[strlen(value)] == '\r';
	}
	return false;
}

static bool
make_key(char key[25])
{
	unsigned char bytes[16];
	const gnutls_datum_t in = { bytes, sizeof(bytes) };
	gnutls_datum_t out;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes) ||
	    gnutls_base64_encode2(&in, &out) < 0)
		return false;
	(void)snprintf(key, 25, "%.*s", (int)out.size, (char *)out.data);
	gnutls_free(out.data);
	return true;
}

static bool
handshake(struct line *l)
{
	int64_t until = clock_ms() + NET_CONNECT_S * 1000;
	cleanup_free char *head = xmalloc(HEAD_MAX);
	char key[25], want[WS_ACCEPT_MAX];

	if (!make_key(key) || !ask(l, key, until))
		return false;
	if (!read_head(l, head, until)) {
		say(l, "no answer to the handshake");
		return false;
	}
	ws_accept(key, want);
	if (strncmp(head, "HTTP/1.1 101 ", 13) == 0 &&
	    has_field(head, "Sec-WebSocket-Accept", want))
		return true;
	/* A sandbox may go while somebody asks for its files. */
	if (strncmp(head, "HTTP/1.1 404 ", 13) == 0 &&
	    strcmp(l->path, NET_TREE) != 0) {
		l->absent = true;
		return false;
	}
	head[strcspn(head, "\r\n")] = '\0';
	say(l, "%s: %.100s", l->path, head);
	return false;
}

static bool
dial_out(struct line *l)
{
	curl_socket_t sock = CURL_SOCKET_BAD;
	CURLcode r;

	if ((l->curl = curl_easy_init()) == NULL)
		return false;
	if ((r = connect_curl(l)) != CURLE_OK) {
		say(l, "%s", curl_easy_strerror(r));
		return false;
	}
	if (curl_easy_getinfo(l->curl, CURLINFO_ACTIVESOCKET, &sock) !=
		CURLE_OK ||
	    sock == CURL_SOCKET_BAD)
		return false;
	l->sock = sock;
	return handshake(l);
}

/*** Relaying ***/

static void
on_message(void *arg, bool text, const void *p, size_t n)
{
	struct line *l = arg;

	if (frame_add(&l->out, text ? FRAME_JSON : FRAME_BINARY, p, n) < 0)
		l->broken = true;
}

static void
recv_sock(struct line *l)
{
	static _Thread_local char bytes[READ_BYTES];
	CURLcode r;
	size_t n;

	l->more = false;
	if (l->out.len >= OUT_SOME)
		return;
	r = curl_easy_recv(l->curl, bytes, sizeof(bytes), &n);
	if (r == CURLE_AGAIN)
		return;
	if (r != CURLE_OK || n == 0) {
		l->broken = true;
		return;
	}
	l->heard_ms = clock_ms();
	l->pinged = false;
	l->more = true;
	ws_feed(l->ws, bytes, n);
	l->broken |= ws_over(l->ws);
}

static void
send_sock(struct line *l)
{
	struct buf *b = ws_out(l->ws);
	CURLcode r;
	size_t n;

	l->sock_full = false;
	while (b->len > 0) {
		r = curl_easy_send(l->curl, b->data, b->len, &n);
		if (r == CURLE_AGAIN) {
			l->sock_full = true;
			return;
		}
		if (r != CURLE_OK) {
			l->broken = true;
			return;
		}
		buf_consume(b, n);
	}
}

static void
send_fd(struct line *l)
{
	ssize_t n;

	l->fd_full = false;
	while (l->out.len > 0) {
		n = fd_send(l->fd, l->out.data, l->out.len, NULL, 0);
		if (n == -EAGAIN) {
			l->fd_full = true;
			return;
		}
		if (n < 0) {
			l->broken = true;
			return;
		}
		buf_consume(&l->out, (size_t)n);
	}
	buf_done(&l->out);
}

static void
take_frames(struct line *l)
{
	struct frame f;
	long n = 0;

	while (!l->broken && ws_out(l->ws)->len < OUT_SOME &&
	    (n = frame_decode(buf_str(&l->in), l->in.len, MESSAGE_MAX, &f)) >
		0) {
		if (f.type == FRAME_JSON || f.type == FRAME_BINARY) {
			if (f.type == FRAME_JSON && !utf8_valid(f.data, f.len))
				l->broken = true;
			else if (ws_send(l->ws, f.type == FRAME_JSON, f.data,
				     f.len) < 0)
				l->broken = true;
		}
		buf_consume(&l->in, (size_t)n);
	}
	l->broken |= n < 0;
	l->held = n > 0;
	if (l->in.len == 0)
		buf_done(&l->in);
}

static void
recv_fd(struct line *l)
{
	ssize_t n;
	char *p;

	if (buf_reserve(&l->in, READ_BYTES, &p) < 0) {
		l->broken = true;
		return;
	}
	n = fd_recv(l->fd, p, READ_BYTES, NULL, NULL);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		l->broken = true; /* the mount has no use for it any more */
		return;
	}
	buf_grew(&l->in, (size_t)n);
}

static void
keep_alive(struct line *l)
{
	int64_t silent = clock_ms() - l->heard_ms;

	if (silent > 2 * NET_SILENCE_S * 1000) {
		say(l, "silent for %d seconds", 2 * NET_SILENCE_S);
		l->broken = true;
	} else if (silent > NET_SILENCE_S * 1000 && !l->pinged) {
		l->pinged = true;
		ws_ping(l->ws);
	}
}

static void
turn(struct line *l)
{
	bool room = ws_out(l->ws)->len < OUT_SOME;
	bool hear = l->out.len < OUT_SOME;
	struct pollfd pfd[2] = {
		{ .fd = l->sock,
		    .events = (short)((hear ? POLLIN : 0) |
			(l->sock_full ? POLLOUT : 0)) },
		{ .fd = l->fd,
		    .events = (short)((room ? POLLIN : 0) |
			(l->fd_full ? POLLOUT : 0)) },
	};

	bool now = (l->more && hear) || (l->held && room);

	if (poll(pfd, 2, now ? 0 : 1000) < 0 && errno != EINTR)
		l->broken = true;
	if (pfd[0].revents != 0 || l->more)
		recv_sock(l);
	if ((pfd[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && room)
		recv_fd(l);
	take_frames(l);
	keep_alive(l);
	send_sock(l);
	send_fd(l);
}

static void
relay(struct line *l)
{
	const struct ws_conf conf = {
		.max = MESSAGE_MAX, .message = on_message, .arg = l
	};
	static const char pong = 1;

	(void)pthread_mutex_lock(&said_lock);
	said[0] = '\0';
	(void)pthread_mutex_unlock(&said_lock);
	l->ws = ws_new(&conf);
	buf_limit(&l->in, SIDE_MAX);
	buf_limit(&l->out, SIDE_MAX + OUT_SOME);
	l->heard_ms = clock_ms();
	l->more = true;
	(void)frame_add(&l->out, FRAME_PING, &pong, 1); /* it is there */
	while (!l->broken)
		turn(l);
	send_sock(l);
	send_fd(l); /* what came before the end */
	ws_free(l->ws);
}

static void *
run_line(void *arg)
{
	struct line *l = arg;

	static const char absent = NET_ABSENT;

	if (dial_out(l)) {
		relay(l);
	} else if (l->absent) {
		(void)frame_add(&l->out, FRAME_PING, &absent, 1);
		send_fd(l);
	}
	if (l->curl != NULL)
		curl_easy_cleanup(l->curl);
	buf_done(&l->in);
	buf_done(&l->out);
	close_fd(&l->fd);
	free(l);
	return NULL;
}

/*** The process ***/

static void
start_line(const struct net_conf *conf, const char *path, int fd)
{
	struct line *l = xcalloc(1, sizeof(*l));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	l->conf = conf;
	l->fd = fd;
	(void)str_copy(l->path, path, sizeof(l->path));
	(void)fd_nonblock(fd, 1);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if ((r = pthread_create(&thread, &attr, run_line, l)) != 0) {
		log_warnx("%s: %s", path, strerror(r));
		close_fd(&l->fd);
		free(l);
	}
	(void)pthread_attr_destroy(&attr);
}

_Noreturn void
net_run(const struct net_conf *conf, int dial)
{
	char path[PATH_MAX_BYTES];
	int fds[FD_PASS_MAX], r;
	size_t n;
	ssize_t len;

	proc_title("sbxfs: net");
	(void)signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatalx("libcurl does not start");
	if ((r = privs_drop_net()) < 0)
		fatalx("giving up privileges: %s", strerror(-r));
	for (;;) {
		n = 0;
		len = fd_recv(dial, path, sizeof(path) - 1, fds, &n);
		if (len == 0)
			exit(0);
		if (len < 0)
			fatalx("dial: %s", strerror((int)-len));
		path[len] = '\0';
		if (n == 1)
			start_line(conf, path, fds[0]);
		else
			fd_close_all(fds, n);
	}
}

int
net_dial(int dial, const char *path)
{
	cleanup_fd int ours = -1, theirs = -1;
	int pair[2];
	ssize_t r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	r = fd_send(dial, path, strlen(path), &theirs, 1);
	return r < 0 ? (int)r : steal_fd(&ours);
}
