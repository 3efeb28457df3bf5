/*
 * files SAMPLES PREFIX DIRECTORY...: what file operations cost in each
 * DIRECTORY, a line "PREFIX_KEY P50 P99 N" each, in microseconds. The places
 * take turns of a few samples, each first as often as the others: what the
 * machine does beside it falls on all alike.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1 << 20)
#define BLOCKS 64 /* of a file */
#define PAGE 4096
#define PAGES (BLOCKS * (BLOCK / PAGE))
#define NAMES 1000
#define PLACES 4

struct place {
	const char *prefix;
	int dir;
	int data; /* the open file */
	double *times;
	size_t count;
};

static struct place places[PLACES];
static int place_count;
static char block[BLOCK];

static double
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* What the kernel remembers of names and attributes is too old then. */
static void
let_caches_expire(void)
{
	(void)usleep(1200000);
}

static const char *
name_of(int i)
{
	static char name[16];

	(void)snprintf(name, sizeof(name), "n%d", i % NAMES);
	return name;
}

/*** Data ***/

static void
open_data(struct place *p, int flags)
{
	if (p->data >= 0)
		(void)close(p->data);
	p->data = openat(p->dir, "data", flags, 0600);
	if (p->data < 0)
		err(1, "%s: data", p->prefix);
}

static void
before_write(struct place *p, int i)
{
	if (i % BLOCKS == 0)
		open_data(p, O_CREAT | O_TRUNC | O_WRONLY);
}

static void
write_block(struct place *p, int i)
{
	(void)i;
	if (write(p->data, block, BLOCK) != BLOCK)
		err(1, "%s: write", p->prefix);
}

static void
before_read(struct place *p, int i)
{
	if (i == 0)
		open_data(p, O_RDONLY);
}

static void
read_block(struct place *p, int i)
{
	if (pread(p->data, block, BLOCK, (off_t)(i % BLOCKS) * BLOCK) != BLOCK)
		err(1, "%s: read", p->prefix);
}

/* 16 reads a sample: one is not much longer than to look at the clock. */
static void
read_pages(struct place *p, int i)
{
	uint32_t r = (uint32_t)i;
	int k;

	for (k = 0; k < 16; k++) {
		r = r * 1664525 + 1013904223;
		if (pread(p->data, block, PAGE,
			(off_t)(r >> 8) % PAGES * PAGE) != PAGE)
			err(1, "%s: read", p->prefix);
	}
}

/*** Names ***/

static void
make_names(struct place *p)
{
	int i, fd;

	for (i = 0; i < NAMES; i++) {
		fd = openat(p->dir, name_of(i), O_CREAT | O_WRONLY, 0600);
		if (fd < 0 || write(fd, block, 1000) != 1000)
			err(1, "%s: %s", p->prefix, name_of(i));
		(void)close(fd);
	}
}

static void
stat_name(struct place *p, int i)
{
	struct stat st;

	if (fstatat(p->dir, name_of(i), &st, 0) < 0)
		err(1, "%s: %s", p->prefix, name_of(i));
}

static void
open_name(struct place *p, int i)
{
	int fd = openat(p->dir, name_of(i), O_RDONLY);

	if (fd < 0 || read(fd, block, PAGE) != 1000)
		err(1, "%s: %s", p->prefix, name_of(i));
	(void)close(fd);
}

static void
list_names(struct place *p, int i)
{
	struct dirent *de;
	struct stat st;
	DIR *d = fdopendir(openat(p->dir, ".", O_RDONLY | O_DIRECTORY));
	int n;

	(void)i;
	if (d == NULL)
		err(1, "%s", p->prefix);
	for (n = 0; (de = readdir(d)) != NULL; n++)
		if (fstatat(p->dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			err(1, "%s: %s", p->prefix, de->d_name);
	(void)closedir(d);
	if (n != NAMES + 3) /* ".", "..", "data" */
		errx(1, "%s: %d names", p->prefix, n);
}

static void
make_and_remove(struct place *p, int i)
{
	int fd = openat(p->dir, "made", O_CREAT | O_EXCL | O_WRONLY, 0600);

	(void)i;
	if (fd < 0 || close(fd) < 0 || unlinkat(p->dir, "made", 0) < 0)
		err(1, "%s: made", p->prefix);
}

static void
remove_all(struct place *p)
{
	int i;

	(void)unlinkat(p->dir, "data", 0);
	for (i = 0; i < NAMES; i++)
		(void)unlinkat(p->dir, name_of(i), 0);
}

/*** Turns ***/

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
report(struct place *p, const char *key)
{
	qsort(p->times, p->count, sizeof(*p->times), compare);
	(void)printf("%s_%s %.2f %.2f %zu\n", p->prefix, key,
	    p->times[p->count / 2], p->times[p->count * 99 / 100], p->count);
	p->count = 0;
}

static const struct measure {
	const char *key;
	void (*before)(struct place *, int i); /* not timed */
	void (*sample)(struct place *, int i);
	int count;  /* of samples, 0: as asked for */
	int turn;   /* samples of a place before the next one's */
	int expire; /* caches, each time after so many samples */
} measures[] = {
	{ "write", before_write, write_block, 16 * BLOCKS, 8, 0 },
	{ "read", before_read, read_block, 16 * BLOCKS, 8, 0 },
	{ "read4k", before_read, read_pages, 0, 50, 0 },
	{ "stat", NULL, stat_name, 0, 50, NAMES },
	{ "open", NULL, open_name, 0, 50, 0 },
	{ "list", NULL, list_names, 20, 1, 1 },
	{ "create", NULL, make_and_remove, 0, 50, 0 },
};

static void
take_turn(const struct measure *m, struct place *p, int from, int to)
{
	double t;
	int i;

	for (i = from; i < to; i++) {
		if (m->before != NULL)
			m->before(p, i);
		t = now_us();
		m->sample(p, i);
		p->times[p->count++] = now_us() - t;
	}
}

static void
take(const struct measure *m, int count)
{
	int from, to, k, turn;

	for (from = turn = 0; from < count; from = to, turn++) {
		to = from + m->turn < count ? from + m->turn : count;
		if (m->expire != 0 && from % m->expire == 0)
			let_caches_expire();
		for (k = 0; k < place_count; k++)
			take_turn(
			    m, &places[(turn + k) % place_count], from, to);
	}
	for (k = 0; k < place_count; k++)
		report(&places[k], m->key);
}

int
main(int argc, char **argv)
{
	int samples = argc > 1 ? atoi(argv[1]) : 0, i;
	struct place *p;
	size_t m;

	if (samples <= 0 || argc < 4 || argc % 2 != 0 || argc > 2 + 2 * PLACES)
		errx(2, "usage: files SAMPLES PREFIX DIRECTORY...");
	for (i = 2; i < argc; i += 2) {
		p = &places[place_count++];
		p->prefix = argv[i];
		p->dir = open(argv[i + 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		p->data = -1;
		p->times =
		    calloc((size_t)samples + 16 * BLOCKS, sizeof(*p->times));
		if (p->dir < 0 || p->times == NULL)
			err(1, "%s", argv[i + 1]);
		make_names(p);
	}
	for (m = 0; m < sizeof(measures) / sizeof(measures[0]); m++)
		take(&measures[m],
		    measures[m].count != 0 ? measures[m].count : samples);
	for (p = places; p < places + place_count; p++)
		remove_all(p);
	return 0;
}
