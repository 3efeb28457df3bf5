#include "sbxfs/input.h"

int64_t
input_number(void)
{
	static int64_t last;

	return --last;
}

void
input_open(struct call *c, const struct handle *h, const struct input *in)
{
	call_send(c, "job.open",
	    json_pack("{s:s,s:i,s:I,s:b}", "id", h->node->box->id, "job",
		in->job, "h", (json_int_t)in->no, "creator", (int)in->creator));
}

static void
tell_closed(struct sbxfs *s, struct input *in)
{
	client_notify(s->client, "job.close",
	    json_pack("{s:I}", "h", (json_int_t)in->no));
	in->no = 0;
}

void
input_up(struct handle *h, struct input *in)
{
	if (in->no == 0 || in->job == 0)
		return;
	input_open(call_for(h, NULL), h, in);
	if (!in->closed)
		return;
	tell_closed(h->s, in);
	in->closed = false;
	/* The reference of the close; the call has one of its own. */
	handle_unref(h);
}

void
input_close(struct handle *h, struct input *in)
{
	if (in->no == 0)
		return;
	if (client_fd(h->s->client) >= 0) {
		tell_closed(h->s, in);
		return;
	}
	in->closed = true;
	(void)handle_ref(h);
}
