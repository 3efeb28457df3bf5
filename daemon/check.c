#include "daemon/check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/check_impl.h"
#include "daemon/frontboot.h"
#include "lib/fd.h"
#include "lib/mem.h"

/*** The report ***/

__attribute__((format(printf, 3, 0))) static void
line(struct report *r, const char *word, const char *fmt, va_list ap)
{
	fprintf(r->to, "%-6s", word);
	vfprintf(r->to, fmt, ap);
	fputc('\n', r->to);
}

void
report_ok(struct report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(r, "ok", fmt, ap);
	va_end(ap);
}

void
report_cost(struct report *r, const char *fmt, ...)
{
	va_list ap;

	r->costs++;
	va_start(ap, fmt);
	line(r, "less", fmt, ap);
	va_end(ap);
}

void
report_fatal(struct report *r, const char *fmt, ...)
{
	va_list ap;

	r->fatal++;
	va_start(ap, fmt);
	line(r, "FAIL", fmt, ap);
	va_end(ap);
}

/*** What is installed ***/

static void
check_accounts(struct report *r)
{
	struct front_ids ids;
	struct err e;

	if (geteuid() != 0)
		return;
	if (front_ids_find(r->cfg, &ids, &e) < 0)
		report_fatal(r, "%s: make up makes them", e.text);
	else
		report_ok(r, "the front runs as %s, its sockets are for %s",
		    r->cfg->user,
		    *r->cfg->group != '\0' ? r->cfg->group : r->cfg->user);
}

/* A static program has no interpreter; 1: static, 0: not, -errno. */
static int
is_static(int fd)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;
	int i;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) ||
	    memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h.e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOEXEC;
	for (i = 0; i < h.e_phnum; i++) {
		if (pread(fd, &p, sizeof(p),
			(off_t)h.e_phoff + i * (off_t)sizeof(p)) != sizeof(p))
			return -ENOEXEC;
		if (p.p_type == PT_INTERP)
			return 0;
	}
	return 1;
}

static void
check_agent(struct report *r)
{
	const char *path = r->cfg->agent;
	cleanup_fd int fd = -1;
	struct stat st;
	int how;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 || fstat(fd, &st) < 0) {
		if (geteuid() != 0) /* to root the runtime has said it */
			report_fatal(r, "agent %s: %s", path, strerror(errno));
		return;
	}
	if ((how = is_static(fd)) < 0)
		report_fatal(r, "agent %s: not a program for 64 bits", path);
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		report_fatal(r, "agent %s: not executable", path);
	else if (how == 0)
		report_fatal(r,
		    "agent %s: not static: it must start in any image", path);
	else if ((st.st_mode & 022) != 0)
		report_cost(r,
		    "agent %s: others may write to it (mode %04o), and so into "
		    "every sandbox",
		    path, (unsigned)st.st_mode & 07777);
	else
		report_ok(r, "agent %s", path);
}

/* min: bytes that should be free there. */
static void
check_dir(struct report *r, const char *what, const char *path, uint64_t min)
{
	cleanup_free char *dir = xstrdup(path);
	struct statvfs v;
	uint64_t mib;
	char *slash;

	/* what is not there yet is made, in the first that is */
	while (statvfs(dir, &v) < 0) {
		slash = strrchr(dir, '/');
		if (errno != ENOENT || slash == dir || slash == NULL) {
			report_fatal(
			    r, "%s %s: %s", what, path, strerror(errno));
			return;
		}
		*slash = '\0';
	}
	mib = v.f_bavail * v.f_frsize >> 20;
	if ((v.f_flag & ST_RDONLY) != 0)
		report_fatal(r, "%s %s: read-only", what, path);
	else if (v.f_bavail * v.f_frsize < min)
		report_cost(r, "%s %s: %" PRIu64 " MiB free: too little", what,
		    path, mib);
	else
		report_ok(r, "%s %s: %" PRIu64 " MiB free", what, path, mib);
}

static void
check_dirs(struct report *r)
{
	check_dir(r, "data_dir", r->cfg->data_dir, UINT64_C(1) << 30);
	/* sockets and locks; many hosts give it a tenth of their memory */
	check_dir(r, "run_dir", r->cfg->run_dir, UINT64_C(16) << 20);
}

/* "object: no", "object: no (why): cost", "object: none: cost". */
static bool
is_missing(const char *line)
{
	const char *p = strchrnul(line, ':');

	return strncmp(p, ": no", 4) == 0 && strchr("\n :en", p[4]) != NULL;
}

static void
check_runtime(struct report *r)
{
	cleanup_buf struct buf text = BUF_INIT;
	const struct rt_env env = {
		.run_dir = r->cfg->run_dir,
		.data_dir = r->cfg->data_dir,
		.cgroup = r->cfg->cgroup,
		.agent_path = r->cfg->agent,
		.id_first = r->cfg->id_first,
		.id_count = r->cfg->id_count,
		.front_uid = (uid_t)-1,
		.front_gid = (gid_t)-1,
	};
	const char *p, *end;
	struct err e;
	int ret = runtime_native.probe(&env, &text, &e);

	for (p = buf_str(&text); *p != '\0'; p = *end != '\0' ? end + 1 : end) {
		end = strchrnul(p, '\n');
		(is_missing(p) ? report_cost : report_ok)(
		    r, "%s: %.*s", runtime_native.name, (int)(end - p), p);
	}
	if (ret < 0)
		report_fatal(r, "%s: %s", runtime_native.name, e.text);
}

/*** What the configuration would do ***/

static void
say_size(FILE *to, const char *what, int64_t bytes)
{
	if (bytes == 0)
		fprintf(to, ", %s unlimited", what);
	else
		fprintf(to, ", %s %lld MiB", what, (long long)(bytes >> 20));
}

/* What is configured, and would be refused. */
static void
say_unheld(struct report *r, const struct profile *p)
{
	const struct {
		const char *name;
		unsigned bit;
		int64_t value;
	} limits[] = {
		{ "memory", RT_LIMIT_MEMORY, p->limits.memory_bytes },
		{ "cpu", RT_LIMIT_CPU, p->limits.cpu_milli },
		{ "pids", RT_LIMIT_PIDS, p->limits.pids },
	};
	unsigned unheld = runtime_native.unheld();
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if ((unheld & limits[i].bit) != 0 && limits[i].value != 0)
			report_cost(r,
			    "profile %s: %s cannot be limited here: its "
			    "sandboxes are refused",
			    p->name, limits[i].name);
}

static void
say_profiles(struct report *r)
{
	const struct profile *p;

	TAILQ_FOREACH (p, &r->cfg->profiles, link) {
		fprintf(r->to, "profile %s: image %s, %s, network %s", p->name,
		    p->image, p->runtime, p->network);
		say_size(r->to, "memory", p->limits.memory_bytes);
		if (p->limits.cpu_milli == 0)
			fprintf(r->to, ", cpu unlimited");
		else
			fprintf(r->to, ", cpu %g",
			    (double)p->limits.cpu_milli / 1000);
		say_size(r->to, "storage", p->limits.storage_bytes);
		fprintf(r->to, ", pids %lld; %lld to %lld kept ready\n",
		    (long long)p->limits.pids, (long long)p->pool_min,
		    (long long)p->pool_max);
		say_unheld(r, p);
	}
}

static void
say_listeners(struct report *r)
{
	const struct config *c = r->cfg;

	fprintf(r->to, "listens: HTTP at %s, sbxfs at %s/files.sock", c->socket,
	    c->run_dir);
	if (*c->tcp != '\0')
		fprintf(r->to, ", HTTP at %s", c->tcp);
	fputc('\n', r->to);
	if (*c->tcp != '\0' && *c->token_file == '\0')
		report_cost(r,
		    "server.tcp %s: without server.token_file: whoever reaches "
		    "%s runs code in sandboxes here",
		    c->tcp,
		    config_tcp_is_local(c->tcp) ? "this machine's loopback"
						: "it");
	if (*c->tls_cert == '\0' && !config_tcp_is_local(c->tcp))
		report_cost(r, "server.tcp %s: without TLS", c->tcp);
}

static void
say_pool(struct report *r)
{
	const struct profile *p;
	int64_t min = 0, bytes = 0,
		have = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	bool unlimited = false;

	TAILQ_FOREACH (p, &r->cfg->profiles, link) {
		min += p->pool_min;
		bytes += p->pool_min * p->limits.memory_bytes;
		unlimited |= p->pool_min > 0 && p->limits.memory_bytes == 0;
	}
	fprintf(r->to,
	    "pool: %lld ready at least, %lld at most; %lld sandboxes at most, "
	    "ids for %lld\n",
	    (long long)min, (long long)r->cfg->pool_max_warm,
	    (long long)r->cfg->max_sandboxes,
	    (long long)(r->cfg->id_count >> 16));
	if (unlimited)
		report_cost(r,
		    "a profile without a memory limit may take all of the "
		    "host's");
	else if (bytes > have)
		report_cost(r,
		    "those ready may use %lld MiB together, the host has %lld",
		    (long long)(bytes >> 20), (long long)(have >> 20));
}

static void
say_config(struct report *r)
{
	const struct image *im;
	struct config *now = NULL;
	struct err e;

	/* again, as the front reads it: without what cannot be held */
	config_unheld(runtime_native.unheld());
	if (config_load(r->cfg->path, config_warned, &now, &e) == 0)
		r->cfg = now;
	fprintf(r->to, "\nconfiguration: %s\n",
	    r->cfg->path != NULL ? r->cfg->path : "built-in");
	say_listeners(r);
	TAILQ_FOREACH (im, &r->cfg->images, link)
		fprintf(r->to, "image %s: %s%s%s\n", im->rt.name, im->rt.kind,
		    im->rt.path != NULL ? " " : "",
		    im->rt.path != NULL ? im->rt.path : "");
	say_profiles(r);
	say_pool(r);
	config_free(now);
}

int
check_print(const struct config *cfg, FILE *to)
{
	static void (*const checks[])(struct report *) = { check_runtime,
		check_namespaces, check_idmap, check_fuse, check_nftables,
		check_accounts, check_agent, check_dirs, say_config };
	struct report r = { .cfg = cfg, .to = to };
	size_t i;

	for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&r);
	if (r.fatal > 0)
		fprintf(to, "\nsbxd cannot run: %d above\n", r.fatal);
	else if (r.costs > 0)
		fprintf(to, "\nsbxd can run, with %d less good\n", r.costs);
	else
		fprintf(to, "\nsbxd can run\n");
	(void)fflush(to);
	return r.fatal > 0 ? 1 : 0;
}
