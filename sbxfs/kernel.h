/*
 * kernel.h - what is said to the kernel that libfuse 3.14 has no word for:
 * the offer of passthrough in the answer to INIT, files that are handed over
 * to it, and what it shall forget.
 */
#ifndef SBXFS_KERNEL_H
#define SBXFS_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

struct fuse_custom_io;

struct box;
struct node;
struct sbxfs;

/* The largest read and write: the mount, libfuse and INIT must say the same. */
#define KERNEL_IO_MAX (1u << 20)

/* Flags of an answer to OPEN: not in every host's linux/fuse.h. */
#define OPEN_DIRECT_IO (1u << 0)
#define OPEN_STREAM (1u << 4)
#define OPEN_NOFLUSH (1u << 5)
#define OPEN_PASSTHROUGH (1u << 7)

/* struct fuse_open_out of FUSE 7.40. */
struct open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

/* Of /dev/fuse, FUSE 7.40. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* The requests of libfuse, which must go through here. */
extern const struct fuse_custom_io kernel_io;

/* Looks at each request before libfuse does: INIT is what it needs. */
void kernel_saw(struct sbxfs *s, const void *p, size_t n);

/*
 * Hands the open regular file over: whoever opens it with the number in the
 * answer reads, writes and maps it without us. A number above 0; 0 where the
 * kernel takes none, or not this one. The kernel refuses two numbers for one
 * inode at a time, and a mix of files with and without.
 */
int kernel_backing_open(const struct sbxfs *s, int fd);
void kernel_backing_close(const struct sbxfs *s, int id);

/* Attributes of n. */
void kernel_forget_attr(const struct sbxfs *s, const struct node *n);
/* Every cached name is asked for again; attributes of what is open in b's
 * fs/ as well (b may be NULL). */
void kernel_forget_names(struct sbxfs *s, struct box *b);

#endif
