/* A thread that sleeps until a descriptor is ready or somebody posts a call into it: for devices
 * that have no disk (those live in the disk's thread, see block.h).
 *
 * What runs in the thread needs no lock against other things that run there. The thread never polls
 * and takes no signals. One that was not started can be stepped instead, in the caller's thread:
 * tests and fuzzing see the same code without a race for who is first. */
#ifndef VMGUI_CORE_EVENT_THREAD_H
#define VMGUI_CORE_EVENT_THREAD_H

#include "core/error.h"
#include "core/util.h"

struct event_thread;

/* A call into the thread; storage is the caller's. Zero but for function before it is first posted.
 */
struct event_call {
	void (*function)(struct event_call *call);
	struct event_call *next; /* these two are the thread's */
	bool queued;
};

/* A descriptor that is watched; storage is the caller's, as is the descriptor. */
struct event_watch {
	int fd;
	/* In the thread, for as long as the descriptor is ready (level-triggered): EPOLLIN and so
	 * on, EPOLLHUP and EPOLLERR whether asked for or not. May change or end any watch, free the
	 * watch's own storage included. */
	void (*ready)(struct event_watch *watch, uint32_t events);
	uint32_t events; /* the thread's; 0 before the first use */
};

VMGUI_MUST_USE int event_thread_create(struct event_thread **out, struct error *err);
/* Stops, too; calls that have not run never will. NULL is fine. */
void event_thread_destroy(struct event_thread *thread);

/* Starts the thread under that name (15 characters). */
VMGUI_MUST_USE int event_thread_start(
	struct event_thread *thread, const char *name, struct error *err);
/* Calls posted before have run when it returns; what they posted may not have. Later ones wait for
 * the next start. No-op when not started. */
void event_thread_stop(struct event_thread *thread);

/* Any thread, any lock: call->function(call) soon runs in the thread, in the order of posting; once
 * if it is posted again before it has run. */
void event_thread_post(struct event_thread *thread, struct event_call *call);

/* Begins to watch, or changes what is watched for; events 0: nothing any more, not even EPOLLHUP.
 * When that has returned, ready is not called for what is no longer wanted, though it may have
 * happened already. In the thread, or while it is not started. Negative errno when a watch that is
 * to begin cannot; changing and ending never fail. */
VMGUI_MUST_USE int event_thread_watch(
	struct event_thread *thread, struct event_watch *watch, uint32_t events);
void event_thread_unwatch(struct event_thread *thread, struct event_watch *watch);

/* Not started: deals in the caller's thread with what has come, and does not wait. Returns how many
 * calls and events there were. */
unsigned event_thread_step(struct event_thread *thread);

/* Takes an eventfd's count, so that it is no longer ready. */
void event_thread_clear(int eventfd);

#endif
