/* The input router when something changes under it: pause, reset, another pointer, another source,
 * lock lights; and when much more comes than a slow guest takes. */
#include "router_fixture.h"

#include <unistd.h>

#include "input/router_state.h"

static void expect_all(struct fixture *fixture, struct input_source *source, const char *text)
{
	assert_int_equal(input_source_flush(source, 60000), 0);
	expect(fixture, &fixture->sink, text);
}

/* For what the router's own thread does. */
static void wait_for(struct fixture *fixture, struct fake_sink *sink, const char *text)
{
	size_t length = 0;

	for (unsigned i = 0; i < 60000 && length < strlen(text); i++) {
		usleep(1000);
		pthread_mutex_lock(&sink->lock);
		length = sink->length;
		pthread_mutex_unlock(&sink->lock);
	}
	expect(fixture, sink, text);
}

/* Pause. */

static void router_pause_releases_everything_and_takes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a = input_source_create(fixture->router, "a", NULL);
	struct input_source *b = input_source_create(fixture->router, "b", NULL);

	assert_int_equal(input_source_key(a, KEY_LEFTSHIFT, true), 0);
	assert_int_equal(input_source_key(b, KEY_A, true), 0);
	assert_int_equal(input_source_button(b, BTN_LEFT, true), 0);
	input_source_relative(b, 1, 1);
	input_router_set_running(fixture->router, false);
	wait_for(fixture, &fixture->sink, "+42 +30 -30 rel(1,1) b+272 sync b-272 sync -42 ");
	assert_int_equal(input_source_key(a, KEY_A, true), -EHOSTDOWN);
	assert_int_equal(input_source_button(a, BTN_LEFT, true), -EHOSTDOWN);
	assert_int_equal(input_source_key(a, KEY_LEFTSHIFT, false), 0);
	input_source_relative(a, 5, 5);
	input_source_wheel(a, 120, 0);
	input_source_sync(a);
	input_source_sync_locks(a, 7, 7);
	input_router_set_running(fixture->router, false);
	expect(fixture, &fixture->sink, "");
	input_router_set_running(fixture->router, true);
	input_source_sync(a);
	expect_all(fixture, a, "");
	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	expect_all(fixture, a, "+30 ");
	input_source_destroy(a);
	input_source_destroy(b);
}

static void router_pause_keeps_what_was_typed_before(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a = input_source_create(fixture->router, "a", NULL);

	fake_sink_give_room(&fixture->sink, 0);
	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	input_router_set_running(fixture->router, false);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	expect_all(fixture, a, "+30 -30 ");
	input_source_destroy(a);
}

/* Reset. */

static void router_reset_forgets_what_waits_and_lets_go(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a = input_source_create(fixture->router, "a", NULL);

	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	assert_int_equal(input_source_button(a, BTN_LEFT, true), 0);
	input_source_sync(a);
	expect(fixture, &fixture->sink, "+30 b+272 sync ");
	fake_sink_give_room(&fixture->sink, 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(input_source_key(a, KEY_B, true), 0);
		assert_int_equal(input_source_key(a, KEY_B, false), 0);
	}
	assert_int_equal(input_source_button(a, BTN_RIGHT, true), 0); /* and no sync */
	input_source_relative(a, 9, 9);
	input_router_reset(fixture->router);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_int_equal(input_source_flush(a, 60000), 0);
	/* The real devices, reset before, say nothing of these. */
	wait_for(fixture, &fixture->sink, "-48 -30 b-272 sync b-273 sync ");
	/* The user's fingers are still there; what they do next is heard again. */
	assert_int_equal(input_source_key(a, KEY_A, false), 0);
	assert_int_equal(input_source_button(a, BTN_RIGHT, false), 0);
	input_source_sync(a);
	expect_all(fixture, a, "");
	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	assert_int_equal(input_source_key(a, KEY_A, false), 0);
	expect_all(fixture, a, "+30 -30 ");
	input_source_destroy(a);
}

static void router_resets_leave_the_whole_queue_usable(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a = input_source_create(fixture->router, "a", NULL);
	unsigned taken[2] = { 0, 0 };

	for (unsigned round = 0; round < 2; round++) {
		fake_sink_give_room(&fixture->sink, 0);
		while (input_source_key(a, KEY_A, taken[round] % 2 == 0) == 0)
			taken[round]++;
		for (unsigned i = 0; i < 50; i++) {
			(void)input_source_button(a, BTN_LEFT, true);
			input_router_reset(fixture->router);
			(void)input_source_button(a, BTN_LEFT, true);
			(void)input_source_button(a, BTN_LEFT, false);
			input_router_reset(fixture->router);
			(void)input_source_key(a, KEY_A, true);
		}
		input_router_reset(fixture->router);
		fake_sink_give_room(&fixture->sink, UINT_MAX);
		assert_int_equal(input_source_flush(a, 60000), 0);
		usleep(10000);
		(void)fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
	}
	assert_int_equal(taken[0], taken[1]);
	assert_true(taken[0] > 4000);
	input_source_destroy(a);
}

/* Another pointer. */

static void router_buttons_are_let_go_where_they_were_pressed(void **state)
{
	struct fixture *fixture = *state;
	struct fake_sink *tablet = calloc(1, sizeof(*tablet));
	struct input_source *a;

	fake_sink_init(tablet, "tablet", INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE, UINT_MAX);
	tablet->active = 0;
	assert_int_equal(input_router_attach(fixture->router, &tablet->sink), 0);
	a = input_source_create(fixture->router, "a", NULL);
	assert_int_equal(input_source_button(a, BTN_LEFT, true), 0);
	input_source_absolute(a, 1, 1, 100, 100); /* for nobody */
	input_source_sync(a);
	expect(fixture, &fixture->sink, "b+272 sync ");
	/* The guest's driver has come. */
	fake_sink_set_active(tablet, INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE);
	wait_for(fixture, &fixture->sink, "b-272 sync ");
	assert_int_equal(input_source_button(a, BTN_LEFT, false), 0);
	input_source_sync(a);
	expect(fixture, tablet, "");
	input_source_absolute(a, 2, 3, 100, 100);
	assert_int_equal(input_source_button(a, BTN_RIGHT, true), 0);
	input_source_sync(a);
	expect(fixture, tablet, "abs(2,3,100x100) b+273 sync ");
	/* And has gone. */
	fake_sink_set_active(tablet, 0);
	wait_for(fixture, tablet, "b-273 sync ");
	input_source_relative(a, 4, 5);
	assert_int_equal(input_source_button(a, BTN_RIGHT, false), 0);
	assert_int_equal(input_source_button(a, BTN_MIDDLE, true), 0);
	input_source_sync(a);
	expect(fixture, &fixture->sink, "rel(4,5) b+274 sync ");
	input_source_destroy(a);
	expect(fixture, &fixture->sink, "b-274 sync ");
	expect(fixture, tablet, "");
	/* The router goes first. */
	input_router_destroy(fixture->router);
	fake_sink_fini(tablet);
	free(tablet);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
}

/* Several sources. */

static void router_click_is_where_its_own_source_points(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a, *b;

	input_router_destroy(fixture->router);
	fake_sink_fini(&fixture->sink);
	fake_sink_init(&fixture->sink, "tablet", INPUT_POINTER_ABSOLUTE, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	a = input_source_create(fixture->router, "a", NULL);
	b = input_source_create(fixture->router, "b", NULL);
	input_source_absolute(a, 10, 10, 100, 100);
	input_source_sync(a);
	input_source_absolute(b, 20, 20, 100, 100);
	input_source_sync(b);
	expect(fixture, &fixture->sink, "abs(10,10,100x100) sync abs(20,20,100x100) sync ");
	/* a has not moved since. */
	assert_int_equal(input_source_button(a, BTN_LEFT, true), 0);
	input_source_sync(a);
	expect(fixture, &fixture->sink, "abs(10,10,100x100) b+272 sync ");
	/* b's finger on the same button changes nothing, nor does letting go of it. */
	assert_int_equal(input_source_button(b, BTN_LEFT, true), 0);
	assert_int_equal(input_source_button(b, BTN_LEFT, false), 0);
	input_source_sync(b);
	assert_int_equal(input_source_button(a, BTN_LEFT, false), 0);
	input_source_sync(a);
	expect(fixture, &fixture->sink, "b-272 sync ");
	/* So it is with the wheel, which b turns after a has clicked. */
	input_source_wheel(b, 120, 0);
	input_source_sync(b);
	input_source_wheel(b, 0, 120);
	input_source_sync(b);
	expect(fixture, &fixture->sink, "abs(20,20,100x100) wheel(120,0) sync wheel(0,120) sync ");
	input_source_destroy(b);
	input_source_destroy(a);
}

static void router_waiting_motion_is_the_last_movers(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a, *b;

	input_router_destroy(fixture->router);
	fake_sink_fini(&fixture->sink);
	fake_sink_init(&fixture->sink, "tablet", INPUT_POINTER_ABSOLUTE | INPUT_KEYBOARD, 0);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	a = input_source_create(fixture->router, "a", NULL);
	b = input_source_create(fixture->router, "b", NULL);
	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	for (unsigned i = 0; i < 10000; i++) {
		input_source_absolute(i % 2 ? a : b, i % 100, 0, 100, 100);
		input_source_sync(i % 2 ? a : b);
	}
	assert_int_equal(input_source_flush(b, 0), 0); /* nothing of its own is left */
	assert_int_equal(input_source_flush(a, 0), -ETIMEDOUT);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	expect_all(fixture, a, "+30 abs(99,0,100x100) sync ");
	input_source_destroy(b);
	input_source_destroy(a);
}

/* Lights. */

static void router_lock_is_tapped_once_until_the_guest_answers(void **state)
{
	struct fixture *fixture = *state;
	struct heard heard = HEARD_INIT;
	const struct input_source_listener listener = { .leds_changed = heard_leds,
		.capabilities_changed = heard_capabilities,
		.opaque = &heard };
	struct input_source *a = input_source_create(fixture->router, "a", &listener);

	wait_heard(&heard, 0, ALL);
	input_source_sync_locks(a, INPUT_LED_CAPS | INPUT_LED_NUM, INPUT_LED_NUM);
	expect_all(fixture, a, "+69 -69 ");
	input_source_sync_locks(a, INPUT_LED_CAPS | INPUT_LED_NUM, INPUT_LED_NUM);
	input_source_sync_locks(a, INPUT_LED_CAPS, 0);
	expect_all(fixture, a, "");
	fake_sink_set_leds(&fixture->sink, INPUT_LED_NUM);
	wait_heard(&heard, INPUT_LED_NUM, ALL);
	input_source_sync_locks(a, INPUT_LED_CAPS | INPUT_LED_NUM, INPUT_LED_NUM);
	expect_all(fixture, a, "");
	input_source_sync_locks(a, INPUT_LED_CAPS | INPUT_LED_NUM, INPUT_LED_CAPS);
	expect_all(fixture, a, "+58 -58 +69 -69 ");
	fake_sink_set_leds(&fixture->sink, INPUT_LED_CAPS);
	/* A light that is not known is left alone. */
	input_source_sync_locks(a, 0, 0);
	expect_all(fixture, a, "");
	/* The user has pressed the key: that is on its way, the light is not yet there. */
	assert_int_equal(input_source_key(a, KEY_CAPSLOCK, true), 0);
	assert_int_equal(input_source_key(a, KEY_CAPSLOCK, false), 0);
	input_source_sync_locks(a, INPUT_LED_CAPS, 0);
	expect_all(fixture, a, "+58 -58 ");
	/* On and off again before anybody looked is an answer as well. */
	fake_sink_set_leds(&fixture->sink, 0);
	fake_sink_set_leds(&fixture->sink, INPUT_LED_CAPS);
	input_source_sync_locks(a, INPUT_LED_CAPS, 0);
	expect_all(fixture, a, "+58 -58 ");
	/* A guest that starts anew owes no answer. */
	input_router_reset(fixture->router);
	input_source_sync_locks(a, INPUT_LED_CAPS, 0);
	expect_all(fixture, a, "+58 -58 ");
	input_source_destroy(a);
}

/* Slow guests. */

struct room {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool there;
};

static void room_again(void *opaque)
{
	struct room *room = opaque;

	pthread_mutex_lock(&room->lock);
	room->there = true;
	pthread_cond_broadcast(&room->changed);
	pthread_mutex_unlock(&room->lock);
}

static void wait_for_room(struct room *room)
{
	pthread_mutex_lock(&room->lock);
	while (!room->there)
		pthread_cond_wait(&room->changed, &room->lock);
	room->there = false;
	pthread_mutex_unlock(&room->lock);
}

#define TYPED 10000u

struct typed {
	struct fake_sink *sink;
	bool done;
	unsigned next, pressed; /* what the guest has got */
};

static unsigned typed_code(unsigned i)
{
	return KEY_1 + i * 7 % 10;
}

static struct typed *typing;

/* With the sink's lock: each key in order, pressed and released. */
static void note_typed(const char *event)
{
	unsigned code = (unsigned)strtoul(event + 1, NULL, 10);

	assert_int_equal(code, typed_code(typing->next));
	assert_int_equal(*event, typing->pressed ? '-' : '+');
	typing->next += typing->pressed;
	typing->pressed = !typing->pressed;
}

/* A guest that takes a few keys at a time. */
static void *slow_guest(void *opaque)
{
	struct typed *typed = opaque;
	unsigned taken = 0;

	while (taken < TYPED) {
		fake_sink_give_room(typed->sink, 1 + taken % 17);
		usleep(20);
		pthread_mutex_lock(&typed->sink->lock);
		taken = typed->next;
		pthread_mutex_unlock(&typed->sink->lock);
	}
	return NULL;
}

static void router_ten_thousand_keys_reach_a_slow_guest_exactly(void **state)
{
	struct fixture *fixture = *state;
	struct room room = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	const struct input_source_listener listener = { .room = room_again, .opaque = &room };
	struct input_source *a = input_source_create(fixture->router, "a", &listener);
	struct typed typed = { .sink = &fixture->sink };
	unsigned refused = 0;
	pthread_t guest;

	typing = &typed;
	fixture->sink.echo = note_typed;
	fake_sink_give_room(&fixture->sink, 0);
	for (unsigned i = 0; i < TYPED; i++) {
		while (input_source_key(a, typed_code(i), true) == -EAGAIN) {
			/* Nothing has been taken so far: the queue is full. */
			if (!refused++)
				assert_int_equal(
					pthread_create(&guest, NULL, slow_guest, &typed), 0);
			wait_for_room(&room);
		}
		assert_int_equal(input_source_key(a, typed_code(i), false), 0);
	}
	assert_int_equal(input_source_flush(a, 60000), 0);
	pthread_join(guest, NULL);
	assert_int_equal(typed.next, TYPED);
	assert_false(typed.pressed);
	assert_true(refused > 0);
	assert_true(refused < 100); /* half a queue at a time */
	fixture->sink.echo = NULL;
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	input_source_destroy(a);
}

static void router_room_comes_after_each_refusal_only(void **state)
{
	struct fixture *fixture = *state;
	struct room room = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	const struct input_source_listener listener = { .room = room_again, .opaque = &room };
	struct input_source *a = input_source_create(fixture->router, "a", &listener);
	struct input_source *b = input_source_create(fixture->router, "b", NULL);

	fake_sink_give_room(&fixture->sink, 0);
	while (input_source_key(b, KEY_B, true) == 0)
		assert_int_equal(input_source_key(b, KEY_B, false), 0);
	assert_int_equal(input_source_key(a, KEY_A, true), -EAGAIN);
	assert_int_equal(input_source_button(a, BTN_LEFT, true), -EAGAIN);
	fake_sink_give_room(&fixture->sink, 10);
	usleep(20000);
	assert_false(room.there); /* ten places are not worth it */
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	wait_for_room(&room);
	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	assert_int_equal(input_source_flush(a, 60000), 0);
	usleep(20000);
	assert_false(room.there);
	input_source_destroy(a);
	input_source_destroy(b);
}

static void *read_later(void *opaque)
{
	usleep(20000);
	fake_sink_set_unread(opaque, false);
	return NULL;
}

static void router_flush_waits_until_the_guest_has_read(void **state)
{
	struct fixture *fixture = *state;
	struct input_source *a = input_source_create(fixture->router, "a", NULL);
	struct input_source *b = input_source_create(fixture->router, "b", NULL);
	pthread_t guest;

	fake_sink_set_unread(&fixture->sink, true);
	assert_int_equal(input_source_key(a, KEY_A, true), 0);
	assert_int_equal(input_source_flush(a, 1), -ETIMEDOUT);
	assert_int_equal(input_source_flush(b, 0), 0); /* has sent nothing */
	assert_int_equal(pthread_create(&guest, NULL, read_later, &fixture->sink), 0);
	assert_int_equal(input_source_flush(a, 60000), 0);
	pthread_join(guest, NULL);
	input_source_destroy(a);
	input_source_destroy(b);
}

/* Sources, guest and user at once. */

struct storm {
	struct input_router *router;
	struct fake_sink *mouse, *tablet;
	atomic_bool ends;
};

static void *storm_source(void *opaque)
{
	struct storm *storm = opaque;
	unsigned seed = (unsigned)(uintptr_t)&seed, flushed = 0;

	for (unsigned n = 0; n < 40; n++) {
		struct input_source *source = input_source_create(storm->router, "storm", NULL);

		for (unsigned i = 0; i < 500; i++) {
			unsigned random = (unsigned)rand_r(&seed);
			unsigned code = random >> 8 & 7;

			if (random & 1)
				(void)input_source_key(source, KEY_1 + code, random & 2);
			else
				(void)input_source_button(source, BTN_LEFT + code, random & 2);
			if (random & 4)
				input_source_relative(source, 1, 1);
			if (random & 16)
				input_source_absolute(source, code, code, 9, 9);
			if (random & 32)
				input_source_sync(source);
			if ((random >> 16) % 100 == 0)
				input_source_release_all(source);
			if ((random >> 16) % 100 == 1)
				input_source_sync_locks(source, 7, code);
			if ((random >> 16) % 100 == 2)
				flushed += input_source_flush(source, 1) == 0;
		}
		input_source_destroy(source);
	}
	return flushed ? opaque : NULL;
}

static void *storm_guest(void *opaque)
{
	struct storm *storm = opaque;
	unsigned seed = 1;

	while (!atomic_load(&storm->ends)) {
		unsigned random = (unsigned)rand_r(&seed);
		struct fake_sink *sink = random & 1 ? storm->mouse : storm->tablet;

		if (random & 2)
			fake_sink_give_room(sink, random >> 8 & 255);
		else
			fake_sink_set_active(sink, random & 4 ? sink->sink.capabilities : 0);
		if ((random >> 8) % 50 == 0)
			input_router_set_running(storm->router, random & 8);
		if ((random >> 8) % 50 == 1)
			input_router_reset(storm->router);
		if ((random >> 8) % 50 == 2)
			fake_sink_set_leds(sink, random >> 16 & 7);
		usleep(50);
	}
	return NULL;
}

/* What each sink has seen pressed and not let go. */
static struct left {
	bool down[KEY_CNT];
} lefts[2];

static void note(struct left *left, const char *event)
{
	const char *sign = *event == 'b' ? event + 1 : event;

	if (*sign == '+' || *sign == '-')
		left->down[strtoul(sign + 1, NULL, 10)] = *sign == '+';
}

static void note_mouse(const char *event)
{
	note(&lefts[0], event);
}

static void note_tablet(const char *event)
{
	note(&lefts[1], event);
}

static void router_storm_of_everything_leaves_nothing_down_or_owed(void **state)
{
	struct fixture *fixture = *state;
	struct fake_sink *tablet = calloc(1, sizeof(*tablet));
	struct storm storm = { fixture->router, &fixture->sink, tablet, false };
	pthread_t sources[3], guest;
	struct input_source *last;

	fake_sink_init(tablet, "tablet", INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE, 0);
	fixture->sink.echo = note_mouse;
	tablet->echo = note_tablet;
	assert_int_equal(input_router_attach(fixture->router, &tablet->sink), 0);
	for (unsigned i = 0; i < array_size(sources); i++)
		assert_int_equal(pthread_create(&sources[i], NULL, storm_source, &storm), 0);
	assert_int_equal(pthread_create(&guest, NULL, storm_guest, &storm), 0);
	for (unsigned i = 0; i < array_size(sources); i++)
		pthread_join(sources[i], NULL);
	atomic_store(&storm.ends, true);
	pthread_join(guest, NULL);
	input_router_set_running(fixture->router, true);
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	fake_sink_give_room(tablet, UINT_MAX);
	fake_sink_set_active(&fixture->sink, ALL);
	fake_sink_set_active(tablet, 0);
	/* Behind all the rest. */
	last = input_source_create(fixture->router, "last", NULL);
	/* The router's thread has yet to empty the queue. */
	for (int tries = 0; tries < 60000 && input_source_key(last, KEY_ESC, true) != 0; tries++)
		usleep(1000);
	input_source_relative(last, 1, 1);
	input_source_sync(last);
	assert_int_equal(input_source_flush(last, 60000), 0);
	fake_sink_set_active(tablet, tablet->sink.capabilities);
	input_source_relative(last, 1, 1);
	input_source_sync(last);
	assert_int_equal(input_source_flush(last, 60000), 0);
	input_source_destroy(last);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fixture->router->sinks[i]->queue.count, 0);
		assert_int_equal(fixture->router->sinks[i]->queue.owed, 0);
		for (unsigned code = 0; code < KEY_CNT; code++)
			assert_false(lefts[i].down[code]);
	}
	input_router_destroy(fixture->router);
	fake_sink_fini(tablet);
	free(tablet);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	fixture->sink.echo = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
		TEST(router_pause_releases_everything_and_takes_nothing),
		TEST(router_pause_keeps_what_was_typed_before),
		TEST(router_reset_forgets_what_waits_and_lets_go),
		TEST(router_resets_leave_the_whole_queue_usable),
		TEST(router_buttons_are_let_go_where_they_were_pressed),
		TEST(router_click_is_where_its_own_source_points),
		TEST(router_waiting_motion_is_the_last_movers),
		TEST(router_lock_is_tapped_once_until_the_guest_answers),
		TEST(router_ten_thousand_keys_reach_a_slow_guest_exactly),
		TEST(router_room_comes_after_each_refusal_only),
		TEST(router_flush_waits_until_the_guest_has_read),
		TEST(router_storm_of_everything_leaves_nothing_down_or_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
