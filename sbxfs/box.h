/*
 * box.h - the mirror of the front's sandboxes, fed by its notifications.
 *
 * A box is live while the front has it. Afterwards it is dead, or a husk when
 * it was destroyed by unlinking its ctl: a name that shows what rm has still
 * to remove, until its rmdir, a new sandbox of that name, or HUSK_MS after the
 * last removal: mkdir cannot be told from a look at it, and finds it there.
 * A job that was forgotten by unlinking its ctl leaves a husk in the same way.
 */
#ifndef SBXFS_BOX_H
#define SBXFS_BOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "sbxfs/nodes.h"

#define BOX_ID_MAX 64
#define BOX_NAME_MAX 64
#define HUSK_MS 3000

enum box_life {
	BOX_LIVE,
	BOX_HUSK,
	BOX_DEAD
};

struct conv;
struct rconn;
struct parked;
struct trees;

/* What rm has still to remove of a job's directory. */
struct job_husk {
	LIST_ENTRY(job_husk) link;
	int job;
	uint64_t removed; /* as box.removed */
	int64_t husk_ms;  /* as box.husk_ms */
};

LIST_HEAD(job_husk_list, job_husk);
TAILQ_HEAD(parked_list, parked);
LIST_HEAD(conv_list, conv);

struct box {
	TAILQ_ENTRY(box) link;
	char id[BOX_ID_MAX];
	char name[BOX_NAME_MAX]; /* "" none */
	char state[16];
	uid_t uid;
	gid_t gid;
	mode_t mode;
	int64_t created; /* unix seconds */
	uint32_t run;
	bool protect;
	json_t *modes; /* {"exec":[mode,uid,gid]} or NULL */
	enum box_life life;
	bool leaves_husk; /* becomes one when it is gone */
	int64_t used_ms;  /* when the front was told of a change in fs/ */
	uint64_t removed; /* a husk's rows that were removed, by file_index */
	int64_t husk_ms;  /* when the last was: monotonic */
	struct job_husk_list job_husks;
	struct conv_list writers; /* exec, open for writing (exec.c) */
	struct node_list opened;  /* nodes in fs/ with open files */
	bool aliased; /* one of them lost its name, its file has another */
	struct trees *trees; /* NULL: to be asked for (trees.c) */
	bool trees_asked;
	struct rconn *rconn;	   /* to its agent, of a remote mount */
	struct parked_list parked; /* requests that wait for them */
	/* below is private */
	unsigned refs;
	unsigned round;
};

TAILQ_HEAD(box_list, box);

struct boxes {
	struct box_list all; /* in the order they came; husks too */
	unsigned round;	     /* counts connections to the front */
	void *by_name;	     /* trees of tsearch: live ones */
	void *by_id;
};

void boxes_init(struct boxes *bs);
void boxes_done(struct boxes *bs);

/* A new connection: all are announced again, and synced drops the rest. */
void boxes_begin(struct boxes *bs);
void boxes_synced(struct boxes *bs);
/* The notification `sandbox`: new or changed. NULL: it makes no sense. */
struct box *boxes_update(struct boxes *bs, const json_t *params);
/* The notification `gone`. */
void boxes_gone(struct boxes *bs, const char *id);

/* A live one or a husk of that name, or of that id; or NULL. */
struct box *boxes_by_name(struct boxes *bs, const char *name);
struct box *boxes_by_id(struct boxes *bs, const char *id);
/* A husk's row is removed. */
void box_remove_row(struct box *b, const struct file *f);
/* Forgets a husk. */
void boxes_drop_husk(struct boxes *bs, struct box *b);

/* The job is forgotten and leaves a husk. */
struct job_husk *box_leave_job(struct box *b, int job);
/* The job's husk, or NULL. */
struct job_husk *box_job_husk(struct box *b, int job);
/* A husk's row is removed. */
void job_husk_remove_row(struct job_husk *k, const struct file *f);
void job_husk_drop(struct job_husk *k);

/* What its directory is called. */
const char *box_shown(const struct box *b);

/* NULL-safe, both. */
struct box *box_ref(struct box *b);
void box_unref(struct box *b);

#endif
