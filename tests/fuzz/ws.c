/*
 * What a stranger sends on a WebSocket, of any bytes: which messages come and
 * how it is answered does not depend on how the bytes were cut; no message
 * is over the limit, no text is anything but UTF-8; nothing comes after the
 * end. The first byte chooses the side.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"
#include "lib/ws.h"

#define MAX 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool is)
{
	if (!is)
		abort();
}

static void
on_message(void *arg, bool text, const void *p, size_t n)
{
	must(n <= MAX);
	must(!text || utf8_valid(p, n));
	must(buf_addf(arg, "%c%zu:", text ? 't' : 'b', n) == 0);
	must(buf_add(arg, p, n) == 0);
}

/* The messages, the answers, and whether it ended. */
static void
run(const uint8_t *p, size_t n, bool server, size_t step, struct buf *all)
{
	const struct ws_conf conf = {
		.server = server, .max = MAX, .message = on_message, .arg = all
	};
	struct ws *w = ws_new(&conf);
	size_t at, len;

	for (at = 0; at < n; at += step) {
		len = n - at < step ? n - at : step;
		ws_feed(w, p + at, len);
		if (!ws_over(w))
			continue;
		len = all->len;
		ws_feed(w, "\x81\x80zzzz", 6);
		must(all->len == len && ws_send(w, true, "x", 1) < 0);
		break;
	}
	must(buf_addf(all, "|%d|", ws_over(w)) == 0);
	/* what a client sends is masked at random */
	if (server)
		must(buf_add(all, ws_out(w)->data, ws_out(w)->len) == 0);
	else
		must(buf_addf(all, "%zu", ws_out(w)->len) == 0);
	ws_free(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 7, 4096 };
	struct buf whole = BUF_INIT, part = BUF_INIT;
	size_t i;

	if (size == 0)
		return 0;
	run(data + 1, size - 1, (data[0] & 1) != 0, size, &whole);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		run(data + 1, size - 1, (data[0] & 1) != 0, steps[i], &part);
		must(part.len == whole.len &&
		    memcmp(part.data, whole.data, part.len) == 0);
		buf_clear(&part);
	}
	buf_done(&whole);
	buf_done(&part);
	return 0;
}
