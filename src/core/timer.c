/* Timers of devices. See timer.h.
 *
 * Threads: "timers" (created on demand) sleeps on a condition variable until the earliest deadline;
 * any other thread arms and disarms. The list is kept sorted: a machine has about ten timers. */
#include "core/timer.h"
#include "core/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/signals.h"

struct timer_queue {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a new earliest deadline, or stop */
	pthread_cond_t fired;   /* `firing` went back to NULL */

	/* lock guards these */
	struct timer *first;
	struct timer *firing; /* its callback is about to run, or running */
	pthread_t thread;
	bool have_thread, stop;

	bool manual;                 /* immutable after create */
	atomic_uint_fast64_t now_ns; /* manual only */
};

static struct timer_queue *queue_create(bool manual)
{
	struct timer_queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, &attr);
	pthread_cond_init(&queue->fired, NULL);
	pthread_condattr_destroy(&attr);
	queue->manual = manual;
	atomic_init(&queue->now_ns, NS_PER_SECOND);
	return queue;
}

struct timer_queue *timer_queue_create(void)
{
	return queue_create(false);
}

struct timer_queue *timer_queue_create_manual(void)
{
	return queue_create(true);
}

uint64_t timer_queue_now_ns(const struct timer_queue *queue)
{
	if (queue->manual)
		return atomic_load(&queue->now_ns);
	return clock_now_ns();
}

/* With the queue's lock held. */
static void unlink_timer(struct timer_queue *queue, struct timer *timer)
{
	struct timer **link = &queue->first;
	if (!timer->armed)
		return;
	while (*link != timer)
		link = &(*link)->next;
	*link = timer->next;
	timer->next = NULL;
	timer->armed = false;
}

/* Runs the earliest timer if it is due. Called and left with the queue's lock held, which is
 * dropped in between: the owner's lock comes first in the order, so the timer is looked at again
 * under both. */
static void fire_first(struct timer_queue *queue)
{
	struct timer *timer = queue->first;
	queue->firing = timer;
	pthread_mutex_unlock(&queue->lock);

	pthread_mutex_lock(timer->lock);
	pthread_mutex_lock(&queue->lock);
	bool due = timer->armed && timer->deadline_ns <= timer_queue_now_ns(queue);
	if (due)
		unlink_timer(queue, timer);
	pthread_mutex_unlock(&queue->lock);
	if (due)
		timer->expired(timer->opaque);
	pthread_mutex_unlock(timer->lock);

	pthread_mutex_lock(&queue->lock);
	queue->firing = NULL;
	pthread_cond_broadcast(&queue->fired);
}

static void *timer_thread(void *opaque)
{
	struct timer_queue *queue = opaque;
	pthread_setname_np(pthread_self(), "timers");
	pthread_mutex_lock(&queue->lock);
	while (!queue->stop) {
		if (!queue->first) {
			pthread_cond_wait(&queue->changed, &queue->lock);
			continue;
		}
		uint64_t deadline_ns = queue->first->deadline_ns;
		if (deadline_ns <= timer_queue_now_ns(queue)) {
			fire_first(queue);
			continue;
		}
		struct timespec until = {
			.tv_sec = (time_t)(deadline_ns / NS_PER_SECOND),
			.tv_nsec = (long)(deadline_ns % NS_PER_SECOND),
		};
		pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
	}
	pthread_mutex_unlock(&queue->lock);
	return NULL;
}

/* With the queue's lock held. */
static void need_thread(struct timer_queue *queue)
{
	if (queue->have_thread || queue->manual)
		return;
	/* The caller may be a vCPU thread with signals of its own; this thread takes none. */
	sigset_t before;
	signals_block_for_thread(&before);
	int rc = pthread_create(&queue->thread, NULL, timer_thread, queue);
	signals_restore(&before);
	if (rc)
		log_error("timer",
			"cannot start the timer thread: %s (devices' timers stand still)",
			strerror(rc));
	else
		queue->have_thread = true;
}

void timer_queue_destroy(struct timer_queue *queue)
{
	if (!queue)
		return;
	pthread_mutex_lock(&queue->lock);
	queue->stop = true;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	if (queue->have_thread)
		pthread_join(queue->thread, NULL);
	pthread_cond_destroy(&queue->fired);
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

void timer_queue_advance(struct timer_queue *queue, uint64_t by_ns)
{
	uint64_t target_ns = atomic_load(&queue->now_ns) + by_ns;
	pthread_mutex_lock(&queue->lock);
	while (queue->first && queue->first->deadline_ns <= target_ns) {
		if (queue->first->deadline_ns > atomic_load(&queue->now_ns))
			atomic_store(&queue->now_ns, queue->first->deadline_ns);
		fire_first(queue);
	}
	atomic_store(&queue->now_ns, target_ns);
	pthread_mutex_unlock(&queue->lock);
}

bool timer_queue_idle(struct timer_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool idle = !queue->first;
	pthread_mutex_unlock(&queue->lock);
	return idle;
}

void timer_init(struct timer *timer, struct timer_queue *queue, pthread_mutex_t *lock,
	void (*expired)(void *opaque), void *opaque)
{
	*timer = (struct timer){
		.queue = queue,
		.lock = lock,
		.expired = expired,
		.opaque = opaque,
	};
}

void timer_fini(struct timer *timer)
{
	struct timer_queue *queue = timer->queue;
	if (!queue)
		return;
	pthread_mutex_lock(&queue->lock);
	unlink_timer(queue, timer);
	while (queue->firing == timer) {
		pthread_cond_wait(&queue->fired, &queue->lock);
		unlink_timer(queue, timer); /* the callback may have armed it again */
	}
	pthread_mutex_unlock(&queue->lock);
	timer->queue = NULL;
}

void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
	struct timer_queue *queue = timer->queue;
	pthread_mutex_lock(&queue->lock);
	unlink_timer(queue, timer);
	struct timer **link = &queue->first;
	while (*link && (*link)->deadline_ns <= deadline_ns)
		link = &(*link)->next;
	timer->next = *link;
	timer->deadline_ns = deadline_ns;
	timer->armed = true;
	*link = timer;
	need_thread(queue);
	if (queue->first == timer)
		pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

void timer_disarm(struct timer *timer)
{
	struct timer_queue *queue = timer->queue;
	pthread_mutex_lock(&queue->lock);
	unlink_timer(queue, timer);
	pthread_mutex_unlock(&queue->lock);
}
