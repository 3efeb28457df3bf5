#include "runtimes/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "lib/mem.h"

static const struct {
	const char *v1;	  /* controller's name among a mount's options */
	const char *file; /* of version 2, in a group that has it */
} parts[CGROUP_PARTS] = {
	[CGROUP_MEMORY] = { "memory", "memory.max" },
	[CGROUP_CPU] = { "cpu", "cpu.max" },
	[CGROUP_PIDS] = { "pids", "pids.max" },
	[CGROUP_CPUACCT] = { "cpuacct", NULL },
	[CGROUP_FREEZER] = { "freezer", NULL },
	[CGROUP_UNIFIED] = { NULL, NULL },
};

static bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *p = list;

	while ((p = strstr(p, word)) != NULL) {
		if ((p == list || p[-1] == ',' || p[-1] == ' ') &&
		    (p[n] == '\0' || strchr(", \n", p[n]) != NULL))
			return true;
		p += n;
	}
	return false;
}

static void
add_tree(struct cgroups *c, const char *path, bool unified, const char *opts)
{
	struct cgroup_tree *t = &c->tree[c->ntrees];
	bool used = unified && c->part[CGROUP_UNIFIED] < 0;
	size_t i;

	if (c->ntrees == CGROUP_TREES_MAX ||
	    !str_copy(t->path, path, sizeof(t->path)))
		return;
	if (used)
		c->part[CGROUP_UNIFIED] = (int)c->ntrees;
	for (i = 0; i < CGROUP_PARTS && !unified; i++)
		if (parts[i].v1 != NULL && c->part[i] < 0 &&
		    has_word(opts, parts[i].v1)) {
			c->part[i] = (int)c->ntrees;
			used = true;
		}
	if (!used)
		return;
	t->fd = -1;
	t->unified = unified;
	c->ntrees++;
}

/* "36 25 0:31 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu" */
static void
read_mount(struct cgroups *c, char *line)
{
	char *rest = strstr(line, " - "), path[128], type[32], opts[256];

	if (rest == NULL || sscanf(line, "%*d %*d %*s / %127s", path) != 1 ||
	    sscanf(rest, " - %31s %*s %255s", type, opts) != 2)
		return;
	if (strcmp(type, "cgroup2") == 0)
		add_tree(c, path, true, "");
	else if (strcmp(type, "cgroup") == 0)
		add_tree(c, path, false, opts);
}

/* The controllers that NAME has; where it is not there yet, those that the
 * nearest group above gives to its children. */
static bool
read_controllers(
    const struct cgroup_tree *t, const char *name, char *list, size_t size)
{
	const char *file = "cgroup.controllers";
	char group[PATH_MAX], path[PATH_MAX + 32];
	size_t root = strlen(t->path);

	if (snprintf(group, sizeof(group), "%s/%s", t->path, name) >=
	    (int)sizeof(group))
		return false;
	for (;;) {
		(void)snprintf(path, sizeof(path), "%s/%s", group, file);
		if (fd_read_at(AT_FDCWD, path, list, size) >= 0)
			return true;
		if (strlen(group) <= root)
			return false;
		*strrchr(group, '/') = '\0';
		file = "cgroup.subtree_control";
	}
}

static void
read_unified(struct cgroups *c)
{
	int u = c->part[CGROUP_UNIFIED];
	char list[256];
	size_t i;

	if (u < 0 ||
	    !read_controllers(&c->tree[u], c->name, list, sizeof(list)))
		return;
	for (i = 0; i < CGROUP_PARTS; i++)
		if (parts[i].file != NULL && c->part[i] < 0 &&
		    has_word(list, parts[i].v1))
			c->part[i] = u;
}

void
cgroup_find(struct cgroups *c, const char *name, const char *mountinfo)
{
	char *line = NULL;
	size_t i, room = 0;
	FILE *f;

	memset(c, 0, sizeof(*c));
	c->name = name;
	for (i = 0; i < CGROUP_PARTS; i++)
		c->part[i] = -1;
	if ((f = fopen(mountinfo, "re")) == NULL)
		return;
	while (getline(&line, &room, f) > 0)
		read_mount(c, line);
	free(line);
	(void)fclose(f);
	read_unified(c);
	if (c->part[CGROUP_UNIFIED] < 0)
		return;
	/* cgroup.kill, cgroup.freeze and cpu.stat are there */
	c->part[CGROUP_FREEZER] = c->part[CGROUP_CPUACCT] = -1;
}

bool
cgroup_tree_used(const struct cgroups *c, size_t tree)
{
	size_t i;

	for (i = 0; i < CGROUP_PARTS; i++)
		if (c->part[i] == (int)tree)
			return true;
	return false;
}

void
cgroup_report(const struct cgroups *c, struct buf *report)
{
	static const struct {
		enum cgroup_part part;
		const char *lost;
	} rows[] = {
		{ CGROUP_MEMORY, "memory is not limited" },
		{ CGROUP_CPU, "cpu time is not limited" },
		{ CGROUP_PIDS, "the number of processes is not limited" },
	};
	bool unified = c->part[CGROUP_UNIFIED] >= 0;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int t = c->part[rows[i].part];

		if (t < 0)
			(void)buf_addf(report, "cgroup %s: none: %s\n",
			    parts[rows[i].part].v1, rows[i].lost);
		else
			(void)buf_addf(report, "cgroup %s: version %d, %s\n",
			    parts[rows[i].part].v1, c->tree[t].unified ? 2 : 1,
			    c->tree[t].path);
	}
	if (c->part[CGROUP_MEMORY] >= 0)
		(void)buf_addf(report, "out of memory: %s\n",
		    c->tree[c->part[CGROUP_MEMORY]].unified
			? "all of the sandbox is killed"
			: "one process is killed (version 1 has no "
			  "memory.oom.group)");
	(void)buf_addf(report, "cgroup kill: %s\n",
	    unified			       ? "version 2"
		: c->part[CGROUP_FREEZER] >= 0 ? "version 1's freezer"
					       : "none: by process 1");
}

const char *
cgroup_part_name(enum cgroup_part part)
{
	return parts[part].v1;
}
