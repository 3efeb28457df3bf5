/*
 * fd.h - file descriptors: whole reads and writes, passing over a Unix
 * socket, opening beneath a directory. Every descriptor is born CLOEXEC.
 * Functions return 0 or a count, or -errno.
 */
#ifndef LIB_FD_H
#define LIB_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* More descriptors than this in one message are refused and closed. */
#define FD_PASS_MAX 16

static inline void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Declare as: cleanup_fd int fd = -1; */
#define cleanup_fd __attribute__((cleanup(close_fd)))

/* Closes n of them; each becomes -1. */
void fd_close_all(int *fds, size_t n);

/* Takes the descriptor out of fd, which becomes -1. */
static inline int
steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* Reads n bytes; fewer only at end of file. Blocking descriptors only. */
ssize_t fd_read_full(int fd, void *p, size_t n);
/* The same of what is at off. */
ssize_t fd_pread_full(int fd, void *p, size_t n, uint64_t off);
/* Writes n bytes. Blocking descriptors only. */
int fd_write_full(int fd, const void *p, size_t n);
/* Writes text to the file at dirfd/path, which must exist (sysfs, cgroup). */
int fd_write_at(int dirfd, const char *path, const char *text);
/* Reads at most n-1 bytes of dirfd/path and terminates them: the length. */
ssize_t fd_read_at(int dirfd, const char *path, char *p, size_t n);

/* Sends a message with n descriptors (n may be 0): bytes sent or -errno. */
ssize_t fd_send(int sock, const void *p, size_t len, const int *fds, size_t n);
/*
 * Receives a message. *ret_n is how many descriptors came, at most
 * FD_PASS_MAX; ret_fds has that room. With ret_fds NULL, what comes is closed
 * and the answer is -EPROTO; a packet larger than len is -EMSGSIZE. Returns
 * bytes, 0 at the end, or -errno.
 */
ssize_t fd_recv(int sock, void *p, size_t len, int *ret_fds, size_t *ret_n);

/*
 * openat2 beneath dirfd: no link is followed, no mount is crossed, no magic
 * link. path "" or "." is the directory itself. Flags as in open(2), CLOEXEC
 * and NOCTTY are added.
 */
int fd_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

int fd_nonblock(int fd, int on);
/* A listening Unix socket at path (an old socket there is replaced, another
 * file is -EEXIST), or connected to it: fd. */
int fd_unix_listen(const char *path, mode_t mode, int type);
int fd_unix_connect(const char *path, int type);

#endif
