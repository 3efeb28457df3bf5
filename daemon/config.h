/*
 * config.h - the configuration: /etc/sbxd/sbxd.toml over built-in defaults,
 * then the variables SANDBOX_SOCKET, SANDBOX_TCP, SANDBOX_DATA_DIR and the
 * same with prefix SBXD_, which win (empty ones are ignored).
 *
 * An unknown key is a warning with its line; a bad value is an error with its
 * line, and nothing is changed. Keys, defaults and units: sbxd.toml(5), whose
 * list a test compares with the table in config.c. Built-in: profile
 * "default" (image host, 512 MiB, 1 core, 500 MiB, pids 256), image "host".
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/err.h"
#include "lib/hostport.h"
#include "runtimes/runtime.h"

struct profile {
	TAILQ_ENTRY(profile) link;
	char name[RT_NAME_MAX];
	char image[RT_NAME_MAX]; /* names a struct image */
	char runtime[16];	 /* "native" */
	char network[16];	 /* "none" */
	char proxy[16];		 /* "any"; "exposed": only such ports */
	struct rt_limits limits;
	int64_t timeout_s; /* of one job; 0 none */
	int64_t start_timeout_ms;
	int64_t pool_min; /* instances kept ready */
	int64_t pool_max;
	char *memory_text; /* as configured, for GET /profiles */
	char *storage_text;
};

struct image {
	TAILQ_ENTRY(image) link;
	struct rt_image rt; /* strings owned here */
};

TAILQ_HEAD(profiles, profile);
TAILQ_HEAD(images, image);

struct config {
	char *path;	 /* of the file read, or NULL: built-in only */
	struct buf text; /* what was read; config_load takes it again */
	char *socket;	 /* server.socket: RUN_DIR/sbxd.sock */
	char *tcp;	 /* server.tcp: "host:port", "" off */
	char *tls_cert, *tls_key; /* server.tls_*: "" none */
	char *token_file;	  /* server.token_file: "" none */
	bool insecure;		  /* server.insecure: TCP for all */
	char *data_dir;		  /* server.data_dir: /var/lib/sbxd */
	char *run_dir;		  /* server.run_dir: /run/sbxd */
	char *user;		  /* server.user: _sbx; a name or a number */
	char *group;		  /* server.group: sbx; of the sockets */
	char *cgroup;		  /* server.cgroup: sbxd */
	char *agent;		  /* server.agent: PREFIX/lib/sbxd/sbx-agent */
	char *node_id;		  /* server.node_id: "" */
	bool compat_socket;
	int64_t id_first;	  /* server.id_first: 268435456 */
	int64_t id_count;	  /* server.id_count: 2147483648 */
	int64_t workers;	  /* server.workers: 3, of the broker */
	int64_t max_sandboxes;	  /* limits.*: 10000 */
	int64_t max_memory_bytes; /* of one request: 0 none, default 4g */
	int64_t max_cpu_milli;	  /* of one request: default 4.0 */
	int64_t total_memory_bytes, total_cpu_milli; /* 0 none */
	int64_t max_ttl_s;			     /* 86400 */
	int64_t connect_timeout_s;		     /* 600 */
	int64_t job_output_bytes;		     /* kept of one job: 64m */
	int64_t max_tunnels;	   /* exposed ports of a sandbox: 10 */
	int64_t max_tunnel_conns;  /* of a tunnel at a time: 100, 0 any */
	char *tunnel_bind_address; /* 127.0.0.1 */
	int64_t tunnel_port_min, tunnel_port_max; /* 0: the kernel's choice */
	int64_t websocket_idle_ms;		  /* of a proxied one: 5m */
	int64_t jobs_kept;	/* finished jobs of a sandbox: 100 */
	int64_t jobs_bytes;	/* kept of all of them: 256m */
	int64_t pool_min_base;	/* pool.min_base: 2, of profiles without */
	int64_t pool_max_warm;	/* pool.max_warm: 60, all profiles */
	int64_t pool_health_ms; /* pool.health_interval: 10s */
	struct profiles profiles;
	struct images images;
};

/*
 * Reads path (NULL: /etc/sbxd/sbxd.toml, where a missing file is the built-in
 * configuration). Warnings go through warn, one sentence each with its line.
 * *ret is new, for config_free.
 */
int config_load(const char *path, void (*warn)(const char *text),
    struct config **ret, struct err *e);
void config_free(struct config *c);
/* To the log; and for debugging only, where the broker has said it. */
void config_warn(const char *text);
void config_warned(const char *text);
/* RT_LIMIT bits that this host cannot hold: no profile has them by default,
 * in all that is loaded from now on. Once, at start. */
void config_unheld(unsigned bits);
/* After reading it again: what holds until the next start (server.*, but for
 * node_id and workers) is taken from old; what has changed is a warning. */
void config_keep(struct config *now, const struct config *old,
    void (*warn)(const char *text));

/* server.tcp: as hostport_parse, and ":PORT" for all addresses of IPv4. */
bool config_tcp(const char *tcp, struct hostport *ret);
/* Is it empty, or an address that only this machine reaches? */
bool config_tcp_is_local(const char *tcp);

/* NULL where there is none. */
const struct profile *config_profile(const struct config *c, const char *name);
const struct image *config_image(const struct config *c, const char *name);

#endif
