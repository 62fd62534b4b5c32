/* What VNC clients type and point at, through a real connection: scan codes, motion, buttons,
 * lights, and what becomes of keys that the guest does not take yet. */
#include <linux/input-event-codes.h>
#include <stdatomic.h>

#include "vnc_fixture.h"

#define ZERO   0x7fffu /* no motion */
#define CAPS   0xffe5u
#define NUM    0xff7fu
#define SHIFT  0xffe1u
#define A_CODE 0x1e

static int setup_with(void **state, unsigned capabilities, bool sync_locks)
{
	struct vnc_fixture *fixture = vnc_fixture_create(capabilities);

	fixture->settings.sync_locks = sync_locks;
	*state = fixture;
	return vnc_fixture_start(fixture);
}

static int setup(void **state)
{
	return setup_with(state, INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE, true);
}

static int setup_relative(void **state)
{
	return setup_with(state, INPUT_KEYBOARD | INPUT_POINTER_RELATIVE, true);
}

static int setup_locks_left_alone(void **state)
{
	return setup_with(state, INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE, false);
}

static bool open_with(struct rfb_client *client, struct vnc_fixture *fixture, int32_t encoding)
{
	const int32_t encodings[] = { 0, RFB_DESKTOP_SIZE, encoding };

	return rfb_open(client, fixture->port, true) && rfb_set_encodings(client, encodings, 3);
}

/* Everything that the client has sent so far has been read. */
static bool is_through(struct rfb_client *client)
{
	bool resized;
	unsigned before = client->frames;

	if (!rfb_request(client, false))
		return false;
	while (client->frames == before) {
		if (!rfb_update(client, &resized))
			return false;
	}
	return true;
}

static void vnc_scancodes_are_announced_to_who_asks(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client, plain;

	assert_true(open_with(&client, fixture, RFB_SCANCODES));
	assert_true(rfb_await(&client, &client.scancodes, 1));
	assert_true(rfb_open(&plain, fixture->port, true));
	assert_true(is_through(&plain));
	assert_int_equal(plain.scancodes, 0);
	rfb_close(&plain);
	rfb_close(&client);
}

static void vnc_scancodes_without_leave_end_the_client(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_scancode(&client, A_CODE, 'a', true));
	assert_true(rfb_is_closed(client.fd));
	rfb_close(&client);
	/* The same message with another meaning is of unknown length. */
	assert_true(open_with(&client, fixture, RFB_SCANCODES));
	assert_true(rfb_write(client.fd, "\xff\x01\0\0\0\0\0\0\0\0\0\0", 12));
	assert_true(rfb_is_closed(client.fd));
	rfb_close(&client);
}

static void vnc_scancodes_are_keys_whatever_their_symbols(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(open_with(&client, fixture, RFB_SCANCODES));
	/* Y of a German keyboard; the right Ctrl; Pause; AltGr; symbols that nobody knows. */
	assert_true(rfb_scancode(&client, 0x2c, 'y', true));
	assert_true(rfb_scancode(&client, 0x2c, 'y', false));
	assert_true(rfb_scancode(&client, 0x9d, 0xffe4, true));
	assert_true(rfb_scancode(&client, 0x9d, 0xffe4, false));
	assert_true(rfb_scancode(&client, 0xc6, 0xff13, true));
	assert_true(rfb_scancode(&client, 0xc6, 0xff13, false));
	assert_true(rfb_scancode(&client, 0xb8, 0xfe03, true));
	assert_true(rfb_scancode(&client, 0xb8, 0xfe03, false));
	assert_true(rfb_scancode(&client, 0x73, 0, true));
	assert_true(rfb_scancode(&client, 0x73, 0x12345678, false));
	vnc_fixture_expect(fixture, "+44 -44 +97 -97 +119 -119 +100 -100 +89 -89 ");
	rfb_close(&client);
}

static void vnc_scancode_that_is_none_falls_back_to_the_symbol(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(open_with(&client, fixture, RFB_SCANCODES));
	assert_true(rfb_scancode(&client, 0, 'B', true));
	assert_true(rfb_scancode(&client, 0, 'B', false));
	assert_true(rfb_scancode(&client, 0x100, 'c', true));
	assert_true(rfb_scancode(&client, 0x100, 'c', false));
	assert_true(rfb_scancode(&client, 0xffffffff, 0, true));
	vnc_fixture_expect(fixture, "+42 +48 -48 -42 +46 -46 ");
	/* Shift by its scan code counts for symbols, too, and stays down for as long as it is. */
	assert_true(rfb_scancode(&client, 0x2a, SHIFT, true));
	assert_true(rfb_key(&client, 'B', true));
	assert_true(rfb_key(&client, 'B', false));
	assert_true(rfb_scancode(&client, A_CODE, 'A', true));
	assert_true(rfb_scancode(&client, A_CODE, 'A', false));
	assert_true(rfb_scancode(&client, 0x2a, SHIFT, false));
	vnc_fixture_expect(fixture, "+42 +48 -48 +30 -30 -42 ");
	rfb_close(&client);
}

static void vnc_buttons_beyond_eight_need_their_extension(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(open_with(&client, fixture, RFB_BUTTONS));
	assert_true(rfb_await(&client, &client.buttons, 1));
	assert_true(rfb_pointer(&client, 1, 7, 8));
	assert_true(rfb_pointer_long(&client, 1 | 128 | 256, 7, 8));
	assert_true(rfb_pointer_long(&client, 256, 7, 8));
	assert_true(rfb_pointer(&client, 0, 7, 8));
	/* The wheels of old, sideways, too. */
	assert_true(rfb_pointer(&client, 32, 7, 8));
	assert_true(rfb_pointer(&client, 0, 7, 8));
	assert_true(rfb_pointer(&client, 64, 7, 8));
	assert_true(rfb_pointer(&client, 0, 7, 8));
	vnc_fixture_expect(fixture,
		"abs(7,8,320x240) sync b+272 sync b+275 sync b+276 sync b-272 sync b-275 sync "
		"b-276 sync wheel(0,-120) sync wheel(0,120) sync ");
	rfb_close(&client);
	/* Bit 7 of a client that does not know the longer form is its eighth button. */
	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_pointer(&client, 128, 7, 8));
	assert_true(rfb_pointer(&client, 0, 7, 8));
	vnc_fixture_expect(fixture, "abs(7,8,320x240) sync b+275 sync b-275 sync ");
	assert_int_equal(client.buttons, 0);
	rfb_close(&client);
}

static void vnc_motion_follows_what_the_guest_has(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client, plain;

	assert_true(open_with(&client, fixture, RFB_MOTION));
	assert_true(rfb_await(&client, &client.motions, 1));
	assert_false(client.absolute);
	assert_true(rfb_pointer(&client, 0, ZERO + 11, ZERO - 4));
	assert_true(rfb_pointer(&client, 1, ZERO, ZERO));
	assert_true(rfb_pointer(&client, 0, ZERO, ZERO));
	vnc_fixture_expect(fixture, "rel(11,-4) sync b+272 sync b-272 sync ");
	/* The guest switches its tablet on, and off again. */
	fixture->sink.sink.capabilities |= INPUT_POINTER_ABSOLUTE;
	fake_sink_set_active(&fixture->sink, INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE);
	assert_true(rfb_await(&client, &client.motions, 2));
	assert_true(client.absolute);
	assert_true(rfb_pointer(&client, 0, 319, 239));
	vnc_fixture_expect(fixture, "abs(319,239,320x240) sync ");
	fake_sink_set_active(&fixture->sink, INPUT_KEYBOARD | INPUT_POINTER_RELATIVE);
	assert_true(rfb_await(&client, &client.motions, 3));
	assert_false(client.absolute);
	assert_true(rfb_pointer(&client, 0, ZERO - 1, ZERO));
	vnc_fixture_expect(fixture, "rel(-1,0) sync ");
	/* Who does not know of it sends places as ever. */
	assert_true(rfb_open(&plain, fixture->port, true));
	assert_true(rfb_pointer(&plain, 0, 10, 10));
	vnc_fixture_expect(fixture, "rel(-640,-480) sync rel(10,10) sync ");
	assert_int_equal(plain.motions, 0);
	rfb_close(&plain);
	rfb_close(&client);
}

static void vnc_pointer_lands_on_every_pixel(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	for (unsigned i = 0; i < 100; i++) {
		unsigned x = i % 10 * 319 / 9, y = i / 10 * 239 / 9;

		assert_true(rfb_pointer(&client, 0, x, y));
		assert_true(is_through(&client));
		pthread_mutex_lock(&fixture->sink.lock);
		assert_int_equal(fixture->sink.x, x);
		assert_int_equal(fixture->sink.y, y);
		pthread_mutex_unlock(&fixture->sink.lock);
	}
	rfb_close(&client);
}

/* Whoever does not follow new sizes sees the upper left part, or has black around the picture. */
static void vnc_pointer_of_a_client_that_keeps_its_size_lands_on_the_pixel_it_sees(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, false));
	assert_true(rfb_refresh(&client));
	assert_true(rfb_pointer(&client, 0, 10, 20));
	vnc_fixture_expect(fixture, "abs(10,20,320x240) sync ");
	vnc_fixture_set_size(fixture, 800, 600, 0x00ff00);
	assert_true(rfb_refresh(&client));
	/* It has not moved, but the guest's pointer may have. */
	assert_true(rfb_pointer(&client, 1, 10, 20));
	assert_true(rfb_pointer(&client, 0, 319, 239));
	vnc_fixture_expect(fixture, "abs(10,20,800x600) sync b+272 sync abs(319,239,800x600) sync "
				    "b-272 sync ");
	vnc_fixture_set_size(fixture, 100, 50, 0x0000ff);
	assert_true(rfb_refresh(&client));
	assert_true(rfb_pointer(&client, 0, 70, 239));
	vnc_fixture_expect(fixture, "abs(70,49,100x50) sync ");
	rfb_close(&client);
}

static void vnc_place_is_sought_anew_when_somebody_else_has_moved_the_mouse(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct input_source *window = input_source_create(fixture->router, "window", NULL);
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_pointer(&client, 0, 10, 10));
	assert_true(rfb_pointer(&client, 0, 12, 11));
	vnc_fixture_expect(fixture, "rel(-640,-480) sync rel(10,10) sync rel(2,1) sync ");
	input_source_relative(window, 100, 0);
	input_source_sync(window);
	assert_true(rfb_pointer(&client, 0, 13, 11));
	assert_true(rfb_pointer(&client, 0, 13, 12));
	vnc_fixture_expect(fixture, "rel(100,0) sync rel(-640,-480) sync rel(13,11) sync "
				    "rel(0,1) sync ");
	/* A new guest has it in the middle. */
	input_router_reset(fixture->router);
	assert_true(rfb_pointer(&client, 0, 14, 12));
	vnc_fixture_expect(fixture, "rel(-640,-480) sync rel(14,12) sync ");
	rfb_close(&client);
	input_source_destroy(window);
}

static void lights_follow(struct vnc_fixture *fixture, int32_t encoding)
{
	struct rfb_client client;
	unsigned *counter = encoding == RFB_LEDS ? &client.led_updates : &client.vmware_led_updates;

	fake_sink_set_leds(&fixture->sink, INPUT_LED_NUM);
	assert_true(open_with(&client, fixture, encoding));
	assert_true(rfb_await(&client, counter, 1));
	if (client.leds != INPUT_LED_NUM) /* what the client before this one had left */
		assert_true(rfb_await(&client, counter, 2));
	assert_int_equal(client.leds, INPUT_LED_NUM);
	*counter = 0;
	fake_sink_set_leds(&fixture->sink, INPUT_LED_NUM | INPUT_LED_CAPS);
	assert_true(rfb_await(&client, counter, 1));
	assert_int_equal(client.leds, INPUT_LED_NUM | INPUT_LED_CAPS);
	fake_sink_set_leds(&fixture->sink, INPUT_LED_SCROLL);
	assert_true(rfb_await(&client, counter, 2));
	assert_int_equal(client.leds, INPUT_LED_SCROLL);
	/* The same again is no news. */
	fake_sink_set_leds(&fixture->sink, INPUT_LED_SCROLL);
	assert_true(is_through(&client));
	assert_int_equal(*counter, 2);
	assert_int_equal(client.led_updates + client.vmware_led_updates, 2);
	rfb_close(&client);
}

static void vnc_lights_are_sent_at_once_and_on_every_change(void **state)
{
	lights_follow(*state, RFB_LEDS);
	lights_follow(*state, RFB_VMWARE_LEDS);
}

static void vnc_lights_of_a_client_that_knows_both_ways_are_sent_once(void **state)
{
	static const int32_t encodings[] = { 0, RFB_VMWARE_LEDS, RFB_LEDS };
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_set_encodings(&client, encodings, 3));
	assert_true(rfb_await(&client, &client.led_updates, 1));
	fake_sink_set_leds(&fixture->sink, INPUT_LED_CAPS);
	assert_true(rfb_await(&client, &client.led_updates, 2));
	/* Encodings sent again say nothing new; without those it hears no more of lights. */
	assert_true(rfb_set_encodings(&client, encodings, 3));
	assert_true(rfb_set_encodings(&client, encodings, 1));
	assert_true(is_through(&client));
	fake_sink_set_leds(&fixture->sink, 0);
	assert_true(is_through(&client));
	assert_int_equal(client.led_updates, 2);
	assert_int_equal(client.vmware_led_updates, 0);
	rfb_close(&client);
}

static void vnc_lights_that_are_left_alone_are_not_told(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(open_with(&client, fixture, RFB_LEDS));
	assert_true(is_through(&client));
	fake_sink_set_leds(&fixture->sink, INPUT_LED_CAPS);
	assert_true(is_through(&client));
	assert_int_equal(client.led_updates, 0);
	rfb_close(&client);
}

/* --- back-pressure --- */

#define TYPED 6000 /* more than the router's queue and the device's hold together */

struct typing {
	struct rfb_client *client;
	atomic_uint done;
	bool scancodes;
};

static void *type_fast(void *opaque)
{
	struct typing *typing = opaque;

	for (unsigned i = 0; i < 2 * TYPED; i++) {
		unsigned key = i / 2 % 9;
		bool down = i % 2 == 0;

		if (typing->scancodes ? !rfb_scancode(typing->client, 2 + key, '1' + key, down)
				      : !rfb_key(typing->client, '1' + key, down))
			break;
		atomic_fetch_add(&typing->done, 1);
	}
	return NULL;
}

/* What type_fast comes to in the guest; the caller frees it. */
static char *all_typed(void)
{
	char *text = malloc(2 * TYPED * 8), *end = text;

	for (unsigned i = 0; i < 2 * TYPED; i++)
		end += sprintf(end, "%c%u ", i % 2 == 0 ? '+' : '-', 2 + i / 2 % 9);
	return text;
}

/* Appends what has come to text, of which there are length bytes; how many there are then. */
static size_t take_more(struct vnc_fixture *fixture, char *text, size_t length)
{
	fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
	strcpy(text + length, fixture->text);
	return length + strlen(fixture->text);
}

/* A guest that takes a few keys at a time gets all of them in order, while another client's picture
 * comes as ever. */
static void keys_wait_for_a_slow_guest(struct vnc_fixture *fixture, bool scancodes)
{
	struct typing typing = { .scancodes = scancodes };
	struct rfb_client client, other;
	char *text = calloc(2 * TYPED, 8), *expected = all_typed();
	const int64_t end = vnc_test_now_ms() + 5 * RFB_WAIT_MS;
	size_t length = 0;
	pthread_t thread;

	fake_sink_give_room(&fixture->sink, 0);
	assert_true(open_with(&client, fixture, RFB_SCANCODES));
	typing.client = &client;
	assert_int_equal(pthread_create(&thread, NULL, type_fast, &typing), 0);
	usleep(200000);
	assert_true(rfb_open(&other, fixture->port, true));
	while (length < 2 * TYPED * 3u && vnc_test_now_ms() < end) {
		fake_sink_give_room(&fixture->sink, 50);
		assert_true(rfb_refresh(&other));
		length = take_more(fixture, text, length);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&typing.done), 2 * TYPED);
	while (length < strlen(expected) && vnc_test_now_ms() < end) {
		fake_sink_give_room(&fixture->sink, UINT_MAX);
		usleep(1000);
		length = take_more(fixture, text, length);
	}
	/* And nothing after that. */
	assert_true(rfb_refresh(&client));
	(void)take_more(fixture, text, length);
	assert_string_equal(text, expected);
	free(expected);
	free(text);
	rfb_close(&other);
	rfb_close(&client);
}

static void vnc_keys_wait_for_a_guest_that_is_slow_to_take_them(void **state)
{
	keys_wait_for_a_slow_guest(*state, true);
	keys_wait_for_a_slow_guest(*state, false);
}

static void vnc_keys_that_nobody_takes_hold_up_neither_others_nor_the_end(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client, other;
	struct typing typing = { .client = &client };
	int64_t begun;

	fake_sink_give_room(&fixture->sink, 0);
	assert_true(rfb_open(&client, fixture->port, true));
	type_fast(&typing); /* the sockets' buffers hold that much */
	assert_true(rfb_open(&other, fixture->port, true));
	assert_true(rfb_refresh(&other));
	/* Without end, but for a mistake; or for as long as the server bears with silence: 20 s. */
	begun = vnc_test_now_ms();
	backend_stop(fixture->backend);
	assert_true(vnc_test_now_ms() - begun < 15000);
	rfb_close(&other);
	rfb_close(&client);
}

/* Its requests wait behind the keys; but it has asked before, and so it sees what the guest does.
 */
static void vnc_client_whose_keys_wait_sees_the_picture_change(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct typing typing = { 0 };
	struct rfb_client client;
	bool resized;

	fake_sink_give_room(&fixture->sink, 0);
	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	typing.client = &client;
	type_fast(&typing);
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(rfb_request(&client, true));
		vnc_fixture_fill(fixture, 10, 20, 8, 16, 0x102030 + i);
		do {
			assert_true(rfb_update(&client, &resized));
		} while (client.pixels[20 * client.width + 10] != 0x102030 + i);
	}
	assert_false(rfb_readable(client.fd, 300)); /* nothing has changed, and nothing is sent */
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	assert_true(rfb_refresh(&client));
	rfb_close(&client);
}

static void vnc_keys_that_wait_when_the_machine_is_paused_are_let_go(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;
	struct typing typing = { .client = &client };
	bool found = false;

	fake_sink_give_room(&fixture->sink, 0);
	assert_true(rfb_open(&client, fixture->port, true));
	type_fast(&typing);
	assert_true(rfb_request(&client, true));
	assert_false(rfb_readable(client.fd, 300)); /* it is not read from */
	vnc_fixture_set_state(fixture, VM_PAUSED);
	assert_true(is_through(&client));
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	vnc_fixture_set_state(fixture, VM_RUNNING);
	assert_true(is_through(&client));
	fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
	assert_true(rfb_key(&client, 'z', true));
	assert_true(rfb_key(&client, 'z', false));
	assert_true(is_through(&client));
	/* What had been taken before the pause may still be coming. */
	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; !found && vnc_test_now_ms() < end;
		usleep(1000)) {
		pthread_mutex_lock(&fixture->sink.lock);
		found = strstr(fixture->sink.text, "+44 -44 ");
		pthread_mutex_unlock(&fixture->sink.lock);
	}
	assert_true(found);
	rfb_close(&client);
}

static void vnc_shift_that_is_held_across_a_pause_is_pressed_anew(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_key(&client, SHIFT, true));
	assert_true(rfb_pointer(&client, 1, 3, 3));
	vnc_fixture_expect(fixture, "+42 abs(3,3,320x240) sync b+272 sync ");
	vnc_fixture_set_state(fixture, VM_PAUSED);
	vnc_fixture_expect(fixture, "-42 b-272 sync ");
	assert_true(is_through(&client));
	vnc_fixture_set_state(fixture, VM_RUNNING);
	assert_true(rfb_key(&client, 'A', true));
	assert_true(rfb_key(&client, 'A', false));
	assert_true(rfb_key(&client, SHIFT, false));
	vnc_fixture_expect(fixture, "+42 +30 -30 -42 ");
	rfb_close(&client);
}

static void vnc_client_that_hangs_up_while_its_keys_wait_is_let_go(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client clients[17];
	struct typing typing = { .client = clients };
	bool in = false;

	fake_sink_give_room(&fixture->sink, 0);
	for (unsigned i = 0; i < 16; i++) {
		assert_true(rfb_open(&clients[i], fixture->port, true));
		assert_true(rfb_refresh(&clients[i]));
	}
	type_fast(&typing);
	rfb_close(&clients[0]);
	/* Its place becomes free. */
	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; !in && vnc_test_now_ms() < end;) {
		in = rfb_open(&clients[16], fixture->port, true) && rfb_refresh(&clients[16]);
		if (!in)
			rfb_close(&clients[16]);
	}
	assert_true(in);
	for (unsigned i = 1; i < 17; i++)
		rfb_close(&clients[i]);
}

static void vnc_client_that_goes_releases_its_scan_codes_and_buttons(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(open_with(&client, fixture, RFB_SCANCODES));
	assert_true(rfb_scancode(&client, 0x1d, 0xffe3, true));
	assert_true(rfb_scancode(&client, 0x2a, SHIFT, true));
	assert_true(rfb_scancode(&client, 0xdb, 0xffeb, true));
	assert_true(rfb_pointer(&client, 4, 1, 1));
	vnc_fixture_expect(fixture, "+29 +42 +125 abs(1,1,320x240) sync b+273 sync ");
	rfb_close(&client);
	vnc_fixture_expect(fixture, "-29 -42 -125 b-273 sync ");
}

static void vnc_two_clients_hold_one_key_until_both_let_go(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client one, two;

	assert_true(open_with(&one, fixture, RFB_SCANCODES));
	assert_true(open_with(&two, fixture, RFB_SCANCODES));
	assert_true(rfb_scancode(&one, A_CODE, 'a', true));
	assert_true(is_through(&one));
	assert_true(rfb_scancode(&two, A_CODE, 'a', true));
	assert_true(is_through(&two));
	assert_true(rfb_scancode(&one, A_CODE, 'a', false));
	assert_true(is_through(&one));
	vnc_fixture_expect(fixture, "+30 ");
	assert_true(rfb_pointer(&one, 0, 10, 10));
	assert_true(is_through(&one));
	assert_true(rfb_pointer(&two, 0, 20, 20));
	assert_true(is_through(&two));
	rfb_close(&two);
	vnc_fixture_expect(fixture, "abs(10,10,320x240) sync abs(20,20,320x240) sync -30 ");
	rfb_close(&one);
}

static void vnc_two_servers_of_one_process_know_the_extensions(void **state)
{
	struct vnc_fixture *first = *state, *second;
	struct rfb_client client;

	second = vnc_fixture_create(INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE);
	assert_int_equal(vnc_fixture_start(second), 0);
	assert_true(open_with(&client, second, RFB_SCANCODES));
	assert_true(rfb_await(&client, &client.scancodes, 1));
	assert_true(rfb_scancode(&client, A_CODE, 'a', true));
	vnc_fixture_expect(second, "+30 ");
	rfb_close(&client);
	vnc_fixture_destroy(second);
	/* One is gone, with its hold on the library's lists. */
	assert_true(open_with(&client, first, RFB_SCANCODES));
	assert_true(rfb_await(&client, &client.scancodes, 1));
	rfb_close(&client);
	/* None is left, then one again: the module may have been unloaded. */
	backend_stop(first->backend);
	assert_int_equal(vnc_fixture_start(first), 0);
	assert_true(open_with(&client, first, RFB_SCANCODES));
	assert_true(rfb_await(&client, &client.scancodes, 1));
	rfb_close(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST_WITH(name, setup) cmocka_unit_test_setup_teardown(name, setup, vnc_fixture_teardown)
#define TEST(name)             TEST_WITH(name, setup)
		TEST(vnc_scancodes_are_announced_to_who_asks),
		TEST(vnc_scancodes_without_leave_end_the_client),
		TEST(vnc_scancodes_are_keys_whatever_their_symbols),
		TEST(vnc_scancode_that_is_none_falls_back_to_the_symbol),
		TEST(vnc_buttons_beyond_eight_need_their_extension),
		TEST_WITH(vnc_motion_follows_what_the_guest_has, setup_relative),
		TEST(vnc_pointer_lands_on_every_pixel),
		TEST_WITH(vnc_place_is_sought_anew_when_somebody_else_has_moved_the_mouse,
			setup_relative),
		TEST(vnc_pointer_of_a_client_that_keeps_its_size_lands_on_the_pixel_it_sees),
		TEST(vnc_lights_are_sent_at_once_and_on_every_change),
		TEST(vnc_lights_of_a_client_that_knows_both_ways_are_sent_once),
		TEST_WITH(vnc_lights_that_are_left_alone_are_not_told, setup_locks_left_alone),
		TEST(vnc_keys_wait_for_a_guest_that_is_slow_to_take_them),
		TEST(vnc_keys_that_nobody_takes_hold_up_neither_others_nor_the_end),
		TEST(vnc_client_whose_keys_wait_sees_the_picture_change),
		TEST(vnc_keys_that_wait_when_the_machine_is_paused_are_let_go),
		TEST(vnc_shift_that_is_held_across_a_pause_is_pressed_anew),
		TEST(vnc_client_that_hangs_up_while_its_keys_wait_is_let_go),
		TEST(vnc_client_that_goes_releases_its_scan_codes_and_buttons),
		TEST(vnc_two_clients_hold_one_key_until_both_let_go),
		TEST(vnc_two_servers_of_one_process_know_the_extensions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
