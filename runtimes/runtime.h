/*
 * runtime.h - the seam between the broker and what makes instances.
 *
 * A runtime is one const struct of functions, called by a broker worker:
 * root, one thread, blocking straight-line code, several workers at once in
 * several processes. What an id means is known from the runtime's own records
 * in RUN_DIR/mnt/instances/ID, never from the caller. All functions return 0,
 * or -1 and a filled struct err.
 */
#ifndef RUNTIMES_RUNTIME_H
#define RUNTIMES_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/err.h"

#define RT_ID_MAX 64   /* "sbx-", a node id of 23 and "-", 32 digits, NUL */
#define RT_NAME_MAX 64 /* host names, images, profiles; NUL included */
#define RT_TREES_MAX 8
#define RT_SOCKETS 8 /* that one request for TCP sockets makes */
/* Files of spool/, made with it: see daemon/spool.h. */
#define RT_SPOOL_JOURNAL "journal"
#define RT_SPOOL_LOG "log"

/* What process 1 and a small job need. */
#define RT_MEMORY_MIN (4 << 20)

/* More is taken for a mistake. */
#define RT_BYTES_MAX ((int64_t)1 << 50)
#define RT_MILLI_MAX INT64_C(1000000000)
#define RT_PIDS_MAX INT64_C(4194304) /* the kernel's */

/* All 0 means no limit. */
struct rt_limits {
	int64_t memory_bytes;
	int64_t cpu_milli; /* thousandths of a core */
	int64_t pids;
	int64_t storage_bytes; /* of the writable layer; fixed at create */
};

/* Bits of those that a host may be unable to hold. */
#define RT_LIMIT_MEMORY 1u
#define RT_LIMIT_CPU 2u
#define RT_LIMIT_PIDS 4u

/* What a root filesystem starts from; strings are owned by the config. */
struct rt_image {
	const char *name;
	const char *kind; /* "host", "dir" or "tar" */
	const char *path; /* of the directory or the archive; NULL for host */
};

/* Where a runtime works and what it may use; one for the life of a broker. */
struct rt_env {
	const char *run_dir;	/* agents/, mnt/ */
	const char *data_dir;	/* sandboxes/, layers/, images/ */
	const char *cgroup;	/* our directory's name under each hierarchy */
	const char *agent_path; /* the program sbx-agent */
	int64_t id_first;	/* first host id of the ranges */
	int64_t id_count;	/* ids there: id_count / 65536 ranges */
	uid_t front_uid;	/* who may connect to agents' sockets */
	gid_t front_gid;
};

struct rt_spec {
	const char *id;
	const char *hostname;
	const struct rt_image *image;
	struct rt_limits limits;
};

enum rt_state {
	RT_DOWN, /* disk only */
	RT_UP,	 /* its process 1 lives */
	RT_DEAD, /* was up, its process 1 is gone; stop makes it RT_DOWN */
};

struct rt_info {
	char id[RT_ID_MAX];
	enum rt_state state;
	pid_t pid;	  /* of the agent, on the host; 0 when not up */
	uint32_t id_base; /* host id of the sandbox's root */
	uint32_t run;	  /* counts starts and stops */
	bool lost; /* list: there is no record of it, nor its disk any more */
};

struct rt_stats {
	uint64_t cpu_usec;
	uint64_t memory_bytes, memory_peak, memory_limit;
	uint64_t pids, pids_limit;
	uint64_t io_rbytes, io_wbytes;
	uint64_t net_rx, net_tx;
	uint64_t disk_bytes, disk_limit;
	uint64_t oom_kills; /* processes that the memory limit has killed */
};

struct rt_tree {
	char prefix[32]; /* "/", "/tmp", "/usr" */
	bool readonly;
	int fd; /* directory; the caller closes */
};

/* A pipe among the agent's descriptors, and which end of it is wanted. */
struct rt_stream {
	int fdnum;
	uint64_t ino; /* what it must be */
	bool writing;
};

enum rt_socket {
	RT_SOCKET_DIAG,
	RT_SOCKET_TCP,
};

struct runtime {
	const char *name;

	/* What the host offers, a line each, for --check. -1: cannot run. */
	int (*probe)(
	    const struct rt_env *env, struct buf *report, struct err *e);
	/*
	 * Once in the broker before the workers fork: directories, the pinned
	 * mount namespace, which it enters, the filter, the built-in image.
	 */
	int (*init)(const struct rt_env *env, struct err *e);
	/* RT_LIMIT bits of what this host cannot hold, after probe or init: a
	 * create that asks for such a limit is refused. */
	unsigned (*unheld)(void);
	/* Makes the disk and starts process 1; its socket listens on return.
	 * What fails leaves nothing behind. */
	int (*create)(
	    const struct rt_spec *spec, struct rt_info *ret, struct err *e);
	/* Sets the host name (may be NULL) and the limits of a live one. */
	int (*claim)(const char *id, const char *hostname,
	    const struct rt_limits *limits, struct err *e);
	int (*start)(const char *id, struct rt_info *ret, struct err *e);
	/* Kills everything inside; the disk stays. Idempotent. */
	int (*stop)(const char *id, struct rt_info *ret, struct err *e);
	/* Kills, unmounts, deletes; what is already gone is no error. */
	int (*destroy)(const char *id, struct err *e);
	int (*freeze)(const char *id, bool on, struct err *e);
	int (*stats)(const char *id, struct rt_stats *ret, struct err *e);
	/*
	 * Directories for sbxfs; *n in: room, out: how many. Files are made
	 * there with fsuid and fsgid of the sandbox's range (setfsuid of
	 * id_base + N): other ids have no number on its disk, EOVERFLOW.
	 */
	int (*trees)(
	    const char *id, struct rt_tree *ret, size_t *n, struct err *e);
	/* Reopens a descriptor of the agent's after a restart of the front. */
	int (*stream)(const char *id, const struct rt_stream *which,
	    int *ret_fd, struct err *e);
	/*
	 * Sockets that belong to its network, for the front to use: one of
	 * NETLINK_SOCK_DIAG, which tells what listens, or n TCP ones that are
	 * not connected yet (of IPv6, for both, where the kernel has it).
	 */
	int (*sockets)(const char *id, enum rt_socket what, int *ret_fds,
	    size_t n, struct err *e);
	/* The agent on the disk of one that is down, for files only; it ends
	 * when its last connection has been closed for 10 s, or at start. */
	int (*files)(const char *id, struct err *e);
	/* All records, calling each; ends early when each returns non-zero. */
	int (*list)(int (*each)(const struct rt_info *, void *), void *arg,
	    struct err *e);
};

extern const struct runtime runtime_native;

#endif
