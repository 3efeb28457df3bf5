/*
 * fsreq.h - requests for what is in fs/ that storage can delay, and open
 * files: each is answered here, at once where that takes microseconds,
 * otherwise by a thread (work.h).
 */
#ifndef SBXFS_FSREQ_H
#define SBXFS_FSREQ_H

#include "sbxfs/fs.h"

void fsreq_setattr(fuse_req_t req, struct node *n, const struct stat *st,
    int to_set, const struct fs_file *f);
void fsreq_unlink(fuse_req_t req, struct node *parent, const char *name);
void fsreq_rename(fuse_req_t req, const struct fs_name *from,
    const struct fs_name *to, unsigned flags);

void fsreq_open(fuse_req_t req, struct node *n, int flags);
void fsreq_create(fuse_req_t req, struct fs_new *w);
void fsreq_release(fuse_req_t req, struct fs_file *f);

void fsreq_read(fuse_req_t req, const struct fs_file *f, size_t n, off_t off);
void fsreq_write(fuse_req_t req, const struct fs_file *f, const char *p,
    size_t n, off_t off);
/* A part of an open file. */
struct fs_range {
	const struct fs_file *f;
	off_t off, len;
};
void fsreq_fsync(fuse_req_t req, const struct fs_file *f, bool data_only);
void fsreq_fallocate(fuse_req_t req, const struct fs_range *at, int mode);
/* to->len counts for nothing. */
void fsreq_copy(
    fuse_req_t req, const struct fs_range *from, const struct fs_range *to);

#endif
