#include "daemon/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/spool_impl.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "runtimes/runtime.h"

#define HEAD_MAX 320
#define REWRITE_MIN (1u << 20)
/* The log's file stays this long once it has restarted: it is overwritten,
 * not truncated, which costs no page. */
#define LOG_WRAPPED (SPOOL_LOG_MAX - (1u << 20))

void
spool_failed(struct spool *sp, const char *what)
{
	if (!sp->failed)
		log_warn("%s/%s", sp->dir, what);
	sp->failed = true;
}

int
spool_open_file(struct spool *sp, const char *name, int flags)
{
	cleanup_free char *path = xasprintf("%s/%s", sp->dir, name);
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* ENOENT: the sandbox is still being made, or is gone with all this */
	if (fd < 0 && (flags & O_CREAT) != 0 && errno != ENOENT)
		spool_failed(sp, name);
	return fd;
}

struct spool *
spool_new(const char *dir, uint64_t max)
{
	struct spool *sp = xcalloc(1, sizeof(*sp));

	sp->dir = xstrdup(dir);
	sp->max = max;
	sp->journal_fd = sp->old_fd = sp->log_fd = -1;
	sp->rewrite_at = REWRITE_MIN;
	return sp;
}

void
spool_free(struct spool *sp)
{
	if (sp == NULL)
		return;
	close_fd(&sp->journal_fd);
	close_fd(&sp->old_fd);
	close_fd(&sp->log_fd);
	free(sp->dir);
	free(sp);
}

/*** Writing the journal ***/

/* A record is there whole or not at all. */
static bool
put(struct spool *sp, const struct iovec *v, int n)
{
	struct stat st;
	size_t want = 0;
	int i;

	if (sp->journal_fd < 0) {
		sp->journal_fd =
		    spool_open_file(sp, RT_SPOOL_JOURNAL, O_RDWR | O_CREAT);
		if (sp->journal_fd < 0)
			return false;
		if (fstat(sp->journal_fd, &st) == 0)
			sp->journal_len = (uint64_t)st.st_size;
	}
	for (i = 0; i < n; i++)
		want += v[i].iov_len;
	if (pwritev(sp->journal_fd, v, n, (off_t)sp->journal_len) !=
	    (ssize_t)want) {
		spool_failed(sp, RT_SPOOL_JOURNAL);
		(void)!ftruncate(sp->journal_fd, (off_t)sp->journal_len);
		return false;
	}
	sp->journal_len += want;
	return true;
}

static struct iovec
piece(const void *p, size_t n)
{
	return (struct iovec){ (void *)(uintptr_t)p, n };
}

uint64_t
spool_start(struct spool *sp, const struct spool_start *s)
{
	char head[HEAD_MAX];
	struct iovec v[3];
	int n;

	n = snprintf(head, sizeof(head),
	    "S %d %d %d %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64
	    " %" PRIu64 " %zu\n",
	    s->number, s->session, (int)s->input, s->started_ms, s->timeout_ms,
	    s->ino[0], s->ino[1], s->ino[2], s->cmd_len);
	v[0] = piece(head, (size_t)n);
	v[1] = piece(s->cmd, s->cmd_len);
	v[2] = piece("\n", 1);
	return put(sp, v, 3) ? sp->journal_len - 1 - s->cmd_len : 0;
}

bool
spool_cmd(struct spool *sp, uint64_t at, void *p, size_t n)
{
	int fd = sp->old_fd >= 0 ? sp->old_fd : sp->journal_fd;

	return pread(fd, p, n, (off_t)at) == (ssize_t)n;
}

static bool
put_end(struct spool *sp, const struct spool_end *s, struct kept *k,
    const struct iovec blob[2])
{
	size_t reason = strlen(s->reason);
	size_t blob_len = blob[0].iov_len + blob[1].iov_len;
	char head[HEAD_MAX];
	struct iovec v[5];
	int n;

	n = snprintf(head, sizeof(head),
	    "E %d %d %d %d %d %d %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64
	    " %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %zu\n",
	    s->number, s->code, s->signal, s->timed_out, s->failed,
	    k->truncated, s->cpu_usec, s->memory_peak, s->ended_ms, s->usec,
	    k->where == KEPT_FILE, k->size[0], k->size[1], k->nsegs, reason,
	    blob_len);
	v[0] = piece(head, (size_t)n);
	v[1] = piece(s->reason, reason);
	v[2] = blob[0];
	v[3] = blob[1];
	v[4] = piece("\n", 1);
	if (!put(sp, v, 5))
		return false;
	k->journal_at = sp->journal_len - 1 - blob_len;
	return true;
}

void
spool_end(struct spool *sp, const struct spool_end *s, struct kept *k)
{
	struct iovec blob[2] = { { NULL, 0 }, { NULL, 0 } };

	if (k->where == KEPT_FILE) {
		(void)put_end(sp, s, k, blob);
		kept_done(k);
		return;
	}
	blob[0] = piece(k->mem[0].data, k->mem[0].len);
	blob[1] = piece(k->mem[1].data, k->mem[1].len);
	k->where = KEPT_JOURNAL;
	if (!put_end(sp, s, k, blob)) /* it is little, and all there is */
		k->where = KEPT_MEMORY;
}

void
spool_forget(struct spool *sp, int number)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "F %d\n", number);
	struct iovec v = piece(text, (size_t)n);

	(void)put(sp, &v, 1);
}

/*** Rewriting it ***/

bool
spool_bloated(const struct spool *sp)
{
	return sp->journal_len > sp->rewrite_at;
}

void
spool_rewrite(struct spool *sp)
{
	int fd = spool_open_file(sp, "journal.new", O_RDWR | O_CREAT | O_TRUNC);

	if (fd < 0) {
		sp->rewrite_at *= 2;
		return;
	}
	sp->old_fd = sp->journal_fd;
	sp->journal_fd = fd;
	sp->journal_len = 0;
}

void
spool_rewrite_end(struct spool *sp, const struct spool_end *s, struct kept *k)
{
	char bytes[SPOOL_SMALL_MAX + KEPT_MARK_MAX];
	struct iovec blob[2] = { { NULL, 0 }, { NULL, 0 } };
	size_t n = (size_t)k->size[JOB_BOTH];

	if (k->where == KEPT_JOURNAL && n <= sizeof(bytes) &&
	    pread(sp->old_fd, bytes, n, (off_t)k->journal_at) == (ssize_t)n)
		blob[0] = piece(bytes, n);
	if (!put_end(sp, s, k, blob) && k->where == KEPT_JOURNAL)
		memset(k->size, 0, sizeof(k->size));
}

void
spool_rewritten(struct spool *sp)
{
	cleanup_free char *from = xasprintf("%s/journal.new", sp->dir);
	cleanup_free char *to = xasprintf("%s/journal", sp->dir);

	if (sp->old_fd < 0)
		return;
	if (rename(from, to) < 0)
		spool_failed(sp, RT_SPOOL_JOURNAL);
	close_fd(&sp->old_fd);
	sp->rewrite_at = sp->journal_len * 2;
	if (sp->rewrite_at < REWRITE_MIN)
		sp->rewrite_at = REWRITE_MIN;
}

/*** Reading it ***/

/* One record's head line, and what follows it. */
struct record {
	char head[HEAD_MAX];
	const char *body;
	size_t left; /* bytes from body on */
	uint64_t at; /* of the body in the file */
};

/* Bytes used of the body with its newline, 0 when it is cut off. */
static size_t
load_start(const struct record *r, const struct spool_reader *to, void *arg)
{
	struct spool_start s = { 0 };
	int session, input;

	if (sscanf(r->head,
		"S %d %d %d %" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNu64
		" %" SCNu64 " %zu",
		&s.number, &session, &input, &s.started_ms, &s.timeout_ms,
		&s.ino[0], &s.ino[1], &s.ino[2], &s.cmd_len) != 9 ||
	    input < JOB_NULL || input > JOB_TERMINAL || s.cmd_len >= r->left ||
	    r->body[s.cmd_len] != '\n')
		return 0;
	s.session = session != 0;
	s.input = (enum job_input)input;
	s.cmd = r->body;
	s.cmd_at = r->at;
	to->start(arg, &s);
	return s.cmd_len + 1;
}

static size_t
load_end(const struct record *r, const struct spool_reader *to, void *arg)
{
	struct spool_end s = { 0 };
	struct kept k = { .has_files = true, .data_fd = -1, .idx_fd = -1 };
	int timed_out, failed, cut, file;
	size_t reason, blob;
	char text[256];

	if (sscanf(r->head,
		"E %d %d %d %d %d %d %" SCNu64 " %" SCNu64 " %" SCNd64
		" %" SCNd64 " %d %" SCNu64 " %" SCNu64 " %" SCNu64 " %zu %zu",
		&s.number, &s.code, &s.signal, &timed_out, &failed, &cut,
		&s.cpu_usec, &s.memory_peak, &s.ended_ms, &s.usec, &file,
		&k.size[0], &k.size[1], &k.nsegs, &reason, &blob) != 16 ||
	    reason >= sizeof(text) || blob >= r->left ||
	    reason + blob >= r->left || r->body[reason + blob] != '\n')
		return 0;
	memcpy(text, r->body, reason);
	text[reason] = '\0';
	s.reason = text;
	s.timed_out = timed_out != 0;
	s.failed = failed != 0;
	k.truncated = cut != 0;
	k.where = file != 0 ? KEPT_FILE : KEPT_JOURNAL;
	k.size[JOB_BOTH] = k.size[0] + k.size[1];
	k.journal_at = r->at + reason;
	to->end(arg, &s, &k);
	return reason + blob + 1;
}

/* Bytes of the whole record, 0 when it is cut off. */
static size_t
load_record(const char *p, size_t n, uint64_t at, const struct spool_reader *to,
    void *arg)
{
	const char *nl = memchr(p, '\n', n < HEAD_MAX ? n : HEAD_MAX - 1);
	size_t head = nl != NULL ? (size_t)(nl - p) + 1 : 0, body = 0;
	struct record r = { .left = n - head, .at = at + head };
	int number;

	if (nl == NULL)
		return 0;
	memcpy(r.head, p, head - 1);
	r.body = p + head;
	if (sscanf(r.head, "F %d", &number) == 1) {
		to->forget(arg, number);
		return head;
	}
	body = *p == 'S' ? load_start(&r, to, arg)
	    : *p == 'E'	 ? load_end(&r, to, arg)
			 : 0;
	return body != 0 ? head + body : 0;
}

int
spool_load(
    struct spool *sp, const struct spool_reader *r, void *arg, struct err *e)
{
	size_t len, at = 0, n;
	struct stat st;
	char *p;

	sp->journal_fd = spool_open_file(sp, RT_SPOOL_JOURNAL, O_RDWR);
	if (sp->journal_fd < 0 && errno == ENOENT)
		return 0;
	if (sp->journal_fd < 0 || fstat(sp->journal_fd, &st) < 0)
		return err_set(e, errno, "%s/journal", sp->dir);
	if ((len = (size_t)st.st_size) == 0)
		return 0;
	p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, sp->journal_fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, errno, "%s/journal", sp->dir);
	while (at < len && (n = load_record(p + at, len - at, at, r, arg)) != 0)
		at += n;
	(void)munmap(p, len);
	if (at < len) {
		log_warnx("%s/journal: %zu bytes at its end are no record",
		    sp->dir, len - at);
		(void)!ftruncate(sp->journal_fd, (off_t)at);
	}
	sp->journal_len = at;
	return 0;
}

/*** The log ***/

static bool
open_log(struct spool *sp, int flags)
{
	struct stat st;

	if (sp->log_fd >= 0)
		return true;
	if ((sp->log_fd = spool_open_file(sp, RT_SPOOL_LOG, O_RDWR | flags)) <
	    0)
		return false;
	if (fstat(sp->log_fd, &st) == 0 && st.st_size < LOG_WRAPPED)
		sp->log_size = (uint64_t)st.st_size;
	return true;
}

static bool
log_room(struct spool *sp, size_t n)
{
	if (!open_log(sp, O_CREAT))
		return false;
	if (sp->log_size + n > SPOOL_LOG_MAX)
		sp->log_size = 0;
	return true;
}

void
spool_log_add(struct spool *sp, const void *p, size_t n)
{
	if (!log_room(sp, n))
		return;
	if (pwrite(sp->log_fd, p, n, (off_t)sp->log_size) != (ssize_t)n)
		spool_failed(sp, RT_SPOOL_LOG);
	else
		sp->log_size += n;
}

/* As read, for who does not want the bytes. */
static ssize_t
skip(int pipe, size_t n)
{
	char waste[4096];

	return read(pipe, waste, n < sizeof(waste) ? n : sizeof(waste));
}

void
spool_log_take(struct spool *sp, int pipe, size_t n)
{
	bool ok = log_room(sp, n);
	loff_t at = (loff_t)sp->log_size;
	ssize_t r;

	for (; n > 0; n -= (size_t)r) {
		r = ok
		    ? splice(pipe, NULL, sp->log_fd, &at, n, SPLICE_F_NONBLOCK)
		    : skip(pipe, n);
		if (r > 0)
			continue;
		if (!ok)
			return; /* somebody else has read them */
		spool_failed(sp, RT_SPOOL_LOG);
		ok = false;
		r = 0;
	}
	sp->log_size = (uint64_t)at;
}

ssize_t
spool_log_read(struct spool *sp, uint64_t off, void *p, size_t n)
{
	ssize_t r;

	if (!open_log(sp, 0) || off >= sp->log_size)
		return 0;
	if (n > sp->log_size - off)
		n = (size_t)(sp->log_size - off);
	r = pread(sp->log_fd, p, n, (off_t)off);
	return r < 0 ? -errno : r;
}

uint64_t
spool_log_size(struct spool *sp)
{
	return open_log(sp, 0) ? sp->log_size : 0;
}
