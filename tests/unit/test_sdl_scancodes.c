/* SDL's scancodes, and where the picture is in a window. */
#include <SDL_scancode.h>
#include <linux/input-event-codes.h>
#include <stdbool.h>

#include "cmocka_all.h"
#include "core/util.h"
#include "display/sdl/geometry.h"
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

static void expect_fit(int pw, int ph, int ww, int wh, int x, int y, int width, int height)
{
	struct placement placement = geometry_fit(pw, ph, ww, wh);

	assert_int_equal(placement.x, x);
	assert_int_equal(placement.y, y);
	assert_int_equal(placement.width, width);
	assert_int_equal(placement.height, height);
}

static void geometry_picture_fits_and_keeps_its_proportions(void **state)
{
	(void)state;
	expect_fit(640, 480, 640, 480, 0, 0, 640, 480);
	expect_fit(640, 480, 1280, 960, 0, 0, 1280, 960);
	expect_fit(640, 480, 1000, 480, 180, 0, 640, 480);
	expect_fit(640, 480, 640, 1000, 0, 260, 640, 480);
	expect_fit(640, 480, 320, 240, 0, 0, 320, 240);
	expect_fit(3840, 2160, 1, 1, 0, 0, 1, 1);
	expect_fit(1, 2160, 65535, 3, 32767, 0, 1, 3);
}

static void geometry_places_map_to_pixels(void **state)
{
	struct placement placement = geometry_fit(640, 480, 1480, 960); /* twice, 100 left */

	(void)state;
	assert_int_equal(geometry_to_picture(0, placement.x, placement.width, 640), 0);
	assert_int_equal(geometry_to_picture(100, placement.x, placement.width, 640), 0);
	assert_int_equal(geometry_to_picture(102, placement.x, placement.width, 640), 1);
	assert_int_equal(geometry_to_picture(1379, placement.x, placement.width, 640), 639);
	assert_int_equal(geometry_to_picture(1479, placement.x, placement.width, 640), 639);
	assert_int_equal(geometry_to_picture(-5, 0, 640, 640), 0);
	assert_int_equal(geometry_to_picture(5, 0, 0, 640), 0);
}

static void geometry_window_is_no_larger_than_its_screen(void **state)
{
	int width, height;

	(void)state;
	geometry_window_size(800, 600, 1920, 1080, &width, &height);
	assert_int_equal(width, 800);
	assert_int_equal(height, 600);
	geometry_window_size(3840, 2160, 1920, 1000, &width, &height);
	assert_int_equal(width, 1778);
	assert_int_equal(height, 1000);
	geometry_window_size(800, 600, 0, 0, &width, &height); /* unknown */
	assert_int_equal(width, 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scancodes_whole_keyboard_is_mapped),
		cmocka_unit_test(scancodes_keys_are_where_they_belong),
		cmocka_unit_test(scancodes_no_two_keys_of_the_main_block_are_one),
		cmocka_unit_test(scancodes_out_of_range_is_no_key),
		cmocka_unit_test(geometry_picture_fits_and_keeps_its_proportions),
		cmocka_unit_test(geometry_places_map_to_pixels),
		cmocka_unit_test(geometry_window_is_no_larger_than_its_screen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
