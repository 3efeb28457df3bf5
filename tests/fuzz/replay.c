/*
 * A fuzzer's main without libFuzzer: runs it over the files named, so that
 * `make test` needs no clang to check that every seed is still handled.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX (1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *whole = malloc(INPUT_MAX), *data;
	size_t n;

	if (!f || !whole) {
		perror(path);
		exit(1);
	}
	n = fread(whole, 1, INPUT_MAX, f);
	(void)fclose(f);
	/* Exactly the size, so that a read behind it is seen. */
	data = realloc(whole, n > 0 ? n : 1);
	if (!data) {
		perror(path);
		exit(1);
	}
	(void)LLVMFuzzerTestOneInput(data, n);
	free(data);
}

int
main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%d inputs\n", argc - 1);
	return 0;
}
