/* The conformance suite of display backends; see display_conformance.h. */
#include "display_conformance.h"

#include "cmocka_all.h"

#include <errno.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "display/backend.h"
#include "display/refresh.h"
#include "fake_sink.h"
#include "fake_source.h"

#define VRAM          MIB(16)
#define CAPTURE_TRIES 3000 /* 20 ms apart */

struct fixture {
	const struct display_conformance *display;
	struct fake_source *source;
	struct surface *surface;
	struct refresh *refresh;
	struct surface_reader *observer;
	struct display_backend *backend;
	struct fake_sink sink;
	struct input_router *router;
	char text[sizeof(((struct fake_sink *)NULL)->text)];
	/* The observer's copy, patched with damaged rectangles only. */
	uint32_t *copy;
	uint32_t copy_width, copy_height;
};

static const enum pixel_format formats[] = { PIXEL_INDEX8, PIXEL_XRGB1555, PIXEL_RGB565,
	PIXEL_RGB888, PIXEL_XRGB8888 };

static enum vm_state state_running(void *opaque)
{
	(void)opaque;
	return VM_RUNNING;
}

static void do_nothing(void *opaque)
{
	(void)opaque;
}

static const struct vm_control control = {
	.request_powerdown = do_nothing,
	.request_quit = do_nothing,
	.request_reset = do_nothing,
	.toggle_pause = do_nothing,
	.state = state_running,
	.save_screenshot = do_nothing,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct display_host host = { .control = &control, .guest_name = "conformance" };
	struct error err = { .text = "" };

	f->display = *state;
	f->source = fake_source_create(VRAM);
	f->surface = surface_create();
	f->observer = surface_reader_create(f->surface, NULL, NULL);
	host.surface = f->surface;
	fake_sink_init(&f->sink, "fake", INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE, UINT_MAX);
	if (input_router_create(&f->router, &err) ||
		input_router_attach(f->router, &f->sink.sink)) {
		print_error("%s\n", err.text);
		return -1;
	}
	host.router = f->router;
	if (refresh_create(&f->source->base, f->surface, 250, &f->refresh, &err) ||
		backend_create(f->display->backend, &host, &f->backend, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	backend_destroy(f->backend);
	refresh_destroy(f->refresh);
	input_router_destroy(f->router);
	fake_sink_fini(&f->sink);
	surface_reader_destroy(f->observer);
	surface_destroy(f->surface);
	fake_source_destroy(f->source);
	free(f->copy);
	free(f);
	return 0;
}

static void start_display(struct fixture *f)
{
	struct error err = { .text = "" };

	if (backend_start(f->backend, f->display->argument, &err))
		fail_msg("%s", err.text);
}

static void start_refresh(struct fixture *f)
{
	struct error err = { .text = "" };

	if (refresh_start(f->refresh, &err))
		fail_msg("%s", err.text);
}

/* ---- Comparing ---- */

static bool close_enough(uint32_t a, uint32_t b, unsigned tolerance)
{
	for (unsigned shift = 0; shift <= 16; shift += 8) {
		int difference = (int)(a >> shift & 255) - (int)(b >> shift & 255);

		if (difference < -(int)tolerance || difference > (int)tolerance)
			return false;
	}
	return true;
}

/* Whether the pixels are the guest's; where not, says so in text. */
static bool is_guest_picture(const struct fixture *f, const struct display_picture *picture,
	unsigned tolerance, char text[128])
{
	const struct display_mode *mode = &f->source->mode;

	if (picture->width != mode->width || picture->height != mode->height) {
		snprintf(text, 128, "%ux%u, not %ux%u", picture->width, picture->height,
			mode->width, mode->height);
		return false;
	}
	for (uint32_t y = 0; y < mode->height; y++) {
		for (uint32_t x = 0; x < mode->width; x++) {
			uint32_t shown = picture->pixels[(size_t)y * picture->width + x];
			uint32_t expected = fake_source_expect(f->source, x, y);

			if (close_enough(shown, expected, tolerance))
				continue;
			snprintf(text, 128, "pixel %u,%u is %06x, not %06x", x, y, shown, expected);
			return false;
		}
	}
	return true;
}

/* The observer takes its damage, as a display would. */
static void observe(struct fixture *f)
{
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	size_t count = surface_read_begin(f->observer, &view, rects);
	bool inside = true;

	if (view.width != f->copy_width || view.height != f->copy_height) {
		free(f->copy);
		f->copy = calloc((size_t)view.width * view.height, sizeof(*f->copy));
		f->copy_width = view.width;
		f->copy_height = view.height;
	}
	for (size_t i = 0; i < count; i++) {
		const struct rect *rect = &rects[i];

		if (!rect->width || !rect->height ||
			!range_fits(rect->x, rect->width, view.width) ||
			!range_fits(rect->y, rect->height, view.height)) {
			inside = false;
			continue;
		}
		for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
			memcpy(f->copy + (size_t)y * view.width + rect->x,
				view.pixels + (size_t)y * view.stride_pixels + rect->x,
				rect->width * sizeof(*f->copy));
	}
	surface_read_end(f->observer);
	assert_true(inside);
}

/* Whether the surface has all that the guest drew. */
static bool is_observed(struct fixture *f)
{
	char text[128];

	observe(f);
	return is_guest_picture(
		f, &(struct display_picture){ f->copy, f->copy_width, f->copy_height }, 0, text);
}

static void assert_observed(struct fixture *f)
{
	const struct display_picture picture = { f->copy, f->copy_width, f->copy_height };
	char text[128];

	if (!is_guest_picture(f, &picture, 0, text))
		fail_msg("put together from damage: %s", text);
}

/* The display shows what the surface does, soon. Ends the display if that is how it tells. */
static void assert_displayed(struct fixture *f)
{
	char text[128] = "nothing";

	assert_false(backend_ended(f->backend));
	if (f->display->capture_at_end)
		backend_stop(f->backend);
	if (!f->display->capture)
		return;
	for (int tries = 0; tries < CAPTURE_TRIES; tries++) {
		struct display_picture picture = { .pixels = NULL };
		bool right = f->display->capture(f->display->opaque, &picture) &&
			     is_guest_picture(f, &picture, f->display->tolerance, text);

		free(picture.pixels);
		if (right)
			return;
		usleep(20000);
	}
	fail_msg("shown: %s", text);
}

/* The same, after a last look at what the guest drew. */
static void assert_shown(struct fixture *f)
{
	refresh_sync(f->refresh);
	observe(f);
	assert_observed(f);
	assert_displayed(f);
}

/* ---- The guest ---- */

static uint32_t random_below(unsigned *seed, uint32_t limit)
{
	return (uint32_t)rand_r(seed) % limit;
}

static void set_random_mode(struct fixture *f, unsigned *seed)
{
	fake_source_set_blank(f->source, random_below(seed, 8) == 0);
	if (random_below(seed, 8) == 0) { /* the narrowest, the widest, the highest */
		static const uint16_t sizes[][2] = { { 1, 1 }, { DISPLAY_MAX_WIDTH, 2 },
			{ 2, DISPLAY_MAX_HEIGHT }, { 7, 3 } };
		const uint16_t *size = sizes[random_below(seed, array_size(sizes))];

		fake_source_set_mode(f->source, size[0], size[1],
			formats[random_below(seed, array_size(formats))], random_below(seed, 5),
			random_below(seed, 3));
		return;
	}
	fake_source_set_mode(f->source, 16 + random_below(seed, 1000), 16 + random_below(seed, 700),
		formats[random_below(seed, array_size(formats))], random_below(seed, 100000),
		random_below(seed, 64));
}

/* An ordinary one, that any display can show pixel by pixel. */
static void set_visible_mode(struct fixture *f)
{
	fake_source_set_blank(f->source, false);
	fake_source_set_mode(f->source, 640, 400, PIXEL_XRGB8888, 4096, 64);
}

static void draw_random_rect(struct fixture *f, unsigned *seed)
{
	const struct display_mode *mode = &f->source->mode;
	uint32_t x = random_below(seed, mode->width), y = random_below(seed, mode->height);
	uint32_t width = 1 + random_below(seed, mode->width - x < 40 ? mode->width - x : 40);
	uint32_t height = 1 + random_below(seed, mode->height - y < 40 ? mode->height - y : 40);

	fake_source_fill(f->source, x, y, width, height, (uint32_t)rand_r(seed));
}

/* ---- The tests ---- */

static void conformance_starts_and_ends_again_and_again(void **state)
{
	struct fixture *f = *state;

	fake_source_set_mode(f->source, 320, 200, PIXEL_XRGB8888, 0, 0);
	for (int i = 0; i < 5; i++) {
		start_display(f);
		refresh_sync(f->refresh);
		assert_false(backend_ended(f->backend));
		backend_stop(f->backend);
		backend_stop(f->backend);
	}
}

/* Made, never started, destroyed by the teardown. */
static void conformance_may_never_start(void **state)
{
	struct fixture *f = *state;

	backend_notify(f->backend);
}

static void conformance_second_instance_is_independent(void **state)
{
	struct fixture *f = *state;
	struct display_host host = {
		.surface = f->surface, .control = &control, .guest_name = "second"
	};
	struct display_backend *second;
	struct error err;

	assert_int_equal(backend_create(f->display->backend, &host, &second, &err), 0);
	start_display(f);
	backend_destroy(second);
	fake_source_set_mode(f->source, 320, 200, PIXEL_XRGB8888, 0, 0);
	assert_shown(f);
}

struct notifier {
	struct display_backend *backend;
	atomic_bool stop;
};

static void *notify_all_the_time(void *opaque)
{
	struct notifier *notifier = opaque;

	while (!atomic_load(&notifier->stop)) {
		backend_notify(notifier->backend);
		usleep(100);
	}
	return NULL;
}

static void conformance_wake_ups_at_any_time_do_no_harm(void **state)
{
	struct fixture *f = *state;
	struct notifier notifier = { .backend = f->backend };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, notify_all_the_time, &notifier), 0);
	fake_source_set_mode(f->source, 320, 200, PIXEL_XRGB8888, 0, 0);
	for (int i = 0; i < 3; i++) {
		start_display(f);
		refresh_sync(f->refresh);
		usleep(5000);
		backend_stop(f->backend);
	}
	atomic_store(&notifier.stop, true);
	pthread_join(thread, NULL);
}

static void conformance_no_mode_yet_is_no_reason_to_end(void **state)
{
	struct fixture *f = *state;

	start_display(f);
	refresh_sync(f->refresh);
	backend_notify(f->backend);
	usleep(20000);
	assert_false(backend_ended(f->backend));
	fake_source_set_mode(f->source, 640, 480, PIXEL_XRGB8888, 0, 0);
	assert_shown(f);
}

/* Eight bars and a border: whoever swaps channels, rows or sides shows it. */
static void draw_reference(struct fixture *f, enum pixel_format format)
{
	static const uint32_t bars[8] = { 0xff0000, 0x00ff00, 0x0000ff, 0xffffff, 0x000000,
		0xff8000, 0x0080ff, 0x8000ff };
	uint32_t width = f->source->mode.width, height = f->source->mode.height;

	for (unsigned i = 0; i < 8; i++)
		fake_source_set_palette(f->source, i, bars[i]);
	for (uint32_t y = 0; y < height; y++) {
		for (uint32_t x = 0; x < width; x++) {
			uint32_t bar = x * 8 / width;

			if (y == 0 || x == 0)
				bar = 3;
			fake_source_put(f->source, x, y,
				format == PIXEL_INDEX8 ? bar
						       : fake_source_encode(format, bars[bar]));
		}
	}
}

static void conformance_red_is_red_at_every_depth(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < array_size(formats); i++) {
		fake_source_set_mode(f->source, 320, 240, formats[i], 0, 0);
		draw_reference(f, formats[i]);
		if (i == 0 || f->display->capture_at_end)
			start_display(f);
		assert_shown(f);
		/* The expectation itself, by hand. */
		assert_int_equal(fake_source_expect(f->source, 20, 120), 0xff0000);
		assert_int_equal(fake_source_expect(f->source, 60, 120), 0x00ff00);
		assert_int_equal(fake_source_expect(f->source, 100, 120), 0x0000ff);
		assert_int_equal(fake_source_expect(f->source, 140, 120), 0xffffff);
	}
}

static void conformance_random_drawing_arrives_exactly(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 11;

	fake_source_set_mode(f->source, 800, 600, PIXEL_XRGB8888, 0, 0);
	start_refresh(f);
	start_display(f);
	for (int i = 0; i < 300; i++) {
		draw_random_rect(f, &seed);
		if (i % 10 == 0)
			observe(f);
		if (i % 50 == 0)
			refresh_kick(f->refresh);
	}
	refresh_stop(f->refresh);
	assert_shown(f);
}

static void conformance_mode_storm_ends_with_the_right_picture(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 12;

	start_refresh(f);
	start_display(f);
	for (int i = 0; i < 60; i++) {
		set_random_mode(f, &seed);
		for (int j = 0; j < 3; j++)
			draw_random_rect(f, &seed);
		if (i % 2)
			refresh_sync(f->refresh);
		if (i % 7 == 0)
			observe(f);
		for (unsigned j = 0; j < 8; j++)
			fake_source_set_palette(f->source, random_below(&seed, 256),
				(uint32_t)rand_r(&seed) & 0xffffff);
		assert_false(backend_ended(f->backend));
	}
	set_visible_mode(f);
	for (int j = 0; j < 30; j++)
		draw_random_rect(f, &seed);
	refresh_stop(f->refresh);
	assert_shown(f);
}

/* Two pictures in video memory, shown in turn by the offset, as page flips are. */
static void conformance_page_flips_show_the_other_picture(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 16;

	for (unsigned page = 0; page < 2; page++) {
		fake_source_set_mode(f->source, 320, 240, PIXEL_RGB565, page * MIB(1), 0);
		for (int i = 0; i < 50; i++)
			draw_random_rect(f, &seed);
	}
	start_display(f);
	for (unsigned flip = 0; flip < 9; flip++) {
		fake_source_set_mode(f->source, 320, 240, PIXEL_RGB565, flip % 2 * MIB(1), 0);
		refresh_sync(f->refresh);
		observe(f);
		assert_observed(f);
	}
	assert_shown(f);
}

/* Nobody asks: after a rest the first change comes by itself, be it pixels, colours alone, the
 * place of the picture alone, or the screen that is turned off and on. */
static void conformance_first_change_after_rest_is_shown(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 17;

	fake_source_set_mode(f->source, 320, 240, PIXEL_INDEX8, 0, 0);
	for (int i = 0; i < 50; i++)
		draw_random_rect(f, &seed);
	start_refresh(f);
	start_display(f);
	for (unsigned round = 0; round < 6; round++) {
		for (int tries = 0; !fake_memory_armed(f->source->memory); tries++) {
			assert_in_range(tries, 0, 12000);
			usleep(5000);
		}
		usleep(50000);
		if (round == 1)
			for (unsigned i = 0; i < 256; i++)
				fake_source_set_palette(f->source, i, i * 0x010307);
		else if (round == 2)
			fake_source_set_mode(
				f->source, 320, 240, PIXEL_INDEX8, UINT64_C(320) * 7, 0);
		else if (round == 3 || round == 4)
			fake_source_set_blank(f->source, round == 3);
		else
			draw_random_rect(f, &seed);
		if (!f->display->capture_at_end)
			assert_displayed(f);
	}
	/* One that is looked at only now has to have it by now. */
	for (int tries = 0; f->display->capture_at_end && !is_observed(f); tries++) {
		assert_in_range(tries, 0, CAPTURE_TRIES);
		usleep(20000);
	}
	assert_displayed(f);
}

/* Closed and opened again, with another picture and another size meanwhile. */
static void conformance_reopened_shows_what_happened_meanwhile(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 18;

	start_refresh(f);
	for (unsigned round = 0; round < 4; round++) {
		fake_source_set_mode(f->source, 300 + 20 * (round / 2), 200, PIXEL_XRGB8888, 0, 0);
		for (int i = 0; i < 10; i++)
			draw_random_rect(f, &seed);
		start_display(f);
		assert_shown(f);
		backend_stop(f->backend);
	}
}

static void conformance_wrong_argument_is_refused_and_forgotten(void **state)
{
	struct fixture *f = *state;
	struct error err;

	if (!f->display->wrong_argument)
		return;
	for (int i = 0; i < 3; i++) {
		err.text[0] = '\0';
		assert_true(backend_start(f->backend, f->display->wrong_argument, &err) < 0);
		assert_non_null(strstr(err.text, f->display->wrong_argument));
	}
	fake_source_set_mode(f->source, 320, 200, PIXEL_XRGB8888, 0, 0);
	start_display(f);
	assert_shown(f);
}

static void conformance_failure_in_flight_is_survived(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 19;

	if (!f->display->disturb)
		return;
	fake_source_set_mode(f->source, 320, 240, PIXEL_XRGB8888, 0, 0);
	start_refresh(f);
	start_display(f);
	for (unsigned round = 0; round < 3; round++) {
		f->display->disturb(f->display->opaque, true);
		for (int i = 0; i < 5; i++) {
			draw_random_rect(f, &seed);
			usleep(10000);
		}
		fake_source_set_mode(f->source, 320 + 8 * (round % 2), 240, PIXEL_XRGB8888, 0, 0);
		usleep(10000);
		f->display->disturb(f->display->opaque, false);
		assert_false(backend_ended(f->backend));
		draw_random_rect(f, &seed);
	}
	assert_shown(f);
}

/* What the user does reaches the guest; a display without a user sends nothing. */
static void conformance_input_reaches_the_guest(void **state)
{
	struct fixture *f = *state;
	bool key = false, pointer = false;

	fake_source_set_mode(f->source, 320, 240, PIXEL_XRGB8888, 0, 0);
	refresh_sync(f->refresh);
	start_display(f);
	if (!f->display->use) {
		usleep(50000);
		fake_sink_take(&f->sink, f->text, sizeof(f->text));
		assert_string_equal(f->text, "");
		return;
	}
	f->display->use(f->display->opaque, 320, 240);
	for (int tries = 0; tries < CAPTURE_TRIES && !(key && pointer); tries++) {
		pthread_mutex_lock(&f->sink.lock);
		key = strstr(f->sink.text, "+30 -30 ");
		pointer = strstr(f->sink.text, "abs(160,120,320x240) ");
		pthread_mutex_unlock(&f->sink.lock);
		usleep(20000);
	}
	fake_sink_take(&f->sink, f->text, sizeof(f->text));
	if (!key || !pointer)
		fail_msg("the guest got: %s", f->text);
}

static void conformance_blank_is_black(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 13;

	fake_source_set_mode(f->source, 320, 240, PIXEL_RGB565, 0, 0);
	for (int i = 0; i < 20; i++)
		draw_random_rect(f, &seed);
	refresh_sync(f->refresh);
	start_display(f);
	fake_source_set_blank(f->source, true);
	assert_shown(f);
}

/* A display that was away finds everything that happened meanwhile. */
static void conformance_late_start_shows_the_whole_picture(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 14;

	fake_source_set_mode(f->source, 640, 400, PIXEL_XRGB8888, 0, 0);
	for (int i = 0; i < 50; i++) {
		draw_random_rect(f, &seed);
		refresh_sync(f->refresh);
	}
	start_display(f);
	assert_shown(f);
}

static void conformance_end_is_prompt_with_a_busy_guest(void **state)
{
	struct fixture *f = *state;
	struct timespec begin, end;
	unsigned seed = 15;

	fake_source_set_mode(f->source, 1024, 768, PIXEL_XRGB8888, 0, 0);
	start_refresh(f);
	start_display(f);
	for (int i = 0; i < 30; i++)
		draw_random_rect(f, &seed);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	backend_stop(f->backend);
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* Far less than for ever, however busy the machine. */
	assert_in_range(end.tv_sec - begin.tv_sec, 0, 15);
}

#define CONFORMANCE(function)                                                                      \
	{                                                                                          \
#function, function, setup, teardown, (void *)(uintptr_t)display                   \
	}

int display_conformance_run(const struct display_conformance *display)
{
	const struct CMUnitTest tests[] = {
		CONFORMANCE(conformance_starts_and_ends_again_and_again),
		CONFORMANCE(conformance_may_never_start),
		CONFORMANCE(conformance_second_instance_is_independent),
		CONFORMANCE(conformance_wake_ups_at_any_time_do_no_harm),
		CONFORMANCE(conformance_no_mode_yet_is_no_reason_to_end),
		CONFORMANCE(conformance_red_is_red_at_every_depth),
		CONFORMANCE(conformance_random_drawing_arrives_exactly),
		CONFORMANCE(conformance_mode_storm_ends_with_the_right_picture),
		CONFORMANCE(conformance_page_flips_show_the_other_picture),
		CONFORMANCE(conformance_first_change_after_rest_is_shown),
		CONFORMANCE(conformance_reopened_shows_what_happened_meanwhile),
		CONFORMANCE(conformance_wrong_argument_is_refused_and_forgotten),
		CONFORMANCE(conformance_failure_in_flight_is_survived),
		CONFORMANCE(conformance_input_reaches_the_guest),
		CONFORMANCE(conformance_blank_is_black),
		CONFORMANCE(conformance_late_start_shows_the_whole_picture),
		CONFORMANCE(conformance_end_is_prompt_with_a_busy_guest),
	};

	return cmocka_run_group_tests_name(display->backend, tests, NULL, NULL);
}
