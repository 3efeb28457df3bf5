#include "daemon/ownlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"

/* One line's entry in PATH.idx. */
struct entry {
	uint32_t uid;
	uint32_t len;
};

#define ENTRIES 4096 /* read at once */

struct ownlog {
	int fd;
	int idx;
	uint64_t max;
	uint64_t size;
	uint64_t lines;
	int64_t mtime_ms;
	struct buf more, more_idx; /* to be appended */
};

/*
 * Goes through the entries from the first; fn returns true to end it. Its
 * argument at is where the entry's line begins in the file.
 */
static void
each_entry(struct ownlog *l,
    bool (*fn)(void *arg, const struct entry *en, uint64_t at), void *arg)
{
	struct entry room[ENTRIES];
	uint64_t first, at = 0;
	ssize_t got, i;

	for (first = 0; first < l->lines; first += ENTRIES) {
		got = fd_pread_full(
		    l->idx, room, sizeof(room), first * sizeof(room[0]));
		got = got > 0 ? got / (ssize_t)sizeof(room[0]) : 0;
		if (got == 0)
			return;
		for (i = 0; i < got; i++) {
			if (fn(arg, &room[i], at))
				return;
			at += room[i].len;
		}
	}
}

/*** Opening: what a kill or a power loss left of the two is made to agree ***/

struct agree {
	uint64_t size; /* of the file */
	uint64_t bytes, lines;
};

static bool
count_entry(void *arg, const struct entry *en, uint64_t at)
{
	struct agree *a = arg;

	if (at + en->len > a->size)
		return true;
	a->bytes = at + en->len;
	a->lines++;
	return false;
}

static int
agree(struct ownlog *l)
{
	struct stat st, ist;
	struct agree a = { 0 };

	if (fstat(l->fd, &st) < 0 || fstat(l->idx, &ist) < 0)
		return -errno;
	a.size = (uint64_t)st.st_size;
	l->lines = (uint64_t)ist.st_size / sizeof(struct entry);
	l->mtime_ms =
	    (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	each_entry(l, count_entry, &a);
	l->size = a.bytes;
	l->lines = a.lines;
	if (ftruncate(l->fd, (off_t)l->size) < 0 ||
	    ftruncate(l->idx, (off_t)(l->lines * sizeof(struct entry))) < 0)
		return -errno;
	return 0;
}

int
ownlog_open(
    const char *path, uint64_t max_bytes, struct ownlog **ret, struct err *e)
{
	cleanup_free char *idx = xasprintf("%s.idx", path);
	int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	struct ownlog *l = xcalloc(1, sizeof(*l));
	int r;

	l->max = max_bytes;
	l->idx = -1;
	if ((l->fd = open(path, flags, 0600)) < 0 ||
	    (l->idx = open(idx, flags, 0600)) < 0)
		r = -errno;
	else
		r = agree(l);
	if (r < 0) {
		ownlog_close(l);
		return err_set(e, -r, "%s", path);
	}
	*ret = l;
	return 0;
}

void
ownlog_close(struct ownlog *l)
{
	if (l == NULL)
		return;
	close_fd(&l->fd);
	close_fd(&l->idx);
	buf_done(&l->more);
	buf_done(&l->more_idx);
	free(l);
}

/*** Appending ***/

static int
restart(struct ownlog *l)
{
	/* the index first: lines without one are dropped when it is opened */
	if (ftruncate(l->idx, 0) < 0 || ftruncate(l->fd, 0) < 0)
		return -errno;
	l->size = l->lines = 0;
	return 0;
}

static int
pwrite_full(int fd, const void *p, size_t n, uint64_t off)
{
	ssize_t r;

	do
		r = pwrite(fd, p, n, (off_t)off);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -ENOSPC;
}

int
ownlog_put(struct ownlog *l, uid_t uid, const char *line, size_t len)
{
	struct entry en = { .uid = uid, .len = (uint32_t)len };
	int r = buf_add(&l->more, line, len);

	if (r == 0 && (r = buf_add(&l->more_idx, &en, sizeof(en))) < 0)
		buf_cut(&l->more, l->more.len - len);
	return r;
}

static int
append(struct ownlog *l)
{
	size_t n = l->more.len;
	int r;

	if (l->size + n > l->max && (r = restart(l)) < 0)
		return r;
	if ((r = pwrite_full(l->fd, l->more.data, n, l->size)) < 0 ||
	    (r = pwrite_full(l->idx, l->more_idx.data, l->more_idx.len,
		 l->lines * sizeof(struct entry))) < 0) {
		(void)!ftruncate(l->fd, (off_t)l->size);
		return r;
	}
	l->size += n;
	l->lines += l->more_idx.len / sizeof(struct entry);
	l->mtime_ms = clock_real_ms();
	return 0;
}

int
ownlog_flush(struct ownlog *l)
{
	int r;

	if (l->more.len == 0)
		return 0;
	r = append(l);
	buf_clear(&l->more);
	buf_clear(&l->more_idx);
	return r;
}

int
ownlog_add(struct ownlog *l, uid_t uid, const char *line, size_t len)
{
	int r = ownlog_put(l, uid, line, len);

	return r < 0 ? r : ownlog_flush(l);
}

/*** Reading ***/

struct view_read {
	const struct ownlog_view *v;
	struct ownlog *l;
	uint64_t off; /* of the view */
	uint64_t at;  /* of the view: where this entry's line begins */
	char *p;
	size_t n;
	ssize_t done;
};

static bool
read_entry(void *arg, const struct entry *en, uint64_t at)
{
	struct view_read *r = arg;
	uint64_t skip = 0;
	size_t len;
	ssize_t got;

	if (en->uid != r->v->uid)
		return false;
	if (r->at + en->len <= r->off) {
		r->at += en->len;
		return false;
	}
	if (r->off > r->at)
		skip = r->off - r->at;
	r->at += en->len;
	len = (size_t)(en->len - skip);
	if (len > r->n - (size_t)r->done)
		len = r->n - (size_t)r->done;
	got = fd_pread_full(r->l->fd, r->p + r->done, len, at + skip);
	if (got < 0) {
		r->done = got;
		return true;
	}
	r->done += got;
	return (size_t)r->done == r->n;
}

ssize_t
ownlog_read(struct ownlog *l, const struct ownlog_view *v, uint64_t off,
    void *p, size_t n)
{
	struct view_read r = { .v = v, .l = l, .off = off, .p = p, .n = n };

	if (n == 0)
		return 0;
	if (!v->all) {
		each_entry(l, read_entry, &r);
		return r.done;
	}
	if (off >= l->size)
		return 0;
	if (n > l->size - off)
		n = (size_t)(l->size - off);
	return fd_pread_full(l->fd, p, n, off);
}

static bool
size_entry(void *arg, const struct entry *en, uint64_t at)
{
	struct view_read *r = arg;

	(void)at;
	if (en->uid == r->v->uid)
		r->at += en->len;
	return false;
}

uint64_t
ownlog_size(struct ownlog *l, const struct ownlog_view *v)
{
	struct view_read r = { .v = v };

	if (v->all)
		return l->size;
	each_entry(l, size_entry, &r);
	return r.at;
}

int64_t
ownlog_mtime_ms(const struct ownlog *l)
{
	return l->mtime_ms;
}

struct tail {
	struct ownlog *l;
	uint64_t skip; /* lines */
	void (*fn)(void *arg, uid_t uid, const char *line, size_t len);
	void *arg;
};

static bool
tail_entry(void *arg, const struct entry *en, uint64_t at)
{
	cleanup_free char *line = NULL;
	struct tail *t = arg;

	if (t->skip != 0) {
		t->skip--;
		return false;
	}
	line = xmalloc(en->len + 1);
	if (en->len == 0 ||
	    fd_pread_full(t->l->fd, line, en->len, at) != (ssize_t)en->len)
		return true;
	line[en->len] = '\0';
	t->fn(t->arg, en->uid, line, en->len);
	return false;
}

void
ownlog_tail(struct ownlog *l, uint64_t n,
    void (*fn)(void *arg, uid_t uid, const char *line, size_t len), void *arg)
{
	struct tail t = { .l = l,
		.skip = l->lines > n ? l->lines - n : 0,
		.fn = fn,
		.arg = arg };

	each_entry(l, tail_entry, &t);
}

size_t
ownlog_last(struct ownlog *l, char *p, size_t n)
{
	struct entry en;

	if (l->lines == 0 ||
	    fd_pread_full(l->idx, &en, sizeof(en),
		(l->lines - 1) * sizeof(en)) != sizeof(en) ||
	    en.len == 0 || en.len > n || en.len > l->size ||
	    fd_pread_full(l->fd, p, en.len, l->size - en.len) !=
		(ssize_t)en.len)
		return 0;
	p[en.len - 1] = '\0';
	return en.len - 1;
}
