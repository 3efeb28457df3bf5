/*
 * input.h - a hold on a job's stdin: of an open jobs/N/stdin, or of the
 * jobs/new that started the job. When the last is closed the job's input
 * ends, also when there was no front to be told just then.
 */
#ifndef SBXFS_INPUT_H
#define SBXFS_INPUT_H

#include "sbxfs/impl.h"

struct input {
	int64_t
	    no; /* ours for it, negative (the front's own are not); 0: none */
	int job;
	bool creator;
	bool closed; /* while there was no front */
};

/* A new number. */
int64_t input_number(void);
/* Asks the front for it: c is answered. */
void input_open(struct call *c, const struct handle *h, const struct input *in);
/* A new front is there: has it again. */
void input_up(struct handle *h, struct input *in);
/* The open file goes. */
void input_close(struct handle *h, struct input *in);

#endif
