#include "daemon/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/http_impl.h"
#include "lib/buf.h"
#include "lib/mem.h"

/* Two outputs of a job, each byte of them escaped as \uXXXX. */
#define JSON_MAX (128u << 20)
#define KEEPALIVE_S 60

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 426, "Upgrade Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

static const char *
reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

static const char *
date_of(struct http_server *s)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != s->date_s && gmtime_r(&now, &tm) != NULL) {
		(void)strftime(
		    s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now;
	}
	return s->date;
}

static bool
has_no_body(int status)
{
	return status == 204 || status == 304 || status < 200;
}

/* "Connection" for this answer; decides whether the connection goes on. */
static const char *
connection_line(struct http_req *r, int64_t length)
{
	bool open_end =
	    length < 0 && !r->minor && !r->head_only && !has_no_body(r->status);

	if (r->phase != PHASE_WAIT || r->c->s->quiet || open_end)
		r->keep_alive = false;
	if (!r->keep_alive)
		return "Connection: close\r\n";
	return r->minor ? "" : "Connection: keep-alive\r\n";
}

/* Status line and headers. */
static int
build_head(
    struct http_req *r, const char *type, int64_t length, char *p, size_t n)
{
	const char *connection = connection_line(r, length);
	char body[64] = "";

	if (length >= 0 && !has_no_body(r->status))
		(void)snprintf(body, sizeof(body), "Content-Length: %lld\r\n",
		    (long long)length);
	else if (r->chunked)
		(void)snprintf(
		    body, sizeof(body), "%s", "Transfer-Encoding: chunked\r\n");
	return snprintf(p, n, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s",
	    r->status, reason_of(r->status), date_of(r->c->s),
	    type != NULL ? "Content-Type: " : "", type != NULL ? type : "",
	    type != NULL ? "\r\n" : "", body, connection);
}

/* Sends the head and the first bytes in one write. */
static void
start(
    struct http_req *r, const char *type, int64_t length, const uv_buf_t *data)
{
	char head[1024];
	uv_buf_t bufs[4] = { { .base = head } };
	int n = build_head(r, type, length, head, sizeof(head));

	bufs[0].len = (size_t)n < sizeof(head) ? (size_t)n : sizeof(head) - 1;
	bufs[1] = uv_buf_init(r->extra.data, (unsigned)r->extra.len);
	bufs[2] = uv_buf_init((char *)(uintptr_t) "\r\n", 2);
	if (data != NULL && !r->head_only && !has_no_body(r->status))
		bufs[3] = *data;
	http_conn_write(r->c, bufs, bufs[3].len > 0 ? 4 : 3);
}

static void
finish(struct http_req *r)
{
	r->over = true;
	http_conn_due(r->c);
}

void
http_add_header(struct http_req *r, const char *name, const char *value)
{
	size_t from = r->extra.len;

	if (buf_addf(&r->extra, "%s: %s", name, value) != 0)
		return;
	for (size_t i = from; i < r->extra.len; i++)
		if ((unsigned char)r->extra.data[i] < 0x20 ||
		    r->extra.data[i] == 0x7f)
			r->extra.data[i] = ' ';
	if (buf_adds(&r->extra, "\r\n") != 0)
		buf_cut(&r->extra, from);
}

void
http_reply(
    struct http_req *r, int status, const char *type, const void *p, size_t n)
{
	uv_buf_t data = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);

	if (r->status != 0 || r->over)
		return;
	r->status = status;
	start(r, type, (int64_t)n, &data);
	finish(r);
}

void
http_error(struct http_req *r, int status, const char *fmt, ...)
{
	cleanup_free char *text = NULL;
	json_t *j;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	j = json_string(text != NULL ? text : "out of memory");
	for (char *p = text; j == NULL && *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?'; /* it was not UTF-8 */
	http_json(r, status,
	    json_pack("{s:o}", "error", j != NULL ? j : json_string(text)));
}

static int
add_json(const char *p, size_t n, void *arg)
{
	return buf_add(arg, p, n);
}

void
http_json(struct http_req *r, int status, json_t *j)
{
	static const char failed[] = "{\"error\":\"answer too large\"}\n";
	cleanup_buf struct buf text = BUF_INIT;

	buf_limit(&text, JSON_MAX);
	if (j == NULL ||
	    json_dump_callback(j, add_json, &text,
		JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) !=
		0 ||
	    buf_adds(&text, "\n") != 0)
		http_reply(
		    r, 500, "application/json", failed, sizeof(failed) - 1);
	else
		http_reply(r, status, "application/json", text.data, text.len);
	json_decref(j);
}

void
http_begin(struct http_req *r, int status, const char *type, int64_t length)
{
	if (r->status != 0 || r->over)
		return;
	r->status = status;
	r->to_send = length;
	r->chunked = length < 0 && r->minor && !has_no_body(status);
	start(r, type, length, NULL);
}

size_t
http_send(struct http_req *r, const void *p, size_t n)
{
	char size[24];
	uv_buf_t bufs[3] = { { .base = size } };
	uv_buf_t data = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);

	if (r->to_send >= 0 && n > (size_t)r->to_send)
		n = (size_t)r->to_send;
	data.len = n;
	if (r->to_send >= 0)
		r->to_send -= (int64_t)n;
	if (n > 0 && !r->over && !r->head_only &&
	    (!has_no_body(r->status) || r->phase == PHASE_RAW)) {
		bufs[0].len =
		    (size_t)snprintf(size, sizeof(size), "%zx\r\n", n);
		bufs[1] = data;
		bufs[2] = uv_buf_init((char *)(uintptr_t) "\r\n", 2);
		if (r->chunked)
			http_conn_write(r->c, bufs, 3);
		else
			http_conn_write(r->c, &data, 1);
	}
	return uv_stream_get_write_queue_size(&r->c->u.stream);
}

void
http_upgrade(struct http_req *r, const char *protocol,
    void (*data)(struct http_req *r, const void *p, size_t n))
{
	char head[256];
	uv_buf_t bufs[3] = { { .base = head } };
	int n;

	if (r->status != 0 || r->over || r->phase != PHASE_WAIT)
		return;
	r->status = 101;
	r->phase = PHASE_RAW;
	r->keep_alive = false;
	r->data = data;
	n = snprintf(head, sizeof(head),
	    "HTTP/1.1 101 %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
	    reason_of(101), protocol);
	bufs[0].len = (size_t)n;
	bufs[1] = uv_buf_init(r->extra.data, (unsigned)r->extra.len);
	bufs[2] = uv_buf_init((char *)(uintptr_t) "\r\n", 2);
	http_conn_write(r->c, bufs, 3);
	/* a peer whose machine has gone would never be heard of */
	if (!r->c->is_unix)
		(void)uv_tcp_keepalive(&r->c->u.tcp, 1, KEEPALIVE_S);
	http_conn_due(r->c);
}

void
http_on_drain(struct http_req *r, void (*drained)(struct http_req *r))
{
	r->drained = drained;
}

void
http_end(struct http_req *r)
{
	uv_buf_t last = uv_buf_init((char *)(uintptr_t) "0\r\n\r\n", 5);

	if (r->over)
		return;
	if (r->chunked && !r->head_only)
		http_conn_write(r->c, &last, 1);
	if (r->status == 0 || (r->to_send > 0 && !r->head_only))
		r->cut = true;
	finish(r);
}

void
http_abort(struct http_req *r)
{
	r->cut = true;
	finish(r);
}
