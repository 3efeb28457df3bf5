/*
 * treefiles.h - the files in a sandbox's directory and in a job's, and who may
 * use them unless chmod says otherwise. sbxfs shows these modes to the kernel,
 * which checks them; the front checks them for clients that no kernel checks.
 *
 * F(name, mode) for each; the enums name the modes.
 */
#ifndef AGENT_TREEFILES_H
#define AGENT_TREEFILES_H

#define TREE_BOX_FILES(F) \
	F(ctl, 0600)      \
	F(status, 0444)   \
	F(stats, 0444)    \
	F(exec, 0600)     \
	F(wait, 0400)     \
	F(env, 0600)      \
	F(ports, 0600)    \
	F(log, 0444)      \
	F(jobs, 0700)     \
	F(fs, 0755)

#define TREE_JOB_FILES(F) \
	F(ctl, 0600)      \
	F(cmd, 0444)      \
	F(status, 0444)   \
	F(stdout, 0444)   \
	F(stderr, 0444)   \
	F(output, 0444)   \
	F(stdin, 0200)    \
	F(wait, 0400)

#define TREE_BOX_MODE(name, mode) TREE_BOX_##name = mode,
#define TREE_JOB_MODE(name, mode) TREE_JOB_##name = mode,

enum {
	TREE_BOX_FILES(TREE_BOX_MODE)
};

enum {
	TREE_JOB_FILES(TREE_JOB_MODE)
};

/* Of jobs/new, of the link jobs/last, and of a job's directory. */
#define TREE_JOBS_NEW 0600
#define TREE_JOBS_LAST 0777
#define TREE_JOB_DIR 0700

#endif
