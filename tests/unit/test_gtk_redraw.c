/* What the GTK window draws again for damage, by comparison with the picture drawn whole. */
#include "cmocka_all.h"

#include <stdlib.h>

#include "display/gtk/redraw.h"

/* The picture's pixel that an output pixel shows, as renderers choose it. */
static int shown_at(int place, int start, int shown, int picture)
{
	return geometry_to_picture(place, start, shown, picture);
}

static bool contains(const struct placement *part, int x, int y)
{
	return x >= part->x && x < part->x + part->width && y >= part->y &&
	       y < part->y + part->height;
}

static bool is_damaged(const struct rect *damage, int x, int y)
{
	return x >= (int)damage->x && x < (int)(damage->x + damage->width) && y >= (int)damage->y &&
	       y < (int)(damage->y + damage->height);
}

static void check(enum display_scale scale, unsigned percent, struct extent picture,
	struct extent area, const struct rect *damage, int pan)
{
	struct placement place = geometry_place(
		scale, percent, picture.width, picture.height, area.width, area.height, pan, pan);
	struct placement part = redraw_damage(&place, picture, area, damage, false);
	struct placement smooth = redraw_damage(&place, picture, area, damage, true);

	assert_true(part.width >= 0 && part.height >= 0);
	assert_true(part.x >= 0 && part.x + part.width <= area.width);
	assert_true(part.y >= 0 && part.y + part.height <= area.height);
	for (int y = 0; y < area.height; y++) {
		for (int x = 0; x < area.width; x++) {
			if (x < place.x || x >= place.x + place.width || y < place.y ||
				y >= place.y + place.height)
				continue;
			if (!is_damaged(damage, shown_at(x, place.x, place.width, picture.width),
				    shown_at(y, place.y, place.height, picture.height)))
				continue;
			if (!contains(&part, x, y) || !contains(&smooth, x, y))
				fail_msg("%d,%d is left out", x, y);
		}
	}
}

static void redraw_random_damage_leaves_nothing_out(void **state)
{
	static const unsigned percents[] = { 25, 50, 75, 100, 125, 150, 200, 300, 800 };
	unsigned seed = 3;

	(void)state;
	for (int round = 0; round < 600; round++) {
		struct extent picture = { 1 + rand_r(&seed) % 40, 1 + rand_r(&seed) % 40 };
		struct extent area = { 1 + rand_r(&seed) % 60, 1 + rand_r(&seed) % 60 };
		struct rect damage = { .x = (unsigned)rand_r(&seed) % (unsigned)picture.width,
			.y = (unsigned)rand_r(&seed) % (unsigned)picture.height };

		damage.width = 1 + (unsigned)rand_r(&seed) % ((unsigned)picture.width - damage.x);
		damage.height = 1 + (unsigned)rand_r(&seed) % ((unsigned)picture.height - damage.y);
		check((enum display_scale)(round % 3),
			percents[(unsigned)round % array_size(percents)], picture, area, &damage,
			rand_r(&seed) % 50);
	}
}

static void redraw_at_1_to_1_is_the_damage_itself(void **state)
{
	const struct placement place = { 5, 7, 640, 480 };
	const struct rect damage = { 10, 20, 30, 40 };
	struct placement part = redraw_damage(
		&place, (struct extent){ 640, 480 }, (struct extent){ 700, 500 }, &damage, false);

	(void)state;
	assert_int_equal(part.x, 15);
	assert_int_equal(part.y, 27);
	assert_int_equal(part.width, 30);
	assert_int_equal(part.height, 40);
}

static void redraw_outside_of_the_area_is_empty(void **state)
{
	const struct placement place = { -300, 0, 640, 480 };
	const struct rect damage = { 10, 20, 30, 40 };
	struct placement part = redraw_damage(
		&place, (struct extent){ 640, 480 }, (struct extent){ 200, 200 }, &damage, false);

	(void)state;
	assert_int_equal(part.width, 0);
}

static void redraw_units_are_rounded_outwards(void **state)
{
	const struct placement pixels = { 3, 4, 4, 4 };
	struct placement units = redraw_to_units(&pixels, 2);

	(void)state;
	assert_int_equal(units.x, 1);
	assert_int_equal(units.y, 2);
	assert_int_equal(units.width, 3);
	assert_int_equal(units.height, 2);
}

static void redraw_whole_factors_are_known(void **state)
{
	const struct extent picture = { 640, 480 };
	const struct placement one = { 0, 0, 640, 480 }, three = { 9, 9, 1920, 1440 };
	const struct placement half = { 0, 0, 960, 720 }, bent = { 0, 0, 1280, 480 };

	(void)state;
	assert_true(redraw_is_whole(&one, picture));
	assert_true(redraw_is_whole(&three, picture));
	assert_false(redraw_is_whole(&half, picture));
	assert_false(redraw_is_whole(&bent, picture));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redraw_random_damage_leaves_nothing_out),
		cmocka_unit_test(redraw_at_1_to_1_is_the_damage_itself),
		cmocka_unit_test(redraw_outside_of_the_area_is_empty),
		cmocka_unit_test(redraw_units_are_rounded_outwards),
		cmocka_unit_test(redraw_whole_factors_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
