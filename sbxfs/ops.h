/*
 * ops.h - the requests of the kernel.
 */
#ifndef SBXFS_OPS_H
#define SBXFS_OPS_H

#include "sbxfs/impl.h"

extern const struct fuse_lowlevel_ops sbxfs_ops;

#endif
