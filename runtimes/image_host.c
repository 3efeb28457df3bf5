/*
 * The built-in image: links and directories as every system has them, and an
 * /etc of our own. Nothing of the host's configuration goes in, except what
 * its /usr cannot do without: the cache of libraries, made anew over /usr, the
 * alternatives, where they are links into /usr, and the certificates of /usr.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/proc.h"
#include "runtimes/dirs.h"
#include "runtimes/image.h"
#include "runtimes/impl.h"

/* Another one when what is generated changes. */
#define HOST_VERSION 1
#define HOST_TEMP ".host"
#define CERTIFICATES "/usr/share/ca-certificates"

static const struct {
	const char *path;
	mode_t mode;
} dirs[] = {
	{ "usr", 0755 },
	{ "dev", 0755 },
	{ "proc", 0555 },
	{ "sys", 0555 },
	{ "tmp", 01777 },
	{ "root", 0700 },
	{ "home", 0755 },
	{ "mnt", 0755 },
	{ "media", 0755 },
	{ "opt", 0755 },
	{ "srv", 0755 },
	{ "run", 0755 },
	{ "run/lock", 01777 },
	{ "var", 0755 },
	{ "var/cache", 0755 },
	{ "var/lib", 0755 },
	{ "var/log", 0755 },
	{ "var/spool", 0755 },
	{ "var/tmp", 01777 },
	{ "etc", 0755 },
	{ "etc/alternatives", 0755 },
	{ "etc/ssl", 0755 },
	{ "etc/ssl/certs", 0755 },
	{ "etc/ssl/private", 0700 },
	{ "etc/profile.d", 0755 },
};

static const struct {
	const char *path;
	mode_t mode;
	const char *text;
} files[] = {
	{ "etc/passwd", 0644,
	    "root:x:0:0:root:/root:/bin/bash\n"
	    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
	    "bin:x:2:2:bin:/bin:/usr/sbin/nologin\n"
	    "sys:x:3:3:sys:/dev:/usr/sbin/nologin\n"
	    "man:x:6:12:man:/var/cache/man:/usr/sbin/nologin\n"
	    "mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n"
	    "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
	    "_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n"
	    "user:x:1000:1000:user:/home/user:/bin/bash\n"
	    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
	{ "etc/group", 0644,
	    "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\n"
	    "disk:x:6:\nman:x:12:\nmail:x:8:\nwww-data:x:33:\nshadow:x:42:\n"
	    "utmp:x:43:\nstaff:x:50:\nusers:x:100:\nuser:x:1000:\n"
	    "nogroup:x:65534:\n" },
	{ "etc/shadow", 0600, "root:*:19000:0:99999:7:::\n" },
	{ "etc/hosts", 0644,
	    "127.0.0.1 localhost\n::1 localhost ip6-localhost\n" },
	{ "etc/host.conf", 0644, "multi on\n" },
	{ "etc/hostname", 0644, "sandbox\n" },
	{ "etc/resolv.conf", 0644, "" },
	{ "etc/nsswitch.conf", 0644,
	    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
	    "networks: files\nprotocols: files\nservices: files\n" },
	{ "etc/shells", 0644, "/bin/sh\n/bin/bash\n" },
	{ "etc/profile", 0644,
	    "for f in /etc/profile.d/*.sh; do\n"
	    "\t[ ! -r \"$f\" ] || . \"$f\"\ndone\nunset f\n" },
	{ "etc/timezone", 0644, "Etc/UTC\n" },
	{ "etc/environment", 0644, "" },
	{ "etc/fstab", 0644, "" },
	{ "etc/login.defs", 0644,
	    "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n"
	    "ENCRYPT_METHOD SHA512\nUMASK 022\n" },
	{ "etc/protocols", 0644,
	    "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n"
	    "ipv6-icmp 58 IPv6-ICMP\n" },
	{ "etc/services", 0644,
	    "ftp 21/tcp\nssh 22/tcp\nsmtp 25/tcp\ndomain 53/tcp\n"
	    "domain 53/udp\nhttp 80/tcp\npop3 110/tcp\nntp 123/udp\n"
	    "imap2 143/tcp\nhttps 443/tcp\n" },
};

static const char *const links[][2] = {
	{ "usr/bin", "bin" },
	{ "usr/sbin", "sbin" },
	{ "/run", "var/run" },
	{ "/run/lock", "var/lock" },
	{ "../proc/self/mounts", "etc/mtab" },
	{ "../usr/lib/os-release", "etc/os-release" },
	{ "/usr/share/zoneinfo/Etc/UTC", "etc/localtime" },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int
write_file(int at, const char *path, mode_t mode, const struct buf *text)
{
	cleanup_fd int fd =
	    openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	int err;

	if (fd < 0)
		return -errno;
	if ((err = fd_write_full(fd, text->data, text->len)) < 0)
		return err;
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

static int
make_skeleton(int at)
{
	size_t i;
	int err = 0;

	for (i = 0; i < COUNT(dirs); i++)
		if (mkdirat(at, dirs[i].path, 0700) < 0 ||
		    fchmodat(at, dirs[i].path, dirs[i].mode, 0) < 0)
			return -errno;
	for (i = 0; i < COUNT(links); i++)
		if (symlinkat(links[i][0], at, links[i][1]) < 0)
			return -errno;
	for (i = 0; i < COUNT(files) && err == 0; i++) {
		struct buf text = { .data = (char *)(uintptr_t)files[i].text,
			.len = strlen(files[i].text) };

		err = write_file(at, files[i].path, files[i].mode, &text);
	}
	return err;
}

/* lib, lib64 and what else of these the host has. */
static int
link_libraries(int at)
{
	glob_t g;
	size_t i;
	int err = 0;

	if (glob("/lib*", 0, NULL, &g) != 0)
		return 0;
	for (i = 0; i < g.gl_pathc && err == 0; i++) {
		cleanup_free char *to = xasprintf("usr%s", g.gl_pathv[i]);
		cleanup_free char *there = xasprintf("/%s", to);
		struct stat st;

		if (lstat(g.gl_pathv[i], &st) < 0 || !S_ISLNK(st.st_mode) ||
		    access(there, F_OK) < 0)
			continue;
		if (symlinkat(to, at, g.gl_pathv[i] + 1) < 0)
			err = -errno;
	}
	globfree(&g);
	return err;
}

static int
link_alternative(const char *name, void *arg)
{
	const int *at = arg;
	cleanup_free char *from = xasprintf("/etc/alternatives/%s", name);
	cleanup_free char *to = xasprintf("etc/alternatives/%s", name);
	char target[PATH_MAX];
	ssize_t n = readlink(from, target, sizeof(target) - 1);

	if (n <= 0)
		return 0;
	target[n] = '\0';
	if (strncmp(target, "/usr/", 5) != 0 || strstr(target, "/../") != NULL)
		return 0;
	/* ends the walk; what is missing shows by its absence alone */
	return symlinkat(target, *at, to) < 0 && errno != EEXIST;
}

/*** Certificates ***/

static struct buf bundle; /* nftw has no argument for it */

static int
add_certificate(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	cleanup_fd int fd = -1;
	size_t n = strlen(path);
	char *p;
	ssize_t r;

	(void)ftw;
	if (type != FTW_F || n < 4 || strcmp(path + n - 4, ".crt") != 0 ||
	    st->st_size > (1 << 20))
		return 0;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 ||
	    buf_reserve(&bundle, (size_t)st->st_size + 1, &p) < 0)
		return 0;
	if ((r = fd_read_full(fd, p, (size_t)st->st_size)) > 0) {
		buf_grew(&bundle, (size_t)r);
		if (p[r - 1] != '\n')
			(void)buf_adds(&bundle, "\n");
	}
	return 0;
}

static int
write_certificates(int at)
{
	int err;

	(void)nftw(CERTIFICATES, add_certificate, 16, FTW_PHYS);
	err =
	    write_file(at, "etc/ssl/certs/ca-certificates.crt", 0644, &bundle);
	buf_done(&bundle);
	return err;
}

/*** The cache of libraries ***/

static int
write_ld_conf(int at)
{
	cleanup_buf struct buf b = BUF_INIT;
	glob_t g;
	size_t i;

	(void)buf_adds(&b, "/usr/local/lib\n");
	if (glob("/usr/lib/*-linux-gnu*", GLOB_ONLYDIR, NULL, &g) == 0) {
		for (i = 0; i < g.gl_pathc; i++)
			(void)buf_addf(&b, "/usr/local%s\n%s\n",
			    g.gl_pathv[i] + 4, g.gl_pathv[i]);
		globfree(&g);
	}
	return write_file(at, "etc/ld.so.conf", 0644, &b);
}

/* In the child: the layer as root, with /usr, seen by it alone. */
static int
enter_layer(void *arg)
{
	const int *at = arg;

	if (fchdir(*at) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/usr", "usr", NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int
run_ldconfig(int at, struct err *e)
{
	const char *argv[] = { "ldconfig", "-X", NULL };
	char *envp[] = { NULL };
	cleanup_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[3] = { null_fd, null_fd, null_fd }; /* the layer has none */
	struct proc_spec s = {
		.path = "/usr/sbin/ldconfig",
		.argv = (char *const *)(uintptr_t)argv,
		.envp = envp,
		.fds = fds,
		.nfds = 3,
		.prepare = enter_layer,
		.arg = &at,
	};
	pid_t pid;
	int err, status;

	if ((err = proc_spawn(&s, &pid)) < 0)
		return err_set(e, -err, "%s", s.path);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, errno, "%s", s.path);
	if (status != 0 || faccessat(at, "etc/ld.so.cache", F_OK, 0) < 0)
		return err_setx(e, EIO, "%s: status %d", s.path, status);
	/* its own cache of what it has seen, of use to no one */
	return dirs_remove(at, "var/cache/ldconfig", e);
}

/*** The layer ***/

static int
generate(int at, struct err *e)
{
	int err;

	if ((err = make_skeleton(at)) < 0 || (err = link_libraries(at)) < 0 ||
	    (err = write_ld_conf(at)) < 0 || (err = write_certificates(at)) < 0)
		return err_set(e, -err, "image host");
	if (dirs_each(AT_FDCWD, "/etc/alternatives", link_alternative, &at, e) <
	    0)
		return err_wrap(e, "image host");
	if (run_ldconfig(at, e) < 0)
		return err_wrap(e, "image host");
	return 0;
}

/* What is generated depends on these: they change when packages do. */
static uint64_t
key(void)
{
	static const char *const paths[] = { "/etc/ld.so.cache",
		"/etc/alternatives", "/usr/lib", CERTIFICATES };
	uint64_t h = HOST_VERSION;
	struct stat st;
	size_t i;

	for (i = 0; i < COUNT(paths); i++)
		if (stat(paths[i], &st) == 0)
			h = (h * 1099511628211u) ^
			    ((uint64_t)st.st_mtim.tv_sec * 1000000000u +
				(uint64_t)st.st_mtim.tv_nsec);
	return h;
}

int
image_host(char ret[NAME_MAX], struct err *e)
{
	const uid_t root[2] = { 0, 0 };
	cleanup_fd int at = -1;
	struct stat st;

	(void)snprintf(
	    ret, NAME_MAX, "host-%016llx", (unsigned long long)key());
	if (fstatat(native.layers_fd, ret, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (lstat("/bin", &st) < 0 || !S_ISLNK(st.st_mode))
		return err_setx(e, EOPNOTSUPP,
		    "image host: /bin is not a link into /usr here");
	if (dirs_remove(native.layers_fd, HOST_TEMP, e) < 0)
		return -1;
	at = dirs_make(native.layers_fd, HOST_TEMP, 0755, root, e);
	if (at < 0 || generate(at, e) < 0)
		return -1;
	if (renameat(native.layers_fd, HOST_TEMP, native.layers_fd, ret) < 0)
		return err_set(e, errno, "image host: layers/%s", ret);
	return 0;
}
