#include "sbxfs/nodes.h"

#include <assert.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/box.h"

#define FIRST_SIZE 1024 /* a power of two, as all sizes */

static uint64_t
fnv(uint64_t h, const void *p, size_t n)
{
	const unsigned char *c = p;

	while (n-- > 0)
		h = (h ^ *c++) * 0x100000001b3;
	return h;
}

static size_t
slot(const struct nodes *ns, const struct node *parent, const char *name)
{
	uint64_t h = 0xcbf29ce484222325;

	h = fnv(h, &parent, sizeof(parent));
	h = fnv(h, name, strlen(name));
	return (size_t)((h ^ (h >> 32)) & (ns->size - 1));
}

static struct node_list *
new_table(size_t size)
{
	struct node_list *t = xcalloc(size, sizeof(*t));
	size_t i;

	for (i = 0; i < size; i++)
		LIST_INIT(&t[i]);
	return t;
}

static void
link_in(struct nodes *ns, struct node *n)
{
	LIST_INSERT_HEAD(&ns->table[slot(ns, n->parent, n->name)], n, hash);
	n->hashed = true;
	ns->count++;
}

static void
grow(struct nodes *ns)
{
	struct node_list *old = ns->table;
	size_t i, size = ns->size;
	struct node *n;

	ns->size *= 2;
	ns->table = new_table(ns->size);
	ns->count = 0;
	for (i = 0; i < size; i++)
		while ((n = LIST_FIRST(&old[i])) != NULL) {
			LIST_REMOVE(n, hash);
			link_in(ns, n);
		}
	free(old);
}

void
nodes_init(struct nodes *ns)
{
	ns->size = FIRST_SIZE;
	ns->table = new_table(ns->size);
	ns->count = 0;
	ns->root = xcalloc(1, sizeof(*ns->root));
	ns->root->refs = 1;
	ns->root->name = xstrdup("");
	ns->root->file = &file_top;
	LIST_INIT(&ns->root->files);
}

static void
free_node(struct node *n)
{
	box_unref(n->box);
	free(n->name);
	free(n->last);
	free(n);
}

void
nodes_done(struct nodes *ns)
{
	struct node *n;
	size_t i;

	for (i = 0; i < ns->size; i++)
		while ((n = LIST_FIRST(&ns->table[i])) != NULL) {
			LIST_REMOVE(n, hash);
			free_node(n);
		}
	free(ns->table);
	free_node(ns->root);
	memset(ns, 0, sizeof(*ns));
}

struct node *
nodes_find(struct nodes *ns, const struct node *parent, const char *name)
{
	struct node *n;

	LIST_FOREACH (n, &ns->table[slot(ns, parent, name)], hash)
		if (n->parent == parent && strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

struct node *
nodes_add(struct nodes *ns, struct node *parent, const char *name,
    const struct file *file, struct box *box)
{
	struct node *n = xcalloc(1, sizeof(*n));

	if (ns->count >= ns->size)
		grow(ns);
	n->refs = 1;
	n->parent = node_ref(parent);
	n->name = xstrdup(name);
	n->file = file;
	n->box = box_ref(box);
	n->job = parent->job;
	LIST_INIT(&n->files);
	link_in(ns, n);
	return n;
}

struct node *
node_ref(struct node *n)
{
	n->refs++;
	return n;
}

/* A parent goes with its last child, and so on up. */
static void
release(struct nodes *ns, struct node *n)
{
	struct node *parent;

	while (n != NULL && n->refs == 0 && n->nlookup == 0) {
		parent = n->parent;
		nodes_unhash(ns, n);
		free_node(n);
		if (parent != NULL)
			parent->refs--;
		n = parent;
	}
}

void
node_unref(struct nodes *ns, struct node *n)
{
	assert(n->refs > 0);
	n->refs--;
	release(ns, n);
}

void
node_looked_up(struct node *n)
{
	n->nlookup++;
}

void
node_forget(struct nodes *ns, struct node *n, uint64_t nlookup)
{
	/* The root is forgotten at the unmount; it has a reference of ours. */
	n->nlookup -= nlookup < n->nlookup ? nlookup : n->nlookup;
	release(ns, n);
}

void
nodes_unhash(struct nodes *ns, struct node *n)
{
	if (!n->hashed)
		return;
	LIST_REMOVE(n, hash);
	n->hashed = false;
	ns->count--;
}

void
nodes_move(
    struct nodes *ns, struct node *n, struct node *parent, const char *name)
{
	struct node *was = nodes_find(ns, parent, name);
	struct node *old = n->parent;

	if (was == n)
		return;
	if (was != NULL)
		nodes_unhash(ns, was);
	nodes_unhash(ns, n);
	n->parent = node_ref(parent);
	free(n->name);
	n->name = xstrdup(name);
	link_in(ns, n);
	node_unref(ns, old);
}

ino_t
node_number(const struct node *n)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; n->parent != NULL; n = n->parent)
		h = fnv(h, n->name, strlen(n->name) + 1);
	/* 1 is the root's */
	return h > 1 ? (ino_t)h : 2;
}
