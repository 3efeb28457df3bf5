#include "lib/hostport.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/size.h"

/* Both families have it at the same place. */
static in_port_t *
port_of(struct hostport *h)
{
	return &((struct sockaddr_in *)&h->addr)->sin_port;
}

bool
hostport_set(struct hostport *h, const char *addr, int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&h->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&h->addr;

	memset(h, 0, sizeof(*h));
	if (strcmp(addr, "localhost") == 0)
		addr = "127.0.0.1";
	if (inet_pton(AF_INET, addr, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		h->len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, addr, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		h->len = sizeof(*v6);
	} else {
		return false;
	}
	hostport_set_port(h, port);
	return true;
}

bool
hostport_parse(struct hostport *h, const char *text)
{
	char addr[HOSTPORT_TEXT], *colon, *name = addr;
	bool brackets;
	int64_t port;

	if (!str_copy(addr, text, sizeof(addr)) ||
	    (colon = strrchr(addr, ':')) == NULL ||
	    int_parse(colon + 1, 1, 65535, &port) < 0)
		return false;
	*colon = '\0';
	brackets = *name == '[' && colon > name + 1 && colon[-1] == ']';
	if (brackets) {
		colon[-1] = '\0';
		name++;
	}
	return hostport_set(h, name, (int)port) &&
	    brackets == (h->addr.ss_family == AF_INET6);
}

int
hostport_port(const struct hostport *h)
{
	return ntohs(((const struct sockaddr_in *)&h->addr)->sin_port);
}

void
hostport_set_port(struct hostport *h, int port)
{
	*port_of(h) = htons((uint16_t)port);
}

void
hostport_text(const struct hostport *h, char text[HOSTPORT_TEXT])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&h->addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&h->addr;
	char addr[INET6_ADDRSTRLEN] = "";
	bool six = h->addr.ss_family == AF_INET6;

	(void)inet_ntop(h->addr.ss_family,
	    six ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr,
	    addr, sizeof(addr));
	(void)snprintf(text, HOSTPORT_TEXT, six ? "[%s]:%d" : "%s:%d", addr,
	    hostport_port(h));
}

bool
hostport_is_loopback(const struct hostport *h)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&h->addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&h->addr;

	if (h->addr.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool
hostport_equal(const struct hostport *a, const struct hostport *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}
