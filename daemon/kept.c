/*
 * kept.c - the kept output of one job: in memory for its first moment, then
 * in the journal or in files of its own. See spool.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/spool_impl.h"
#include "lib/fd.h"

#define SEGS_A_READ 512
#define WINDOW (64u << 10)

void
kept_init(struct kept *k, struct spool *sp, int number)
{
	memset(k, 0, sizeof(*k));
	k->sp = sp;
	k->number = number;
	k->data_fd = k->idx_fd = -1;
	k->nsegs = 1; /* of stdout, from 0 on */
}

void
kept_done(struct kept *k)
{
	close_fd(&k->data_fd);
	close_fd(&k->idx_fd);
	buf_done(&k->mem[0]);
	buf_done(&k->mem[1]);
}

void
kept_told(struct kept *k)
{
	if (k->where == KEPT_MEMORY)
		return;
	buf_done(&k->mem[0]);
	buf_done(&k->mem[1]);
}

static int
open_own(const struct kept *k, const char *suffix, int flags)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%d.%s", k->number, suffix);
	return spool_open_file(k->sp, name, flags);
}

/*** Files ***/

static bool
put_seg(struct kept *k, uint64_t i, const struct kept_seg *seg)
{
	return pwrite(k->idx_fd, seg, sizeof(*seg),
		   (off_t)(i * sizeof(*seg))) == sizeof(*seg);
}

/* The next bytes are of the other stream. */
static bool
switch_stream(struct kept *k, enum job_stream s)
{
	struct kept_seg seg = { k->size[JOB_BOTH], k->size[s] };

	if (k->idx_fd < 0) {
		k->idx_fd = open_own(k, "idx", O_RDWR | O_CREAT);
		if (k->idx_fd < 0)
			return false;
		if (k->nsegs == 1 && !put_seg(k, 0, &(struct kept_seg){ 0 }))
			return false;
	}
	if (!put_seg(k, k->nsegs, &seg))
		return false;
	k->nsegs++;
	return true;
}

static void
file_add(struct kept *k, enum job_stream s, const void *p, size_t n)
{
	int why;

	if (k->data_fd < 0)
		k->data_fd = open_own(k, "data", O_RDWR | O_CREAT);
	k->has_files = true;
	if (k->data_fd < 0 ||
	    (((k->nsegs - 1) & 1) != s && !switch_stream(k, s)) ||
	    pwrite(k->data_fd, p, n, (off_t)k->size[JOB_BOTH]) != (ssize_t)n) {
		why = errno;
		spool_failed(k->sp, "data");
		k->truncated = true;
		errno = why;
		return;
	}
	k->size[s] += n;
	k->size[JOB_BOTH] += n;
}

void
kept_to_file(struct kept *k)
{
	struct buf mem[2];
	size_t i;

	if (k->where != KEPT_MEMORY)
		return;
	memcpy(mem, k->mem, sizeof(mem));
	memset(k->mem, 0, sizeof(k->mem));
	memset(k->size, 0, sizeof(k->size));
	k->where = KEPT_FILE;
	for (i = 0; i < 2; i++) {
		if (mem[i].len != 0)
			file_add(k, i, mem[i].data, mem[i].len);
		buf_done(&mem[i]);
	}
}

void
kept_resume(struct kept *k)
{
	struct kept_seg seg[2] = { 0 };
	struct stat st;
	enum job_stream s;

	k->where = KEPT_FILE;
	k->has_files = true;
	k->nsegs = 1;
	if ((k->data_fd = open_own(k, "data", O_RDWR)) < 0)
		return;
	if (fstat(k->data_fd, &st) == 0)
		k->size[JOB_BOTH] = (uint64_t)st.st_size;
	if ((k->idx_fd = open_own(k, "idx", O_RDWR)) >= 0 &&
	    fstat(k->idx_fd, &st) == 0 &&
	    st.st_size >= (off_t)(2 * sizeof(seg[0]))) {
		k->nsegs = (uint64_t)st.st_size / sizeof(seg[0]);
		if (pread(k->idx_fd, seg, sizeof(seg),
			(off_t)((k->nsegs - 2) * sizeof(seg[0]))) !=
		    sizeof(seg))
			memset(seg, 0, sizeof(seg));
		s = (k->nsegs - 1) & 1;
		k->size[s] = seg[1].from + k->size[JOB_BOTH] - seg[1].at;
		k->size[!s] = k->size[JOB_BOTH] - k->size[s];
	} else {
		k->size[JOB_STDOUT] = k->size[JOB_BOTH];
	}
	k->cut =
	    k->size[JOB_BOTH] > k->sp->max ? k->sp->max : k->size[JOB_BOTH];
	k->truncated =
	    k->size[JOB_BOTH] + k->nsegs * sizeof(seg[0]) > k->sp->max;
}

/*** Adding ***/

static void
add(struct kept *k, enum job_stream s, const void *p, size_t n)
{
	/* memory holds stdout's before stderr's, and little */
	if (k->where == KEPT_MEMORY &&
	    (k->size[JOB_BOTH] + n > SPOOL_SMALL_MAX ||
		(s == JOB_STDOUT && k->size[JOB_STDERR] != 0)))
		kept_to_file(k);
	if (k->where == KEPT_FILE) {
		file_add(k, s, p, n);
	} else if (buf_add(&k->mem[s], p, n) == 0) {
		k->size[s] += n;
		k->size[JOB_BOTH] += n;
	}
}

static size_t
mark(const struct kept *k, char text[KEPT_MARK_MAX])
{
	return (size_t)snprintf(text, KEPT_MARK_MAX,
	    "\n[output over %llu bytes is not kept]\n",
	    (unsigned long long)k->sp->max);
}

size_t
kept_add(struct kept *k, enum job_stream s, const void *p, size_t n)
{
	uint64_t before = k->size[JOB_BOTH];
	uint64_t used = k->size[JOB_BOTH] + k->nsegs * sizeof(struct kept_seg);
	uint64_t room = k->sp->max > used ? k->sp->max - used : 0;
	char text[KEPT_MARK_MAX];

	if (k->truncated || n == 0)
		return 0;
	if (n < room)
		room = n;
	if (room != 0)
		add(k, s, p, (size_t)room);
	k->cut = k->size[JOB_BOTH];
	if (!k->truncated && room < n) {
		add(k, s, text, mark(k, text));
		k->truncated = true;
	}
	return (size_t)(k->cut - before);
}

/*** Reading ***/

static ssize_t
read_at(int fd, uint64_t at, void *p, size_t n)
{
	ssize_t r = pread(fd, p, n, (off_t)at);

	return r < 0 ? -errno : r;
}

static ssize_t
read_memory(
    const struct kept *k, enum job_stream s, uint64_t off, char *p, size_t n)
{
	size_t part = 0, first = k->mem[0].len;

	if (s == JOB_STDERR)
		off += first;
	if (off < first) {
		part = first - off < n ? (size_t)(first - off) : n;
		memcpy(p, k->mem[0].data + off, part);
	}
	if (part < n)
		memcpy(
		    p + part, k->mem[1].data + (off + part - first), n - part);
	return (ssize_t)n;
}

/* An ended job's descriptors are closed: open for the one read. */
static int
borrow(const struct kept *k, int own, const char *suffix, int *ret_close)
{
	if (own >= 0)
		return own;
	return *ret_close = open_own(k, suffix, O_RDONLY);
}

static bool
get_segs(
    const struct kept *k, int idx, uint64_t i, struct kept_seg *to, size_t n)
{
	if (k->nsegs == 1) {
		memset(to, 0, sizeof(*to));
		return true;
	}
	return pread(idx, to, n * sizeof(*to), (off_t)(i * sizeof(*to))) ==
	    (ssize_t)(n * sizeof(*to));
}

/* The last piece of stream s that begins at or before off. */
static int64_t
find_seg(const struct kept *k, int idx, enum job_stream s, uint64_t off)
{
	uint64_t lo = 0, hi = (k->nsegs + 1 - s) / 2, mid;
	struct kept_seg seg;

	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (!get_segs(k, idx, mid * 2 + s, &seg, 1))
			return -1;
		if (seg.from <= off)
			lo = mid;
		else
			hi = mid;
	}
	return (int64_t)(lo * 2 + s);
}

/* Where the bytes are that a window of the file has for one stream. */
struct picker {
	const struct kept *k;
	uint64_t off; /* next byte of the stream */
	char *to;
	size_t left;
};

/*
 * From segment i on, copies what one window of the file has. Returns the
 * segment to go on with, or -1.
 */
static int64_t
pick(struct picker *pk, int data, int idx, uint64_t i)
{
	static char window[WINDOW];
	struct kept_seg seg[SEGS_A_READ];
	const struct kept *k = pk->k;
	size_t n = SEGS_A_READ, j, part;
	uint64_t end, at, begin;
	ssize_t got;

	if (n > k->nsegs - i)
		n = (size_t)(k->nsegs - i);
	if (!get_segs(k, idx, i, seg, n))
		return -1;
	begin = seg[0].at + (pk->off - seg[0].from);
	if ((got = read_at(data, begin, window, sizeof(window))) <= 0)
		return -1;
	for (j = 0; j < n && pk->left != 0; j += 2) {
		if (j + 1 == n && i + n < k->nsegs)
			break; /* its end is in the next read */
		end = j + 1 < n ? seg[j + 1].at : k->size[JOB_BOTH];
		at = seg[j].at + (pk->off - seg[j].from);
		if (at >= begin + (uint64_t)got)
			break;
		if (end > begin + (uint64_t)got)
			end = begin + (uint64_t)got;
		part = end - at < pk->left ? (size_t)(end - at) : pk->left;
		memcpy(pk->to, window + (at - begin), part);
		pk->to += part;
		pk->off += part;
		pk->left -= part;
		if (j + 1 < n && at + part < seg[j + 1].at)
			break; /* the window or the reader is full */
	}
	return (int64_t)(i + j);
}

static ssize_t
read_stream(
    const struct kept *k, enum job_stream s, uint64_t off, void *p, size_t n)
{
	cleanup_fd int close_data = -1, close_idx = -1;
	struct picker pk = { .k = k, .off = off, .to = p, .left = n };
	int data = borrow(k, k->data_fd, "data", &close_data), idx = -1;
	int64_t i;

	if (k->nsegs > 1)
		idx = borrow(k, k->idx_fd, "idx", &close_idx);
	if (data < 0 || (k->nsegs > 1 && idx < 0))
		return -EIO;
	if ((i = find_seg(k, idx, s, off)) < 0)
		return -EIO;
	while (pk.left != 0 && (uint64_t)i < k->nsegs)
		if ((i = pick(&pk, data, idx, (uint64_t)i)) < 0)
			return -EIO;
	return (ssize_t)(n - pk.left);
}

ssize_t
kept_read(struct kept *k, enum job_stream s, uint64_t off, void *p, size_t n)
{
	cleanup_fd int fd = -1;
	uint64_t skip = s == JOB_STDERR ? k->size[JOB_STDOUT] : 0;

	if (off >= k->size[s] || n == 0)
		return 0;
	if (n > k->size[s] - off)
		n = (size_t)(k->size[s] - off);
	if (k->where == KEPT_MEMORY || k->mem[0].len + k->mem[1].len != 0)
		return read_memory(k, s, off, p, n);
	if (k->where == KEPT_JOURNAL)
		return read_at(
		    k->sp->journal_fd, k->journal_at + skip + off, p, n);
	if (s != JOB_BOTH)
		return read_stream(k, s, off, p, n);
	fd = k->data_fd >= 0 ? dup(k->data_fd) : open_own(k, "data", O_RDONLY);
	return fd < 0 ? -errno : read_at(fd, off, p, n);
}

/* The end record still has the bytes, the file has them as well. What does not
 * fit on the disk stays where it is. */
static int
small_to_file(struct kept *k)
{
	char bytes[SPOOL_SMALL_MAX + KEPT_MARK_MAX];
	struct kept was = *k;
	size_t n = (size_t)k->size[JOB_BOTH];
	ssize_t got;

	if (k->where == KEPT_FILE || n > sizeof(bytes))
		return 0;
	got = k->where == KEPT_MEMORY
	    ? read_memory(k, JOB_BOTH, 0, bytes, n)
	    : read_at(k->sp->journal_fd, k->journal_at, bytes, n);
	if (got != (ssize_t)n)
		return 0;
	memset(k->size, 0, sizeof(k->size));
	k->nsegs = 1;
	k->where = KEPT_FILE;
	k->truncated = false;
	errno = 0;
	if (was.size[JOB_STDOUT] != 0)
		file_add(k, JOB_STDOUT, bytes, (size_t)was.size[JOB_STDOUT]);
	if (was.size[JOB_STDERR] != 0)
		file_add(k, JOB_STDERR, bytes + was.size[JOB_STDOUT],
		    (size_t)was.size[JOB_STDERR]);
	if (was.where == KEPT_JOURNAL || k->truncated) {
		close_fd(&k->data_fd);
		close_fd(&k->idx_fd);
	}
	if (k->truncated) {
		was.has_files = true;
		*k = was;
		return errno != 0 ? -errno : -ENOSPC; /* short: no room */
	}
	k->truncated = was.truncated;
	buf_done(&k->mem[0]);
	buf_done(&k->mem[1]);
	return 0;
}

int
kept_open(struct kept *k)
{
	int fd = small_to_file(k);

	if (fd < 0)
		return fd;
	/* not even the mark that says so */
	if (k->truncated && k->size[JOB_BOTH] == 0)
		return -ENOSPC;
	fd = open_own(k, "data", O_RDONLY);
	if (fd < 0 && errno == ENOENT) {
		k->has_files = true;
		fd = open_own(k, "data", O_RDWR | O_CREAT);
		close_fd(&fd);
		fd = open_own(k, "data", O_RDONLY);
	}
	return fd < 0 ? -errno : fd;
}

void
kept_delete(struct kept *k)
{
	static const char *const suffix[] = { "data", "idx" };
	char path[512];
	size_t i;

	kept_done(k);
	if (!k->has_files)
		return;
	for (i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d.%s", k->sp->dir,
		    k->number, suffix[i]);
		(void)unlink(path);
	}
}
