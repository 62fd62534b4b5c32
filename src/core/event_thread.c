/* A thread of descriptors and posted calls. See event_thread.h.
 *
 * Threads: the event thread itself; any thread posts. `lock` is the innermost of all locks and
 * never held around a callback. */
#include "core/event_thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/signals.h"

#define BATCH_EVENTS 32

struct event_thread {
	int epoll_fd, wake_fd; /* immutable */

	pthread_mutex_t lock;
	struct event_call *first, **last; /* under lock: posted calls */
	bool stop;                        /* under lock */

	bool started;     /* of the thread that starts and stops */
	pthread_t thread; /* likewise */
	char name[16];    /* immutable while started */

	/* Of the event thread: what epoll reported and has not been looked at; a watch that ends is
	 * taken out, as its storage may be gone. */
	struct epoll_event batch[BATCH_EVENTS];
	int batch_count;
};

/* Whose callbacks run in this thread: a post from there needs no wake-up. Always the program's,
 * never a module's: found without the dynamic linker's help. */
static _Thread_local const struct event_thread *current __attribute__((tls_model("initial-exec")));

void event_thread_clear(int eventfd)
{
	uint64_t count;

	if (read(eventfd, &count, sizeof(count)) < 0)
		return; /* it was zero */
}

int event_thread_create(struct event_thread **out, struct error *err)
{
	struct event_thread *thread = calloc(1, sizeof(*thread));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = thread };
	int rc;

	if (!thread)
		return error_set(err, ENOMEM, "event thread: out of memory");
	thread->last = &thread->first;
	thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->wake_fd < 0) {
		rc = error_set(err, errno, "cannot make an eventfd: %s", strerror(errno));
		goto free_thread;
	}
	thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (thread->epoll_fd < 0) {
		rc = error_set(err, errno, "cannot make an epoll: %s", strerror(errno));
		goto close_wake;
	}
	if (epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, thread->wake_fd, &event)) {
		rc = error_set(err, errno, "cannot watch an eventfd: %s", strerror(errno));
		goto close_epoll;
	}
	pthread_mutex_init(&thread->lock, NULL);
	*out = thread;
	return 0;

close_epoll:
	close(thread->epoll_fd);
close_wake:
	close(thread->wake_fd);
free_thread:
	free(thread);
	return rc;
}

void event_thread_destroy(struct event_thread *thread)
{
	if (!thread)
		return;
	event_thread_stop(thread);
	close(thread->epoll_fd);
	close(thread->wake_fd);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

static void wake(const struct event_thread *thread)
{
	uint64_t one = 1;

	if (write(thread->wake_fd, &one, sizeof(one)) < 0)
		return; /* full, which wakes as well */
}

void event_thread_post(struct event_thread *thread, struct event_call *call)
{
	bool was_empty = false;

	pthread_mutex_lock(&thread->lock);
	if (!call->queued) {
		was_empty = !thread->first;
		call->queued = true;
		call->next = NULL;
		*thread->last = call;
		thread->last = &call->next;
	}
	pthread_mutex_unlock(&thread->lock);
	/* Where calls wait already the thread has been woken, or is awake and will look. */
	if (was_empty && current != thread)
		wake(thread);
}

/* Runs what has been posted up to now; what that posts in turn comes after the next look at the
 * descriptors. True: the thread is to end. */
static bool run_calls(struct event_thread *thread, unsigned *done)
{
	struct event_call *call;
	bool stop;

	pthread_mutex_lock(&thread->lock);
	stop = thread->stop;
	call = thread->first;
	thread->first = NULL;
	thread->last = &thread->first;
	while (call) {
		struct event_call *next = call->next;

		/* From here on it may be posted anew, and after the call its storage may be gone.
		 */
		call->queued = false;
		pthread_mutex_unlock(&thread->lock);
		call->function(call);
		(*done)++;
		pthread_mutex_lock(&thread->lock);
		call = next;
	}
	pthread_mutex_unlock(&thread->lock);
	return stop;
}

static void run_events(struct event_thread *thread, int timeout_ms, unsigned *done)
{
	int count = epoll_wait(thread->epoll_fd, thread->batch, BATCH_EVENTS, timeout_ms);

	thread->batch_count = count > 0 ? count : 0; /* EINTR: a debugger */
	for (int i = 0; i < thread->batch_count; i++) {
		struct event_watch *watch = thread->batch[i].data.ptr;

		if (!watch)
			continue;
		if (thread->batch[i].data.ptr == thread) { /* woken for calls, which come next */
			event_thread_clear(thread->wake_fd);
			continue;
		}
		/* What is wanted may have changed since epoll saw it. */
		uint32_t events = thread->batch[i].events & (watch->events | EPOLLHUP | EPOLLERR);
		if (!events)
			continue;
		watch->ready(watch, events);
		(*done)++;
	}
	thread->batch_count = 0;
}

static bool has_calls(struct event_thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	bool calls = thread->first || thread->stop;
	pthread_mutex_unlock(&thread->lock);
	return calls;
}

static void *event_thread_main(void *opaque)
{
	struct event_thread *thread = opaque;
	unsigned done = 0;

	pthread_setname_np(pthread_self(), thread->name);
	current = thread;
	/* The wake-up is taken before the calls are: one too many may come, but none is missed. */
	while (!run_calls(thread, &done))
		run_events(thread, has_calls(thread) ? 0 : -1, &done);
	current = NULL;
	return NULL;
}

unsigned event_thread_step(struct event_thread *thread)
{
	unsigned done = 0;

	assert(!thread->started);
	current = thread;
	run_calls(thread, &done);
	run_events(thread, 0, &done);
	current = NULL;
	return done;
}

int event_thread_start(struct event_thread *thread, const char *name, struct error *err)
{
	sigset_t before;
	int rc;

	assert(!thread->started);
	strncpy(thread->name, name, sizeof(thread->name) - 1);
	thread->stop = false;
	signals_block_for_thread(&before);
	rc = pthread_create(&thread->thread, NULL, event_thread_main, thread);
	signals_restore(&before);
	if (rc)
		return error_set(err, rc, "%s: cannot start a thread: %s", name, strerror(rc));
	thread->started = true;
	return 0;
}

void event_thread_stop(struct event_thread *thread)
{
	if (!thread->started)
		return;
	pthread_mutex_lock(&thread->lock);
	thread->stop = true;
	pthread_mutex_unlock(&thread->lock);
	wake(thread);
	pthread_join(thread->thread, NULL);
	thread->started = false;
}

int event_thread_watch(struct event_thread *thread, struct event_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (!events) {
		event_thread_unwatch(thread, watch);
		return 0;
	}
	if (events == watch->events)
		return 0;
	if (epoll_ctl(thread->epoll_fd, watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd,
		    &event))
		return -errno;
	watch->events = events;
	return 0;
}

void event_thread_unwatch(struct event_thread *thread, struct event_watch *watch)
{
	if (!watch->events)
		return;
	watch->events = 0;
	epoll_ctl(thread->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = 0; i < thread->batch_count; i++)
		if (thread->batch[i].data.ptr == watch)
			thread->batch[i].data.ptr = NULL;
}
