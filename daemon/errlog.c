#include "daemon/errlog.h"

#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/utf8.h"

#define FILE_MAX (4u << 20)
#define COMMAND_SHOWN 300

struct errlog {
	struct ownlog *log;
	void (*grew)(void *arg);
	void *arg;
	bool failing; /* appending fails, and it was said */
};

int
errlog_open(const char *path, void (*grew)(void *arg), void *arg,
    struct errlog **ret, struct err *e)
{
	struct errlog *l = xcalloc(1, sizeof(*l));

	l->grew = grew;
	l->arg = arg;
	if (ownlog_open(path, FILE_MAX, &l->log, e) < 0) {
		free(l);
		return -1;
	}
	*ret = l;
	return 0;
}

void
errlog_close(struct errlog *l)
{
	if (l == NULL)
		return;
	ownlog_close(l->log);
	free(l);
}

/*** One line of anything ***/

void
errlog_escape(struct buf *b, const char *p, size_t n, bool quoted)
{
	const unsigned char *at = (const unsigned char *)p, *end = at + n;
	size_t len;

	while (at < end) {
		len = utf8_visible(at, (size_t)(end - at));
		if (len == 0)
			(void)buf_addf(b, "\\x%02x", *at);
		else if (quoted && (*at == '"' || *at == '\\'))
			(void)buf_addf(b, "\\%c", *at);
		else
			(void)buf_add(b, at, len);
		at += len != 0 ? len : 1;
	}
}

void
errlog_add(struct errlog *l, const struct errlog_what *w, const struct err *e)
{
	cleanup_buf struct buf line = BUF_INIT;
	int64_t now = clock_real_ms();
	bool cut = w->cmd_len > COMMAND_SHOWN;
	int r;

	if (l == NULL)
		return;
	(void)buf_addf(&line, "%" PRId64 ".%03d pid=%d ", now / 1000,
	    (int)(now % 1000), (int)w->caller->pid);
	errlog_escape(&line, w->file, strlen(w->file), false);
	(void)buf_adds(&line, ": ");
	errlog_escape(&line, e->text, strlen(e->text), false);
	if (w->cmd != NULL) {
		(void)buf_adds(&line, ": \"");
		errlog_escape(
		    &line, w->cmd, cut ? COMMAND_SHOWN : w->cmd_len, true);
		(void)buf_adds(&line, cut ? "...\"" : "\"");
	}
	(void)buf_adds(&line, "\n");
	r = ownlog_add(l->log,
	    identity_key(w->caller->identity, w->caller->uid), line.data,
	    line.len);
	if (r < 0 && !l->failing)
		log_warnx("errors: %s", strerror(-r));
	l->failing = r < 0;
	if (r == 0 && l->grew != NULL)
		l->grew(l->arg);
}

/*** Reading ***/

static struct ownlog_view
view_of(const struct caller *c)
{
	return (struct ownlog_view){ .all = c->all,
		.uid = identity_key(c->identity, c->uid) };
}

ssize_t
errlog_read(
    struct errlog *l, const struct caller *c, uint64_t off, void *p, size_t n)
{
	struct ownlog_view v = view_of(c);

	return ownlog_read(l->log, &v, off, p, n);
}

uint64_t
errlog_size(struct errlog *l, const struct caller *c)
{
	struct ownlog_view v = view_of(c);

	return ownlog_size(l->log, &v);
}

int64_t
errlog_mtime_ms(const struct errlog *l)
{
	return ownlog_mtime_ms(l->log);
}
