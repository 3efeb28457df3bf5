#include "lib/ws.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <wslay/wslay.h>

#include "lib/mem.h"

#define OUT_MAX (64u << 20)
#define CONTROL_MAX 125
/* A frame's 2 bytes, 8 of length or a control frame's payload, 4 of mask. */
#define HEAD_MAX (2 + CONTROL_MAX + 4)

struct ws {
	struct ws_conf conf;
	wslay_event_context_ptr ctx;
	struct buf out;
	bool failed; /* no more is looked at */
	/* what wslay may read now */
	const uint8_t *in;
	size_t in_len;
	/* the guard */
	uint8_t head[HEAD_MAX];
	size_t have;	 /* of head */
	uint64_t left;	 /* of the frame's payload */
	uint64_t so_far; /* of the message, in frames before this one */
	bool in_message; /* a fragment came, its last did not */
};

/*** The handshake ***/

void
ws_accept(const char *key, char ret[WS_ACCEPT_MAX])
{
	cleanup_free char *text =
	    xasprintf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	unsigned char hash[20];
	const gnutls_datum_t in = { hash, sizeof(hash) };
	gnutls_datum_t out;

	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, text, strlen(text), hash) < 0 ||
	    gnutls_base64_encode2(&in, &out) < 0)
		abort(); /* memory, or a library without SHA-1 */
	(void)snprintf(
	    ret, WS_ACCEPT_MAX, "%.*s", (int)out.size, (char *)out.data);
	gnutls_free(out.data);
}

bool
ws_key_ok(const char *key)
{
	const gnutls_datum_t in = { (unsigned char *)(uintptr_t)key,
		(unsigned)strlen(key) };
	gnutls_datum_t out;
	bool ok;

	if (in.size != 24 || gnutls_base64_decode2(&in, &out) < 0)
		return false;
	ok = out.size == 16;
	gnutls_free(out.data);
	return ok;
}

/*** What wslay calls ***/

static ssize_t
on_recv(wslay_event_context_ptr ctx, uint8_t *p, size_t n, int flags, void *arg)
{
	struct ws *w = arg;

	(void)flags;
	if (w->in_len == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (n > w->in_len)
		n = w->in_len;
	memcpy(p, w->in, n);
	w->in += n;
	w->in_len -= n;
	return (ssize_t)n;
}

static ssize_t
on_send(wslay_event_context_ptr ctx, const uint8_t *p, size_t n, int flags,
    void *arg)
{
	struct ws *w = arg;

	(void)flags;
	if (buf_add(&w->out, p, n) < 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)n;
}

static int
on_mask(wslay_event_context_ptr ctx, uint8_t *p, size_t n, void *arg)
{
	(void)ctx;
	(void)arg;
	return getrandom(p, n, 0) == (ssize_t)n ? 0 : -1;
}

static void
on_message(wslay_event_context_ptr ctx,
    const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct ws *w = arg;

	(void)ctx;
	if (m->opcode == WSLAY_TEXT_FRAME || m->opcode == WSLAY_BINARY_FRAME)
		w->conf.message(w->conf.arg, m->opcode == WSLAY_TEXT_FRAME,
		    m->msg, m->msg_length);
}

static const struct wslay_event_callbacks callbacks = {
	.recv_callback = on_recv,
	.send_callback = on_send,
	.genmask_callback = on_mask,
	.on_msg_recv_callback = on_message,
};

/* Everything that is queued becomes bytes. */
static void
pump_out(struct ws *w)
{
	while (wslay_event_want_write(w->ctx))
		if (wslay_event_send(w->ctx) != 0) {
			w->failed = true;
			return;
		}
}

/*** The guard ***/

static bool
refuse(struct ws *w, enum ws_code code, const char *reason)
{
	ws_close(w, code, reason);
	w->failed = true;
	return false;
}

/* The first two bytes of a frame. */
static bool
check_start(struct ws *w)
{
	unsigned op = w->head[0] & 15, len = w->head[1] & 127;
	bool fin = (w->head[0] & 128) != 0, control = (op & 8) != 0;

	if ((w->head[0] & 0x70) != 0)
		return refuse(w, WS_PROTOCOL, "reserved bits");
	if (op > 10 || (op > 2 && op < 8))
		return refuse(w, WS_PROTOCOL, "unknown opcode");
	if (((w->head[1] & 128) != 0) != w->conf.server)
		return refuse(
		    w, WS_PROTOCOL, w->conf.server ? "not masked" : "masked");
	if (control && (!fin || len > CONTROL_MAX))
		return refuse(w, WS_PROTOCOL, "control frame");
	if (op == 8 && len == 1)
		return refuse(w, WS_PROTOCOL, "close of one byte");
	if (!control && (op == 0) != w->in_message)
		return refuse(w, WS_PROTOCOL,
		    op == 0 ? "nothing to continue" : "not continued");
	return true;
}

/* Control frames go to wslay whole: what is wrong within them is then the
 * same however they came. */
static size_t
head_length(const struct ws *w)
{
	unsigned len = w->head[1] & 127;
	bool control = (w->head[0] & 8) != 0;

	return 2u + (w->conf.server ? 4u : 0) +
	    (control		 ? len
		    : len == 126 ? 2u
		    : len == 127 ? 8u
				 : 0);
}

/* The whole head: what it claims. */
static bool
check_length(struct ws *w)
{
	unsigned short_len = w->head[1] & 127, i;
	uint64_t len = short_len;
	char text[64];

	if ((w->head[0] & 8) != 0)
		return true;
	if (short_len >= 126) {
		len = 0;
		for (i = 0; i < (short_len == 126 ? 2 : 8); i++)
			len = len << 8 | w->head[2 + i];
		if (len >> 63 != 0 || len < (short_len == 126 ? 126 : 65536))
			return refuse(w, WS_PROTOCOL, "length");
	}
	w->left = len;
	if (len > w->conf.max || w->so_far + len > w->conf.max) {
		(void)snprintf(text, sizeof(text), "read limited at %zu bytes",
		    w->conf.max + 1);
		return refuse(w, WS_TOO_BIG, text);
	}
	w->in_message = (w->head[0] & 128) == 0;
	w->so_far = w->in_message ? w->so_far + len : 0;
	return true;
}

static void
to_wslay(struct ws *w, const uint8_t *p, size_t n)
{
	w->in = p;
	w->in_len = n;
	/* a text that is none: wslay has queued the close */
	if (wslay_event_recv(w->ctx) != 0 || !wslay_event_want_read(w->ctx) ||
	    w->in_len != 0)
		w->failed = true;
	w->in_len = 0;
	/* a pong goes before the close that the next frame may cause */
	pump_out(w);
}

/* Takes bytes of a head: how many. */
static size_t
feed_head(struct ws *w, const uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && !w->failed) {
		w->head[w->have++] = p[used++];
		if (w->have == 2 && !check_start(w))
			break;
		if (w->have < 2 || w->have < head_length(w))
			continue;
		if (check_length(w))
			to_wslay(w, w->head, w->have);
		w->have = 0;
		break;
	}
	return used;
}

/*** For the rest ***/

struct ws *
ws_new(const struct ws_conf *conf)
{
	struct ws *w = xcalloc(1, sizeof(*w));
	int r;

	w->conf = *conf;
	buf_limit(&w->out, OUT_MAX);
	r = conf->server
	    ? wslay_event_context_server_init(&w->ctx, &callbacks, w)
	    : wslay_event_context_client_init(&w->ctx, &callbacks, w);
	if (r != 0)
		abort(); /* memory, as xcalloc */
	wslay_event_config_set_max_recv_msg_length(w->ctx, conf->max);
	return w;
}

void
ws_free(struct ws *w)
{
	if (w == NULL)
		return;
	wslay_event_context_free(w->ctx);
	buf_done(&w->out);
	free(w);
}

void
ws_feed(struct ws *w, const void *p, size_t n)
{
	const uint8_t *at = p;
	size_t used;

	while (n > 0 && !w->failed) {
		if (w->left == 0) {
			used = feed_head(w, at, n);
		} else {
			used = w->left < n ? (size_t)w->left : n;
			w->left -= used;
			to_wslay(w, at, used);
		}
		at += used;
		n -= used;
	}
}

int
ws_send(struct ws *w, bool text, const void *p, size_t n)
{
	const struct wslay_event_msg m = {
		.opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
		.msg = p,
		.msg_length = n,
	};
	int r = wslay_event_queue_msg(w->ctx, &m);

	if (r != 0)
		return r == WSLAY_ERR_NOMEM ? -ENOMEM : -EPIPE;
	pump_out(w);
	return 0;
}

void
ws_ping(struct ws *w)
{
	const struct wslay_event_msg m = { .opcode = WSLAY_PING };

	(void)wslay_event_queue_msg(w->ctx, &m);
	pump_out(w);
}

void
ws_close(struct ws *w, enum ws_code code, const char *reason)
{
	(void)wslay_event_queue_close(
	    w->ctx, (uint16_t)code, (const uint8_t *)reason, strlen(reason));
	pump_out(w);
}

struct buf *
ws_out(struct ws *w)
{
	return &w->out;
}

bool
ws_over(const struct ws *w)
{
	return w->failed || wslay_event_get_close_sent(w->ctx);
}
