/*
 * brokerproto.h - what the front may ask the broker: a short enum of
 * fixed-layout requests over a SOCK_SEQPACKET pair, one pair a worker, one
 * request in flight on each. An answer is one packet, with descriptors where
 * the table says so; BROKER_LIST answers with many, the last with more == 0.
 * Requests name sandboxes by id, profiles and images by the name they have in
 * the configuration, and nothing else: the broker re-checks every field.
 */
#ifndef DAEMON_BROKERPROTO_H
#define DAEMON_BROKERPROTO_H

#include <stdint.h>

#include "runtimes/runtime.h"

enum broker_op {
	BROKER_CREATE = 1, /* id, name: profile's image, limits */
	BROKER_CLAIM,	   /* id, name: host name, limits */
	BROKER_START,	   /* id */
	BROKER_STOP,	   /* id */
	BROKER_DESTROY,	   /* id */
	BROKER_FREEZE,	   /* id, flag */
	BROKER_STATS,	   /* id -> stats */
	BROKER_TREES,	   /* id -> trees, descriptors */
	BROKER_STREAM,	   /* id, fdnum, ino, flag: writing -> descriptor */
	BROKER_SOCKETS,	   /* id, flag: TCP, else SOCK_DIAG -> descriptors */
	BROKER_FILES,	   /* id */
	BROKER_LIST,	   /* -> one packet an instance, then more == 0 */
	BROKER_RELOAD,	   /* as SIGHUP to the broker */
	BROKER_OPS
};

struct broker_req {
	uint32_t op;
	int32_t fdnum;
	uint64_t ino;
	uint32_t flag;
	uint32_t pad;
	char id[RT_ID_MAX];
	char name[RT_NAME_MAX]; /* image, or host name */
	struct rt_limits limits;
};

struct broker_tree {
	char prefix[32];
	uint32_t readonly;
};

struct broker_rep {
	int32_t code; /* 0, or an errno: then text says why */
	uint32_t more;
	char text[512];
	struct rt_info info;   /* create, start, stop, list */
	struct rt_stats stats; /* stats */
	uint32_t ntrees;       /* trees */
	struct broker_tree trees[RT_TREES_MAX];
};

#endif
