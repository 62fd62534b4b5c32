/* What VNC clients send as bytes, as keys, and what it tells of their lock lights. */
#include <errno.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "cmocka_all.h"
#include "devices/ps2_scancodes.h"
#include "display/vnc/input.h"
#include "display/vnc/xt_keys.h"
#include "fake_sink.h"

/* --- messages: RFC 6143, 7.5.4 and 7.5.5; rfbproto for the rest --- */

static void vnc_message_length_is_known_from_its_first_bytes(void **state)
{
	static const uint8_t key[] = { 4, 1 }, pointer[] = { 5, 0x80 }, qemu[] = { 255, 0 },
			     audio[] = { 255, 1 };

	(void)state;
	assert_int_equal(vnc_message_bytes(key, 1, false), 8);
	assert_int_equal(vnc_message_bytes(key, 2, true), 8);
	assert_int_equal(vnc_message_bytes(pointer, 1, true), 6);
	assert_int_equal(vnc_message_bytes(pointer, 2, true), 7);
	assert_int_equal(vnc_message_bytes(pointer, 2, false), 6);
	assert_int_equal(vnc_message_bytes(qemu, 1, false), 2);
	assert_int_equal(vnc_message_bytes(qemu, 2, false), 12);
	assert_int_equal(vnc_message_bytes(audio, 2, false), -EPROTO);
	for (unsigned type = 0; type < 255; type++) {
		const uint8_t byte = (uint8_t)type;

		if (type != 4 && type != 5)
			assert_int_equal(vnc_message_bytes(&byte, 1, true), -EPROTO);
	}
}

static void vnc_message_fields_are_where_the_protocol_has_them(void **state)
{
	static const uint8_t key[] = { 4, 1, 9, 9, 0, 1, 2, 3 };
	static const uint8_t pointer[] = { 5, 0xff, 0x12, 0x34, 0xff, 0xfe, 0x81 };
	static const uint8_t qemu[] = { 255, 0, 1, 0, 0, 1, 2, 3, 0, 0, 0, 0xb8 };
	struct vnc_message message;

	(void)state;
	vnc_message_parse(key, sizeof(key), &message);
	assert_int_equal(message.type, VNC_KEY_EVENT);
	assert_true(message.down);
	assert_int_equal(message.keysym, 0x010203);
	assert_int_equal(message.scancode, 0);
	vnc_message_parse(pointer, 6, &message);
	assert_int_equal(message.type, VNC_POINTER_EVENT);
	assert_int_equal(message.buttons, 0xff);
	assert_int_equal(message.x, 0x1234);
	assert_int_equal(message.y, 0xfffe);
	vnc_message_parse(pointer, 7, &message);
	assert_int_equal(message.buttons, 0x7f | 0x81 << 7);
	vnc_message_parse(qemu, sizeof(qemu), &message);
	assert_int_equal(message.type, VNC_QEMU_MESSAGE);
	assert_true(message.down);
	assert_int_equal(message.keysym, 0x010203);
	assert_int_equal(message.scancode, 0xb8);
}

/* --- scan codes --- */

/* The code that a keyboard of set 1 sends for the key, folded as clients do it; 0: no single one.
 */
static unsigned folded_set1(unsigned code)
{
	uint8_t bytes[PS2_SCANCODE_MAX];
	unsigned length = ps2_scancode(code, true, 1, 0, bytes);

	if (length == 1)
		return bytes[0];
	return length == 2 && bytes[0] == 0xe0 ? 0x80u | bytes[1] : 0;
}

static void vnc_scancodes_of_real_keyboards_are_what_these_send(void **state)
{
	/* 105 keys, what Japan and Brazil add, and the keys for music and browsers. */
	static const unsigned beyond[] = { KEY_102ND, KEY_F11, KEY_F12, KEY_KPENTER, KEY_RIGHTCTRL,
		KEY_KPSLASH, KEY_RIGHTALT, KEY_HOME, KEY_UP, KEY_PAGEUP, KEY_LEFT, KEY_RIGHT,
		KEY_END, KEY_DOWN, KEY_PAGEDOWN, KEY_INSERT, KEY_DELETE, KEY_LEFTMETA,
		KEY_RIGHTMETA, KEY_COMPOSE, KEY_RO, KEY_KATAKANAHIRAGANA, KEY_HENKAN, KEY_MUHENKAN,
		KEY_YEN, KEY_ZENKAKUHANKAKU, KEY_HIRAGANA, KEY_KATAKANA, KEY_KPJPCOMMA, KEY_KPCOMMA,
		KEY_KPEQUAL, KEY_MUTE, KEY_VOLUMEDOWN, KEY_VOLUMEUP, KEY_POWER, KEY_SLEEP,
		KEY_WAKEUP, KEY_NEXTSONG, KEY_PREVIOUSSONG, KEY_STOPCD, KEY_PLAYPAUSE, KEY_MAIL,
		KEY_CALC, KEY_COMPUTER, KEY_SEARCH, KEY_HOMEPAGE, KEY_BACK, KEY_FORWARD, KEY_STOP,
		KEY_REFRESH, KEY_BOOKMARKS, KEY_MEDIA, KEY_F13, KEY_F14, KEY_F15 };

	(void)state;
	for (unsigned code = KEY_ESC; code <= KEY_KPDOT; code++)
		assert_int_equal(vnc_evdev_of_xt(code), code);
	for (size_t i = 0; i < array_size(beyond); i++) {
		assert_true(folded_set1(beyond[i]) != 0);
		assert_int_equal(vnc_evdev_of_xt(folded_set1(beyond[i])), beyond[i]);
	}
	/* Keys that send more than one code. */
	assert_int_equal(vnc_evdev_of_xt(0x54), KEY_SYSRQ);
	assert_int_equal(vnc_evdev_of_xt(0xb7), KEY_SYSRQ);
	assert_int_equal(vnc_evdev_of_xt(0xc6), KEY_PAUSE);
	assert_int_equal(vnc_evdev_of_xt(0x71), KEY_HANJA);
	assert_int_equal(vnc_evdev_of_xt(0x72), KEY_HANGEUL);
}

static void vnc_scancodes_beyond_a_byte_are_none(void **state)
{
	(void)state;
	assert_int_equal(vnc_evdev_of_xt(0), 0);
	assert_int_equal(vnc_evdev_of_xt(0x100), 0);
	assert_int_equal(vnc_evdev_of_xt(0xe01c), 0);
	assert_int_equal(vnc_evdev_of_xt(UINT32_MAX), 0);
}

static void vnc_scancodes_give_each_key_one_code(void **state)
{
	unsigned of_key[KEY_CNT] = { 0 };

	(void)state;
	for (unsigned code = 1; code < 256; code++) {
		unsigned key = vnc_evdev_of_xt(code);

		if (key && key != KEY_SYSRQ)
			assert_int_equal(of_key[key], 0);
		of_key[key] = code;
	}
}

/* --- lights --- */

static unsigned shown(struct vnc_locks *locks, uint32_t keysym, unsigned code, unsigned guest)
{
	unsigned leds = 0;
	unsigned changed = vnc_locks_press(locks, keysym, code, true, guest, &leds);

	return changed ? changed << 8 | (leds & changed) : 0;
}

#define IS_ON(led)  ((unsigned)(led) << 8 | (led))
#define IS_OFF(led) ((unsigned)(led) << 8)

static void vnc_locks_are_seen_in_letters_and_on_the_keypad(void **state)
{
	struct vnc_locks locks = { 0 };

	(void)state;
	assert_int_equal(shown(&locks, 'A', KEY_A, 0), IS_ON(INPUT_LED_CAPS));
	assert_int_equal(shown(&locks, 'B', KEY_B, 0), 0); /* nothing new */
	assert_int_equal(shown(&locks, '1', KEY_1, 0), 0); /* tells nothing */
	assert_int_equal(shown(&locks, 'c', KEY_C, 0), IS_OFF(INPUT_LED_CAPS));
	assert_int_equal(shown(&locks, 'D', 0, 0), 0); /* just a symbol */
	assert_int_equal(shown(&locks, XKB_KEY_KP_7, 0, 0), 0);
	assert_int_equal(shown(&locks, XKB_KEY_KP_7, KEY_KP7, 0), IS_ON(INPUT_LED_NUM));
	assert_int_equal(shown(&locks, XKB_KEY_KP_Decimal, KEY_KPDOT, 0), 0);
	assert_int_equal(shown(&locks, XKB_KEY_KP_Add, KEY_KPPLUS, 0), 0);
	assert_int_equal(shown(&locks, XKB_KEY_KP_Delete, KEY_KPDOT, 0), IS_OFF(INPUT_LED_NUM));
	/* A Brazilian keypad's other point is one with and without. */
	assert_int_equal(shown(&locks, XKB_KEY_KP_Separator, KEY_KPCOMMA, 0), 0);
	assert_int_equal(shown(&locks, XKB_KEY_KP_Separator, 0, 0), 0);
	assert_int_equal(shown(&locks, XKB_KEY_KP_Separator, KEY_KPDOT, 0), IS_ON(INPUT_LED_NUM));
	assert_int_equal(shown(&locks, XKB_KEY_KP_Home, KEY_KP7, 0), IS_OFF(INPUT_LED_NUM));
	assert_int_equal(shown(&locks, XKB_KEY_Home, KEY_HOME, 0), 0);
}

static void vnc_locks_are_not_seen_while_modifiers_are_held(void **state)
{
	struct vnc_locks locks = { 0 };
	unsigned leds;

	(void)state;
	assert_int_equal(vnc_locks_press(&locks, 'A', KEY_A, false, 0, &leds), 0);
	assert_int_equal(vnc_locks_press(&locks, XKB_KEY_KP_Home, KEY_KP7, false, 0, &leds), 0);
}

static void vnc_locks_wait_for_the_guest_after_a_lock_key(void **state)
{
	struct vnc_locks locks = { 0 };

	(void)state;
	assert_int_equal(shown(&locks, 'a', KEY_A, 0), IS_OFF(INPUT_LED_CAPS));
	assert_int_equal(shown(&locks, XKB_KEY_Caps_Lock, KEY_CAPSLOCK, 0), 0);
	/* The guest's light is still off: it would be wrong to press Caps Lock for that. */
	assert_int_equal(shown(&locks, 'A', KEY_A, 0), 0);
	assert_int_equal(shown(&locks, 'B', KEY_B, 0), 0);
	/* Other lights are no answer. */
	assert_int_equal(shown(&locks, 'B', KEY_B, INPUT_LED_NUM), 0);
	/* It has answered; now what the client has can be compared. */
	assert_int_equal(shown(&locks, 'C', KEY_C, INPUT_LED_CAPS), IS_ON(INPUT_LED_CAPS));
	assert_int_equal(shown(&locks, 'D', KEY_D, INPUT_LED_CAPS), 0);
}

/* --- all together, to a fake keyboard --- */

struct fixture {
	struct fake_sink sink;
	struct input_router *router;
	struct keymap *keymap;
	struct vnc_place place;
	struct vnc_input input;
	unsigned waits;
	char text[4096];
};

static bool give_room(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->waits++;
	fake_sink_give_room(&fixture->sink, UINT_MAX);
	return true;
}

static bool give_up(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->waits++;
	return false;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fake_sink_init(&fixture->sink, "fake", INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, NULL), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	assert_int_equal(keymap_create("us", &fixture->keymap, NULL), 0);
	fixture->input.sender =
		(struct vnc_sender){ .source = input_source_create(fixture->router, "client", NULL),
			.name = "client",
			.wait = give_room,
			.opaque = fixture };
	pthread_mutex_init(&fixture->place.lock, NULL);
	vnc_input_init(&fixture->input, fixture->keymap, &fixture->place, true);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	input_source_destroy(fixture->input.sender.source);
	input_router_destroy(fixture->router);
	keymap_destroy(fixture->keymap);
	fake_sink_fini(&fixture->sink);
	free(fixture);
	return 0;
}

static void scancode(struct fixture *fixture, uint32_t code, uint32_t keysym, bool down)
{
	const struct vnc_message message = {
		.type = VNC_QEMU_MESSAGE, .down = down, .keysym = keysym, .scancode = code
	};
	const struct vnc_pointer_view view = { 0 };

	vnc_input_message(&fixture->input, &message, &view, fixture->sink.leds);
}

static void symbol(struct fixture *fixture, uint32_t keysym, bool down)
{
	scancode(fixture, 0, keysym, down);
}

static void expect(struct fixture *fixture, const char *text)
{
	assert_string_equal(
		fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text)), text);
}

static void vnc_input_altgr_is_one_key_by_code_and_by_symbol(void **state)
{
	struct fixture *fixture = *state;

	/* It goes down as AltGr and comes up as Alt: the client's layout was changed meanwhile. */
	scancode(fixture, 0xb8, XKB_KEY_ISO_Level3_Shift, true);
	scancode(fixture, 0xb8, XKB_KEY_Alt_R, false);
	expect(fixture, "+100 -100 ");
	scancode(fixture, 0xb8, XKB_KEY_Alt_R, true);
	symbol(fixture, XKB_KEY_ISO_Level3_Shift, false);
	scancode(fixture, 0xb8, XKB_KEY_ISO_Level3_Shift, false);
	expect(fixture, "+100 -100 ");
}

static void vnc_input_shift_by_code_counts_for_symbols(void **state)
{
	struct fixture *fixture = *state;

	scancode(fixture, 0x36, XKB_KEY_Shift_R, true);
	symbol(fixture, '!', true);
	symbol(fixture, '!', false);
	scancode(fixture, 0x1e, 'A', true);
	scancode(fixture, 0x1e, 'A', false);
	scancode(fixture, 0x36, XKB_KEY_Shift_R, false);
	expect(fixture, "+54 +2 -2 +30 -30 -54 ");
}

static void vnc_input_locks_follow_what_a_client_shows(void **state)
{
	struct fixture *fixture = *state;

	scancode(fixture, 0x1e, 'A', true);
	scancode(fixture, 0x1e, 'A', false);
	expect(fixture, "+58 -58 +30 -30 ");
	/* The guest has answered; then it turns its light off by itself, and that stays. */
	fake_sink_set_leds(&fixture->sink, INPUT_LED_CAPS);
	fake_sink_set_leds(&fixture->sink, 0);
	scancode(fixture, 0x30, 'B', true);
	scancode(fixture, 0x30, 'B', false);
	expect(fixture, "+48 -48 ");
	scancode(fixture, 0x47, XKB_KEY_KP_7, true);
	scancode(fixture, 0x47, XKB_KEY_KP_7, false);
	expect(fixture, "+69 -69 +71 -71 ");
	/* Symbols alone are for the guest to make something of. */
	symbol(fixture, XKB_KEY_KP_Home, true);
	symbol(fixture, XKB_KEY_KP_Home, false);
	symbol(fixture, 'C', true);
	symbol(fixture, 'C', false);
	expect(fixture, "+71 -71 +42 +46 -46 -42 ");
	/* With Shift held nobody can tell. */
	scancode(fixture, 0x2a, XKB_KEY_Shift_L, true);
	scancode(fixture, 0x1e, 'a', true);
	scancode(fixture, 0x1e, 'a', false);
	scancode(fixture, 0x2a, XKB_KEY_Shift_L, false);
	expect(fixture, "+42 +30 -30 -42 ");
}

static void vnc_input_locks_are_left_alone_if_so_wished(void **state)
{
	struct fixture *fixture = *state;

	fixture->input.sync_locks = false;
	scancode(fixture, 0x1e, 'A', true);
	scancode(fixture, 0x1e, 'A', false);
	scancode(fixture, 0x47, XKB_KEY_KP_7, true);
	scancode(fixture, 0x47, XKB_KEY_KP_7, false);
	expect(fixture, "+30 -30 +71 -71 ");
}

static void vnc_input_press_without_room_waits_for_it(void **state)
{
	struct fixture *fixture = *state;
	unsigned pressed = 0;

	fixture->sink.room = 0;
	while (!fixture->waits) {
		scancode(fixture, 0x1e, 'a', true);
		scancode(fixture, 0x1e, 'a', false);
		pressed++;
	}
	assert_int_equal(input_source_flush(fixture->input.sender.source, 10000), 0);
	assert_int_equal(fixture->sink.length, pressed * 2 * 4);
}

static void vnc_input_that_may_not_wait_gives_up_once(void **state)
{
	struct fixture *fixture = *state;

	fixture->sink.room = 0;
	fixture->input.sender.wait = give_up;
	for (unsigned i = 0; i < 100000; i++) {
		scancode(fixture, 0x1e, 'a', true);
		scancode(fixture, 0x1e, 'a', false);
	}
	assert_int_equal(fixture->waits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		cmocka_unit_test(vnc_message_length_is_known_from_its_first_bytes),
		cmocka_unit_test(vnc_message_fields_are_where_the_protocol_has_them),
		cmocka_unit_test(vnc_scancodes_of_real_keyboards_are_what_these_send),
		cmocka_unit_test(vnc_scancodes_beyond_a_byte_are_none),
		cmocka_unit_test(vnc_scancodes_give_each_key_one_code),
		cmocka_unit_test(vnc_locks_are_seen_in_letters_and_on_the_keypad),
		cmocka_unit_test(vnc_locks_are_not_seen_while_modifiers_are_held),
		cmocka_unit_test(vnc_locks_wait_for_the_guest_after_a_lock_key),
		TEST(vnc_input_altgr_is_one_key_by_code_and_by_symbol),
		TEST(vnc_input_shift_by_code_counts_for_symbols),
		TEST(vnc_input_locks_follow_what_a_client_shows),
		TEST(vnc_input_locks_are_left_alone_if_so_wished),
		TEST(vnc_input_press_without_room_waits_for_it),
		TEST(vnc_input_that_may_not_wait_gives_up_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
