/*
 * The environment of jobs: what every job has, then what the front set for
 * the sandbox, then what came with the request; a later value wins.
 */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "agent/impl.h"
#include "lib/mem.h"

#define ENV_VARS_MAX 4096

struct vars {
	char **v; /* "K=V", owned; a NULL after the last */
	size_t n;
};

static struct vars sandbox_vars;

static const char *const base_vars[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LANG=C.UTF-8",
};

static void
vars_done(struct vars *e)
{
	while (e->n > 0)
		free(e->v[--e->n]);
	free(e->v);
	memset(e, 0, sizeof(*e));
}

/* Takes the text. */
static int
vars_put(struct vars *e, char *text)
{
	size_t key = strcspn(text, "=") + 1, i;

	for (i = 0; i < e->n; i++) {
		if (strncmp(e->v[i], text, key) == 0) {
			free(e->v[i]);
			e->v[i] = text;
			return 0;
		}
	}
	if (e->n == ENV_VARS_MAX) {
		free(text);
		return -E2BIG;
	}
	if (e->n % 16 == 0)
		e->v = xrealloc(e->v, e->n + 16 + 1, sizeof(*e->v));
	e->v[e->n++] = text;
	e->v[e->n] = NULL;
	return 0;
}

/* One key of the map; its value follows it. */
static int
put_member(struct vars *e, const struct json *j, int k)
{
	char *text = malloc(json_room(j, k) + json_room(j, k + 1) + 1);
	long klen, vlen;

	if (text == NULL)
		return -ENOMEM;
	klen = json_bytes(j, k, text);
	if (klen <= 0 || strcspn(text, "=") != (size_t)klen) {
		free(text);
		return -EINVAL;
	}
	text[klen] = '=';
	vlen = json_bytes(j, k + 1, text + klen + 1);
	if (vlen < 0 || strlen(text + klen + 1) != (size_t)vlen) {
		free(text);
		return -EINVAL;
	}
	return vars_put(e, text);
}

static int
put_map(struct vars *e, const struct json *j, int map)
{
	int k, r;

	for (k = json_first(j, map); k >= 0; k = json_next(j, map, k))
		if ((r = put_member(e, j, k)) < 0)
			return r;
	return 0;
}

static int
put_base(struct vars *e, bool terminal)
{
	struct utsname u;
	size_t i;
	int r;

	for (i = 0; i < sizeof(base_vars) / sizeof(*base_vars); i++)
		if ((r = vars_put(e, xstrdup(base_vars[i]))) < 0)
			return r;
	if (terminal && (r = vars_put(e, xstrdup("TERM=xterm-256color"))) < 0)
		return r;
	if (uname(&u) == 0 &&
	    (r = vars_put(e, xasprintf("HOSTNAME=%s", u.nodename))) < 0)
		return r;
	for (i = 0; i < sandbox_vars.n; i++)
		if ((r = vars_put(e, xstrdup(sandbox_vars.v[i]))) < 0)
			return r;
	return 0;
}

char **
env_build(const struct json *j, int extra, bool terminal)
{
	struct vars e = { 0 };
	int r = put_base(&e, terminal);

	if (r == 0 && extra >= 0)
		r = put_map(&e, j, extra);
	if (r < 0) {
		vars_done(&e);
		errno = -r;
		return NULL;
	}
	return e.v;
}

void
env_free(char **env)
{
	size_t i;

	for (i = 0; env != NULL && env[i] != NULL; i++)
		free(env[i]);
	free(env);
}

struct set_args {
	int vars;
};

static int
set_env(struct call *c, void *args)
{
	const struct set_args *a = args;
	struct vars e = { 0 };
	int r;

	if ((r = put_map(&e, c->json, a->vars)) < 0) {
		vars_done(&e);
		if (r == -EINVAL)
			(void)err_setx(&c->err, EINVAL,
			    "params.vars: a name or a value that is none");
		return r;
	}
	vars_done(&sandbox_vars);
	sandbox_vars = e;
	return 0;
}

static const struct param set_params[] = {
	{ .key = "vars",
	    .type = PARAM_MAP,
	    .required = true,
	    .offset = offsetof(struct set_args, vars) },
	{ 0 },
};

const struct method env_methods[] = {
	{ .name = "sbx.env.set",
	    .call = set_env,
	    .params = set_params,
	    .flags = METHOD_JOBS },
	{ 0 },
};
