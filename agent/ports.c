/*
 * What listens inside: the kernel's own tables of this network namespace, so
 * that nothing is connected to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/impl.h"
#include "lib/fd.h"

#define PORTS_MAX 4096
#define STATE_LISTEN 0x0a

struct port {
	unsigned port;
	char addr[INET6_ADDRSTRLEN];
};

struct ports {
	struct port p[PORTS_MAX];
	size_t n;
};

/* The address is printed as 32-bit words of this machine's byte order. */
static bool
read_line(const char *line, struct port *to)
{
	uint32_t w[4] = { 0 };
	unsigned state;
	char hex[33];
	size_t i, words;

	if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x", hex,
		&to->port, &state) != 3 ||
	    state != STATE_LISTEN)
		return false;
	words = strlen(hex) / 8;
	if (words != 1 && words != 4)
		return false;
	for (i = 0; i < words; i++)
		if (sscanf(hex + 8 * i, "%8x", &w[i]) != 1)
			return false;
	return inet_ntop(words == 1 ? AF_INET : AF_INET6, w, to->addr,
		   sizeof(to->addr)) != NULL;
}

static int
read_table(struct ports *all, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[512];

	if (f == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (all->n < PORTS_MAX && fgets(line, sizeof(line), f) != NULL)
		if (read_line(line, &all->p[all->n]))
			all->n++;
	(void)fclose(f);
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct port *p = a, *q = b;

	if (p->port != q->port)
		return p->port < q->port ? -1 : 1;
	return strcmp(p->addr, q->addr);
}

static int
list_ports(struct call *c, void *args)
{
	static struct ports all; /* large; one thread */
	size_t i;
	int r;

	(void)args;
	all.n = 0;
	if ((r = read_table(&all, "/proc/net/tcp")) < 0 ||
	    (r = read_table(&all, "/proc/net/tcp6")) < 0)
		return r;
	qsort(all.p, all.n, sizeof(*all.p), compare);
	json_open(&c->out, "listen", '[');
	for (i = 0; i < all.n; i++) {
		/* several sockets may share one by SO_REUSEPORT */
		if (i > 0 && compare(&all.p[i - 1], &all.p[i]) == 0)
			continue;
		json_open(&c->out, NULL, '{');
		json_put_int(&c->out, "port", all.p[i].port);
		json_put_str(&c->out, "addr", all.p[i].addr);
		json_close(&c->out, '}');
	}
	json_close(&c->out, ']');
	return 0;
}

const struct method ports_methods[] = {
	{ .name = "sbx.ports", .call = list_ports, .flags = METHOD_JOBS },
	{ 0 },
};
