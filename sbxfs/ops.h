/*
 * ops.h - the requests of the kernel.
 */
#ifndef SBXFS_OPS_H
#define SBXFS_OPS_H

#include "sbxfs/impl.h"

extern const struct fuse_lowlevel_ops sbxfs_ops;

/* Answers with r bytes, or how many they are where size is 0; r may be
 * -errno, and is ERANGE when it is more than size. */
void reply_xattr(fuse_req_t req, ssize_t r, const char *p, size_t size);

#endif
