#include "sbxfs/follow.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"

void
follow_init(struct follow *f)
{
	memset(f, 0, sizeof(*f));
	f->h = -1;
	f->fd = -1;
}

void
follow_done(struct follow *f, struct sbxfs *s)
{
	if (f->h >= 0)
		client_notify(s->client, "job.unfollow",
		    json_pack("{s:I}", "h", (json_int_t)f->h));
	close_fd(&f->fd);
	follow_init(f);
}

json_t *
follow_params(const struct node *n, int job, bool data)
{
	return json_pack(
	    "{s:s,s:i,s:b}", "id", n->box->id, "job", job, "data", (int)data);
}

static void
take_end(struct follow *f, const json_t *o)
{
	const char *secs = json_string_value(json_object_get(o, "secs"));

	f->ended = true;
	f->code = (int)json_integer_value(json_object_get(o, "code"));
	(void)str_copy(f->secs, secs != NULL ? secs : "0.000", sizeof(f->secs));
}

int
follow_answer(struct follow *f, const struct reply *r, bool data)
{
	int job, fd = -1;

	f->asked = false;
	if (r->error != 0)
		return r->error;
	job = (int)json_integer_value(json_object_get(r->result, "job"));
	if (job != 0 && data && (fd = client_take_fd(r->client)) < 0)
		return -EIO;
	if (f->bound && f->job != job) {
		close_fd(&fd);
		return -ESTALE;
	}
	if (fd >= 0) {
		close_fd(&f->fd);
		f->fd = fd;
	}
	f->bound = true;
	f->job = job;
	f->asked = job != 0;
	f->h = -1;
	if (job == 0)
		return 0;
	if (json_is_integer(json_object_get(r->result, "h")))
		f->h = json_integer_value(json_object_get(r->result, "h"));
	if (json_is_true(json_object_get(r->result, "ended")))
		take_end(f, r->result);
	return 0;
}

bool
follow_notice(struct follow *f, bool ended, const json_t *params)
{
	json_t *h = json_object_get(params, "h");

	if (f->h < 0 || !json_is_integer(h) || json_integer_value(h) != f->h)
		return false;
	if (ended)
		take_end(f, params);
	return true;
}

void
follow_down(struct follow *f)
{
	f->asked = false;
	f->h = -1;
}

ssize_t
follow_read(struct follow *f, char *p, size_t n)
{
	ssize_t r;

	if (f->fd < 0)
		return 0;
	do
		r = pread(f->fd, p, n, f->pos);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	f->pos += r;
	return r;
}
