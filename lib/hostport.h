/*
 * hostport.h - a numeric address and a port, as "127.0.0.1:80", "[::1]:80":
 * no resolver is ever asked.
 */
#ifndef LIB_HOSTPORT_H
#define LIB_HOSTPORT_H

#include <stdbool.h>
#include <sys/socket.h>

#define HOSTPORT_TEXT 64

struct hostport {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* An address alone ("::1", "localhost" as 127.0.0.1) and a port. False: it is
 * not numeric. */
bool hostport_set(struct hostport *h, const char *addr, int port);
/* "ADDR:PORT", "[v6]:PORT". False: it is none; ports are 1 to 65535. */
bool hostport_parse(struct hostport *h, const char *text);
int hostport_port(const struct hostport *h);
void hostport_set_port(struct hostport *h, int port);
/* As hostport_parse takes it. */
void hostport_text(const struct hostport *h, char text[HOSTPORT_TEXT]);
/* It is reached from this machine alone. */
bool hostport_is_loopback(const struct hostport *h);
bool hostport_equal(const struct hostport *a, const struct hostport *b);

#endif
