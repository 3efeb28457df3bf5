/*
 * tree_file.c - reading and writing the files of the tree: values and
 * commands as text, logs by offset.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/frame.h"
#include "daemon/brokerc.h"
#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/poolrun.h"
#include "daemon/ports.h"
#include "daemon/tree_impl.h"
#include "daemon/values.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define PREAD_MAX (1u << 20)

/*** Text ***/

static void
give_text(struct treq *r, const struct buf *text, int64_t mtime_ms)
{
	json_t *result;

	if (text->len > FRAME_MAX_FILES) {
		treq_fail_code(r, EFBIG, "the text is longer than a message");
		return;
	}
	result = json_pack("{s:I,s:I}", "size", (json_int_t)text->len, "mtime",
	    (json_int_t)mtime_ms);
	if (json_is_true(json_object_get(r->params, "stat")))
		treq_reply(r, result);
	else
		treq_reply_bin(r, buf_str(text), text->len, result);
}

/*** Of the root ***/

static void
read_top_ctl(struct treq *r, const char *file)
{
	cleanup_buf struct buf text = BUF_INIT;

	(void)file;
	value_top_ctl(&text, r->t->f, &r->caller);
	give_text(r, &text, r->t->changed_ms);
}

static void
read_top_status(struct treq *r, const char *file)
{
	cleanup_buf struct buf text = BUF_INIT;

	(void)file;
	value_top_status(&text, r->t->f, &r->caller);
	give_text(r, &text, r->t->changed_ms);
}

static void
pool_line(void *arg, const struct profile *p, const struct pool_profile *pp)
{
	value_pool_line(arg, p, pp);
}

/* FNV-1a: has the text changed? */
static uint64_t
hash(const struct buf *b)
{
	uint64_t h = 14695981039346656037u;
	size_t i;

	for (i = 0; i < b->len; i++)
		h = (h ^ (unsigned char)b->data[i]) * 1099511628211u;
	return h;
}

static void
read_pool(struct treq *r, const char *file)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct tree_server *t = r->t;

	(void)file;
	if (!r->conn->root && !r->caller.all) {
		treq_fail_code(r, EACCES, "only root may");
		return;
	}
	poolrun_each(t->f, pool_line, &text);
	if (hash(&text) != t->pool_hash)
		t->pool_ms = clock_real_ms();
	t->pool_hash = hash(&text);
	give_text(r, &text, t->pool_ms);
}

static void
read_profile(struct treq *r, const char *file)
{
	cleanup_buf struct buf text = BUF_INIT;
	const struct profile *p =
	    config_profile(r->t->f->cfg, file + strlen("profiles/"));

	if (p == NULL) {
		treq_fail_code(r, ENOENT, "no such profile");
		return;
	}
	value_profile(&text, p);
	give_text(r, &text, r->t->profiles_ms);
}

/*** Of a sandbox ***/

static void
read_status(struct treq *r, struct sandbox *sb)
{
	cleanup_buf struct buf text = BUF_INIT;

	value_status(&text, sb, clock_real_ms());
	give_text(r, &text, sb->changed_ms);
}

static void
read_ctl(struct treq *r, struct sandbox *sb)
{
	cleanup_buf struct buf text = BUF_INIT;

	value_ctl(&text, sb);
	give_text(r, &text, sb->ctl_ms);
}

static void
read_env(struct treq *r, struct sandbox *sb)
{
	cleanup_buf struct buf text = BUF_INIT;

	value_env(&text, sb);
	give_text(r, &text, sb->env_ms);
}

static void
got_stats(void *arg, struct broker_answer *a)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct treq *r = arg;
	struct err e;

	if (r->answered) {
		; /* nobody to tell */
	} else if (broker_failed(a, &e) < 0) {
		err_wrap(&e, "stats");
		treq_fail(r, &e);
	} else {
		value_stats(&text, &a->rep.stats);
		give_text(r, &text, clock_real_ms());
	}
	treq_unref(r);
}

/* While it is being made or killed the broker would answer after that. */
static void
read_stats(struct treq *r, struct sandbox *sb)
{
	static const struct rt_stats none;
	cleanup_buf struct buf text = BUF_INIT;
	struct broker_req q;

	if (sb->state == SB_CREATING || sb->state == SB_STARTING ||
	    sb->state == SB_STOPPING) {
		value_stats(&text, &none);
		give_text(r, &text, sb->changed_ms);
		return;
	}
	sb_req(sb, BROKER_STATS, &q);
	brokerc_ask(r->t->f->broker, &q, true, got_stats, treq_ref(r));
}

/* A look at what listens, for a read. */
struct ports_read {
	struct ports_look look;
	struct treq *r;
};

static void
give_ports(struct treq *r, const struct listener *l, size_t n)
{
	struct sandbox *sb = sandbox_by_id(r->t->f, r->box);
	cleanup_buf struct buf text = BUF_INIT;

	if (sb == NULL) {
		treq_fail_code(r, ESTALE, "the sandbox was destroyed");
		return;
	}
	value_ports(&text, sb, l, n);
	if (hash(&text) != sb->ports_hash)
		sb->ports_ms = clock_real_ms();
	sb->ports_hash = hash(&text);
	give_text(r, &text, sb->ports_ms);
}

/* What cannot be asked listens on nothing. */
static void
looked_ports(struct ports_look *k, const struct listener *l, size_t n,
    const struct err *e)
{
	struct ports_read *p = k->arg;
	struct treq *r = p->r;

	(void)e;
	free(p);
	if (!r->answered)
		give_ports(r, l, n);
	treq_unref(r);
}

static void
read_ports(struct treq *r, struct sandbox *sb)
{
	struct ports_read *p = xcalloc(1, sizeof(*p));

	p->r = treq_ref(r);
	p->look.done = looked_ports;
	p->look.arg = p;
	ports_look(sb, &p->look);
}

/*** Of a job ***/

static void
read_job_cmd(struct treq *r, struct job *job)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (job_cmd(job, &text))
		give_text(r, &text, job->started_ms);
	else
		treq_fail_code(r, EIO, "the script cannot be read");
}

static void
read_job_ctl(struct treq *r, struct job *job)
{
	cleanup_buf struct buf text = BUF_INIT;

	value_job_ctl(&text, job);
	give_text(r, &text, job->started_ms);
}

static void
read_job_status(struct treq *r, struct job *job)
{
	cleanup_buf struct buf text = BUF_INIT;

	value_job_status(&text, job);
	give_text(r, &text,
	    job->state == JOB_ENDED ? job->ended_ms : job->started_ms);
}

/*** Which ***/

static const struct {
	const char *name; /* or its beginning, where it ends with '/' */
	void (*top)(struct treq *r, const char *file);
	void (*box)(struct treq *r, struct sandbox *sb);
	void (*job)(struct treq *r, struct job *job);
} texts[] = {
	{ "ctl", read_top_ctl, read_ctl, read_job_ctl },
	{ "status", read_top_status, read_status, read_job_status },
	{ "pool", read_pool, NULL, NULL },
	{ "profiles/", read_profile, NULL, NULL },
	{ "stats", NULL, read_stats, NULL },
	{ "env", NULL, read_env, NULL },
	{ "ports", NULL, read_ports, NULL },
	{ "cmd", NULL, NULL, read_job_cmd },
};

#define NTEXTS (sizeof(texts) / sizeof(texts[0]))

static size_t
find_text(const char *file)
{
	size_t i, n;

	for (i = 0; i < NTEXTS; i++) {
		n = strlen(texts[i].name);
		if (strcmp(texts[i].name, file) == 0 ||
		    (texts[i].name[n - 1] == '/' &&
			strncmp(texts[i].name, file, n) == 0))
			break;
	}
	return i;
}

/* {"file"}; NULL: answered. */
static const char *
take_file(struct treq *r)
{
	const char *file = NULL;
	struct json_field fields[] = {
		{ "file", JSON_K_STRING, true, &file },
	};

	return TREQ_TAKE(r, fields) < 0 ? NULL : file;
}

static bool
has(const struct treq *r, const char *key)
{
	return json_object_get(r->params, key) != NULL;
}

static void
no_file(struct treq *r)
{
	treq_fail_code(r, ENOENT, "no such file");
}

static void
read_job_file(struct treq *r, size_t i)
{
	struct sandbox *sb;
	struct job *job = treq_job_file(r, texts[i].name, R_OK, &sb);

	if (job == NULL)
		return;
	if (texts[i].job == NULL)
		no_file(r);
	else
		texts[i].job(r, job);
}

static void
read_box_file(struct treq *r, size_t i)
{
	struct sandbox *sb = treq_box_file(r, texts[i].name, R_OK);

	if (sb == NULL)
		return;
	if (texts[i].box == NULL)
		no_file(r);
	else
		texts[i].box(r, sb);
}

void
tree_read(struct treq *r)
{
	const char *file = take_file(r);
	size_t i;

	if (file == NULL)
		return;
	if ((i = find_text(file)) == NTEXTS)
		no_file(r);
	else if (has(r, "job"))
		read_job_file(r, i);
	else if (has(r, "id"))
		read_box_file(r, i);
	else if (texts[i].top != NULL)
		texts[i].top(r, file);
	else
		no_file(r);
}

/*** Writing ***/

static void
wrote(void *arg, size_t done, int error)
{
	struct treq *r = arg;

	r->verbs = NULL;
	treq_reply(r,
	    json_pack("{s:I,s:i}", "done", (json_int_t)done, "errno", error));
}

static void
write_lines(
    struct treq *r, const char *file, struct sandbox *sb, const struct job *job)
{
	cleanup_buf struct buf shown = BUF_INIT;
	struct verbs_req q = { .f = r->t->f,
		.errors = r->t->errors,
		.caller = &r->caller,
		.file = file,
		.sb = sb,
		.job = job != NULL ? job->number : 0,
		.text = buf_str(&r->bin),
		.len = r->bin.len };
	struct verbs *v;

	treq_shown(r, &shown);
	q.shown = buf_str(&shown);
	v = verbs_write(&q, wrote, r);
	if (!r->answered)
		r->verbs = v;
}

void
tree_write(struct treq *r)
{
	const char *file = take_file(r);
	struct sandbox *sb = NULL;
	struct job *job = NULL;

	if (file == NULL)
		return;
	if (has(r, "job")) {
		if ((job = treq_job_file(r, file, W_OK, &sb)) == NULL)
			return;
	} else if (has(r, "id")) {
		if ((sb = treq_box_file(r, file, W_OK)) == NULL)
			return;
	} else if (strcmp(file, "pool") == 0 && !r->conn->root &&
	    !r->caller.all) {
		treq_fail_code(r, EACCES, "only root may");
		return;
	}
	write_lines(r, file, sb, job);
}

void
tree_truncate(struct treq *r)
{
	struct sandbox *sb = treq_box_file(r, "env", W_OK);
	struct err e;

	if (sb == NULL)
		return;
	treq_end(r, sandbox_replace_env(sb, NULL, &e), &e);
}

/*** Logs ***/

struct log_read {
	struct treq *r;
	struct sandbox *sb; /* or NULL */
	struct job *job;    /* or NULL */
	enum job_stream stream;
	uint64_t off;
	char *p;
	size_t n;
	uint64_t size; /* of the whole */
	int64_t mtime_ms;
};

static ssize_t
pread_events(struct log_read *l)
{
	struct front *f = l->r->t->f;

	l->size = events_size(f, &l->r->caller);
	l->mtime_ms = events_mtime_ms(f);
	return events_read(f, &l->r->caller, l->off, l->p, l->n);
}

static ssize_t
pread_errors(struct log_read *l)
{
	struct errlog *log = l->r->t->errors;

	l->size = errlog_size(log, &l->r->caller);
	l->mtime_ms = errlog_mtime_ms(log);
	return errlog_read(log, &l->r->caller, l->off, l->p, l->n);
}

static ssize_t
pread_log(struct log_read *l)
{
	l->size = sandbox_log_size(l->sb);
	l->mtime_ms = l->sb->changed_ms;
	return sandbox_log_read(l->sb, l->off, l->p, l->n);
}

static ssize_t
pread_job(struct log_read *l)
{
	l->size = l->job->size[l->stream];
	l->mtime_ms =
	    l->job->state == JOB_ENDED ? l->job->ended_ms : clock_real_ms();
	return job_read(l->job, l->stream, l->off, l->p, l->n);
}

enum log_of {
	OF_TOP,
	OF_BOX,
	OF_JOB
};

static const struct {
	const char *name;
	enum log_of of;
	enum job_stream stream;
	ssize_t (*read)(struct log_read *l);
} logs[] = {
	{ "events", OF_TOP, JOB_BOTH, pread_events },
	{ "errors", OF_TOP, JOB_BOTH, pread_errors },
	{ "log", OF_BOX, JOB_BOTH, pread_log },
	{ "stdout", OF_JOB, JOB_STDOUT, pread_job },
	{ "stderr", OF_JOB, JOB_STDERR, pread_job },
	{ "output", OF_JOB, JOB_BOTH, pread_job },
};

#define NLOGS (sizeof(logs) / sizeof(logs[0]))

static void
give_log(struct log_read *l, ssize_t (*fn)(struct log_read *l))
{
	ssize_t got;
	struct err e;

	if ((got = fn(l)) < 0) {
		err_set(&e, (int)-got, "reading");
		treq_fail(l->r, &e);
		return;
	}
	treq_reply_bin(l->r, l->p, (size_t)got,
	    json_pack("{s:I,s:I}", "size", (json_int_t)l->size, "mtime",
		(json_int_t)l->mtime_ms));
}

void
tree_pread(struct treq *r)
{
	cleanup_free char *room = NULL;
	struct log_read l = { .r = r };
	const char *file = NULL;
	int64_t off = 0, len = 0;
	struct json_field fields[] = {
		{ "file", JSON_K_STRING, true, &file },
		{ "off", JSON_K_INT, true, &off },
		{ "len", JSON_K_INT, true, &len },
	};
	size_t i;

	if (TREQ_TAKE(r, fields) < 0)
		return;
	for (i = 0; i < NLOGS && strcmp(logs[i].name, file) != 0; i++)
		continue;
	if (i == NLOGS || off < 0 || len < 0) {
		no_file(r);
		return;
	}
	if (logs[i].of == OF_BOX &&
	    (l.sb = treq_box_file(r, file, R_OK)) == NULL)
		return;
	if (logs[i].of == OF_JOB &&
	    (l.job = treq_job_file(r, file, R_OK, &l.sb)) == NULL)
		return;
	l.stream = logs[i].stream;
	l.off = (uint64_t)off;
	l.n = len > PREAD_MAX ? PREAD_MAX : (size_t)len;
	l.p = room = xmalloc(l.n + 1);
	give_log(&l, logs[i].read);
}
