/* The input router with fake sinks: keys, packets, queues. */
#include "router_fixture.h"

#include <unistd.h>

static void router_key_press_and_release_reach_the_sink(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_source_key(source, KEY_A, false), 0);
	expect(fixture, &fixture->sink, "+30 -30 ");
	input_source_destroy(source);
}

static void router_key_repeat_and_unknown_release_are_ignored(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_source_key(source, KEY_B, false), 0);
	expect(fixture, &fixture->sink, "+30 ");
	input_source_destroy(source);
	expect(fixture, &fixture->sink, "-30 ");
}

static void router_code_out_of_range_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	assert_int_equal(input_source_key(source, 0, true), -EINVAL);
	assert_int_equal(input_source_key(source, KEY_CNT, true), -EINVAL);
	assert_int_equal(input_source_key(source, UINT_MAX, true), -EINVAL);
	assert_int_equal(input_source_key(source, BTN_LEFT, true), -EINVAL);
	assert_int_equal(input_source_button(source, KEY_A, true), -EINVAL);
	assert_int_equal(input_source_button(source, UINT_MAX, true), -EINVAL);
	expect(fixture, &fixture->sink, "");
	input_source_destroy(source);
}

static void router_key_held_by_two_sources_is_released_by_the_last(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a = input_source_create(fixture->router, "a", NULL);
	struct input_source *b = input_source_create(fixture->router, "b", NULL);

	assert_int_equal(input_source_key(a, KEY_LEFTSHIFT, true), 0);
	assert_int_equal(input_source_key(b, KEY_LEFTSHIFT, true), 0);
	assert_int_equal(input_source_key(a, KEY_LEFTSHIFT, false), 0);
	expect(fixture, &fixture->sink, "+42 ");
	input_source_destroy(b);
	expect(fixture, &fixture->sink, "-42 ");
	input_source_destroy(a);
	expect(fixture, &fixture->sink, "");
}

static void router_release_all_releases_keys_and_buttons(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_source_key(source, KEY_LEFTCTRL, true), 0);
	assert_int_equal(input_source_button(source, BTN_LEFT, true), 0);
	assert_int_equal(input_source_button(source, BTN_RIGHT, true), 0);
	input_source_sync(source);
	expect(fixture, &fixture->sink, "+30 +29 b+272 sync b+273 sync ");
	input_source_release_all(source);
	expect(fixture, &fixture->sink, "-29 -30 b-272 sync b-273 sync ");
	input_source_release_all(source);
	input_source_destroy(source);
	expect(fixture, &fixture->sink, "");
}

static void router_motion_collects_until_sync(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	input_source_relative(source, 3, 4);
	input_source_relative(source, -1, 1);
	input_source_wheel(source, 120, -60);
	expect(fixture, &fixture->sink, "");
	input_source_sync(source);
	expect(fixture, &fixture->sink, "rel(2,5) wheel(120,-60) sync ");
	input_source_sync(source);
	expect(fixture, &fixture->sink, "");
	input_source_destroy(source);
}

static void router_motion_before_a_button_stays_before_it(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	input_source_relative(source, 1, 1);
	assert_int_equal(input_source_button(source, BTN_LEFT, true), 0);
	assert_int_equal(input_source_button(source, BTN_LEFT, false), 0);
	input_source_relative(source, 2, 2);
	input_source_sync(source);
	expect(fixture, &fixture->sink, "rel(1,1) b+272 sync rel(2,2) b-272 sync ");
	input_source_destroy(source);
}

static void router_motion_sum_saturates(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	input_source_relative(source, INT_MAX, INT_MIN);
	input_source_relative(source, INT_MAX, INT_MIN);
	input_source_sync(source);
	expect(fixture, &fixture->sink, "rel(2147483647,-2147483647) sync ");
	input_source_destroy(source);
}

static void router_full_sink_delays_keys_in_order(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	fake_sink_give_room(&fixture->sink, 1);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_source_key(source, KEY_A, false), 0);
	assert_int_equal(input_source_key(source, KEY_B, true), 0);
	input_source_relative(source, 1, 0);
	input_source_sync(source);
	assert_int_equal(input_source_key(source, KEY_B, false), 0);
	assert_int_equal(input_source_flush(source, 1), -ETIMEDOUT);
	expect(fixture, &fixture->sink, "+30 ");
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_int_equal(input_source_flush(source, 60000), 0);
	expect(fixture, &fixture->sink, "-30 +48 rel(1,0) sync -48 ");
	input_source_destroy(source);
}

static void router_waiting_motion_merges_around_buttons(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	fake_sink_give_room(&fixture->sink, 0);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	for (int i = 0; i < 1000; i++) {
		input_source_relative(source, 1, -1);
		input_source_sync(source);
	}
	assert_int_equal(input_source_button(source, BTN_LEFT, true), 0);
	input_source_sync(source);
	for (int i = 0; i < 1000; i++) {
		input_source_relative(source, 0, 1);
		input_source_sync(source);
	}
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_int_equal(input_source_flush(source, 60000), 0);
	expect(fixture, &fixture->sink, "+30 rel(1000,-1000) b+272 sync rel(0,1000) sync ");
	input_source_destroy(source);
	expect(fixture, &fixture->sink, "-30 b-272 sync ");
}

static void router_waiting_motion_far_and_back_is_not_one(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);
	static const int way[][2] = { { 3, 3 }, { -3, 2 }, { -640, -480 }, { -640, 0 }, { 10, -1 },
		{ 4, 300 } };

	fake_sink_give_room(&fixture->sink, 0);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	for (size_t i = 0; i < array_size(way); i++) {
		input_source_relative(source, way[i][0], way[i][1]);
		input_source_sync(source);
	}
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_int_equal(input_source_flush(source, 60000), 0);
	expect(fixture, &fixture->sink,
		"+30 rel(0,5) sync rel(-1280,-480) sync rel(10,-1) sync rel(4,300) sync ");
	input_source_destroy(source);
	expect(fixture, &fixture->sink, "-30 ");
}

static void router_full_queue_refuses_presses_and_keeps_every_release(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);
	unsigned taken = 0, refused = 0, downs = 0, ups = 0, buttons = 0;
	const char *text;

	fake_sink_give_room(&fixture->sink, 0);
	for (unsigned round = 0; round < 16; round++) {
		for (unsigned code = 1; code < BTN_MISC; code++) {
			int result = input_source_key(source, code, true);

			assert_true(result == 0 || result == -EAGAIN);
			if (result)
				refused++;
			else
				taken++;
			if (code == 20) {
				buttons += input_source_button(source, BTN_LEFT, true) == 0;
				input_source_sync(source);
			}
			input_source_relative(source, 1, 0);
			input_source_sync(source);
		}
		for (unsigned code = 1; code < BTN_MISC; code++)
			assert_int_equal(input_source_key(source, code, false), 0);
		assert_int_equal(input_source_button(source, BTN_LEFT, false), 0);
		input_source_sync(source);
	}
	assert_true(taken > 50);
	assert_true(refused > 0);
	assert_int_equal(input_source_flush(source, 0), -ETIMEDOUT);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_int_equal(input_source_flush(source, 60000), 0);
	text = fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
	for (const char *c = text; *c; c++) {
		downs += *c == '+';
		ups += *c == '-';
	}
	assert_int_equal(downs, ups);
	assert_int_equal(downs, taken + buttons);
	assert_true(buttons > 0);
	assert_int_equal(fixture->sink.x, 16 * (BTN_MISC - 1));
	input_source_destroy(source);
	expect(fixture, &fixture->sink, "");
}

static void router_switched_off_keyboard_loses_keys_and_does_not_stall(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	fake_sink_set_active(&fixture->sink, 0);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(input_source_key(source, KEY_A, true), 0);
		assert_int_equal(input_source_key(source, KEY_A, false), 0);
		assert_int_equal(input_source_button(source, BTN_LEFT, true), 0);
		input_source_relative(source, 1, 1);
		input_source_sync(source);
		assert_int_equal(input_source_button(source, BTN_LEFT, false), 0);
		input_source_sync(source);
	}
	assert_int_equal(input_source_flush(source, 60000), 0);
	expect(fixture, &fixture->sink, "");
	fake_sink_set_active(&fixture->sink, ALL);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	input_source_destroy(source);
	expect(fixture, &fixture->sink, "+30 -30 ");
}

static void router_sink_that_refuses_a_key_does_not_stall(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	fixture->sink.key_error = -ENOENT;
	assert_int_equal(input_source_key(source, KEY_MACRO30, true), 0);
	assert_int_equal(input_source_key(source, KEY_MACRO30, false), 0);
	fixture->sink.key_error = -ENODEV;
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_source_key(source, KEY_A, false), 0);
	fixture->sink.key_error = 0;
	assert_int_equal(input_source_key(source, KEY_B, true), 0);
	expect(fixture, &fixture->sink, "+48 ");
	input_source_destroy(source);
}

static void router_last_attached_active_sink_gets_the_event_and_its_release(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *source;
	struct fake_sink tablet;

	fake_sink_init(&tablet, "tablet", INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE, UINT_MAX);
	tablet.active = 0;
	assert_int_equal(input_router_attach(fixture->router, &tablet.sink), 0);
	source = input_source_create(fixture->router, "a", NULL);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	assert_int_equal(input_router_active(fixture->router), ALL);
	fake_sink_set_active(&tablet, tablet.sink.capabilities);
	assert_int_equal(input_router_active(fixture->router), ALL | INPUT_POINTER_ABSOLUTE);
	assert_int_equal(input_source_key(source, KEY_B, true), 0);
	assert_int_equal(input_source_key(source, KEY_A, false), 0);
	input_source_absolute(source, 700, 20, 640, 480);
	input_source_sync(source);
	expect(fixture, &fixture->sink, "+30 -30 ");
	expect(fixture, &tablet, "+48 abs(639,20,640x480) sync ");
	input_source_absolute(source, 1, 1, 0, 480);
	input_source_sync(source);
	input_source_destroy(source);
	expect(fixture, &tablet, "-48 ");
	input_router_destroy(fixture->router);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	fake_sink_fini(&tablet);
}

static void router_ninth_sink_is_refused(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 1; i < INPUT_ROUTER_MAX_SINKS; i++)
		assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), -ENOSPC);
}

static void router_leds_and_capabilities_reach_every_source(void **state)
{
	struct fixture *fixture = *state;
	struct heard heard[2] = { HEARD_INIT, HEARD_INIT };
	struct input_source *sources[2];

	for (int i = 0; i < 2; i++) {
		const struct input_source_listener listener = { .leds_changed = heard_leds,
			.capabilities_changed = heard_capabilities,
			.opaque = &heard[i] };

		sources[i] = input_source_create(fixture->router, "a", &listener);
	}
	for (int i = 0; i < 2; i++)
		wait_heard(&heard[i], 0, ALL);
	fake_sink_set_leds(&fixture->sink, INPUT_LED_CAPS);
	for (int i = 0; i < 2; i++)
		wait_heard(&heard[i], INPUT_LED_CAPS, ALL);
	fake_sink_set_active(&fixture->sink, INPUT_KEYBOARD);
	for (int i = 0; i < 2; i++)
		wait_heard(&heard[i], INPUT_LED_CAPS, INPUT_KEYBOARD);
	for (int i = 0; i < 2; i++) {
		input_source_destroy(sources[i]);
		heard[i].calls = 0;
	}
	fake_sink_set_leds(&fixture->sink, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(heard[i].calls, 0);
}

static void router_source_destroyed_while_full_still_releases(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *other = input_source_create(fixture->router, "b", NULL);
	struct input_source *source = input_source_create(fixture->router, "a", NULL);

	fake_sink_give_room(&fixture->sink, 0);
	assert_int_equal(input_source_key(source, KEY_A, true), 0);
	input_source_destroy(source);
	assert_int_equal(input_source_key(other, KEY_B, true), 0);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_int_equal(input_source_flush(other, 60000), 0);
	expect(fixture, &fixture->sink, "+30 -30 +48 ");
	input_source_destroy(other);
}

/* A guest that takes a little now and then, while sources come, type and go. */
struct storm {
	struct fixture *fixture;
	unsigned seed;
};

static void *storm_main(void *opaque)
{
	struct storm *storm = opaque;
	unsigned random = storm->seed;

	for (int round = 0; round < 20; round++) {
		struct heard heard = HEARD_INIT;
		const struct input_source_listener listener = { .leds_changed = heard_leds,
			.capabilities_changed = heard_capabilities,
			.opaque = &heard };
		struct input_source *source =
			input_source_create(storm->fixture->router, "storm", &listener);

		for (int i = 0; i < 200; i++) {
			random = random * 1103515245u + 12345u;
			switch ((random >> 16) % 5) {
			case 0:
			case 1:
				(void)input_source_key(
					source, 1 + (random >> 20) % 100, (random >> 18) & 1);
				break;
			case 2:
				(void)input_source_button(
					source, BTN_LEFT + (random >> 20) % 5, (random >> 18) & 1);
				break;
			case 3:
				input_source_relative(source, 1, 1);
				break;
			default:
				input_source_sync(source);
				break;
			}
		}
		input_source_destroy(source);
	}
	return NULL;
}

static void router_storm_of_sources_leaves_nothing_down(void **state)
{
	struct fixture *fixture = *state;
	struct storm storms[3];
	pthread_t threads[3];
	struct input_source *last;
	bool down[KEY_CNT] = { false };
	unsigned taken = 0;

	for (unsigned i = 0; i < 3; i++) {
		storms[i] = (struct storm){ fixture, i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, storm_main, &storms[i]), 0);
	}
	for (unsigned i = 0; i < 300; i++) {
		fake_sink_give_room(&fixture->sink, i % 7);
		fake_sink_set_leds(&fixture->sink, i % 8);
		fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
		for (char *word = strtok(fixture->text, " "); word; word = strtok(NULL, " ")) {
			const char *sign = word + (*word == 'b');

			if (*sign != '+' && *sign != '-')
				continue;
			assert_int_not_equal(down[atoi(sign + 1)], *sign == '+');
			down[atoi(sign + 1)] = *sign == '+';
			taken++;
		}
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	last = input_source_create(fixture->router, "last", NULL);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	/* The router's thread has yet to empty the queue. */
	for (int tries = 0; tries < 60000 && input_source_key(last, KEY_F12, true) != 0; tries++)
		usleep(1000);
	assert_int_equal(input_source_flush(last, 60000), 0);
	input_source_destroy(last);
	fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
	for (char *word = strtok(fixture->text, " "); word; word = strtok(NULL, " ")) {
		const char *sign = word + (*word == 'b');

		if (*sign != '+' && *sign != '-')
			continue;
		assert_int_not_equal(down[atoi(sign + 1)], *sign == '+');
		down[atoi(sign + 1)] = *sign == '+';
		taken++;
	}
	assert_true(taken > 0);
	for (unsigned code = 0; code < KEY_CNT; code++)
		assert_false(down[code]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(router_key_press_and_release_reach_the_sink),
		TEST(router_key_repeat_and_unknown_release_are_ignored),
		TEST(router_code_out_of_range_is_refused),
		TEST(router_key_held_by_two_sources_is_released_by_the_last),
		TEST(router_release_all_releases_keys_and_buttons),
		TEST(router_motion_collects_until_sync),
		TEST(router_motion_before_a_button_stays_before_it),
		TEST(router_motion_sum_saturates),
		TEST(router_full_sink_delays_keys_in_order),
		TEST(router_waiting_motion_merges_around_buttons),
		TEST(router_waiting_motion_far_and_back_is_not_one),
		TEST(router_full_queue_refuses_presses_and_keeps_every_release),
		TEST(router_switched_off_keyboard_loses_keys_and_does_not_stall),
		TEST(router_sink_that_refuses_a_key_does_not_stall),
		TEST(router_last_attached_active_sink_gets_the_event_and_its_release),
		TEST(router_ninth_sink_is_refused),
		TEST(router_leds_and_capabilities_reach_every_source),
		TEST(router_source_destroyed_while_full_still_releases),
		TEST(router_storm_of_sources_leaves_nothing_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
