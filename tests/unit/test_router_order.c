/* The order of keys, buttons and wheels, which reach the guest through different sinks. */
#include "router_fixture.h"

#include <unistd.h>

#include "core/clock.h"
#include "input/router_state.h"

/* For tests in which it counts: more than a busy machine may stand still. */
#define LONG_PATIENCE_MS 3000

struct order {
	struct fixture base; /* its sink is the keyboard */
	struct fake_sink pointer;
	struct input_source *source;
};

/* How long the router waits for a guest that takes nothing. */
static void be_patient(struct order *o, unsigned ms)
{
	pthread_mutex_lock(&o->base.router->lock);
	o->base.router->patience_ns = ms * NS_PER_MS;
	pthread_mutex_unlock(&o->base.router->lock);
}

static int setup_order(void **state)
{
	struct order *o = calloc(1, sizeof(*o));
	struct error err;

	fake_sink_init(&o->base.sink, "keyboard", INPUT_KEYBOARD, UINT_MAX);
	fake_sink_init(
		&o->pointer, "pointer", INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE, UINT_MAX);
	assert_int_equal(input_router_create(&o->base.router, &err), 0);
	assert_int_equal(input_router_attach(o->base.router, &o->base.sink.sink), 0);
	assert_int_equal(input_router_attach(o->base.router, &o->pointer.sink), 0);
	o->source = input_source_create(o->base.router, "a", NULL);
	*state = o;
	/* But for the tests of patience, the machine may stand still for as long as it likes. */
	be_patient(o, 3600 * 1000);
	return 0;
}

static int teardown_order(void **state)
{
	struct order *o = *state;

	input_source_destroy(o->source);
	input_router_destroy(o->base.router);
	fake_sink_fini(&o->base.sink);
	fake_sink_fini(&o->pointer);
	free(o);
	return 0;
}

static void key(struct order *o, unsigned code, bool down)
{
	assert_int_equal(input_source_key(o->source, code, down), 0);
}

static void button(struct input_source *source, bool down)
{
	assert_int_equal(input_source_button(source, BTN_LEFT, down), 0);
	input_source_sync(source);
}

static void expect_keys(struct order *o, const char *text)
{
	expect(&o->base, &o->base.sink, text);
}

static void expect_pointer(struct order *o, const char *text)
{
	expect(&o->base, &o->pointer, text);
}

/* The same for what the router's thread brings soon. */
static void wait_for(struct order *o, struct fake_sink *sink, const char *text)
{
	const uint64_t deadline_ns = clock_now_ns() + UINT64_C(60000000000);
	bool all = false;

	while (!all && clock_now_ns() < deadline_ns) {
		usleep(1000);
		pthread_mutex_lock(&sink->lock);
		all = sink->length >= strlen(text);
		pthread_mutex_unlock(&sink->lock);
	}
	expect(&o->base, sink, text);
}

/* Long enough for the router's thread to do what it must not do. */
static void a_while(void)
{
	usleep(20000);
}

static void order_click_comes_after_the_key_before_it(void **state)
{
	struct order *o = *state;

	fake_sink_give_room(&o->base.sink, 0);
	fake_sink_set_unread(&o->base.sink, true);
	key(o, KEY_A, true);
	key(o, KEY_A, false);
	key(o, KEY_LEFTCTRL, true);
	button(o->source, true);
	button(o->source, false);
	a_while();
	expect_keys(o, "");
	expect_pointer(o, "");
	/* Taken by the keyboard is not read by the guest. */
	fake_sink_give_room(&o->base.sink, UINT_MAX);
	wait_for(o, &o->base.sink, "+30 -30 +29 ");
	a_while();
	expect_pointer(o, "");
	fake_sink_set_unread(&o->base.sink, false);
	wait_for(o, &o->pointer, "b+272 sync b-272 sync ");
}

static void order_key_comes_after_the_click_before_it(void **state)
{
	struct order *o = *state;

	key(o, KEY_LEFTCTRL, true);
	fake_sink_set_unread(&o->pointer, true);
	button(o->source, true);
	button(o->source, false);
	expect_keys(o, "+29 ");
	expect_pointer(o, "b+272 sync b-272 sync ");
	key(o, KEY_LEFTCTRL, false);
	key(o, KEY_A, true);
	a_while();
	expect_keys(o, "");
	fake_sink_set_unread(&o->pointer, false);
	wait_for(o, &o->base.sink, "-29 +30 ");
}

static void order_wheel_stays_between_its_keys(void **state)
{
	struct order *o = *state;

	fake_sink_set_unread(&o->base.sink, true);
	key(o, KEY_LEFTCTRL, true);
	input_source_wheel(o->source, 120, 0);
	input_source_sync(o->source);
	key(o, KEY_LEFTCTRL, false);
	expect_keys(o, "+29 ");
	a_while();
	expect_pointer(o, "");
	fake_sink_set_unread(&o->pointer, true);
	fake_sink_set_unread(&o->base.sink, false);
	wait_for(o, &o->pointer, "wheel(120,0) sync ");
	a_while();
	expect_keys(o, "");
	fake_sink_set_unread(&o->pointer, false);
	wait_for(o, &o->base.sink, "-29 ");
}

/* Each would wait for the other if the wheel became one with what waits. */
static void order_wheel_does_not_join_the_one_before_a_key(void **state)
{
	struct order *o = *state;

	fake_sink_give_room(&o->pointer, 0);
	button(o->source, true);
	input_source_wheel(o->source, 120, 0);
	input_source_sync(o->source);
	key(o, KEY_LEFTCTRL, true);
	input_source_wheel(o->source, 120, 0);
	input_source_sync(o->source);
	a_while();
	expect_pointer(o, "b+272 "); /* has it, with no room for the end of the packet */
	expect_keys(o, "");
	fake_sink_set_unread(&o->base.sink, true);
	fake_sink_give_room(&o->pointer, UINT_MAX);
	wait_for(o, &o->pointer, "sync wheel(120,0) sync ");
	wait_for(o, &o->base.sink, "+29 ");
	a_while();
	expect_pointer(o, "");
	fake_sink_set_unread(&o->base.sink, false);
	wait_for(o, &o->pointer, "wheel(120,0) sync ");
}

static void order_is_nothing_to_motion_and_to_others(void **state)
{
	struct order *o = *state;
	struct input_source *other = input_source_create(o->base.router, "b", NULL);

	fake_sink_give_room(&o->base.sink, 0);
	fake_sink_set_unread(&o->base.sink, true);
	fake_sink_set_unread(&o->pointer, true);
	key(o, KEY_A, true);
	input_source_absolute(o->source, 1, 2, 3, 4);
	input_source_sync(o->source);
	expect_pointer(o, "abs(1,2,3x4) sync ");
	button(other, true);
	expect_pointer(o, "b+272 sync ");
	/* No key waits for motion. */
	fake_sink_give_room(&o->base.sink, UINT_MAX);
	wait_for(o, &o->base.sink, "+30 ");
	key(o, KEY_A, false);
	expect_keys(o, "-30 ");
	input_source_destroy(other);
}

/* A hand that goes on moving does not put off what waits for its click to be read. */
static void order_motion_does_not_keep_a_key_waiting(void **state)
{
	struct order *o = *state;

	fake_sink_set_unread(&o->pointer, true);
	button(o->source, true);
	expect_pointer(o, "b+272 sync ");
	key(o, KEY_LEFTSHIFT, true);
	for (int i = 1; i <= 100; i++) {
		input_source_relative(o->source, 1, -1);
		input_source_sync(o->source);
	}
	a_while();
	expect_pointer(o, "");
	expect_keys(o, "");
	fake_sink_set_unread(&o->pointer, false);
	wait_for(o, &o->base.sink, "+42 ");
	wait_for(o, &o->pointer, "rel(100,-100) sync ");
}

static void order_guest_that_reads_no_keys_keeps_its_mouse(void **state)
{
	struct order *o = *state;
	const unsigned patience_ms = ROUTER_PATIENCE_NS / NS_PER_MS;
	uint64_t start_ns = clock_now_ns(), passed_ms;

	be_patient(o, patience_ms);
	fake_sink_give_room(&o->base.sink, 0);
	fake_sink_set_unread(&o->base.sink, true);
	key(o, KEY_LEFTCTRL, true);
	button(o->source, true);
	wait_for(o, &o->pointer, "b+272 sync ");
	passed_ms = (clock_now_ns() - start_ns) / 1000000;
	assert_in_range(passed_ms, patience_ms - 1, 20 * patience_ms);
	be_patient(o, 3600 * 1000);
	/* From then on at once, whatever is typed in between. */
	button(o->source, false);
	expect_pointer(o, "b-272 sync ");
	key(o, KEY_A, true);
	button(o->source, true);
	expect_pointer(o, "b+272 sync ");
	/* It reads again: order as before. */
	fake_sink_set_unread(&o->base.sink, false);
	fake_sink_give_room(&o->base.sink, UINT_MAX);
	wait_for(o, &o->base.sink, "+29 +30 ");
	button(o->source, false);
	expect_pointer(o, "b-272 sync ");
	fake_sink_set_unread(&o->base.sink, true);
	key(o, KEY_A, false);
	button(o->source, true);
	a_while();
	expect_keys(o, "-30 ");
	expect_pointer(o, "");
	fake_sink_set_unread(&o->base.sink, false);
	wait_for(o, &o->pointer, "b+272 sync ");
}

static void order_slow_guest_is_waited_for(void **state)
{
	struct order *o = *state;
	char text[16];

	be_patient(o, LONG_PATIENCE_MS);
	fake_sink_give_room(&o->base.sink, 0);
	fake_sink_set_unread(&o->base.sink, true);
	for (unsigned i = 0; i < 6; i++)
		key(o, KEY_A + i, true);
	button(o->source, true);
	/* A key now and then is longer than patience with one that takes none. */
	for (unsigned i = 0; i < 6; i++) {
		usleep(LONG_PATIENCE_MS * 1000 / 5);
		expect_pointer(o, "");
		fake_sink_give_room(&o->base.sink, 1);
		snprintf(text, sizeof(text), "+%u ", KEY_A + i);
		wait_for(o, &o->base.sink, text);
	}
	expect_pointer(o, "");
	fake_sink_set_unread(&o->base.sink, false);
	wait_for(o, &o->pointer, "b+272 sync ");
}

static void order_pause_is_no_time(void **state)
{
	struct order *o = *state;

	be_patient(o, LONG_PATIENCE_MS);
	fake_sink_set_unread(&o->base.sink, true);
	key(o, KEY_LEFTCTRL, true);
	button(o->source, true);
	input_router_set_running(o->base.router, false); /* which releases both */
	usleep(LONG_PATIENCE_MS * 1000 + 100000);
	expect_pointer(o, "");
	input_router_set_running(o->base.router, true);
	a_while();
	expect_pointer(o, "");
	fake_sink_set_unread(&o->base.sink, false);
	wait_for(o, &o->pointer, "b+272 sync b-272 sync ");
	expect_keys(o, "+29 -29 ");
}

static void order_reset_forgets_who_waits(void **state)
{
	struct order *o = *state;

	fake_sink_give_room(&o->base.sink, 0);
	fake_sink_set_unread(&o->base.sink, true);
	key(o, KEY_LEFTCTRL, true);
	button(o->source, true);
	input_router_reset(o->base.router);
	expect_pointer(o, "b-272 sync "); /* a press may have reached it */
	button(o->source, true);
	expect_pointer(o, "b+272 sync ");
}

/* Whose keys are let go because it has gone: after its click, too. */
static void order_holds_for_a_source_that_is_gone(void **state)
{
	struct order *o = *state;
	struct input_source *other = input_source_create(o->base.router, "b", NULL);

	assert_int_equal(input_source_key(other, KEY_LEFTCTRL, true), 0);
	fake_sink_set_unread(&o->pointer, true);
	button(other, true);
	expect_keys(o, "+29 ");
	expect_pointer(o, "b+272 sync ");
	input_source_destroy(other);
	a_while();
	expect_keys(o, "");
	fake_sink_set_unread(&o->pointer, false);
	wait_for(o, &o->base.sink, "-29 ");
	wait_for(o, &o->pointer, "b-272 sync ");
}

/* Whatever two users do, and whatever the guest reads or not: in the end everything has gone. */
static void order_leaves_nothing_behind(void **state)
{
	struct order *o = *state;
	struct input_source *sources[] = { o->source,
		input_source_create(o->base.router, "b", NULL) };
	struct fake_sink *sinks[] = { &o->base.sink, &o->pointer };
	unsigned chance = 1;

	/* In the end somebody's patience is what two that wait for each other need. */
	be_patient(o, ROUTER_PATIENCE_NS / NS_PER_MS);
	for (unsigned i = 0; i < 20000; i++) {
		struct input_source *source =
			sources[(chance = chance * 1103515245 + 12345) >> 30 & 1];
		struct fake_sink *sink = sinks[chance >> 29 & 1];
		bool down = chance >> 28 & 1;

		switch (chance >> 16 & 7) {
		case 0:
		case 1:
			assert_int_equal(
				input_source_key(source, KEY_A + (chance >> 20 & 3), down), 0);
			break;
		case 2:
			button(source, down);
			break;
		case 3:
			input_source_wheel(source, down ? 120 : -120, 0);
			input_source_sync(source);
			break;
		case 4:
			input_source_relative(source, 1, 1);
			input_source_sync(source);
			break;
		case 5:
			fake_sink_set_unread(sink, down);
			break;
		case 6:
			fake_sink_give_room(sink, chance >> 20 & 7);
			break;
		default:
			fake_sink_take(sink, o->base.text, sizeof(o->base.text));
			if (i % 512 == 0)
				input_router_reset(o->base.router);
			break;
		}
	}
	for (unsigned i = 0; i < array_size(sources); i++)
		input_source_release_all(sources[i]);
	for (unsigned i = 0; i < array_size(sinks); i++) {
		fake_sink_set_unread(sinks[i], false);
		fake_sink_give_room(sinks[i], UINT_MAX);
	}
	for (unsigned i = 0; i < array_size(sources); i++)
		assert_int_equal(input_source_flush(sources[i], 60000), 0);
	for (unsigned i = 0; i < array_size(sinks); i++)
		fake_sink_take(sinks[i], o->base.text, sizeof(o->base.text));
	/* And the next ones go at once. */
	key(o, KEY_B, true);
	button(o->source, true);
	key(o, KEY_B, false);
	expect_keys(o, "+48 -48 ");
	expect_pointer(o, "b+272 sync ");
	input_source_destroy(sources[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_order, teardown_order)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(order_click_comes_after_the_key_before_it),
		TEST(order_key_comes_after_the_click_before_it),
		TEST(order_wheel_stays_between_its_keys),
		TEST(order_wheel_does_not_join_the_one_before_a_key),
		TEST(order_is_nothing_to_motion_and_to_others),
		TEST(order_motion_does_not_keep_a_key_waiting),
		TEST(order_guest_that_reads_no_keys_keeps_its_mouse),
		TEST(order_slow_guest_is_waited_for),
		TEST(order_pause_is_no_time),
		TEST(order_reset_forgets_who_waits),
		TEST(order_holds_for_a_source_that_is_gone),
		TEST(order_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
