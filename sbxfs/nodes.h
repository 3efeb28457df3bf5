/*
 * nodes.h - what the kernel knows of the tree: one node for each name it was
 * told, keyed by (parent, name). A node holds no descriptor; what is in fs/
 * is opened again by its path at each request.
 *
 * A node lives while the kernel has it looked up, or something refers to it:
 * a child, an open file. It leaves the table (nodes_unhash) when its name is
 * gone or is another's, and is then an orphan that only open files serve.
 */
#ifndef SBXFS_NODES_H
#define SBXFS_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "sbxfs/files.h"

struct box;
struct fs_file;
LIST_HEAD(fs_file_list, fs_file);

struct node {
	LIST_ENTRY(node) hash; /* private, as are the next three */
	uint64_t nlookup;
	unsigned refs;
	bool hashed;
	struct node *parent; /* a reference; NULL for the root */
	char *name;
	const struct file *file;
	struct box *box;	/* a reference, NULL outside sandboxes */
	int job;		/* 0 outside jobs/N */
	int64_t size, mtime_ms; /* of a control file, as it was last told */
	/* beneath fs/ */
	dev_t dev;
	ino_t ino;
	mode_t type;		   /* S_IFMT of what was there last */
	LIST_ENTRY(node) opened;   /* in box->opened while files has any */
	struct fs_file_list files; /* open on it (fs.c) */
	struct stat *last; /* of what was removed, by its only name or one */
	int backing;	   /* their number in the kernel (kernel.h), 0 none */
};

LIST_HEAD(node_list, node);

struct nodes {
	struct node *root;
	struct node_list *table;
	size_t size; /* of table */
	size_t count;
};

void nodes_init(struct nodes *ns);
/* Frees all, whoever refers to them. */
void nodes_done(struct nodes *ns);

/* The hashed child of that name, or NULL. No reference is taken. */
struct node *nodes_find(
    struct nodes *ns, const struct node *parent, const char *name);
/* A new hashed child, with one reference for the caller. box (or NULL) and
 * job are the child's. */
struct node *nodes_add(struct nodes *ns, struct node *parent, const char *name,
    const struct file *file, struct box *box);

struct node *node_ref(struct node *n);
void node_unref(struct nodes *ns, struct node *n);
/* The kernel was told of it once more; forgot it n times. */
void node_looked_up(struct node *n);
void node_forget(struct nodes *ns, struct node *n, uint64_t nlookup);

/* Takes the name out of the table. */
void nodes_unhash(struct nodes *ns, struct node *n);
/* Gives it another name; a node that has that name is unhashed first. */
void nodes_move(
    struct nodes *ns, struct node *n, struct node *parent, const char *name);

/* A number for stat that stays the same as long as the name's meaning. */
ino_t node_number(const struct node *n);

#endif
