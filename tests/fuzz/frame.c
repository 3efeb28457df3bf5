/*
 * A stream of frames, of any bytes, given in pieces: what is decoded does not
 * depend on how they were cut, and stays within the bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/frame.h"

#define MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(_Bool is)
{
	if (!is)
		abort();
}

/* The first frame of n bytes. Of a shorter piece more is needed, or it says
 * the same already. */
static long
decode_pieces(const char *p, size_t n, struct frame *f)
{
	long whole = frame_decode(p, n, MAX, f), r;
	struct frame part;
	size_t i;

	for (i = 0; i < n && i < FRAME_HEAD + 2; i++) {
		r = frame_decode(p, i, MAX, &part);
		must(r == 0 || r == whole);
	}
	return whole;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;
	struct buf again = BUF_INIT;
	struct frame f;
	long n;

	while ((n = decode_pieces(p, (size_t)(end - p), &f)) > 0) {
		must(n == (long)(FRAME_HEAD + f.len) && n <= end - p);
		must(f.len <= MAX && f.data == p + FRAME_HEAD);
		must(f.type == FRAME_JSON || f.type == FRAME_BINARY ||
		    f.type == FRAME_PING);
		must(frame_add(&again, f.type, f.data, f.len) == 0);
		must(again.len == (size_t)n &&
		    memcmp(again.data, p, (size_t)n) == 0);
		buf_clear(&again);
		p += n;
	}
	must(n == 0 || n == -EPROTO || n == -EMSGSIZE);
	buf_done(&again);
	return 0;
}
