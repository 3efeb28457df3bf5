/* The parts of sbxfs that need no kernel: lines, links, the table, names. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "sbxfs/box.h"
#include "sbxfs/files.h"
#include "sbxfs/fs.h"
#include "sbxfs/lines.h"
#include "sbxfs/links.h"
#include "sbxfs/net.h"
#include "sbxfs/nodes.h"
#include "sbxfs/trees.h"
#include "tests/unit/unit.h"

/*** Lines that shells cut ***/

static char *
repeat(char c, size_t n)
{
	char *p = xmalloc(n + 1);

	memset(p, c, n);
	p[n] = '\0';
	return p;
}

START_TEST(a_write_is_passed_on_as_it_is)
{
	struct lines l = { 0 };
	struct buf out = BUF_INIT;

	ck_assert_int_eq(lines_take(&l, "a\nb", 3, &out), 0);
	ck_assert_str_eq(buf_str(&out), "a\nb");
	ck_assert_int_eq(lines_answer(&l, 3, 3, 0), 3);
	buf_clear(&out);
	ck_assert_int_eq(lines_flush(&l, &out), 0);
	ck_assert_uint_eq(out.len, 0);
	buf_done(&out);
	lines_done(&l);
}
END_TEST

START_TEST(a_cut_line_is_joined)
{
	cleanup_free char *x = repeat('x', 16384);
	struct lines l = { 0 };
	struct buf out = BUF_INIT;

	x[3] = '\n';
	ck_assert_int_eq(lines_take(&l, x, 16384, &out), 0);
	ck_assert_uint_eq(out.len, 4);
	ck_assert_int_eq(lines_answer(&l, 16384, 4, 0), 16384);
	buf_clear(&out);
	ck_assert_int_eq(lines_take(&l, "yz\nw\n", 5, &out), 0);
	ck_assert_uint_eq(out.len, 16380 + 5);
	ck_assert_int_eq(memcmp(out.data + 16380, "yz\nw\n", 5), 0);
	/* the second line fails: the writer's count is of its own bytes */
	ck_assert_int_eq(lines_answer(&l, 5, 16380 + 3, EINVAL), 3);
	/* the first fails, kept piece and all */
	ck_assert_int_eq(lines_answer(&l, 5, 0, EINVAL), -EINVAL);
	buf_done(&out);
	lines_done(&l);
}
END_TEST

START_TEST(a_flush_makes_a_line_of_the_piece)
{
	cleanup_free char *x = repeat('x', 4096);
	struct lines l = { 0 };
	struct buf out = BUF_INIT;

	ck_assert_int_eq(lines_take(&l, x, 4096, &out), 0);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(lines_flush(&l, &out), 0);
	ck_assert_uint_eq(out.len, 4096);
	buf_done(&out);
	lines_done(&l);
}
END_TEST

START_TEST(a_failing_line_takes_the_piece_along)
{
	cleanup_free char *x = repeat('x', 4096);
	struct lines l = { 0 };
	struct buf out = BUF_INIT;

	memcpy(x, "ok\nbad\n", 7);
	ck_assert_int_eq(lines_take(&l, x, 4096, &out), 0);
	ck_assert_uint_eq(out.len, 7);
	ck_assert_int_eq(lines_answer(&l, 4096, 3, EINVAL), 3);
	buf_clear(&out);
	ck_assert_int_eq(lines_flush(&l, &out), 0);
	ck_assert_uint_eq(out.len, 0);
	buf_done(&out);
	lines_done(&l);
}
END_TEST

START_TEST(a_line_that_is_too_long_is_not_kept)
{
	cleanup_free char *x = repeat('x', 2 * LINE_MAX_BYTES);
	struct lines l = { 0 };
	struct buf out = BUF_INIT;

	ck_assert_int_eq(lines_take(&l, x, LINE_MAX_BYTES, &out), 0);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(lines_take(&l, x, 4096, &out), 0);
	ck_assert_uint_eq(out.len, LINE_MAX_BYTES + 4096);
	buf_done(&out);
	lines_done(&l);
}
END_TEST

/*** Links ***/

START_TEST(only_what_stays_beneath_is_shown_as_it_is)
{
	static const struct {
		const char *target;
		size_t depth;
		bool safe;
	} t[] = {
		{ "a", 0, true },
		{ "a/b//c/", 0, true },
		{ ".", 0, true },
		{ "../a", 1, true },
		{ "../../a", 2, true },
		{ "../a", 0, false },
		{ "../../a", 1, false },
		{ "/a", 9, false },
		{ "a/../b", 5, false },
		{ "../a/../b", 5, false },
		{ "./../a", 5, false },
		{ "..", 0, false },
		{ "..a", 0, true },
		{ "...", 0, true },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ck_assert_msg(
		    link_is_safe(t[i].target, t[i].depth) == t[i].safe,
		    "%s at %zu", t[i].target, t[i].depth);
}
END_TEST

/* A small tree of links: name, target. */
static const char *const known[][2] = {
	{ "x", "/" },
	{ "bin", "usr/bin" },
	{ "a/up", "../../../.." },
	{ "a/loop", "loop" },
	{ "etc/alt", "/bin/real" },
	{ "a/chain", "up/etc/alt" },
};

static ssize_t
read_known(void *arg, const char *path, char *to, size_t n)
{
	size_t i;

	(void)arg;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i][0], path) == 0)
			return snprintf(to, n, "%s", known[i][1]);
	return 0;
}

START_TEST(a_link_leads_to_a_place_inside)
{
	static const struct {
		const char *dir, *target, *want;
	} t[] = {
		{ "a/b", "/etc/passwd", "etc/passwd" },
		{ "a/b", "../../../../../../tmp/x", "tmp/x" },
		{ "a", "../x/../../../../tmp/x", "tmp/x" },
		{ "", "/bin/sh", "usr/bin/sh" },
		{ "a", "up/etc", "etc" },
		{ "a", "chain", "usr/bin/real" },
		{ "a", "/missing/../../b", "b" },
		{ "a", "./c/.", "a/c" },
		{ "a", "/", "" },
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		buf_clear(&b);
		ck_assert_int_eq(buf_adds(&b, "/m/"), 0);
		ck_assert_int_eq(
		    link_resolve(t[i].dir, t[i].target, read_known, NULL, &b),
		    0);
		ck_assert_str_eq(buf_str(&b) + 3, t[i].want);
	}
	buf_done(&b);
}
END_TEST

START_TEST(a_loop_of_links_ends)
{
	struct buf b = BUF_INIT;

	ck_assert_int_eq(
	    link_resolve("a", "/a/loop", read_known, NULL, &b), -ELOOP);
	buf_done(&b);
}
END_TEST

/*** The table ***/

START_TEST(ctl_is_first_and_fs_is_last)
{
	const struct file *f, *first[AT_FS + 1] = { 0 }, *last = NULL;
	size_t i;

	for (i = 0; (f = file_row(i)) != NULL; i++) {
		if (first[f->at] == NULL)
			first[f->at] = f;
		if (f->at == AT_BOX)
			last = f;
		ck_assert(file_index(f) == i);
	}
	ck_assert_str_eq(first[AT_TOP]->name, "ctl");
	ck_assert_str_eq(first[AT_BOX]->name, "ctl");
	ck_assert_str_eq(last->name, "fs");
}
END_TEST

START_TEST(every_file_has_functions_and_every_directory_a_place)
{
	const struct file *f;
	size_t i;

	for (i = 0; (f = file_row(i)) != NULL; i++) {
		if (f->kind == KIND_DIR || f->kind == KIND_TREE)
			ck_assert(f->inside != AT_NOWHERE && f->ops == NULL);
		else if (f->kind != KIND_LINK)
			ck_assert_ptr_nonnull(f->ops);
		if (f->name != NULL)
			ck_assert_ptr_eq(file_find(f->at, f->name), f);
		else
			ck_assert_ptr_eq(file_any(f->at, f->kind), f);
	}
	ck_assert_ptr_null(file_find(AT_BOX, "nope"));
}
END_TEST

/*** Nodes ***/

static struct nodes ns;

static struct node *
child(struct node *parent, const char *name)
{
	return nodes_add(&ns, parent, name, file_any(AT_FS, KIND_TREE), NULL);
}

START_TEST(a_parent_lives_as_long_as_its_children)
{
	struct node *a, *b;

	nodes_init(&ns);
	a = child(ns.root, "a");
	b = child(a, "b");
	node_looked_up(b);
	node_unref(&ns, a);
	node_unref(&ns, b);
	ck_assert_ptr_eq(nodes_find(&ns, ns.root, "a"), a);
	ck_assert_ptr_eq(nodes_find(&ns, a, "b"), b);
	node_forget(&ns, b, 1);
	ck_assert_ptr_null(nodes_find(&ns, ns.root, "a"));
	ck_assert_uint_eq(ns.count, 0);
	nodes_done(&ns);
}
END_TEST

START_TEST(a_moved_node_takes_its_children_along)
{
	struct node *a, *b, *c, *was;

	nodes_init(&ns);
	a = child(ns.root, "a");
	c = child(a, "c");
	b = child(ns.root, "b");
	was = child(b, "x");
	nodes_move(&ns, a, b, "x");
	ck_assert_ptr_null(nodes_find(&ns, ns.root, "a"));
	ck_assert_ptr_eq(nodes_find(&ns, b, "x"), a);
	ck_assert_ptr_eq(nodes_find(&ns, a, "c"), c);
	ck_assert(!was->hashed);
	node_unref(&ns, was);
	node_unref(&ns, c);
	node_unref(&ns, a);
	node_unref(&ns, b);
	ck_assert_uint_eq(ns.count, 0);
	nodes_done(&ns);
}
END_TEST

START_TEST(many_nodes_are_found_again)
{
	struct node *n[5000];
	char name[16];
	size_t i;

	nodes_init(&ns);
	for (i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "n%zu", i);
		n[i] = child(ns.root, name);
	}
	for (i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "n%zu", i);
		ck_assert_ptr_eq(nodes_find(&ns, ns.root, name), n[i]);
		node_unref(&ns, n[i]);
	}
	ck_assert_uint_eq(ns.count, 0);
	nodes_done(&ns);
}
END_TEST

/*** Sandboxes ***/

static struct boxes bs;

static struct box *
update(const char *id, const char *name)
{
	json_t *p =
	    json_pack("{s:s,s:s?,s:i,s:i,s:i,s:s,s:i}", "id", id, "name", name,
		"uid", 7, "gid", 8, "mode", 0700, "state", "running", "run", 1);
	struct box *b = boxes_update(&bs, p);

	json_decref(p);
	return b;
}

START_TEST(a_box_is_found_by_its_newest_name)
{
	struct box *b;

	boxes_init(&bs);
	b = update("sbx-1", NULL);
	ck_assert_str_eq(box_shown(b), "sbx-1");
	ck_assert_ptr_eq(update("sbx-1", "web"), b);
	ck_assert_ptr_eq(boxes_by_name(&bs, "web"), b);
	ck_assert_ptr_eq(update("sbx-1", "www"), b);
	ck_assert_ptr_null(boxes_by_name(&bs, "web"));
	ck_assert_ptr_eq(boxes_by_id(&bs, "sbx-1"), b);
	ck_assert_str_eq(box_shown(b), "www");
	boxes_done(&bs);
}
END_TEST

START_TEST(what_is_not_announced_again_is_gone)
{
	struct box *b;

	boxes_init(&bs);
	boxes_begin(&bs);
	b = box_ref(update("sbx-1", "a"));
	update("sbx-2", "b");
	boxes_synced(&bs);
	boxes_begin(&bs);
	update("sbx-2", "b");
	boxes_synced(&bs);
	ck_assert_ptr_null(boxes_by_name(&bs, "a"));
	ck_assert_int_eq(b->life, BOX_DEAD);
	ck_assert_ptr_nonnull(boxes_by_name(&bs, "b"));
	box_unref(b);
	boxes_done(&bs);
}
END_TEST

START_TEST(a_husk_gives_way_to_a_new_box_of_its_name)
{
	struct box *b;

	boxes_init(&bs);
	b = box_ref(update("sbx-1", "a"));
	b->leaves_husk = true;
	boxes_gone(&bs, "sbx-1");
	ck_assert_int_eq(b->life, BOX_HUSK);
	ck_assert_ptr_eq(boxes_by_name(&bs, "a"), b);
	ck_assert_ptr_ne(update("sbx-2", "a"), b);
	ck_assert_int_eq(b->life, BOX_DEAD);
	box_unref(b);
	boxes_done(&bs);
}
END_TEST

START_TEST(nonsense_is_refused)
{
	json_t *p = json_pack("{s:s,s:s}", "id", "sbx-1", "uid", "x");

	boxes_init(&bs);
	ck_assert_ptr_null(boxes_update(&bs, p));
	json_decref(p);
	boxes_done(&bs);
}
END_TEST

/*** Trees and ids ***/

static char root_prefix[] = "", tmp_prefix[] = "tmp", vol_prefix[] = "a/vol";
static const struct trees trees = {
	.base = 100000,
	.n = 3,
	.t = { { .prefix = root_prefix, .fd = -1 },
	    { .prefix = tmp_prefix, .len = 3, .fd = -1 },
	    { .prefix = vol_prefix, .len = 5, .fd = -1 } },
};

START_TEST(a_path_is_in_the_tree_of_its_longest_prefix)
{
	static const struct {
		const char *path, *rest;
		int row;
	} t[] = {
		{ "", ".", 0 },
		{ "tmp", ".", 1 },
		{ "tmp/x", "x", 1 },
		{ "tmpx", "tmpx", 0 },
		{ "a/vol/b/c", "b/c", 2 },
		{ "a", "a", 0 },
	};
	const char *rest;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ck_assert_ptr_eq(
		    trees_at(&trees, t[i].path, &rest), &trees.t[t[i].row]);
		ck_assert_str_eq(rest, t[i].rest);
	}
}
END_TEST

START_TEST(prefixes_and_what_is_above_them_stay)
{
	ck_assert(trees_fixed(&trees, "tmp"));
	ck_assert(trees_fixed(&trees, "proc"));
	ck_assert(trees_fixed(&trees, "a/vol"));
	ck_assert(trees_fixed(&trees, "a"));
	ck_assert(!trees_fixed(&trees, "tmp/x"));
	ck_assert(!trees_fixed(&trees, "b"));
	ck_assert(trees_empty_dir("dev"));
	ck_assert(!trees_empty_dir("dev/x"));
}
END_TEST

START_TEST(root_inside_is_the_owner_outside)
{
	uint32_t host;

	ck_assert_uint_eq(id_shown(&trees, 100000, 1000), 1000);
	ck_assert_uint_eq(id_shown(&trees, 101000, 1000), 0);
	ck_assert_uint_eq(id_shown(&trees, 100033, 1000), 33);
	ck_assert_uint_eq(id_shown(&trees, 0, 1000), 0);
	ck_assert_uint_eq(id_shown(&trees, 100000, 0), 0);
	ck_assert_int_eq(id_stored(&trees, 1000, 1000, &host), 0);
	ck_assert_uint_eq(host, 100000);
	ck_assert_int_eq(id_stored(&trees, 0, 1000, &host), 0);
	ck_assert_uint_eq(host, 100000);
	ck_assert_int_eq(id_stored(&trees, 65535, 1000, &host), 0);
	ck_assert_uint_eq(host, 165535);
	ck_assert_int_eq(id_stored(&trees, 65536, 1000, &host), -EINVAL);
	/* an owner that has no place inside has root's */
	ck_assert_int_eq(id_stored(&trees, 70000, 70000, &host), 0);
	ck_assert_uint_eq(host, 100000);
}
END_TEST

/* An agent may say anything. */
START_TEST(only_attributes_of_users_are_listed)
{
	char some[] = "user.a\0security.x\0\0user.bc\0trusted.y";
	char cut[] = { 'u', 's', 'e', 'r', '.', 'a' };

	ck_assert_int_eq(fs_user_names(some, sizeof(some)), 15);
	ck_assert_mem_eq(some, "user.a\0user.bc", 15);
	ck_assert_int_eq(fs_user_names(cut, sizeof(cut)), -EIO);
	ck_assert_int_eq(fs_user_names(cut, 0), 0);
}
END_TEST

/*** Addresses ***/

START_TEST(a_token_goes_in_the_clear_to_this_machine_only)
{
	static const char *const good[] = { "http://127.0.0.1",
		"http://127.0.0.1:80", "http://localhost:80", "http://[::1]",
		"http://[::1]:80", "https://example.org" };
	static const char *const bad[] = { "http://example.org",
		"http://127.example.org", "http://127.0.0.1.example.org:80",
		"http://localhost.example.org", "http://[::1:2]:80",
		"http://192.0.2.1" };
	struct net_conf conf = { .token_file = "/dev/null" };
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		conf.url = good[i];
		ck_assert_msg(net_check(&conf, &e) == 0, "%s", good[i]);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		conf.url = bad[i];
		ck_assert_msg(net_check(&conf, &e) < 0, "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(e.text, "in the clear"));
	}
}
END_TEST

/*** The suite ***/

int
main(void)
{
	const TTest *const lines[] = { a_write_is_passed_on_as_it_is,
		a_cut_line_is_joined, a_flush_makes_a_line_of_the_piece,
		a_failing_line_takes_the_piece_along,
		a_line_that_is_too_long_is_not_kept };
	const TTest *const links[] = {
		only_what_stays_beneath_is_shown_as_it_is,
		a_link_leads_to_a_place_inside, a_loop_of_links_ends
	};
	const TTest *const table[] = { ctl_is_first_and_fs_is_last,
		every_file_has_functions_and_every_directory_a_place };
	const TTest *const nodes[] = { a_parent_lives_as_long_as_its_children,
		a_moved_node_takes_its_children_along,
		many_nodes_are_found_again };
	const TTest *const boxes[] = { a_box_is_found_by_its_newest_name,
		what_is_not_announced_again_is_gone,
		a_husk_gives_way_to_a_new_box_of_its_name,
		nonsense_is_refused };
	const TTest *const tree[] = {
		a_path_is_in_the_tree_of_its_longest_prefix,
		prefixes_and_what_is_above_them_stay,
		root_inside_is_the_owner_outside,
		only_attributes_of_users_are_listed
	};
	const TTest *const net[] = {
		a_token_goes_in_the_clear_to_this_machine_only
	};
	Suite *s = suite_create("sbxfs");

	UNIT_ADD(s, "lines", lines);
	UNIT_ADD(s, "links", links);
	UNIT_ADD(s, "files", table);
	UNIT_ADD(s, "nodes", nodes);
	UNIT_ADD(s, "box", boxes);
	UNIT_ADD(s, "trees", tree);
	UNIT_ADD(s, "net", net);
	return unit_run(s);
}
