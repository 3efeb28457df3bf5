/*
 * client: measures the daemon from outside, over one kept connection and in
 * the mount, and the floors beside it in the same loop. Each result is a line
 * "KEY P50 P99 SAMPLES", in microseconds.
 *
 *	client warm SOCKET N DATA     rows 1 and 15: creates from the pool
 *	client cold SOCKET N DATA     row 3: creates where the pool is empty
 *	client exec SOCKET N DATA PROGRAM            row 4, and its floor
 *	client cycle SOCKET N DATA                   row 6
 *	client session SOCKET N DATA MOUNT PROGRAM   row 5
 *	client output SOCKET N DATA MOUNT            row 7, MiB/s, its floor
 *	client mkdir SOCKET N DATA DIR               row 2; SOCKET "-": its
 *floor
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char answer[1 << 16];
static int sock = -1;
static int samples;
static char sandboxes[256]; /* where their disks are */

__attribute__((format(printf, 1, 2))) _Noreturn static void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Between samples, the same for all: what a sample left behind has ended. */
static void
settle(void)
{
	struct timespec ts = { .tv_nsec = 1000000 };

	(void)nanosleep(&ts, NULL);
}

/*** Results ***/

struct series {
	const char *key;
	int64_t *ns;
	int n;
};

static void
series_init(struct series *s, const char *key)
{
	s->key = key;
	s->n = 0;
	s->ns = calloc((size_t)samples, sizeof(*s->ns));
	if (s->ns == NULL)
		die("memory");
}

static void
series_add(struct series *s, int64_t began)
{
	if (s->n < samples)
		s->ns[s->n++] = now_ns() - began;
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
series_print(struct series *s)
{
	if (s->n > 0) {
		qsort(s->ns, (size_t)s->n, sizeof(*s->ns), by_value);
		printf("%s %.1f %.1f %d\n", s->key,
		    (double)s->ns[s->n / 2] / 1000,
		    (double)s->ns[s->n * 99 / 100] / 1000, s->n);
	}
	free(s->ns);
}

/*** HTTP ***/

static void
http_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		die("%s", path);
	}
	strcpy(sa.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("%s", path);
}

/* Where the answer's body ends, or 0 while it has not come whole. */
static size_t
whole(size_t have)
{
	char *end, *len;

	answer[have] = '\0';
	if ((end = strstr(answer, "\r\n\r\n")) == NULL)
		return 0;
	end += 4;
	if (strcasestr(answer, "transfer-encoding: chunked") != NULL)
		return strstr(end, "0\r\n\r\n") != NULL ? have : 0;
	len = strcasestr(answer, "content-length:");
	if (len != NULL && len < end)
		end += strtoul(len + 15, NULL, 10);
	return end <= answer + have ? (size_t)(end - answer) : 0;
}

static void
send_all(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = send(sock, p, n, MSG_NOSIGNAL);

		if (put < 0)
			die("send");
		p += put;
		n -= (size_t)put;
	}
}

/* One exchange; the answer, head and all, is in answer. Its status. */
static int
http(const char *method, const char *path, const char *body, size_t len)
{
	char head[512];
	size_t have = 0;
	ssize_t got;
	int n;

	n = snprintf(head, sizeof(head),
	    "%s %s HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    method, path, len);
	if (len > 0 && (size_t)n + len < sizeof(head)) {
		memcpy(head + n, body, len);
		send_all(head, (size_t)n + len);
	} else {
		send_all(head, (size_t)n);
		send_all(body, len);
	}
	do {
		got = recv(sock, answer + have, sizeof(answer) - 1 - have, 0);
		if (got <= 0)
			die("%s %s: no answer", method, path);
		have += (size_t)got;
	} while (whole(have) == 0);
	return atoi(answer + 9);
}

static void
expect(const char *method, const char *path, const char *body, int status)
{
	int got = http(method, path, body, strlen(body));

	if (got != status) {
		errno = EPROTO;
		die("%s %s: %d instead of %d: %s", method, path, got, status,
		    answer);
	}
}

/* The sum of all numbers that follow key in the answer. */
static int
sum_of(const char *key)
{
	const char *p = answer;
	int sum = 0;

	while ((p = strstr(p, key)) != NULL) {
		p += strlen(key);
		sum += atoi(p);
	}
	return sum;
}

static int
disks(void)
{
	struct dirent *de;
	DIR *dir = opendir(sandboxes);
	int n = 0;

	if (dir == NULL)
		die("%s", sandboxes);
	while ((de = readdir(dir)) != NULL)
		n += de->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

/* What the samples before have set going is over: the pool is full, and all
 * that is not in it, but for alive ones, is reclaimed. */
static void
quiet(int alive)
{
	int64_t until = now_ns() + 30000000000;
	int ready;

	for (;;) {
		expect("GET", "/pools", "", 200);
		ready = sum_of("\"ready\":");
		if (sum_of("\"starting\":") == 0 &&
		    ready >= sum_of("\"min\":") && disks() == ready + alive)
			break;
		if (now_ns() > until) {
			errno = ETIMEDOUT;
			die("%d disks: it never rests: %s", disks(), answer);
		}
		settle();
	}
	settle();
}

/* The program at path, made executable, at /root/x of a sandbox. */
static void
install(const char *sandbox, const char *path)
{
	static char data[1 << 20];
	char url[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));

	if (n < 0)
		die("%s", path);
	(void)close(fd);
	(void)snprintf(url, sizeof(url), "/sandboxes/%s/files/root/x", sandbox);
	if (http("PUT", url, data, (size_t)n) / 100 != 2)
		die("PUT %s: %s", url, answer);
	(void)snprintf(url, sizeof(url), "/sandboxes/%s/exec", sandbox);
	expect("POST", url, "{\"command\":\"chmod 755 x\"}", 200);
}

static void
output_is_x(void)
{
	if (strstr(answer, "\"stdout\":\"x\\n\"") == NULL) {
		errno = EPROTO;
		die("exec: %s", answer);
	}
}

/*** The rows ***/

/* Gone means that the disk of it is. */
static void
await_reclaimed(const char *id)
{
	char path[512];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", sandboxes, id);
	while (stat(path, &st) == 0)
		(void)usleep(50);
}

static void
id_of(char *id, size_t size)
{
	const char *p = strstr(answer, "\"id\":\"");

	(void)snprintf(id, size, "%.36s", p != NULL ? p + 6 : "?");
}

static void
run_creates(bool warm)
{
	const char *body = warm ? "{\"name\":\"bench\"}"
				: "{\"name\":\"bench\",\"profile\":\"cold\"}";
	struct series noop, create, destroy, reclaim;
	char id[64];
	int64_t t;
	int i;

	series_init(&noop, warm ? "noop" : "noop_cold");
	series_init(&create, warm ? "create_warm" : "create_cold");
	series_init(&destroy, warm ? "destroy" : "destroy_cold");
	series_init(&reclaim, warm ? "reclaim" : "reclaim_cold");
	for (i = 0; i < samples; i++) {
		quiet(0);
		t = now_ns();
		expect("GET", "/health", "", 200);
		series_add(&noop, t);
		settle();
		t = now_ns();
		expect("POST", "/sandboxes", body, 201);
		series_add(&create, t);
		id_of(id, sizeof(id));
		settle();
		t = now_ns();
		expect("DELETE", "/sandboxes/bench", "", 204);
		series_add(&destroy, t);
		await_reclaimed(id);
		series_add(&reclaim, t);
	}
	series_print(&noop);
	series_print(&create);
	series_print(&destroy);
	series_print(&reclaim);
}

static void
spawn(const char *program)
{
	extern char **environ;
	char *argv[] = { (char *)(uintptr_t)program, NULL };
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status;

	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(
	    &fa, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, program, &fa, NULL, argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		die("%s", program);
	(void)posix_spawn_file_actions_destroy(&fa);
}

#define EXEC_X "{\"command\":\"#!/root/x\\n\"}"

static void
run_exec(const char *program)
{
	struct series floor, exec;
	int64_t t;
	int i;

	series_init(&floor, "spawn");
	series_init(&exec, "exec");
	quiet(0);
	expect("POST", "/sandboxes", "{\"name\":\"bench\"}", 201);
	install("bench", program);
	for (i = 0; i < samples; i++) {
		settle();
		t = now_ns();
		spawn(program);
		series_add(&floor, t);
		settle();
		t = now_ns();
		expect("POST", "/sandboxes/bench/exec", EXEC_X, 200);
		series_add(&exec, t);
		output_is_x();
	}
	expect("DELETE", "/sandboxes/bench", "", 204);
	series_print(&floor);
	series_print(&exec);
}

/* Profile bench: its image holds the program, as /x. */
static void
run_cycle(void)
{
	struct series cycle;
	int64_t t;
	int i;

	series_init(&cycle, "cycle");
	for (i = 0; i < samples; i++) {
		quiet(0);
		t = now_ns();
		expect("POST", "/sandboxes",
		    "{\"name\":\"bench\",\"profile\":\"bench\"}", 201);
		expect("POST", "/sandboxes/bench/exec",
		    "{\"command\":\"#!/x\\n\"}", 200);
		output_is_x();
		expect("DELETE", "/sandboxes/bench", "", 204);
		series_add(&cycle, t);
	}
	series_print(&cycle);
}

static void
session_once(int fd)
{
	static const char script[] = "#!/root/x\n";
	char buf[64];
	ssize_t n, have = 0;

	if (write(fd, script, sizeof(script) - 1) != sizeof(script) - 1)
		die("write");
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		have += n;
	if (n < 0 || have != 2)
		die("session: %zd bytes", have);
}

static void
run_session(const char *mount, const char *program)
{
	struct series floor, session;
	char path[256];
	int64_t t;
	int i, fd;

	series_init(&floor, "spawn_session");
	series_init(&session, "session");
	quiet(0);
	expect("POST", "/sandboxes", "{\"name\":\"bench\"}", 201);
	install("bench", program);
	(void)snprintf(path, sizeof(path), "%s/bench/exec", mount);
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		die("%s", path);
	for (i = 0; i < samples; i++) {
		settle();
		t = now_ns();
		spawn(program);
		series_add(&floor, t);
		settle();
		t = now_ns();
		session_once(fd);
		series_add(&session, t);
	}
	(void)close(fd);
	expect("DELETE", "/sandboxes/bench", "", 204);
	series_print(&floor);
	series_print(&session);
}

/* Of zeros, by the same program on both sides. */
#define DD "dd if=/dev/zero bs=1M status=none count="

/* How fast the bytes of fd come until its end, in MiB/s. */
static double
rate_of(int fd, int64_t began, int64_t mib)
{
	static char buf[1 << 20];
	int64_t have = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		have += n;
	if (n < 0 || have != mib << 20)
		die("%jd bytes of %jd MiB", (intmax_t)have, (intmax_t)mib);
	return (double)mib * 1e9 / (double)(now_ns() - began);
}

static double
rate_of_pipe(int64_t mib)
{
	char command[64];
	double rate;
	FILE *f;

	(void)snprintf(
	    command, sizeof(command), "exec " DD "%jd", (intmax_t)mib);
	if ((f = popen(command, "r")) == NULL)
		die("popen");
	rate = rate_of(fileno(f), now_ns(), mib);
	(void)pclose(f);
	return rate;
}

static double
rate_of_session(int fd, int64_t mib)
{
	char command[64];
	int64_t t = now_ns();
	int n;

	n = snprintf(command, sizeof(command), DD "%jd\n", (intmax_t)mib);
	if (write(fd, command, (size_t)n) != n)
		die("write");
	return rate_of(fd, t, mib);
}

/* The better of three: what else the machine did is not to be measured. */
static void
run_output(const char *mount)
{
	int64_t mib = samples < 100 ? 96 : 1024;
	double rate, pipe = 0, session = 0;
	char path[256];
	int i, fd;

	quiet(0);
	expect("POST", "/sandboxes", "{\"name\":\"bench\"}", 201);
	(void)snprintf(path, sizeof(path), "%s/bench/exec", mount);
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		die("%s", path);
	for (i = 0; i < 3; i++) {
		if ((rate = rate_of_pipe(mib)) > pipe)
			pipe = rate;
		if ((rate = rate_of_session(fd, mib)) > session)
			session = rate;
	}
	(void)close(fd);
	expect("DELETE", "/sandboxes/bench", "", 204);
	printf("output %.0f 0 3\noutput_pipe %.0f 0 3\n", session, pipe);
}

static void
run_mkdir(const char *dir, bool pool)
{
	struct series made;
	char path[256];
	int64_t t;
	int i;

	series_init(&made, pool ? "mkdir" : "mkdir_floor");
	(void)snprintf(path, sizeof(path), "%s/bench", dir);
	for (i = 0; i < samples; i++) {
		if (pool)
			quiet(0);
		else
			settle();
		t = now_ns();
		if (mkdir(path, 0700) < 0)
			die("mkdir %s", path);
		series_add(&made, t);
		settle();
		if (rmdir(path) < 0)
			die("rmdir %s", path);
	}
	series_print(&made);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *a = argc > 5 ? argv[5] : "";
	bool real = argc > 2 && strcmp(argv[2], "-") != 0;

	if (argc < 5 || (samples = atoi(argv[3])) <= 0) {
		fprintf(stderr, "usage: client WHAT SOCKET N DATA [ARG...]\n");
		return 2;
	}
	(void)snprintf(sandboxes, sizeof(sandboxes), "%s/sandboxes", argv[4]);
	if (real)
		http_connect(argv[2]);
	if (strcmp(what, "warm") == 0 || strcmp(what, "cold") == 0)
		run_creates(what[0] == 'w');
	else if (strcmp(what, "exec") == 0)
		run_exec(a);
	else if (strcmp(what, "cycle") == 0)
		run_cycle();
	else if (strcmp(what, "session") == 0 && argc > 6)
		run_session(a, argv[6]);
	else if (strcmp(what, "output") == 0)
		run_output(a);
	else if (strcmp(what, "mkdir") == 0)
		run_mkdir(a, real);
	else
		return 2;
	return 0;
}
