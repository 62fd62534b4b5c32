/* The outbox in front of a real router and a sink that can be full. */
#include "cmocka_all.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "fake_sink.h"
#include "input/outbox.h"

#define QUEUE_MS 20000u

struct fixture {
	struct fake_sink sink;
	struct input_router *router;
	struct input_outbox outbox;
	char text[1 << 16];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	fake_sink_init(&f->sink, "fake",
		INPUT_KEYBOARD | INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE, UINT_MAX);
	assert_int_equal(input_router_create(&f->router, &err), 0);
	assert_int_equal(input_router_attach(f->router, &f->sink.sink), 0);
	f->outbox.source = input_source_create(f->router, "window", NULL);
	assert_non_null(f->outbox.source);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	input_source_destroy(f->outbox.source);
	input_outbox_fini(&f->outbox);
	input_router_destroy(f->router);
	fake_sink_fini(&f->sink);
	free(f);
	return 0;
}

static void strike(struct fixture *f, unsigned code)
{
	assert_true(input_outbox_key(&f->outbox, code, true));
	assert_true(input_outbox_key(&f->outbox, code, false));
}

/* Until the router is full and keys wait here. */
static void fill(struct fixture *f)
{
	fake_sink_give_room(&f->sink, 0);
	while (f->outbox.count < 10)
		strike(f, KEY_Z);
}

/* The guest takes it all; what it got, without the filling. */
static const char *drained(struct fixture *f)
{
	char *text = f->text;

	fake_sink_give_room(&f->sink, UINT_MAX);
	while (f->outbox.count) {
		assert_int_equal(input_source_flush(f->outbox.source, QUEUE_MS), 0);
		input_outbox_step(&f->outbox);
	}
	assert_int_equal(input_source_flush(f->outbox.source, QUEUE_MS), 0);
	fake_sink_take(&f->sink, f->text, sizeof(f->text));
	while (!strncmp(text, "+44 -44 ", 8))
		text += 8;
	return text;
}

static void outbox_sends_at_once_while_there_is_room(void **state)
{
	struct fixture *f = *state;

	strike(f, KEY_A);
	input_outbox_relative(&f->outbox, 3, 4);
	input_outbox_relative(&f->outbox, 1, 1);
	assert_true(input_outbox_button(&f->outbox, BTN_LEFT, true));
	assert_true(input_outbox_button(&f->outbox, BTN_LEFT, false));
	input_outbox_absolute(&f->outbox, 5, 6, 640, 480);
	assert_true(input_outbox_key(&f->outbox, KEY_B, true));
	input_outbox_wheel(&f->outbox, 120, -15);
	input_outbox_release_all(&f->outbox);
	assert_int_equal(f->outbox.count, 0);
	assert_string_equal(fake_sink_take(&f->sink, f->text, sizeof(f->text)),
		"+30 -30 rel(4,5) b+272 sync b-272 sync abs(5,6,640x480) sync +48 "
		"wheel(120,-15) sync -48 ");
}

static void outbox_keeps_the_order_of_what_waits(void **state)
{
	struct fixture *f = *state;

	fill(f);
	strike(f, KEY_A);
	input_outbox_relative(&f->outbox, 1, 0);
	input_outbox_relative(&f->outbox, 0, 2);
	input_outbox_sync(&f->outbox);
	assert_true(input_outbox_button(&f->outbox, BTN_RIGHT, true));
	input_outbox_relative(&f->outbox, 5, 5);
	assert_true(input_outbox_button(&f->outbox, BTN_RIGHT, false));
	input_outbox_absolute(&f->outbox, 1, 1, 640, 480);
	input_outbox_absolute(&f->outbox, 9, 8, 640, 480);
	input_outbox_wheel(&f->outbox, 120, 0);
	input_outbox_wheel(&f->outbox, 120, 0);
	strike(f, KEY_B);
	assert_string_equal(drained(f), "+30 -30 rel(1,2) sync b+273 sync rel(5,5) sync b-273 sync "
					"abs(9,8,640x480) sync wheel(240,0) sync +48 -48 ");
}

static void outbox_lost_focus_releases_what_waits_after_it_came(void **state)
{
	struct fixture *f = *state;

	assert_true(input_outbox_key(&f->outbox, KEY_LEFTALT, true));
	fake_sink_take(&f->sink, f->text, sizeof(f->text));
	fill(f);
	assert_true(input_outbox_key(&f->outbox, KEY_A, true));
	assert_true(input_outbox_button(&f->outbox, BTN_LEFT, true));
	input_outbox_release_all(&f->outbox);
	assert_true(input_outbox_key(&f->outbox, KEY_A, false));
	assert_string_equal(drained(f), "+30 b+272 sync -30 -56 b-272 sync ");
}

static void outbox_full_of_motion_has_a_place_for_every_release(void **state)
{
	struct fixture *f = *state;
	size_t count;

	fake_sink_give_room(&f->sink, 1);
	assert_true(input_outbox_key(&f->outbox, KEY_LEFTCTRL, true));
	fill(f);
	assert_true(input_outbox_key(&f->outbox, KEY_A, true));
	do {
		count = f->outbox.count;
		input_outbox_relative(&f->outbox, 1, 1);
		input_outbox_wheel(&f->outbox, 120, 0);
	} while (f->outbox.count > count);
	assert_true(input_outbox_key(&f->outbox, KEY_A, false));
	input_outbox_release_all(&f->outbox);
	assert_false(f->outbox.down[KEY_LEFTCTRL]);
	assert_true(f->outbox.count <= INPUT_OUTBOX_MAX_EVENTS);
}

static void outbox_ten_thousand_keys_arrive_in_order(void **state)
{
	struct fixture *f = *state;
	unsigned strikes = 0, seen = 0;

	fake_sink_give_room(&f->sink, 0);
	for (; strikes < 10000; strikes++)
		strike(f, KEY_1 + strikes % 10);
	assert_in_range(f->outbox.count, 10000, 20000);
	while (seen < strikes) {
		char *text = f->text;

		/* A guest that takes a few at a time. */
		fake_sink_give_room(&f->sink, 100);
		input_outbox_step(&f->outbox);
		fake_sink_take(&f->sink, f->text, sizeof(f->text));
		while (*text) {
			char *end;
			unsigned code = (unsigned)strtoul(text + 1, &end, 10);

			assert_int_equal(code, KEY_1 + seen % 10);
			if (*text == '-')
				seen++;
			text = end + 1;
		}
	}
	assert_int_equal(f->outbox.count, 0);
}

static void outbox_that_is_full_refuses_whole_keys(void **state)
{
	struct fixture *f = *state;
	unsigned taken = 0;

	fake_sink_give_room(&f->sink, 0);
	assert_true(input_outbox_key(&f->outbox, KEY_LEFTSHIFT, true));
	while (input_outbox_key(&f->outbox, KEY_A, true)) {
		assert_true(input_outbox_key(&f->outbox, KEY_A, false));
		taken++;
		assert_in_range(taken, 0, INPUT_OUTBOX_MAX_EVENTS);
	}
	/* The refused one has no release, and what is down can always be let go. */
	assert_true(input_outbox_key(&f->outbox, KEY_A, false));
	assert_true(input_outbox_key(&f->outbox, KEY_LEFTSHIFT, false));
	for (unsigned n = 0; n < 3 * INPUT_OUTBOX_MAX_EVENTS; n++)
		input_outbox_relative(&f->outbox, 1, 1);
	assert_in_range(f->outbox.count, taken, INPUT_OUTBOX_MAX_EVENTS);
	fake_sink_give_room(&f->sink, UINT_MAX);
	while (f->outbox.count) {
		assert_int_equal(input_source_flush(f->outbox.source, QUEUE_MS), 0);
		input_outbox_step(&f->outbox);
	}
	assert_true(input_outbox_key(&f->outbox, KEY_A, true));
}

static void outbox_without_devices_takes_everything(void **state)
{
	struct input_outbox outbox = { .source = NULL };

	(void)state;
	assert_true(input_outbox_key(&outbox, KEY_A, true));
	assert_true(input_outbox_button(&outbox, BTN_LEFT, true));
	input_outbox_relative(&outbox, 1, 1);
	input_outbox_sync(&outbox);
	input_outbox_release_all(&outbox);
	input_outbox_step(&outbox);
	input_outbox_fini(&outbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(outbox_sends_at_once_while_there_is_room),
		TEST(outbox_keeps_the_order_of_what_waits),
		TEST(outbox_lost_focus_releases_what_waits_after_it_came),
		TEST(outbox_full_of_motion_has_a_place_for_every_release),
		TEST(outbox_ten_thousand_keys_arrive_in_order),
		TEST(outbox_that_is_full_refuses_whole_keys),
		cmocka_unit_test(outbox_without_devices_takes_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
