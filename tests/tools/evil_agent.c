/*
 * evil_agent.c - what a hostile guest makes of its agent: it listens where
 * the agent does, says hello so that it is believed, and then misbehaves. Its
 * way is chosen by EVIL at compile time. Static, libc alone.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef EVIL
#error "EVIL says how"
#endif

#define LISTEN_FD 3
#define HEAD 5

static void
head(unsigned char *h, int type, unsigned long len)
{
	h[0] = (unsigned char)type;
	h[1] = (unsigned char)(len >> 24);
	h[2] = (unsigned char)(len >> 16);
	h[3] = (unsigned char)(len >> 8);
	h[4] = (unsigned char)len;
}

static void
send_all(int fd, const void *p, size_t n)
{
	const char *at = p;
	ssize_t r;

	for (; n > 0; at += r, n -= (size_t)r)
		if ((r = send(fd, at, n, MSG_NOSIGNAL)) <= 0)
			return;
}

static void
say(int fd, const char *json)
{
	unsigned char h[HEAD];

	head(h, 1, strlen(json));
	send_all(fd, h, sizeof(h));
	send_all(fd, json, strlen(json));
}

/* Takes one frame; the id of its request, or -1. The payload is cut. */
static long
hear(int fd)
{
	static char buf[1 << 20];
	unsigned char h[HEAD];
	size_t len, got;
	ssize_t r;
	char *at;

	if (recv(fd, h, sizeof(h), MSG_WAITALL) != sizeof(h))
		exit(0);
	len =
	    (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
	for (got = 0; got < len && got < sizeof(buf) - 1; got += (size_t)r)
		if ((r = recv(fd, buf + got, len - got, 0)) <= 0)
			exit(0);
	buf[got] = '\0';
	at = strstr(buf, "\"id\":");
	return at == NULL ? -1 : atol(at + 5);
}

static void
reply(int fd, long id, const char *result)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"result\":%s}", id, result);
	say(fd, text);
}

static void
hello(int fd)
{
	reply(fd, hear(fd), "{\"version\":1,\"jobs\":[]}");
}

static void
garbage(int fd)
{
	unsigned char b[4096];
	size_t i, n;

	for (n = 0; n < 256; n++) {
		for (i = 0; i < sizeof(b); i++)
			b[i] = (unsigned char)rand();
		send_all(fd, b, sizeof(b));
	}
}

static void
huge_length(int fd)
{
	unsigned char h[HEAD];

	hello(fd);
	head(h, 1, 0xffffffffUL);
	send_all(fd, h, sizeof(h));
	garbage(fd);
}

static void
truncated(int fd)
{
	unsigned char h[HEAD];

	hello(fd);
	head(h, 1, 100);
	send_all(fd, h, sizeof(h));
	send_all(fd, "{", 1);
}

static void
flood(int fd)
{
	int i;

	hello(fd);
	for (i = 0; i < 300000; i++)
		say(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}");
}

static void
unasked(int fd)
{
	long id;
	int i;

	hello(fd);
	for (i = 0; i < 1000; i++)
		reply(fd, 1000000 + i, "{}");
	id = hear(fd);
	reply(fd, id, "{\"pid\":1}");
	reply(fd, id, "{\"pid\":1}");
}

static void
lies(int fd)
{
	static const char *const all[] = {
		"{\"job\":1,\"code\":0,\"signal\":0}",
		"{\"job\":-1,\"code\":\"x\"}",
		"{\"job\":99999999999,\"code\":0}",
		"{}",
		"[]",
		"{\"job\":1,\"code\":1e300,\"ended\":\"\\u0000\"}",
		"null",
	};
	char text[512];
	size_t i;

	hello(fd);
	for (;;) {
		for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			snprintf(text, sizeof(text),
			    "{\"jsonrpc\":\"2.0\",\"method\":\"sbx.job.exit\","
			    "\"params\":%s}",
			    all[i]);
			say(fd, text);
		}
		reply(fd, hear(fd), "{\"pid\":\"one\"}");
	}
}

static void
deep(int fd)
{
	static char text[2000001];

	hello(fd);
	memset(text, '[', sizeof(text) - 1);
	say(fd, text);
}

static void
bad_text(int fd)
{
	hello(fd);
	say(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\xfe\xc0\x80\"}");
	say(fd, "\xff\xff");
}

static void
with_fd(int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	char text[] = "{}";
	unsigned char h[HEAD];
	struct iovec iov[2] = { { h, sizeof(h) }, { text, 2 } };
	struct msghdr m = { .msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &u,
		.msg_controllen = sizeof(u) };
	int pass = 0;

	hello(fd);
	head(h, 1, 2);
	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&u.h), &pass, sizeof(pass));
	(void)sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void
mute_after_hello(int fd)
{
	hello(fd);
	for (;;)
		(void)hear(fd);
}

static void
slow_reader(int fd)
{
	char c;

	hello(fd);
	while (recv(fd, &c, 1, 0) == 1)
		sleep(1);
}

static void
leaves(int fd)
{
	hello(fd);
	(void)hear(fd);
	exit(0);
}

static void (*const evils[])(int fd) = { garbage, huge_length, truncated, flood,
	unasked, lies, deep, bad_text, with_fd, mute_after_hello, slow_reader,
	leaves };

int
main(void)
{
	int fd;

	for (;;) {
		if ((fd = accept(LISTEN_FD, NULL, NULL)) < 0)
			return 1;
		if (fork() == 0) {
			evils[EVIL](fd);
			(void)poll(NULL, 0, 600000);
			return 0;
		}
		(void)close(fd);
	}
}
