/*
 * files.h - what the groups of sbx.fs.* methods share: their arguments
 * (each method's table says which of them it takes), and how a file's
 * attributes are written.
 */
#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include <sys/stat.h>

#include "agent/impl.h"

#define NS_PER_S INT64_C(1000000000)

struct fs_args {
	struct bytes path, to, target, access, name;
	int64_t h, off, len, after, mode, size, mtime, flags;
	int64_t uid, gid, atime_ns, mtime_ns, whence, to_h, to_off;
	bool create, excl, trunc, parents, follow, atomic, commit, append;
	bool atime_now, mtime_now;
};

#define FS_BYTES(k, member)                                      \
	{                                                        \
		.key = k, .type = PARAM_BYTES, .required = true, \
		.offset = offsetof(struct fs_args, member)       \
	}
#define FS_PATH_OPT                                      \
	{                                                \
		.key = "path", .type = PARAM_BYTES,      \
		.offset = offsetof(struct fs_args, path) \
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

/* A time in nanoseconds: until the year 2262. */
/* Nanoseconds: none is rounded to seconds that 64 bits do not hold. */
#define FS_NS(member) \
	FS_INT_OPT(member, INT64_MIN + NS_PER_S, INT64_MAX, INT64_MIN)

/* The members of a stat object. */
void put_stat(struct json_out *o, const struct stat *st);
/* The descriptor of a handle, or -EBADF. */
int handle_fd(struct conn *c, int64_t number);
/* The answer is n bytes, which are at the room that conn_binary gave. */
int give_binary(struct call *c, size_t n);

#endif
