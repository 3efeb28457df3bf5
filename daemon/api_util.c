/*
 * api_util.c - who asks, what the body says, how a failure is told.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/api_impl.h"
#include "daemon/json.h"
#include "daemon/tokens.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "lib/utf8.h"

struct front *
api_front(const struct http_req *r)
{
	const struct api *api = http_arg(r);

	return api->f;
}

/*** Who asks ***/

/* A name that is shown in files and logs: printable, no blanks. */
static bool
identity_ok(const char *s)
{
	if (strlen(s) >= SB_IDENTITY_MAX || strcmp(s, "-") == 0)
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

/* X-Sandbox-Identity: root names a local uid or anything else. */
static bool
named_caller(struct http_req *r, const char *name, struct caller *c)
{
	int64_t uid;

	if (http_is_unix(r) && c->uid != 0) {
		http_error(r, 403,
		    "X-Sandbox-Identity: only root may speak for another");
		return false;
	}
	if (!identity_ok(name) ||
	    http_header_count(r, "x-sandbox-identity") > 1) {
		http_error(r, 400, "X-Sandbox-Identity: not a name");
		return false;
	}
	c->all = false;
	c->uid = (uid_t)-1;
	c->gid = (gid_t)-1;
	str_copy(c->identity, name, sizeof(c->identity));
	if (strncmp(name, "uid:", 4) != 0)
		return true;
	if (!http_is_unix(r) ||
	    int_parse(name + 4, 0, UINT32_MAX - 1, &uid) != 0) {
		http_error(r, 400,
		    http_is_unix(r)
			? "X-Sandbox-Identity: uid: and a number"
			: "X-Sandbox-Identity: uid: names local users, not "
			  "over TCP");
		return false;
	}
	c->uid = (uid_t)uid;
	c->gid = (gid_t)uid;
	(void)snprintf(c->identity, sizeof(c->identity), "uid:%u", c->uid);
	return true;
}

/* Of a request over TCP, where there are tokens. False: answered. */
static bool
admit_token(struct http_req *r, const char **ret_identity)
{
	const struct front *f = api_front(r);
	unsigned char from[TOKENS_ADDRESS];
	int err = -EACCES;

	http_peer_address(r, from);
	if (http_header_count(r, "authorization") <= 1)
		err = tokens_admit(f->tokens, http_header(r, "authorization"),
		    from, (int64_t)uv_now(f->loop), ret_identity);
	if (err == 0)
		return true;
	if (err == -EAGAIN) {
		http_add_header(r, "Retry-After", "60");
		http_error(r, 429, "too many authentication failures");
		return false;
	}
	http_add_header(r, "WWW-Authenticate", "Bearer");
	http_error(r, 401, "authentication failed");
	return false;
}

bool
api_admit(struct http_req *r, const struct http_route *route)
{
	const char *identity;

	return http_is_unix(r) || api_front(r)->tokens == NULL ||
	    route->handle == api_health || route->handle == api_metrics ||
	    admit_token(r, &identity);
}

/* Whose token it is: a name is that identity, and no other. */
static bool
token_caller(struct http_req *r, struct caller *c)
{
	const struct front *f = api_front(r);
	const char *name = http_header(r, "x-sandbox-identity");
	const char *identity = NULL;

	if (http_is_unix(r) || f->tokens == NULL)
		return true;
	if (!admit_token(r, &identity))
		return false;
	if (identity == NULL)
		return true;
	if (name != NULL && name[0] != '\0' && strcmp(name, identity) != 0) {
		http_error(r, 403,
		    "X-Sandbox-Identity: not the identity of this token");
		return false;
	}
	c->all = false;
	(void)str_copy(c->identity, identity, sizeof(c->identity));
	return true;
}

/* A page of another site may make a browser on this machine send us a
 * request, of which Origin tells. */
bool
api_other_site(const struct http_req *r)
{
	const char *origin = http_header(r, "origin");
	const char *host = http_header(r, "host");
	const char *of = origin != NULL ? strstr(origin, "://") : NULL;

	if (origin == NULL || http_is_unix(r))
		return false;
	return of == NULL || host == NULL || strcasecmp(of + 3, host) != 0;
}

bool
api_caller(struct http_req *r, struct caller *ret)
{
	const char *name = http_header(r, "x-sandbox-identity");
	struct caller c = { .all = !http_is_unix(r), .identity = "-" };

	if (api_other_site(r)) {
		http_error(r, 403, "cross-origin request blocked");
		return false;
	}
	http_peer(r, &c.uid, &c.gid, &c.pid);
	if (http_is_unix(r)) {
		c.all = c.uid == 0;
		(void)snprintf(c.identity, sizeof(c.identity), "uid:%u", c.uid);
	}
	if (!token_caller(r, &c) ||
	    (name != NULL && name[0] != '\0' && !named_caller(r, name, &c)))
		return false;
	*ret = c;
	return true;
}

struct sandbox *
api_sandbox(struct http_req *r)
{
	struct caller c;
	struct sandbox *sb;

	if (!api_caller(r, &c))
		return NULL;
	sb = sandbox_find(api_front(r), &c, http_var(r, 0));
	if (sb == NULL)
		http_error(r, 404, "sandbox not found");
	return sb;
}

bool
api_admin(struct http_req *r)
{
	struct caller c;

	if (!http_is_unix(r)) {
		http_error(
		    r, 403, "admin routes are only accessible via Unix socket");
		return false;
	}
	if (!api_caller(r, &c))
		return false;
	if (!c.all && c.uid != geteuid()) {
		http_error(r, 403, "only root may change the pool");
		return false;
	}
	return true;
}

/*** Failures ***/

static const struct {
	int code, status;
} statuses[] = {
	{ EINVAL, 400 },
	{ E2BIG, 400 },
	{ ENAMETOOLONG, 400 },
	{ EOPNOTSUPP, 400 },
	{ EPERM, 403 },
	{ EACCES, 403 },
	{ ENOENT, 404 },
	{ ESTALE, 404 },
	{ EEXIST, 409 },
	{ EBUSY, 409 },
	{ ESRCH, 409 },
	{ EHOSTDOWN, 409 },
	{ EDQUOT, 503 },
	{ EAGAIN, 503 },
	{ ENOSPC, 507 },
};

void
api_fail(struct http_req *r, const struct err *e, const char *before)
{
	int status = 500;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].code == e->code)
			status = statuses[i].status;
	if (status == 503)
		http_add_header(r, "Retry-After", "2");
	if (e->code == EHOSTDOWN)
		http_error(r, status, "sandbox is not running");
	else if (e->code == ESTALE)
		http_error(r, status, "sandbox not found");
	else if (status == 500 && before != NULL)
		http_error(r, status, "%s: %s", before, e->text);
	else
		http_error(r, status, "%s", e->text);
}

/* Clients on node:http cannot bear a 204 over a Unix socket; they are those
 * that send no User-Agent. */
void
api_gone(struct http_req *r)
{
	if (http_is_unix(r) && http_header(r, "user-agent") == NULL)
		http_json(r, 200, json_object());
	else
		http_reply(r, 204, NULL, NULL, 0);
}

/*** Bodies ***/

typedef const char *reader(const json_t *v, void *to);

static const char *
read_string(const json_t *v, void *to)
{
	if (!json_is_string(v))
		return "expected string";
	if (strlen(json_string_value(v)) != json_string_length(v))
		return "contains a NUL byte";
	*(const char **)to = json_string_value(v);
	return NULL;
}

static const char *
read_bytes(const json_t *v, void *to)
{
	if (!json_is_string(v))
		return "expected string";
	*(const json_t **)to = v;
	return NULL;
}

/* Of seconds, the milliseconds are a number as well. */
static const char *
read_int(const json_t *v, void *to)
{
	int64_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return "expected integer";
	if (n > INT64_MAX / 1000 || n < INT64_MIN / 1000)
		return "out of range";
	*(int64_t *)to = n;
	return NULL;
}

static const char *
read_number(const json_t *v, void *to)
{
	if (!json_is_number(v) || !isfinite(json_number_value(v)))
		return "expected number";
	*(double *)to = json_number_value(v);
	return NULL;
}

static const char *
read_bool(const json_t *v, void *to)
{
	if (!json_is_boolean(v))
		return "expected boolean";
	*(int *)to = json_is_true(v);
	return NULL;
}

static const char *
read_size(const json_t *v, void *to)
{
	if (!json_is_string(v))
		return "expected string";
	if (size_parse(json_string_value(v), to) != 0)
		return "not a size such as \"512m\"";
	return NULL;
}

static const char *
read_map_of(const json_t *v, void *to, bool null_ok)
{
	const char *key;
	json_t *value;

	if (!json_is_object(v))
		return "expected object";
	json_object_foreach ((json_t *)(uintptr_t)v, key, value) {
		if (null_ok && json_is_null(value))
			continue;
		if (!json_is_string(value))
			return "expected an object of strings";
		if (strlen(json_string_value(value)) !=
		    json_string_length(value))
			return "contains a NUL byte";
	}
	*(const json_t **)to = v;
	return NULL;
}

static const char *
read_map(const json_t *v, void *to)
{
	return read_map_of(v, to, false);
}

static const char *
read_map_null(const json_t *v, void *to)
{
	return read_map_of(v, to, true);
}

static reader *const readers[] = {
	[API_STRING] = read_string,
	[API_BYTES] = read_bytes,
	[API_INT] = read_int,
	[API_NUMBER] = read_number,
	[API_BOOL] = read_bool,
	[API_SIZE] = read_size,
	[API_MAP] = read_map,
	[API_MAP_NULL] = read_map_null,
};

json_t *
api_object(struct http_req *r, bool empty_ok)
{
	size_t n;
	const char *p = http_body_data(r, &n);
	json_error_t je;
	json_t *j;

	if (n == 0 && empty_ok)
		return json_object();
	if (n == 0) {
		http_error(r, 400, API_BAD_BODY ": it is empty");
		return NULL;
	}
	j = json_loadb(p, n,
	    JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL |
		JSON_REJECT_DUPLICATES,
	    &je);
	if (j == NULL) {
		http_error(
		    r, 400, API_BAD_BODY ": %s (line %d)", je.text, je.line);
		return NULL;
	}
	if (json_is_null(j)) {
		json_decref(j);
		return json_object();
	}
	if (!json_is_object(j)) {
		json_decref(j);
		http_error(r, 400, API_BAD_BODY ": expected an object");
		return NULL;
	}
	return j;
}

json_t *
api_body(struct http_req *r, const struct api_field *fields, void *out,
    bool empty_ok)
{
	json_t *j = api_object(r, empty_ok);

	for (; j != NULL && fields->name != NULL; fields++) {
		const json_t *v = json_object_get(j, fields->name);
		const char *wrong = NULL;

		if (v != NULL && !json_is_null(v))
			wrong = readers[fields->kind](
			    v, (char *)out + fields->offset);
		else if (fields->required)
			wrong = "is required";
		if (wrong == NULL)
			continue;
		http_error(
		    r, 400, API_BAD_BODY ": %s: %s", fields->name, wrong);
		json_decref(j);
		return NULL;
	}
	return j;
}

bool
api_limits(struct http_req *r, double cpu, struct rt_limits *l)
{
	const char *wrong = NULL;

	if (!isnan(cpu) && cpu != 0 && (cpu < 0.001 || cpu > 1e6))
		wrong = "cpu: must be 0 or from 0.001 to 1000000";
	else if (l->pids < -1)
		wrong = "pids: must not be negative";
	l->cpu_milli = isnan(cpu) ? -1 : (int64_t)lround(cpu * 1000);
	if (wrong != NULL)
		http_error(r, 400, API_BAD_BODY ": %s", wrong);
	return wrong == NULL;
}

/*** Shapes ***/

json_t *
api_time(int64_t real_ms)
{
	char text[CLOCK_TEXT];

	clock_text(text, real_ms);
	return json_string(text);
}

/* Of a running one whose ttl has begun; sessions come with the WebSocket. */
json_t *
api_sandbox_info(const struct sandbox *sb)
{
	json_t *j = json_pack("{s:s,s:s,s:s,s:o,s:I,s:s,s:s,s:s,s:s}", "id",
	    sb->id, "image", sb->image, "state", sb_state_names[sb->state],
	    "created", api_time(sb->created_ms), "ttl", (json_int_t)sb->ttl_s,
	    "owner", sb->owner, "runtime", sb->runtime, "network", sb->network,
	    "profile", sb->profile);

	if (sb->profile[0] == '\0')
		(void)json_object_del(j, "profile");
	if (sb->name[0] != '\0')
		(void)json_object_set_new(j, "name", json_string(sb->name));
	if (json_object_size(sb->labels) > 0)
		(void)json_object_set(j, "labels", sb->labels);
	if (sb->state == SB_ERROR)
		(void)json_object_set_new(j, "error", json_string(sb->reason));
	(void)json_object_update_new(j,
	    json_pack("{s:I,s:f,s:I,s:I,s:I,s:I,"
		      "s:b}",
		"memory_bytes", (json_int_t)sb->limits.memory_bytes, "cpu",
		(double)sb->limits.cpu_milli / 1000, "pids",
		(json_int_t)sb->limits.pids, "storage_bytes",
		(json_int_t)sb->limits.storage_bytes, "timeout",
		(json_int_t)sb->timeout_s, "idle", (json_int_t)sb->idle_s,
		"protect", sb->protect));
	return j;
}

void
api_text(const void *p, size_t n, json_t **ret_text, json_t **ret_base64)
{
	const unsigned char *s = p;
	cleanup_free char *text = NULL;
	cleanup_buf struct buf coded = BUF_INIT;
	size_t len = 0;

	*ret_base64 = NULL;
	*ret_text = json_stringn(n > 0 ? p : "", n);
	if (*ret_text != NULL)
		return;
	text = xmalloc(n * 3 + 1);
	for (size_t i = 0; i < n;) {
		size_t step = utf8_length(s + i, n - i);

		memcpy(text + len,
		    step > 0 ? (const void *)(s + i) : "\xef\xbf\xbd",
		    step > 0 ? step : 3);
		len += step > 0 ? step : 3;
		i += step > 0 ? step : 1;
	}
	buf_limit(&coded, n * 2 + 4);
	(void)json_add_base64(&coded, p, n);
	*ret_text = json_stringn(text, len);
	*ret_base64 = json_stringn_nocheck(buf_str(&coded), coded.len);
}
