/*
 * fd: whole reads and writes, descriptors over sockets, and paths that a guest
 * has prepared.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "tests/unit/unit.h"

static char top[64];
static int root = -1;

/*** A directory of a guest's, beside a secret ***/

static void
put_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void
setup(void)
{
	strcpy(top, "/tmp/unit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	put_file("secret", "canary");
	ck_assert_int_eq(mkdir("root", 0755), 0);
	ck_assert_int_eq(mkdir("root/dir", 0755), 0);
	put_file("root/file", "hello");
	put_file("root/dir/inner", "inner");
	root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(root, 0);
}

static int
rm(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static void
teardown(void)
{
	close_fd(&root);
	ck_assert_int_eq(chdir("/"), 0);
	(void)nftw(top, rm, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void
make_link(const char *target, const char *name)
{
	ck_assert_int_eq(symlinkat(target, root, name), 0);
}

/* What the file is that opens; "-ERRNO" when none does. */
static const char *
text_of(int fd)
{
	static char text[64];
	ssize_t n;

	if (fd < 0) {
		snprintf(text, sizeof(text), "-%s", strerrorname_np(-fd));
		return text;
	}
	n = fd_read_full(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return strerrorname_np((int)-n);
	text[n] = '\0';
	return text;
}

static const char *
beneath(const char *path)
{
	return text_of(fd_open_beneath(root, path, O_RDONLY, 0));
}

/*** Whole reads and writes ***/

START_TEST(a_read_goes_on_until_all_is_there)
{
	char text[8] = "";
	int p[2], i, status;
	pid_t pid;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
		for (i = 0; i < 5; i++) {
			(void)fd_write_full(p[1], &"abcde"[i], 1);
			usleep(5000);
		}
		_exit(0);
	}
	close(p[1]);
	ck_assert_int_eq(fd_read_full(p[0], text, 5), 5);
	ck_assert_str_eq(text, "abcde");
	ck_assert_int_eq(fd_read_full(p[0], text, 5), 0);
	close(p[0]);
	waitpid(pid, &status, 0);
}
END_TEST

START_TEST(a_write_goes_on_until_all_is_taken)
{
	static char out[1 << 20], in[1 << 20];
	int p[2], status;
	pid_t pid;

	memset(out, 'x', sizeof(out));
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
		close(p[0]);
		_exit(fd_write_full(p[1], out, sizeof(out)) != 0);
	}
	close(p[1]);
	ck_assert_int_eq(fd_read_full(p[0], in, sizeof(in)), sizeof(in));
	ck_assert_mem_eq(in, out, sizeof(in));
	close(p[0]);
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(what_cannot_be_read_or_written_says_why)
{
	char c;

	ck_assert_int_eq(fd_read_full(-1, &c, 1), -EBADF);
	ck_assert_int_eq(fd_write_full(-1, "x", 1), -EBADF);
	ck_assert_int_eq(fd_write_at(root, "nope", "x"), -ENOENT);
	ck_assert_int_eq(fd_read_at(root, "nope", &c, 1), -ENOENT);
}
END_TEST

START_TEST(a_small_file_is_read_and_written_by_its_path)
{
	char text[16];

	ck_assert_int_eq(fd_write_at(root, "file", "HE"), 0);
	ck_assert_int_eq(fd_read_at(root, "file", text, sizeof(text)), 5);
	ck_assert_str_eq(text, "HEllo");
	ck_assert_int_eq(fd_read_at(root, "file", text, 3), 2);
	ck_assert_str_eq(text, "HE");
}
END_TEST

/*** Descriptors over a socket ***/

static void
pair_of(int type, int s[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, s), 0);
}

static void
close_all(int *fds, size_t n)
{
	while (n > 0)
		close(fds[--n]);
}

START_TEST(a_message_without_descriptors_arrives)
{
	int s[2], fds[FD_PASS_MAX];
	char text[8] = "";
	size_t n = 99;

	pair_of(SOCK_SEQPACKET, s);
	ck_assert_int_eq(fd_send(s[0], "hi", 2, NULL, 0), 2);
	ck_assert_int_eq(fd_recv(s[1], text, sizeof(text), fds, &n), 2);
	ck_assert_str_eq(text, "hi");
	ck_assert_uint_eq(n, 0);
	close_all(s, 2);
}
END_TEST

START_TEST(descriptors_arrive_in_order_and_close_on_exec)
{
	int s[2], p[2], fds[FD_PASS_MAX], out[2];
	char c = 0;
	size_t n;

	pair_of(SOCK_STREAM, s);
	ck_assert_int_eq(pipe(p), 0); /* not CLOEXEC here */
	out[0] = p[0];
	out[1] = p[1];
	ck_assert_int_eq(fd_send(s[0], "x", 1, out, 2), 1);
	ck_assert_int_eq(fd_recv(s[1], &c, 1, fds, &n), 1);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fd_write_full(fds[1], "y", 1), 0);
	ck_assert_int_eq(fd_read_full(fds[0], &c, 1), 1);
	ck_assert_int_eq(c, 'y');
	close_all(fds, n);
	close_all(p, 2);
	close_all(s, 2);
}
END_TEST

START_TEST(sixteen_descriptors_are_passed_and_seventeen_refused)
{
	int s[2], fds[FD_PASS_MAX], out[FD_PASS_MAX + 1], i;
	size_t n;
	char c;

	pair_of(SOCK_STREAM, s);
	for (i = 0; i <= FD_PASS_MAX; i++)
		out[i] = root;
	ck_assert_int_eq(fd_send(s[0], "x", 1, out, FD_PASS_MAX + 1), -EINVAL);
	ck_assert_int_eq(fd_send(s[0], "x", 1, out, FD_PASS_MAX), 1);
	ck_assert_int_eq(fd_recv(s[1], &c, 1, fds, &n), 1);
	ck_assert_uint_eq(n, FD_PASS_MAX);
	close_all(fds, n);
	close_all(s, 2);
}
END_TEST

/* As a hostile peer would: more than fd_send sends. */
static void
send_many(int sock, int fd, size_t count)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} u;
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &u,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	size_t i;

	memset(&u, 0, sizeof(u));
	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(count * sizeof(int));
	for (i = 0; i < count; i++)
		memcpy(CMSG_DATA(&u.h) + i * sizeof(int), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(sock, &m, 0), 1);
}

START_TEST(too_many_descriptors_are_closed_and_refused)
{
	int s[2], fds[FD_PASS_MAX];
	size_t n = 99;
	char c;

	pair_of(SOCK_STREAM, s);
	send_many(s[0], root, 64);
	ck_assert_int_eq(fd_recv(s[1], &c, 1, fds, &n), -EPROTO);
	ck_assert_uint_eq(n, 99);
	close_all(s, 2);
}
END_TEST

START_TEST(descriptors_nobody_asked_for_are_closed_and_refused)
{
	int s[2];
	char c;

	pair_of(SOCK_STREAM, s);
	ck_assert_int_eq(fd_send(s[0], "x", 1, &root, 1), 1);
	ck_assert_int_eq(fd_recv(s[1], &c, 1, NULL, NULL), -EPROTO);
	close_all(s, 2);
}
END_TEST

START_TEST(a_packet_that_does_not_fit_is_refused_with_its_descriptors)
{
	int s[2], fds[FD_PASS_MAX];
	size_t n = 99;
	char c;

	pair_of(SOCK_SEQPACKET, s);
	ck_assert_int_eq(fd_send(s[0], "xy", 2, &root, 1), 2);
	ck_assert_int_eq(fd_recv(s[1], &c, 1, fds, &n), -EMSGSIZE);
	ck_assert_uint_eq(n, 99);
	close_all(s, 2);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_an_errno_and_no_signal)
{
	int s[2];
	char c;

	pair_of(SOCK_STREAM, s);
	close(s[1]);
	ck_assert_int_eq(fd_send(s[0], "x", 1, NULL, 0), -EPIPE);
	ck_assert_int_eq(fd_recv(s[0], &c, 1, NULL, NULL), 0);
	close(s[0]);
}
END_TEST

/*** Beneath a directory ***/

START_TEST(files_beneath_open_by_their_path)
{
	ck_assert_str_eq(beneath("file"), "hello");
	ck_assert_str_eq(beneath("dir/inner"), "inner");
	ck_assert_str_eq(beneath("dir/../file"), "hello");
}
END_TEST

START_TEST(no_path_and_a_dot_are_the_directory_itself)
{
	static const char *const names[] = { "", ".", "./", "dir/.." };
	struct stat want, st;
	size_t i;
	int fd;

	ck_assert_int_eq(fstat(root, &want), 0);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fd = fd_open_beneath(root, names[i], O_RDONLY | O_DIRECTORY, 0);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_uint_eq(st.st_ino, want.st_ino);
		close(fd);
	}
}
END_TEST

START_TEST(dots_and_slashes_lead_nowhere_outside)
{
	ck_assert_str_eq(beneath("../secret"), "-EXDEV");
	ck_assert_str_eq(beneath("dir/../../secret"), "-EXDEV");
	ck_assert_str_eq(beneath("/etc/passwd"), "-EXDEV");
	ck_assert_str_eq(beneath(".."), "-EXDEV");
	ck_assert_str_eq(beneath("/"), "-EXDEV");
}
END_TEST

START_TEST(a_link_is_not_followed_wherever_it_leads)
{
	char absolute[128];

	snprintf(absolute, sizeof(absolute), "%s/secret", top);
	make_link(absolute, "a");
	make_link("../secret", "b");
	make_link("file", "c");
	make_link("d", "d");
	make_link("/proc/self/root/etc/passwd", "e");
	ck_assert_str_eq(beneath("a"), "-ELOOP");
	ck_assert_str_eq(beneath("b"), "-ELOOP");
	ck_assert_str_eq(beneath("c"), "-ELOOP");
	ck_assert_str_eq(beneath("d"), "-ELOOP");
	ck_assert_str_eq(beneath("e"), "-ELOOP");
}
END_TEST

START_TEST(a_link_on_the_way_is_not_followed)
{
	make_link("..", "up");
	make_link("dir", "same");
	make_link("/", "slash");
	ck_assert_str_eq(beneath("up/secret"), "-ELOOP");
	ck_assert_str_eq(beneath("same/inner"), "-ELOOP");
	ck_assert_str_eq(beneath("slash/etc/passwd"), "-ELOOP");
}
END_TEST

START_TEST(a_link_itself_can_be_looked_at)
{
	char to[64] = "";
	int fd;

	make_link("../secret", "l");
	fd = fd_open_beneath(root, "l", O_PATH | O_NOFOLLOW, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(readlinkat(fd, "", to, sizeof(to) - 1), 0);
	ck_assert_str_eq(to, "../secret");
	close(fd);
}
END_TEST

START_TEST(a_file_is_made_beneath_and_not_through_a_link)
{
	struct stat st;
	int fd;

	(void)umask(0);
	fd = fd_open_beneath(root, "new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	close(fd);
	make_link("../made", "l");
	ck_assert_int_eq(
	    fd_open_beneath(root, "l", O_WRONLY | O_CREAT, 0644), -ELOOP);
	ck_assert_int_eq(access("made", F_OK), -1);
}
END_TEST

START_TEST(a_mode_without_a_file_to_make_does_not_matter)
{
	ck_assert_str_eq(
	    text_of(fd_open_beneath(root, "file", O_RDONLY, 0100644)), "hello");
}
END_TEST

START_TEST(what_opens_closes_on_exec)
{
	int fd = fd_open_beneath(root, "file", O_RDONLY, 0);

	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}
END_TEST

START_TEST(a_mount_is_not_crossed)
{
	if (geteuid() != 0)
		return;
	/* nobody else sees it, and it ends with this process */
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("none", "root/dir", "tmpfs", 0, NULL), 0);
	close_fd(&root); /* of the mount as it was before */
	root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	put_file("root/dir/other", "mounted");
	ck_assert_str_eq(beneath("dir/other"), "-EXDEV");
	ck_assert_int_eq(umount2("root/dir", MNT_DETACH), 0);
}
END_TEST

START_TEST(magic_links_of_proc_are_not_followed)
{
	int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	ck_assert_str_eq(
	    text_of(fd_open_beneath(proc, "root/etc/passwd", O_RDONLY, 0)),
	    "-ELOOP");
	ck_assert_str_eq(
	    text_of(fd_open_beneath(proc, "fd/0", O_RDONLY, 0)), "-ELOOP");
	close(proc);
}
END_TEST

/* A guest swaps a directory and a link to the outside while we open. */
START_TEST(a_race_between_a_directory_and_a_link_is_never_lost)
{
	time_t until = time(NULL) + 2;
	int opened = 0, fd, status;
	char text[16];
	pid_t pid;

	make_link("..", "out");
	put_file("root/dir/secret", "inside");
	if ((pid = fork()) == 0)
		for (;;)
			(void)renameat2(
			    root, "dir", root, "out", RENAME_EXCHANGE);
	while (time(NULL) < until) {
		fd = fd_open_beneath(root, "dir/secret", O_RDONLY, 0);
		if (fd < 0)
			continue;
		opened++;
		ck_assert_int_eq(fd_read_full(fd, text, 6), 6);
		ck_assert_mem_eq(text, "inside", 6);
		close(fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	ck_assert_int_gt(opened, 0);
}
END_TEST

/* A lease makes a non-blocking open say EAGAIN for as long as 45 s. */
START_TEST(a_lease_of_a_guest_keeps_nobody_asking)
{
	int fd = open("root/file", O_RDWR | O_CLOEXEC);
	struct timespec from, to;

	(void)signal(SIGIO, SIG_IGN);
	ck_assert_int_eq(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	ck_assert_int_eq(
	    fd_open_beneath(root, "file", O_RDONLY | O_NONBLOCK, 0), -EAGAIN);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ck_assert_int_le(to.tv_sec - from.tv_sec, 1);
	close(fd);
}
END_TEST

START_TEST(a_fifo_does_not_block_who_asks_not_to)
{
	ck_assert_int_eq(mkfifoat(root, "fifo", 0644), 0);
	ck_assert_int_eq(
	    fd_open_beneath(root, "fifo", O_WRONLY | O_NONBLOCK, 0), -ENXIO);
}
END_TEST

/*** Sockets by path ***/

START_TEST(who_connects_reaches_who_listens)
{
	int l, c, s;
	struct stat st;
	char x = 0;

	ck_assert_int_ge(l = fd_unix_listen("sock", 0620, SOCK_STREAM), 0);
	ck_assert_int_eq(stat("sock", &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0620);
	ck_assert_int_ge(c = fd_unix_connect("sock", SOCK_STREAM), 0);
	ck_assert_int_ge(s = accept(l, NULL, NULL), 0);
	ck_assert_int_eq(fd_write_full(c, "x", 1), 0);
	ck_assert_int_eq(fd_read_full(s, &x, 1), 1);
	close(l);
	close(c);
	close(s);
}
END_TEST

START_TEST(an_old_socket_is_replaced)
{
	int l = fd_unix_listen("sock", 0600, SOCK_STREAM);

	close(l);
	ck_assert_int_eq(fd_unix_connect("sock", SOCK_STREAM), -ECONNREFUSED);
	ck_assert_int_ge(l = fd_unix_listen("sock", 0600, SOCK_STREAM), 0);
	close(l);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_not_replaced)
{
	ck_assert_int_eq(fd_unix_listen("secret", 0600, SOCK_STREAM), -EEXIST);
	ck_assert_int_eq(symlink("secret", "link"), 0);
	ck_assert_int_eq(fd_unix_listen("link", 0600, SOCK_STREAM), -EEXIST);
	ck_assert_int_eq(access("secret", F_OK), 0);
}
END_TEST

START_TEST(a_path_too_long_for_an_address_is_refused)
{
	char path[200];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(
	    fd_unix_listen(path, 0600, SOCK_STREAM), -ENAMETOOLONG);
	ck_assert_int_eq(fd_unix_connect(path, SOCK_STREAM), -ENAMETOOLONG);
}
END_TEST

START_TEST(a_descriptor_waits_or_does_not_as_it_is_told)
{
	int p[2];
	char c;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_eq(fd_nonblock(p[0], 1), 0);
	ck_assert_int_eq(fd_read_full(p[0], &c, 1), -EAGAIN);
	ck_assert_int_eq(fd_nonblock(p[0], 0), 0);
	ck_assert_int_eq(fcntl(p[0], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fd_nonblock(-1, 1), -EBADF);
	close_all(p, 2);
}
END_TEST

START_TEST(a_taken_descriptor_is_not_closed_where_it_was)
{
	int there;
	{
		cleanup_fd int here = dup(root);

		there = steal_fd(&here);
		ck_assert_int_eq(here, -1);
	}
	ck_assert_int_ge(fcntl(there, F_GETFD), 0);
	close_fd(&there);
	ck_assert_int_eq(there, -1);
	close_fd(&there);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { a_read_goes_on_until_all_is_there,
		a_write_goes_on_until_all_is_taken,
		what_cannot_be_read_or_written_says_why,
		a_small_file_is_read_and_written_by_its_path,
		a_message_without_descriptors_arrives,
		descriptors_arrive_in_order_and_close_on_exec,
		sixteen_descriptors_are_passed_and_seventeen_refused,
		too_many_descriptors_are_closed_and_refused,
		descriptors_nobody_asked_for_are_closed_and_refused,
		a_packet_that_does_not_fit_is_refused_with_its_descriptors,
		a_peer_that_is_gone_is_an_errno_and_no_signal,
		files_beneath_open_by_their_path,
		no_path_and_a_dot_are_the_directory_itself,
		dots_and_slashes_lead_nowhere_outside,
		a_link_is_not_followed_wherever_it_leads,
		a_link_on_the_way_is_not_followed,
		a_link_itself_can_be_looked_at,
		a_file_is_made_beneath_and_not_through_a_link,
		a_mode_without_a_file_to_make_does_not_matter,
		what_opens_closes_on_exec, a_mount_is_not_crossed,
		magic_links_of_proc_are_not_followed,
		a_race_between_a_directory_and_a_link_is_never_lost,
		a_lease_of_a_guest_keeps_nobody_asking,
		a_fifo_does_not_block_who_asks_not_to,
		who_connects_reaches_who_listens, an_old_socket_is_replaced,
		a_file_that_is_no_socket_is_not_replaced,
		a_path_too_long_for_an_address_is_refused,
		a_descriptor_waits_or_does_not_as_it_is_told,
		a_taken_descriptor_is_not_closed_where_it_was };
	Suite *s = suite_create("lib");

	UNIT_ADD_IN(s, "fd", tests, setup, teardown);
	return unit_run(s);
}
