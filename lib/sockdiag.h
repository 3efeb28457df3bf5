/*
 * sockdiag.h - which TCP ports are listened on in a network namespace, asked
 * of the kernel by a NETLINK_SOCK_DIAG socket that was made there: nothing is
 * connected to, and other sockets are not looked at (some 30 us in all, where
 * /proc/net/tcp takes milliseconds).
 */
#ifndef LIB_SOCKDIAG_H
#define LIB_SOCKDIAG_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* Who listens on more is told of as if nothing did: -EOVERFLOW. */
#define SOCKDIAG_MAX 4096

struct listener {
	uint16_t port;
	/* Where to connect to from within: the address itself or, of one that
	 * takes any, the loopback's; IPv4 as ::ffff:127.0.0.1. */
	struct in6_addr addr;
};

/*
 * Fills ret (SOCKDIAG_MAX of room), sorted by port, for one port IPv4 before
 * IPv6; each port and address once. How many, or -errno: then the socket is
 * of no use any more. -ENOENT: this kernel cannot tell (CONFIG_INET_DIAG).
 */
int sockdiag_listeners(int fd, struct listener *ret);
/* The first of that port among n sorted ones, or NULL. */
const struct listener *sockdiag_find(
    const struct listener *l, size_t n, uint16_t port);

#endif
