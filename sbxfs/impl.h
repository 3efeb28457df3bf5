/*
 * impl.h - what the files of sbxfs/ share: the one mount served, open files,
 * and requests to the front on behalf of requests of the kernel.
 *
 * A request of the kernel (fuse_req_t) is answered exactly once. One that
 * must wait has an interrupt function that answers it at once, or asks the
 * front to.
 */
#ifndef SBXFS_IMPL_H
#define SBXFS_IMPL_H

#define FUSE_USE_VERSION 314

#include <fuse3/fuse_lowlevel.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sbxfs/box.h"
#include "sbxfs/client.h"
#include "sbxfs/files.h"
#include "sbxfs/kernel.h"
#include "sbxfs/lines.h"
#include "sbxfs/nodes.h"
#include "sbxfs/signals.h"

struct handle;
TAILQ_HEAD(handle_list, handle);
struct call;
TAILQ_HEAD(call_list, call);
struct rconn;
TAILQ_HEAD(rconn_list, rconn);
struct rcall;
TAILQ_HEAD(rcall_list, rcall);

struct sbxfs {
	struct fuse_session *se;
	int devfd;
	char *mountpoint; /* absolute, without links */
	struct client *client;
	int dial;  /* -1: the daemon is on this machine (net.h) */
	uid_t uid; /* whose all is, from another machine */
	struct nodes nodes;
	struct boxes boxes;
	struct handle_list handles;   /* open control files */
	struct call_list interrupted; /* in the order of their interrupts */
	unsigned park_interrupted;    /* of the requests parked (park.c) */
	struct rconn_list rconns;     /* to agents, of a remote mount */
	struct rcall_list rinterrupted;
	gid_t group;   /* of ctl and new */
	int64_t since; /* unix seconds */
	char **profiles;
	size_t nprofiles;
	json_t *modes;	  /* of the root's files, as a box's; or NULL */
	uint64_t init;	  /* the number of the INIT to be answered */
	uint64_t offers;  /* what the kernel said there */
	unsigned changes; /* of a remote fs/: counts what may be one */
	bool direct_io;	  /* no passthrough, whatever it offers */
	bool passthrough; /* the kernel takes files over */
	bool epoch;	  /* the kernel takes FUSE_NOTIFY_INC_EPOCH */
	bool synced;	  /* the first list of sandboxes was complete */
	bool fs_seen;	  /* the kernel may hold names of fs/ */
};

struct caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

/* An open control file. Each kind's own struct begins with one. */
struct handle {
	TAILQ_ENTRY(handle) link;
	struct sbxfs *s;
	const struct file_ops *ops;
	struct node *node; /* a reference */
	struct caller opener;
	int flags;     /* of open(2) */
	unsigned refs; /* the open file, and calls without a request */
};

/*
 * What a row of the table does. Each function answers req itself, now or
 * later; those of a kind that are NULL answer EBADF, or 0 for flush.
 * close is the RELEASE: nobody uses h any more but calls that hold it.
 */
struct file_ops {
	void (*open)(fuse_req_t req, struct node *n, struct fuse_file_info *fi);
	void (*read)(fuse_req_t req, struct handle *h, size_t n, off_t off);
	void (*write)(
	    fuse_req_t req, struct handle *h, const char *p, size_t n);
	void (*flush)(fuse_req_t req, struct handle *h);
	void (*poll)(fuse_req_t req, struct handle *h, unsigned events,
	    struct fuse_pollhandle *ph);
	void (*close)(struct handle *h);
	void (*free)(struct handle *h);
	/* The connection to the front (EIO) or the sandbox (ESTALE) is gone. */
	void (*down)(struct handle *h, int error);
	/* It is there again, and nothing was asked of it yet. */
	void (*up)(struct handle *h);
	/* A notification `grew`, `room` or `ended`; true when it was this
	 * handle's. */
	bool (*notice)(struct handle *h, bool ended, const json_t *params);
	/* A `file` or `more`: the same, and takes fd if true. */
	bool (*more)(struct handle *h, const json_t *params, int fd);
};

extern const struct file_ops snapshot_ops; /* values and commands */
extern const struct file_ops log_ops;
extern const struct file_ops exec_ops;
extern const struct file_ops wait_ops;
extern const struct file_ops stdin_ops;
extern const struct file_ops jobs_new_ops;
extern const struct file_ops new_ops;

/* Scripts of b whose writer's opener has closed them count as released: they
 * start before a reader binds to the newest job. */
void exec_start_flushed(struct box *b);

/* The id of the sandbox that h holds, an open /sbx/new; otherwise NULL. */
const char *new_held(const struct handle *h);

struct sbxfs *req_fs(fuse_req_t req);
struct caller req_caller(fuse_req_t req);

/*** Handles (handle.c) ***/

/* Zeroed memory of size, of which the first is the handle. */
void *handle_new(size_t size, fuse_req_t req, struct node *n,
    const struct fuse_file_info *fi);
struct handle *handle_ref(struct handle *h);
void handle_unref(struct handle *h);
/* Answers an OPEN: the handle is the kernel's, or is freed. */
void handle_opened(fuse_req_t req, struct handle *h, unsigned open_flags);
/* Who polls: takes ph over, if it is not NULL, in place of the one before;
 * tells who waits for it, once; forgets it. */
void poll_take(struct fuse_pollhandle **at, struct fuse_pollhandle *ph);
void poll_wake(struct fuse_pollhandle **at);
void poll_forget(struct fuse_pollhandle **at);
/* The sandbox of n is not there any more: ESTALE; otherwise 0. */
int node_stale(const struct node *n);
/* The same, or EIO when there is no front to ask. */
int node_check(fuse_req_t req, const struct node *n);

/*** Calls (call.c) ***/

/*
 * One request to the front. The memory is call_new's until done has run,
 * which happens once, perhaps before call_send returns. done answers req.
 */
struct call {
	TAILQ_ENTRY(call) link; /* of s->interrupted, while in it */
	bool interrupted;
	enum signals signals; /* that the front was told of */
	int64_t give_up_ms;   /* then the caller is let go; 0: not known yet */
	struct sbxfs *s;
	fuse_req_t req; /* NULL: nobody waits */
	struct caller caller;
	uint64_t id;
	void (*done)(struct call *c, const struct reply *r);
	/* for done */
	struct handle *h; /* a reference, when set by call_hold */
	struct node *n;	  /* a reference, when set by call_node */
	size_t size, left;
	char *text;	  /* freed with the call */
	struct buf bytes; /* the same */
};

struct call *call_new(
    fuse_req_t req, void (*done)(struct call *, const struct reply *));
/* Without a kernel's request, on behalf of whoever opened h. done may be
 * NULL: the answer interests nobody. */
struct call *call_for(
    struct handle *h, void (*done)(struct call *, const struct reply *));
void call_hold(struct call *c, struct handle *h);
void call_node(struct call *c, struct node *n);
/* params is taken over; the caller's uid, gid, pid are added. */
void call_send(struct call *c, const char *method, json_t *params);
void call_send_bin(struct call *c, const char *method, json_t *params,
    const void *bin, size_t len);
/* {"id":...} */
json_t *box_params(const struct box *b);
/* {"file":..., "id":..., "job":...} of a control file. */
json_t *node_params(const struct node *n);

/* Looks at those that were interrupted: whether a signal has come that ends
 * them, and with EINTR ends those of which the front has not heard, as it
 * stands still. Returns whether there are others, to be looked at again. */
bool calls_look(struct sbxfs *s, int64_t now_ms);

/* A done that answers req with the error, or 0. */
void call_done_err(struct call *c, const struct reply *r);
/* What a done does with the front's answer to lines: answers a write of
 * c->size bytes with how many were done, or a flush (0). */
void call_done_lines(struct call *c, struct lines *l, const struct reply *r);

/* Answers req with an error, positive or 0, whatever becomes of it. */
void reply_err(fuse_req_t req, int error);
/* The same for what we refuse ourselves: the sentence is a line of /sbx/errors
 * about n, which is the file, or the directory in which something was named.
 * (What the front answers with an error, it has a sentence for already.) */
void reply_why(fuse_req_t req, const struct node *n, int error, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* ESTALE of n's sandbox, or EIO without the front: as node_check says. */
void reply_check(fuse_req_t req, const struct node *n, int error);
/* At most n bytes of the text from off. */
void reply_part(
    fuse_req_t req, const char *p, size_t len, size_t n, uint64_t off);

#endif
