/*
 * frame.h - the frames of agent/protocol.md: 1 byte type, 4 bytes big-endian
 * length, payload. A pure decoder over bytes that came; who reads the socket
 * is the caller's business. Needs libc and lib/ only (the agent is musl).
 */
#ifndef AGENT_FRAME_H
#define AGENT_FRAME_H

#include <stddef.h>

#include "lib/buf.h"

#define FRAME_HEAD 5
#define FRAME_MAX_AGENT (10u << 20)
#define FRAME_MAX_FILES ((1u << 20) + (64u << 10))

enum frame_type {
	FRAME_JSON = 1,
	FRAME_BINARY = 2,
	FRAME_PING = 3,
};

struct frame {
	enum frame_type type;
	const char *data; /* borrowed from the bytes given */
	size_t len;
};

/*
 * Looks at the n bytes at p. Returns the length of the whole first frame and
 * fills *ret; 0 when more bytes are needed; -EPROTO for an unknown type or a
 * ping that is not one byte, -EMSGSIZE for a payload over max. The length is
 * judged as soon as the head is there.
 */
long frame_decode(const char *p, size_t n, size_t max, struct frame *ret);

/* Writes the head of a frame of len bytes. */
void frame_head(char head[FRAME_HEAD], enum frame_type type, size_t len);

/* Appends head and payload to b: 0, -EMSGSIZE, -ENOMEM. */
int frame_add(struct buf *b, enum frame_type type, const void *p, size_t len);

#endif
