/*
 * files.sock: requests of a client that makes them up. A line of the input is
 * a JSON message, after '=' a binary one, after '!' bytes as they are.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/frame.h"
#include "daemon/brokerc.h"
#include "daemon/events.h"
#include "daemon/front_impl.h"
#include "daemon/poolrun.h"
#include "daemon/store.h"
#include "daemon/tree.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char id[] = "sbx-00000000000000000000000000000001";
static char dir[] = "/tmp/sbx-fuzz-XXXXXX";
static struct front f;

static void
clean(void)
{
	static const char *const names[] = { "sbxd.toml", "state.db",
		"state.db-wal", "state.db-shm", "events", "events.idx",
		"events.json", "events.json.idx", "errors", "errors.idx",
		"files.sock" };
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

static char *
in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void
write_config(const char *path)
{
	FILE *out = fopen(path, "w");

	if (out == NULL)
		abort();
	/* no room: nothing is started, and no broker answers */
	fprintf(out,
	    "[server]\ndata_dir = \"%s\"\nrun_dir = \"%s\"\n"
	    "[limits]\nmax_sandboxes = 1\n[pool]\nmin_base = 0\n",
	    dir, dir);
	fclose(out);
}

static void
start(void)
{
	cleanup_free char *conf = NULL, *db = NULL, *sock = NULL;
	static uv_loop_t loop;
	struct err e;
	int pair[2];

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* what reload sends to itself */
	log_init("fuzz", 1, 0);
	if (mkdtemp(dir) == NULL ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	(void)atexit(clean);
	write_config(conf = in_dir("sbxd.toml"));
	db = in_dir("state.db");
	sock = in_dir("files.sock");
	TAILQ_INIT(&f.sandboxes);
	f.loop = &loop;
	if (uv_loop_init(&loop) != 0 ||
	    config_load(conf, NULL, &f.cfg, &e) < 0 ||
	    store_open(db, &f.store, &e) < 0 ||
	    events_open(&f, &f.events, &e) < 0)
		abort();
	f.broker = brokerc_new(&loop, pair, 1, NULL, NULL);
	poolrun_new(&f);
	if (tree_new(&f,
		fd_unix_listen(sock, 0600, SOCK_STREAM | SOCK_NONBLOCK),
		&f.tree, &e) < 0)
		abort();
}

static void
add_sandbox(void)
{
	struct sandbox *sb;

	if (sandbox_by_id(&f, id) != NULL)
		return;
	sb = sb_new(&f, id);
	sb->state = SB_STOPPED;
	str_copy(sb->name, "web", sizeof(sb->name));
	str_copy(sb->profile, "default", sizeof(sb->profile));
	registry_add(sb);
}

static void
put_line(struct buf *b, const char *p, size_t n)
{
	if (n > 0 && *p == '!')
		(void)buf_add(b, p + 1, n - 1);
	else if (n > 0 && *p == '=')
		(void)frame_add(b, FRAME_BINARY, p + 1, n - 1);
	else
		(void)frame_add(b, FRAME_JSON, p, n);
}

static void
spin(int fd)
{
	char room[65536];
	int i;

	for (i = 0; i < 4; i++) {
		(void)uv_run(f.loop, UV_RUN_NOWAIT);
		while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
			continue;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size, *nl;
	cleanup_free char *sock = NULL;
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_fd int fd = -1;

	if (f.tree == NULL)
		start();
	add_sandbox();
	for (; p < end; p = nl + 1) {
		if ((nl = memchr(p, '\n', (size_t)(end - p))) == NULL)
			nl = end;
		put_line(&b, p, (size_t)(nl - p));
	}
	sock = in_dir("files.sock");
	if ((fd = fd_unix_connect(sock, SOCK_STREAM | SOCK_NONBLOCK)) < 0)
		abort();
	(void)fd_send(fd, b.data, b.len, NULL, 0);
	spin(fd);
	close_fd(&fd);
	(void)uv_run(f.loop, UV_RUN_NOWAIT);
	(void)uv_run(f.loop, UV_RUN_NOWAIT);
	return 0;
}
