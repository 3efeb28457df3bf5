#include "daemon/http.h"

#include <string.h>

#include "daemon/http_impl.h"
#include "lib/buf.h"
#include "lib/mem.h"

/*** What answers where no route does ***/

static void
not_found(struct http_req *r)
{
	static const char text[] = "404 page not found\n";

	http_add_header(r, "X-Content-Type-Options", "nosniff");
	http_reply(r, 404, "text/plain; charset=utf-8", text, sizeof(text) - 1);
}

static const struct http_route no_route = {
	.method = "", .path = "", .handle = not_found
};

/* "." and ".." as they are or encoded. */
static bool
is_dots(const char *s, size_t n)
{
	size_t dots = 0;

	for (size_t i = 0; i < n; dots++) {
		if (s[i] == '.')
			i++;
		else if (n - i >= 3 && s[i] == '%' && s[i + 1] == '2' &&
		    (s[i + 2] == 'e' || s[i + 2] == 'E'))
			i += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

static bool
is_parent(const char *s, size_t n)
{
	return is_dots(s, n) && (n == 2 || n == 4 || n == 6);
}

/* An empty segment before the last, or a dot one anywhere. */
static bool
unclean(const char *path)
{
	for (const char *s = path + 1;; s++) {
		size_t n = strcspn(s, "/");

		if ((n == 0 && s[0] == '/') || is_dots(s, n))
			return true;
		s += n;
		if (*s == '\0')
			return false;
	}
}

/* 307 to the path without them. A backslash would be read as a slash by
 * browsers, and "//host" as another site: neither comes out of here. */
static void
redirect(struct http_req *r)
{
	cleanup_buf struct buf to = BUF_INIT;
	const char *s = r->path + 1;
	bool slash = false;

	for (;;) {
		size_t n = strcspn(s, "/");

		slash = n == 0 || is_dots(s, n);
		if (is_parent(s, n)) {
			while (to.len > 0 && to.data[to.len - 1] != '/')
				buf_cut(&to, to.len - 1);
			buf_cut(&to, to.len > 0 ? to.len - 1 : 0);
		} else if (!slash) {
			(void)buf_adds(&to, "/");
			for (size_t i = 0; i < n; i++)
				(void)buf_add(&to, s[i] == '\\' ? "%5C" : &s[i],
				    s[i] == '\\' ? 3 : 1);
		}
		s += n;
		if (*s++ == '\0')
			break;
	}
	if (slash || to.len == 0)
		(void)buf_adds(&to, "/");
	if (r->query != NULL)
		(void)buf_addf(&to, "?%s", r->query);
	http_add_header(r, "Location", buf_str(&to));
	http_reply(r, 307, NULL, NULL, 0);
}

static const struct http_route clean_path = {
	.method = "", .path = "", .handle = redirect
};

/*** Matching ***/

void
http_route_compile(struct http_server *s)
{
	const struct http_route *routes = s->conf.routes;
	size_t n = 0;

	while (routes[n].method != NULL)
		n++;
	s->patterns = xcalloc(n + 1, sizeof(*s->patterns));
	for (size_t i = 0; i < n; i++) {
		struct http_pattern *p = &s->patterns[i];
		const char *at = routes[i].path + 1;

		while (at[-1] == '/' && p->n < HTTP_SEGMENTS_MAX) {
			size_t len = strcspn(at, "/");

			if (strcmp(at, "*") == 0) {
				p->rest = true;
				break;
			}
			p->seg[p->n].s = at[0] == '{' ? NULL : at;
			p->seg[p->n++].len = len;
			at += len + 1;
		}
	}
}

/* spans[i] of the variables; the rest, if any, is the last. */
struct spans {
	size_t n;
	struct {
		char *s;
		size_t len;
	} v[HTTP_VARS_MAX];
};

static bool
match(const struct http_pattern *p, char *path, struct spans *vars)
{
	char *at = path + 1;

	vars->n = 0;
	for (size_t i = 0; i < p->n; i++) {
		size_t len;

		if (at[-1] != '/')
			return false;
		len = strcspn(at, "/");
		if (p->seg[i].s != NULL) {
			if (len != p->seg[i].len ||
			    memcmp(at, p->seg[i].s, len) != 0)
				return false;
		} else {
			if (len == 0 || is_dots(at, len))
				return false;
			vars->v[vars->n].s = at;
			vars->v[vars->n++].len = len;
		}
		at += len + 1;
	}
	if (!p->rest)
		return at[-1] == '\0';
	if (at[-1] != '/')
		return false;
	vars->v[vars->n].s = at;
	vars->v[vars->n++].len = strlen(at);
	return true;
}

static bool
method_fits(
    const struct http_req *r, const struct http_route *route, bool exact)
{
	if (strcmp(route->method, r->head.data) == 0 ||
	    strcmp(route->method, HTTP_ANY) == 0)
		return true;
	return !exact && r->head_only && strcmp(route->method, "GET") == 0;
}

static void
not_allowed(struct http_req *r)
{
	static const char *const order[] = { "DELETE", "GET", "HEAD", "PATCH",
		"POST", "PUT" };
	static const char text[] = "Method Not Allowed\n";
	const struct http_server *s = r->c->s;
	cleanup_buf struct buf allow = BUF_INIT;
	bool all = strcmp(r->path, "*") == 0;
	struct spans vars;

	for (size_t m = 0; m < sizeof(order) / sizeof(order[0]); m++) {
		bool has = false;

		for (size_t i = 0; s->conf.routes[i].method != NULL; i++) {
			const char *method = s->conf.routes[i].method;

			if (!all && !match(&s->patterns[i], r->path, &vars))
				continue;
			has = has || strcmp(method, order[m]) == 0 ||
			    (m == 2 && strcmp(method, "GET") == 0);
		}
		if (has)
			(void)buf_addf(&allow, "%s%s",
			    allow.len > 0 ? ", " : "", order[m]);
	}
	http_add_header(r, "Allow", buf_str(&allow));
	if (all)
		http_reply(r, 200, NULL, NULL, 0);
	else
		http_reply(r, 405, "text/plain; charset=utf-8", text,
		    sizeof(text) - 1);
}

static const struct http_route bad_method = {
	.method = "", .path = "", .handle = not_allowed
};

/* Turns the spans into strings: each ends where a separator was. */
static const struct http_route *
take(struct http_req *r, size_t i, const struct spans *vars)
{
	const struct http_server *s = r->c->s;

	r->route = &s->conf.routes[i];
	for (size_t v = 0; v < vars->n; v++) {
		bool rest = s->patterns[i].rest && v + 1 == vars->n;

		vars->v[v].s[vars->v[v].len] = '\0';
		if (!rest || !r->route->raw)
			(void)http_decode(vars->v[v].s, false);
		r->vars[v] = vars->v[v].s;
	}
	return r->route;
}

const struct http_route *
http_route_find(struct http_req *r)
{
	const struct http_server *s = r->c->s;
	struct spans vars;
	bool other = strcmp(r->path, "*") == 0;
	bool rest = false;

	for (int exact = 1; exact >= !r->head_only; exact--) {
		for (size_t i = 0; s->conf.routes[i].method != NULL; i++) {
			const struct http_route *route = &s->conf.routes[i];

			if (!match(&s->patterns[i], r->path, &vars))
				continue;
			if (!s->patterns[i].rest && unclean(r->path))
				continue;
			if (method_fits(r, route, exact))
				return take(r, i, &vars);
			other = true;
			rest = rest || s->patterns[i].rest;
		}
	}
	if (r->path[0] == '/' && !rest && unclean(r->path))
		return &clean_path;
	return other ? &bad_method : &no_route;
}

const char *
http_var(const struct http_req *r, size_t n)
{
	return n < HTTP_VARS_MAX && r->vars[n] != NULL ? r->vars[n] : "";
}
