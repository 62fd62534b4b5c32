/* SDL's scancodes. */
#include <SDL_keycode.h>
#include <SDL_scancode.h>
#include <linux/input-event-codes.h>
#include <stdbool.h>

#include "cmocka_all.h"
#include "core/util.h"
#include "display/sdl/scancodes.h"

static void scancodes_whole_keyboard_is_mapped(void **state)
{
	(void)state;
	/* HID usages 4..115 are the keys of a full keyboard, up to F24. */
	for (unsigned scancode = SDL_SCANCODE_A; scancode <= SDL_SCANCODE_F24; scancode++)
		assert_int_not_equal(sdl_scancode_to_evdev(scancode), 0);
	for (unsigned scancode = SDL_SCANCODE_LCTRL; scancode <= SDL_SCANCODE_RGUI; scancode++)
		assert_int_not_equal(sdl_scancode_to_evdev(scancode), 0);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_not_equal(sdl_scancode_to_evdev(SDL_SCANCODE_INTERNATIONAL1 + i), 0);
		assert_int_not_equal(sdl_scancode_to_evdev(SDL_SCANCODE_LANG1 + i), 0);
	}
}

static void scancodes_keys_are_where_they_belong(void **state)
{
	static const struct {
		SDL_Scancode scancode;
		unsigned code;
	} keys[] = { { SDL_SCANCODE_A, KEY_A }, { SDL_SCANCODE_Z, KEY_Z },
		{ SDL_SCANCODE_1, KEY_1 }, { SDL_SCANCODE_0, KEY_0 },
		{ SDL_SCANCODE_RETURN, KEY_ENTER }, { SDL_SCANCODE_KP_ENTER, KEY_KPENTER },
		{ SDL_SCANCODE_KP_0, KEY_KP0 }, { SDL_SCANCODE_KP_9, KEY_KP9 },
		{ SDL_SCANCODE_PRINTSCREEN, KEY_SYSRQ }, { SDL_SCANCODE_PAUSE, KEY_PAUSE },
		{ SDL_SCANCODE_F12, KEY_F12 }, { SDL_SCANCODE_F13, KEY_F13 },
		{ SDL_SCANCODE_F24, KEY_F24 }, { SDL_SCANCODE_NONUSBACKSLASH, KEY_102ND },
		{ SDL_SCANCODE_LGUI, KEY_LEFTMETA }, { SDL_SCANCODE_RALT, KEY_RIGHTALT },
		{ SDL_SCANCODE_APPLICATION, KEY_COMPOSE }, { SDL_SCANCODE_INTERNATIONAL3, KEY_YEN },
		{ SDL_SCANCODE_LANG1, KEY_HANGEUL }, { SDL_SCANCODE_AUDIOPLAY, KEY_PLAYPAUSE },
		{ SDL_SCANCODE_MUTE, KEY_MUTE } };

	(void)state;
	for (size_t i = 0; i < array_size(keys); i++)
		assert_int_equal(sdl_scancode_to_evdev(keys[i].scancode), keys[i].code);
}

static void scancodes_no_two_keys_of_the_main_block_are_one(void **state)
{
	bool seen[KEY_CNT] = { false };

	(void)state;
	for (unsigned scancode = SDL_SCANCODE_A; scancode <= SDL_SCANCODE_F24; scancode++) {
		unsigned code = sdl_scancode_to_evdev(scancode);

		if (scancode == SDL_SCANCODE_NONUSHASH)
			continue; /* the backslash's other name */
		assert_false(seen[code]);
		seen[code] = true;
	}
}

static void scancodes_out_of_range_is_no_key(void **state)
{
	(void)state;
	assert_int_equal(sdl_scancode_to_evdev(0), 0);
	assert_int_equal(sdl_scancode_to_evdev(SDL_NUM_SCANCODES), 0);
	assert_int_equal(sdl_scancode_to_evdev(UINT32_MAX), 0);
	for (unsigned scancode = 0; scancode < SDL_NUM_SCANCODES; scancode++)
		assert_true(sdl_scancode_to_evdev(scancode) < KEY_CNT);
}

static void keysyms_are_those_of_x(void **state)
{
	(void)state;
	assert_int_equal(sdl_keysym(SDLK_g, SDL_SCANCODE_G), 'g');
	assert_int_equal(sdl_keysym(SDLK_z, SDL_SCANCODE_Y), 'z');
	assert_int_equal(sdl_keysym(0xe9, SDL_SCANCODE_2), 0xe9);
	assert_int_equal(sdl_keysym(0x44b, SDL_SCANCODE_S), 0x0100044b);
	assert_int_equal(sdl_keysym(SDLK_F1, SDL_SCANCODE_F1), 0xffbe);
	assert_int_equal(sdl_keysym(SDLK_F12, SDL_SCANCODE_F12), 0xffc9);
	assert_int_equal(sdl_keysym(SDLK_F24, SDL_SCANCODE_F24), 0xffd5);
	assert_int_equal(sdl_keysym(SDLK_KP_0, SDL_SCANCODE_KP_0), 0xffb0);
	assert_int_equal(sdl_keysym(SDLK_KP_9, SDL_SCANCODE_KP_9), 0xffb9);
	assert_int_equal(sdl_keysym(SDLK_RCTRL, SDL_SCANCODE_RCTRL), 0xffe4);
	assert_int_equal(sdl_keysym(SDLK_ESCAPE, SDL_SCANCODE_ESCAPE), 0xff1b);
	/* Escape where Caps Lock is printed: the symbol counts. */
	assert_int_equal(sdl_keysym(SDLK_CAPSLOCK, SDL_SCANCODE_ESCAPE), 0xffe5);
	assert_int_equal(sdl_keysym(SDLK_UNKNOWN, SDL_SCANCODE_UNKNOWN), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scancodes_whole_keyboard_is_mapped),
		cmocka_unit_test(scancodes_keys_are_where_they_belong),
		cmocka_unit_test(scancodes_no_two_keys_of_the_main_block_are_one),
		cmocka_unit_test(scancodes_out_of_range_is_no_key),
		cmocka_unit_test(keysyms_are_those_of_x),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
