/*
 * trees.h - a sandbox's fs/: the table of directory descriptors that the
 * front hands out for one run of it, paths in it, and ids.
 *
 * Paths have no leading or trailing slash, "" is the root. Each is opened
 * beneath the tree of its longest prefix.
 */
#ifndef SBXFS_TREES_H
#define SBXFS_TREES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sbxfs/client.h"

#define TREES_MAX 16
#define TREE_IDS 65536u

struct box;
struct node;

struct tree {
	char *prefix; /* "" is the root's */
	size_t len;   /* of prefix */
	int fd;
	bool ro;
};

struct trees {
	uint32_t run;
	uid_t base; /* inside 0 on the host */
	bool keep;  /* the kernel remembers names as well */
	size_t n;
	struct tree t[TREES_MAX];
};

/* From the answer to `trees`. NULL: it makes no sense. */
struct trees *trees_new(const struct reply *r);
void trees_free(struct trees *t);
/* Forgets b's table: the next request asks for it. */
void trees_drop(struct box *b);

/* The row that holds the path, and the rest of the path in it ("." for the
 * row's own root). NULL: there is no root. */
const struct tree *trees_at(
    const struct trees *t, const char *path, const char **ret_rest);
/* Opens the path beneath its tree, as fd_open_beneath but of any length. The
 * guest may move directories meanwhile: what is opened is still beneath. */
int trees_open(const struct trees *t, const char *path, int flags);
/*
 * An O_PATH descriptor of the directory at the path, not the caller's to
 * close and good until the next call: the last one is kept for some
 * milliseconds, since the next request is most often for the same. A guest
 * may move it meanwhile, which the kernel would not hear of sooner either;
 * whoever learns of it says trees_forget. To look it up is to ask for the
 * one above it, which takes its place. Where t->keep is false, it is
 * opened each time.
 */
int trees_dir(const struct trees *t, const char *path);
/* The one that is kept, if it is of the path; otherwise -1. */
int trees_kept(const struct trees *t, const char *path);
void trees_forget(const struct trees *t);
/* Is path the prefix of a row, or one of proc, dev, sys? Those are neither
 * removed nor renamed. */
bool trees_fixed(const struct trees *t, const char *path);
/* proc, dev, sys: shown empty. */
bool trees_empty_dir(const char *path);

/* Ids, as shown and as stored. owner is the sandbox's uid or gid. */
uint32_t id_shown(const struct trees *t, uint32_t host, uint32_t owner);
/* 0, or -EINVAL for one that has no place inside. */
int id_stored(
    const struct trees *t, uint32_t shown, uint32_t owner, uint32_t *ret_host);

#endif
