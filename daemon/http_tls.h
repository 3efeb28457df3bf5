/*
 * http_tls.h - TLS for the connections of a listener, by GnuTLS: TLS 1.2 and
 * 1.3, no renegotiation. A session is fed what came and says what to send;
 * nothing waits for a peer.
 */
#ifndef DAEMON_HTTP_TLS_H
#define DAEMON_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"

struct http_tls;
struct http_tls_session;

/* Certificate chain and key, PEM files. */
int http_tls_new(
    const char *cert, const char *key, struct http_tls **ret, struct err *e);
/* The same files, or others, for the connections that come from now on. */
int http_tls_load(
    struct http_tls *t, const char *cert, const char *key, struct err *e);
/* After its sessions. NULL is fine. */
void http_tls_free(struct http_tls *t);

/* send takes all of it. NULL: out of memory. */
struct http_tls_session *http_tls_accept(struct http_tls *t,
    void (*send)(void *arg, const void *p, size_t n), void *arg);
void http_tls_end(struct http_tls_session *s); /* NULL is fine */

/* Uses the n bytes that came. What they say goes to `to`, of room for n and
 * HTTP_TLS_MORE: how much, or -errno: the connection must end. */
#define HTTP_TLS_MORE 16384
ssize_t http_tls_feed(
    struct http_tls_session *s, const void *p, size_t n, char *to);
/* Is the handshake done? */
bool http_tls_ready(const struct http_tls_session *s);
/* 0 or -errno. */
int http_tls_send(struct http_tls_session *s, const void *p, size_t n);
/* Says that nothing more will be sent. */
void http_tls_bye(struct http_tls_session *s);

#endif
