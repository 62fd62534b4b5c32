/* A router with one fake sink, and a source's listener that writes down what it heard. */
#ifndef VMGUI_TESTS_ROUTER_FIXTURE_H
#define VMGUI_TESTS_ROUTER_FIXTURE_H

#include "cmocka_all.h"

#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <time.h>

#include "fake_sink.h"
#include "input/router.h"

#define ALL (INPUT_KEYBOARD | INPUT_POINTER_RELATIVE)

struct fixture {
	struct input_router *router;
	struct fake_sink sink;
	char text[1 << 16];
};

static inline int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	fake_sink_init(&fixture->sink, "fake", ALL, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, &err), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	*state = fixture;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *fixture = *state;

	input_router_destroy(fixture->router);
	assert_false(fixture->sink.has_listener);
	fake_sink_fini(&fixture->sink);
	free(fixture);
	return 0;
}

static inline void expect(struct fixture *fixture, struct fake_sink *sink, const char *text)
{
	assert_string_equal(fake_sink_take(sink, fixture->text, sizeof(fixture->text)), text);
}

/* What a source's listener heard. */
struct heard {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned leds, capabilities;
	unsigned calls;
};

static inline void heard_leds(void *opaque, unsigned leds)
{
	struct heard *heard = opaque;

	pthread_mutex_lock(&heard->lock);
	heard->leds = leds;
	heard->calls++;
	pthread_cond_broadcast(&heard->changed);
	pthread_mutex_unlock(&heard->lock);
}

static inline void heard_capabilities(void *opaque, unsigned active)
{
	struct heard *heard = opaque;

	pthread_mutex_lock(&heard->lock);
	heard->capabilities = active;
	heard->calls++;
	pthread_cond_broadcast(&heard->changed);
	pthread_mutex_unlock(&heard->lock);
}

static inline void wait_heard(struct heard *heard, unsigned leds, unsigned capabilities)
{
	struct timespec deadline;
	int result = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 60;
	pthread_mutex_lock(&heard->lock);
	while ((heard->leds != leds || heard->capabilities != capabilities) && !result)
		result = pthread_cond_timedwait(&heard->changed, &heard->lock, &deadline);
	pthread_mutex_unlock(&heard->lock);
	assert_int_equal(result, 0);
}

#define HEARD_INIT                                                                                 \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,            \
		.leds = 99, .capabilities = 99                                                     \
	}

#endif
