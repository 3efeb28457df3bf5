#include "lib/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/fd.h"
#include "lib/mem.h"

int
notify_ready(void)
{
	static const char word[] = "READY=1";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	cleanup_fd int fd = -1;
	socklen_t len;

	if (path == NULL || *path == '\0')
		return 0;
	if (!str_copy(a.sun_path, path, sizeof(a.sun_path)))
		return -ENAMETOOLONG;
	len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (a.sun_path[0] == '@') /* an abstract one */
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sendto(fd, word, strlen(word), MSG_NOSIGNAL,
		(const struct sockaddr *)&a, len) < 0)
		return -errno;
	return 0;
}
