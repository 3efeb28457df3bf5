/*
 * The broker's workers and the front's client of them: real workers in
 * processes of their own, over a runtime that only writes down what it is
 * asked.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/brokerc.h"
#include "daemon/worker.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

#define ID_A "sbx-00000000000000000000000000000001"
#define ID_B "sbx-00000000000000000000000000000002"

/*** A runtime without instances ***/

static int
rt_create(const struct rt_spec *spec, struct rt_info *ret, struct err *e)
{
	if (strcmp(spec->image->name, "host") != 0)
		return err_setx(e, ENOENT, "image %s", spec->image->name);
	(void)str_copy(ret->id, spec->id, sizeof(ret->id));
	ret->pid = 42;
	ret->state = RT_UP;
	return 0;
}

static int
rt_claim(const char *id, const char *hostname, const struct rt_limits *limits,
    struct err *e)
{
	(void)id;
	(void)limits;
	return err_setx(
	    e, EXDEV, "claimed as %s", hostname != NULL ? hostname : "nobody");
}

/* Takes long, so that others overtake it. */
static int
rt_start(const char *id, struct rt_info *ret, struct err *e)
{
	(void)id;
	(void)e;
	usleep(100000);
	ret->state = RT_UP;
	return 0;
}

static int
rt_stop(const char *id, struct rt_info *ret, struct err *e)
{
	(void)id;
	(void)e;
	ret->state = RT_DOWN;
	return 0;
}

/* A worker that dies in the middle of a request. */
static int
rt_destroy(const char *id, struct err *e)
{
	(void)id;
	(void)e;
	_exit(3);
}

static int
rt_freeze(const char *id, bool on, struct err *e)
{
	(void)id;
	return err_setx(e, EBUSY, "freeze %d", on);
}

static int
rt_stats(const char *id, struct rt_stats *ret, struct err *e)
{
	(void)id;
	(void)e;
	ret->pids = (uint64_t)getpid();
	return 0;
}

static int
rt_trees(const char *id, struct rt_tree *ret, size_t *n, struct err *e)
{
	(void)id;
	(void)e;
	*n = 2;
	strcpy(ret[0].prefix, "/");
	ret[0].readonly = false;
	ret[0].fd = open("/", O_PATH | O_CLOEXEC);
	strcpy(ret[1].prefix, "/usr");
	ret[1].readonly = true;
	ret[1].fd = open("/usr", O_PATH | O_CLOEXEC);
	return 0;
}

static int
rt_stream(
    const char *id, const struct rt_stream *which, int *ret_fd, struct err *e)
{
	(void)id;
	if (which->fdnum != 5 || which->ino != 77)
		return err_setx(e, ENOENT, "no such pipe");
	*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int
rt_sockets(
    const char *id, enum rt_socket what, int *ret_fds, size_t n, struct err *e)
{
	size_t i;

	(void)id;
	(void)e;
	for (i = 0; i < n; i++)
		ret_fds[i] = open(
		    what == RT_SOCKET_TCP ? "/" : "/proc", O_PATH | O_CLOEXEC);
	return 0;
}

static int
rt_files(const char *id, struct err *e)
{
	(void)id;
	(void)e;
	return 0;
}

static int
rt_list(int (*each)(const struct rt_info *, void *), void *arg, struct err *e)
{
	struct rt_info info = { .state = RT_UP };
	int i;

	(void)e;
	for (i = 0; i < 1000; i++) {
		snprintf(info.id, sizeof(info.id), "sbx-%032x", i);
		if (each(&info, arg) != 0)
			break;
	}
	return 0;
}

static const struct runtime rt = {
	.name = "none",
	.create = rt_create,
	.claim = rt_claim,
	.start = rt_start,
	.stop = rt_stop,
	.destroy = rt_destroy,
	.freeze = rt_freeze,
	.stats = rt_stats,
	.trees = rt_trees,
	.stream = rt_stream,
	.sockets = rt_sockets,
	.files = rt_files,
	.list = rt_list,
};

/*** The fixture ***/

#define WORKERS 2

static uv_loop_t loop;
static struct brokerc *b;
static int socks[WORKERS], lifeline[2], fds_before;
static pid_t pids[WORKERS];
static char config_path[64];

static void
no_warning(const char *text)
{
	(void)text;
}

static void
be_worker(int sock)
{
	struct worker w = { .rt = &rt,
		.config_path = config_path,
		.sock = sock,
		.lifeline = lifeline[0] };
	struct err e;

	if (config_load(config_path, no_warning, &w.cfg, &e) < 0)
		_exit(9);
	worker_run(&w);
	_exit(0);
}

static void
write_config(const char *text)
{
	int fd =
	    open(config_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(fd_write_full(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static void
setup(void)
{
	int pair[2], i;

	(void)signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	fds_before = unit_count_fds();
	snprintf(config_path, sizeof(config_path), "/tmp/sbx-broker-%d.toml",
	    (int)getpid());
	write_config("");
	ck_assert_int_eq(pipe2(lifeline, O_CLOEXEC), 0);
	for (i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(
		    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		    0);
		socks[i] = pair[0];
		if ((pids[i] = fork()) == 0) {
			(void)close(lifeline[1]);
			for (; i >= 0; i--)
				(void)close(socks[i]);
			be_worker(pair[1]);
		}
		(void)close(pair[1]);
	}
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	b = NULL;
}

static void
teardown(void)
{
	int i, status;

	if (b == NULL)
		for (i = 0; i < WORKERS; i++)
			close_fd(&socks[i]);
	brokerc_free(b);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	for (i = 0; i < WORKERS; i++)
		if (pids[i] > 0)
			ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
	close_fd(&lifeline[0]);
	close_fd(&lifeline[1]);
	(void)unlink(config_path);
	ck_assert_int_eq(unit_count_fds(), fds_before);
}

/*** A worker, by hand ***/

static struct broker_req
request(enum broker_op op, const char *id, const char *name)
{
	struct broker_req q;

	memset(&q, 0, sizeof(q));
	q.op = op;
	(void)str_copy(q.id, id, sizeof(q.id));
	(void)str_copy(q.name, name, sizeof(q.name));
	return q;
}

static void
answer(struct broker_rep *rep, int *fds, size_t *nfds)
{
	*nfds = 0;
	ck_assert_int_eq(
	    fd_recv(socks[0], rep, sizeof(*rep), fds, nfds), sizeof(*rep));
}

static int
ask_worker(const struct broker_req *q, size_t len, struct broker_rep *rep)
{
	int fds[FD_PASS_MAX];
	size_t n;

	ck_assert_int_eq(fd_send(socks[0], q, len, NULL, 0), len);
	answer(rep, fds, &n);
	ck_assert_uint_eq(n, 0);
	return rep->code;
}

START_TEST(worker_does_what_is_asked)
{
	struct broker_req q = request(BROKER_CREATE, ID_A, "host");
	struct broker_rep rep;

	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), 0);
	ck_assert_str_eq(rep.info.id, ID_A);
	ck_assert_int_eq(rep.info.pid, 42);
	q = request(BROKER_CLAIM, ID_A, "web");
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EXDEV);
	ck_assert_str_eq(rep.text, "claimed as web");
	q = request(BROKER_CLAIM, ID_A, "");
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EXDEV);
	ck_assert_str_eq(rep.text, "claimed as nobody");
}
END_TEST

static const char *const bad_ids[] = { "", "sbx-", "sbx-1", "web",
	"../../../../etc/passwd", "sbx-0000000000000000000000000000000",
	"sbx-0000000000000000000000000000000G",
	"sbx-0000000000000000000000000000000A",
	"SBX-00000000000000000000000000000001",
	"sbx-/0000000000000000000000000000001",
	"sbx-../00000000000000000000000000000001",
	"sbx-00000000000000000000000000000001/",
	"sbx-00000000000000000000000000000001\n",
	" sbx-00000000000000000000000000000001" };

START_TEST(worker_refuses_what_is_no_id)
{
	struct broker_req q = request(BROKER_STOP, bad_ids[_i], "");
	struct broker_rep rep;

	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	ck_assert_ptr_nonnull(strstr(rep.text, "bad id"));
}
END_TEST

START_TEST(worker_takes_ids_of_a_node)
{
	struct broker_req q = request(
	    BROKER_STOP, "sbx-node7-00000000000000000000000000000001", "");
	struct broker_rep rep;

	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), 0);
}
END_TEST

START_TEST(worker_refuses_open_text)
{
	struct broker_req q = request(BROKER_STOP, ID_A, "");
	struct broker_rep rep;

	memset(q.id, 'a', sizeof(q.id));
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q = request(BROKER_STOP, ID_A, "");
	memset(q.name, 'a', sizeof(q.name));
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
}
END_TEST

START_TEST(worker_refuses_other_sizes_and_requests)
{
	char big[sizeof(struct broker_req) + 8] = { 0 };
	struct broker_req q = request(BROKER_OPS, ID_A, "");
	struct broker_rep rep;

	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), ENOSYS);
	q.op = 0;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), ENOSYS);
	q.op = UINT32_MAX;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), ENOSYS);
	q.op = BROKER_STOP;
	ck_assert_int_eq(ask_worker(&q, sizeof(q) - 1, &rep), EINVAL);
	ck_assert_int_eq(ask_worker(&q, 1, &rep), EINVAL);
	memcpy(big, &q, sizeof(q));
	ck_assert_int_eq(ask_worker((void *)big, sizeof(big), &rep), EINVAL);
}
END_TEST

START_TEST(worker_refuses_bad_arguments)
{
	struct broker_req q = request(BROKER_CREATE, ID_A, "nope");
	struct broker_rep rep;

	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q = request(BROKER_CREATE, ID_A, "host");
	q.limits.memory_bytes = -1;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q.limits.memory_bytes = INT64_MAX;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q = request(BROKER_CLAIM, ID_A, "a/b");
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q = request(BROKER_FREEZE, ID_A, "");
	q.flag = 2;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q = request(BROKER_STREAM, ID_A, "");
	q.ino = 77;
	q.fdnum = -1;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	q.fdnum = 5;
	q.ino = 0;
	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
}
END_TEST

START_TEST(worker_refuses_a_descriptor)
{
	struct broker_req q = request(BROKER_STOP, ID_A, "");
	struct broker_rep rep;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[FD_PASS_MAX];
	size_t n;

	ck_assert_int_gt(fd_send(socks[0], &q, sizeof(q), &fd, 1), 0);
	(void)close(fd);
	answer(&rep, fds, &n);
	ck_assert_int_eq(rep.code, EINVAL);
}
END_TEST

START_TEST(worker_reads_the_configuration_again)
{
	struct broker_req q = request(BROKER_CREATE, ID_A, "mine");
	struct broker_rep rep;
	int i;

	ck_assert_int_eq(ask_worker(&q, sizeof(q), &rep), EINVAL);
	write_config("[images.mine]\npath = \"/tmp\"\n");
	(void)kill(pids[0], SIGHUP);
	for (i = 0; i < 100 && rep.code == EINVAL; i++) {
		usleep(50000);
		(void)ask_worker(&q, sizeof(q), &rep);
	}
	ck_assert_int_eq(rep.code, ENOENT); /* the runtime was asked */
}
END_TEST

START_TEST(workers_end_with_the_broker)
{
	int status;

	close_fd(&lifeline[1]);
	ck_assert_int_eq(waitpid(pids[0], &status, 0), pids[0]);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(waitpid(pids[1], &status, 0), pids[1]);
	pids[0] = pids[1] = 0;
}
END_TEST

/*** The client ***/

static int answers, gone, nulls;
static int order[64];
static struct broker_rep last;
static int last_fds[FD_PASS_MAX];
static size_t last_nfds;

static void
on_gone(void *arg)
{
	(void)arg;
	gone++;
}

static void
on_done(void *arg, struct broker_answer *a)
{
	if (a == NULL) {
		nulls++;
		return;
	}
	last = a->rep;
	last_nfds = a->nfds;
	memcpy(last_fds, a->fds, sizeof(last_fds));
	a->nfds = 0; /* the descriptors are ours */
	if (answers < 64)
		order[answers] = (int)(intptr_t)arg;
	answers++;
}

static void
client(void)
{
	answers = gone = nulls = 0;
	b = brokerc_new(&loop, socks, WORKERS, on_gone, NULL);
}

static void
ask(enum broker_op op, const char *id, bool urgent, int number)
{
	struct broker_req q = request(op, id, "");

	q.fdnum = 5;
	q.ino = 77;
	brokerc_ask(b, &q, urgent, on_done, (void *)(intptr_t)number);
}

static void
run_until(const int *what, int n)
{
	while (*what < n && gone == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
}

START_TEST(client_gets_descriptors)
{
	client();
	ask(BROKER_TREES, ID_A, false, 1);
	run_until(&answers, 1);
	ck_assert_uint_eq(last.ntrees, 2);
	ck_assert_str_eq(last.trees[1].prefix, "/usr");
	ck_assert_uint_eq(last.trees[1].readonly, 1);
	ck_assert_uint_eq(last_nfds, 2);
	(void)close(last_fds[0]);
	(void)close(last_fds[1]);
	ask(BROKER_STREAM, ID_A, false, 1);
	run_until(&answers, 2);
	ck_assert_uint_eq(last_nfds, 1);
	(void)close(last_fds[0]);
	ask(BROKER_SOCKETS, ID_A, false, 1);
	run_until(&answers, 3);
	ck_assert_uint_eq(last_nfds, 1);
	(void)close(last_fds[0]);
}
END_TEST

START_TEST(requests_for_one_id_keep_their_order)
{
	client();
	ask(BROKER_START, ID_A, false, 1);
	ask(BROKER_STOP, ID_A, false, 2);
	ask(BROKER_STOP, ID_B, false, 3);
	ask(BROKER_STOP, ID_A, true, 4);
	run_until(&answers, 4);
	ck_assert_int_eq(order[0], 3);
	ck_assert_int_eq(order[1], 1);
	ck_assert_int_eq(order[2], 2);
	ck_assert_int_eq(order[3], 4);
}
END_TEST

START_TEST(urgent_ones_go_first)
{
	char id[RT_ID_MAX];
	int i;

	client();
	ask(BROKER_START, ID_A, false, 1);
	ask(BROKER_START, ID_B, false, 2);
	for (i = 5; i <= 12; i++) {
		(void)snprintf(id, sizeof(id), "sbx-%032d", i);
		ask(BROKER_STOP, id, false, i);
	}
	ask(BROKER_STOP, "sbx-00000000000000000000000000000004", true, 4);
	run_until(&answers, 11);
	/* two workers: a few may pass it, all of them cannot */
	for (i = 0; i < 11 && order[i] != 4; i++)
		;
	ck_assert_int_lt(i, 10);
}
END_TEST

/* Where the machine has other work, one of the two may answer a whole round. */
START_TEST(many_requests_use_all_workers)
{
	uint64_t first = 0;
	bool two = false;
	char id[RT_ID_MAX];
	int i, round;

	client();
	for (round = 1; round <= 20 && !two; round++) {
		for (i = 0; i < 200; i++) {
			snprintf(id, sizeof(id), "sbx-%032x", i);
			ask(BROKER_STATS, id, false, i);
		}
		while (answers < 200 * round && gone == 0) {
			(void)uv_run(&loop, UV_RUN_ONCE);
			if (first == 0)
				first = last.stats.pids;
			two |= last.stats.pids != first;
		}
	}
	ck_assert(two);
	ck_assert_int_eq(gone, 0);
}
END_TEST

START_TEST(list_comes_whole)
{
	client();
	ask(BROKER_LIST, "", false, 1);
	run_until(&answers, 1001);
	ck_assert_uint_eq(last.more, 0);
	ck_assert_int_eq(last.code, 0);
}
END_TEST

START_TEST(dead_worker_ends_the_client)
{
	client();
	ask(BROKER_DESTROY, ID_A, false, 1);
	ask(BROKER_START, ID_B, false, 2);
	ask(BROKER_STOP, ID_B, false, 3);
	while (gone == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(gone, 1);
	ck_assert_int_eq(nulls, 3);
	ask(BROKER_STOP, ID_A, false, 4);
	ck_assert_int_eq(nulls, 4);
}
END_TEST

START_TEST(answer_nobody_wants_leaves_no_descriptor)
{
	struct broker_req q = request(BROKER_TREES, ID_A, "");

	client();
	brokerc_ask(b, &q, false, NULL, NULL);
	ask(BROKER_STATS, ID_A, false, 1);
	run_until(&answers, 1);
	ck_assert_int_eq(answers, 1);
}
END_TEST

static void
add_worker(TCase *t)
{
	tcase_add_test(t, worker_does_what_is_asked);
	tcase_add_loop_test(t, worker_refuses_what_is_no_id, 0,
	    (int)(sizeof(bad_ids) / sizeof(bad_ids[0])));
	tcase_add_test(t, worker_takes_ids_of_a_node);
	tcase_add_test(t, worker_refuses_open_text);
	tcase_add_test(t, worker_refuses_other_sizes_and_requests);
	tcase_add_test(t, worker_refuses_bad_arguments);
	tcase_add_test(t, worker_refuses_a_descriptor);
	tcase_add_test(t, worker_reads_the_configuration_again);
	tcase_add_test(t, workers_end_with_the_broker);
}

static void
add_client(TCase *t)
{
	tcase_add_test(t, client_gets_descriptors);
	tcase_add_test(t, requests_for_one_id_keep_their_order);
	tcase_add_test(t, urgent_ones_go_first);
	tcase_add_test(t, many_requests_use_all_workers);
	tcase_add_test(t, list_comes_whole);
	tcase_add_test(t, dead_worker_ends_the_client);
	tcase_add_test(t, answer_nobody_wants_leaves_no_descriptor);
}

int
main(void)
{
	Suite *s = suite_create("daemon");
	TCase *t = tcase_create("broker");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	add_worker(t);
	add_client(t);
	suite_add_tcase(s, t);
	return unit_run(s);
}
