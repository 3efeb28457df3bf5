/*
 * fs.h - what is beneath a sandbox's fs/. Each name is opened anew beneath
 * the directory descriptor of its tree, or in the directory that was asked for
 * last (trees.h), following no link, so that nothing that the guest does
 * meanwhile leads outside.
 *
 * Functions return 0, a count or -errno; the box of the nodes has its trees.
 */
#ifndef SBXFS_FS_H
#define SBXFS_FS_H

#include <sys/statvfs.h>

#include "lib/buf.h"
#include "sbxfs/impl.h"

/* An open file or directory. */
struct fs_file {
	LIST_ENTRY(fs_file) link; /* in node->files */
	struct node *node;	  /* a reference */
	int fd; /* -1: a directory that is shown empty, or the agent's */
	struct fs_dir *dir; /* of a directory */
};

/* Is the node fs/ itself, or beneath it? */
bool fs_has(const struct node *n);

/* Fills the attributes as shown. */
int fs_stat(struct node *n, struct stat *st);
/* fs/ itself, also while its sandbox has no trees. */
void fs_stat_root(const struct node *n, struct stat *st);
/* The entry of name in parent, and a reference to its node for the caller:
 * entry_reply counts the lookup, or entry_drop gives it back. */
int fs_entry(struct sbxfs *s, struct node *parent, const char *name,
    struct fuse_entry_param *e);
/* The timeout of names in fs/, and of n's attributes: those of a file with
 * other names change by these as well, and what it may become is judged by
 * them: such a name is looked up each time. */
double fs_timeout(const struct sbxfs *s);
double fs_attr_timeout(
    const struct sbxfs *s, const struct node *n, const struct stat *st);

/* A descriptor of n, if that is a regular file. */
int fs_open_file(struct sbxfs *s, struct node *n, int flags);
int fs_open(struct sbxfs *s, struct node *n, int flags, struct fs_file **ret);
int fs_opendir(struct sbxfs *s, struct node *n, struct fs_file **ret);
void fs_close(struct sbxfs *s, struct fs_file *f);
/* The same of a file, and its descriptor is the caller's to close. */
int fs_close_but_fd(struct sbxfs *s, struct fs_file *f);
/* At the end: what is still open in b. */
void fs_close_all(struct sbxfs *s, struct box *b);

/* Makes name in parent for the caller, who becomes its owner. fs_create
 * opens it as well; its entry is as fs_entry's. */
struct fs_new {
	struct node *parent;
	const char *name;
	const struct caller *caller;
	mode_t mode;	    /* with S_IFMT */
	const char *target; /* of a link */
	int flags;	    /* of a file that is opened as well */
};
/* ret_fd, if not NULL, gets the open file; of a regular one only. */
int fs_make(const struct fs_new *w, int *ret_fd);
int fs_create(struct sbxfs *s, const struct fs_new *w,
    struct fuse_entry_param *e, struct fs_file **ret);

/* All but the size; then *st is as they are. */
int fs_setattr(struct node *n, struct stat *st, int to_set);
int fs_readlink(struct sbxfs *s, struct node *n, struct buf *ret);
/* Freeing or cutting what has these attributes takes milliseconds. */
bool fs_takes_long(const struct stat *st);
/* On success *ret_held is the file that has lost its last name, if to free it
 * takes long: the caller's to close, elsewhere. Otherwise -1. */
int fs_unlink(
    struct sbxfs *s, struct node *parent, const char *name, int *ret_held);
int fs_rmdir(struct sbxfs *s, struct node *parent, const char *name);
struct fs_name {
	struct node *parent;
	const char *name;
};
int fs_rename(struct sbxfs *s, const struct fs_name *from,
    const struct fs_name *to, unsigned flags, int *ret_held);
int fs_link(
    struct sbxfs *s, struct node *n, struct node *to, const char *newname);
int fs_statfs(struct node *n, struct statvfs *sv);

/*** Extended attributes (fsxattr.c): user.*, others are EOPNOTSUPP ***/

bool fs_is_user(const char *name);
/* Leaves of these names, each with its NUL, those that are: their length, or
 * -EIO where they are no such list. */
ssize_t fs_user_names(char *p, size_t n);

struct fs_value {
	const void *p;
	size_t n;
	int flags; /* of setxattr(2) */
};

/* The value into the size bytes at p, -ERANGE when they are too few; its
 * length. */
ssize_t fs_getxattr(
    const struct node *n, const char *name, void *p, size_t size);
int fs_setxattr(
    const struct node *n, const char *name, const struct fs_value *value);
int fs_removexattr(const struct node *n, const char *name);
/* The names, each with its NUL: their length. */
ssize_t fs_listxattr(const struct node *n, char *p, size_t size);

/* Entries of f from off on, into the n bytes at p: the bytes used. plus:
 * with their attributes, each counted as looked up. */
struct fs_list {
	char *p;
	size_t n;
	off_t off;
	bool plus;
};
ssize_t fs_readdir(fuse_req_t req, struct fs_file *f, const struct fs_list *l);

/*** Inside fs*.c, and remote*.c ***/

/* The node for what was found under the name, with a reference; another
 * thing, another node. A directory stays: its number may change when overlay
 * copies it up, and a shell may stand in it. */
struct node *fs_node_for(struct sbxfs *s, struct node *parent, const char *name,
    const struct stat *st);
/* The number that is shown: several file systems lie under one fs/. */
ino_t fs_number(const struct stat *st);
/* 0, or -ESTALE: while something is open on n, another file is not n's, and
 * the kernel looks the name up again. Otherwise n becomes that file: an
 * overlay may number it anew when it is first opened to write. */
int fs_same_file(struct node *n, const struct stat *st);
/* The nodes of what was renamed. */
void fs_renamed(struct sbxfs *s, const struct fs_name *from,
    const struct fs_name *to, unsigned flags);

/* Beyond what one system call takes: a shell gets there by steps. */
#define FS_PATH_MAX (1u << 20)

/* f is open on n now, and no more. */
void fs_file_add(struct fs_file *f, struct node *n);
void fs_file_remove(struct sbxfs *s, struct fs_file *f);
/* What became of an open by n's name. Where that is gone, or another's, what
 * is open lives on: ESTALE, and the kernel tries once more, looking it up, or
 * for what is open, where it came by that. */
int fs_open_failed(struct sbxfs *s, struct node *n, int r);
/* Its name is gone, or another's. */
void fs_orphan(struct sbxfs *s, struct node *n);

/* The path in fs/ of n, or of name in it where that is not NULL, to an empty
 * buffer: -ESTALE when its name is gone. */
int fs_path(const struct node *n, const char *name, struct buf *to);
/* How many directories beneath fs/ itself. */
size_t fs_depth(const struct node *n);
/* The path of name in the directory of that path. */
int fs_path_add(struct buf *path, const char *name);
/* Opens n, or name in it, with flags as fd_open_beneath: fd or -errno. */
int fs_open_node(const struct node *n, const char *name, int flags);

#endif
