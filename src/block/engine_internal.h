/* What the two engines share; see engine.h. */
#ifndef VMGUI_BLOCK_ENGINE_INTERNAL_H
#define VMGUI_BLOCK_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/engine.h"

#define ENGINE_WATCHES 64

struct engine_watch {
	int fd;
	void (*rang)(void *opaque);
	void *opaque;
};

/* First in, first out. */
struct call_list {
	struct file_call *first, **last;
};

struct engine_kind_ops {
	const char *name;
	int (*prepare)(struct engine *engine, struct error *err);
	/* In the engine's thread, around the loop. */
	void (*begin)(struct engine *engine);
	void (*end)(struct engine *engine);
	/* One turn: hands everything in `gathered` to the host, waits until something has come
	 * (unless something is in `finished`), calls the watches that rang and puts calls that
	 * finished into `finished`. */
	void (*turn)(struct engine *engine);
	void (*destroy)(struct engine *engine);
};

struct engine {
	const struct engine_kind_ops *ops;
	/* Immutable while it runs. */
	struct engine_watch watches[ENGINE_WATCHES];
	unsigned watch_count;
	void (*batch_end)(void *opaque);
	void *batch_end_opaque;
	int wake_fd; /* immutable: an eventfd that ends the wait of a turn */

	/* The engine's thread. */
	struct call_list gathered, finished;
	unsigned in_flight;       /* calls that were submitted and not completed */
	uint64_t inline_after_ns; /* see engine_write_inline */

	atomic_bool stopping;
	pthread_mutex_t post_lock;
	struct block_call *posted, **posted_last; /* under post_lock */
};

int engine_uring_create(struct engine **engine, struct error *err);
int engine_threads_create(struct engine **engine, struct error *err);

/* For the two: the common part. */
int engine_init(struct engine *engine, const struct engine_kind_ops *ops, struct error *err);
void engine_fini(struct engine *engine);
void engine_wake(struct engine *engine); /* any thread */

/* Makes the call now, in this thread; may block. */
int64_t engine_execute(struct file_call *call);
/* Looks up the fault that a test wants: true if call->result is set and there is nothing to do.
 * May shorten the call. */
bool engine_strike(struct file_call *call);
/* In the engine's thread: true if the call, a write into the page cache, was made here and now. */
bool engine_write_inline(struct engine *engine, struct file_call *call);

static inline void call_list_init(struct call_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static inline void call_list_append(struct call_list *list, struct file_call *call)
{
	call->next = NULL;
	*list->last = call;
	list->last = &call->next;
}

static inline struct file_call *call_list_take(struct call_list *list)
{
	struct file_call *call = list->first;

	if (call) {
		list->first = call->next;
		if (!list->first)
			list->last = &list->first;
	}
	return call;
}

/* Moves everything in `from` to the end of `to`. */
static inline void call_list_move(struct call_list *to, struct call_list *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	call_list_init(from);
}

/* Worker threads for calls that block: made when they are needed, 16 at most, asleep otherwise. */
struct engine_pool;

/* finished: called in a worker after calls were finished and none was waiting to be collected. */
VMGUI_MUST_USE int engine_pool_create(
	void (*finished)(void *opaque), void *opaque, struct engine_pool **pool);
void engine_pool_destroy(struct engine_pool *pool); /* nothing in flight; NULL is fine */
/* Takes the calls over. */
void engine_pool_submit(struct engine_pool *pool, struct call_list *calls);
/* Appends what has been finished. */
void engine_pool_collect(struct engine_pool *pool, struct call_list *finished);

#endif
