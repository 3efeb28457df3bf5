/*
 * screen.h - the byte screen before the HTTP parser: it sees each byte of a
 * request first and lets nothing doubtful through: no control bytes, no bare
 * CR or LF, no folded line, no byte between a field's name and its colon,
 * strict chunk framing, and the limits below. It also knows where a message
 * ends, so that the parser is never given a byte of the next one.
 *
 * Pure: no system call, no allocation.
 */
#ifndef DAEMON_SCREEN_H
#define DAEMON_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCREEN_LINE_MAX 8192
#define SCREEN_HEAD_MAX 32768
#define SCREEN_FIELDS_MAX 100
#define SCREEN_EXTRA_MAX 4096 /* chunk extensions; trailers */
#define SCREEN_EMPTY_MAX 2    /* empty lines before a request line */
#define SCREEN_DIGITS_MAX 15  /* of a chunk's size */

enum screen_verdict {
	SCREEN_PASS, /* for the parser */
	SCREEN_DROP, /* not for the parser: extensions, trailers */
	SCREEN_BAD,  /* status and text say why; feed no more */
};

struct screen {
	bool head_done; /* stays true; screen_body comes next */
	bool done;	/* the message is complete */
	int status;	/* of a refusal: 400, 414 or 431 */
	const char *text;
	/* below is private */
	unsigned char state;
	uint32_t empty, line, head, fields, digits, ext, trailer;
	int64_t left; /* bytes of the body or of this chunk */
};

void screen_init(struct screen *s);

/*
 * Looks at n > 0 bytes. *ret_used is how many of them the verdict is about;
 * call again with the rest. Stops after the head's last byte and after the
 * message's last byte.
 */
enum screen_verdict screen_feed(
    struct screen *s, const char *p, size_t n, size_t *ret_used);

/* After the head: length of the body, 0 none, -1 chunked. */
void screen_body(struct screen *s, int64_t length);

#endif
