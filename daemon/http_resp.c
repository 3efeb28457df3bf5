#include "daemon/http_resp.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/size.h"

#define INTERIM_MAX 8 /* 100, 103 and their like before the response */
#define LENGTH_MAX 999999999999999999

/*** Names ***/

bool
http_has_token(const char *list, const char *token)
{
	size_t want = strlen(token), n;

	for (; list != NULL && *list != '\0'; list += n) {
		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == want && strncasecmp(list, token, n) == 0)
			return true;
	}
	return false;
}

bool
http_hop_by_hop(const char *name, const char *connection)
{
	static const char *const names[] = { "connection", "keep-alive",
		"proxy-authenticate", "proxy-authorization", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return http_has_token(connection, name);
}

const char *
http_resp_field(const struct http_resp *s, const char *name, size_t *ret_n)
{
	const char *value = NULL;
	size_t i, n = 0;

	for (i = 0; i < s->nfields; i++)
		if (strcmp(s->fields[i].name, name) == 0) {
			value = s->fields[i].value;
			n++;
		}
	if (ret_n != NULL)
		*ret_n = n;
	return value;
}

/*** The parser ***/

static int
on_body(llhttp_t *p, const char *at, size_t n)
{
	struct http_resp *s = p->data;

	s->ops->data(s->arg, at, n);
	return 0;
}

static const llhttp_settings_t settings = { .on_body = on_body };

static void
begin(struct http_resp *s)
{
	screen_init(&s->screen);
	llhttp_init(&s->parser, HTTP_RESPONSE, &settings);
	s->parser.data = s;
	buf_clear(&s->head);
	buf_limit(&s->head, SCREEN_HEAD_MAX);
	s->nfields = 0;
}

void
http_resp_init(struct http_resp *s, bool no_body, bool upgrade,
    const struct http_resp_ops *ops, void *arg)
{
	memset(s, 0, sizeof(*s));
	s->no_body = no_body;
	s->upgrade = upgrade;
	s->ops = ops;
	s->arg = arg;
	begin(s);
}

void
http_resp_done(struct http_resp *s)
{
	buf_done(&s->head);
}

static int
refuse(struct http_resp *s, const char *why)
{
	s->why = why;
	return -1;
}

/*** The head ***/

/* The screen has seen to it: lines end in CRLF, names are tokens before a
 * colon. The bytes become strings; false: too many. */
static bool
cut_fields(struct http_resp *s)
{
	char *p = strstr(s->head.data, "\r\n") + 2, *end;
	struct http_resp_field *f;
	char *value;

	for (; *p != '\r'; p = end + 2) {
		if (s->nfields == SCREEN_FIELDS_MAX)
			return false;
		end = strstr(p, "\r\n");
		value = strchr(p, ':');
		*end = '\0';
		*value++ = '\0';
		f = &s->fields[s->nfields++];
		f->name = p;
		for (; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		f->value = value + strspn(value, " \t");
		for (p = end; p > f->value && (p[-1] == ' ' || p[-1] == '\t');)
			*--p = '\0';
	}
	return true;
}

/* Where it ends: one way of saying so, or the end of the connection. */
static int
find_length(struct http_resp *s)
{
	size_t nlength, ncoding;
	const char *length = http_resp_field(s, "content-length", &nlength);
	const char *coding = http_resp_field(s, "transfer-encoding", &ncoding);

	s->length = HTTP_RESP_TO_END;
	if (ncoding > 0) {
		if (ncoding > 1 || nlength > 0 || s->parser.http_minor == 0 ||
		    strcasecmp(coding, "chunked") != 0)
			return refuse(s, "bad transfer encoding");
		s->length = -1;
	} else if (nlength > 0) {
		if (nlength > 1 || !isdigit((unsigned char)*length) ||
		    int_parse(length, 0, LENGTH_MAX, &s->length) < 0)
			return refuse(s, "bad content length");
	}
	return 0;
}

static bool
is_upgrade(const struct http_resp *s)
{
	return s->upgrade &&
	    http_has_token(http_resp_field(s, "upgrade", NULL), "websocket") &&
	    http_has_token(http_resp_field(s, "connection", NULL), "upgrade");
}

static int
begin_body(struct http_resp *s)
{
	bool none = s->status == 204 || s->status == 304;

	s->in_body = true;
	if (none)
		s->length = 0;
	s->ops->head(s->arg);
	if (s->no_body || s->length == 0)
		s->done = true;
	else if (s->length != HTTP_RESP_TO_END)
		screen_body(&s->screen, s->length);
	return 0;
}

static int
head_done(struct http_resp *s)
{
	llhttp_errno_t r =
	    llhttp_execute(&s->parser, s->head.data, s->head.len);

	s->status = s->parser.status_code;
	if ((r != HPE_OK && r != HPE_PAUSED_UPGRADE) ||
	    s->parser.http_major != 1 || s->parser.http_minor > 1 ||
	    s->status < 100 || s->status > 599)
		return refuse(s, "bad response");
	if (!cut_fields(s))
		return refuse(s, "too many headers");
	if (s->status == 101) {
		if (!is_upgrade(s))
			return refuse(s, "an upgrade nobody asked for");
		s->upgraded = true;
		s->length = HTTP_RESP_TO_END;
		return begin_body(s);
	}
	if (s->status < 200) {
		if (++s->interim > INTERIM_MAX)
			return refuse(s, "too many interim responses");
		begin(s);
		return 0;
	}
	return find_length(s) < 0 ? -1 : begin_body(s);
}

/*** Bytes ***/

static int
feed_screened(struct http_resp *s, const char *p, size_t n, size_t *ret_used)
{
	enum screen_verdict v = screen_feed(&s->screen, p, n, ret_used);

	if (v == SCREEN_BAD)
		return refuse(s, s->screen.text);
	if (!s->in_body) {
		if (v == SCREEN_PASS && buf_add(&s->head, p, *ret_used) != 0)
			return refuse(s, "head too long");
		return s->screen.head_done ? head_done(s) : 0;
	}
	if (v == SCREEN_PASS && s->length >= 0)
		s->ops->data(s->arg, p, *ret_used);
	else if (v == SCREEN_PASS &&
	    llhttp_execute(&s->parser, p, *ret_used) != HPE_OK)
		return refuse(s, "bad chunk");
	s->done = s->screen.done;
	return 0;
}

int
http_resp_feed(struct http_resp *s, const char *p, size_t n)
{
	size_t used;

	while (n > 0 && !s->done) {
		if (s->in_body && s->length == HTTP_RESP_TO_END) {
			s->ops->data(s->arg, p, n);
			return 0;
		}
		if (feed_screened(s, p, n, &used) < 0)
			return -1;
		p += used;
		n -= used;
	}
	return 0;
}

int
http_resp_eof(struct http_resp *s)
{
	if (!s->done && (!s->in_body || s->length != HTTP_RESP_TO_END))
		return refuse(s, "it ended in the middle");
	s->done = true;
	return 0;
}
