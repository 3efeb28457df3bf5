#include "daemon/tokens.h"

#include <errno.h>
#include <fcntl.h>
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

struct token {
	unsigned char hash[HASH];
	char identity[SB_IDENTITY_MAX]; /* "" none */
};

struct tokens {
	struct token *v;
	size_t n;
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
	free(t);
}

bool
tokens_admit(const struct tokens *t, const char *authorization,
    const char **ret_identity)
{
	const struct token *found = NULL;
	unsigned char hash[HASH];
	const char *token;
	size_t i;

	if (authorization == NULL ||
	    strncasecmp(authorization, "bearer ", 7) != 0)
		return false;
	token = authorization + 7 + strspn(authorization + 7, " ");
	hash_of(token, strlen(token), hash);
	for (i = 0; i < t->n; i++)
		if (gnutls_memcmp(t->v[i].hash, hash, HASH) == 0)
			found = &t->v[i];
	if (found == NULL)
		return false;
	*ret_identity = found->identity[0] != '\0' ? found->identity : NULL;
	return true;
}
