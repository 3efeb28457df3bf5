/* Extended attributes, over the agent: those that fs.h names. */
#include <errno.h>
#include <string.h>

#include "sbxfs/ops.h"
#include "sbxfs/remote_impl.h"

/* The value, or the names: k->size 0 asks how long they are. */
static void
got_value(struct rcall *k, const struct reply *r)
{
	if (k->req != NULL)
		reply_xattr(k->req, r->error != 0 ? r->error : (ssize_t)r->len,
		    r->data, k->size);
}

static void
got_names(struct rcall *k, const struct reply *r)
{
	ssize_t n = r->error;

	if (n == -EOPNOTSUPP) /* of what is shown empty */
		n = 0;
	else if (n == 0 && (n = buf_add(&k->text, r->data, r->len)) == 0)
		n = fs_user_names(k->text.data, k->text.len);
	if (k->req != NULL)
		reply_xattr(k->req, n, k->text.data, k->size);
}

static struct rcall *
named(fuse_req_t req, struct node *n, const char *name, rcall_done done)
{
	struct rcall *k;

	if (!fs_is_user(name)) {
		reply_err(req, EOPNOTSUPP);
		return NULL;
	}
	if ((k = rcall_node(req, n, done)) != NULL)
		rcall_put(k, "name", rname(name, strlen(name)));
	return k;
}

void
rop_getxattr(fuse_req_t req, struct node *n, const char *name, size_t size)
{
	struct rcall *k = named(req, n, name, got_value);

	if (k == NULL)
		return;
	k->size = size;
	rcall_look(k, "sbx.fs.getxattr");
}

void
rop_listxattr(fuse_req_t req, struct node *n, size_t size)
{
	struct rcall *k = rcall_node(req, n, got_names);

	if (k == NULL)
		return;
	k->size = size;
	rcall_look(k, "sbx.fs.listxattr");
}

void
rop_setxattr(fuse_req_t req, struct node *n, const char *name,
    const struct fs_value *value)
{
	struct rcall *k = named(req, n, name, rcall_err);

	if (k == NULL)
		return;
	rcall_int(k, "flags", value->flags);
	/* One without bytes is a message all the same. */
	rcall_send_bin(
	    k, "sbx.fs.setxattr", value->n != 0 ? value->p : "", value->n);
}

void
rop_removexattr(fuse_req_t req, struct node *n, const char *name)
{
	struct rcall *k = named(req, n, name, rcall_err);

	if (k != NULL)
		rcall_send(k, "sbx.fs.removexattr");
}
