/*
 * A line of commands: any bytes. What was split is quoted and split again, and
 * must be the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(_Bool is)
{
	if (!is)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf line = BUF_INIT;
	struct words w, again;
	struct err e;
	size_t i;

	if (words_split(&w, (const char *)data, size, &e) < 0) {
		must(e.code != 0 && *e.text != '\0');
		return 0;
	}
	must(w.n <= WORDS_MAX && w.w[w.n] == NULL);
	for (i = 0; i < w.n; i++) {
		(void)words_value(w.w[i], "key");
		must(i == 0 || buf_adds(&line, " ") == 0);
		must(words_quote(&line, w.w[i]) == 0);
	}
	must(words_split(&again, buf_str(&line), line.len, &e) == 0);
	must(again.n == w.n);
	for (i = 0; i < w.n; i++)
		must(strcmp(w.w[i], again.w[i]) == 0);
	words_done(&w);
	words_done(&again);
	buf_done(&line);
	return 0;
}
