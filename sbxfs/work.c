#include "sbxfs/work.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/mem.h"

#define THREADS 4

STAILQ_HEAD(work_list, work);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct work_list waiting = STAILQ_HEAD_INITIALIZER(waiting); /* lock */
static bool stopping;						    /* lock */
static pthread_t threads[THREADS];
static size_t nthreads;

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
		w->run(w);
		free(w);
	}
	return arg;
}

int
work_start(void)
{
	int r;

	stopping = false;
	while (nthreads < THREADS) {
		r = pthread_create(&threads[nthreads], NULL, worker, NULL);
		if (r != 0)
			return -r;
		nthreads++;
	}
	return 0;
}

void
work_stop(void)
{
	(void)pthread_mutex_lock(&lock);
	stopping = true;
	(void)pthread_cond_broadcast(&more);
	(void)pthread_mutex_unlock(&lock);
	while (nthreads > 0)
		(void)pthread_join(threads[--nthreads], NULL);
}

void
work_add(const struct work *w)
{
	struct work *copy = xmalloc(sizeof(*copy));

	*copy = *w;
	(void)pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&waiting, copy, link);
	(void)pthread_cond_signal(&more);
	(void)pthread_mutex_unlock(&lock);
}
