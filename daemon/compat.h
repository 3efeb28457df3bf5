/*
 * compat.h - where existing clients look for a socket: server.compat_socket
 * puts a symbolic link there. Only root can, so the broker does.
 */
#ifndef DAEMON_COMPAT_H
#define DAEMON_COMPAT_H

#include "lib/err.h"

#define COMPAT_DIR "/var/run/sandboxd"
#define COMPAT_NAME "sandboxd.sock"

/* Makes dir (0755) and in it the link to socket; a link that is there is
 * replaced, anything else is EEXIST. */
int compat_link(const char *dir, const char *socket, struct err *e);
/* Removes the link, if it is still the one to socket, and an empty dir. */
void compat_unlink(const char *dir, const char *socket);

#endif
