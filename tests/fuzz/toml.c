/*
 * The configuration's reader: any bytes. What it tells must hold what toml.h
 * promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/toml.h"
#include "lib/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(_Bool is)
{
	if (!is)
		abort();
}

static void
check_text(const char *s)
{
	size_t n, left = strlen(s);

	for (; left > 0; s += n, left -= n)
		must((n = utf8_length(s, left)) != 0);
}

static int
look(void *arg, const struct toml_item *it, struct err *e)
{
	const struct toml_value *v = it->value;
	int *last = arg;
	size_t i;

	(void)e;
	must(it->line >= *last);
	*last = it->line;
	must(it->nparts >= 1 && it->nparts <= TOML_PARTS_MAX);
	for (i = 0; i < it->nparts; i++)
		check_text(it->parts[i]);
	must(strlen(it->path) <= TOML_KEY_MAX);
	if (v->type == TOML_STRING)
		check_text(v->text);
	must(v->nitems <= TOML_ITEMS_MAX);
	for (i = 0; i < v->nitems; i++) {
		must(v->items[i].type != TOML_ARRAY);
		must(v->items[i].type != TOML_TABLE);
		if (v->items[i].type == TOML_STRING)
			check_text(v->items[i].text);
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int last = 1;
	struct err e;

	if (toml_read((const char *)data, size, look, &last, &e) < 0)
		must(strncmp(e.text, "line ", 5) == 0 || size > TOML_TEXT_MAX);
	return 0;
}
