#include "sbxfs/used.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <time.h>

#include "sbxfs/fs.h"
#include "sbxfs/impl.h"

#define TELL_MS 1000

enum change {
	CHANGE_NONE,
	CHANGE_YES,
	CHANGE_OPEN,	/* by the flags of fuse_open_in */
	CHANGE_RELEASE, /* and of fuse_release_in */
};

static const uint8_t changes[] = {
	[FUSE_SETATTR] = CHANGE_YES,
	[FUSE_SYMLINK] = CHANGE_YES,
	[FUSE_MKNOD] = CHANGE_YES,
	[FUSE_MKDIR] = CHANGE_YES,
	[FUSE_UNLINK] = CHANGE_YES,
	[FUSE_RMDIR] = CHANGE_YES,
	[FUSE_RENAME] = CHANGE_YES,
	[FUSE_RENAME2] = CHANGE_YES,
	[FUSE_LINK] = CHANGE_YES,
	[FUSE_SETXATTR] = CHANGE_YES,
	[FUSE_REMOVEXATTR] = CHANGE_YES,
	[FUSE_COPY_FILE_RANGE] = CHANGE_YES,
	[FUSE_CREATE] = CHANGE_YES,
	[FUSE_WRITE] = CHANGE_YES,
	[FUSE_FALLOCATE] = CHANGE_YES,
	[FUSE_OPEN] = CHANGE_OPEN,
	[FUSE_RELEASE] = CHANGE_RELEASE,
};

static bool
writes(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static bool
is_change(const void *bytes, size_t n)
{
	const struct fuse_in_header *in = bytes;
	struct fuse_release_in release;
	struct fuse_open_in open;

	if (n < sizeof(*in) || in->opcode >= sizeof(changes))
		return false;
	switch ((enum change)changes[in->opcode]) {
	case CHANGE_YES:
		return true;
	case CHANGE_OPEN:
		if (n < sizeof(*in) + sizeof(open))
			return false;
		memcpy(&open, in + 1, sizeof(open));
		return writes(open.flags);
	case CHANGE_RELEASE:
		if (n < sizeof(*in) + sizeof(release))
			return false;
		memcpy(&release, in + 1, sizeof(release));
		return writes(release.flags);
	case CHANGE_NONE:
		break;
	}
	return false;
}

void
used_note(struct sbxfs *s, const void *bytes, size_t n)
{
	const struct fuse_in_header *in = bytes;
	const struct node *node;
	struct timespec ts;
	int64_t now;

	if (!is_change(bytes, n) || in->nodeid <= FUSE_ROOT_ID)
		return;
	node = (const struct node *)(uintptr_t)in->nodeid;
	if (!fs_has(node) || node->box->life != BOX_LIVE)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	if (node->box->used_ms != 0 && now - node->box->used_ms < TELL_MS)
		return;
	node->box->used_ms = now;
	client_hint(s->client, "used", box_params(node->box));
}
