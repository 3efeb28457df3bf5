#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent/impl.h"
#include "lib/fd.h"

struct worker {
	pid_t pid;	   /* 0: free */
	struct conn *conn; /* NULL: it has gone, nobody wants the answer */
	bool has_id;
	int64_t id;
};

static struct worker workers[WORKERS_MAX];

/* The child: it holds only what it works on, so that no connection lives
 * longer through it. */
static _Noreturn void
work(int (*fn)(int, const char *), int fd, const char *name)
{
	int r;

	if (fd != 3)
		(void)dup2(fd, 3);
	(void)syscall(SYS_close_range, 4, ~0U, 0);
	r = fn(3, name);
	_exit(r < 0 && r > -256 ? -r : 0);
}

int
work_start(struct call *c, int (*fn)(int fd, const char *name), int fd,
    const char *name)
{
	struct worker *w = workers;
	pid_t pid;

	while (w < workers + WORKERS_MAX && w->pid != 0)
		w++;
	if (w == workers + WORKERS_MAX)
		return fn(fd, name);
	/* A sandbox that is at its limit of processes must still be cleaned. */
	if ((pid = fork()) < 0)
		return fn(fd, name);
	if (pid == 0)
		work(fn, fd, name);
	*w = (struct worker){
		.pid = pid, .conn = c->conn, .has_id = c->has_id, .id = c->id
	};
	return CALL_LATER;
}

bool
work_reaped(pid_t pid, int status)
{
	struct worker *w;
	struct worker done;

	for (w = workers; w < workers + WORKERS_MAX; w++) {
		if (w->pid != pid)
			continue;
		done = *w;
		w->pid = 0;
		if (done.conn != NULL && done.has_id)
			rpc_answer(done.conn, done.id,
			    WIFEXITED(status) ? WEXITSTATUS(status) : EINTR);
		return true;
	}
	return false;
}

void
work_conn_gone(struct conn *c)
{
	struct worker *w;

	for (w = workers; w < workers + WORKERS_MAX; w++)
		if (w->conn == c)
			w->conn = NULL;
}
