/* Pieces of few colours: they cover what was to be sent exactly once, and are what they say. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "display/vnc/split.h"

#define WIDTH  400u
#define HEIGHT 300u
#define BACK   0x204060u
#define PAPER  0xf8f8f8u
#define INK    0x101010u
#define TITLE  0xc06020u

struct fixture {
	uint32_t pixels[WIDTH * HEIGHT];
	uint8_t covered[WIDTH * HEIGHT];
	struct vnc_pieces pieces;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void fill(struct fixture *f, struct rect rect, uint32_t colour)
{
	for (uint32_t y = rect.y; y < rect.y + rect.height; y++)
		for (uint32_t x = rect.x; x < rect.x + rect.width; x++)
			f->pixels[y * WIDTH + x] = colour;
}

/* How many colours, up to 3. */
static unsigned count_colours(const struct fixture *f, const struct rect *rect)
{
	uint32_t seen[2] = { 0 };
	unsigned count = 0;

	for (uint32_t y = rect->y; y < rect->y + rect->height; y++) {
		for (uint32_t x = rect->x; x < rect->x + rect->width; x++) {
			uint32_t colour = f->pixels[y * WIDTH + x];
			unsigned i = 0;

			while (i < count && seen[i] != colour)
				i++;
			if (i < count)
				continue;
			if (count == 2)
				return 3;
			seen[count++] = colour;
		}
	}
	return count;
}

static void check_piece(struct fixture *f, const struct vnc_piece *piece)
{
	unsigned colours = count_colours(f, &piece->rect);

	if (piece->kind == VNC_PIECE_SOLID) {
		assert_int_equal(colours, 1);
		assert_int_equal(piece->colour, f->pixels[piece->rect.y * WIDTH + piece->rect.x]);
	} else if (piece->kind == VNC_PIECE_TWO) {
		assert_int_equal(colours, 2);
	}
	for (uint32_t y = piece->rect.y; y < piece->rect.y + piece->rect.height; y++)
		for (uint32_t x = piece->rect.x; x < piece->rect.x + piece->rect.width; x++)
			f->covered[y * WIDTH + x]++;
}

static void split(struct fixture *f, const struct rect *rects, size_t count)
{
	f->pieces.count = 0;
	memset(f->covered, 0, sizeof(f->covered));
	for (size_t i = 0; i < count; i++)
		vnc_split(&f->pieces, f->pixels, WIDTH, &rects[i], count - 1 - i);
	assert_in_range(f->pieces.count, count, VNC_MAX_PIECES);
	for (size_t i = 0; i < f->pieces.count; i++)
		check_piece(f, &f->pieces.pieces[i]);
	for (size_t i = 0; i < count; i++)
		for (uint32_t y = rects[i].y; y < rects[i].y + rects[i].height; y++)
			for (uint32_t x = rects[i].x; x < rects[i].x + rects[i].width; x++)
				f->covered[y * WIDTH + x] ^= 1;
	for (size_t i = 0; i < WIDTH * HEIGHT; i++)
		assert_int_equal(f->covered[i], 0);
}

static void vnc_split_window_that_moves_is_margin_title_and_text(void **state)
{
	const struct rect whole = { 20, 30, 308, 204 };
	struct fixture *f = *state;

	fill(f, (struct rect){ 0, 0, WIDTH, HEIGHT }, BACK);
	fill(f, (struct rect){ 28, 34, 300, 200 }, PAPER);
	fill(f, (struct rect){ 28, 34, 300, 16 }, TITLE);
	for (uint32_t y = 58; y < 220; y += 2)
		fill(f, (struct rect){ 40 + y, y, 7, 1 }, INK);
	split(f, &whole, 1);
	assert_int_equal(f->pieces.count, 3);
	assert_int_equal(f->pieces.pieces[0].kind, VNC_PIECE_SOLID);
	assert_int_equal(f->pieces.pieces[0].colour, BACK);
	assert_int_equal(f->pieces.pieces[0].rect.width, 8);
	assert_int_equal(f->pieces.pieces[1].kind, VNC_PIECE_TWO);
	assert_int_equal(f->pieces.pieces[1].rect.height, 20);
	assert_int_equal(f->pieces.pieces[2].kind, VNC_PIECE_TWO);
}

static void vnc_split_one_or_two_colours_are_one_piece(void **state)
{
	const struct rect whole = { 0, 0, WIDTH, HEIGHT }, dot = { 7, 7, 1, 1 };
	struct fixture *f = *state;

	fill(f, whole, PAPER);
	split(f, &whole, 1);
	assert_int_equal(f->pieces.count, 1);
	assert_int_equal(f->pieces.pieces[0].kind, VNC_PIECE_SOLID);
	fill(f, (struct rect){ 100, 100, 50, 50 }, INK);
	split(f, &whole, 1);
	assert_int_equal(f->pieces.count, 1);
	assert_int_equal(f->pieces.pieces[0].kind, VNC_PIECE_TWO);
	split(f, &dot, 1);
	assert_int_equal(f->pieces.pieces[0].kind, VNC_PIECE_SOLID);
}

static void vnc_split_photograph_is_left_alone(void **state)
{
	const struct rect whole = { 0, 0, WIDTH, HEIGHT };
	struct fixture *f = *state;

	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		f->pixels[i] = i * 2654435761u & 0xffffff;
	split(f, &whole, 1);
	assert_int_equal(f->pieces.count, 1);
	assert_int_equal(f->pieces.pieces[0].kind, VNC_PIECE_MANY);
}

/* However much there is to cut, there is room, for what comes last as well. */
static void vnc_split_has_room_for_everything(void **state)
{
	struct rect rects[VNC_SPLIT_RECTS];
	struct fixture *f = *state;

	/* bands of two colours and rows of many in turn, with a margin of its own to each */
	for (uint32_t y = 0; y < HEIGHT; y++)
		for (uint32_t x = 0; x < WIDTH; x++)
			f->pixels[y * WIDTH + x] = y / 9 % 2    ? y / 9
						   : x < 200    ? y / 9 * 7
						   : x % 3 == 0 ? x
								: y;
	split(f, &(struct rect){ 0, 0, WIDTH, HEIGHT }, 1);
	assert_true(f->pieces.count > 8);
	for (uint32_t i = 0; i < VNC_SPLIT_RECTS; i++)
		rects[i] = (struct rect){ i % 2 * 200, i / 2 * 4, 200, 4 };
	split(f, rects, VNC_SPLIT_RECTS);
	for (uint32_t i = 0; i < 2; i++)
		rects[i] = (struct rect){ i * 200, 0, 200, 270 };
	for (uint32_t i = 2; i < VNC_SPLIT_RECTS; i++)
		rects[i] = (struct rect){ i, 280, 1, 20 };
	split(f, rects, VNC_SPLIT_RECTS);
}

static void vnc_split_random_pictures_are_covered_once(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 3;

	for (unsigned round = 0; round < 300; round++) {
		struct rect rect;

		if (round % 30 == 0)
			fill(f, (struct rect){ 0, 0, WIDTH, HEIGHT }, BACK);
		for (unsigned i = 0; i < 6; i++) {
			rect.x = (uint32_t)rand_r(&seed) % WIDTH;
			rect.y = (uint32_t)rand_r(&seed) % HEIGHT;
			rect.width = 1 + (uint32_t)rand_r(&seed) % (WIDTH - rect.x);
			rect.height = 1 + (uint32_t)rand_r(&seed) % (HEIGHT - rect.y);
			if (i < 5)
				fill(f, rect, (uint32_t)rand_r(&seed) % 5 * 0x123456);
		}
		split(f, &rect, 1);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(vnc_split_window_that_moves_is_margin_title_and_text),
		test(vnc_split_one_or_two_colours_are_one_piece),
		test(vnc_split_photograph_is_left_alone),
		test(vnc_split_has_room_for_everything),
		test(vnc_split_random_pictures_are_covered_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
