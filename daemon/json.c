#include "daemon/json.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "lib/utf8.h"

static const char *const kind_names[] = {
	[JSON_K_STRING] = "string",
	[JSON_K_INT] = "integer",
	[JSON_K_BOOL] = "boolean",
	[JSON_K_ARRAY] = "array",
	[JSON_K_OBJECT] = "object",
};

static bool
take_one(const json_t *v, enum json_kind kind, void *to)
{
	switch (kind) {
	case JSON_K_STRING:
		if (!json_is_string(v) ||
		    strlen(json_string_value(v)) != json_string_length(v))
			return false;
		*(const char **)to = json_string_value(v);
		return true;
	case JSON_K_INT:
		if (!json_is_integer(v))
			return false;
		*(int64_t *)to = json_integer_value(v);
		return true;
	case JSON_K_BOOL:
		if (!json_is_boolean(v))
			return false;
		*(bool *)to = json_is_true(v);
		return true;
	case JSON_K_ARRAY:
	case JSON_K_OBJECT:
		if (json_typeof(v) !=
		    (kind == JSON_K_ARRAY ? JSON_ARRAY : JSON_OBJECT))
			return false;
		*(const json_t **)to = v;
		return true;
	}
	return false;
}

int
json_take(
    const json_t *o, const struct json_field *fields, size_t n, struct err *e)
{
	const json_t *v;
	size_t i;

	for (i = 0; i < n; i++) {
		v = json_object_get(o, fields[i].name);
		if (v == NULL || json_is_null(v)) {
			if (!fields[i].required)
				continue;
			return err_setx(
			    e, EINVAL, "%s is required", fields[i].name);
		}
		if (!take_one(v, fields[i].kind, fields[i].to))
			return err_setx(e, EINVAL, "%s: expected %s",
			    fields[i].name, kind_names[fields[i].kind]);
	}
	return 0;
}

/*** Writing ***/

#define BLOCK 4096 /* bytes that room is made for at once */

/* One character below 0x20, a quote or a backslash. */
static char *
put_escape(char *to, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[0x20] = { ['\b'] = 'b',
		['\t'] = 't',
		['\n'] = 'n',
		['\f'] = 'f',
		['\r'] = 'r' };
	char letter = c < 0x20 ? letters[c] : (char)c;

	*to++ = '\\';
	if (letter != '\0') {
		*to++ = letter;
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = hex[c >> 4];
	to[4] = hex[c & 15];
	return to + 5;
}

/* As many whole characters of n bytes as a block has; -EINVAL. */
static ssize_t
put_block(char **to, const unsigned char *p, size_t n)
{
	size_t i = 0, len;

	while (i < n && i < BLOCK) {
		unsigned char c = p[i];

		if (c >= 0x80) {
			if ((len = utf8_length(p + i, n - i)) == 0)
				return -EINVAL;
			memcpy(*to, p + i, len);
			*to += len;
			i += len;
			continue;
		}
		if (c >= 0x20 && c != '"' && c != '\\')
			*(*to)++ = (char)c;
		else
			*to = put_escape(*to, c);
		i++;
	}
	return (ssize_t)i;
}

int
json_add_string(struct buf *b, const void *data, size_t n)
{
	const unsigned char *p = data;
	size_t from = b->len;
	int r = buf_adds(b, "\"");

	while (r == 0 && n > 0) {
		char *to, *end;
		ssize_t used = 0;

		/* six for a byte, and a last character of four */
		if ((r = buf_reserve(b, 6 * BLOCK + 4, &to)) != 0)
			break;
		end = to;
		if ((used = put_block(&end, p, n)) < 0)
			r = (int)used;
		else
			buf_grew(b, (size_t)(end - to));
		p += used;
		n -= (size_t)used;
	}
	if (r == 0)
		r = buf_adds(b, "\"");
	if (r != 0)
		buf_cut(b, from);
	return r;
}

int
json_add_base64(struct buf *b, const void *data, size_t n)
{
	const gnutls_datum_t in = { (unsigned char *)(uintptr_t)data,
		(unsigned)n };
	gnutls_datum_t out;
	int r;

	if (gnutls_base64_encode2(&in, &out) < 0)
		return -ENOMEM;
	r = buf_add(b, out.data, out.size);
	gnutls_free(out.data);
	return r;
}
