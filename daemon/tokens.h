/*
 * tokens.h - who may speak over TCP: the file server.token_file, a line each,
 * "TOKEN" or "TOKEN IDENTITY"; empty lines and # comments. A token is 16 to
 * 255 printable characters. Only hashes of them are kept.
 *
 * They cannot be guessed at the speed of the network: an address that has
 * shown TOKENS_WRONG_MAX wrong ones is not listened to until TOKENS_WAIT_MS
 * after the last of these, but for tokens that it has shown before, so that
 * one client behind a proxy does not lock the others out.
 */
#ifndef DAEMON_TOKENS_H
#define DAEMON_TOKENS_H

#include <stdint.h>

#include "lib/err.h"

#define TOKENS_WRONG_MAX 10
#define TOKENS_WAIT_MS 60000
/* Addresses counted at a time; then the oldest goes. */
#define TOKENS_ADDRESSES_MAX 4096
/* Bytes of one: IPv6, or IPv4 mapped into it. */
#define TOKENS_ADDRESS 16

struct tokens;

int tokens_load(const char *path, struct tokens **ret, struct err *e);
/* NULL is fine. */
void tokens_free(struct tokens *t);

/*
 * The value of an Authorization header ("Bearer TOKEN"), or NULL; who shows
 * it, an IPv6 address by its first 64 bits; when. 0; -EACCES: it is none of
 * them; -EAGAIN: too many were none, this one was not looked at.
 * *ret_identity is NULL for a token without one, which may speak for anybody.
 * Takes as long for any wrong one.
 */
int tokens_admit(struct tokens *t, const char *authorization,
    const unsigned char from[TOKENS_ADDRESS], int64_t now_ms,
    const char **ret_identity);

#endif
