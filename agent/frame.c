#include "agent/frame.h"

#include <errno.h>

long
frame_decode(const char *p, size_t n, size_t max, struct frame *ret)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t len;

	if (n < 1)
		return 0;
	if (u[0] < FRAME_JSON || u[0] > FRAME_PING)
		return -EPROTO;
	if (n < FRAME_HEAD)
		return 0;
	len =
	    (size_t)u[1] << 24 | (size_t)u[2] << 16 | (size_t)u[3] << 8 | u[4];
	if (len > max)
		return -EMSGSIZE;
	if (u[0] == FRAME_PING && len != 1)
		return -EPROTO;
	if (n - FRAME_HEAD < len)
		return 0;
	ret->type = u[0];
	ret->data = p + FRAME_HEAD;
	ret->len = len;
	return (long)(FRAME_HEAD + len);
}

void
frame_head(char head[FRAME_HEAD], enum frame_type type, size_t len)
{
	head[0] = (char)type;
	head[1] = (char)(len >> 24);
	head[2] = (char)(len >> 16);
	head[3] = (char)(len >> 8);
	head[4] = (char)len;
}

int
frame_add(struct buf *b, enum frame_type type, const void *p, size_t len)
{
	char head[FRAME_HEAD];
	int r;

	if ((r = buf_reserve(b, FRAME_HEAD + len, NULL)) < 0)
		return r;
	frame_head(head, type, len);
	(void)buf_add(b, head, sizeof(head));
	return buf_add(b, p, len);
}
