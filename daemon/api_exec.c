/*
 * api_exec.c - one command over HTTP: its whole result as JSON, or its output
 * as events while it runs. The job ends with its client; a client that reads
 * events slowly slows its job, as a pipe would.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api_impl.h"
#include "daemon/jobs.h"
#include "daemon/json.h"
#include "lib/buf.h"
#include "lib/mem.h"

#define EXEC_OUTPUT_MAX (10u << 20) /* of a stream, in a JSON answer */
#define EXEC_TIMEOUT_MAX 1e9	    /* seconds */
#define QUEUE_MAX (1u << 20)	    /* of events on a connection */

struct exec_body {
	const char *command, *cwd;
	const json_t *stdin_text, *env;
	double timeout;
};

#define AT(m) offsetof(struct exec_body, m)
const struct api_field api_exec_fields[] = {
	{ "command", API_STRING, AT(command), "a script for sh", true },
	{ "stdin", API_BYTES, AT(stdin_text), "its input", false },
	{ "env", API_MAP, AT(env), "added to its environment", false },
	{ "cwd", API_STRING, AT(cwd), "instead of /root", false },
	{ "timeout", API_NUMBER, AT(timeout),
	    "seconds until it is killed, 0 the sandbox's", false },
	{ .name = NULL },
};
#undef AT

struct exec_op {
	struct http_req *r;
	struct follower fo;
	struct job *job; /* borrowed; valid until it ended */
	bool events;	 /* not one JSON answer */
	bool ended;
	char carry[2][4]; /* the beginning of a character */
	size_t ncarry[2];
	struct buf event; /* the last one, for its memory */
};

static const char *const stream_names[] = {
	[JOB_STDOUT] = "stdout", [JOB_STDERR] = "stderr"
};

/*** The result ***/

static json_t *
result_json(const struct job *job, bool truncated)
{
	int code = job->signal != 0 || job->timed_out ? -1 : job->code;
	json_t *j = json_pack("{s:i,s:i}", "exit_code", code, "exitCode", code);
	const char *name = sigabbrev_np(job->signal);
	char text[32];

	if (job->signal != 0 && name != NULL)
		(void)snprintf(text, sizeof(text), "SIG%s", name);
	else
		(void)snprintf(text, sizeof(text), "SIG%d", job->signal);
	if (job->signal != 0)
		(void)json_object_set_new(j, "signal", json_string(text));
	if (job->timed_out)
		(void)json_object_set_new(j, "timed_out", json_true());
	if (truncated)
		(void)json_object_set_new(j, "truncated", json_true());
	return j;
}

/* What is kept of a stream. True: not all of it. */
static bool
add_output(struct job *job, enum job_stream s, json_t *to)
{
	uint64_t size = job->size[s], off = 0;
	cleanup_free char *data = NULL, *base64_name = NULL;
	json_t *text, *coded;

	size = size < EXEC_OUTPUT_MAX ? size : EXEC_OUTPUT_MAX;
	data = xmalloc((size_t)size + 1);
	while (off < size) {
		ssize_t n =
		    job_read(job, s, off, data + off, (size_t)(size - off));

		if (n <= 0)
			break;
		off += (uint64_t)n;
	}
	api_text(data, (size_t)off, &text, &coded);
	(void)json_object_set_new(to, stream_names[s], text);
	base64_name = xasprintf("%s_base64", stream_names[s]);
	if (coded != NULL)
		(void)json_object_set_new(to, base64_name, coded);
	return off < job->size[s];
}

static void
answer(struct exec_op *op)
{
	json_t *j = json_object();
	bool cut = op->job->truncated;

	cut = add_output(op->job, JOB_STDOUT, j) || cut;
	cut = add_output(op->job, JOB_STDERR, j) || cut;
	(void)json_object_update_new(j, result_json(op->job, cut));
	http_json(op->r, 200, j);
}

/*** Events ***/

static size_t
send_text(struct exec_op *op, enum job_stream s, const void *p, size_t n)
{
	struct buf *b = &op->event;

	if (n == 0)
		return 0;
	buf_clear(b);
	(void)buf_addf(b, "event: %s\ndata: {\"data\":", stream_names[s]);
	if (json_add_string(b, p, n) != 0) {
		buf_clear(b);
		(void)buf_addf(
		    b, "event: %s\ndata: {\"base64\":\"", stream_names[s]);
		(void)json_add_base64(b, p, n);
		(void)buf_adds(b, "\"");
	}
	(void)buf_adds(b, "}\n\n");
	return http_send(op->r, b->data, b->len);
}

static void
send_exit(struct exec_op *op)
{
	json_t *result = result_json(op->job, false);
	cleanup_free char *text = json_dumps(result, JSON_COMPACT);

	json_decref(result);
	buf_clear(&op->event);
	(void)buf_addf(&op->event, "event: exit\ndata: %s\n\n",
	    text != NULL ? text : "{}");
	(void)http_send(op->r, op->event.data, op->event.len);
}

/* How many of the last bytes may be the beginning of a character. */
static size_t
open_end(const unsigned char *p, size_t n)
{
	for (size_t back = 1; back <= 3 && back <= n; back++) {
		unsigned char c = p[n - back];
		size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;

		if (len > back)
			return back;
		if ((c & 0xc0) != 0x80)
			break;
	}
	return 0;
}

/* One block of output; a character cut in two waits for its rest. */
static size_t
send_output(struct exec_op *op, enum job_stream s, const char *p, size_t n)
{
	cleanup_free char *all = xmalloc(op->ncarry[s] + n + 1);
	size_t len = op->ncarry[s] + n, open;

	memcpy(all, op->carry[s], op->ncarry[s]);
	memcpy(all + op->ncarry[s], p, n);
	open = open_end((const unsigned char *)all, len);
	memcpy(op->carry[s], all + len - open, open);
	op->ncarry[s] = open;
	return send_text(op, s, all, len - open);
}

static void
drained(struct http_req *r)
{
	struct exec_op *op = http_user(r);

	if (op->fo.full)
		follower_resume(&op->fo);
}

static void
on_output(struct follower *fo, enum job_stream s, const void *p, size_t n)
{
	struct exec_op *op = fo->arg;

	if (s != JOB_BOTH && send_output(op, s, p, n) > QUEUE_MAX)
		fo->full = true;
}

/*** The job ***/

static void
on_ended(struct follower *fo)
{
	struct exec_op *op = fo->arg;

	op->ended = true;
	if (!op->events) {
		answer(op);
		return;
	}
	for (int s = JOB_STDOUT; s <= JOB_STDERR; s++)
		(void)send_text(
		    op, (enum job_stream)s, op->carry[s], op->ncarry[s]);
	send_exit(op);
	http_end(op->r);
}

/* The exchange is over; when the job is not, its client is gone. A front that
 * ends leaves the jobs to the next one, or stops the sandbox itself. */
static void
exec_free(void *arg)
{
	struct exec_op *op = arg;
	struct err e;

	if (!op->ended)
		job_unfollow(&op->fo);
	if (!op->ended && !api_front(op->r)->stopping)
		(void)job_signal(op->job, SIGKILL, &e);
	buf_done(&op->event);
	free(op);
}

static void
follow(struct http_req *r, struct job *job, bool events)
{
	struct exec_op *op = xcalloc(1, sizeof(*op));

	op->r = r;
	op->job = job;
	op->events = events;
	op->fo.output = events ? on_output : NULL;
	op->fo.ended = on_ended;
	op->fo.arg = op;
	http_set_user(r, op, exec_free);
	if (events) {
		http_add_header(r, "Cache-Control", "no-cache");
		http_begin(r, 200, "text/event-stream", -1);
		http_on_drain(r, drained);
	}
	job_follow(job, &op->fo);
}

static void
start(struct http_req *r, struct sandbox *sb, const struct exec_body *b)
{
	const char *accept = http_header(r, "accept");
	bool events =
	    accept != NULL && strstr(accept, "text/event-stream") != NULL;
	struct job_args a = {
		.script = b->command,
		.len = strlen(b->command),
		.env = b->env,
		.cwd = b->cwd,
		.session = true,
	};
	struct job *job;
	struct err e;

	if (b->timeout < 0 || b->timeout > EXEC_TIMEOUT_MAX) {
		http_error(r, 400,
		    API_BAD_BODY ": timeout: must be from 0 to 1e9 seconds");
		return;
	}
	a.timeout_ms = (int64_t)(b->timeout * 1000);
	if (b->timeout > 0 && a.timeout_ms == 0)
		a.timeout_ms = 1;
	if (b->stdin_text != NULL) {
		a.input = JOB_BYTES;
		a.stdin_data = json_string_value(b->stdin_text);
		a.stdin_len = json_string_length(b->stdin_text);
	}
	if (job_start(sb, &a, &job, &e) != 0)
		api_fail(r, &e, "exec");
	else
		follow(r, job, events);
}

void
api_exec(struct http_req *r)
{
	struct exec_body b = { .timeout = 0 };
	struct sandbox *sb = api_sandbox(r);
	json_t *j;

	if (sb == NULL)
		return;
	j = api_body(r, api_exec_fields, &b, false);
	if (j == NULL)
		return;
	start(r, sb, &b);
	json_decref(j);
}
