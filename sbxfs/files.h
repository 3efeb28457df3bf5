/*
 * files.h - the one table of the files shown: where each is, what it is,
 * and which functions serve its opens.
 */
#ifndef SBXFS_FILES_H
#define SBXFS_FILES_H

#include <stdbool.h>
#include <sys/types.h>

struct file_ops; /* impl.h */

/* The directories that a row can be in. */
enum place {
	AT_NOWHERE,
	AT_TOP,
	AT_PROFILES,
	AT_BOX,
	AT_JOBS,
	AT_JOB,
	AT_FS,
};

enum kind {
	KIND_VALUE,
	KIND_COMMAND,
	KIND_LOG,
	KIND_STREAM,
	KIND_DIR,
	KIND_LINK,
	KIND_TREE, /* what is beneath fs/ */
};

struct file {
	const char *name; /* NULL: any name, by what there is */
	enum place at;
	mode_t mode;
	enum kind kind;
	enum place inside; /* of a directory: where what it holds is */
	const struct file_ops *ops;
};

/* In the order of readdir; file_top is the mount's root itself. */
extern const struct file files[];
extern const struct file file_top;
/* The row of the i-th file; NULL past the end. */
const struct file *file_row(size_t i);
size_t file_index(const struct file *f);

/* The row of that name at place, or NULL. */
const struct file *file_find(enum place at, const char *name);
/* The row for any name at place, of a kind, or NULL. */
const struct file *file_any(enum place at, enum kind kind);
/* Has it a size that the front must be asked for? */
bool file_sized(const struct file *f);

#endif
