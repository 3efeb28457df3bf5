#include "daemon/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "daemon/front.h"
#include "lib/fd.h"
#include "lib/mem.h"

#define FILE_MAX (1u << 20)
#define TOKEN_MIN 16
#define TOKEN_MAX 255
#define HASH 32
#define KNOWN_MAX 16

struct address {
	unsigned char b[TOKENS_ADDRESS];
};

struct token {
	unsigned char hash[HASH];
	char identity[SB_IDENTITY_MAX];	 /* "" none */
	struct address known[KNOWN_MAX]; /* who has shown it, latest first */
	size_t nknown;
};

/* Who has shown wrong ones lately. */
struct guesser {
	struct address from;
	int64_t last_ms;
	unsigned wrong;
};

struct tokens {
	struct token *v;
	size_t n;
	struct guesser *guessers;
	size_t nguessers;
};

static void
hash_of(const char *token, size_t n, unsigned char hash[HASH])
{
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, token, n, hash) < 0)
		abort(); /* a library without SHA-256 */
}

static bool
printable(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

/* One line; what is wrong with it is never quoted. */
static int
add_line(struct tokens *t, char *line, int number, struct err *e)
{
	char *rest = NULL, *token = strtok_r(line, " \t\r", &rest);
	char *identity = token != NULL ? strtok_r(NULL, " \t\r", &rest) : NULL;
	struct token *to;

	if (token == NULL || *token == '#')
		return 0;
	if (strlen(token) < TOKEN_MIN || strlen(token) > TOKEN_MAX ||
	    !printable(token))
		return err_setx(e, EINVAL,
		    "line %d: a token is %d to %d printable characters", number,
		    TOKEN_MIN, TOKEN_MAX);
	if (identity != NULL &&
	    (strlen(identity) >= SB_IDENTITY_MAX || !printable(identity) ||
		strcmp(identity, "-") == 0 ||
		strncmp(identity, "uid:", 4) == 0))
		return err_setx(e, EINVAL,
		    "line %d: an identity is a word, and none of uid:", number);
	if (identity != NULL && strtok_r(NULL, " \t\r", &rest) != NULL)
		return err_setx(
		    e, EINVAL, "line %d: expected TOKEN [IDENTITY]", number);
	t->v = xrealloc(t->v, t->n + 1, sizeof(*t->v));
	to = &t->v[t->n++];
	memset(to, 0, sizeof(*to));
	hash_of(token, strlen(token), to->hash);
	if (identity != NULL)
		(void)str_copy(to->identity, identity, sizeof(to->identity));
	return 0;
}

static int
add_lines(struct tokens *t, char *text, struct err *e)
{
	char *line;
	int number = 0;

	while ((line = strsep(&text, "\n")) != NULL)
		if (add_line(t, line, ++number, e) < 0)
			return -1;
	if (t->n == 0)
		return err_setx(e, EINVAL, "no token in it");
	return 0;
}

int
tokens_load(const char *path, struct tokens **ret, struct err *e)
{
	struct tokens *t = xcalloc(1, sizeof(*t));
	char *text = xmalloc(FILE_MAX);
	ssize_t n = fd_read_at(AT_FDCWD, path, text, FILE_MAX);
	int r;

	if (n < 0)
		r = err_set(e, (int)-n, "server.token_file %s", path);
	else if (n == FILE_MAX - 1) /* its last line may be half a token */
		r = err_setx(
		    e, EFBIG, "server.token_file %s: 1 MiB or more", path);
	else if ((r = add_lines(t, text, e)) < 0)
		err_wrap(e, "server.token_file %s", path);
	explicit_bzero(text, FILE_MAX);
	free(text);
	if (r < 0)
		tokens_free(t);
	else
		*ret = t;
	return r;
}

void
tokens_free(struct tokens *t)
{
	if (t == NULL)
		return;
	free(t->v);
	free(t->guessers);
	free(t);
}

/*** Who guesses ***/

/* Whoever has an IPv6 address has 2^64 of them. */
static struct address
address_of(const unsigned char from[TOKENS_ADDRESS])
{
	static const unsigned char mapped[12] = { [10] = 0xff, 0xff };
	struct address a = { 0 };

	memcpy(a.b, from,
	    memcmp(from, mapped, sizeof(mapped)) == 0 ? TOKENS_ADDRESS : 8);
	return a;
}

static bool
same(const struct address *a, const struct address *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* NULL: it is none, or none any more. */
static struct guesser *
guesser_find(struct tokens *t, const struct address *from, int64_t now_ms)
{
	for (size_t i = 0; i < t->nguessers; i++) {
		struct guesser *g = &t->guessers[i];

		if (!same(&g->from, from))
			continue;
		if (now_ms - g->last_ms < TOKENS_WAIT_MS)
			return g;
		*g = t->guessers[--t->nguessers];
		return NULL;
	}
	return NULL;
}

/* A place for one more: a new one, or the oldest. */
static struct guesser *
guesser_add(struct tokens *t)
{
	struct guesser *oldest = t->guessers;

	if (t->nguessers < TOKENS_ADDRESSES_MAX) {
		t->guessers = xrealloc(
		    t->guessers, t->nguessers + 1, sizeof(*t->guessers));
		return &t->guessers[t->nguessers++];
	}
	for (size_t i = 1; i < t->nguessers; i++)
		if (t->guessers[i].last_ms < oldest->last_ms)
			oldest = &t->guessers[i];
	return oldest;
}

static int
wrong(struct tokens *t, const struct address *from, int64_t now_ms)
{
	struct guesser *g = guesser_find(t, from, now_ms);

	if (g == NULL) {
		g = guesser_add(t);
		*g = (struct guesser){ .from = *from };
	}
	g->wrong++;
	g->last_ms = now_ms;
	return -EACCES;
}

static bool
is_known(const struct token *to, const struct address *from)
{
	for (size_t i = 0; i < to->nknown; i++)
		if (same(&to->known[i], from))
			return true;
	return false;
}

static void
know(struct token *to, const struct address *from)
{
	if (is_known(to, from))
		return;
	if (to->nknown < KNOWN_MAX)
		to->nknown++;
	memmove(
	    &to->known[1], to->known, (to->nknown - 1) * sizeof(to->known[0]));
	to->known[0] = *from;
}

static struct token *
find(const struct tokens *t, const char *authorization)
{
	const char *token = authorization + 7;
	struct token *found = NULL;
	unsigned char hash[HASH];

	if (strncasecmp(authorization, "bearer ", 7) != 0)
		return NULL;
	token += strspn(token, " ");
	hash_of(token, strlen(token), hash);
	for (size_t i = 0; i < t->n; i++)
		if (gnutls_memcmp(t->v[i].hash, hash, HASH) == 0)
			found = &t->v[i];
	return found;
}

int
tokens_admit(struct tokens *t, const char *authorization,
    const unsigned char from[TOKENS_ADDRESS], int64_t now_ms,
    const char **ret_identity)
{
	const struct address a = address_of(from);
	const struct guesser *g = guesser_find(t, &a, now_ms);
	struct token *found;

	if (authorization == NULL) /* that guesses nothing */
		return -EACCES;
	found = find(t, authorization);
	if (g != NULL && g->wrong >= TOKENS_WRONG_MAX &&
	    (found == NULL || !is_known(found, &a)))
		return -EAGAIN;
	if (found == NULL)
		return wrong(t, &a, now_ms);
	know(found, &a);
	*ret_identity = found->identity[0] != '\0' ? found->identity : NULL;
	return 0;
}
