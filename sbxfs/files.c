#include "sbxfs/files.h"

#include <string.h>

#include "agent/treefiles.h"
#include "sbxfs/impl.h"

#define VALUE(n, p, m)                                         \
	{                                                      \
		n, p, m, KIND_VALUE, AT_NOWHERE, &snapshot_ops \
	}
#define COMMAND(n, p, m)                                         \
	{                                                        \
		n, p, m, KIND_COMMAND, AT_NOWHERE, &snapshot_ops \
	}
#define LOG(n, p, m)                                    \
	{                                               \
		n, p, m, KIND_LOG, AT_NOWHERE, &log_ops \
	}
#define STREAM(n, p, m, o)                          \
	{                                           \
		n, p, m, KIND_STREAM, AT_NOWHERE, o \
	}
#define DIRECTORY(n, p, m, i)              \
	{                                  \
		n, p, m, KIND_DIR, i, NULL \
	}
#define LINK(n, p)                                      \
	{                                               \
		n, p, 0777, KIND_LINK, AT_NOWHERE, NULL \
	}

const struct file file_top = DIRECTORY("", AT_NOWHERE, 01775, AT_TOP);

/* ctl is first in each directory and fs last: rm -r must meet ctl first. */
const struct file files[] = {
	COMMAND("ctl", AT_TOP, 0660),
	STREAM("new", AT_TOP, 0660, &new_ops),
	LOG("events", AT_TOP, 0444),
	LOG("errors", AT_TOP, 0444),
	VALUE("status", AT_TOP, 0444),
	COMMAND("pool", AT_TOP, 0600),
	DIRECTORY("profiles", AT_TOP, 0755, AT_PROFILES),
	DIRECTORY(NULL, AT_TOP, 0700, AT_BOX), /* sandboxes */
	LINK(NULL, AT_TOP),		       /* ids of named ones */

	VALUE(NULL, AT_PROFILES, 0444),

	COMMAND("ctl", AT_BOX, TREE_BOX_ctl),
	VALUE("status", AT_BOX, TREE_BOX_status),
	VALUE("stats", AT_BOX, TREE_BOX_stats),
	STREAM("exec", AT_BOX, TREE_BOX_exec, &exec_ops),
	STREAM("wait", AT_BOX, TREE_BOX_wait, &wait_ops),
	VALUE("env", AT_BOX, TREE_BOX_env),
	COMMAND("ports", AT_BOX, TREE_BOX_ports),
	LOG("log", AT_BOX, TREE_BOX_log),
	DIRECTORY("jobs", AT_BOX, TREE_BOX_jobs, AT_JOBS),
	{ "fs", AT_BOX, TREE_BOX_fs, KIND_TREE, AT_FS, NULL },

	STREAM("new", AT_JOBS, TREE_JOBS_NEW, &jobs_new_ops),
	LINK("last", AT_JOBS),
	DIRECTORY(NULL, AT_JOBS, TREE_JOB_DIR, AT_JOB),

	COMMAND("ctl", AT_JOB, TREE_JOB_ctl),
	VALUE("cmd", AT_JOB, TREE_JOB_cmd),
	VALUE("status", AT_JOB, TREE_JOB_status),
	LOG("stdout", AT_JOB, TREE_JOB_stdout),
	LOG("stderr", AT_JOB, TREE_JOB_stderr),
	LOG("output", AT_JOB, TREE_JOB_output),
	STREAM("stdin", AT_JOB, TREE_JOB_stdin, &stdin_ops),
	STREAM("wait", AT_JOB, TREE_JOB_wait, &wait_ops),

	{ NULL, AT_FS, 0, KIND_TREE, AT_FS, NULL },
};

#define NFILES (sizeof(files) / sizeof(files[0]))

_Static_assert(NFILES <= 64, "box.removed has a bit for each row");

const struct file *
file_row(size_t i)
{
	return i < NFILES ? &files[i] : NULL;
}

size_t
file_index(const struct file *f)
{
	return (size_t)(f - files);
}

const struct file *
file_find(enum place at, const char *name)
{
	size_t i;

	for (i = 0; i < NFILES; i++)
		if (files[i].at == at && files[i].name != NULL &&
		    strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

const struct file *
file_any(enum place at, enum kind kind)
{
	size_t i;

	for (i = 0; i < NFILES; i++)
		if (files[i].at == at && files[i].name == NULL &&
		    files[i].kind == kind)
			return &files[i];
	return NULL;
}

bool
file_sized(const struct file *f)
{
	return f->kind == KIND_VALUE || f->kind == KIND_COMMAND ||
	    f->kind == KIND_LOG;
}
