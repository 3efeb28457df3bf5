/*
 * config_keys.c - the keys of the configuration: a row each, and what may be
 * written there.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_impl.h"
#include "lib/hostport.h"
#include "lib/mem.h"
#include "lib/size.h"

#define NODE_ID_MAX 23
#define ID_RANGE 65536
#define BYTES_MAX (INT64_C(1) << 50)
#define MILLI_MAX 1000000000
#define MS_MAX (INT64_C(100) * 365 * 86400 * 1000)

/* How the text of a value becomes what is kept. */
struct kind {
	unsigned types; /* of TOML that it may be written as */
	const char *expected;
	int (*set)(const struct field *f, const char *text, struct err *e);
};

/*** Kinds of values ***/

#define TYPE(t) (1u << (t))

static int
set_string(const struct field *f, const char *text, struct err *e)
{
	char **s = f->at;

	(void)e;
	free(*s);
	*s = xstrdup(text);
	return 0;
}

static int
set_needed(const struct field *f, const char *text, struct err *e)
{
	if (*text == '\0')
		return err_setx(e, EINVAL, "%s is required", f->name);
	return set_string(f, text, e);
}

static int
set_path(const struct field *f, const char *text, struct err *e)
{
	if (*text == '\0')
		return err_setx(e, EINVAL, "%s is required", f->name);
	if (*text != '/' || text[1] == '\0')
		return err_setx(e, EINVAL, "%s: %s: %s", f->name, text,
		    *text != '/' ? "expected an absolute path" : "must not be");
	return set_string(f, text, e);
}

static bool
made_of(const char *s, const char *also)
{
	for (; *s != '\0'; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
			(*s >= 'A' && *s <= 'Z') || strchr(also, *s) != NULL))
			return false;
	return true;
}

static int
set_node(const struct field *f, const char *text, struct err *e)
{
	if (strlen(text) > NODE_ID_MAX || !made_of(text, "-"))
		return err_setx(e, EINVAL,
		    "%s: %.64s: at most %d letters, digits and -", f->name,
		    text, NODE_ID_MAX);
	return set_string(f, text, e);
}

static int
set_cgroup(const struct field *f, const char *text, struct err *e)
{
	if (*text == '\0' || *text == '/' || *text == '.' ||
	    !made_of(text, "/._@-") || strstr(text, "/.") != NULL ||
	    strstr(text, "//") != NULL || text[strlen(text) - 1] == '/')
		return err_setx(e, EINVAL,
		    "%s: %.64s: expected a directory's name under the cgroup "
		    "mount",
		    f->name, text);
	return set_string(f, text, e);
}

static int
set_tcp(const struct field *f, const char *text, struct err *e)
{
	struct hostport h;

	if (*text != '\0' && !config_tcp(text, &h))
		return err_setx(e, EINVAL,
		    "%s: %.64s: expected a numeric \"address:port\"", f->name,
		    text);
	return set_string(f, text, e);
}

static int
set_address(const struct field *f, const char *text, struct err *e)
{
	struct hostport h;

	if (!hostport_set(&h, text, 0))
		return err_setx(e, EINVAL, "%s: %.64s: not a numeric address",
		    f->name, text);
	return set_string(f, text, e);
}

/* In the words of the wire's appendix B where it has some. */
static int
in_range(const struct field *f, int64_t n, struct err *e)
{
	const struct row *row = f->row;

	if (n < row->min && row->min <= 1)
		return err_setx(e, EINVAL, "%s must be %s", f->name,
		    row->min == 1 ? "positive" : "non-negative");
	if (n < row->min || n > row->max)
		return err_setx(e, EINVAL, "%s must be %lld to %lld", f->name,
		    (long long)row->min, (long long)row->max);
	return 0;
}

static int
set_int(const struct field *f, const char *text, struct err *e)
{
	int64_t n;

	if (int_parse(text, INT64_MIN, INT64_MAX, &n) < 0)
		return err_setx(
		    e, EINVAL, "%s: %.64s: expected an integer", f->name, text);
	if (in_range(f, n, e) < 0)
		return -1;
	*(int64_t *)f->at = n;
	return 0;
}

static int
set_size(const struct field *f, const char *text, struct err *e)
{
	int64_t n;
	int err = size_parse(text, &n);

	if (err < 0)
		return err_setx(e, EINVAL, "%s: \"%.64s\": %s", f->name, text,
		    err == -ERANGE ? "too large"
				   : "expected a size as 512m or 4g");
	if (in_range(f, n, e) < 0)
		return -1;
	*(int64_t *)f->at = n;
	return 0;
}

static int
set_milli(const struct field *f, const char *text, struct err *e)
{
	int64_t n;

	if (milli_parse(text, &n) < 0)
		return err_setx(e, EINVAL,
		    "%s: %.64s: expected cores as 1 or 0.5", f->name, text);
	*(int64_t *)f->at = n;
	return 0;
}

static int
set_ms(const struct field *f, const char *text, struct err *e)
{
	int64_t n;

	if (duration_parse(text, &n) < 0)
		return err_setx(e, EINVAL,
		    "%s: \"%.64s\": expected a time as 300ms, 10s or 1h30m",
		    f->name, text);
	if (n < f->row->min || n > f->row->max)
		return err_setx(e, EINVAL, "%s: \"%.64s\": too %s", f->name,
		    text, n > f->row->max ? "long" : "short");
	*(int64_t *)f->at = n;
	return 0;
}

static int
set_seconds(const struct field *f, const char *text, struct err *e)
{
	struct field ms = *f;
	int64_t n;

	ms.at = &n;
	if (set_ms(&ms, text, e) < 0)
		return -1;
	if (n % 1000 != 0)
		return err_setx(e, EINVAL,
		    "%s: \"%.64s\": expected whole seconds", f->name, text);
	*(int64_t *)f->at = n / 1000;
	return 0;
}

static int
set_flag(const struct field *f, const char *text, struct err *e)
{
	(void)e;
	*(bool *)f->at = *text == 't';
	return 0;
}

/* Its items were checked; nothing is kept. */
static int
set_list(const struct field *f, const char *text, struct err *e)
{
	(void)f;
	(void)text;
	(void)e;
	return 0;
}

int
config_name_check(const char *what, const char *name, struct err *e)
{
	if (*name == '\0' || strlen(name) >= RT_NAME_MAX ||
	    !made_of(name, "._-") || strchr("._-", *name) != NULL)
		return err_setx(e, EINVAL,
		    "%s %.64s: a name is 1 to %d letters, digits, . _ - and a "
		    "letter or digit first",
		    what, name, RT_NAME_MAX - 1);
	return 0;
}

static int
set_name(const struct field *f, const char *text, struct err *e)
{
	if (config_name_check(f->name, text, e) < 0)
		return -1;
	str_copy(f->at, text, RT_NAME_MAX);
	return 0;
}

/* A choice of one until there are more runtimes and networks. */
static int
set_only(const struct field *f, const char *text, struct err *e)
{
	if (strcmp(text, f->row->def) != 0)
		return err_setx(e, EINVAL, "%s: must be \"%s\", got \"%.64s\"",
		    f->name, f->row->def, text);
	str_copy(f->at, text, sizeof(((struct profile *)NULL)->runtime));
	return 0;
}

static int
set_proxy(const struct field *f, const char *text, struct err *e)
{
	if (strcmp(text, "any") != 0 && strcmp(text, "exposed") != 0)
		return err_setx(e, EINVAL,
		    "%s: must be \"any\" or \"exposed\", got \"%.64s\"",
		    f->name, text);
	str_copy(f->at, text, sizeof(((struct profile *)NULL)->proxy));
	return 0;
}

#define STRING TYPE(TOML_STRING)
#define WHOLE TYPE(TOML_INTEGER)
#define KIND(id, t, text) \
	static const struct kind kind_##id = { (t), text, set_##id }

KIND(string, STRING, "a string");
KIND(needed, STRING, "a string");
KIND(path, STRING, "a string");
KIND(node, STRING, "a string");
KIND(cgroup, STRING, "a string");
KIND(tcp, STRING, "a string");
KIND(address, STRING, "a string");
KIND(name, STRING, "a string");
KIND(only, STRING, "a string");
KIND(proxy, STRING, "a string");
KIND(int, WHOLE, "an integer");
KIND(size, STRING | WHOLE, "a size as \"512m\"");
KIND(milli, WHOLE | TYPE(TOML_FLOAT), "a number");
KIND(ms, STRING | WHOLE, "a time as \"10s\"");
KIND(seconds, STRING | WHOLE, "a time as \"10s\" or seconds");
KIND(flag, TYPE(TOML_BOOLEAN), "true or false");
KIND(list, TYPE(TOML_ARRAY), "an array of strings");

/*** The keys ***/

#define AT(where, field, k) \
	.kind = &kind_##k, .base = (where), .offset = (field)
#define CONFIG(f, k) AT(IN_CONFIG, offsetof(struct config, f), k)
#define WIRE(f, k) AT(IN_WIRE, offsetof(struct wire, f), k)
#define PROFILE(f, k) AT(IN_PROFILE, offsetof(struct profile, f), k)
#define TEXT(f) .text = offsetof(struct profile, f)
#define UNUSED "has no effect in this version"
#define FIXED .fixed = true
#define BYTES .max = BYTES_MAX
#define TIME .max = MS_MAX

/* In the order of sbxd.toml(5) and of the example file. */
static const struct row keys[] = {
	{ "server.socket", CONFIG(socket, path), FIXED },
	{ "server.tcp", CONFIG(tcp, tcp), .def = "", FIXED },
	{ "server.tls_cert", CONFIG(tls_cert, string), .def = "", FIXED },
	{ "server.tls_key", CONFIG(tls_key, string), .def = "", FIXED },
	{ "server.token_file", CONFIG(token_file, string), .def = "", FIXED },
	{ "server.insecure", CONFIG(insecure, flag), .def = "false", FIXED },
	{ "server.data_dir", CONFIG(data_dir, path), .def = "/var/lib/sbxd",
	    FIXED },
	{ "server.run_dir", CONFIG(run_dir, path), .def = "/run/sbxd", FIXED },
	{ "server.user", CONFIG(user, needed), .def = "_sbx", FIXED },
	{ "server.group", CONFIG(group, string), .def = "sbx", FIXED },
	{ "server.cgroup", CONFIG(cgroup, cgroup), .def = "sbxd", FIXED },
	{ "server.agent", CONFIG(agent, path),
	    .def = SBX_PREFIX "/lib/sbxd/sbx-agent", FIXED },
	{ "server.node_id", CONFIG(node_id, node), .def = "" },
	{ "server.compat_socket", CONFIG(compat_socket, flag), .def = "false",
	    FIXED },
	{ "server.id_first", CONFIG(id_first, int), .def = "268435456",
	    .min = ID_RANGE, .max = UINT32_MAX - ID_RANGE, FIXED },
	{ "server.id_count", CONFIG(id_count, int), .def = "2147483648",
	    .min = ID_RANGE, .max = UINT32_MAX - ID_RANGE, FIXED },
	{ "server.workers", CONFIG(workers, int), .def = "3", .min = 1,
	    .max = 32 },
	{ "multi_tenant.enabled", WIRE(multi_tenant, flag), .def = "false" },
	{ "multi_tenant.public_keys", WIRE(text, list), .def = "[]" },
	{ "limits.max_sandboxes", CONFIG(max_sandboxes, int), .def = "10000",
	    .min = 1, .max = 1000000 },
	{ "limits.max_memory", CONFIG(max_memory_bytes, size), .def = "4g",
	    BYTES },
	{ "limits.max_cpu", CONFIG(max_cpu_milli, milli), .def = "4.0" },
	{ "limits.total_memory", CONFIG(total_memory_bytes, size), .def = "0",
	    BYTES },
	{ "limits.total_cpu", CONFIG(total_cpu_milli, milli), .def = "0.0" },
	{ "limits.max_ttl", CONFIG(max_ttl_s, seconds), .def = "86400", TIME },
	{ "limits.connect_timeout", CONFIG(connect_timeout_s, seconds),
	    .def = "600", TIME },
	{ "limits.job_output", CONFIG(job_output_bytes, size), .def = "64m",
	    BYTES },
	{ "limits.jobs_kept", CONFIG(jobs_kept, int), .def = "100",
	    .max = 1000000 },
	{ "limits.jobs_bytes", CONFIG(jobs_bytes, size), .def = "256m", BYTES },
	{ "limits.max_templates", WIRE(number, int), .max = INT32_MAX,
	    .note = UNUSED },
	{ "limits.max_template_size", WIRE(text, string), .note = UNUSED },
	{ "limits.template_expiry_days", WIRE(number, int), .max = INT32_MAX,
	    .note = UNUSED },
	{ "limits.create_rate_limit", WIRE(number, int), .max = INT32_MAX,
	    .note = UNUSED },
	{ "limits.rate_limit_entries", WIRE(number, int), .max = INT32_MAX,
	    .note = UNUSED },
	{ "limits.max_tunnels", CONFIG(max_tunnels, int), .def = "10",
	    .max = INT32_MAX },
	{ "limits.max_connections_per_tunnel", CONFIG(max_tunnel_conns, int),
	    .def = "100", .max = INT32_MAX, FIXED },
	{ "limits.tunnel_bind_address", CONFIG(tunnel_bind_address, address),
	    .def = "127.0.0.1", FIXED },
	{ "limits.tunnel_port_min", CONFIG(tunnel_port_min, int), .def = "0",
	    .max = 65535, FIXED },
	{ "limits.tunnel_port_max", CONFIG(tunnel_port_max, int), .def = "0",
	    .max = 65535, FIXED },
	{ "limits.websocket_idle", CONFIG(websocket_idle_ms, ms), .def = "5m",
	    .min = 100, TIME },
	{ "network.bridge_name", WIRE(text, string), .note = UNUSED },
	{ "pool.min_base", CONFIG(pool_min_base, int), .def = "2",
	    .max = 100000 },
	{ "pool.max_warm", CONFIG(pool_max_warm, int), .def = "60",
	    .max = 100000 },
	{ "pool.health_interval", CONFIG(pool_health_ms, ms), .def = "10s",
	    .min = 100, TIME },
	{ "pool.total_warm", WIRE(total_warm, int), .max = INT32_MAX },
	{ "pool.min_per_image", WIRE(number, int), .max = INT32_MAX },
	{ "pool.rebalance_window", WIRE(number, ms), TIME },
	{ "pool.liveness_timeout", WIRE(number, ms), TIME },
	{ "firecracker.binary_path", WIRE(text, string), .note = UNUSED },
	{ "firecracker.kernel_path", WIRE(text, string), .note = UNUSED },
	{ "firecracker.rootfs_dir", WIRE(text, string), .note = UNUSED },
	{ "firecracker.vsock_cid_base", WIRE(number, int), .max = UINT32_MAX,
	    .note = UNUSED },
};

/* pool.base.NAME: */
static const struct row profile_keys[] = {
	{ "image", PROFILE(image, name), .def = "host" },
	{ "memory", PROFILE(limits.memory_bytes, size), .def = "512m", BYTES,
	    TEXT(memory_text) },
	{ "cpu", PROFILE(limits.cpu_milli, milli), .def = "0.0" },
	{ "storage", PROFILE(limits.storage_bytes, size), .def = "500m", BYTES,
	    TEXT(storage_text) },
	{ "pids", PROFILE(limits.pids, int), .def = "256", .max = 4194304 },
	{ "runtime", PROFILE(runtime, only), .def = "native" },
	{ "network", PROFILE(network, only), .def = "none" },
	{ "proxy", PROFILE(proxy, proxy), .def = "any" },
	{ "timeout", PROFILE(timeout_s, seconds), .def = "0", TIME },
	{ "start_timeout", PROFILE(start_timeout_ms, ms), .def = "30s",
	    .min = 100, TIME },
	{ "min", PROFILE(pool_min, int), .max = 100000 },
	{ "max", PROFILE(pool_max, int), .max = 100000 },
};

/* images.NAME: */
static const struct row image_keys[] = {
	{ "path", AT(IN_IMAGE, offsetof(struct image, rt.path), path) },
};

#define ROWS(a)                               \
	{                                     \
		(a), sizeof(a) / sizeof(*(a)) \
	}
const struct rows config_keys = ROWS(keys);
const struct rows config_profile_keys = ROWS(profile_keys);
const struct rows config_image_keys = ROWS(image_keys);

const struct row *
config_row(const struct rows *rows, const char *name)
{
	size_t i;

	for (i = 0; i < rows->n; i++)
		if (strcmp(rows->row[i].name, name) == 0)
			return &rows->row[i];
	return NULL;
}

int
config_set(const struct field *f, const char *text, struct err *e)
{
	char **keep;

	if (f->row->kind->set(f, text, e) < 0)
		return -1;
	if (f->row->text != 0) {
		keep = (char **)((char *)f->at - f->row->offset + f->row->text);
		free(*keep);
		*keep = xstrdup(text);
	}
	return 0;
}

static int
check_items(const struct field *f, const struct toml_value *v, struct err *e)
{
	size_t i;

	for (i = 0; i < v->nitems; i++)
		if (v->items[i].type != TOML_STRING)
			return err_setx(e, EINVAL, "%s: expected %s, got %s",
			    f->name, f->row->kind->expected,
			    toml_type_name(v->items[i].type));
	return 0;
}

int
config_set_value(
    const struct field *f, const struct toml_value *v, struct err *e)
{
	char number[64];

	if ((f->row->kind->types & TYPE(v->type)) == 0)
		return err_setx(e, EINVAL, "%s: expected %s, got %s", f->name,
		    f->row->kind->expected, toml_type_name(v->type));
	switch (v->type) {
	case TOML_STRING:
		return config_set(f, v->text, e);
	case TOML_INTEGER:
		snprintf(number, sizeof(number), "%lld", (long long)v->integer);
		return config_set(f, number, e);
	case TOML_FLOAT:
		if (v->real > MILLI_MAX)
			return err_setx(e, EINVAL, "%s: too large", f->name);
		snprintf(number, sizeof(number), "%.9f", v->real);
		return config_set(f, number, e);
	case TOML_BOOLEAN:
		return config_set(f, v->boolean ? "true" : "false", e);
	case TOML_ARRAY:
		return check_items(f, v, e);
	case TOML_TABLE:
		break;
	}
	return -1;
}

bool
config_copy(const struct row *row, struct config *to, const struct config *from)
{
	char *a = (char *)to + row->offset;
	const char *b = (const char *)from + row->offset;
	char **s = (char **)a, *const *t = (char *const *)b;

	if (row->kind == &kind_int) {
		if (memcmp(a, b, sizeof(int64_t)) == 0)
			return false;
		memcpy(a, b, sizeof(int64_t));
		return true;
	}
	if (row->kind == &kind_flag) {
		if (*a == *b)
			return false;
		*a = *b;
		return true;
	}
	assert((row->kind->types & STRING) != 0);
	if (strcmp(*s, *t) == 0)
		return false;
	free(*s);
	*s = xstrdup(*t);
	return true;
}
