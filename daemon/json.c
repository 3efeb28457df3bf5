#include "daemon/json.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

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
