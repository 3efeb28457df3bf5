/*
 * unpack.h - the body of the helper that unpacks an archive: it runs in a
 * jail, since the archive is a stranger's.
 */
#ifndef RUNTIMES_UNPACK_H
#define RUNTIMES_UNPACK_H

#include "lib/err.h"

/*
 * Unpacks the archive, any format and compression that libarchive knows, into
 * the root directory, which must be the helper's own. Owners, modes, times
 * and extended attributes are kept; devices are left out.
 */
int unpack(int archive_fd, struct err *e);

/* For good, while /proc is there: memory, time, no other process. */
int unpack_limit(struct err *e);
/* For good: no capability but those over files, a filter. */
int unpack_jail(struct err *e);

#endif
