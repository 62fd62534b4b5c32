/* Worker threads for system calls that block; see engine_internal.h.
 *
 * Threads: submit, collect and destroy in the engine's thread. */
#include "block/engine_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define POOL_THREADS 16

struct engine_pool {
	void (*finished)(void *opaque); /* immutable, as its opaque */
	void *opaque;
	pthread_t threads[POOL_THREADS]; /* the engine's thread */
	pthread_mutex_t lock;
	pthread_cond_t work;
	/* Under lock. */
	unsigned thread_count, starting, idle;
	struct call_list waiting, done;
	unsigned waiting_count;
	bool quit;
};

int engine_pool_create(void (*finished)(void *opaque), void *opaque, struct engine_pool **pool_out)
{
	struct engine_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->finished = finished;
	pool->opaque = opaque;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	call_list_init(&pool->waiting);
	call_list_init(&pool->done);
	*pool_out = pool;
	return 0;
}

void engine_pool_destroy(struct engine_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* Under lock, which it lets go while it works. */
static void work_one(struct engine_pool *pool)
{
	struct file_call *call = call_list_take(&pool->waiting);
	bool first;

	pool->waiting_count--;
	pthread_mutex_unlock(&pool->lock);
	if (!engine_strike(call))
		call->result = engine_execute(call);
	pthread_mutex_lock(&pool->lock);
	first = !pool->done.first;
	call_list_append(&pool->done, call);
	if (!first)
		return;
	pthread_mutex_unlock(&pool->lock);
	pool->finished(pool->opaque);
	pthread_mutex_lock(&pool->lock);
}

static void *work(void *opaque)
{
	struct engine_pool *pool = opaque;

	pthread_setname_np(pthread_self(), "disk-io");
	pthread_mutex_lock(&pool->lock);
	pool->starting--;
	for (;;) {
		if (pool->waiting_count) {
			work_one(pool);
		} else if (pool->quit) {
			break;
		} else {
			pool->idle++;
			pthread_cond_wait(&pool->work, &pool->lock);
			pool->idle--;
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Under lock. False: the host gives us no more. */
static bool add_thread(struct engine_pool *pool)
{
	sigset_t all, before;
	int ret;

	/* Signals are the main thread's; SIGXFSZ, which a file size limit sends to the writer, is
	 * nobody's: the write gives EFBIG. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		return false;
	pool->thread_count++;
	pool->starting++;
	return true;
}

void engine_pool_submit(struct engine_pool *pool, struct call_list *calls)
{
	unsigned wake;

	if (!calls->first)
		return;
	pthread_mutex_lock(&pool->lock);
	for (struct file_call *call = calls->first; call; call = call->next)
		pool->waiting_count++;
	call_list_move(&pool->waiting, calls);
	/* A thread that was woken and has not run yet still counts as idle, and what it will take
	 * as waiting. */
	while (pool->thread_count < POOL_THREADS &&
		pool->waiting_count > pool->idle + pool->starting && add_thread(pool)) {
	}
	while (!pool->thread_count && pool->waiting_count)
		work_one(pool); /* not even one thread: done here, slowly */
	wake = pool->waiting_count < pool->idle ? pool->waiting_count : pool->idle;
	while (wake--)
		pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

void engine_pool_collect(struct engine_pool *pool, struct call_list *finished)
{
	pthread_mutex_lock(&pool->lock);
	call_list_move(finished, &pool->done);
	pthread_mutex_unlock(&pool->lock);
}
