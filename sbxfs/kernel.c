#include "sbxfs/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sbxfs/impl.h"
#include "sbxfs/trees.h"

#ifndef FUSE_NOTIFY_INC_EPOCH
#define FUSE_NOTIFY_INC_EPOCH 8 /* FUSE 7.44 */
#endif

/*** INIT ***/

/* Bits of flags, and above them of flags2. */
#define CAN_KILLPRIV_V2 (1ull << 28)
#define CAN_INIT_EXT (1ull << 30)
#define CAN_DIRECT_IO_MMAP (1ull << 36)
#define CAN_PASSTHROUGH (1ull << 37)

/* Of files that lie on an overlay, which is one file system on another. The
 * kernel allows no more; nothing can then be stacked on this mount. */
#define STACK_DEPTH 2

/* In struct fuse_init_out of FUSE 7.40, where older ones have nothing. */
#define STACK_DEPTH_AT 36

void
kernel_saw(struct sbxfs *s, const void *p, size_t n)
{
	const struct fuse_in_header *in = p;
	struct fuse_init_in init = { 0 };

	if (n <= sizeof(*in) || in->opcode != FUSE_INIT)
		return;
	n -= sizeof(*in);
	memcpy(&init, in + 1, n < sizeof(init) ? n : sizeof(init));
	s->init = in->unique;
	s->offers = init.flags;
	if ((s->offers & CAN_INIT_EXT) != 0)
		s->offers |= (uint64_t)init.flags2 << 32;
}

/*
 * What we take of what is offered. Writes take setuid bits away: the kernel
 * leaves that to us then, and we to the file system beneath (privs.c).
 * Without it each write would ask for an attribute first.
 */
static void
answer_init(struct sbxfs *s, struct fuse_init_out *out)
{
	const uint32_t depth = STACK_DEPTH;
	uint64_t take = s->offers & CAN_KILLPRIV_V2;

	s->passthrough = !s->direct_io && (s->offers & CAN_PASSTHROUGH) != 0;
	if (s->passthrough) {
		take |= CAN_INIT_EXT | CAN_PASSTHROUGH;
		_Static_assert(sizeof(*out) >= STACK_DEPTH_AT + sizeof(depth),
		    "the answer has a place for it");
		memcpy((char *)out + STACK_DEPTH_AT, &depth, sizeof(depth));
	} else if ((s->offers & CAN_DIRECT_IO_MMAP) != 0) {
		take |= CAN_INIT_EXT | CAN_DIRECT_IO_MMAP;
	}
	out->flags |= (uint32_t)take;
	out->flags2 |= (uint32_t)(take >> 32);
}

static ssize_t
io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *head = iov[0].iov_base;
	struct sbxfs *s = userdata;
	struct fuse_init_out out;
	struct iovec init[2];

	/* Its second part may be shorter, for an older kernel. */
	if (s->init == 0 || head->unique != s->init || count != 2 ||
	    iov[1].iov_len != sizeof(out))
		return writev(fd, iov, count);
	s->init = 0;
	memcpy(&out, iov[1].iov_base, sizeof(out));
	answer_init(s, &out);
	init[0] = iov[0];
	init[1] = (struct iovec){ &out, sizeof(out) };
	return writev(fd, init, 2);
}

static ssize_t
io_read(int fd, void *p, size_t n, void *userdata)
{
	(void)userdata;
	return read(fd, p, n);
}

static ssize_t
op_splice(int in, off_t *in_off, int out, off_t *out_off, size_t n,
    unsigned flags, void *userdata)
{
	(void)userdata;
	return splice(in, in_off, out, out_off, n, flags);
}

const struct fuse_custom_io kernel_io = {
	.writev = io_writev,
	.read = io_read,
	.splice_send = op_splice,
};

/*** Files that are handed over ***/

int
kernel_backing_open(const struct sbxfs *s, int fd)
{
	const struct backing_map map = { .fd = fd };
	int id;

	if (!s->passthrough)
		return 0;
	/* ELOOP: its file system is stacked too high. */
	id = ioctl(s->devfd, BACKING_OPEN, &map);
	return id > 0 ? id : 0;
}

void
kernel_backing_close(const struct sbxfs *s, int id)
{
	const uint32_t n = (uint32_t)id;

	if (id != 0)
		(void)ioctl(s->devfd, BACKING_CLOSE, &n);
}

/*** Caches ***/

static void
inc_epoch(struct sbxfs *s)
{
	const struct fuse_out_header out = {
		.len = sizeof(out),
		.error = FUSE_NOTIFY_INC_EPOCH,
	};

	if (s->epoch && write(s->devfd, &out, sizeof(out)) < 0 &&
	    errno == EINVAL)
		s->epoch = false;
}

void
kernel_forget_attr(const struct sbxfs *s, const struct node *n)
{
	(void)fuse_lowlevel_notify_inval_inode(s->se,
	    n == s->nodes.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)n, -1,
	    0);
}

void
kernel_forget_names(struct sbxfs *s, struct box *b)
{
	struct node *n;

	inc_epoch(s);
	if (b == NULL)
		return;
	if (b->trees != NULL)
		trees_forget(b->trees);
	/* The epoch is of names; what is open keeps its attributes. */
	LIST_FOREACH (n, &b->opened, opened)
		kernel_forget_attr(s, n);
}
