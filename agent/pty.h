/*
 * pty.h - the terminal of a job. We keep its master and carry the bytes: from
 * the job's stdin pipe into it, from it into the job's stdout pipe. So the
 * front reads and writes pipes as of any job, and its death hangs up nothing.
 */
#ifndef AGENT_PTY_H
#define AGENT_PTY_H

#include <stdint.h>

struct pty_size {
	int64_t rows, cols; /* 1 to 65535 */
};

struct pty;

/* A new one; *ret_tty is what the job gets, borrowed. 0 or -errno. */
int pty_new(struct pty **ret, const struct pty_size *size, int *ret_tty);
/* Carries from now on; takes both descriptors. drained is called once, after
 * pty_ended: what the terminal held at that time is in the pipe. */
void pty_run(
    struct pty *t, int in, int out, void (*drained)(void *arg), void *arg);
/* The job's first process has exited. */
void pty_ended(struct pty *t);
/* Nobody waits for the bytes any more: a full pipe holds up no end. */
void pty_forsake(struct pty *t);
int pty_resize(struct pty *t, const struct pty_size *size);
const struct pty_size *pty_size(const struct pty *t);
/* NULL is fine. */
void pty_free(struct pty *t);

#endif
