/* A VNC client's pointer, through the router to a fake device. */
#include <limits.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "display/vnc/pointer.h"
#include "fake_sink.h"

struct fixture {
	struct fake_sink sink;
	struct input_router *router;
	struct input_source *source;
	struct vnc_sender sender;
	struct vnc_place place;
	struct vnc_pointer pointer, other;
	enum vnc_pointer_mode mode;
	char text[4096];
};

static int setup_with(void **state, unsigned capability)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fake_sink_init(&fixture->sink, "fake", capability, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	fixture->source = input_source_create(fixture->router, "client", NULL);
	fixture->sender = (struct vnc_sender){ .source = fixture->source, .name = "client" };
	pthread_mutex_init(&fixture->place.lock, NULL);
	fixture->pointer.place = fixture->other.place = &fixture->place;
	*state = fixture;
	return 0;
}

static int setup_relative(void **state)
{
	return setup_with(state, INPUT_POINTER_RELATIVE);
}

static int setup_absolute(void **state)
{
	return setup_with(state, INPUT_POINTER_ABSOLUTE);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	input_source_destroy(fixture->source);
	input_router_destroy(fixture->router);
	fake_sink_fini(&fixture->sink);
	free(fixture);
	return 0;
}

static void event_of(
	struct fixture *fixture, struct vnc_pointer *pointer, unsigned buttons, int x, int y)
{
	const struct vnc_pointer_view view = { .width = 640,
		.height = 480,
		.capabilities = input_router_active(fixture->router),
		.mode = fixture->mode };

	vnc_pointer_event(pointer, &fixture->sender, &view, buttons, x, y);
}

static void event(struct fixture *fixture, unsigned buttons, int x, int y)
{
	event_of(fixture, &fixture->pointer, buttons, x, y);
}

static void expect(struct fixture *fixture, const char *text)
{
	assert_string_equal(
		fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text)), text);
}

static void vnc_pointer_absolute_guest_gets_places(void **state)
{
	struct fixture *fixture = *state;

	event(fixture, 0, 100, 200);
	event(fixture, 0, 100, 200);
	event(fixture, 0, 100, 201);
	event(fixture, 0, 65535, 65535);
	expect(fixture, "abs(100,200,640x480) sync abs(100,201,640x480) sync "
			"abs(639,479,640x480) sync ");
}

static void vnc_pointer_relative_guest_gets_differences(void **state)
{
	struct fixture *fixture = *state;

	/* Nobody knows where the guest's pointer is: into the corner first. */
	event(fixture, 0, 100, 200);
	expect(fixture, "rel(-1280,-960) sync rel(100,200) sync ");
	event(fixture, 0, 103, 198);
	event(fixture, 0, 103, 198);
	expect(fixture, "rel(3,-2) sync ");
}

static void vnc_pointer_of_two_clients_is_one_in_the_guest(void **state)
{
	struct fixture *fixture = *state;

	event(fixture, 0, 100, 200);
	event_of(fixture, &fixture->other, 0, 10, 20);
	expect(fixture, "rel(-1280,-960) sync rel(100,200) sync rel(-1280,-960) sync rel(10,20) "
			"sync ");
	/* From where the other one has left it; also for a click at one's own old place. */
	event(fixture, 0, 101, 200);
	event_of(fixture, &fixture->other, 1, 10, 20);
	expect(fixture, "rel(91,180) sync rel(-91,-180) sync b+272 sync ");
	/* Nobody knows where it is after motion of a client that sends such. */
	fixture->mode = VNC_POINTER_RELATIVE;
	event_of(fixture, &fixture->other, 1, VNC_MOTION_ZERO + 1, VNC_MOTION_ZERO);
	fixture->mode = VNC_POINTER_PLACES;
	event(fixture, 0, 101, 200);
	expect(fixture, "rel(1,0) sync rel(-1280,-960) sync rel(101,200) sync ");
}

static void vnc_pointer_edges_pin_the_guest_there(void **state)
{
	struct fixture *fixture = *state;

	event(fixture, 0, 100, 200);
	expect(fixture, "rel(-1280,-960) sync rel(100,200) sync ");
	event(fixture, 0, 0, 200);
	expect(fixture, "rel(-740,0) sync ");
	event(fixture, 0, 639, 479);
	expect(fixture, "rel(1279,759) sync ");
	event(fixture, 0, 630, 470);
	expect(fixture, "rel(-9,-9) sync ");
}

static void vnc_pointer_buttons_and_wheel_are_theirs(void **state)
{
	struct fixture *fixture = *state;

	event(fixture, 1, 5, 5);
	event(fixture, 0, 5, 5);
	event(fixture, 2 | 4, 5, 5);
	event(fixture, 0, 5, 5);
	event(fixture, 8, 5, 5);
	event(fixture, 0, 5, 5);
	event(fixture, 16, 5, 5);
	event(fixture, 0, 5, 5);
	event(fixture, 32, 5, 5);
	event(fixture, 64, 5, 5);
	event(fixture, 128, 5, 5);
	event(fixture, 0, 5, 5);
	event(fixture, 256, 5, 5);
	event(fixture, 0, 5, 5);
	expect(fixture, "abs(5,5,640x480) sync b+272 sync b-272 sync b+274 sync b+273 sync b-274 "
			"sync b-273 sync wheel(120,0) sync wheel(-120,0) sync wheel(0,-120) sync "
			"wheel(0,120) sync b+275 sync b-275 sync b+276 sync "
			"b-276 sync ");
}

static void vnc_pointer_guest_without_one_gets_nothing(void **state)
{
	struct fixture *fixture = *state;

	fake_sink_set_active(&fixture->sink, 0);
	event(fixture, 1, 5, 5);
	event(fixture, 0, 9, 5);
	expect(fixture, "");
	/* It comes up: into the corner first. */
	fake_sink_set_active(&fixture->sink, INPUT_POINTER_RELATIVE);
	event(fixture, 0, 10, 10);
	expect(fixture, "rel(-1280,-960) sync rel(10,10) sync ");
}

static void vnc_pointer_motion_of_a_client_goes_to_the_guest_as_it_is(void **state)
{
	struct fixture *fixture = *state;

	fixture->mode = VNC_POINTER_RELATIVE;
	event(fixture, 0, VNC_MOTION_ZERO + 700, VNC_MOTION_ZERO - 3);
	event(fixture, 0, VNC_MOTION_ZERO, VNC_MOTION_ZERO);
	event(fixture, 1, VNC_MOTION_ZERO, VNC_MOTION_ZERO);
	event(fixture, 0, VNC_MOTION_ZERO - 2000, VNC_MOTION_ZERO);
	expect(fixture, "rel(700,-3) sync b+272 sync rel(-2000,0) sync b-272 sync ");
}

static void vnc_pointer_what_was_on_its_way_before_a_change_of_mode_moves_nothing(void **state)
{
	struct fixture *fixture = *state;

	/* A place, from a client that is about to hear that motion is wanted. */
	fixture->mode = VNC_POINTER_RELATIVE;
	event(fixture, 1, 639, 479);
	event(fixture, 0, 0, 0);
	expect(fixture, "b+272 sync b-272 sync ");
	/* And the other way round. */
	fixture->mode = VNC_POINTER_ABSOLUTE;
	event(fixture, 0, VNC_MOTION_ZERO + 5, VNC_MOTION_ZERO - 5);
	expect(fixture, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(vnc_pointer_absolute_guest_gets_places, setup_absolute),
		TEST(vnc_pointer_relative_guest_gets_differences, setup_relative),
		TEST(vnc_pointer_of_two_clients_is_one_in_the_guest, setup_relative),
		TEST(vnc_pointer_edges_pin_the_guest_there, setup_relative),
		TEST(vnc_pointer_buttons_and_wheel_are_theirs, setup_absolute),
		TEST(vnc_pointer_motion_of_a_client_goes_to_the_guest_as_it_is, setup_relative),
		TEST(vnc_pointer_what_was_on_its_way_before_a_change_of_mode_moves_nothing,
			setup_relative),
		TEST(vnc_pointer_guest_without_one_gets_nothing, setup_relative),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
