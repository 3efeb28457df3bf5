#include "lib/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel fills its answers up to this (a dump's default). */
#define ANSWER_BYTES 32768

struct listing {
	struct listener *l;
	size_t n;
	uint32_t seq;
	bool done;
};

static int
ask(int fd, uint8_t family, uint32_t seq)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} q = {
		.head = { .nlmsg_len = sizeof(q),
		    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		    .nlmsg_seq = seq },
		.req = { .sdiag_family = family,
		    .sdiag_protocol = IPPROTO_TCP,
		    .idiag_states = 1u << TCP_LISTEN },
	};

	return send(fd, &q, sizeof(q), 0) < 0 ? -errno : 0;
}

static bool
v6_only(const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	const struct rtattr *a = (const void *)(m + 1);
	int left = (int)NLMSG_PAYLOAD(h, sizeof(*m));

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_SKV6ONLY &&
		    RTA_PAYLOAD(a) >= sizeof(uint8_t))
			return *(const uint8_t *)RTA_DATA(a) != 0;
	return false;
}

static struct in6_addr
mapped(uint32_t v4)
{
	struct in6_addr a = IN6ADDR_ANY_INIT;

	a.s6_addr[10] = a.s6_addr[11] = 0xff;
	memcpy(&a.s6_addr[12], &v4, sizeof(v4));
	return a;
}

static void
add(struct listing *to, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct listener *l = &to->l[to->n];

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return;
	l->port = ntohs(m->id.idiag_sport);
	memcpy(&l->addr, m->id.idiag_src, sizeof(l->addr));
	if (m->idiag_family == AF_INET)
		l->addr =
		    mapped(m->id.idiag_src[0] != 0 ? m->id.idiag_src[0]
						   : htonl(INADDR_LOOPBACK));
	else if (IN6_IS_ADDR_UNSPECIFIED(&l->addr))
		l->addr = v6_only(h) ? in6addr_loopback
				     : mapped(htonl(INADDR_LOOPBACK));
	to->n++;
}

/* One message of the kernel's: 0 or -errno. */
static int
take(struct listing *to, const struct nlmsghdr *h)
{
	const struct nlmsgerr *failed = NLMSG_DATA(h);

	if (h->nlmsg_seq != to->seq)
		return -EPROTO;
	if (h->nlmsg_type == NLMSG_DONE) {
		to->done = true;
		return 0;
	}
	if (h->nlmsg_type == NLMSG_ERROR) {
		to->done = true;
		return failed->error;
	}
	if (to->n == SOCKDIAG_MAX)
		return -EOVERFLOW;
	add(to, h);
	return 0;
}

static int
read_answers(int fd, struct listing *to)
{
	static char answer[ANSWER_BYTES] /* as netlink wants it */
	    __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *h;
	ssize_t n;
	int err;

	while (!to->done) {
		/* a dump's answer is there when the request has returned */
		n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0)
			return -errno;
		if (n == 0 || (size_t)n > sizeof(answer))
			return -EPROTO;
		for (h = (const void *)answer; NLMSG_OK(h, (size_t)n);
		     h = NLMSG_NEXT(h, n))
			if ((err = take(to, h)) < 0)
				return err;
	}
	return 0;
}

static bool
is_v4(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

static int
compare(const void *a, const void *b)
{
	const struct listener *l = a, *m = b;

	if (l->port != m->port)
		return l->port < m->port ? -1 : 1;
	if (is_v4(&l->addr) != is_v4(&m->addr))
		return is_v4(&l->addr) ? -1 : 1;
	return memcmp(&l->addr, &m->addr, sizeof(l->addr));
}

/* Several sockets share an address by SO_REUSEPORT. */
static size_t
once_each(struct listener *l, size_t n)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++)
		if (kept == 0 || compare(&l[kept - 1], &l[i]) != 0)
			l[kept++] = l[i];
	return kept;
}

int
sockdiag_listeners(int fd, struct listener *ret)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct listing to = { .l = ret };
	size_t i;
	int err;

	for (i = 0; i < sizeof(families); i++) {
		to.seq = (uint32_t)i + 1;
		to.done = false;
		if ((err = ask(fd, families[i], to.seq)) == 0)
			err = read_answers(fd, &to);
		/* a kernel without IPv6: nothing listens there */
		if (err < 0 && !(err == -ENOENT && families[i] == AF_INET6))
			return err;
	}
	qsort(ret, to.n, sizeof(*ret), compare);
	return (int)once_each(ret, to.n);
}

const struct listener *
sockdiag_find(const struct listener *l, size_t n, uint16_t port)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (l[i].port == port)
			return &l[i];
	return NULL;
}
