/*
 * remote_impl.h - what remote*.c share: connections to agents, calls on
 * behalf of requests, open files.
 */
#ifndef SBXFS_REMOTE_IMPL_H
#define SBXFS_REMOTE_IMPL_H

#include "lib/buf.h"
#include "sbxfs/fs.h"
#include "sbxfs/remote.h"

struct rlist;

/* The connection to one sandbox's agent. */
struct rconn {
	TAILQ_ENTRY(rconn) link; /* in s->rconns */
	struct sbxfs *s;
	struct box *box; /* a reference */
	struct client *c;
	char path[BOX_ID_MAX + 64];
	unsigned opened; /* files that are open */
	int64_t used_ms;
};

struct rcall;

/* That of b, made if need be; it stays while it is used. */
struct rconn *rconn_of(struct sbxfs *s, struct box *b);
/* Is there somebody to ask, or about to be? 0 or an errno. */
int rconn_reach(struct rconn *rc);

/* Who reads a file to its end asks for its attributes after the open, and for
 * more after what was its end. The agent is not asked what it has just said,
 * if nothing was changed here or told by the front since it was asked. */
struct rjust {
	int64_t ms; /* 0: it was not said */
	unsigned changes;
};
void rjust_said(const struct rcall *k, struct rjust *j);
bool rjust_is(const struct sbxfs *s, const struct rjust *j);

/* An open file or directory. Its handle is the agent's, and lost with the
 * connection: the next call about it opens it again by its name. */
struct rfile {
	struct fs_file f; /* first: in the node's list, without descriptor */
	unsigned refs;	  /* the open file, and calls about it */
	struct rconn *rc; /* NULL: it is shown empty */
	int flags;	  /* of open(2), with which it is opened again */
	unsigned lost;	  /* client_lost of h's connection */
	int64_t h;
	int64_t made_ns; /* its number may be another's later; 0: not known */
	struct rlist *list; /* of a directory that was read */
	struct stat st;	    /* as it was opened */
	struct rjust stat_said;
	off_t end;
	struct rjust end_said;
};

/*
 * One call for one request, which done answers. It ends with done, once;
 * req is NULL when it was interrupted: then nobody is to be answered, but
 * what was made is to be taken care of.
 */
struct rcall {
	TAILQ_ENTRY(rcall) interrupts; /* of s->rinterrupted, while in it */
	bool interrupted;
	struct sbxfs *s;
	struct rconn *rc;
	fuse_req_t req;
	uint64_t id;
	const char *method;
	json_t *params;	 /* NULL once they may not be sent again */
	const void *bin; /* what goes before them, or NULL */
	size_t bin_len;
	bool once;  /* it changes something */
	bool opens; /* what was sent opens file, and is not it yet */
	unsigned tries;
	unsigned changes; /* of s, when it was sent */
	void (*done)(struct rcall *k, const struct reply *r);
	/* for done */
	struct node *n, *to; /* references, or NULL */
	char *name, *newname;
	struct rfile *file; /* a reference, or NULL: it is about a path */
	int flags;
	int error; /* of an earlier call of the same request */
	size_t size;
	off_t off;
	bool plus;
	struct buf text;
	struct rwalk *walk;
};

typedef void (*rcall_done)(struct rcall *k, const struct reply *r);

/*
 * A call about n, which is held, or with a name about that in n; its params
 * say which: {"path"}, by rcall_file {"h"}, by rcall_node {"h"} where something
 * is open on n, whose name may be gone. They may be added to. NULL: req was
 * answered. A handle that was lost is asked for first; ESTALE where that is
 * another file's by now.
 */
struct rcall *rcall_path(
    fuse_req_t req, struct node *n, const char *name, rcall_done done);
struct rcall *rcall_file(fuse_req_t req, struct rfile *f, rcall_done done);
struct rcall *rcall_node(fuse_req_t req, struct node *n, rcall_done done);
void rcall_put(struct rcall *k, const char *key, json_t *value);
void rcall_int(struct rcall *k, const char *key, int64_t value);
/* Sends what changes something, and frees it after done. Whether it was done
 * is not known where the connection is lost before the answer: EIO. */
void rcall_send(struct rcall *k, const char *method);
void rcall_send_bin(
    struct rcall *k, const char *method, const void *p, size_t n);
/* The same of what only asks, or may be done twice: again, where the connection
 * is lost before the answer comes. */
void rcall_look(struct rcall *k, const char *method);
/* Without sending it; req is the caller's to answer. */
void rcall_free(struct rcall *k);
/* From done: the same call goes on with another one, which only asks. params
 * is taken over. */
void rcall_again(
    struct rcall *k, const char *method, json_t *params, rcall_done done);
/* Nobody waits for its answer. */
void rconn_close(struct rconn *rc, int64_t h);

/* A done: the error, or 0. */
void rcall_err(struct rcall *k, const struct reply *r);

/*** Attributes and names ***/

/* Bytes as a string, or {"base64"}; and back, to malloc'ed memory that the
 * caller frees: NULL when it is neither. */
json_t *rname(const char *p, size_t n);
char *rname_take(const json_t *j, size_t *ret_len);
/* The path of n, or of name in it, as a param; NULL: *ret_error says why. */
json_t *rpath(const struct node *n, const char *name, int *ret_error);

/* Of a stat object, as it is shown: 0 or -EPROTO. */
int rstat_take(const struct box *b, const json_t *o, struct stat *st);
/* An entry of it; without cached it is to be asked for again at once. */
void rentry_fill(const struct sbxfs *s, struct node *n, const struct stat *st,
    struct fuse_entry_param *e);

/*** Open files ***/

/* "flags" and more of sbx.fs.open, as open(2)'s flags say. */
void ropen_put(json_t *params, int flags);
/* The handle and the attributes of what k opened: 0 or an errno. */
int ropen_take(
    const struct rcall *k, const struct reply *r, int64_t *h, struct stat *st);

/* One that k has opened, as r says; rfile_empty: of a directory that is shown
 * empty. */
struct rfile *rfile_new(
    const struct rcall *k, const struct reply *r, struct node *n);
struct rfile *rfile_empty(struct node *n);
struct rfile *rfile_ref(struct rfile *f);
void rfile_unref(struct sbxfs *s, struct rfile *f);
struct rfile *rfile_of(const struct fuse_file_info *fi);
/* Its handle is not lost. */
bool rfile_is_open(const struct rfile *f);
/* The params that open it again; NULL: *ret_error says why not. */
json_t *rfile_again(const struct rfile *f, int *ret_error);
/* They were answered, k->file has its handle: 0 or -errno. */
int rfile_reopened(const struct rcall *k, const struct reply *r);

/*** Operations: remote_dir.c, _change.c, _link.c, _xattr.c ***/

void rop_opendir(fuse_req_t req, struct node *n);
void rop_readdir(fuse_req_t req, struct rfile *f, const struct fs_list *l);
void rlist_free(struct rlist *l);
void rop_make(fuse_req_t req, const struct fs_new *w);
void rop_link(
    fuse_req_t req, struct node *n, struct node *to, const char *newname);
void rop_remove(
    fuse_req_t req, struct node *parent, const char *name, bool dir);
void rop_rename(fuse_req_t req, const struct fs_name *from,
    const struct fs_name *to, unsigned flags);
void rop_setattr(fuse_req_t req, struct node *n, const struct stat *st,
    int to_set, struct rfile *f);
void rop_readlink(fuse_req_t req, struct node *n);
void rwalk_free(struct rwalk *w);
void rop_getxattr(
    fuse_req_t req, struct node *n, const char *name, size_t size);
void rop_listxattr(fuse_req_t req, struct node *n, size_t size);
void rop_setxattr(fuse_req_t req, struct node *n, const char *name,
    const struct fs_value *value);
void rop_removexattr(fuse_req_t req, struct node *n, const char *name);

/* Answers with the entry of name in k->n: a done, or the end of one. */
void rcall_entry(struct rcall *k, const struct reply *r);

#endif
