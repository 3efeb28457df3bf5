#include "runtimes/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/jail.h"

#define BLOCK_SIZE (64u << 10)
/* What no image needs, and a bomb is stopped by. */
#define ENTRIES_MAX 4000000
#define BYTES_MAX ((int64_t)64 << 30)
#define MEMORY_MAX ((rlim_t)1 << 30)
#define CPU_SECONDS_MAX 1200

/*** The jail ***/

static const struct jail_call calls[] = {
	JAIL_BASE,
	/* the archive, and files as libarchive writes them */
	JAIL_CALL(read),
	JAIL_CALL(pread64),
	JAIL_CALL(lseek),
	JAIL_CALL(write),
	JAIL_CALL(pwrite64),
	JAIL_CALL(ftruncate),
	JAIL_CALL(openat),
	JAIL_CALL(close),
	JAIL_CALL(fstat),
	JAIL_CALL(newfstatat),
	JAIL_CALL(statx),
	JAIL_CALL(fstatfs),
	JAIL_CALL(statfs),
	JAIL_CALL(getdents64),
	JAIL_CALL(mkdirat),
	JAIL_CALL(symlinkat),
	JAIL_CALL(linkat),
	JAIL_CALL(unlinkat),
	JAIL_CALL(renameat),
	JAIL_CALL(mknodat),
	JAIL_CALL(fchmod),
	JAIL_CALL(fchmodat),
	JAIL_CALL(fchown),
	JAIL_CALL(fchownat),
	JAIL_CALL(utimensat),
	JAIL_CALL(fsetxattr),
	JAIL_CALL(lsetxattr),
	JAIL_CALL(setxattr),
	JAIL_CALL(fcntl),
	JAIL_CALL(dup),
	JAIL_CALL(fchdir),
	JAIL_CALL(chdir),
	JAIL_CALL(getcwd),
	JAIL_CALL(umask),
	JAIL_CALL(readlinkat),
#ifdef SYS_open
	JAIL_CALL(open),
	JAIL_CALL(stat),
	JAIL_CALL(lstat),
	JAIL_CALL(mkdir),
	JAIL_CALL(symlink),
	JAIL_CALL(link),
	JAIL_CALL(unlink),
	JAIL_CALL(rmdir),
	JAIL_CALL(rename),
	JAIL_CALL(mknod),
	JAIL_CALL(chmod),
	JAIL_CALL(chown),
	JAIL_CALL(lchown),
	JAIL_CALL(readlink),
	JAIL_CALL(time),
#endif
	/* memory, time, the end */
	JAIL_CALL(sigaltstack),
	JAIL_CALL(gettimeofday),
	JAIL_CALL(getuid),
	JAIL_CALL(geteuid),
	JAIL_CALL(getgid),
	JAIL_CALL(getegid),
	JAIL_CALL(sysinfo),
	JAIL_CALL(sched_getaffinity),

};

static int
keep_file_caps(void)
{
	static const uint32_t keep = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
	    1u << CAP_FOWNER | 1u << CAP_FSETID;
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2] = {
		{ .effective = keep, .permitted = keep },
	};
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			return -errno;
	return syscall(SYS_capset, &head, caps) < 0 ? -errno : 0;
}

/* Our size now, before a byte of the archive: a sanitizer's is terabytes. */
static rlim_t
memory_max(void)
{
	char text[64];

	if (fd_read_at(AT_FDCWD, "/proc/self/statm", text, sizeof(text)) <= 0)
		return MEMORY_MAX;
	return MEMORY_MAX +
	    strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

int
unpack_limit(struct err *e)
{
	const struct {
		int what;
		rlim_t max;
	} rows[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_AS, memory_max() },
		{ RLIMIT_CPU, CPU_SECONDS_MAX },
		{ RLIMIT_NPROC, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rlimit l = { rows[i].max, rows[i].max };

		if (setrlimit((__rlimit_resource_t)rows[i].what, &l) < 0)
			return err_set(e, errno, "limits");
	}
	return 0;
}

int
unpack_jail(struct err *e)
{
	int err;

	if ((err = keep_file_caps()) < 0 || (err = jail_hide()) < 0 ||
	    (err = jail_no_new_privs()) < 0 ||
	    (err = jail_filter(calls, sizeof(calls) / sizeof(calls[0]))) < 0)
		return err_set(e, -err, "jail");
	return 0;
}

/*** The work ***/

struct unpacking {
	struct archive *in, *out;
	int64_t entries, bytes;
};

static int
in_failed(struct unpacking *u, struct err *e)
{
	return err_setx(e, EBADMSG, "%s", archive_error_string(u->in));
}

static int
out_failed(struct unpacking *u, struct archive_entry *entry, struct err *e)
{
	int code = archive_errno(u->out);

	return err_setx(e, code > 0 ? code : EIO, "%s: %s",
	    archive_entry_pathname(entry), archive_error_string(u->out));
}

/* Names in archives may be absolute; here the root is the directory. */
static const char *
relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path == '\0' ? "." : path;
}

static bool
wanted(struct archive_entry *entry)
{
	mode_t type = archive_entry_filetype(entry);

	return archive_entry_pathname(entry) != NULL && type != AE_IFBLK &&
	    type != AE_IFCHR;
}

static int
copy_data(struct unpacking *u, struct archive_entry *entry, struct err *e)
{
	const void *p;
	size_t n;
	int64_t off;
	int r;

	while (
	    (r = archive_read_data_block(u->in, &p, &n, &off)) == ARCHIVE_OK) {
		if ((u->bytes += (int64_t)n) > BYTES_MAX || off > BYTES_MAX)
			return err_setx(e, EFBIG, "the archive is too large");
		if (archive_write_data_block(u->out, p, n, off) < ARCHIVE_OK)
			return out_failed(u, entry, e);
	}
	return r == ARCHIVE_EOF ? 0 : in_failed(u, e);
}

static int
unpack_entry(struct unpacking *u, struct archive_entry *entry, struct err *e)
{
	const char *link = archive_entry_hardlink(entry);

	if (++u->entries > ENTRIES_MAX)
		return err_setx(e, EFBIG, "the archive has too many files");
	if (!wanted(entry))
		return 0;
	archive_entry_set_pathname(
	    entry, relative(archive_entry_pathname(entry)));
	if (link != NULL)
		archive_entry_set_hardlink(entry, relative(link));
	archive_entry_set_fflags(entry, 0, 0);
	if (archive_write_header(u->out, entry) < ARCHIVE_WARN)
		return out_failed(u, entry, e);
	if (copy_data(u, entry, e) < 0)
		return -1;
	/* a warning is an attribute that this file system cannot hold */
	return archive_write_finish_entry(u->out) < ARCHIVE_WARN
	    ? out_failed(u, entry, e)
	    : 0;
}

static int
unpack_all(struct unpacking *u, struct err *e)
{
	struct archive_entry *entry;
	int r;

	while ((r = archive_read_next_header(u->in, &entry)) == ARCHIVE_OK ||
	    r == ARCHIVE_WARN)
		if (unpack_entry(u, entry, e) < 0)
			return -1;
	if (r != ARCHIVE_EOF)
		return in_failed(u, e);
	if (u->entries == 0)
		return err_setx(e, EBADMSG, "the archive is empty");
	return archive_write_close(u->out) < ARCHIVE_WARN
	    ? err_setx(e, EIO, "%s", archive_error_string(u->out))
	    : 0;
}

int
unpack(int archive_fd, struct err *e)
{
	struct unpacking u = { .in = archive_read_new(),
		.out = archive_write_disk_new() };
	int rc;

	if (u.in == NULL || u.out == NULL)
		return err_set(e, ENOMEM, "unpack");
	(void)archive_read_support_filter_all(u.in);
	(void)archive_read_support_format_tar(u.in);
	(void)archive_write_disk_set_options(u.out,
	    ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM |
		ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR |
		ARCHIVE_EXTRACT_SECURE_NODOTDOT |
		ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_UNLINK);
	if (archive_read_open_fd(u.in, archive_fd, BLOCK_SIZE) != ARCHIVE_OK)
		rc = in_failed(&u, e);
	else
		rc = unpack_all(&u, e);
	(void)archive_read_free(u.in);
	(void)archive_write_free(u.out);
	return rc;
}
