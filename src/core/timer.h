/* Timers of devices: one thread for all of them, asleep until the earliest deadline.
 *
 * A timer's callback runs with its owner's lock held (the device's mutex), so a device needs no
 * second thought about it; arm and disarm are called with that lock held too. After disarm under
 * the lock the callback does not run. The thread is created by the first timer that is armed: a
 * machine whose guest uses none has none.
 *
 * Lock order: the owner's lock, then the queue's own. */
#ifndef VMGUI_CORE_TIMER_H
#define VMGUI_CORE_TIMER_H

#include <pthread.h>

#include "core/util.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)
#define NS_PER_US     UINT64_C(1000)

struct timer_queue;

struct timer {
	struct timer_queue *queue; /* immutable after init, like the three below */
	pthread_mutex_t *lock;
	void (*expired)(void *opaque);
	void *opaque;

	/* The queue's lock guards these. */
	struct timer *next;
	uint64_t deadline_ns;
	bool armed;
};

/* NULL on lack of memory. */
struct timer_queue *timer_queue_create(void);
/* A queue whose clock stands still until timer_queue_advance moves it, and which has no thread: for
 * tests and fuzzing. Its clock starts at one second. */
struct timer_queue *timer_queue_create_manual(void);
/* Every timer must have been finished before. NULL is fine. */
void timer_queue_destroy(struct timer_queue *queue);

/* CLOCK_MONOTONIC, or the manual clock. */
uint64_t timer_queue_now_ns(const struct timer_queue *queue);
/* Manual queues only, without any timer's lock held: runs what comes due, in order, in this thread.
 */
void timer_queue_advance(struct timer_queue *queue, uint64_t by_ns);
/* Whether any timer is armed: for tests that idle means idle. */
bool timer_queue_idle(struct timer_queue *queue);

void timer_init(struct timer *timer, struct timer_queue *queue, pthread_mutex_t *lock,
	void (*expired)(void *opaque), void *opaque);
/* Waits for a callback that is under way. Call it without the timer's lock. */
void timer_fini(struct timer *timer);
/* Runs the callback once at deadline_ns (of timer_queue_now_ns); a second call moves the deadline.
 */
void timer_arm(struct timer *timer, uint64_t deadline_ns);
void timer_disarm(struct timer *timer);

#endif
