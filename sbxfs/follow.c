#include "sbxfs/follow.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"

/* What is asked for at once, and kept for readers. */
#define FETCH_BYTES (256 << 10)

void
follow_init(struct follow *f, const struct sbxfs *s)
{
	memset(f, 0, sizeof(*f));
	f->remote = s->dial >= 0;
	f->h = -1;
	f->fd = -1;
	f->cut = -1;
	f->more_fd = -1;
}

void
follow_done(struct follow *f, struct sbxfs *s)
{
	unsigned gen = f->gen + 1;

	if (f->h >= 0)
		client_notify(s->client, "job.unfollow",
		    json_pack("{s:I}", "h", (json_int_t)f->h));
	close_fd(&f->fd);
	close_fd(&f->more_fd);
	buf_done(&f->got);
	follow_init(f, s);
	f->gen = gen;
}

json_t *
follow_params(const struct node *n, int job, bool data)
{
	return json_pack(
	    "{s:s,s:i,s:b}", "id", n->box->id, "job", job, "data", (int)data);
}

json_t *
follow_again(const struct node *n, const struct follow *f, bool data)
{
	json_t *params = follow_params(n, f->job, data);

	json_object_set_new(params, "more", json_boolean(f->cut >= 0));
	return params;
}

static void
take_size(struct follow *f, const json_t *o)
{
	const json_t *size = json_object_get(o, "size");

	if (json_is_integer(size) && json_integer_value(size) > f->size)
		f->size = json_integer_value(size);
}

static void
take_end(struct follow *f, const json_t *o)
{
	const char *secs = json_string_value(json_object_get(o, "secs"));
	const json_t *text = json_object_get(o, "output");

	if (json_is_string(text) && !f->remote && f->fd < 0)
		(void)buf_add(
		    &f->got, json_string_value(text), json_string_length(text));

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
	if (job != 0 && !f->remote && (fd = client_take_fd(r->client)) < 0 &&
	    data)
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
	take_size(f, r->result);
	if (json_is_integer(json_object_get(r->result, "h")))
		f->h = json_integer_value(json_object_get(r->result, "h"));
	if (json_is_true(json_object_get(r->result, "ended")))
		take_end(f, r->result);
	return 0;
}

static bool
is_ours(const struct follow *f, const json_t *params)
{
	json_t *h = json_object_get(params, "h");

	return f->h >= 0 && json_is_integer(h) && json_integer_value(h) == f->h;
}

bool
follow_more(struct follow *f, const json_t *params, int fd)
{
	if (!is_ours(f, params))
		return false;
	if (json_object_get(params, "at") == NULL) {
		close_fd(&f->fd);
		f->fd = fd;
		return true;
	}
	if (f->cut < 0)
		f->cut = json_integer_value(json_object_get(params, "at"));
	close_fd(&f->more_fd);
	f->more_fd = fd;
	return true;
}

bool
follow_notice(struct follow *f, bool ended, const json_t *params)
{
	if (!is_ours(f, params))
		return false;
	take_size(f, params);
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

/*
 * How far the file may be read: no further than the front has said, since
 * behind what is kept there is a mark, which those that `more` is for do not
 * get; that comes before a size with the mark in it.
 */
static int64_t
kept_end(const struct follow *f)
{
	return f->cut >= 0 ? f->cut : f->size;
}

bool
follow_has_output(const struct follow *f)
{
	struct pollfd more = { .fd = f->more_fd, .events = POLLIN };

	if (f->remote)
		return f->got.len != 0;
	if (f->cut < 0 || f->pos < f->cut)
		return (f->fd >= 0 || f->ended) && kept_end(f) > f->pos;
	return f->more_fd >= 0 && poll(&more, 1, 0) == 1 &&
	    (more.revents & POLLIN) != 0;
}

int
follow_pipe(const struct follow *f, size_t *ret_n)
{
	int n = 0;

	if (f->more_fd < 0 || f->pos < f->cut ||
	    ioctl(f->more_fd, FIONREAD, &n) < 0 || n < 0)
		return -1;
	*ret_n = (size_t)n;
	return f->more_fd;
}

/* Nothing now is 0 as its end is: then the job's end tells. */
static ssize_t
read_more(struct follow *f, char *p, size_t n)
{
	ssize_t r = 0;

	if (f->more_fd >= 0)
		r = read(f->more_fd, p, n);
	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return r;
}

bool
follow_over(const struct follow *f)
{
	return f->ended &&
	    (!f->remote || (f->got.len == 0 && f->pos >= kept_end(f)));
}

/* Beyond what is kept, it comes by asking until the job has ended. */
static bool
more_to_come(const struct follow *f)
{
	return f->cut >= 0 && f->h >= 0 && !f->ended;
}

void
follow_fetch(struct follow *f, struct handle *h,
    void (*done)(struct call *c, const struct reply *r))
{
	int64_t at = f->pos + (int64_t)f->got.len;
	int64_t left = kept_end(f) - at;
	struct call *c;

	if (!f->remote || f->asking || (int64_t)f->got.len >= FETCH_BYTES ||
	    (left <= 0 && !more_to_come(f)))
		return;
	f->asking = true;
	c = call_for(h, done);
	c->size = f->gen;
	if (left <= 0)
		call_send(
		    c, "job.more", json_pack("{s:I}", "h", (json_int_t)f->h));
	else
		call_send(c, "pread",
		    json_pack("{s:s,s:s,s:i,s:I,s:I}", "file", "output", "id",
			h->node->box->id, "job", f->job, "off", (json_int_t)at,
			"len",
			(json_int_t)(left < FETCH_BYTES ? left : FETCH_BYTES)));
}

int
follow_fetched(struct follow *f, const struct call *c, const struct reply *r)
{
	if (c->size != f->gen)
		return 0; /* of another job, which it followed before */
	f->asking = false;
	if (r->error != 0)
		return r->error;
	/* What was kept is less than what was said: this is its end. */
	if (r->len == 0 && f->cut < 0)
		f->size = f->pos + (int64_t)f->got.len;
	return buf_add(&f->got, r->data, r->len);
}

static ssize_t
read_got(struct follow *f, char *p, size_t n)
{
	if (n > f->got.len)
		n = f->got.len;
	memcpy(p, buf_str(&f->got), n);
	buf_consume(&f->got, n);
	f->pos += (int64_t)n;
	return (ssize_t)n;
}

ssize_t
follow_read(struct follow *f, char *p, size_t n)
{
	ssize_t r;

	if (f->remote || f->got.len != 0)
		return read_got(f, p, n);
	if (f->cut >= 0 && f->pos >= f->cut)
		return read_more(f, p, n);
	if (f->pos >= kept_end(f))
		return 0;
	if (f->fd < 0) {
		if (!f->ended)
			return 0;
		f->pos = kept_end(f); /* said once */
		return -EIO;
	}
	if (n > (size_t)(kept_end(f) - f->pos))
		n = (size_t)(kept_end(f) - f->pos);
	do
		r = pread(f->fd, p, n, f->pos);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	f->pos += r;
	return r;
}
