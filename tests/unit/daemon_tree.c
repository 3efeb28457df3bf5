/*
 * The server of files.sock, asked over its socket: order, errors, what is
 * watched, who may, and clients that misbehave.
 */
#include "daemon/tree.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "agent/frame.h"
#include "lib/fd.h"
#include "tests/unit/front.h"

/* A client of ours; the tests run as whoever they run as, mostly root. */
struct client {
	int fd;
	struct buf in;
	struct buf bin; /* the last binary message */
	json_t *notes;	/* notifications not looked at yet */
	int next_id;
	bool closed;
};

static struct client cl, other;

static void
start(void)
{
	cleanup_free char *path = NULL;
	struct err e;

	fix_start();
	(void)signal(SIGPIPE, SIG_IGN);
	path = xasprintf("%s/files.sock", fix.dir);
	ck_assert_int_eq(
	    tree_new(&fix.f,
		fd_unix_listen(path, 0600, SOCK_STREAM | SOCK_NONBLOCK),
		&fix.f.tree, &e),
	    0);
}

static void
client_open(struct client *c)
{
	cleanup_free char *path = xasprintf("%s/files.sock", fix.dir);

	memset(c, 0, sizeof(*c));
	c->fd = fd_unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
	ck_assert_int_ge(c->fd, 0);
	c->notes = json_array();
	c->next_id = 1;
}

static void
client_close(struct client *c)
{
	if (c->notes == NULL)
		return;
	close_fd(&c->fd);
	buf_done(&c->in);
	buf_done(&c->bin);
	json_decref(c->notes);
	c->notes = NULL;
}

static void
end(void)
{
	client_close(&cl);
	client_close(&other);
	tree_free(fix.f.tree);
	fix.f.tree = NULL;
	fix_end();
}

static void
put_frame(struct client *c, enum frame_type type, const void *p, size_t n)
{
	cleanup_buf struct buf b = BUF_INIT;

	ck_assert_int_eq(frame_add(&b, type, p, n), 0);
	ck_assert_int_eq(
	    fd_send(c->fd, b.data, b.len, NULL, 0), (ssize_t)b.len);
}

static void
put_json(struct client *c, json_t *msg)
{
	cleanup_free char *text = json_dumps(msg, JSON_COMPACT);

	put_frame(c, FRAME_JSON, text, strlen(text));
	json_decref(msg);
}

/* One message that has come, new; NULL: none, or the end. */
static json_t *
next_json(struct client *c)
{
	char room[4096];
	struct frame f;
	json_t *msg;
	ssize_t r;
	long n;

	for (;;) {
		n = frame_decode(
		    buf_str(&c->in), c->in.len, FRAME_MAX_FILES, &f);
		ck_assert_int_ge(n, 0);
		if (n > 0 && f.type == FRAME_BINARY) {
			buf_clear(&c->bin);
			buf_add(&c->bin, f.data, f.len);
			buf_consume(&c->in, (size_t)n);
			continue;
		}
		if (n > 0) {
			msg = json_loadb(f.data, f.len, 0, NULL);
			ck_assert_ptr_nonnull(msg);
			buf_consume(&c->in, (size_t)n);
			return msg;
		}
		r = fd_recv(c->fd, room, sizeof(room), NULL, NULL);
		if (r <= 0) {
			c->closed = r != -EAGAIN;
			return NULL;
		}
		buf_add(&c->in, room, (size_t)r);
	}
}

static void
spin(void)
{
	int i;

	for (i = 0; i < 5; i++)
		(void)uv_run(&fix.loop, UV_RUN_NOWAIT);
}

/* Takes what came until the answer of that id; notifications are kept. */
static json_t *
take_answer(struct client *c, int id)
{
	json_t *msg;
	int i;

	for (i = 0; i < 100; i++) {
		spin();
		while ((msg = next_json(c)) != NULL) {
			if (json_integer_value(json_object_get(msg, "id")) ==
				id &&
			    json_object_get(msg, "method") == NULL)
				return msg;
			json_array_append_new(c->notes, msg);
		}
		if (c->closed)
			return NULL;
	}
	return NULL;
}

static int
send_request(
    struct client *c, const char *method, json_t *params, const char *bin)
{
	int id = c->next_id++;

	if (bin != NULL) {
		put_frame(c, FRAME_BINARY, bin, strlen(bin));
		json_object_set_new(params, "binary", json_true());
	}
	put_json(c,
	    json_pack("{s:s,s:i,s:s,s:o}", "jsonrpc", "2.0", "id", id, "method",
		method, "params", params));
	return id;
}

/* The result, new; an error fails the test. */
static json_t *
ask(struct client *c, const char *method, json_t *params, const char *bin)
{
	json_t *msg = take_answer(c, send_request(c, method, params, bin));
	json_t *result;

	ck_assert_ptr_nonnull(msg);
	result = json_incref(json_object_get(msg, "result"));
	ck_assert_msg(result != NULL, "%s: %s", method,
	    json_string_value(
		json_object_get(json_object_get(msg, "error"), "message")));
	json_decref(msg);
	return result;
}

/* The code of the error. */
static int
refused(struct client *c, const char *method, json_t *params, const char *bin)
{
	json_t *msg = take_answer(c, send_request(c, method, params, bin));
	int code;

	ck_assert_ptr_nonnull(msg);
	code = (int)json_integer_value(
	    json_object_get(json_object_get(msg, "error"), "code"));
	json_decref(msg);
	return code;
}

static json_int_t
member(json_t *result, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(result, key));

	json_decref(result);
	return n;
}

/* The first kept notification of that method, taken out; NULL: none. */
static json_t *
note(struct client *c, const char *method)
{
	json_t *msg, *params;
	size_t i;

	spin();
	while ((msg = next_json(c)) != NULL)
		json_array_append_new(c->notes, msg);
	json_array_foreach (c->notes, i, msg) {
		if (strcmp(json_string_value(json_object_get(msg, "method")),
			method) != 0)
			continue;
		params = json_incref(json_object_get(msg, "params"));
		json_array_remove(c->notes, i);
		return params;
	}
	return NULL;
}

static void
hello(struct client *c)
{
	client_open(c);
	ck_assert_int_eq(
	    member(ask(c, "hello", json_pack("{s:i}", "version", 1), NULL),
		"version"),
	    1);
	spin();
}

static json_t *
as(uid_t uid, json_t *params)
{
	json_object_set_new(params, "uid", json_integer(uid));
	json_object_set_new(params, "gid", json_integer(uid));
	json_object_set_new(params, "pid", json_integer(99));
	return params;
}

START_TEST(hello_tells_all_there_is)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	json_t *p;

	hello(&cl);
	p = note(&cl, "profiles");
	ck_assert_str_eq(
	    json_string_value(json_array_get(json_object_get(p, "names"), 0)),
	    "default");
	json_decref(p);
	p = note(&cl, "sandbox");
	ck_assert_str_eq(json_string_value(json_object_get(p, "id")), sb->id);
	ck_assert_str_eq(
	    json_string_value(json_object_get(p, "state")), "stopped");
	ck_assert_int_eq(json_integer_value(json_object_get(p, "mode")), 0700);
	json_decref(p);
	p = note(&cl, "synced");
	ck_assert_ptr_nonnull(p);
	json_decref(p);
	ck_assert_int_eq(
	    refused(&cl, "hello", json_pack("{s:i}", "version", 2), NULL),
	    -EPROTO);
}
END_TEST

START_TEST(a_change_is_told_before_its_answer)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	json_t *p;

	hello(&cl);
	hello(&other);
	json_decref(ask(&cl, "rename",
	    json_pack("{s:s,s:s}", "id", sb->id, "name", "www"), NULL));
	/* the other has it in its socket now, without the loop */
	while ((p = next_json(&other)) != NULL)
		json_array_append_new(other.notes, p);
	ck_assert_uint_ge(json_array_size(other.notes), 4);
	p = json_array_get(cl.notes, json_array_size(cl.notes) - 1);
	ck_assert_str_eq(json_string_value(json_object_get(
			     json_object_get(p, "params"), "name")),
	    "www");
	ck_assert_int_eq(
	    refused(&cl, "rename",
		json_pack("{s:s,s:s}", "id", sb->id, "name", "a/b"), NULL),
	    -EINVAL);
}
END_TEST

START_TEST(texts_are_read_with_size_and_time)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	json_t *r;

	hello(&cl);
	r = ask(&cl, "read",
	    json_pack("{s:s,s:s}", "file", "ctl", "id", sb->id), NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(r, "size")),
	    (json_int_t)cl.bin.len);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(r, "mtime")), sb->ctl_ms);
	json_decref(r);
	ck_assert_int_eq(strncmp(cl.bin.data, "memory 536870912\n", 17), 0);
	r = ask(&cl, "read",
	    json_pack("{s:s,s:b}", "file", "profiles/default", "stat", 1),
	    NULL);
	ck_assert_ptr_null(json_object_get(r, "binary"));
	json_decref(r);
	json_decref(ask(&cl, "read", json_pack("{s:s}", "file", "pool"), NULL));
	ck_assert_int_eq(
	    refused(&cl, "read", json_pack("{s:s}", "file", "x"), NULL),
	    -ENOENT);
	ck_assert_int_eq(refused(&cl, "read",
			     json_pack("{s:s}", "file", "profiles/x"), NULL),
	    -ENOENT);
	ck_assert_int_eq(
	    refused(&cl, "read",
		json_pack("{s:s,s:s}", "file", "ctl", "id", "x"), NULL),
	    -ESTALE);
}
END_TEST

START_TEST(a_failed_line_is_counted_and_written_down)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	json_t *r;

	hello(&cl);
	r = ask(&cl, "write",
	    as(1000, json_pack("{s:s,s:s}", "file", "ctl", "id", sb->id)),
	    "pids 7\nfrob\n");
	ck_assert_int_eq(json_integer_value(json_object_get(r, "done")), 7);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(r, "errno")), EINVAL);
	json_decref(r);
	ck_assert_int_eq(sb->limits.pids, 7);
	json_decref(ask(&cl, "pread",
	    as(1000,
		json_pack(
		    "{s:s,s:i,s:i}", "file", "errors", "off", 0, "len", 4096)),
	    NULL));
	ck_assert_ptr_nonnull(
	    strstr(buf_str(&cl.bin), " pid=99 web/ctl: unknown word frob: "));
	/* another user does not see it */
	ck_assert_int_eq(member(ask(&cl, "pread",
				    as(1001,
					json_pack("{s:s,s:i,s:i}", "file",
					    "errors", "off", 0, "len", 4096)),
				    NULL),
			     "size"),
	    0);
}
END_TEST

START_TEST(env_is_cleared_and_written)
{
	struct sandbox *sb = fix_sandbox("web", 0);

	hello(&cl);
	ck_assert_int_eq(
	    member(ask(&cl, "write",
		       json_pack("{s:s,s:s}", "file", "env", "id", sb->id),
		       "A=1\nB=2\n"),
		"errno"),
	    0);
	ck_assert_uint_eq(json_object_size(sb->env), 2);
	json_decref(ask(&cl, "truncate",
	    json_pack("{s:s,s:s}", "file", "env", "id", sb->id), NULL));
	ck_assert_uint_eq(json_object_size(sb->env), 0);
}
END_TEST

START_TEST(modes_and_owners_are_remembered)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	json_t *p;

	hello(&cl);
	json_decref(ask(&cl, "setattr",
	    as(1000,
		json_pack("{s:s,s:s,s:i}", "id", sb->id, "file", "exec", "mode",
		    0660)),
	    NULL));
	json_decref(ask(&cl, "setattr",
	    as(1000, json_pack("{s:s,s:i}", "id", sb->id, "mode", 0711)),
	    NULL));
	ck_assert_int_eq(sb->mode, 0711);
	p = json_array_get(json_object_get(sb->modes, "exec"), 0);
	ck_assert_int_eq(json_integer_value(p), 0660);
	ck_assert_int_eq(
	    refused(&cl, "setattr",
		as(1000, json_pack("{s:s,s:i}", "id", sb->id, "owner", 0)),
		NULL),
	    -EPERM);
	json_decref(ask(&cl, "setattr",
	    json_pack("{s:s,s:i}", "id", sb->id, "owner", 1001), NULL));
	ck_assert_uint_eq(sb->uid, 1001);
	ck_assert_str_eq(sb->owner, "uid:1001");
	ck_assert_int_eq(refused(&cl, "destroy",
			     as(1000, json_pack("{s:s}", "id", sb->id)), NULL),
	    -EPERM);
}
END_TEST

START_TEST(events_are_watched)
{
	struct sandbox *mine = fix_sandbox("mine", 1000);
	struct sandbox *theirs = fix_sandbox("theirs", 1001);
	json_t *p;
	json_int_t h;

	hello(&cl);
	h = member(ask(&cl, "watch",
		       as(1000, json_pack("{s:s}", "file", "events")), NULL),
	    "h");
	event_add(&fix.f, theirs, "stopped", "");
	ck_assert_ptr_null(note(&cl, "grew"));
	event_add(&fix.f, mine, "stopped", "");
	event_add(&fix.f, mine, "started", "");
	p = note(&cl, "grew");
	ck_assert_int_eq(json_integer_value(json_object_get(p, "h")), h);
	ck_assert_int_eq(json_integer_value(json_object_get(p, "size")),
	    (json_int_t)events_size(&fix.f,
		&(struct caller){ .uid = 1000, .identity = "uid:1000" }));
	json_decref(p);
	ck_assert_ptr_null(note(&cl, "grew"));
	put_json(&cl,
	    json_pack("{s:s,s:s,s:{s:I}}", "jsonrpc", "2.0", "method",
		"unwatch", "params", "h", h));
	spin();
	event_add(&fix.f, mine, "stopped", "");
	ck_assert_ptr_null(note(&cl, "grew"));
}
END_TEST

START_TEST(a_wait_is_cancelled)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	json_t *msg;
	int id;

	hello(&cl);
	sb->state = SB_STARTING;
	id = send_request(&cl, "trees", json_pack("{s:s}", "id", sb->id), NULL);
	spin();
	ck_assert(!TAILQ_EMPTY(&sb->waits));
	/* others are served meanwhile */
	json_decref(ask(&cl, "jobs", json_pack("{s:s}", "id", sb->id), NULL));
	put_json(&cl,
	    json_pack("{s:s,s:s,s:{s:i}}", "jsonrpc", "2.0", "method", "cancel",
		"params", "req", id));
	msg = take_answer(&cl, id);
	ck_assert_int_eq(json_integer_value(json_object_get(
			     json_object_get(msg, "error"), "code")),
	    -EINTR);
	json_decref(msg);
	ck_assert(TAILQ_EMPTY(&sb->waits));
	sb->state = SB_STOPPED;
}
END_TEST

START_TEST(a_client_that_goes_leaves_nothing_waiting)
{
	struct sandbox *sb = fix_sandbox("web", 0);

	hello(&cl);
	sb->state = SB_STARTING;
	send_request(&cl, "trees", json_pack("{s:s}", "id", sb->id), NULL);
	send_request(&cl, "write",
	    json_pack("{s:s,s:s}", "file", "ctl", "id", sb->id),
	    "start\ntimeout 9\n");
	send_request(&cl, "watch", json_pack("{s:s}", "file", "events"), NULL);
	spin();
	client_close(&cl);
	spin();
	/* the write goes on unheard */
	sb->state = SB_RUNNING;
	sb_wake(sb, NULL);
	ck_assert_int_eq(sb->timeout_s, 9);
	ck_assert(TAILQ_EMPTY(&sb->waits));
	sb->state = SB_STOPPED;
}
END_TEST

START_TEST(writes_without_a_client_end_with_the_server)
{
	struct sandbox *sb = fix_sandbox("web", 0);

	hello(&cl);
	sb->state = SB_STARTING;
	send_request(&cl, "write",
	    json_pack("{s:s,s:s}", "file", "ctl", "id", sb->id), "start\n");
	spin();
	client_close(&cl);
	spin();
	tree_free(fix.f.tree);
	fix.f.tree = NULL;
	ck_assert(TAILQ_EMPTY(&sb->waits));
	sb->state = SB_STOPPED;
}
END_TEST

START_TEST(jobs_need_a_sandbox_that_runs)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	json_t *r;

	hello(&cl);
	ck_assert_int_eq(
	    refused(&cl, "job.start",
		json_pack("{s:s,s:b}", "id", sb->id, "session", 0), "true"),
	    -EHOSTDOWN);
	r = ask(&cl, "job.follow",
	    json_pack("{s:s,s:i,s:b}", "id", sb->id, "job", 0, "data", 1),
	    NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(r, "job")), 0);
	json_decref(r);
	ck_assert_int_eq(
	    refused(&cl, "job.follow",
		json_pack("{s:s,s:i}", "id", sb->id, "job", 4), NULL),
	    -ENOENT);
	ck_assert_int_eq(
	    refused(&cl, "job.signal",
		json_pack("{s:s,s:i,s:i}", "id", sb->id, "job", 0, "signal", 9),
		NULL),
	    -ESRCH);
	r = ask(&cl, "jobs", json_pack("{s:s}", "id", sb->id), NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(r, "jobs")), 0);
	json_decref(r);
}
END_TEST

START_TEST(bad_requests_are_answered)
{
	json_t *msg;

	hello(&cl);
	ck_assert_int_eq(refused(&cl, "frob", json_object(), NULL), -32601);
	ck_assert_int_eq(refused(&cl, "read", json_array(), NULL), -32602);
	ck_assert_int_eq(refused(&cl, "read", json_object(), NULL), -32602);
	ck_assert_int_eq(
	    refused(&cl, "read", json_pack("{s:i}", "file", 3), NULL), -32602);
	ck_assert_int_eq(
	    refused(&cl, "read",
		json_pack("{s:s,s:s}", "file", "ctl", "uid", "x"), NULL),
	    -32602);
	ck_assert_int_eq(refused(&cl, "destroy", json_object(), NULL), -32602);
	put_frame(&cl, FRAME_JSON, "{", 1);
	msg = take_answer(&cl, 0);
	ck_assert_int_eq(json_integer_value(json_object_get(
			     json_object_get(msg, "error"), "code")),
	    -32700);
	json_decref(msg);
}
END_TEST

/* Its connection ends, and others go on. */
static void
check_cut(void)
{
	hello(&other);
	spin();
	while (!cl.closed && next_json(&cl) == NULL)
		spin();
	ck_assert(cl.closed);
	json_decref(
	    ask(&other, "read", json_pack("{s:s}", "file", "status"), NULL));
}

START_TEST(an_unknown_frame_ends_the_connection)
{
	client_open(&cl);
	ck_assert_int_eq(fd_send(cl.fd, "\7\0\0\0\1x", 6, NULL, 0), 6);
	check_cut();
}
END_TEST

START_TEST(a_long_frame_ends_the_connection)
{
	client_open(&cl);
	ck_assert_int_eq(fd_send(cl.fd, "\1\177\0\0\0", 5, NULL, 0), 5);
	check_cut();
}
END_TEST

START_TEST(a_descriptor_ends_the_connection)
{
	int fd = 0;

	client_open(&cl);
	ck_assert_int_eq(fd_send(cl.fd, "\3\0\0\0\1\0", 6, &fd, 1), 6);
	check_cut();
}
END_TEST

START_TEST(two_binary_messages_end_the_connection)
{
	client_open(&cl);
	put_frame(&cl, FRAME_BINARY, "a", 1);
	put_frame(&cl, FRAME_BINARY, "b", 1);
	check_cut();
}
END_TEST

START_TEST(one_that_does_not_read_is_cut_at_last)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	int i;

	hello(&cl);
	hello(&other);
	/* the other asks again and again, and reads; the first does not */
	for (i = 0; i < 100000; i++) {
		tree_sandbox(&fix.f, sb);
		if (i % 500 != 0)
			continue;
		json_decref(note(&other, "sandbox"));
		json_array_clear(other.notes);
	}
	spin();
	while (!cl.closed) {
		json_decref(next_json(&cl));
		spin();
	}
	json_decref(
	    ask(&other, "read", json_pack("{s:s}", "file", "status"), NULL));
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { hello_tells_all_there_is,
		a_change_is_told_before_its_answer,
		texts_are_read_with_size_and_time,
		a_failed_line_is_counted_and_written_down,
		env_is_cleared_and_written, modes_and_owners_are_remembered,
		events_are_watched, a_wait_is_cancelled,
		a_client_that_goes_leaves_nothing_waiting,
		writes_without_a_client_end_with_the_server,
		jobs_need_a_sandbox_that_runs, bad_requests_are_answered,
		an_unknown_frame_ends_the_connection,
		a_long_frame_ends_the_connection,
		a_descriptor_ends_the_connection,
		two_binary_messages_end_the_connection,
		one_that_does_not_read_is_cut_at_last };

	/* a peer that is not root may not speak for others */
	if (geteuid() != 0)
		return 77;
	fix_before = start;
	fix_after = end;
	return fix_main("tree", tests, sizeof(tests) / sizeof(tests[0]));
}
