/* A VNC server with a surface, a router and a fake keyboard and pointer behind it. */
#ifndef TESTS_VNC_FIXTURE_H
#define TESTS_VNC_FIXTURE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "cmocka_all.h"
#include "display/backend.h"
#include "fake_sink.h"
#include "rfb_client.h"
#include "test_port.h"

#define VNC_PORT 5900

struct vnc_fixture {
	struct surface *surface;
	struct fake_sink sink;
	struct input_router *router;
	struct display_settings settings;
	struct display_backend *backend;
	struct vm_control control;
	atomic_int state; /* enum vm_state */
	struct display_host host;
	uint32_t width, height;
	struct test_port reserved;
	uint16_t port;
	char text[1 << 16];
};

static inline int64_t vnc_test_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline enum vm_state vnc_fixture_state(void *opaque)
{
	struct vnc_fixture *fixture = opaque;

	return (enum vm_state)atomic_load(&fixture->state);
}

/* As the composition root does it. */
static inline void vnc_fixture_set_state(struct vnc_fixture *fixture, enum vm_state state)
{
	atomic_store(&fixture->state, (int)state);
	input_router_set_running(fixture->router, state == VM_RUNNING);
	backend_notify(fixture->backend);
}

static inline void vnc_fixture_fill(struct vnc_fixture *fixture, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t colour)
{
	const struct rect rect = { x, y, width, height };
	uint32_t *pixels, stride;

	assert_int_equal(surface_write_begin(fixture->surface, fixture->width, fixture->height,
				 &pixels, &stride),
		0);
	for (uint32_t row = y; row < y + height; row++)
		for (uint32_t column = x; column < x + width; column++)
			pixels[(size_t)row * stride + column] = colour;
	surface_write_end(fixture->surface, &rect, 1);
}

static inline void vnc_fixture_set_size(
	struct vnc_fixture *fixture, uint32_t width, uint32_t height, uint32_t colour)
{
	fixture->width = width;
	fixture->height = height;
	vnc_fixture_fill(fixture, 0, 0, width, height, colour);
}

/* With display_settings_default; nothing runs yet. */
static inline struct vnc_fixture *vnc_fixture_create(unsigned capabilities)
{
	struct vnc_fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	assert_true(test_port_reserve(&fixture->reserved));
	fixture->port = fixture->reserved.port;
	fixture->surface = surface_create();
	fixture->settings = display_settings_default;
	fixture->control = (struct vm_control){ .state = vnc_fixture_state, .opaque = fixture };
	atomic_init(&fixture->state, VM_RUNNING);
	fake_sink_init(&fixture->sink, "fake", capabilities, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, &err), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	fixture->host = (struct display_host){ .surface = fixture->surface,
		.router = fixture->router,
		.control = &fixture->control,
		.settings = &fixture->settings,
		.guest_name = "a guest" };
	vnc_fixture_set_size(fixture, 320, 240, 0xff0000);
	assert_int_equal(backend_create("vnc", &fixture->host, &fixture->backend, &err), 0);
	return fixture;
}

static inline int vnc_fixture_start(struct vnc_fixture *fixture)
{
	char argument[32];
	struct error err;
	int result;

	snprintf(argument, sizeof(argument), "127.0.0.1:%u", fixture->port - VNC_PORT);
	result = backend_start(fixture->backend, argument, &err);
	if (result)
		print_error("%s\n", err.text);
	return result;
}

static inline void vnc_fixture_destroy(struct vnc_fixture *fixture)
{
	backend_destroy(fixture->backend);
	input_router_destroy(fixture->router);
	surface_destroy(fixture->surface);
	fake_sink_fini(&fixture->sink);
	test_port_release(&fixture->reserved);
	free(fixture);
}

/* As cmocka's set-up and teardown: a server that runs, for a guest with an absolute pointer. */
static inline int vnc_fixture_setup(void **state)
{
	struct vnc_fixture *fixture = vnc_fixture_create(INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE);

	*state = fixture;
	return vnc_fixture_start(fixture);
}

static inline int vnc_fixture_teardown(void **state)
{
	vnc_fixture_destroy(*state);
	return 0;
}

/* Until the guest got the text, or far too much time has passed. */
static inline void vnc_fixture_expect(struct vnc_fixture *fixture, const char *text)
{
	bool equal = false;

	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; !equal && vnc_test_now_ms() < end;
		usleep(1000)) {
		pthread_mutex_lock(&fixture->sink.lock);
		equal = !strcmp(fixture->sink.text, text);
		pthread_mutex_unlock(&fixture->sink.lock);
	}
	assert_string_equal(
		fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text)), text);
}

#endif
