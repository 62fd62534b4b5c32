/* What the SDL window draws by itself: letters, and its icon. */
#include "cmocka_all.h"

#include <string.h>

#include "display/icon.h"
#include "display/sdl/text.h"

#define WIDTH  40
#define HEIGHT 24
#define GUARD  64

static void text_is_measured_in_cells(void **state)
{
	int columns, lines;

	(void)state;
	text_measure("", &columns, &lines);
	assert_int_equal(columns, 0);
	assert_int_equal(lines, 1);
	text_measure("one\nthree\n", &columns, &lines);
	assert_int_equal(columns, 5);
	assert_int_equal(lines, 3);
}

static unsigned dots(const uint32_t *pixels)
{
	unsigned count = 0;

	for (int i = 0; i < WIDTH * HEIGHT; i++)
		count += pixels[i] == 7;
	return count;
}

static void text_is_enlarged_dot_by_dot(void **state)
{
	uint32_t small[WIDTH * HEIGHT] = { 0 }, large[WIDTH * HEIGHT] = { 0 };

	(void)state;
	text_draw(small, WIDTH, HEIGHT, 0, 0, 1, 7, "L");
	text_draw(large, WIDTH, HEIGHT, 0, 0, 2, 7, "L");
	assert_int_equal(dots(small), 11); /* seven down, four more to the right */
	assert_int_equal(dots(large), 4 * 11);
	for (int y = 0; y < TEXT_CELL_HEIGHT; y++)
		for (int x = 0; x < TEXT_CELL_WIDTH; x++)
			assert_int_equal(
				large[(2 * y + 1) * WIDTH + 2 * x + 1], small[y * WIDTH + x]);
}

static void text_outside_the_picture_is_left_out(void **state)
{
	uint32_t guarded[GUARD + WIDTH * HEIGHT + GUARD];

	(void)state;
	memset(guarded, 0x55, sizeof(guarded));
	for (int y = -30; y < 40; y += 7)
		for (int x = -60; x < 60; x += 9)
			text_draw(guarded + GUARD, WIDTH, HEIGHT, x, y, 3, 7,
				"#\xc3\xa9\x01\x7f\n~W");
	for (int i = 0; i < GUARD; i++) {
		assert_int_equal(guarded[i], 0x55555555);
		assert_int_equal(guarded[GUARD + WIDTH * HEIGHT + i], 0x55555555);
	}
	assert_true(dots(guarded + GUARD) > 0);
}

static void icon_is_a_screen_on_nothing(void **state)
{
	uint32_t pixels[ICON_SIZE * ICON_SIZE];

	(void)state;
	icon_draw(pixels);
	assert_int_equal(pixels[0], 0);
	assert_int_equal(pixels[ICON_SIZE * ICON_SIZE - 1], 0);
	assert_int_equal(pixels[20 * ICON_SIZE + 9], 0xffffffff);  /* the white bar */
	assert_int_equal(pixels[20 * ICON_SIZE + 40], 0xffff0000); /* the red one */
	assert_int_equal(pixels[8 * ICON_SIZE + 30], 0xff33383f);  /* the frame */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_measured_in_cells),
		cmocka_unit_test(text_is_enlarged_dot_by_dot),
		cmocka_unit_test(text_outside_the_picture_is_left_out),
		cmocka_unit_test(icon_is_a_screen_on_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
