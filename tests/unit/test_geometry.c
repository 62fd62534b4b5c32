/* Where the picture is in a window at each scale, and what places and motion come to. */
#include "cmocka_all.h"
#include "display/geometry.h"

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

static void geometry_every_pixel_is_where_it_is_drawn(void **state)
{
	/* A renderer draws at an output pixel what lies under its centre. */
	(void)state;
	for (int shown = 1; shown < 400; shown++) {
		int last = 0;

		for (int place = 0; place < shown; place++) {
			int pixel = geometry_to_picture(place, 0, shown, 100);
			double centre = (place + 0.5) * 100 / shown;

			assert_true(pixel <= centre && centre <= pixel + 1);
			assert_in_range(pixel, last, shown >= 100 ? last + 1 : 99);
			last = pixel;
		}
		if (shown >= 100)
			assert_int_equal(last, 99);
	}
}

static void expect_place(enum display_scale scale, unsigned percent, int ww, int wh, int pan,
	const struct placement expected)
{
	struct placement placement = geometry_place(scale, percent, 640, 480, ww, wh, pan, pan);

	assert_memory_equal(&placement, &expected, sizeof(expected));
}

static void geometry_scales_are_kept(void **state)
{
	(void)state;
	expect_place(DISPLAY_SCALE_FIT, 100, 1280, 960, 5, (struct placement){ 0, 0, 1280, 960 });
	expect_place(DISPLAY_SCALE_INTEGER, 100, 1500, 1000, 5,
		(struct placement){ 110, 20, 1280, 960 });
	expect_place(
		DISPLAY_SCALE_INTEGER, 100, 1279, 960, 5, (struct placement){ 319, 240, 640, 480 });
	expect_place(
		DISPLAY_SCALE_INTEGER, 100, 320, 960, 5, (struct placement){ -5, 240, 640, 480 });
	expect_place(DISPLAY_SCALE_FIXED, 150, 960, 720, 0, (struct placement){ 0, 0, 960, 720 });
	expect_place(
		DISPLAY_SCALE_FIXED, 150, 1000, 800, 9, (struct placement){ 20, 40, 960, 720 });
	expect_place(DISPLAY_SCALE_FIXED, 200, 640, 480, 1000,
		(struct placement){ -640, -480, 1280, 960 });
	expect_place(DISPLAY_SCALE_FIXED, 200, 640, 480, -9, (struct placement){ 0, 0, 1280, 960 });
	expect_place(
		DISPLAY_SCALE_FIXED, 25, 640, 480, 0, (struct placement){ 240, 180, 160, 120 });
}

static void geometry_window_is_no_larger_than_its_screen(void **state)
{
	int width, height;

	(void)state;
	geometry_window_size(DISPLAY_SCALE_FIT, 100, 800, 600, 1920, 1080, &width, &height);
	assert_int_equal(width, 800);
	assert_int_equal(height, 600);
	geometry_window_size(DISPLAY_SCALE_FIT, 100, 3840, 2160, 1920, 1000, &width, &height);
	assert_int_equal(width, 1778);
	assert_int_equal(height, 1000);
	geometry_window_size(DISPLAY_SCALE_FIT, 100, 800, 600, 0, 0, &width, &height); /* unknown */
	assert_int_equal(width, 800);
	geometry_window_size(DISPLAY_SCALE_FIXED, 150, 800, 600, 1920, 1080, &width, &height);
	assert_int_equal(width, 1200);
	assert_int_equal(height, 900);
	/* A fixed scale stays what it is. */
	geometry_window_size(DISPLAY_SCALE_FIXED, 300, 800, 200, 1920, 1080, &width, &height);
	assert_int_equal(width, 1920);
	assert_int_equal(height, 600);
}

static void geometry_motion_keeps_its_fractions(void **state)
{
	int64_t remainder = 0;
	int sum = 0;

	(void)state;
	/* 640 pixels shown in 960: two for three. */
	for (int i = 0; i < 300; i++)
		sum += geometry_scale_motion(1, 640, 960, &remainder);
	assert_int_equal(sum, 200);
	for (int i = 0; i < 300; i++)
		sum += geometry_scale_motion(-1, 640, 960, &remainder);
	assert_int_equal(sum, 0);
	assert_int_equal(remainder, 0);
	assert_int_equal(geometry_scale_motion(7, 640, 320, &remainder), 14);
	assert_int_equal(geometry_scale_motion(7, 640, 0, &remainder), 7);
	assert_int_equal(geometry_scale_motion(INT32_MAX / 4, 3840 * 3840, 3840 * 3840, &remainder),
		INT32_MAX / 4);
}

static void geometry_pan_shows_what_is_beside_the_window(void **state)
{
	int pan = 0;

	(void)state;
	assert_int_equal(geometry_pan(0, 700, 600, 800), 0); /* all is there */
	assert_int_equal(geometry_pan(100, 400, 1600, 800), 100);
	for (int i = 0; i < 100; i++)
		pan = geometry_pan(pan, 799, 1600, 800);
	assert_int_equal(pan, 800);
	for (int i = 0; i < 100; i++)
		pan = geometry_pan(pan, 0, 1600, 800);
	assert_int_equal(pan, 0);
	/* A window that grew. */
	assert_int_equal(geometry_pan(800, 500, 1600, 1000), 600);
}

static void geometry_zoom_goes_by_steps(void **state)
{
	(void)state;
	assert_int_equal(geometry_zoom(100, 1), 125);
	assert_int_equal(geometry_zoom(100, -1), 75);
	assert_int_equal(geometry_zoom(137, 1), 150);
	assert_int_equal(geometry_zoom(137, -1), 125);
	assert_int_equal(geometry_zoom(800, 1), 800);
	assert_int_equal(geometry_zoom(25, -1), 25);
	assert_int_equal(geometry_zoom(3, -1), 25);
	assert_int_equal(geometry_zoom(5000, 1), 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(geometry_picture_fits_and_keeps_its_proportions),
		cmocka_unit_test(geometry_places_map_to_pixels),
		cmocka_unit_test(geometry_every_pixel_is_where_it_is_drawn),
		cmocka_unit_test(geometry_scales_are_kept),
		cmocka_unit_test(geometry_window_is_no_larger_than_its_screen),
		cmocka_unit_test(geometry_motion_keeps_its_fractions),
		cmocka_unit_test(geometry_pan_shows_what_is_beside_the_window),
		cmocka_unit_test(geometry_zoom_goes_by_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
