/* A window's other side, for tests of the windows' backends: a surface to draw on, a sink for what
 * the guest gets, and a machine that counts what it is asked for. */
#ifndef VMGUI_TESTS_WINDOW_FIXTURE_H
#define VMGUI_TESTS_WINDOW_FIXTURE_H

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "cmocka_all.h"
#include "display/backend.h"
#include "fake_sink.h"

struct fixture {
	const char *name; /* the backend's */
	struct surface *surface;
	struct fake_sink sink;
	struct input_router *router;
	struct display_backend *backend; /* NULL: not created yet, or closed */
	struct vm_control control;
	struct display_settings settings;
	struct display_host host; /* the test may change both before the backend is created */
	atomic_uint powerdowns, pauses, screenshots, closes;
	atomic_int state; /* enum vm_state */
};

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void fixture_count_powerdown(void *opaque)
{
	atomic_fetch_add(&((struct fixture *)opaque)->powerdowns, 1);
}

static inline void fixture_count_pause(void *opaque)
{
	struct fixture *fixture = opaque;

	atomic_fetch_add(&fixture->pauses, 1);
	backend_notify(fixture->backend); /* as the machine does with a new state */
}

static inline void fixture_count_screenshot(void *opaque)
{
	atomic_fetch_add(&((struct fixture *)opaque)->screenshots, 1);
}

static inline void fixture_count_close(void *opaque)
{
	atomic_fetch_add(&((struct fixture *)opaque)->closes, 1);
}

static inline void fixture_ignore(void *opaque)
{
	(void)opaque;
}

static inline enum vm_state fixture_state(void *opaque)
{
	return (enum vm_state)atomic_load(&((struct fixture *)opaque)->state);
}

static inline const char *fixture_end_reason(void *opaque)
{
	return fixture_state(opaque) == VM_ENDED ? "the guest powered down" : NULL;
}

static inline void set_state(struct fixture *fixture, enum vm_state state)
{
	atomic_store(&fixture->state, (int)state);
	backend_notify(fixture->backend);
}

/* A picture whose pixels are pixel(x, y). */
static inline void fixture_draw(struct fixture *fixture, uint32_t width, uint32_t height,
	uint32_t (*pixel)(uint32_t x, uint32_t y))
{
	const struct rect whole = { 0, 0, width, height };
	uint32_t *pixels, stride;

	assert_int_equal(surface_write_begin(fixture->surface, width, height, &pixels, &stride), 0);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			pixels[(size_t)y * stride + x] = pixel(x, y);
	surface_write_end(fixture->surface, &whole, 1);
}

/* With host and settings as they are now. */
static inline void fixture_create_backend(struct fixture *fixture)
{
	struct error err = { "" };

	if (backend_create(fixture->name, &fixture->host, &fixture->backend, &err))
		fail_msg("%s", err.text);
}

/* Without its backend yet. pointer: enum input_capability mask of what the guest has besides a
 * keyboard. */
static inline struct fixture *fixture_create(
	const char *backend, const char *guest_name, unsigned pointer)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	assert_non_null(fixture);
	fixture->name = backend;
	fixture->surface = surface_create();
	fake_sink_init(&fixture->sink, "fake", INPUT_KEYBOARD | pointer, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, &err), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	fixture->control = (struct vm_control){ .request_powerdown = fixture_count_powerdown,
		.request_quit = fixture_ignore,
		.request_reset = fixture_ignore,
		.toggle_pause = fixture_count_pause,
		.save_screenshot = fixture_count_screenshot,
		.state = fixture_state,
		.end_reason = fixture_end_reason,
		.opaque = fixture };
	fixture->settings = display_settings_default;
	fixture->host = (struct display_host){ .surface = fixture->surface,
		.router = fixture->router,
		.control = &fixture->control,
		.settings = &fixture->settings,
		.guest_name = guest_name,
		.closed = fixture_count_close,
		.closed_opaque = fixture };
	return fixture;
}

static inline void fixture_start(struct fixture *fixture)
{
	struct error err = { "" };

	if (!fixture->backend)
		fixture_create_backend(fixture);
	if (backend_start(fixture->backend, NULL, &err))
		fail_msg("%s", err.text);
}

/* The window; fixture_start opens another one. */
static inline void fixture_close(struct fixture *fixture)
{
	backend_destroy(fixture->backend);
	fixture->backend = NULL;
}

static inline void fixture_destroy(struct fixture *fixture)
{
	fixture_close(fixture);
	input_router_destroy(fixture->router);
	surface_destroy(fixture->surface);
	fake_sink_fini(&fixture->sink);
	free(fixture);
}

#endif
