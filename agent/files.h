/*
 * files.h - what the two groups of sbx.fs.* methods share: their arguments
 * (each method's table says which of them it takes), and how a file's
 * attributes are written.
 */
#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include <sys/stat.h>

#include "agent/impl.h"

struct fs_args {
	struct bytes path, to, target, access;
	int64_t h, off, len, after, mode, size, mtime, flags;
	bool create, excl, trunc, parents, follow, atomic, commit;
};

#define FS_BYTES(k, member)                                      \
	{                                                        \
		.key = k, .type = PARAM_BYTES, .required = true, \
		.offset = offsetof(struct fs_args, member)       \
	}
#define FS_BOOL(member)                                    \
	{                                                  \
		.key = #member, .type = PARAM_BOOL,        \
		.offset = offsetof(struct fs_args, member) \
	}
/* Required without a default. */
#define FS_INT(member, low, high)                                       \
	{                                                               \
		.key = #member, .type = PARAM_INT, .required = true,    \
		.offset = offsetof(struct fs_args, member), .min = low, \
		.max = high                                             \
	}
#define FS_INT_OPT(member, low, high, default)                          \
	{                                                               \
		.key = #member, .type = PARAM_INT,                      \
		.offset = offsetof(struct fs_args, member), .min = low, \
		.max = high, .def = default                             \
	}
#define FS_MODE FS_INT_OPT(mode, 0, 07777, -1)

/* The members of a stat object. */
void put_stat(struct json_out *o, const struct stat *st);

#endif
