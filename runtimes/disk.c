#include "runtimes/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimes/dirs.h"
#include "runtimes/impl.h"

/* A file of a tmpfs costs about a page of the kernel's memory. */
#define BYTES_PER_INODE 4096
#define INODES_MIN 4096
#define INODES_MAX 4194304

#define DIR_FLAGS (O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC)

static void
root_path(char path[RT_ID_MAX + 8], const char *id)
{
	(void)snprintf(path, RT_ID_MAX + 8, "%s/r", id);
}

/*** Directories ***/

int
disk_make(const char *id, const struct record *r, struct err *e)
{
	const uid_t root[2] = { 0, 0 };
	const uid_t front[2] = { native.env.front_uid, native.env.front_gid };
	cleanup_fd int dir = -1, spool = -1, upper = -1;

	if ((dir = dirs_make(native.sandboxes_fd, id, 0711, root, e)) < 0 ||
	    (spool = dirs_make(dir, "spool", 0700, front, e)) < 0)
		return err_wrap(e, "sandbox %s", id);
	if (r->limits.storage_bytes == 0 &&
	    (upper = dirs_make(dir, "upper", 0700, root, e)) < 0)
		return err_wrap(e, "sandbox %s", id);
	return 0;
}

void
disk_spool(const char *id)
{
	static const char *const names[] = { RT_SPOOL_JOURNAL, RT_SPOOL_LOG };
	char path[RT_ID_MAX + 32];
	size_t i;

	(void)setfsgid(native.env.front_gid);
	(void)setfsuid(native.env.front_uid);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/spool/%s", id, names[i]);
		(void)mknodat(native.sandboxes_fd, path, S_IFREG | 0600, 0);
	}
	(void)setfsuid(0);
	(void)setfsgid(0);
}

int
disk_remove(const char *id, struct err *e)
{
	return dirs_remove(native.sandboxes_fd, id, e);
}

/*** Mounting ***/

static int
set_number(int fs, const char *key, long long n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", n);
	return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

static long long
inodes_for(int64_t bytes)
{
	int64_t n = bytes / BYTES_PER_INODE;

	return n < INODES_MIN ? INODES_MIN : n > INODES_MAX ? INODES_MAX : n;
}

static int
new_tmpfs(int64_t bytes)
{
	cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "source", "sandbox", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
	    set_number(fs, "size", bytes) < 0 ||
	    set_number(fs, "nr_inodes", inodes_for(bytes)) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(
	    fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

static int
map_ids(int mount, int userns, uint64_t more)
{
	struct mount_attr a = {
		.attr_set = MOUNT_ATTR_IDMAP | more,
		.userns_fd = (uint64_t)userns,
	};

	return mount_setattr(mount, "", AT_EMPTY_PATH, &a, sizeof(a));
}

/* What the overlay needs inside; u is its root, as the sandbox sees it. */
static int
make_inside(int mount)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = { { "l", 0700 }, { "r", 0700 }, { "w", 0700 },
		{ "u", 0755 } };
	size_t i;

	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (mkdirat(mount, dirs[i].name, dirs[i].mode) < 0 &&
		    errno != EEXIST)
			return -1;
	return 0;
}

/* Kernels before 6.3 cannot map a tmpfs: its files, which no reboot
 * survives, then have the host's numbers. */
static int
own_inside(int mount, uint32_t base)
{
	static const char *const names[] = { "w", "u" };
	size_t i;

	for (i = 0; i < 2; i++)
		if (fchownat(mount, names[i], base, base, AT_SYMLINK_NOFOLLOW) <
		    0)
			return -1;
	return 0;
}

static int
bind_upper(const char *id)
{
	char path[RT_ID_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/upper", id);
	return open_tree(
	    native.sandboxes_fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

/* The mount that holds everything, detached. */
static int
new_upper(const char *id, const struct record *r, int userns)
{
	bool sized = r->limits.storage_bytes != 0;
	cleanup_fd int mount =
	    sized ? new_tmpfs(r->limits.storage_bytes) : bind_upper(id);

	if (mount < 0 || make_inside(mount) < 0)
		return -1;
	if (map_ids(mount, userns, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0 &&
	    (!sized || errno != EINVAL || own_inside(mount, r->id_base) < 0))
		return -1;
	return steal_fd(&mount);
}

static int
attach(int mount, int at, const char *path)
{
	return move_mount(mount, "", at, path, MOVE_MOUNT_F_EMPTY_PATH);
}

static int
mount_layer(int upper, const struct record *r, int userns)
{
	cleanup_fd int layer =
	    open_tree(AT_FDCWD, r->layer, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (layer < 0)
		return -1;
	if (map_ids(layer, userns,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0)
		return -1;
	return attach(layer, upper, "l");
}

/*
 * The overlay works on its directories as who mounts it: that must be an id
 * that they have, with our capabilities, which a change of fsuid takes away.
 */
static int
become(uint32_t id)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps) < 0)
		return -1;
	(void)setfsuid(id);
	(void)setfsgid(id);
	return (int)syscall(SYS_capset, &head, caps);
}

/* Relative paths, so that mountinfo inside names no directory of ours. */
static int
mount_overlay(int upper, uint32_t base)
{
	int rc = -1, saved;

	if (fchdir(upper) < 0)
		return -1;
	if (become(base) == 0)
		rc = mount("overlay", "r", "overlay", MS_NOSUID | MS_NODEV,
		    "lowerdir=l,upperdir=u,workdir=w,index=on");
	saved = errno;
	(void)become(0);
	dirs_leave();
	errno = saved;
	return rc;
}

int
disk_mount(const char *id, const struct record *r, int userns, struct err *e)
{
	cleanup_fd int upper = -1;

	if ((upper = new_upper(id, r, userns)) < 0 ||
	    (mkdirat(native.disks_fd, id, 0700) < 0 && errno != EEXIST) ||
	    attach(upper, native.disks_fd, id) < 0)
		return err_set(e, errno, "sandbox %s: mount its disk", id);
	if (mount_layer(upper, r, userns) < 0)
		return err_set(
		    e, errno, "sandbox %s: mount image %s", id, r->layer);
	if (mount_overlay(upper, r->id_base) < 0)
		return err_set(e, errno, "sandbox %s: mount its root", id);
	return 0;
}

/* There is no umountat: the path is relative to where we stand. */
int
disk_unmount(const char *id, struct err *e)
{
	int code = 0;

	if (fchdir(native.disks_fd) < 0)
		return err_set(e, errno, "%s/mnt", native.env.run_dir);
	while (umount2(id, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		code = errno;
	else if (rmdir(id) < 0 && errno != ENOENT)
		code = errno;
	dirs_leave();
	return code == 0 ? 0 : err_set(e, code, "sandbox %s: unmount", id);
}

/*** Using ***/

/* Something else than the overlay is there while it is not mounted. */
static int
checked(int fd)
{
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC)
		return fd;
	(void)close(fd);
	return -ENOENT;
}

int
disk_open(const char *id)
{
	char path[RT_ID_MAX + 8];

	root_path(path, id);
	return checked(openat(native.disks_fd, path,
	    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int
disk_clone(const char *id)
{
	char path[RT_ID_MAX + 8];

	root_path(path, id);
	return checked(open_tree(native.disks_fd, path,
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
}

int
disk_resize(
    const char *id, const struct record *r, int64_t bytes, struct err *e)
{
	cleanup_fd int fs = -1;

	if (bytes == r->limits.storage_bytes)
		return 0;
	if (bytes == 0 || r->limits.storage_bytes == 0)
		return err_setx(e, EOPNOTSUPP,
		    "sandbox %s: whether storage is limited is fixed at create",
		    id);
	fs = fspick(native.disks_fd, id, FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);
	if (fs < 0 || set_number(fs, "size", bytes) < 0 ||
	    set_number(fs, "nr_inodes", inodes_for(bytes)) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return err_set(e, errno == EINVAL ? ENOSPC : errno,
		    "sandbox %s: storage of %lld bytes", id, (long long)bytes);
	return 0;
}

void
disk_usage(const char *id, uint64_t *ret_used, uint64_t *ret_limit)
{
	cleanup_fd int fd = openat(native.disks_fd, id, DIR_FLAGS);
	struct statfs fs;

	*ret_used = *ret_limit = 0;
	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return;
	*ret_limit = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
	*ret_used = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
}
