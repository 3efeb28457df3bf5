/*
 * Connections to agents, and calls. A connection is made when it is needed,
 * lost when the agent goes (the next call asks for another) and given up
 * when nothing is open on it for a while.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/gnutls.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "sbxfs/net.h"
#include "sbxfs/remote_impl.h"
#include "sbxfs/trees.h"

/* An agent that says nothing for so long does not answer. */
#define ANSWER_MS 30000
#define IDLE_MS 60000
/* A stop and a start are a few changes of state, and each has its agent. */
#define TRIES_MAX 8

/*** Connections ***/

static void
on_notice(void *arg, const char *method, const json_t *params)
{
	(void)arg;
	(void)method;
	(void)params;
}

static void
on_up(void *arg)
{
	(void)arg;
}

static void
on_down(void *arg)
{
	struct rconn *rc = arg;

	rc->gen++; /* its handles went along */
}

static const struct client_events events = {
	.notice = on_notice,
	.up = on_up,
	.down = on_down,
};

static struct rconn *
rconn_of(struct sbxfs *s, struct box *b)
{
	struct rconn *rc = b->rconn;

	if (rc != NULL)
		return rc;
	rc = xcalloc(1, sizeof(*rc));
	rc->s = s;
	rc->box = box_ref(b);
	(void)snprintf(rc->path, sizeof(rc->path), NET_FILES, b->id);
	rc->c = client_new(&(struct client_conf){
	    .path = rc->path,
	    .dial = s->dial,
	    .queues = true,
	    .ev = &events,
	    .arg = rc,
	});
	b->rconn = rc;
	s->fs_seen = true;
	TAILQ_INSERT_TAIL(&s->rconns, rc, link);
	return rc;
}

static void
rconn_free(struct rconn *rc)
{
	client_free(rc->c);
	TAILQ_REMOVE(&rc->s->rconns, rc, link);
	rc->box->rconn = NULL;
	box_unref(rc->box);
	free(rc);
}

void
remote_changed(struct box *b)
{
	/* One that is begun reaches the agent of the new state. */
	if (b->rconn != NULL && client_is_up(b->rconn->c))
		client_drop(b->rconn->c);
}

size_t
remote_count(const struct sbxfs *s)
{
	const struct rconn *rc;
	size_t n = 0;

	TAILQ_FOREACH (rc, &s->rconns, link)
		n++;
	return n;
}

void
remote_poll(const struct sbxfs *s, struct pollfd *p)
{
	const struct rconn *rc;

	TAILQ_FOREACH (rc, &s->rconns, link) {
		p->fd = client_fd(rc->c);
		p->events = POLLIN;
		if (client_wants_write(rc->c))
			p->events |= POLLOUT;
		p->revents = 0;
		p++;
	}
}

void
remote_polled(struct sbxfs *s)
{
	struct rconn *rc;

	TAILQ_FOREACH (rc, &s->rconns, link)
		client_drain(rc->c);
}

void
remote_tick(struct sbxfs *s)
{
	struct rconn *rc, *next;
	int64_t now = clock_ms(), since;

	for (rc = TAILQ_FIRST(&s->rconns); rc != NULL; rc = next) {
		next = TAILQ_NEXT(rc, link);
		since = client_waits_since(rc->c);
		if (since != 0 && now - since > ANSWER_MS)
			client_drop(rc->c);
		if (client_waits(rc->c) || rc->opened != 0)
			continue;
		if (rc->box->life != BOX_LIVE || now - rc->used_ms > IDLE_MS)
			rconn_free(rc);
	}
}

void
remote_free_all(struct sbxfs *s)
{
	struct rconn *rc;
	struct box *b;
	struct node *n;

	/* The kernel sends no RELEASE when it is unmounted lazily. */
	TAILQ_FOREACH (b, &s->boxes.all, link)
		while (s->dial >= 0 && (n = LIST_FIRST(&b->opened)) != NULL)
			rfile_close(s, (struct rfile *)LIST_FIRST(&n->files));
	while ((rc = TAILQ_FIRST(&s->rconns)) != NULL)
		rconn_free(rc);
}

/*** Calls ***/

void
rcall_free(struct rcall *k)
{
	struct sbxfs *s = k->s;

	if (k->n != NULL)
		node_unref(&s->nodes, k->n);
	if (k->to != NULL)
		node_unref(&s->nodes, k->to);
	json_decref(k->params);
	free(k->name);
	free(k->newname);
	buf_done(&k->text);
	rwalk_free(k->walk);
	free(k);
}

/* Is there somebody to ask? 0 or an errno. */
static int
reach(struct rconn *rc)
{
	/* what the tree's connection knows is known of all */
	if (!client_is_up(rc->s->client) || !client_connect(rc->c))
		return EIO;
	return 0;
}

/* The connection was lost before the answer came: a sandbox that is stopped
 * or started has another agent, one that is paused has none. */
static bool
ask_again(struct rcall *k)
{
	if (k->params == NULL || k->req == NULL || k->tries++ >= TRIES_MAX ||
	    k->n->box->life != BOX_LIVE ||
	    strcmp(k->n->box->state, "paused") == 0 || reach(k->rc) != 0)
		return false;
	rcall_look(k, k->method);
	return true;
}

static void
answered(void *arg, const struct reply *r)
{
	const struct reply gone = { .error = -ENOENT };
	struct rcall *k = arg;
	uint64_t id = k->id;

	if (k->req != NULL)
		fuse_req_interrupt_func(k->req, NULL, NULL);
	if (r->lost && ask_again(k))
		return;
	if (r->lost && k->n->box->life != BOX_LIVE)
		r = &gone;
	k->done(k, r);
	/* it may have gone on with another */
	if (k->id == id)
		rcall_free(k);
}

static void
interrupted(fuse_req_t req, void *arg)
{
	struct rcall *k = arg;

	k->req = NULL;
	reply_err(req, EINTR);
}

/* params is taken over. */
static struct rcall *
new_call(fuse_req_t req, struct node *n, rcall_done done, json_t *params)
{
	struct rconn *rc = NULL;
	struct rcall *k;
	int error = ENOENT;

	if (n->box->life == BOX_LIVE) {
		rc = rconn_of(req_fs(req), n->box);
		rc->used_ms = clock_ms();
		error = reach(rc);
	}
	if (error != 0) {
		json_decref(params);
		reply_err(req, error);
		return NULL;
	}
	k = xcalloc(1, sizeof(*k));
	k->s = req_fs(req);
	k->rc = rc;
	k->req = req;
	k->done = done;
	k->params = params;
	k->n = node_ref(n);
	return k;
}

struct rcall *
rcall_path(fuse_req_t req, struct node *n, const char *name, rcall_done done)
{
	struct rcall *k;
	json_t *path;
	int error;

	if ((path = rpath(n, name, &error)) == NULL) {
		reply_err(req, error);
		return NULL;
	}
	k = new_call(req, n, done, json_pack("{s:o}", "path", path));
	if (k != NULL && name != NULL)
		k->name = xstrdup(name);
	return k;
}

struct rcall *
rcall_file(fuse_req_t req, struct rfile *f, rcall_done done)
{
	json_t *params = rfile_params(f);

	/* Its connection was lost, and with it what was open. */
	if (params == NULL) {
		reply_err(req, EIO);
		return NULL;
	}
	return new_call(req, f->f.node, done, params);
}

struct rcall *
rcall_node(fuse_req_t req, struct node *n, rcall_done done)
{
	struct rfile *f = (struct rfile *)LIST_FIRST(&n->files);
	json_t *params = f != NULL ? rfile_params(f) : NULL;

	if (params != NULL)
		return new_call(req, n, done, params);
	return rcall_path(req, n, NULL, done);
}

void
rcall_put(struct rcall *k, const char *key, json_t *value)
{
	(void)json_object_set_new(k->params, key, value);
}

void
rcall_int(struct rcall *k, const char *key, int64_t value)
{
	rcall_put(k, key, json_integer(value));
}

static void
send_call(struct rcall *k, const struct request *rq)
{
	const struct reply dead = { .error = -EIO };

	k->id = client_call(k->rc->c, rq, answered, k);
	if (k->id == 0) {
		k->done(k, &dead);
		rcall_free(k);
	} else if (k->req != NULL) {
		fuse_req_interrupt_func(k->req, interrupted, k);
	}
}

void
rcall_send_bin(struct rcall *k, const char *method, const void *p, size_t n)
{
	const struct request rq = { .method = method,
		.params = steal_ptr(&k->params),
		.bin = p,
		.len = n };

	send_call(k, &rq);
}

void
rcall_send(struct rcall *k, const char *method)
{
	rcall_send_bin(k, method, NULL, 0);
}

void
rcall_look(struct rcall *k, const char *method)
{
	/* A handle is of this connection only. */
	bool again = json_object_get(k->params, "h") == NULL;
	const struct request rq = { .method = method,
		.params =
		    again ? json_incref(k->params) : steal_ptr(&k->params) };

	k->method = method;
	send_call(k, &rq);
}

void
rcall_again(
    struct rcall *k, const char *method, json_t *params, rcall_done done)
{
	const struct reply dead = { .error = -EIO };
	const struct request rq = { .method = method, .params = params };
	uint64_t id;

	json_decref(k->params); /* what was asked before is answered */
	k->params = NULL;
	k->done = done;
	id = client_call(k->rc->c, &rq, answered, k);
	if (id == 0) {
		done(k, &dead);
		return;
	}
	k->id = id;
	if (k->req != NULL)
		fuse_req_interrupt_func(k->req, interrupted, k);
}

void
rconn_notify(struct rconn *rc, const char *method, json_t *params)
{
	client_notify(rc->c, method, params);
}

void
rcall_err(struct rcall *k, const struct reply *r)
{
	if (k->req != NULL)
		reply_err(k->req, -r->error);
}

/*** Names ***/

json_t *
rname(const char *p, size_t n)
{
	const gnutls_datum_t in = { (unsigned char *)(uintptr_t)p,
		(unsigned)n };
	json_t *text = json_stringn(p, n);
	gnutls_datum_t out;

	if (text != NULL)
		return text;
	if (gnutls_base64_encode2(&in, &out) < 0)
		abort(); /* memory */
	text = json_pack("{s:s#}", "base64", out.data, (int)out.size);
	gnutls_free(out.data);
	return text;
}

char *
rname_take(const json_t *j, size_t *ret_len)
{
	const char *coded = json_string_value(json_object_get(j, "base64"));
	gnutls_datum_t in, out;
	char *name;

	if (json_is_string(j)) {
		*ret_len = json_string_length(j);
		name = xstrndup(json_string_value(j), *ret_len);
	} else {
		if (coded == NULL)
			return NULL;
		in.data = (unsigned char *)(uintptr_t)coded;
		in.size = (unsigned)strlen(coded);
		if (gnutls_base64_decode2(&in, &out) < 0)
			return NULL;
		*ret_len = out.size;
		name = xstrndup((char *)out.data, out.size);
		gnutls_free(out.data);
	}
	if (strlen(name) == *ret_len)
		return name;
	free(name); /* a NUL within */
	return NULL;
}

json_t *
rpath(const struct node *n, const char *name, int *ret_error)
{
	cleanup_buf struct buf path = BUF_INIT;
	int r;

	if ((r = fs_path(n, name, &path)) == 0 && path.len >= PATH_MAX)
		r = -ENAMETOOLONG;
	if (r == 0)
		return rname(buf_str(&path), path.len);
	*ret_error = -r;
	return NULL;
}

/*** Attributes ***/

static const struct {
	const char *name;
	mode_t type;
} types[] = {
	{ "file", S_IFREG },
	{ "dir", S_IFDIR },
	{ "symlink", S_IFLNK },
	{ "fifo", S_IFIFO },
	{ "socket", S_IFSOCK },
	{ "char", S_IFCHR },
	{ "block", S_IFBLK },
};

static struct timespec
from_ns(json_int_t ns)
{
	json_int_t rest = ns % 1000000000;

	if (rest < 0)
		rest += 1000000000;
	return (struct timespec){ .tv_sec = (ns - rest) / 1000000000,
		.tv_nsec = rest };
}

int
rstat_take(const struct box *b, const json_t *o, struct stat *st)
{
	static const struct trees inside = { .base = 0 };
	json_int_t mode, size, atime, mtime, ctime, blocks, dev, uid, gid, ino,
	    nlink;
	const char *type;
	size_t i;

	if (json_unpack((json_t *)(uintptr_t)o,
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "mode",
		&mode, "size", &size, "atime_ns", &atime, "mtime_ns", &mtime,
		"ctime_ns", &ctime, "blocks", &blocks, "dev", &dev, "uid", &uid,
		"gid", &gid, "ino", &ino, "nlink", &nlink, "type", &type) < 0)
		return -EPROTO;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, type) == 0)
			break;
	if (i == sizeof(types) / sizeof(types[0]) || size < 0 || blocks < 0)
		return -EPROTO;
	memset(st, 0, sizeof(*st));
	st->st_mode = types[i].type | ((mode_t)mode & 07777);
	st->st_size = size;
	st->st_blocks = blocks;
	st->st_blksize = 4096;
	st->st_atim = from_ns(atime);
	st->st_mtim = from_ns(mtime);
	st->st_ctim = from_ns(ctime);
	st->st_dev = (dev_t)dev;
	st->st_ino = (ino_t)ino;
	st->st_nlink = (nlink_t)nlink;
	st->st_uid = id_shown(&inside, (uint32_t)uid, b->uid);
	st->st_gid = id_shown(&inside, (uint32_t)gid, b->gid);
	return 0;
}

void
rentry_fill(const struct sbxfs *s, struct node *n, const struct stat *st,
    struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = (fuse_ino_t)(uintptr_t)n;
	e->attr = *st;
	e->attr.st_ino = fs_number(st);
	e->entry_timeout = e->attr_timeout = fs_attr_timeout(s, n, st);
}

void
rcall_entry(struct rcall *k, const struct reply *r)
{
	struct fuse_entry_param e;
	struct stat st;
	struct node *n;
	int error = k->error != 0 ? k->error : -r->error;

	if (error == 0 && rstat_take(k->n->box, r->result, &st) < 0)
		error = EIO;
	if (k->req == NULL)
		return;
	if (error == ENOENT && k->flags == 0) {
		/* That it is not there may be remembered as well. */
		memset(&e, 0, sizeof(e));
		e.entry_timeout = fs_timeout(k->s);
		(void)fuse_reply_entry(k->req, &e);
		return;
	}
	if (error != 0) {
		reply_err(k->req, error);
		return;
	}
	n = fs_node_for(k->s, k->n, k->name, &st);
	rentry_fill(k->s, n, &st, &e);
	if (fuse_reply_entry(k->req, &e) == 0)
		node_looked_up(n);
	node_unref(&k->s->nodes, n);
}

/*** Open files ***/

struct rfile *
rfile_of(const struct fuse_file_info *fi)
{
	return (struct rfile *)(uintptr_t)fi->fh;
}

struct rfile *
rfile_new(struct rconn *rc, struct node *n, int64_t h)
{
	struct rfile *f = xcalloc(1, sizeof(*f));

	f->f.fd = -1;
	fs_file_add(&f->f, n);
	f->rc = rc;
	f->h = h;
	if (rc != NULL) {
		f->gen = rc->gen;
		rc->opened++;
	}
	return f;
}

json_t *
rfile_params(const struct rfile *f)
{
	if (f->rc == NULL || f->h < 0 || f->gen != f->rc->gen)
		return NULL;
	return json_pack("{s:I}", "h", (json_int_t)f->h);
}

void
rfile_close(struct sbxfs *s, struct rfile *f)
{
	json_t *params = rfile_params(f);

	if (params != NULL)
		rconn_notify(f->rc, "sbx.fs.close", params);
	if (f->rc != NULL)
		f->rc->opened--;
	fs_file_remove(s, &f->f);
	rlist_free(f->list);
	free(f);
}
