/*
 * tree_modes.c - who may use the files of a sandbox: their modes, which chmod
 * and chown change, by the names env, jobs/new, jobs/3, jobs/3/stdout.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/treefiles.h"
#include "daemon/tree_impl.h"
#include "lib/clock.h"

struct row {
	const char *name;
	mode_t mode;
};

#define ROW(name, mode) { #name, mode },

static const struct row box_files[] = { { "jobs/new", TREE_JOBS_NEW },
	{ "jobs/last", TREE_JOBS_LAST }, TREE_BOX_FILES(ROW) };
static const struct row job_files[] = { TREE_JOB_FILES(ROW) };

#define NROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct row *
find_row(const struct row *rows, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static const struct row *
find_file(const char *name, bool of_job)
{
	return of_job ? find_row(job_files, NROWS(job_files), name)
		      : find_row(box_files, NROWS(box_files), name);
}

/* file NULL: the directory of the job. */
static const char *
job_key(char room[TREE_KEY_MAX], int job, const char *file)
{
	(void)snprintf(room, TREE_KEY_MAX, "jobs/%d%s%s", job,
	    file != NULL ? "/" : "", file != NULL ? file : "");
	return room;
}

/*** May one ***/

static bool
mode_allows(
    const struct caller *c, mode_t mode, uid_t uid, gid_t gid, unsigned want)
{
	unsigned shift = c->uid == uid ? 6 : c->gid == gid ? 3 : 0;

	return ((mode >> shift) & want) == want;
}

/* By what chmod and chown said of key, or else by the mode. */
static bool
key_allows(const struct caller *c, const struct sandbox *sb, const char *key,
    mode_t mode, unsigned want)
{
	json_int_t set = -1, uid = -1, gid = -1;

	(void)json_unpack(
	    json_object_get(sb->modes, key), "[I,I,I]", &set, &uid, &gid);
	return mode_allows(c, set >= 0 ? (mode_t)set : mode,
	    uid >= 0 ? (uid_t)uid : sb->uid, gid >= 0 ? (gid_t)gid : sb->gid,
	    want);
}

static bool
may_use(const struct caller *c, const struct sandbox *sb, const char *file,
    unsigned want)
{
	const struct row *row = find_file(file, false);

	return caller_owns(c, sb) ||
	    (row != NULL && mode_allows(c, sb->mode, sb->uid, sb->gid, X_OK) &&
		key_allows(c, sb, file, row->mode, want));
}

static bool
may_use_job(const struct treq *r, const struct sandbox *sb, const char *file,
    unsigned want)
{
	const struct row *row = find_file(file, true);
	const struct caller *c = &r->caller;
	int job = (int)json_integer_value(json_object_get(r->params, "job"));
	char key[TREE_KEY_MAX];

	return caller_owns(c, sb) ||
	    (row != NULL && may_use(c, sb, "jobs", X_OK) &&
		key_allows(
		    c, sb, job_key(key, job, NULL), TREE_JOB_DIR, X_OK) &&
		key_allows(c, sb, job_key(key, job, file), row->mode, want));
}

static void
note_use(struct sandbox *sb, int want)
{
	if (want != R_OK)
		sb->used = true;
	if (want == W_OK)
		sb->active_ms = clock_real_ms();
}

struct sandbox *
treq_box_file(struct treq *r, const char *file, int want)
{
	struct sandbox *sb = treq_box(r);

	if (sb == NULL)
		return NULL;
	if (!r->conn->root && !may_use(&r->caller, sb, file, (unsigned)want)) {
		treq_fail_code(r, EACCES, "another user's");
		return NULL;
	}
	note_use(sb, want);
	return sb;
}

struct job *
treq_job_file(
    struct treq *r, const char *file, int want, struct sandbox **ret_sb)
{
	struct sandbox *sb = treq_box(r);
	struct job *job;

	if (sb == NULL)
		return NULL;
	if (!r->conn->root && !may_use_job(r, sb, file, (unsigned)want)) {
		treq_fail_code(r, EACCES, "another user's");
		return NULL;
	}
	if ((job = treq_job(r, sb)) == NULL)
		return NULL;
	note_use(sb, want);
	*ret_sb = sb;
	return job;
}

/*** chmod and chown ***/

int
tree_chmod(const struct treq *r, struct sandbox *sb, const char *file,
    const struct file_mode *m, struct err *e)
{
	const json_t *job = json_object_get(r->params, "job");
	json_int_t number = json_integer_value(job);
	char key[TREE_KEY_MAX];

	if (file != NULL && find_file(file, job != NULL) == NULL)
		return err_setx(e, ENOENT, "no such file");
	if (job == NULL)
		return sandbox_chmod(sb, file, m, e);
	if (number < 1 || number > INT32_MAX ||
	    job_find(sb, (int)number) == NULL)
		return err_setx(e, ENOENT, "no such job");
	return sandbox_chmod(sb, job_key(key, (int)number, file), m, e);
}
