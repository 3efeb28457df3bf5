#include "daemon/http.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "daemon/http_impl.h"
#include "lib/mem.h"
#include "lib/size.h"

/* Methods of HTTP and its registry: one we lack is 405, another is 501. */
static const char *const known_methods[] = { "GET", "HEAD", "POST", "PUT",
	"DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "ACL",
	"BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL",
	"LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL",
	"MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND",
	"PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT",
	"UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
	NULL };

/*** What the parser tells ***/

static int
on_url(llhttp_t *p, const char *at, size_t n)
{
	struct http_req *r = p->data;

	if (r->target_len == 0)
		r->target = (uint16_t)(at - r->head.data);
	r->target_len = (uint16_t)(r->target_len + n);
	return 0;
}

static int
on_field(llhttp_t *p, const char *at, size_t n)
{
	struct http_req *r = p->data;

	if (r->nfields == 0 || r->in_value) {
		if (r->nfields == SCREEN_FIELDS_MAX)
			return -1;
		r->fields[r->nfields++] = (struct http_field){
			.name = (uint16_t)(at - r->head.data),
		};
	}
	r->in_value = false;
	r->fields[r->nfields - 1].name_len += (uint16_t)n;
	return 0;
}

static int
on_value(llhttp_t *p, const char *at, size_t n)
{
	struct http_req *r = p->data;
	struct http_field *f;

	if (r->nfields == 0)
		return -1;
	f = &r->fields[r->nfields - 1];
	if (f->value_len == 0)
		f->value = (uint16_t)(at - r->head.data);
	r->in_value = true;
	f->value_len += (uint16_t)n;
	return 0;
}

static int
on_headers(llhttp_t *p)
{
	struct http_req *r = p->data;

	r->keep_alive = llhttp_should_keep_alive(p) != 0;
	p->upgrade = 0; /* no route of ours changes the protocol */
	return 0;
}

static int
on_body(llhttp_t *p, const char *at, size_t n)
{
	struct http_req *r = p->data;

	if (r->over)
		return 0;
	r->window_bytes += (int64_t)n;
	if (r->data != NULL)
		r->data(r, at, n);
	else if (!r->pending->stream && buf_add(&r->body, at, n) != 0)
		r->overfull = true;
	return 0;
}

static int
on_complete(llhttp_t *p)
{
	struct http_req *r = p->data;

	r->parsed = true;
	return 0;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/*** The rules ***/

struct refusal {
	int status;
	const char *text;
};

/* "METHOD SP TARGET SP HTTP/1.x": exactly, before the parser sees it. */
static int
check_line(struct http_req *r, struct refusal *no)
{
	const char *line = r->head.data;
	const char *end = memchr(line, '\r', r->head.len);
	const char *sp = memchr(line, ' ', (size_t)(end - line));
	const char *sp2;
	size_t i;

	*no = (struct refusal){ 400, "bad request line" };
	if (sp == NULL || sp == line)
		return -1;
	sp2 = memchr(sp + 1, ' ', (size_t)(end - sp - 1));
	if (sp2 == NULL || sp2 == sp + 1 || end - sp2 != 9 ||
	    memcmp(sp2 + 1, "HTTP/", 5) != 0 ||
	    !isdigit((unsigned char)sp2[6]) || sp2[7] != '.' ||
	    !isdigit((unsigned char)sp2[8]))
		return -1;
	*no = (struct refusal){ 505, "HTTP version not supported" };
	if (sp2[6] != '1' || (sp2[8] != '0' && sp2[8] != '1'))
		return -1;
	r->minor = sp2[8] == '1';
	r->method_len = (uint16_t)(sp - line);
	*no = (struct refusal){ 501, "method not implemented" };
	for (i = 0; known_methods[i] != NULL; i++)
		if (strlen(known_methods[i]) == r->method_len &&
		    memcmp(known_methods[i], line, r->method_len) == 0)
			return 0;
	for (i = 0; i < r->method_len; i++)
		if (!isalnum((unsigned char)line[i]) &&
		    strchr("!#$%&'*+-.^_`|~", line[i]) == NULL)
			*no = (struct refusal){ 400, "bad method" };
	return -1;
}

/* Cuts the head into strings: names in lower case, values trimmed. */
static void
cut_fields(struct http_req *r)
{
	char *h = r->head.data;

	for (uint16_t i = 0; i < r->nfields; i++) {
		struct http_field *f = &r->fields[i];

		for (uint16_t j = 0; j < f->name_len; j++)
			h[f->name + j] =
			    (char)tolower((unsigned char)h[f->name + j]);
		h[f->name + f->name_len] = '\0';
		if (f->value_len == 0)
			f->value = f->name + f->name_len;
		while (f->value_len > 0 &&
		    (h[f->value] == ' ' || h[f->value] == '\t'))
			f->value++, f->value_len--;
		while (f->value_len > 0 &&
		    (h[f->value + f->value_len - 1] == ' ' ||
			h[f->value + f->value_len - 1] == '\t'))
			f->value_len--;
		h[f->value + f->value_len] = '\0';
	}
	h[r->method_len] = '\0';
	h[r->target + r->target_len] = '\0';
}

/* The last field of that name: NULL none; *ret_n how many there are. */
static const char *
single(const struct http_req *r, const char *name, size_t *ret_n)
{
	const char *value = NULL;

	*ret_n = 0;
	for (uint16_t i = 0; i < r->nfields; i++) {
		if (strcmp(r->head.data + r->fields[i].name, name) != 0)
			continue;
		value = r->head.data + r->fields[i].value;
		++*ret_n;
	}
	return value;
}

/* host, host:port, [v6]:port; empty is "no authority" (RFC 9112, 3.2). */
static bool
host_ok(const char *h, size_t len)
{
	size_t i = 0;

	if (len > 0 && h[0] == '[') {
		for (i = 1; i < len && h[i] != ']'; i++)
			if (!isxdigit((unsigned char)h[i]) && h[i] != ':' &&
			    h[i] != '.')
				return false;
		if (i == len || i == 1)
			return false;
		i++;
	} else {
		for (; i < len && h[i] != ':'; i++)
			if (!isalnum((unsigned char)h[i]) &&
			    (h[i] == '\0' ||
				strchr("-._~!$&'()*+,;=%", h[i]) == NULL))
				return false;
	}
	if (i < len && h[i++] != ':')
		return false;
	for (; i < len; i++)
		if (!isdigit((unsigned char)h[i]))
			return false;
	return true;
}

static int
check_host(struct http_req *r, struct refusal *no)
{
	size_t n;
	const char *host = single(r, "host", &n);

	if (n > 1 || (n == 0 && r->minor)) {
		*no = (struct refusal){ 400,
			n > 1 ? "more than one host" : "host header required" };
		return -1;
	}
	if (host != NULL && !host_ok(host, strlen(host))) {
		*no = (struct refusal){ 400, "bad host" };
		return -1;
	}
	return 0;
}

/* Where the message ends: one way of saying it, or none. */
static int
check_length(struct http_req *r, struct refusal *no)
{
	size_t n, ntransfer;
	const char *length = single(r, "content-length", &n);
	const char *transfer = single(r, "transfer-encoding", &ntransfer);

	*no = (struct refusal){ 400, "bad transfer encoding" };
	if (ntransfer > 0) {
		if (ntransfer > 1 || n > 0 || !r->minor ||
		    strcasecmp(transfer, "chunked") != 0)
			return -1;
		r->length = -1;
		return 0;
	}
	*no = (struct refusal){ 400, "bad content length" };
	if (n == 0)
		return 0;
	if (n > 1 || length[0] == '\0' || strlen(length) > 18)
		return -1;
	for (size_t i = 0; length[i] != '\0'; i++) {
		if (!isdigit((unsigned char)length[i]))
			return -1;
		r->length = r->length * 10 + (length[i] - '0');
	}
	return 0;
}

static int
check_expect(struct http_req *r, struct refusal *no)
{
	size_t n;
	const char *expect = single(r, "expect", &n);

	if (n == 0)
		return 0;
	if (n > 1 || strcasecmp(expect, "100-continue") != 0) {
		*no = (struct refusal){ 417, "expectation not supported" };
		return -1;
	}
	r->expects = r->minor && r->length != 0;
	return 0;
}

/* Absolute form: the target's host is checked and wins over the field. */
static int
cut_absolute(struct http_req *r, char **target)
{
	char *host = strstr(*target, "://");
	size_t len;

	if (host == NULL ||
	    (strncasecmp(*target, "http:", 5) != 0 &&
		strncasecmp(*target, "https:", 6) != 0))
		return -1;
	host += 3;
	len = strcspn(host, "/?");
	if (len == 0 || !host_ok(host, len))
		return -1;
	for (uint16_t i = 0; i < r->nfields; i++) {
		struct http_field *f = &r->fields[i];

		if (strcmp(r->head.data + f->name, "host") != 0)
			continue;
		f->value = (uint16_t)(host - r->head.data - 3);
		f->value_len = (uint16_t)len;
		memmove(host - 3, host, len); /* room for the NUL */
		host[len - 3] = '\0';
	}
	*target = host + len;
	return 0;
}

static int
check_target(struct http_req *r, struct refusal *no)
{
	char *target = r->head.data + r->target;

	*no = (struct refusal){ 400, "bad request target" };
	if (strcmp(r->head.data, "CONNECT") == 0)
		return -1;
	if (strcmp(r->head.data, "OPTIONS") == 0 && strcmp(target, "*") == 0) {
		r->path = target;
		return 0;
	}
	if (target[0] != '/' && cut_absolute(r, &target) != 0)
		return -1;
	if (strchr(target, '#') != NULL)
		return -1;
	r->query = strchr(target, '?');
	if (r->query != NULL)
		*r->query++ = '\0';
	r->path = target[0] == '\0' ? strcpy(target - 1, "/") : target;
	for (const char *p = target; *p != '\0'; p++)
		if (*p == '%' &&
		    (!isxdigit((unsigned char)p[1]) ||
			!isxdigit((unsigned char)p[2]) ||
			(p[1] == '0' && p[2] == '0')))
			return -1;
	return 0;
}

/*** For the rest ***/

void
http_head_init(struct http_req *r)
{
	llhttp_init(&r->parser, HTTP_REQUEST, &settings);
	r->parser.data = r;
	screen_init(&r->screen);
	buf_limit(&r->head, SCREEN_HEAD_MAX);
}

int
http_head_parse(struct http_req *r, const char **ret_text)
{
	static int (*const checks[])(struct http_req *, struct refusal *) = {
		check_host,
		check_length,
		check_expect,
		check_target,
	};
	struct refusal no = { 400, "bad request" };

	*ret_text = no.text;
	if (check_line(r, &no) != 0)
		goto refuse;
	if (llhttp_execute(&r->parser, r->head.data, r->head.len) != HPE_OK ||
	    r->target_len == 0)
		return 400;
	cut_fields(r);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (checks[i](r, &no) != 0)
			goto refuse;
	if (r->parsed != (r->length == 0))
		return 400;
	r->head_only = strcmp(r->head.data, "HEAD") == 0;
	screen_body(&r->screen, r->length);
	return 0;
refuse:
	*ret_text = no.text;
	return no.status;
}

bool
http_decode(char *s, bool plus)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		int high = *s == '%' ? hex_digit(s[1]) : -1;
		int low = high >= 0 ? hex_digit(s[2]) : -1;

		if (*s == '%' && (low < 0 || (high | low) == 0))
			return false;
		if (*s == '%') {
			*to++ = (char)(high << 4 | low);
			s += 2;
		} else {
			*to++ = plus && *s == '+' ? ' ' : *s;
		}
	}
	*to = '\0';
	return true;
}

const char *
http_method(const struct http_req *r)
{
	return r->head.data;
}

const char *
http_header(const struct http_req *r, const char *name)
{
	size_t n;

	return single(r, name, &n);
}

size_t
http_header_count(const struct http_req *r, const char *name)
{
	size_t n;

	(void)single(r, name, &n);
	return n;
}

bool
http_header_at(const struct http_req *r, size_t i, const char **ret_name,
    const char **ret_value)
{
	if (i >= r->nfields)
		return false;
	*ret_name = r->head.data + r->fields[i].name;
	*ret_value = r->head.data + r->fields[i].value;
	return true;
}

const char *
http_query_raw(const struct http_req *r)
{
	return r->query;
}

static void
split_query(struct http_req *r)
{
	char *pair, *rest = r->query;

	if (r->params != NULL || r->query == NULL)
		return;
	r->params = xcalloc(HTTP_PARAMS_MAX, sizeof(*r->params));
	while ((pair = strsep(&rest, "&")) != NULL &&
	    r->nparams < HTTP_PARAMS_MAX) {
		char *value = strchr(pair, '=');

		if (value != NULL)
			*value++ = '\0';
		if (!http_decode(pair, true) ||
		    (value != NULL && !http_decode(value, true)))
			continue;
		r->params[r->nparams++] = (struct http_param){
			.key = pair,
			.value = value != NULL ? value : "",
		};
	}
}

const char *
http_query_next(struct http_req *r, const char *key, size_t *at)
{
	split_query(r);
	while (*at < r->nparams) {
		const struct http_param *p = &r->params[(*at)++];

		if (strcmp(p->key, key) == 0)
			return p->value;
	}
	return NULL;
}

const char *
http_query(struct http_req *r, const char *key)
{
	size_t at = 0;

	return http_query_next(r, key, &at);
}
