/*
 * image.h - what root filesystems start from: directories that are never
 * changed once they are there, with the ids that the image has.
 *
 *	host  DATA_DIR/layers/host-KEY, generated; the host's /usr is bound
 *	      over its empty one by the runtime
 *	dir   the directory itself
 *	tar   DATA_DIR/layers/NAME-KEY, unpacked once in a jailed child
 */
#ifndef RUNTIMES_IMAGE_H
#define RUNTIMES_IMAGE_H

#include <limits.h>

#include "lib/err.h"
#include "runtimes/runtime.h"

/* Once, in the broker: the layer of the host, and old ones that keep(name)
 * does not want are removed. */
int image_init(bool (*keep)(const char *layer), struct err *e);
/* The directory of the image's layer, made when it is not there yet. */
int image_layer(
    const struct rt_image *image, char ret[PATH_MAX], struct err *e);

/* image_host.c: the name under layers/ of the host's, made if need be. */
int image_host(char ret[NAME_MAX], struct err *e);
/* image_tar.c: the same for an archive. */
int image_tar(const struct rt_image *image, char ret[NAME_MAX], struct err *e);

#endif
