/* The event thread: calls, descriptors, watches that end while they are ready, stopping. */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/event_thread.h"

struct source {
	struct event_watch watch;
	struct event_thread *thread;
	struct source *victim; /* its watch ends when this one is ready */
	uint32_t events;
	unsigned ready;
	bool keep; /* leaves the descriptor ready */
};

static void source_ready(struct event_watch *watch, uint32_t events)
{
	struct source *source = container_of(watch, struct source, watch);

	source->ready++;
	source->events |= events;
	if (!source->keep)
		event_thread_clear(watch->fd);
	if (source->victim) {
		event_thread_unwatch(source->thread, &source->victim->watch);
		memset(source->victim, 0xff, sizeof(*source->victim)); /* as freed as can be */
		source->victim = NULL;
	}
}

static void source_init(struct source *source, struct event_thread *thread)
{
	*source = (struct source){
		.watch = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .ready = source_ready },
		.thread = thread,
	};
	assert_true(source->watch.fd >= 0);
}

static void ring(int fd)
{
	uint64_t one = 1;
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static struct event_thread *create(void)
{
	struct event_thread *thread;
	struct error err;
	assert_int_equal(event_thread_create(&thread, &err), 0);
	return thread;
}

struct counter {
	struct event_call call;
	struct event_thread *thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned count;
	pthread_t where;
	bool again;
};

static void count(struct event_call *call)
{
	struct counter *counter = container_of(call, struct counter, call);
	pthread_mutex_lock(&counter->lock);
	counter->count++;
	counter->where = pthread_self();
	if (counter->again)
		event_thread_post(counter->thread, &counter->call);
	pthread_cond_broadcast(&counter->changed);
	pthread_mutex_unlock(&counter->lock);
}

static void counter_init(struct counter *counter, struct event_thread *thread)
{
	*counter = (struct counter){ .call.function = count, .thread = thread };
	pthread_mutex_init(&counter->lock, NULL);
	pthread_cond_init(&counter->changed, NULL);
}

static void counter_wait(struct counter *counter, unsigned count_wanted)
{
	pthread_mutex_lock(&counter->lock);
	while (counter->count < count_wanted)
		pthread_cond_wait(&counter->changed, &counter->lock);
	pthread_mutex_unlock(&counter->lock);
}

static void event_thread_call_posted_twice_runs_once(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct counter counter;
	counter_init(&counter, thread);
	event_thread_post(thread, &counter.call);
	event_thread_post(thread, &counter.call);
	assert_int_equal(event_thread_step(thread), 1);
	assert_int_equal(counter.count, 1);
	assert_int_equal(event_thread_step(thread), 0);
	event_thread_post(thread, &counter.call);
	assert_int_equal(event_thread_step(thread), 1);
	event_thread_destroy(thread);
}

static char order[8];

static void note(struct event_call *call, char which)
{
	(void)call;
	order[strlen(order)] = which;
}

static void note_a(struct event_call *call)
{
	note(call, 'a');
}

static void note_b(struct event_call *call)
{
	note(call, 'b');
}

static void event_thread_calls_run_in_order(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct event_call a = { .function = note_a }, b = { .function = note_b };
	memset(order, 0, sizeof(order));
	event_thread_post(thread, &b);
	event_thread_post(thread, &a);
	event_thread_post(thread, &b);
	event_thread_step(thread);
	event_thread_post(thread, &b);
	event_thread_step(thread);
	assert_string_equal(order, "bab");
	event_thread_destroy(thread);
}

static void event_thread_call_that_posts_itself_leaves_room_for_events(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct counter counter;
	struct source source;
	counter_init(&counter, thread);
	source_init(&source, thread);
	assert_int_equal(event_thread_watch(thread, &source.watch, EPOLLIN), 0);
	counter.again = true;
	event_thread_post(thread, &counter.call);
	ring(source.watch.fd);
	event_thread_step(thread);
	assert_int_equal(counter.count, 1);
	assert_int_equal(source.ready, 1);
	/* Neither does it keep the thread from stopping. */
	assert_int_equal(event_thread_start(thread, "test", NULL), 0);
	counter_wait(&counter, 100);
	event_thread_stop(thread);
	close(source.watch.fd);
	event_thread_destroy(thread);
}

static void event_thread_level_event_comes_until_it_is_dealt_with(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct source source;
	source_init(&source, thread);
	source.keep = true;
	assert_int_equal(event_thread_watch(thread, &source.watch, EPOLLIN), 0);
	assert_int_equal(event_thread_step(thread), 0);
	ring(source.watch.fd);
	assert_int_equal(event_thread_step(thread), 1);
	assert_int_equal(event_thread_step(thread), 1);
	source.keep = false;
	assert_int_equal(event_thread_step(thread), 1);
	assert_int_equal(event_thread_step(thread), 0);
	assert_int_equal(source.events, EPOLLIN);
	close(source.watch.fd);
	event_thread_destroy(thread);
}

static void event_thread_mask_changes_what_is_seen(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct source source;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	source = (struct source){ .watch = { .fd = pair[0], .ready = source_ready }, .keep = true };
	assert_int_equal(event_thread_watch(thread, &source.watch, EPOLLIN), 0);
	assert_int_equal(event_thread_step(thread), 0);
	assert_int_equal(event_thread_watch(thread, &source.watch, EPOLLIN | EPOLLOUT), 0);
	assert_int_equal(event_thread_step(thread), 1);
	assert_int_equal(source.events, EPOLLOUT);
	assert_int_equal(event_thread_watch(thread, &source.watch, 0), 0);
	close(pair[1]);
	assert_int_equal(event_thread_step(thread), 0); /* not even the hang-up */
	assert_int_equal(event_thread_watch(thread, &source.watch, EPOLLIN), 0);
	assert_int_equal(event_thread_step(thread), 1);
	assert_true(source.events & EPOLLHUP);
	event_thread_unwatch(thread, &source.watch);
	event_thread_unwatch(thread, &source.watch);
	close(pair[0]);
	event_thread_destroy(thread);
}

/* All are ready in one batch; the first that is called ends the others. */
static void event_thread_watch_that_ended_in_the_same_batch_is_not_called(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct source sources[2];
	int fds[2];
	for (int i = 0; i < 2; i++) {
		source_init(&sources[i], thread);
		fds[i] = sources[i].watch.fd;
		assert_int_equal(event_thread_watch(thread, &sources[i].watch, EPOLLIN), 0);
	}
	sources[0].victim = &sources[1];
	sources[1].victim = &sources[0];
	ring(fds[0]);
	ring(fds[1]);
	assert_int_equal(event_thread_step(thread), 1);
	assert_int_equal(event_thread_step(thread), 0);
	close(fds[0]);
	close(fds[1]);
	event_thread_destroy(thread);
}

static void event_thread_watch_that_cannot_begin_says_so(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct source source = { .watch = { .fd = -1, .ready = source_ready } };
	assert_true(event_thread_watch(thread, &source.watch, EPOLLIN) < 0);
	event_thread_unwatch(thread, &source.watch);
	event_thread_destroy(thread);
}

static void event_thread_runs_posts_of_other_threads(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct counter counter;
	counter_init(&counter, thread);
	assert_int_equal(event_thread_start(thread, "test", NULL), 0);
	for (unsigned i = 1; i <= 1000; i++) {
		event_thread_post(thread, &counter.call);
		counter_wait(&counter, i);
	}
	assert_false(pthread_equal(counter.where, pthread_self()));
	event_thread_stop(thread);
	event_thread_stop(thread);
	event_thread_destroy(thread);
}

static void event_thread_stop_runs_what_was_posted(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct counter counter;
	counter_init(&counter, thread);
	for (unsigned i = 1; i <= 200; i++) {
		assert_int_equal(event_thread_start(thread, "test", NULL), 0);
		event_thread_post(thread, &counter.call);
		event_thread_stop(thread);
		assert_int_equal(counter.count, i);
	}
	/* And what is posted to a stopped one waits for the next start. */
	event_thread_post(thread, &counter.call);
	assert_int_equal(counter.count, 200);
	assert_int_equal(event_thread_start(thread, "test", NULL), 0);
	event_thread_stop(thread);
	assert_int_equal(counter.count, 201);
	event_thread_destroy(thread);
}

struct poster {
	struct event_thread *thread;
	struct event_call call;
	atomic_uint ran;
};

static void poster_ran(struct event_call *call)
{
	atomic_fetch_add(&container_of(call, struct poster, call)->ran, 1);
}

static void *post_much(void *opaque)
{
	struct poster *poster = opaque;
	for (int i = 0; i < 5000; i++)
		event_thread_post(poster->thread, &poster->call);
	return NULL;
}

static void event_thread_posts_of_many_threads_are_not_lost(void **state)
{
	(void)state;
	struct event_thread *thread = create();
	struct poster posters[4];
	pthread_t threads[4];
	assert_int_equal(event_thread_start(thread, "test", NULL), 0);
	for (int i = 0; i < 4; i++) {
		posters[i] = (struct poster){ .thread = thread, .call.function = poster_ran };
		pthread_create(&threads[i], NULL, post_much, &posters[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	event_thread_stop(thread);
	for (int i = 0; i < 4; i++) {
		assert_in_range(atomic_load(&posters[i].ran), 1, 5000);
		assert_false(posters[i].call.queued);
	}
	event_thread_destroy(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_thread_call_posted_twice_runs_once),
		cmocka_unit_test(event_thread_calls_run_in_order),
		cmocka_unit_test(event_thread_call_that_posts_itself_leaves_room_for_events),
		cmocka_unit_test(event_thread_level_event_comes_until_it_is_dealt_with),
		cmocka_unit_test(event_thread_mask_changes_what_is_seen),
		cmocka_unit_test(event_thread_watch_that_ended_in_the_same_batch_is_not_called),
		cmocka_unit_test(event_thread_watch_that_cannot_begin_says_so),
		cmocka_unit_test(event_thread_runs_posts_of_other_threads),
		cmocka_unit_test(event_thread_stop_runs_what_was_posted),
		cmocka_unit_test(event_thread_posts_of_many_threads_are_not_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
