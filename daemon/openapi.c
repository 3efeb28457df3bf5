/*
 * openapi.c - GET /openapi.json, made from the table of routes and from the
 * tables that read the bodies, so that it cannot say anything else.
 */
#include <ctype.h>
#include <string.h>

#include "daemon/api_files.h"
#include "daemon/api_impl.h"
#include "lib/buf.h"
#include "lib/mem.h"

/* What reads the body of a handler, and how its success looks. */
static const struct {
	void (*handle)(struct http_req *r);
	const struct api_field *fields;
	const char *status; /* "200" where it is not here */
	const char *type;   /* of the answer: application/json; "" none */
	const char *body;   /* type of a body without fields */
} details[] = {
	{ .handle = api_create, api_create_fields, "201" },
	{ .handle = api_patch, api_patch_fields },
	{ .handle = api_exec, api_exec_fields },
	{ .handle = api_verb_stop, api_stop_fields },
	{ .handle = api_verb_restart, api_stop_fields },
	{ .handle = api_pool_resize, api_pool_fields },
	{ .handle = api_delete, .status = "204", .type = "" },
	{ .handle = api_metrics, .type = "text/plain" },
	{ .handle = api_log, .type = "text/plain" },
	{ .handle = api_events, .type = "text/event-stream" },
	{ .handle = api_ws, .status = "101", .type = "" },
	{ .handle = api_tree_ws, .status = "101", .type = "" },
	{ .handle = api_expose, api_expose_fields },
	{ .handle = api_unexpose, .status = "204", .type = "" },
	{ .handle = api_proxy, .status = "2XX", .type = "" },
	{ .handle = api_env_put, .body = "application/json" },
	{ .handle = api_files_get, .type = "application/octet-stream" },
	{ .handle = api_files_head, .type = "" },
	{ .handle = api_files_put, .body = "application/octet-stream" },
};

static const struct {
	const char *type, *of;
} schemas[] = {
	[API_STRING] = { "string", NULL },
	[API_BYTES] = { "string", NULL },
	[API_INT] = { "integer", NULL },
	[API_NUMBER] = { "number", NULL },
	[API_BOOL] = { "boolean", NULL },
	[API_SIZE] = { "string", NULL },
	[API_MAP] = { "object", "string" },
	[API_MAP_NULL] = { "object", "string" },
};

static json_t *
schema_of(const struct api_field *field)
{
	json_t *j = json_pack("{s:s,s:s}", "type", schemas[field->kind].type,
	    "description", field->what);

	if (schemas[field->kind].of != NULL)
		(void)json_object_set_new(j, "additionalProperties",
		    json_pack("{s:s}", "type", schemas[field->kind].of));
	return j;
}

static json_t *
request_body(const struct api_field *fields)
{
	json_t *properties = json_object(), *required = json_array();
	json_t *schema;

	for (; fields->name != NULL; fields++) {
		(void)json_object_set_new(
		    properties, fields->name, schema_of(fields));
		if (fields->required)
			(void)json_array_append_new(
			    required, json_string(fields->name));
	}
	schema =
	    json_pack("{s:s,s:o}", "type", "object", "properties", properties);
	if (json_array_size(required) > 0)
		(void)json_object_set(schema, "required", required);
	json_decref(required);
	return json_pack(
	    "{s:{s:{s:o}}}", "content", "application/json", "schema", schema);
}

/* "{id}" of the pattern, and "path" for a last "*". */
static json_t *
parameters(const char *path)
{
	json_t *list = json_array();

	for (const char *p = path; *p != '\0'; p++) {
		cleanup_free char *name = NULL;

		if (*p == '{')
			name = xstrndup(p + 1, strcspn(p + 1, "}"));
		else if (*p == '*')
			name = xstrdup("path");
		if (name != NULL)
			(void)json_array_append_new(list,
			    json_pack("{s:s,s:s,s:b,s:{s:s}}", "name", name,
				"in", "path", "required", 1, "schema", "type",
				"string"));
	}
	return list;
}

static json_t *
operation(const struct http_route *route)
{
	const char *status = "200", *type = "application/json";
	json_t *j = json_pack("{s:s,s:o,s:{s:{s:s,s:{s:{s:{s:s}}}}}}",
	    "summary", route->summary, "parameters", parameters(route->path),
	    "responses", "default", "description", "What went wrong", "content",
	    "application/json", "schema", "$ref", "#/components/schemas/Error");
	json_t *responses = json_object_get(j, "responses"), *success;

	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
		if (details[i].handle != route->handle)
			continue;
		if (details[i].fields != NULL)
			(void)json_object_set_new(
			    j, "requestBody", request_body(details[i].fields));
		if (details[i].status != NULL)
			status = details[i].status;
		if (details[i].type != NULL)
			type = details[i].type;
	}
	success = json_pack("{s:s}", "description", "Success");
	if (type[0] != '\0')
		(void)json_object_set_new(
		    success, "content", json_pack("{s:{}}", type));
	(void)json_object_set_new(responses, status, success);
	return j;
}

static void
add_route(json_t *paths, const struct http_route *route)
{
	static const char any[] =
	    "get put post delete options head patch trace";
	cleanup_buf struct buf path = BUF_INIT;
	bool is_any = strcmp(route->method, HTTP_ANY) == 0;
	cleanup_free char *methods = xstrdup(is_any ? any : route->method);
	char *rest = methods, *method;
	json_t *item;

	for (const char *p = route->path; *p != '\0'; p++)
		(void)buf_add(
		    &path, *p == '*' ? "{path}" : p, *p == '*' ? 6 : 1);
	item = json_object_get(paths, buf_str(&path));
	if (item == NULL) {
		item = json_object();
		(void)json_object_set_new(paths, buf_str(&path), item);
	}
	for (char *p = methods; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	while ((method = strsep(&rest, " ")) != NULL)
		(void)json_object_set_new(item, method, operation(route));
}

void
api_openapi(struct http_req *r)
{
	json_t *paths = json_object();

	for (size_t i = 0; api_routes[i].method != NULL; i++)
		add_route(paths, &api_routes[i]);
	http_json(r, 200,
	    json_pack("{s:s,s:{s:s,s:s,s:s},s:o,s:{s:{s:{s:s,s:{s:{s:s}}}}}}",
		"openapi", "3.0.3", "info", "title", "sbxd", "version", "1",
		"description",
		"Sandboxes over HTTP. On the Unix socket the "
		"caller is the peer's uid; root may speak for another in "
		"X-Sandbox-Identity.",
		"paths", paths, "components", "schemas", "Error", "type",
		"object", "properties", "error", "type", "string"));
}
