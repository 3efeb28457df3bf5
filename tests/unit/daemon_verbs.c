/*
 * What is written to command files: words, values, lines in order, errors.
 */
#include "daemon/verbs.h"

#include <errno.h>
#include <signal.h>

#include "daemon/values.h"
#include "tests/unit/front.h"

static struct caller root = { .all = true, .pid = 1, .identity = "uid:0" };
static struct caller user = {
	.uid = 1000, .gid = 1000, .pid = 2, .identity = "uid:1000"
};

struct answer {
	int calls;
	size_t done;
	int error;
};

static void
answered(void *arg, size_t done, int error)
{
	struct answer *a = arg;

	a->calls++;
	a->done = done;
	a->error = error;
}

static struct errlog *errors;

/* The last line of the errors, or "". */
static const char *
last_error(void)
{
	static char p[65536];
	ssize_t n = errlog_read(errors, &root, 0, p, sizeof(p) - 1);
	char *line;

	p[n > 0 ? n - 1 : 0] = '\0';
	line = strrchr(p, '\n');
	return line != NULL ? line + 1 : p;
}

static struct answer
put(struct caller *c, const char *file, struct sandbox *sb, const char *text)
{
	cleanup_free char *path = xasprintf("%s/errors", fix.dir);
	struct verbs_req q = { .f = &fix.f,
		.caller = c,
		.file = file,
		.sb = sb,
		.shown = "web/ctl",
		.text = text,
		.len = strlen(text) };
	struct answer a = { 0 };
	struct err e;

	errlog_close(errors);
	(void)unlink(path);
	ck_assert_int_eq(errlog_open(path, NULL, NULL, &errors, &e), 0);
	q.errors = errors;
	ck_assert_ptr_null(verbs_write(&q, answered, &a));
	ck_assert_int_eq(a.calls, 1);
	return a;
}

static void
ok(struct caller *c, const char *file, struct sandbox *sb, const char *text)
{
	struct answer a = put(c, file, sb, text);

	ck_assert_msg(a.error == 0, "%s: %s", text, last_error());
	ck_assert_uint_eq(a.done, strlen(text));
	ck_assert_str_eq(last_error(), "");
}

struct bad {
	const char *line, *words;
	int error;
};

/* Fails with the error, whose sentence holds the words. */
static void
no(struct caller *c, const char *file, struct sandbox *sb,
    const struct bad *bad)
{
	struct answer a = put(c, file, sb, bad->line);

	ck_assert_msg(a.error == bad->error, "%s: %d", bad->line, a.error);
	ck_assert_msg(strstr(last_error(), bad->words) != NULL, "%s: %s",
	    bad->line, last_error());
}

START_TEST(settings_are_set)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	cleanup_buf struct buf b = BUF_INIT;

	ok(&user, "ctl", sb,
	    "memory 128M\n# comment\n\n  cpu 0.25\npids 99\ntimeout 30\n"
	    "ttl 1h\nidle 5\nnetwork none\nlabel 'a=b c'\nlabel x=\n"
	    "protect on\nkeep");
	value_ctl(&b, sb);
	ck_assert_str_eq(b.data,
	    "memory 134217728\ncpu 0.25\npids 99\ntimeout 30\nttl 3600\n"
	    "idle 5\nnetwork none\nlabel 'a=b c'\nlabel x=\nprotect on\n");
	ok(&user, "ctl", sb, b.data);
	ok(&user, "ctl", sb, "label x\nttl none\nprotect off\n");
	ck_assert_ptr_null(json_object_get(sb->labels, "x"));
	ck_assert_int_eq(sb->ttl_s, -1);
	ck_assert(!sb->protect);
}
END_TEST

START_TEST(the_first_bad_line_ends_it)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	struct answer a;

	a = put(&root, "ctl", sb, "pids 5\nfrob 'x y'\npids 6\n");
	ck_assert_uint_eq(a.done, 7);
	ck_assert_int_eq(a.error, EINVAL);
	ck_assert_int_eq(sb->limits.pids, 5);
	ck_assert_ptr_nonnull(strstr(last_error(),
	    " pid=1 web/ctl: unknown word frob: known are memory cpu"));
	ck_assert_ptr_nonnull(strstr(last_error(), ": \"frob 'x y'\""));
}
END_TEST

START_TEST(each_wrong_word_is_named)
{
	struct sandbox *sb = fix_sandbox("web", 1000);
	static const struct bad bad[] = {
		{ "memory", "usage: memory BYTES", EINVAL },
		{ "memory 12x", "memory 12x: expected a size", EINVAL },
		{ "memory -1", "memory -1: expected a size", EINVAL },
		{ "memory 0", "only root", EPERM },
		{ "cpu fast", "cpu fast: expected cores", EINVAL },
		{ "cpu 0", "only root", EPERM },
		{ "pids many", "pids many: expected a number", EINVAL },
		{ "pids 0", "only root", EPERM },
		{ "timeout 1.5.2", "timeout 1.5.2: expected seconds", EINVAL },
		{ "ttl never", "ttl never: expected seconds, or none", EINVAL },
		{ "ttl 999999999", "over the limit", EINVAL },
		{ "idle x", "idle x: expected seconds", EINVAL },
		{ "network bridge", "network bridge: only none", EINVAL },
		{ "label =x", "label: the key is empty", EINVAL },
		{ "label a b", "usage: label KEY[=VALUE]", EINVAL },
		{ "protect maybe", "protect maybe: expected on or off",
		    EINVAL },
		{ "kill WINCHX", "no signal WINCHX", EINVAL },
		{ "kill", "kill: nothing runs", ESRCH },
		{ "stop soon", "stop soon: expected seconds", EINVAL },
		{ "save t", "templates are not there yet", EINVAL },
		{ "memory 'open", "quote ' is not closed", EINVAL },
		{ "pause", "cannot pause: the sandbox is stopped", EBUSY },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		no(&user, "ctl", sb, &bad[i]);
}
END_TEST

START_TEST(create_names_what_it_does_not_know)
{
	static const struct bad bad[] = {
		{ "create a b", "b: expected key=value", EINVAL },
		{ "create a colour=red",
		    "unknown key colour: known are profile template", EINVAL },
		{ "create a profile=nope", "no profile nope", ENOENT },
		{ "create a image=nope", "no image nope", ENOENT },
		{ "create a image=/etc", "no image /etc", ENOENT },
		{ "create a memory=lots", "memory lots: expected", EINVAL },
		{ "create a memory=1t", "over the limit", EINVAL },
		{ "create a template=t", "not there yet", EINVAL },
		{ "create a label.=x", "expected label.KEY=VALUE", EINVAL },
		{ "create a env.X", "expected env.KEY=VALUE", EINVAL },
		{ "create a network=nat", "only none", EINVAL },
		{ "create a pids=0", "only root", EPERM },
		{ "create ../x", "only letters", EINVAL },
		{ "create events", "events is reserved", EINVAL },
		{ "create sbx-1", "begin ids", EINVAL },
		{ "create web", "the name web is taken", EEXIST },
		{ "destroy", "usage: destroy NAME...", EINVAL },
		{ "destroy nope", "no sandbox nope", ENOENT },
		{ "destroy theirs", "no sandbox theirs", ENOENT },
		{ "flush default", "only root", EPERM },
		{ "reload", "only root", EPERM },
		{ "frob", "known are create destroy flush reload", EINVAL },
	};
	size_t i;

	fix_sandbox("web", 1000);
	fix_sandbox("theirs", 1001);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		no(&user, "ctl", NULL, &bad[i]);
	no(&root, "ctl", NULL,
	    &(struct bad){ "flush nope", "no profile nope", ENOENT });
}
END_TEST

START_TEST(env_lines)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	cleanup_buf struct buf b = BUF_INIT;
	struct answer a;

	ok(&root, "env", sb, "A=1\n\nB= x='y' # z \nC=3\n# note\nC\nA=2");
	value_env(&b, sb);
	ck_assert_str_eq(b.data, "A=2\nB= x='y' # z \n");
	a = put(&root, "env", sb, "D=1\n1x=2\n");
	ck_assert_uint_eq(a.done, 4);
	ck_assert_ptr_nonnull(strstr(last_error(), "1x: not the name"));
	no(&root, "env", sb,
	    &(struct bad){ "A\xff=1", "not the name", EINVAL });
	no(&root, "env", sb, &(struct bad){ "A=\xff", "not UTF-8", EINVAL });
}
END_TEST

START_TEST(many_env_lines_are_one_change)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	cleanup_buf struct buf b = BUF_INIT;
	struct answer a;
	int i;

	for (i = 0; i < 30000; i++)
		ck_assert_int_eq(buf_addf(&b, "V%05d=1\n", i), 0);
	a = put(&root, "env", sb, b.data);
	ck_assert_int_eq(a.error, E2BIG);
	ck_assert_uint_eq(json_object_size(sb->env), SB_ENV_BYTES_MAX / 9);
	ck_assert_uint_eq(a.done, SB_ENV_BYTES_MAX / 9 * 9);
}
END_TEST

START_TEST(many_lines_let_others_have_their_turn)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	cleanup_buf struct buf b = BUF_INIT;
	struct answer a = { 0 };
	struct verbs_req q = { .f = &fix.f,
		.caller = &root,
		.file = "ctl",
		.sb = sb,
		.shown = "web/ctl" };
	int i;

	for (i = 1; i <= 200; i++)
		ck_assert_int_eq(buf_addf(&b, "idle %d\n", i), 0);
	q.text = b.data;
	q.len = b.len;
	ck_assert_ptr_nonnull(verbs_write(&q, answered, &a));
	ck_assert_int_eq(a.calls, 0);
	for (i = 0; i < 20 && a.calls == 0; i++)
		(void)uv_run(&fix.loop, UV_RUN_NOWAIT);
	ck_assert_int_eq(a.calls, 1);
	ck_assert_int_eq(a.error, 0);
	ck_assert_uint_eq(a.done, b.len);
	ck_assert_int_eq(sb->idle_s, 200);
	verbs_free(verbs_write(&q, answered, &a)); /* the server ends */
	ck_assert_int_eq(a.calls, 1);
}
END_TEST

START_TEST(ports_and_pool)
{
	struct sandbox *sb = fix_sandbox("web", 0);

	no(&root, "ports", sb,
	    &(struct bad){ "expose x", "expected a port", EINVAL });
	no(&root, "ports", sb,
	    &(struct bad){ "expose 80 at 81", "usage: expose", EINVAL });
	no(&root, "ports", sb,
	    &(struct bad){ "expose 80 as", "usage: expose", EINVAL });
	no(&root, "ports", sb,
	    &(struct bad){
		"expose 80 as web:80", "web:80: expected [ADDRESS", EINVAL });
	no(&root, "ports", sb,
	    &(struct bad){ "expose 80", "the sandbox is", EHOSTDOWN });
	no(&root, "ports", sb,
	    &(struct bad){ "close 80", "port 80 is not exposed", ENOENT });
	no(&root, "ports", sb,
	    &(struct bad){ "open 80", "known are expose close", EINVAL });
	ok(&root, "ports", sb, "# listen 80\n");
	no(&root, "pool", NULL,
	    &(struct bad){ "nope 1", "no profile nope", ENOENT });
	no(&root, "pool", NULL,
	    &(struct bad){ "default", "usage: PROFILE WANT", EINVAL });
	no(&root, "pool", NULL,
	    &(struct bad){ "default x", "x: expected how many", EINVAL });
	no(&root, "pool", NULL,
	    &(struct bad){ "default 1 size=2",
		"unknown key size: known are min max", EINVAL });
	no(&root, "pool", NULL,
	    &(struct bad){ "default 999999", "pool.max_warm", EINVAL });
	ok(&root, "pool", NULL, "default 0 min=0 ready=3 hits=1 misses=0\n");
}
END_TEST

START_TEST(a_line_has_a_maximum)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	cleanup_free char *text = xmalloc(VERBS_LINE_MAX + 100);

	memset(text, 'x', VERBS_LINE_MAX + 1);
	text[VERBS_LINE_MAX + 1] = '\0';
	no(&root, "ctl", sb, &(struct bad){ text, "at most 65536", E2BIG });
}
END_TEST

START_TEST(signals_by_name_and_number)
{
	struct err e;
	int sig = 0;

	ck_assert_int_eq(verbs_signal("KILL", &sig, &e), 0);
	ck_assert_int_eq(sig, SIGKILL);
	ck_assert_int_eq(verbs_signal("sigterm", &sig, &e), 0);
	ck_assert_int_eq(sig, SIGTERM);
	ck_assert_int_eq(verbs_signal("10", &sig, &e), 0);
	ck_assert_int_eq(sig, 10);
	ck_assert_int_eq(verbs_signal("0", &sig, &e), -1);
	ck_assert_int_eq(verbs_signal("", &sig, &e), -1);
}
END_TEST

START_TEST(a_wait_is_cancelled)
{
	struct sandbox *sb = fix_sandbox("web", 0);
	struct verbs_req q = { .f = &fix.f,
		.caller = &root,
		.file = "ctl",
		.sb = sb,
		.shown = "web/ctl",
		.text = "keep\nstart\n",
		.len = 11 };
	struct answer a = { 0 };
	struct verbs *v;

	sb->state = SB_STARTING;
	v = verbs_write(&q, answered, &a);
	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(a.calls, 0);
	verbs_cancel(v, false);
	ck_assert_int_eq(a.calls, 1);
	ck_assert_uint_eq(a.done, 5);
	ck_assert_int_eq(a.error, EINTR);
	v = verbs_write(&q, answered, &a);
	sb->state = SB_RUNNING;
	sb_wake(sb, NULL);
	ck_assert_int_eq(a.calls, 2);
	ck_assert_uint_eq(a.done, 11);
	ck_assert_int_eq(a.error, 0);
	sb->state = SB_STOPPED;
}
END_TEST

static void
end(void)
{
	errlog_close(errors);
	errors = NULL;
}

int
main(void)
{
	const TTest *const tests[] = { settings_are_set,
		the_first_bad_line_ends_it, each_wrong_word_is_named,
		create_names_what_it_does_not_know, env_lines,
		many_env_lines_are_one_change,
		many_lines_let_others_have_their_turn, ports_and_pool,
		a_line_has_a_maximum, signals_by_name_and_number,
		a_wait_is_cancelled };

	(void)atexit(end);
	return fix_main("verbs", tests, sizeof(tests) / sizeof(tests[0]));
}
