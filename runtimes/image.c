#include "runtimes/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/mem.h"
#include "runtimes/dirs.h"
#include "runtimes/impl.h"

static char host_layer[NAME_MAX];

struct cleaning {
	bool (*keep)(const char *layer);
};

/* Layers of the host that nobody uses any more: the host has changed. */
static int
clean_one(const char *name, void *arg)
{
	const struct cleaning *c = arg;
	struct err e;

	if (strncmp(name, "host-", 5) == 0 && strcmp(name, host_layer) != 0 &&
	    !c->keep(name))
		(void)dirs_remove(native.layers_fd, name, &e);
	return 0;
}

int
image_init(bool (*keep)(const char *layer), struct err *e)
{
	struct cleaning c = { keep };

	if (image_host(host_layer, e) < 0)
		return -1;
	return dirs_each(native.layers_fd, ".", clean_one, &c, e);
}

static int
full_path(const char *name, char ret[PATH_MAX], struct err *e)
{
	if (snprintf(ret, PATH_MAX, "%s/layers/%s", native.env.data_dir,
		name) >= PATH_MAX)
		return err_set(e, ENAMETOOLONG, "layer %s", name);
	return 0;
}

static int
host_image(const struct rt_image *image, char ret[PATH_MAX], struct err *e)
{
	(void)image;
	return full_path(host_layer, ret, e);
}

static int
dir_image(const struct rt_image *image, char ret[PATH_MAX], struct err *e)
{
	cleanup_free char *real = realpath(image->path, NULL);
	struct stat st;

	if (real == NULL || stat(real, &st) < 0)
		return err_set(
		    e, errno, "image %s: %s", image->name, image->path);
	if (!S_ISDIR(st.st_mode))
		return err_set(
		    e, ENOTDIR, "image %s: %s", image->name, image->path);
	if (!str_copy(ret, real, PATH_MAX))
		return err_set(
		    e, ENAMETOOLONG, "image %s: %s", image->name, image->path);
	return 0;
}

static int
tar_image(const struct rt_image *image, char ret[PATH_MAX], struct err *e)
{
	char name[NAME_MAX];

	return image_tar(image, name, e) < 0 ? -1 : full_path(name, ret, e);
}

int
image_layer(const struct rt_image *image, char ret[PATH_MAX], struct err *e)
{
	static const struct {
		const char *kind;
		int (*find)(
		    const struct rt_image *, char ret[PATH_MAX], struct err *);
	} kinds[] = {
		{ "host", host_image },
		{ "dir", dir_image },
		{ "tar", tar_image },
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(image->kind, kinds[i].kind) == 0)
			return kinds[i].find(image, ret, e);
	return err_setx(
	    e, EINVAL, "image %s: no kind %s", image->name, image->kind);
}
