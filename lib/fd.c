#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "lib/mem.h"

#define OPEN_TRIES 64

void
fd_close_all(int *fds, size_t n)
{
	while (n > 0)
		close_fd(&fds[--n]);
}

ssize_t
fd_read_full(int fd, void *p, size_t n)
{
	size_t done = 0;
	ssize_t r;

	while (done < n) {
		r = read(fd, (char *)p + done, n - done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

ssize_t
fd_pread_full(int fd, void *p, size_t n, uint64_t off)
{
	size_t done = 0;
	ssize_t r;

	while (done < n) {
		r = pread(fd, (char *)p + done, n - done, (off_t)(off + done));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int
fd_write_full(int fd, const void *p, size_t n)
{
	size_t done = 0;
	ssize_t r;

	while (done < n) {
		r = write(fd, (const char *)p + done, n - done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return 0;
}

int
fd_write_at(int dirfd, const char *path, const char *text)
{
	cleanup_fd int fd = -1;

	if ((fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC)) < 0)
		return -errno;
	/* One write: control files take a command a write. */
	if (write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

ssize_t
fd_read_at(int dirfd, const char *path, char *p, size_t n)
{
	cleanup_fd int fd = -1;
	ssize_t r;

	if ((fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	if ((r = fd_read_full(fd, p, n - 1)) < 0)
		return r;
	p[r] = '\0';
	return r;
}

ssize_t
fd_send(int sock, const void *p, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} u;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (n > FD_PASS_MAX)
		return -EINVAL;
	if (n != 0) {
		memset(&u, 0, sizeof(u));
		m.msg_control = &u;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		u.h.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&u.h), fds, n * sizeof(int));
	}
	do
		r = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static void
take_fds(struct msghdr *m, int *fds, size_t *n)
{
	struct cmsghdr *c;
	size_t i, got;
	int fd;

	for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < got; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*n < FD_PASS_MAX)
				fds[(*n)++] = fd;
			else
				(void)close(fd);
		}
	}
}

ssize_t
fd_recv(int sock, void *p, size_t len, int *ret_fds, size_t *ret_n)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} u;
	struct iovec iov = { .iov_base = p, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &u,
		.msg_controllen = sizeof(u) };
	int fds[FD_PASS_MAX];
	size_t n = 0;
	ssize_t r;

	do
		r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	take_fds(&m, fds, &n);
	if ((m.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0 ||
	    (ret_fds == NULL && n != 0)) {
		fd_close_all(fds, n);
		return (m.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : -EPROTO;
	}
	if (ret_fds != NULL) {
		memcpy(ret_fds, fds, n * sizeof(int));
		*ret_n = n;
	}
	return r;
}

int
fd_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		    RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	int tries = 0;
	long r;

	if ((flags & O_PATH) == 0)
		how.flags |= O_NOCTTY;
	if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode & 07777;
	/*
	 * EAGAIN: a rename elsewhere raced with a "..", and the kernel wants
	 * to be asked again; or a guest holds a lease on the file, and would
	 * have us ask for 45 seconds.
	 */
	do
		r = syscall(SYS_openat2, dirfd, *path != '\0' ? path : ".",
		    &how, sizeof(how));
	while (r < 0 &&
	    (errno == EINTR || (errno == EAGAIN && ++tries < OPEN_TRIES)));
	return r < 0 ? -errno : (int)r;
}

int
fd_nonblock(int fd, int on)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0)
		return -errno;
	fl = on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, fl) < 0 ? -errno : 0;
}

static int
unix_addr(const char *path, struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (!str_copy(sa->sun_path, path, sizeof(sa->sun_path)))
		return -ENAMETOOLONG;
	return 0;
}

int
fd_unix_listen(const char *path, mode_t mode, int type)
{
	cleanup_fd int fd = -1;
	struct sockaddr_un sa;
	struct stat st;
	int r;

	if ((r = unix_addr(path, &sa)) < 0)
		return r;
	if ((fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) < 0)
		return -errno;
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return -EEXIST; /* a file that only a mistake puts here */
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(path, mode) < 0 || listen(fd, 4096) < 0)
		return -errno;
	return steal_fd(&fd);
}

int
fd_unix_connect(const char *path, int type)
{
	cleanup_fd int fd = -1;
	struct sockaddr_un sa;
	int r;

	if ((r = unix_addr(path, &sa)) < 0)
		return r;
	if ((fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return steal_fd(&fd);
}
