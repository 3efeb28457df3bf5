#include "daemon/http_tls.h"

#include <errno.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "lib/log.h"
#include "lib/mem.h"

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

/* Of one load of the files; sessions hold it after a later one. */
struct creds {
	gnutls_certificate_credentials_t cred;
	unsigned refs;
};

struct http_tls {
	gnutls_priority_t priority;
	struct creds *creds;
};

struct http_tls_session {
	gnutls_session_t s;
	struct creds *creds;
	void (*send)(void *arg, const void *p, size_t n);
	void *arg;
	const char *in; /* what came and was not pulled yet */
	size_t in_len;
	bool ready;
};

static void
creds_unref(struct creds *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	gnutls_certificate_free_credentials(c->cred);
	free(c);
}

int
http_tls_load(
    struct http_tls *t, const char *cert, const char *key, struct err *e)
{
	struct creds *c = xcalloc(1, sizeof(*c));
	int r;

	c->refs = 1;
	if ((r = gnutls_certificate_allocate_credentials(&c->cred)) < 0) {
		free(c);
		return err_setx(e, ENOMEM, "TLS: %s", gnutls_strerror(r));
	}
	r = gnutls_certificate_set_x509_key_file(
	    c->cred, cert, key, GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		creds_unref(c);
		return err_setx(e, EINVAL, "server.tls_cert %s, tls_key %s: %s",
		    cert, key, gnutls_strerror(r));
	}
	creds_unref(t->creds);
	t->creds = c;
	return 0;
}

int
http_tls_new(
    const char *cert, const char *key, struct http_tls **ret, struct err *e)
{
	struct http_tls *t = xcalloc(1, sizeof(*t));

	if (gnutls_priority_init(&t->priority, PRIORITY, NULL) < 0) {
		free(t);
		return err_setx(e, EINVAL, "TLS: no priorities");
	}
	if (http_tls_load(t, cert, key, e) < 0) {
		http_tls_free(t);
		return -1;
	}
	*ret = t;
	return 0;
}

void
http_tls_free(struct http_tls *t)
{
	if (t == NULL)
		return;
	creds_unref(t->creds);
	gnutls_priority_deinit(t->priority);
	free(t);
}

/*** What GnuTLS calls ***/

static ssize_t
pull(gnutls_transport_ptr_t arg, void *p, size_t n)
{
	struct http_tls_session *s = arg;

	if (s->in_len == 0) {
		gnutls_transport_set_errno(s->s, EAGAIN);
		return -1;
	}
	if (n > s->in_len)
		n = s->in_len;
	memcpy(p, s->in, n);
	s->in += n;
	s->in_len -= n;
	return (ssize_t)n;
}

static int
pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
	const struct http_tls_session *s = arg;

	(void)ms;
	return s->in_len != 0;
}

static ssize_t
push(gnutls_transport_ptr_t arg, const void *p, size_t n)
{
	struct http_tls_session *s = arg;

	s->send(s->arg, p, n);
	return (ssize_t)n;
}

/*** Sessions ***/

struct http_tls_session *
http_tls_accept(struct http_tls *t,
    void (*send)(void *arg, const void *p, size_t n), void *arg)
{
	struct http_tls_session *s = xcalloc(1, sizeof(*s));

	s->send = send;
	s->arg = arg;
	if (gnutls_init(&s->s,
		GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
		free(s);
		return NULL;
	}
	s->creds = t->creds;
	s->creds->refs++;
	gnutls_priority_set(s->s, t->priority);
	gnutls_credentials_set(s->s, GNUTLS_CRD_CERTIFICATE, s->creds->cred);
	gnutls_transport_set_ptr(s->s, s);
	gnutls_transport_set_pull_function(s->s, pull);
	gnutls_transport_set_pull_timeout_function(s->s, pull_timeout);
	gnutls_transport_set_push_function(s->s, push);
	return s;
}

void
http_tls_end(struct http_tls_session *s)
{
	if (s == NULL)
		return;
	gnutls_deinit(s->s);
	creds_unref(s->creds);
	free(s);
}

/* 1 done, 0 more must come, -errno. */
static int
shake(struct http_tls_session *s)
{
	int r;

	do
		r = gnutls_handshake(s->s);
	while (r < 0 && r != GNUTLS_E_AGAIN && gnutls_error_is_fatal(r) == 0);
	if (r == GNUTLS_E_AGAIN)
		return 0;
	if (r < 0) {
		log_debug("http: TLS: %s", gnutls_strerror(r));
		/* the alert says why, if it can */
		(void)gnutls_alert_send_appropriate(s->s, r);
		return -EPROTO;
	}
	s->ready = true;
	return 1;
}

ssize_t
http_tls_feed(struct http_tls_session *s, const void *p, size_t n, char *to)
{
	size_t room = n + HTTP_TLS_MORE, got = 0;
	ssize_t r;
	int done;

	s->in = p;
	s->in_len = n;
	if (!s->ready && (done = shake(s)) <= 0)
		return done;
	for (;;) {
		r = gnutls_record_recv(s->s, to + got, room - got);
		if (r == GNUTLS_E_AGAIN)
			return (ssize_t)got;
		if (r == GNUTLS_E_INTERRUPTED)
			continue;
		if (r == 0 && got > 0)
			return (ssize_t)got;
		/* its end, something else, or it wants to begin anew */
		if (r <= 0)
			return r == 0 ? -ECONNRESET : -EPROTO;
		got += (size_t)r;
		if (got == room)
			return -EPROTO; /* more than came: it cannot be */
	}
}

bool
http_tls_ready(const struct http_tls_session *s)
{
	return s->ready;
}

int
http_tls_send(struct http_tls_session *s, const void *p, size_t n)
{
	const char *at = p;
	ssize_t r;

	while (n > 0) {
		r = gnutls_record_send(s->s, at, n);
		if (r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_AGAIN)
			continue; /* push takes all of it */
		if (r < 0)
			return -EPIPE;
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

void
http_tls_bye(struct http_tls_session *s)
{
	if (s->ready)
		(void)gnutls_bye(s->s, GNUTLS_SHUT_WR);
}
