/*
 * The floor of a mkdir in the mount: a FUSE directory that does nothing. Any
 * name can be made a directory and removed; whether there is one is all that
 * it remembers.
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static fuse_ino_t made; /* 0: none */

static struct fuse_entry_param
directory(fuse_ino_t ino)
{
	struct fuse_entry_param e = { .ino = ino };

	e.attr.st_ino = ino;
	e.attr.st_mode = S_IFDIR | 0755;
	e.attr.st_nlink = 2;
	return e;
}

static void
do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = directory(made);

	(void)parent;
	(void)name;
	if (made == 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &e);
}

static void
do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_entry_param e = directory(ino);

	(void)fi;
	fuse_reply_attr(req, &e.attr, 0);
}

static void
do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	static fuse_ino_t last = FUSE_ROOT_ID;
	struct fuse_entry_param e = directory(made = ++last);

	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_entry(req, &e);
}

static void
do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	made = 0;
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = do_lookup,
	.getattr = do_getattr,
	.mkdir = do_mkdir,
	.rmdir = do_rmdir,
};

int
main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
	struct fuse_session *se;
	int rc = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: floor_fuse DIRECTORY\n");
		return 2;
	}
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (se == NULL)
		return 1;
	if (fuse_set_signal_handlers(se) == 0) {
		if (fuse_session_mount(se, argv[1]) == 0) {
			rc = fuse_session_loop(se) < 0;
			fuse_session_unmount(se);
		}
		fuse_remove_signal_handlers(se);
	}
	fuse_session_destroy(se);
	return rc;
}
