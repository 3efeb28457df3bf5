/*
 * api_files.h - handlers of /sandboxes/{id}/files/PATH. Each exchange has a
 * connection of its own to the sandbox's agent, which does all file work, so
 * the daemon never opens a guest's path; nothing is ever held whole.
 */
#ifndef DAEMON_API_FILES_H
#define DAEMON_API_FILES_H

#include "daemon/http.h"

void api_files_get(struct http_req *r);
void api_files_head(struct http_req *r);
/* Streamed: the route has .stream. */
void api_files_put(struct http_req *r);
void api_files_delete(struct http_req *r);

#endif
