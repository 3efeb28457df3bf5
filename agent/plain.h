/*
 * plain.h - commands of which a shell does nothing but execute them.
 *
 * Starting a shell costs more than starting most programs. As make does, a
 * line of plain words whose first is no builtin is executed by ourselves; what
 * cannot be executed so is left to the shell, whose message it then is.
 */
#ifndef AGENT_PLAIN_H
#define AGENT_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

#define PLAIN_BYTES_MAX 1024
#define PLAIN_WORDS_MAX 64

struct plain {
	char text[PLAIN_BYTES_MAX];
	char *argv[PLAIN_WORDS_MAX + 1];
};

/* True when the script is such a line; argv then points into text. */
bool plain_split(struct plain *p, const char *script, size_t len);

/* Executes it as the shell would find it: by its path, or in the PATH of env.
 * Returns only when that cannot be done. For use after vfork. */
void plain_exec(const struct plain *p, char *const *env);

#endif
