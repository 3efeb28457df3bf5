/*
 * signals.h - whether somebody who waits for us is to be let go.
 *
 * The kernel interrupts a request (once) for any signal that its thread
 * would take: also for SIGCHLD, SIGWINCH or a timer's, which end no write to
 * a file on a disk. The thread has them pending as long as it waits.
 */
#ifndef SBXFS_SIGNALS_H
#define SBXFS_SIGNALS_H

#include <sys/types.h>

enum signals {
	SIGNALS_NONE,  /* or such as nobody minds: a child's end */
	SIGNALS_BREAK, /* a timer's, say: what can be left is left */
	SIGNALS_END,   /* it is killed, or people end programs with them */
};

/* What the thread has pending; SIGNALS_END where nobody can tell. */
enum signals signals_of(pid_t tid);

#endif
