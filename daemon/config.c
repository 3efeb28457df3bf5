#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/config_impl.h"
#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/toml.h"

#define DEFAULT_PATH "/etc/sbxd/sbxd.toml"
#define ID_RANGE 65536
#define POOL_MAX 10 /* of a profile that says nothing */

static unsigned unheld; /* RT_LIMIT bits */

/* Lines of a profile or an image, for checks that come at the end. */
struct where {
	const void *object;
	int line, image, memory, max;
};

struct loader {
	struct config *c;
	struct wire wire;
	void (*warn)(const char *text);
	const char *file;
	int *lines; /* of the rows in keys; 0: not in the file */
	struct where *where;
	size_t nwhere;
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void *
field_of(struct loader *l, const struct row *row, void *object)
{
	if (row->base == IN_CONFIG)
		object = l->c;
	else if (row->base == IN_WIRE)
		object = &l->wire;
	return (char *)object + row->offset;
}

/*** What the file says ***/

__attribute__((format(printf, 3, 4))) static void
warn_at(const struct loader *l, int line, const char *fmt, ...)
{
	cleanup_buf struct buf b = BUF_INIT;
	va_list ap;

	if (l->warn == NULL)
		return;
	(void)buf_addf(&b, "%s: ", l->file);
	if (line > 0)
		(void)buf_addf(&b, "line %d: ", line);
	va_start(ap, fmt);
	(void)buf_vaddf(&b, fmt, ap);
	va_end(ap);
	l->warn(buf_str(&b));
}

static void
set_defaults(struct loader *l, const struct rows *rows, void *object)
{
	const struct row *row;
	struct field f;
	struct err e;
	size_t i;

	for (i = 0; i < rows->n; i++) {
		row = &rows->row[i];
		f = (struct field){ row, row->name, field_of(l, row, object) };
		if (row->def != NULL && config_set(&f, row->def, &e) < 0)
			abort(); /* the table is wrong: a test loads it */
	}
}

void
config_unheld(unsigned bits)
{
	unheld = bits;
}

/* What nobody asked for is not promised either. */
static void
drop_unheld(struct profile *p)
{
	if ((unheld & RT_LIMIT_MEMORY) != 0) {
		p->limits.memory_bytes = 0;
		free(p->memory_text);
		p->memory_text = xstrdup("0");
	}
	if ((unheld & RT_LIMIT_CPU) != 0)
		p->limits.cpu_milli = 0;
	if ((unheld & RT_LIMIT_PIDS) != 0)
		p->limits.pids = 0;
}

static void
remember(struct loader *l, const void *object, int line)
{
	l->where = xrealloc(l->where, l->nwhere + 1, sizeof(*l->where));
	l->where[l->nwhere++] =
	    (struct where){ .object = object, .line = line };
}

static struct where *
where_is(const struct loader *l, const void *object)
{
	size_t i;

	for (i = 0; l->where[i].object != object; i++)
		;
	return &l->where[i];
}

/* The profile of this name, new with the defaults where there is none. */
static struct profile *
profile_get(struct loader *l, const char *name, int line)
{
	struct profile *p =
	    (struct profile *)(uintptr_t)config_profile(l->c, name);

	if (p != NULL)
		return p;
	p = xcalloc(1, sizeof(*p));
	str_copy(p->name, name, sizeof(p->name));
	set_defaults(l, &config_profile_keys, p);
	drop_unheld(p);
	p->pool_min = p->pool_max = -1;
	TAILQ_INSERT_TAIL(&l->c->profiles, p, link);
	remember(l, p, line);
	return p;
}

static struct image *
image_get(struct loader *l, const char *name, int line)
{
	struct image *im = (struct image *)(uintptr_t)config_image(l->c, name);

	if (im != NULL)
		return im;
	im = xcalloc(1, sizeof(*im));
	im->rt.name = xstrdup(name);
	im->rt.kind = "dir";
	TAILQ_INSERT_TAIL(&l->c->images, im, link);
	remember(l, im, line);
	return im;
}

/* An archive or a directory; where we may not look, by its name. */
static int
image_kind(struct image *im, const char *name, struct err *e)
{
	static const char *const ends[] = { ".tar", ".tar.gz", ".tgz",
		".tar.xz", ".txz", ".tar.zst", ".tar.bz2" };
	size_t i, n = strlen(im->rt.path), m;
	struct stat st;

	if (stat(im->rt.path, &st) == 0) {
		if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
			return err_setx(e, EINVAL,
			    "%s: %s: neither a directory nor an archive", name,
			    im->rt.path);
		im->rt.kind = S_ISDIR(st.st_mode) ? "dir" : "tar";
		return 0;
	}
	if (errno != EACCES)
		return err_set(e, errno, "%s: %s", name, im->rt.path);
	for (i = 0; i < COUNT(ends); i++) {
		m = strlen(ends[i]);
		if (n > m && strcmp(im->rt.path + n - m, ends[i]) == 0)
			im->rt.kind = "tar";
	}
	return 0;
}

static int
on_profile(struct loader *l, const struct toml_item *it, struct err *e)
{
	struct field f = { .name = it->path };
	struct profile *p;
	struct where *w;

	if (config_name_check("pool.base", it->parts[2], e) < 0)
		return -1;
	p = profile_get(l, it->parts[2], it->line);
	if (it->nparts == 3)
		return 0;
	f.row = config_row(&config_profile_keys, it->parts[3]);
	if (f.row == NULL || it->nparts > 4) {
		warn_at(l, it->line, "unknown key %s", it->path);
		return 0;
	}
	f.at = field_of(l, f.row, p);
	w = where_is(l, p);
	if (strcmp(it->parts[3], "image") == 0)
		w->image = it->line;
	else if (strcmp(it->parts[3], "memory") == 0)
		w->memory = it->line;
	else if (strcmp(it->parts[3], "max") == 0)
		w->max = it->line;
	return config_set_value(&f, it->value, e);
}

static int
on_image(struct loader *l, const struct toml_item *it, struct err *e)
{
	struct field f = { .name = it->path };
	struct image *im;

	if (config_name_check("images", it->parts[1], e) < 0)
		return -1;
	if (strcmp(it->parts[1], "host") == 0)
		return err_setx(
		    e, EINVAL, "images.host: the image host is built in");
	im = image_get(l, it->parts[1], it->line);
	if (it->nparts == 2)
		return 0;
	f.row = config_row(&config_image_keys, it->parts[2]);
	if (f.row == NULL || it->nparts > 3) {
		warn_at(l, it->line, "unknown key %s", it->path);
		return 0;
	}
	f.at = field_of(l, f.row, im);
	if (config_set_value(&f, it->value, e) < 0)
		return -1;
	return image_kind(im, it->path, e);
}

/* A table, or part of the name of one, that holds any of our keys. */
static bool
is_table(const struct toml_item *it)
{
	size_t i, n = strlen(it->path);

	for (i = 0; i < config_keys.n; i++)
		if (strncmp(config_keys.row[i].name, it->path, n) == 0 &&
		    config_keys.row[i].name[n] == '.')
			return true;
	return strcmp(it->path, "pool.base") == 0 ||
	    strcmp(it->path, "images") == 0;
}

static int
on_item(void *arg, const struct toml_item *it, struct err *e)
{
	struct loader *l = arg;
	const bool table = it->value->type == TOML_TABLE;
	struct field f = { .name = it->path };

	if (it->nparts >= 3 && strcmp(it->parts[0], "pool") == 0 &&
	    strcmp(it->parts[1], "base") == 0 && (table || it->nparts > 3))
		return on_profile(l, it, e);
	if (it->nparts >= 2 && strcmp(it->parts[0], "images") == 0 &&
	    (table || it->nparts > 2))
		return on_image(l, it, e);
	f.row = config_row(&config_keys, it->path);
	if (f.row == NULL && table && is_table(it))
		return 0;
	if (f.row == NULL) {
		warn_at(l, it->line, "unknown %s %s", table ? "table" : "key",
		    it->path);
		return 0;
	}
	l->lines[f.row - config_keys.row] = it->line;
	if (f.row->note != NULL)
		warn_at(l, it->line, "%s %s", it->path, f.row->note);
	f.at = field_of(l, f.row, NULL);
	return config_set_value(&f, it->value, e);
}

/*** The whole ***/

static const struct {
	const char *name;
	const char *key;
} variables[] = {
	{ "SANDBOX_SOCKET", "server.socket" },
	{ "SANDBOX_TCP", "server.tcp" },
	{ "SANDBOX_DATA_DIR", "server.data_dir" },
	{ "SBXD_SOCKET", "server.socket" },
	{ "SBXD_TCP", "server.tcp" },
	{ "SBXD_DATA_DIR", "server.data_dir" },
};

static int
from_environment(struct loader *l, struct err *e)
{
	struct field f;
	const char *v;
	size_t i;

	for (i = 0; i < COUNT(variables); i++) {
		v = getenv(variables[i].name);
		if (v == NULL || *v == '\0')
			continue;
		f.row = config_row(&config_keys, variables[i].key);
		f.name = variables[i].name;
		f.at = field_of(l, f.row, NULL);
		l->lines[f.row - config_keys.row] = 0;
		if (config_set(&f, v, e) < 0)
			return -1;
	}
	return 0;
}

/* A sentence about a key, with its line where the file has it. */
__attribute__((format(printf, 4, 5))) static int
bad_key(const struct loader *l, const char *key, struct err *e, const char *fmt,
    ...)
{
	int line = l->lines[config_row(&config_keys, key) - config_keys.row];
	va_list ap;

	e->code = EINVAL;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return line > 0 ? err_wrap(e, "line %d", line) : -1;
}

bool
config_tcp(const char *tcp, struct hostport *ret)
{
	char any[HOSTPORT_TEXT];

	if (*tcp != ':')
		return hostport_parse(ret, tcp);
	(void)snprintf(any, sizeof(any), "0.0.0.0%s", tcp);
	return hostport_parse(ret, any);
}

bool
config_tcp_is_local(const char *tcp)
{
	struct hostport h;

	return *tcp == '\0' ||
	    (config_tcp(tcp, &h) && hostport_is_loopback(&h));
}

/* Whoever reaches it runs code here: other machines need a token, and what
 * nobody on the way can read. */
static int
check_tcp(const struct loader *l, struct err *e)
{
	const struct config *c = l->c;

	if ((*c->tls_cert == '\0') != (*c->tls_key == '\0'))
		return bad_key(l, "server.tls_cert", e,
		    "server.tls_cert and server.tls_key must both be set or "
		    "both be empty");
	if (config_tcp_is_local(c->tcp) || c->insecure ||
	    (*c->tls_cert != '\0' && *c->token_file != '\0'))
		return 0;
	return bad_key(l, "server.tcp", e,
	    "server.tcp: %.64s is reached by other machines: that needs "
	    "server.tls_cert, server.tls_key and server.token_file, or "
	    "server.insecure = true",
	    c->tcp);
}

static int
check_wire(const struct loader *l, struct err *e)
{
	const struct wire *w = &l->wire;

	if (w->multi_tenant)
		return bad_key(l, "multi_tenant.enabled", e,
		    "multi_tenant.enabled: this version has no tenants");
	if (w->total_warm > l->c->pool_max_warm)
		return bad_key(l, "pool.total_warm", e,
		    "pool.max_warm must be >= pool.total_warm");
	if (l->c->tunnel_port_min > l->c->tunnel_port_max)
		return bad_key(l, "limits.tunnel_port_min", e,
		    "tunnel_port_min must be <= tunnel_port_max");
	return 0;
}

/* A socket's path has to fit into its address. */
static int
check_paths(struct loader *l, struct err *e)
{
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	struct config *c = l->c;
	size_t id = strlen("/agents/sbx-.sock") + 32;

	if (*c->node_id != '\0')
		id += strlen(c->node_id) + 1;
	if (strlen(c->run_dir) + id > room)
		return bad_key(l, "server.run_dir", e,
		    "server.run_dir: %.64s: too long: the sockets beneath it "
		    "have room for %zu bytes",
		    c->run_dir, room - id);
	if (c->socket == NULL)
		c->socket = xasprintf("%s/sbxd.sock", c->run_dir);
	if (strlen(c->socket) > room)
		return bad_key(l, "server.socket", e,
		    "server.socket: %.64s...: longer than %zu bytes", c->socket,
		    room);
	return 0;
}

static int
check_ids(const struct loader *l, struct err *e)
{
	const struct config *c = l->c;

	if (c->id_first % ID_RANGE != 0)
		return bad_key(l, "server.id_first", e,
		    "server.id_first must be a multiple of %d", ID_RANGE);
	if (c->id_first + c->id_count > UINT32_MAX)
		return bad_key(l, "server.id_first", e,
		    "server.id_count: ids end at %u: from %lld on there are "
		    "%lld",
		    UINT32_MAX, (long long)c->id_first,
		    (long long)(UINT32_MAX - c->id_first));
	return 0;
}

static int
check_profile(const struct loader *l, struct profile *p, struct err *e)
{
	const struct where *w = where_is(l, p);
	int64_t base = l->c->pool_min_base;

	if (config_image(l->c, p->image) == NULL)
		return err_setx(e, ENOENT,
		    "line %d: pool.base.%s.image: there is no [images.%s]",
		    w->image, p->name, p->image);
	if (p->limits.memory_bytes != 0 &&
	    p->limits.memory_bytes < RT_MEMORY_MIN)
		return err_setx(e, EINVAL,
		    "line %d: pool.base.%s.memory must be 0, or >= %d",
		    w->memory, p->name, RT_MEMORY_MIN);
	if (p->pool_min < 0)
		p->pool_min =
		    p->pool_max >= 0 && p->pool_max < base ? p->pool_max : base;
	if (p->pool_max < 0)
		p->pool_max = p->pool_min > POOL_MAX ? p->pool_min : POOL_MAX;
	if (p->pool_max < p->pool_min)
		return err_setx(e, EINVAL,
		    "line %d: pool.base.%s.max must be >= its min, %lld",
		    w->max, p->name, (long long)p->pool_min);
	return 0;
}

static int
check_profiles(struct loader *l, struct err *e)
{
	struct profile *p;
	int64_t all = 0;

	TAILQ_FOREACH (p, &l->c->profiles, link) {
		if (check_profile(l, p, e) < 0)
			return -1;
		all += p->pool_min;
	}
	if (all > l->c->pool_max_warm)
		warn_at(l, 0,
		    "the profiles' min are %lld together, pool.max_warm is "
		    "%lld",
		    (long long)all, (long long)l->c->pool_max_warm);
	return 0;
}

static int
check_images(const struct loader *l, struct err *e)
{
	const struct image *im;

	TAILQ_FOREACH (im, &l->c->images, link)
		if (im->rt.path == NULL && strcmp(im->rt.kind, "host") != 0)
			return err_setx(e, EINVAL,
			    "line %d: images.%s.path is required",
			    where_is(l, im)->line, im->rt.name);
	return 0;
}

/* It stays beside others; a table of its name stands in its place. */
static void
add_builtin(struct loader *l)
{
	struct profile *p;
	struct image *im = image_get(l, "host", 0);

	im->rt.kind = "host";
	TAILQ_REMOVE(&l->c->images, im, link);
	TAILQ_INSERT_HEAD(&l->c->images, im, link);
	if (config_profile(l->c, "default") != NULL)
		return;
	p = profile_get(l, "default", 0);
	if ((unheld & RT_LIMIT_CPU) == 0)
		p->limits.cpu_milli = 1000;
	TAILQ_REMOVE(&l->c->profiles, p, link);
	TAILQ_INSERT_HEAD(&l->c->profiles, p, link);
}

/* The file's text; 1: it is not there, and need not be. */
static int
read_file(struct loader *l, const char *path, struct buf *text, struct err *e)
{
	cleanup_fd int fd = -1;
	struct stat st;
	ssize_t n;
	char *p;

	l->file = path != NULL ? path : DEFAULT_PATH;
	if ((fd = open(l->file, O_RDONLY | O_CLOEXEC | O_NOCTTY)) < 0) {
		if (path == NULL && errno == ENOENT)
			return 1;
		return err_set(e, errno, "%s", l->file);
	}
	if (buf_reserve(text, TOML_TEXT_MAX + 1, &p) < 0)
		return err_set(e, ENOMEM, "%s", l->file);
	if ((n = fd_read_full(fd, p, TOML_TEXT_MAX + 1)) < 0)
		return err_set(e, (int)-n, "%s", l->file);
	buf_grew(text, (size_t)n);
	l->c->path = xstrdup(l->file);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & S_IWOTH) != 0)
		warn_at(l, 0, "everybody may write to it");
	return 0;
}

static int
load(struct loader *l, const char *path, struct err *e)
{
	struct buf *text = &l->c->text;
	int r = read_file(l, path, text, e);

	if (r < 0)
		return -1;
	if (r == 0 && toml_read(buf_str(text), text->len, on_item, l, e) < 0)
		return err_wrap(e, "%s", l->file);
	if (from_environment(l, e) < 0)
		return -1;
	add_builtin(l);
	if (check_tcp(l, e) < 0 || check_wire(l, e) < 0 ||
	    check_paths(l, e) < 0 || check_ids(l, e) < 0 ||
	    check_images(l, e) < 0 || check_profiles(l, e) < 0)
		return err_wrap(e, "%s", l->file);
	return 0;
}

void
config_warn(const char *text)
{
	log_warnx("%s", text);
}

void
config_warned(const char *text)
{
	log_debug("%s", text);
}

int
config_load(const char *path, void (*warn)(const char *text),
    struct config **ret, struct err *e)
{
	struct loader l = { .c = xcalloc(1, sizeof(*l.c)),
		.warn = warn,
		.lines = xcalloc(config_keys.n, sizeof(*l.lines)) };
	int r;

	TAILQ_INIT(&l.c->profiles);
	TAILQ_INIT(&l.c->images);
	set_defaults(&l, &config_keys, NULL);
	if ((r = load(&l, path, e)) == 0)
		*ret = steal_ptr(&l.c);
	config_free(l.c);
	free(l.wire.text);
	free(l.lines);
	free(l.where);
	return r;
}

void
config_free(struct config *c)
{
	struct profile *p;
	struct image *im;

	if (c == NULL)
		return;
	while ((p = TAILQ_FIRST(&c->profiles)) != NULL) {
		TAILQ_REMOVE(&c->profiles, p, link);
		free(p->memory_text);
		free(p->storage_text);
		free(p);
	}
	while ((im = TAILQ_FIRST(&c->images)) != NULL) {
		TAILQ_REMOVE(&c->images, im, link);
		free((char *)(uintptr_t)im->rt.name);
		free((char *)(uintptr_t)im->rt.path);
		free(im);
	}
	free(c->path);
	buf_done(&c->text);
	free(c->socket);
	free(c->tcp);
	free(c->tls_cert);
	free(c->tls_key);
	free(c->token_file);
	free(c->data_dir);
	free(c->run_dir);
	free(c->user);
	free(c->group);
	free(c->cgroup);
	free(c->agent);
	free(c->node_id);
	free(c->tunnel_bind_address);
	free(c);
}

void
config_keep(struct config *now, const struct config *old,
    void (*warn)(const char *text))
{
	const struct row *row;
	char text[128];
	size_t i;

	for (i = 0; i < config_keys.n; i++) {
		row = &config_keys.row[i];
		if (!row->fixed || !config_copy(row, now, old) || warn == NULL)
			continue;
		snprintf(text, sizeof(text), "%s holds until the next start",
		    row->name);
		warn(text);
	}
}

const struct profile *
config_profile(const struct config *c, const char *name)
{
	const struct profile *p;

	TAILQ_FOREACH (p, &c->profiles, link)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const struct image *
config_image(const struct config *c, const char *name)
{
	const struct image *im;

	TAILQ_FOREACH (im, &c->images, link)
		if (strcmp(im->rt.name, name) == 0)
			return im;
	return NULL;
}
