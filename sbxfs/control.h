/*
 * control.h - everything of the mount but what is beneath fs/: directories,
 * names and attributes of the table's files, and sandboxes as directories.
 * Each function answers its request, now or later.
 */
#ifndef SBXFS_CONTROL_H
#define SBXFS_CONTROL_H

#include "sbxfs/impl.h"

void control_lookup(fuse_req_t req, struct node *parent, const char *name);
void control_getattr(fuse_req_t req, struct node *n);
void control_setattr(
    fuse_req_t req, struct node *n, const struct stat *st, int to_set);
void control_readlink(fuse_req_t req, struct node *n);
/* A file, link or node: there is no place for one. */
void control_create(fuse_req_t req, struct node *parent, const char *name);
void control_mkdir(fuse_req_t req, struct node *parent, const char *name);
void control_rmdir(fuse_req_t req, struct node *parent, const char *name);
void control_unlink(fuse_req_t req, struct node *parent, const char *name);
void control_rename(fuse_req_t req, struct node *parent, const char *name,
    const char *newname, unsigned flags);

/*** A directory is listed as it was at its open ***/

struct listing;
void control_opendir(fuse_req_t req, struct node *n, struct fuse_file_info *fi);
void control_readdir(
    fuse_req_t req, struct listing *l, size_t n, off_t off, bool plus);
void control_releasedir(struct listing *l);

/* Answers a LOOKUP or the like with n, of which a reference is taken over. */
void entry_reply(fuse_req_t req, struct node *n, struct fuse_entry_param *e);

#endif
