#include "sbxfs/work.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/fd.h"

#define THREADS 4

STAILQ_HEAD(work_list, work);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct work_list waiting = STAILQ_HEAD_INITIALIZER(waiting); /* lock */
static struct work_list ended = STAILQ_HEAD_INITIALIZER(ended);	    /* lock */
static bool stopping;						    /* lock */
static pthread_t threads[THREADS];
static size_t nthreads;
static int event = -1; /* something is in ended */

/*** In any thread ***/

static void
finish(struct work *w)
{
	const uint64_t one = 1;

	if (!w->tree) {
		w->end(w);
		free(w);
		return;
	}
	(void)pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&ended, w, link);
	(void)pthread_mutex_unlock(&lock);
	(void)!write(event, &one, sizeof(one));
}

/*** The threads ***/

/* NULL: there is no more, for good. */
static struct work *
next(void)
{
	struct work *w;

	(void)pthread_mutex_lock(&lock);
	while ((w = STAILQ_FIRST(&waiting)) == NULL && !stopping)
		(void)pthread_cond_wait(&more, &lock);
	if (w != NULL)
		STAILQ_REMOVE_HEAD(&waiting, link);
	(void)pthread_mutex_unlock(&lock);
	return w;
}

static void *
worker(void *arg)
{
	struct work *w;

	while ((w = next()) != NULL) {
		w->result = w->run(w);
		/* Returns when nobody interrupts it any more. */
		if (w->req != NULL)
			fuse_req_interrupt_func(w->req, NULL, NULL);
		finish(w);
	}
	return arg;
}

int
work_start(int *ret_fd)
{
	int r;

	if ((event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		return -errno;
	*ret_fd = event;
	stopping = false;
	while (nthreads < THREADS) {
		r = pthread_create(&threads[nthreads], NULL, worker, NULL);
		if (r != 0)
			return -r;
		nthreads++;
	}
	return 0;
}

/*** The dispatching thread ***/

void
work_stop(void)
{
	(void)pthread_mutex_lock(&lock);
	stopping = true;
	(void)pthread_cond_broadcast(&more);
	(void)pthread_mutex_unlock(&lock);
	while (nthreads > 0)
		(void)pthread_join(threads[--nthreads], NULL);
	work_ended();
	close_fd(&event);
}

void
work_ended(void)
{
	struct work *w;
	uint64_t n;

	(void)!read(event, &n, sizeof(n));
	for (;;) {
		(void)pthread_mutex_lock(&lock);
		if ((w = STAILQ_FIRST(&ended)) != NULL)
			STAILQ_REMOVE_HEAD(&ended, link);
		(void)pthread_mutex_unlock(&lock);
		if (w == NULL)
			return;
		w->end(w);
		free(w);
	}
}

static bool
take_back(struct work *w)
{
	struct work *at;

	STAILQ_FOREACH(at, &waiting, link)
	if (at == w) {
		STAILQ_REMOVE(&waiting, w, work, link);
		return true;
	}
	return false;
}

/* As a disk's: these calls end by no signal but one that ends the caller. */
static bool
is_killed(fuse_req_t req)
{
	return signals_of(fuse_req_ctx(req)->pid) == SIGNALS_END;
}

/* Where it runs, its thread waits for us before it frees w. */
static void
interrupted(fuse_req_t req, void *arg)
{
	struct work *w = arg;
	bool back;

	if (!is_killed(req))
		return;
	(void)pthread_mutex_lock(&lock);
	back = take_back(w);
	(void)pthread_mutex_unlock(&lock);
	if (!back)
		return;
	w->result = -EINTR;
	finish(w);
}

void
work_add(struct work *w)
{
	/* One that is interrupted already would be from within
	 * fuse_req_interrupt_func, which cannot be. */
	bool was = w->req != NULL && fuse_req_interrupted(w->req);

	if (was && is_killed(w->req)) {
		w->result = -EINTR;
		finish(w);
		return;
	}
	if (w->req != NULL && !was)
		fuse_req_interrupt_func(w->req, interrupted, w);
	(void)pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&waiting, w, link);
	(void)pthread_cond_signal(&more);
	(void)pthread_mutex_unlock(&lock);
}
