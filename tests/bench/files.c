/*
 * files PREFIX DIRECTORY SAMPLES: what file operations cost in DIRECTORY, a
 * line "PREFIX_KEY P50 P99 N" each, in microseconds.
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
#define BLOCKS 64
#define PAGE 4096
#define NAMES 1000
#define LISTS 20

static double *times; /* of the samples of one row */
static size_t count;
static char block[BLOCK];
static int samples;

static double
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void
took(double since)
{
	times[count++] = now_us() - since;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
report(const char *prefix, const char *key)
{
	qsort(times, count, sizeof(*times), compare);
	(void)printf("%s_%s %.2f %.2f %zu\n", prefix, key, times[count / 2],
	    times[count * 99 / 100], count);
	count = 0;
}

/* What the kernel remembers of names and attributes is too old then. */
static void
let_caches_expire(void)
{
	(void)usleep(1200000);
}

static void
name_of(int i, char to[16])
{
	(void)snprintf(to, 16, "n%d", i);
}

/*** Data ***/

static void
write_blocks(const char *prefix)
{
	int pass, i, fd;
	double t;

	for (pass = 0; pass < 8; pass++) {
		fd = open("data", O_CREAT | O_TRUNC | O_WRONLY, 0600);
		for (i = 0; i < BLOCKS; i++) {
			t = now_us();
			if (write(fd, block, BLOCK) != BLOCK)
				err(1, "write");
			took(t);
		}
		(void)close(fd);
	}
	report(prefix, "write");
}

static void
read_blocks(const char *prefix)
{
	int pass, i, fd = open("data", O_RDONLY);
	double t;

	for (pass = 0; pass < 8; pass++)
		for (i = 0; i < BLOCKS; i++) {
			t = now_us();
			if (pread(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
				err(1, "read");
			took(t);
		}
	(void)close(fd);
	report(prefix, "read");
}

/* 16 reads a sample: one is not much longer than to look at the clock. */
static void
read_pages(const char *prefix)
{
	int i, k, fd = open("data", O_RDONLY);
	uint32_t r = 1;
	double t;

	for (i = 0; i < samples; i++) {
		t = now_us();
		for (k = 0; k < 16; k++) {
			r = r * 1664525 + 1013904223;
			if (pread(fd, block, PAGE,
				(off_t)(r >> 8) % (BLOCKS * (BLOCK / PAGE)) *
				    PAGE) != PAGE)
				err(1, "read");
		}
		took(t);
	}
	(void)close(fd);
	report(prefix, "read4k");
	(void)unlink("data");
}

/*** Names ***/

static void
make_names(void)
{
	char name[16];
	int i, fd;

	for (i = 0; i < NAMES; i++) {
		name_of(i, name);
		fd = open(name, O_CREAT | O_WRONLY, 0600);
		if (fd < 0 || write(fd, block, 1000) != 1000)
			err(1, "%s", name);
		(void)close(fd);
	}
}

static void
stat_names(const char *prefix)
{
	struct stat st;
	char name[16];
	double t;
	int i;

	let_caches_expire();
	for (i = 0; i < samples; i++) {
		if (i % NAMES == 0)
			let_caches_expire();
		name_of(i % NAMES, name);
		t = now_us();
		if (stat(name, &st) < 0)
			err(1, "%s", name);
		took(t);
	}
	report(prefix, "stat");
}

static void
open_names(const char *prefix)
{
	char name[16];
	double t;
	int i, fd;

	for (i = 0; i < samples; i++) {
		name_of(i % NAMES, name);
		t = now_us();
		fd = open(name, O_RDONLY);
		if (fd < 0 || read(fd, block, PAGE) != 1000)
			err(1, "%s", name);
		(void)close(fd);
		took(t);
	}
	report(prefix, "open");
}

static void
list_names(const char *prefix)
{
	struct dirent *de;
	struct stat st;
	double t;
	DIR *d;
	int i, n;

	for (i = 0; i < LISTS; i++) {
		let_caches_expire();
		t = now_us();
		d = opendir(".");
		for (n = 0; (de = readdir(d)) != NULL; n++)
			if (lstat(de->d_name, &st) < 0)
				err(1, "%s", de->d_name);
		(void)closedir(d);
		took(t);
		if (n != NAMES + 2)
			errx(1, "%d names", n);
	}
	report(prefix, "list");
}

static void
make_and_remove(const char *prefix)
{
	double t;
	int i, fd;

	for (i = 0; i < samples; i++) {
		t = now_us();
		fd = open("made", O_CREAT | O_EXCL | O_WRONLY, 0600);
		if (fd < 0 || close(fd) < 0 || unlink("made") < 0)
			err(1, "made");
		took(t);
	}
	report(prefix, "create");
}

static void
remove_names(void)
{
	char name[16];
	int i;

	for (i = 0; i < NAMES; i++) {
		name_of(i, name);
		(void)unlink(name);
	}
}

int
main(int argc, char **argv)
{
	if (argc != 4 || chdir(argv[2]) < 0)
		errx(2, "usage: files PREFIX DIRECTORY SAMPLES");
	samples = atoi(argv[3]);
	times = calloc((size_t)samples + 8 * BLOCKS + LISTS, sizeof(*times));
	if (times == NULL)
		err(1, "calloc");
	write_blocks(argv[1]);
	read_blocks(argv[1]);
	read_pages(argv[1]);
	make_names();
	stat_names(argv[1]);
	open_names(argv[1]);
	list_names(argv[1]);
	make_and_remove(argv[1]);
	remove_names();
	return 0;
}
