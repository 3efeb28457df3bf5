#include "agent/plain.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Builtins and reserved words of POSIX's shell, dash, bash and busybox. */
static const char *const builtins[] = { ".", ":", "[", "alias", "bg", "bind",
	"break", "builtin", "caller", "case", "cd", "chdir", "command",
	"compgen", "complete", "compopt", "continue", "coproc", "declare",
	"dirs", "disown", "do", "done", "echo", "elif", "else", "enable",
	"esac", "eval", "exec", "exit", "export", "false", "fc", "fg", "fi",
	"for", "function", "getopts", "hash", "help", "history", "if", "in",
	"jobs", "kill", "let", "local", "logout", "mapfile", "popd", "printf",
	"pushd", "pwd", "read", "readarray", "readonly", "return", "select",
	"set", "shift", "shopt", "source", "suspend", "test", "then", "time",
	"times", "trap", "true", "type", "typeset", "ulimit", "umask",
	"unalias", "unset", "until", "wait", "while" };

static bool
plain_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') ||
	    (c != '\0' && strchr("_./+:,@%^=-", c) != NULL);
}

static bool
shell_word(const char *word)
{
	size_t i;

	if (strchr(word, '=') != NULL) /* an assignment */
		return true;
	for (i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++)
		if (strcmp(word, builtins[i]) == 0)
			return true;
	return false;
}

bool
plain_split(struct plain *p, const char *script, size_t len)
{
	size_t i, n = 0;
	bool in_word = false;

	while (len > 0 && script[len - 1] == '\n')
		len--;
	if (len == 0 || len >= sizeof(p->text))
		return false;
	for (i = 0; i < len; i++) {
		if (script[i] == ' ' || script[i] == '\t') {
			p->text[i] = '\0';
			in_word = false;
			continue;
		}
		if (!plain_char(script[i]))
			return false;
		if (!in_word && n == PLAIN_WORDS_MAX)
			return false;
		if (!in_word)
			p->argv[n++] = &p->text[i];
		p->text[i] = script[i];
		in_word = true;
	}
	p->text[len] = '\0';
	p->argv[n] = NULL;
	return n > 0 && !shell_word(p->argv[0]);
}

static const char *
path_of(char *const *env)
{
	for (; *env != NULL; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return "";
}

void
plain_exec(const struct plain *p, char *const *env)
{
	const char *name = p->argv[0], *at, *end;
	size_t n = strlen(name);
	char path[PATH_MAX];

	if (strchr(name, '/') != NULL) {
		(void)execve(name, p->argv, env);
		return;
	}
	for (at = path_of(env); *at != '\0'; at = *end == ':' ? end + 1 : end) {
		end = strchrnul(at, ':');
		if (*at != '/' || (size_t)(end - at) + n + 2 > sizeof(path))
			return; /* relative, empty: the shell knows what then */
		memcpy(path, at, (size_t)(end - at));
		path[end - at] = '/';
		memcpy(path + (end - at) + 1, name, n + 1);
		(void)execve(path, p->argv, env);
	}
}
