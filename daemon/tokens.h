/*
 * tokens.h - who may speak over TCP: the file server.token_file, a line each,
 * "TOKEN" or "TOKEN IDENTITY"; empty lines and # comments. A token is 16 to
 * 255 printable characters. Only hashes of them are kept.
 */
#ifndef DAEMON_TOKENS_H
#define DAEMON_TOKENS_H

#include <stdbool.h>

#include "lib/err.h"

struct tokens;

int tokens_load(const char *path, struct tokens **ret, struct err *e);
/* NULL is fine. */
void tokens_free(struct tokens *t);

/* The value of an Authorization header ("Bearer TOKEN"), or NULL. False: it
 * is none of them. *ret_identity is NULL for a token without one, which may
 * speak for anybody. Takes as long for any wrong one. */
bool tokens_admit(const struct tokens *t, const char *authorization,
    const char **ret_identity);

#endif
