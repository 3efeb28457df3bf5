#include "daemon/screen.h"

#include <string.h>

/* Classes of bytes. */
#define C_TOKEN 1 /* of a field name or method */
#define C_LINE 2  /* of a request line: 0x20-0x7e */
#define C_FIELD 4 /* of a field's value: no control byte but tab */
#define C_HEX 8

enum state {
	ST_START,
	ST_START_LF,
	ST_LINE,
	ST_LINE_LF,
	ST_FIELD,
	ST_NAME,
	ST_VALUE,
	ST_VALUE_LF,
	ST_HEAD_LF,
	ST_HEAD_DONE,
	ST_BODY,
	ST_SIZE_FIRST,
	ST_SIZE,
	ST_EXT,
	ST_SIZE_LF,
	ST_DATA,
	ST_DATA_CR,
	ST_DATA_LF,
	ST_TRAILER,
	ST_TNAME,
	ST_TVALUE,
	ST_TVALUE_LF,
	ST_TRAILER_NEXT,
	ST_END_LF,
	ST_DONE,
	STATES
};

/* A counter of struct screen, and what happens past its maximum. */
struct limit {
	size_t offset; /* of an uint32_t */
	uint32_t max;
	int status;
	const char *text;
};

/*
 * What a byte does in a state: of the class run it stays, of the class enter
 * it goes to to, or it is one of two bytes with a state of their own; any
 * other is refused with bad. drop: what leads here or stays is not for the
 * parser. limit counts the bytes that lead here or stay.
 */
struct rule {
	unsigned char run, enter, to;
	bool drop;
	struct {
		char byte;
		unsigned char to;
	} exit[2];
	const char *bad;
	const struct limit *limit;
};

#define AT(f) .offset = offsetof(struct screen, f)
static const struct limit lim_empty = { AT(empty), SCREEN_EMPTY_MAX, 400,
	"empty request line" };
static const struct limit lim_target = { AT(line), SCREEN_LINE_MAX, 414,
	"request line too long" };
static const struct limit lim_line = { AT(line), SCREEN_LINE_MAX, 431,
	"header line too long" };
static const struct limit lim_head = { AT(head), SCREEN_HEAD_MAX, 431,
	"head too long" };
static const struct limit lim_fields = { AT(fields), SCREEN_FIELDS_MAX, 431,
	"too many headers" };
static const struct limit lim_digits = { AT(digits), SCREEN_DIGITS_MAX, 400,
	"chunk size too long" };
static const struct limit lim_ext = { AT(ext), SCREEN_EXTRA_MAX, 400,
	"chunk extensions too long" };
static const struct limit lim_trailer = { AT(trailer), SCREEN_EXTRA_MAX, 431,
	"trailers too long" };

#define NOT_LF "CR without LF"

static const struct rule rules[STATES] = {
	[ST_START] = { .limit = &lim_empty,
	    .enter = C_TOKEN,
	    .to = ST_LINE,
	    .drop = true,
	    .exit = { { '\r', ST_START_LF } },
	    .bad = "bad request line" },
	[ST_START_LF] = { .drop = true,
	    .exit = { { '\n', ST_START } },
	    .bad = NOT_LF },
	[ST_LINE] = { .limit = &lim_target,
	    .run = C_LINE,
	    .exit = { { '\r', ST_LINE_LF } },
	    .bad = "bad byte in the request line" },
	[ST_LINE_LF] = { .exit = { { '\n', ST_FIELD } }, .bad = NOT_LF },
	[ST_FIELD] = { .enter = C_TOKEN,
	    .to = ST_NAME,
	    .exit = { { '\r', ST_HEAD_LF } },
	    .bad = "bad start of a header line" },
	[ST_NAME] = { .limit = &lim_line,
	    .run = C_TOKEN,
	    .exit = { { ':', ST_VALUE } },
	    .bad = "bad byte in a header name" },
	[ST_VALUE] = { .limit = &lim_line,
	    .run = C_FIELD,
	    .exit = { { '\r', ST_VALUE_LF } },
	    .bad = "bad byte in a header value" },
	[ST_VALUE_LF] = { .exit = { { '\n', ST_FIELD } }, .bad = NOT_LF },
	[ST_HEAD_LF] = { .exit = { { '\n', ST_HEAD_DONE } }, .bad = NOT_LF },
	[ST_SIZE_FIRST] = { .enter = C_HEX,
	    .to = ST_SIZE,
	    .bad = "bad chunk size" },
	[ST_SIZE] = { .limit = &lim_digits,
	    .run = C_HEX,
	    .exit = { { ';', ST_EXT }, { '\r', ST_SIZE_LF } },
	    .bad = "bad chunk size" },
	[ST_EXT] = { .limit = &lim_ext,
	    .run = C_FIELD,
	    .drop = true,
	    .exit = { { '\r', ST_SIZE_LF } },
	    .bad = "bad byte in a chunk extension" },
	[ST_SIZE_LF] = { .exit = { { '\n', ST_DATA } }, .bad = NOT_LF },
	[ST_DATA_CR] = { .exit = { { '\r', ST_DATA_LF } },
	    .bad = "chunk longer than its size" },
	[ST_DATA_LF] = { .exit = { { '\n', ST_SIZE_FIRST } }, .bad = NOT_LF },
	[ST_TRAILER] = { .enter = C_TOKEN,
	    .to = ST_TNAME,
	    .exit = { { '\r', ST_END_LF } },
	    .bad = "bad trailer" },
	[ST_TNAME] = { .limit = &lim_trailer,
	    .run = C_TOKEN,
	    .drop = true,
	    .exit = { { ':', ST_TVALUE } },
	    .bad = "bad trailer" },
	[ST_TVALUE] = { .limit = &lim_trailer,
	    .run = C_FIELD,
	    .drop = true,
	    .exit = { { '\r', ST_TVALUE_LF } },
	    .bad = "bad trailer" },
	[ST_TVALUE_LF] = { .limit = &lim_trailer,
	    .drop = true,
	    .exit = { { '\n', ST_TRAILER_NEXT } },
	    .bad = NOT_LF },
	[ST_TRAILER_NEXT] = { .limit = &lim_trailer,
	    .enter = C_TOKEN,
	    .to = ST_TNAME,
	    .drop = true,
	    .exit = { { '\r', ST_END_LF } },
	    .bad = "bad trailer" },
	[ST_END_LF] = { .exit = { { '\n', ST_DONE } }, .bad = NOT_LF },
};

static unsigned char classes[256];

static unsigned char
class_of(unsigned char c)
{
	unsigned char cls = 0;

	if (c == '\t' || (c >= 0x20 && c != 0x7f))
		cls |= C_FIELD;
	if (c >= 0x20 && c < 0x7f)
		cls |= C_LINE;
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	    (c >= 'A' && c <= 'F'))
		cls |= C_HEX;
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL))
		cls |= C_TOKEN;
	return cls;
}

static int
refuse(struct screen *s, int status, const char *text)
{
	s->status = status;
	s->text = text;
	return -1;
}

static int
count(struct screen *s, const struct limit *l)
{
	uint32_t *n = (uint32_t *)(void *)((char *)s + l->offset);

	return ++*n > l->max ? refuse(s, l->status, l->text) : 0;
}

/* Where byte leads; STATES: nowhere. */
static unsigned char
next_state(const struct screen *s, char byte, unsigned char cls)
{
	const struct rule *r = &rules[s->state];

	if ((cls & r->run) != 0)
		return s->state;
	if ((cls & r->enter) != 0)
		return r->to;
	for (int i = 0; i < 2; i++)
		if (r->exit[i].byte != '\0' && byte == r->exit[i].byte)
			return r->exit[i].to;
	return STATES;
}

/* Goes there; what that means beyond the state itself. */
static int
enter(struct screen *s, unsigned char to, char byte)
{
	if (to == ST_NAME && s->state == ST_FIELD) {
		s->line = 0;
		if (count(s, &lim_fields) != 0)
			return -1;
	} else if (to == ST_SIZE) {
		s->left = s->left << 4 |
		    (byte <= '9' ? byte - '0' : (byte & 0xf) + 9);
	} else if (to == ST_SIZE_FIRST) {
		s->left = 0;
		s->digits = 0;
	} else if (to == ST_DATA && s->left == 0) {
		to = ST_TRAILER;
	}
	s->head_done = s->head_done || to == ST_HEAD_DONE;
	s->done = to == ST_DONE;
	s->state = to;
	return rules[to].limit != NULL ? count(s, rules[to].limit) : 0;
}

void
screen_init(struct screen *s)
{
	for (int i = 255; classes['\t'] == 0 && i >= 0; i--)
		classes[i] = class_of((unsigned char)i);
	memset(s, 0, sizeof(*s));
	s->state = ST_START;
}

static enum screen_verdict
feed_data(struct screen *s, size_t n, size_t *ret_used)
{
	size_t take = (uint64_t)s->left < n ? (size_t)s->left : n;

	s->left -= (int64_t)take;
	if (s->left == 0 && s->state == ST_BODY)
		s->done = true;
	else if (s->left == 0)
		s->state = ST_DATA_CR;
	*ret_used = take;
	return SCREEN_PASS;
}

static enum screen_verdict
feed_framing(struct screen *s, const char *p, size_t n, size_t *ret_used)
{
	bool drop = false;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)p[i];
		unsigned char to = next_state(s, p[i], classes[byte]);

		if (to == STATES) {
			(void)refuse(s, 400,
			    byte == '\n' ? "LF without CR"
					 : rules[s->state].bad);
			return SCREEN_BAD;
		}
		if (i > 0 && rules[to].drop != drop)
			break;
		drop = rules[to].drop;
		if (!s->head_done && count(s, &lim_head) != 0)
			return SCREEN_BAD;
		if (enter(s, to, p[i]) != 0)
			return SCREEN_BAD;
		if (to == ST_HEAD_DONE || to == ST_DATA || to == ST_DONE) {
			i++;
			break;
		}
	}
	*ret_used = i;
	return drop ? SCREEN_DROP : SCREEN_PASS;
}

enum screen_verdict
screen_feed(struct screen *s, const char *p, size_t n, size_t *ret_used)
{
	*ret_used = 0;
	if (s->state == ST_BODY || s->state == ST_DATA)
		return feed_data(s, n, ret_used);
	if (s->done || s->state == ST_HEAD_DONE)
		return SCREEN_PASS;
	return feed_framing(s, p, n, ret_used);
}

void
screen_body(struct screen *s, int64_t length)
{
	s->left = length > 0 ? length : 0;
	s->digits = 0;
	s->state = length < 0 ? ST_SIZE_FIRST : ST_BODY;
	s->done = length == 0;
}
