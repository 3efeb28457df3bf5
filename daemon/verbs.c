#include "daemon/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/verbs_impl.h"
#include "lib/mem.h"

/* A row of the store each, some 30 us. */
#define LINES_A_TURN 64
/* What a start may take where its profile is not there any more. */
#define START_MS 10000

static const struct line_file line_files[] = {
	{ .name = "ctl", .root = true, .verbs = verbs_top },
	{ .name = "pool", .root = true, .line = verbs_pool_line },
	{ .name = "ctl", .verbs = verbs_box },
	{ .name = "ctl", .job = true, .verbs = verbs_job },
	{ .name = "env", .text = verbs_env_text },
	{ .name = "ports", .verbs = verbs_ports },
};

/*** Waiting ***/

static void
start_timer(struct verbs *v, int64_t ms, uv_timer_cb fn)
{
	v->timer = xcalloc(1, sizeof(*v->timer));
	(void)uv_timer_init(v->f->loop, v->timer);
	v->timer->data = v;
	(void)uv_timer_start(v->timer, fn, (uint64_t)ms, 0);
}

static void
stop_timer(struct verbs *v)
{
	if (v->timer == NULL)
		return;
	uv_close((uv_handle_t *)v->timer, (uv_close_cb)free);
	v->timer = NULL;
}

static void finish_line(struct verbs *v, int r);

static int
after_wait(struct verbs *v)
{
	int (*then)(struct verbs *, struct sandbox *) = v->then;
	struct sandbox *sb;

	v->then = NULL;
	v->made[0] = '\0';
	if (v->failed)
		return -1;
	if (then == NULL)
		return 0;
	if ((sb = sandbox_by_id(v->f, v->id)) == NULL)
		return err_setx(&v->e, ESTALE, "the sandbox was destroyed");
	return then(v, sb);
}

void
verbs_settle(struct verbs *v, const struct err *e)
{
	stop_timer(v);
	v->settled = true;
	v->failed = e != NULL;
	if (e != NULL)
		v->e = *e;
	if (!v->in_line)
		finish_line(v, after_wait(v));
}

static void
on_settled(struct wait *w, struct sandbox *sb, const struct err *e)
{
	(void)sb;
	verbs_settle(w->arg, e);
}

static void
undo_create(struct verbs *v)
{
	struct sandbox *sb = sandbox_by_id(v->f, v->made);
	struct err ignored;

	if (v->made[0] != '\0' && sb != NULL)
		(void)sandbox_destroy(sb, &ignored);
	v->made[0] = '\0';
}

static void
on_timeout(uv_timer_t *t)
{
	struct verbs *v = t->data;
	struct err e;

	wait_cancel(&v->wait);
	undo_create(v);
	err_setx(&e, ETIMEDOUT, "it did not finish within %lld s",
	    (long long)v->wait_ms / 1000);
	verbs_settle(v, &e);
}

int
verbs_wait(struct verbs *v, struct sandbox *sb, int64_t ms,
    int (*then)(struct verbs *v, struct sandbox *sb))
{
	bool was = v->in_line;

	v->then = then;
	v->settled = false;
	v->in_line = true;
	v->wait = (struct wait){ .done = on_settled, .arg = v };
	sandbox_wait(sb, &v->wait);
	v->in_line = was;
	if (v->settled)
		return after_wait(v);
	v->wait_ms = ms;
	start_timer(v, ms, on_timeout);
	return LINE_WAITS;
}

int64_t
verbs_start_ms(const struct sandbox *sb)
{
	const struct profile *p = config_profile(sb->f->cfg, sb->profile);

	return p != NULL ? p->start_timeout_ms : START_MS;
}

/*** Lines ***/

void
verbs_free(struct verbs *v)
{
	wait_cancel(&v->wait);
	verbs_expose_cancel(v);
	stop_timer(v);
	free(v->shown);
	free(v->text);
	free(v);
}

static void
finish(struct verbs *v, int error)
{
	v->done(v->arg, v->pos, error);
	verbs_free(v);
}

static void
unknown_verb(struct verbs *v, const struct verb *table, const char *word)
{
	cleanup_buf struct buf known = BUF_INIT;

	for (; table->name != NULL; table++)
		(void)buf_addf(&known, " %s", table->name);
	err_setx(&v->e, EINVAL, "unknown word %.64s: known are%s", word,
	    buf_str(&known));
}

/* The sandbox has come to rest: the line at pos once more. */
static int
run_again(struct verbs *v, struct sandbox *sb)
{
	return verbs_run(v, v->file->verbs, sb, v->text + v->pos, v->line_len);
}

int
verbs_run(struct verbs *v, const struct verb *table, struct sandbox *sb,
    const char *p, size_t n)
{
	cleanup_words struct words w = { 0 };
	const struct verb *row;

	if (words_split(&w, p, n, &v->e) < 0)
		return -1;
	if (w.n == 0)
		return 0;
	for (row = table; row->name != NULL; row++)
		if (strcmp(row->name, w.w[0]) == 0)
			break;
	if (row->name == NULL) {
		unknown_verb(v, table, w.w[0]);
		return -1;
	}
	if (w.n - 1 < row->min || w.n - 1 > row->max)
		return err_setx(&v->e, EINVAL, "usage: %s%s%s", row->name,
		    *row->usage != '\0' ? " " : "", row->usage);
	if (row->waits && sb != NULL && !sandbox_settled(sb))
		return verbs_wait(v, sb, verbs_start_ms(sb), run_again);
	return row->run(v, sb, &w);
}

bool
verbs_next_line(struct verbs *v)
{
	const char *p = v->text + v->pos, *nl;

	if (v->pos == v->len)
		return false;
	nl = memchr(p, '\n', v->len - v->pos);
	v->line_len = nl != NULL ? (size_t)(nl - p) : v->len - v->pos;
	return true;
}

void
verbs_pass_line(struct verbs *v)
{
	v->pos += v->line_len;
	if (v->pos < v->len)
		v->pos++;
}

static int
run_line(struct verbs *v)
{
	const char *p = v->text + v->pos;
	struct sandbox *sb = NULL;

	if (!v->file->root && (sb = sandbox_by_id(v->f, v->id)) == NULL)
		return err_setx(&v->e, ESTALE, "the sandbox was destroyed");
	if (v->file->text != NULL)
		return v->file->text(v, sb);
	if (v->line_len > VERBS_LINE_MAX)
		return err_setx(&v->e, E2BIG, "a line of %zu bytes: at most %u",
		    v->line_len, VERBS_LINE_MAX);
	if (v->file->verbs != NULL)
		return verbs_run(v, v->file->verbs, sb, p, v->line_len);
	return v->file->line(v, sb, p, v->line_len);
}

static void
fail_line(struct verbs *v)
{
	struct errlog_what what = { .caller = &v->caller,
		.file = v->shown,
		.cmd = v->text + v->pos,
		.cmd_len = v->line_len };

	errlog_add(v->errors, &what, &v->e);
	finish(v, v->e.code);
}

/* The line at pos: is there a next one to go on with? */
static bool
line_ended(struct verbs *v, int r)
{
	if (r == LINE_WAITS)
		return false;
	if (r < 0)
		fail_line(v);
	else
		verbs_pass_line(v);
	return r >= 0;
}

static void go_on(struct verbs *v);

static void
on_turn(uv_timer_t *t)
{
	struct verbs *v = t->data;

	stop_timer(v);
	go_on(v);
}

/* Others get their turn after every so many lines. */
static void
go_on(struct verbs *v)
{
	int r, lines;

	for (lines = 0; verbs_next_line(v); lines++) {
		if (lines == LINES_A_TURN) {
			start_timer(v, 0, on_turn);
			return;
		}
		v->in_line = true;
		v->begun = false;
		r = run_line(v);
		v->in_line = false;
		if (!line_ended(v, r))
			return;
	}
	finish(v, 0);
}

/* The line at pos, which was waited for, has come to an end. */
static void
finish_line(struct verbs *v, int r)
{
	if (line_ended(v, r))
		go_on(v);
}

/*** The whole ***/

/* What is told while verbs_write has not returned. */
struct first_run {
	verbs_done *fn;
	void *arg;
	bool answered;
};

static void
answer_first(void *arg, size_t done, int error)
{
	struct first_run *fr = arg;

	fr->answered = true;
	fr->fn(fr->arg, done, error);
}

static const struct line_file *
file_of(const char *name, bool root, bool job)
{
	size_t i;

	for (i = 0; i < sizeof(line_files) / sizeof(line_files[0]); i++)
		if (line_files[i].root == root && line_files[i].job == job &&
		    strcmp(line_files[i].name, name) == 0)
			return &line_files[i];
	return NULL;
}

struct verbs *
verbs_write(const struct verbs_req *q, verbs_done *fn, void *arg)
{
	struct first_run fr = { .fn = fn, .arg = arg };
	const struct line_file *file =
	    file_of(q->file, q->sb == NULL, q->job != 0);
	struct verbs *v;

	if (file == NULL) {
		fn(arg, 0, EBADF);
		return NULL;
	}
	v = xcalloc(1, sizeof(*v));
	v->f = q->f;
	v->errors = q->errors;
	v->caller = *q->caller;
	v->file = file;
	if (q->sb != NULL)
		str_copy(v->id, q->sb->id, sizeof(v->id));
	v->job = q->job;
	v->shown = xstrdup(q->shown);
	v->text = xmalloc(q->len + 1);
	memcpy(v->text, q->text, q->len);
	v->text[q->len] = '\0';
	v->len = q->len;
	v->done = answer_first;
	v->arg = &fr;
	go_on(v);
	if (fr.answered)
		return NULL;
	v->done = fn;
	v->arg = arg;
	return v;
}

void
verbs_cancel(struct verbs *v, bool soft)
{
	if (soft && v->begun)
		return;
	wait_cancel(&v->wait);
	undo_create(v);
	finish(v, EINTR);
}

int
verbs_root_only(struct verbs *v, const char *what)
{
	if (v->caller.all)
		return 0;
	return err_setx(&v->e, EPERM, "%s: only root may", what);
}
