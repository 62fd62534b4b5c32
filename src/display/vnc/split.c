/* Pieces of few colours; see split.h. */
#include "display/vnc/split.h"

/* A piece costs its header of 12 bytes and some of its own: smaller ones do not pay. */
#define MIN_MARGIN      8u /* pixels */
#define MIN_BAND        8u
#define MIN_PIECE       1024u /* pixels of a margin or a band */
#define MAX_DEPTH       2
#define PIECES_PER_RECT 32u
#define PIECES_PER_STEP 3u /* two margins, and what is between them */
#define PIECES_TO_END   2u /* a band, and what is after it, once there is no room for more steps */

#define BLOCK 16u

struct split {
	struct vnc_pieces *pieces;
	const uint32_t *pixels;
	size_t stride;
	size_t limit; /* so many pieces this rectangle may bring the count to */
};

struct colours {
	unsigned count;     /* up to 2 */
	uint32_t values[2]; /* with one colour both are the same */
};

static const uint32_t *pixel_at(const struct split *split, uint32_t x, uint32_t y)
{
	return split->pixels + (size_t)y * split->stride + x;
}

static void push(struct split *split, struct rect rect, enum vnc_piece_kind kind, uint32_t colour)
{
	struct vnc_pieces *pieces = split->pieces;

	if (rect.width && rect.height)
		pieces->pieces[pieces->count++] = (struct vnc_piece){ rect, kind, colour };
}

static bool has_room(const struct split *split)
{
	return split->pieces->count + PIECES_PER_STEP <= split->limit;
}

/* How many of `count` pixels from the first on are of two colours. */
static uint32_t known_pixels(const uint32_t *row, uint32_t count, uint32_t a, uint32_t b)
{
	uint32_t done = 0;

	for (; done + BLOCK <= count; done += BLOCK) {
		uint32_t other = 0;

		/* No way out inside, so that the compiler makes vector code of it. */
		for (uint32_t i = 0; i < BLOCK; i++)
			other |= (uint32_t)(row[done + i] != a) & (uint32_t)(row[done + i] != b);
		if (other)
			break;
	}
	while (done < count && (row[done] == a || row[done] == b))
		done++;
	return done;
}

/* Adds a row's colours. False: there are more than two, and the colours are as they were. */
static bool add_row(struct colours *colours, const uint32_t *row, uint32_t count)
{
	struct colours sum = *colours;
	uint32_t done = 0;

	if (!sum.count)
		sum = (struct colours){ 1, { row[0], row[0] } };
	for (;;) {
		done += known_pixels(row + done, count - done, sum.values[0], sum.values[1]);
		if (done == count)
			break;
		if (sum.count == 2)
			return false;
		sum.values[1] = row[done];
		sum.count = 2;
	}
	*colours = sum;
	return true;
}

/* How many of the rectangle's rows from `y` on have at most two colours together. */
static uint32_t band_height(
	const struct split *split, const struct rect *rect, uint32_t y, struct colours *colours)
{
	uint32_t bottom = rect->y + rect->height, end = y;

	*colours = (struct colours){ 0 };
	while (end < bottom && add_row(colours, pixel_at(split, rect->x, end), rect->width))
		end++;
	return end - y;
}

static uint32_t left_margin(const struct split *split, const struct rect *rect)
{
	uint32_t colour = *pixel_at(split, rect->x, rect->y), margin = rect->width;

	for (uint32_t y = rect->y; y < rect->y + rect->height && margin >= MIN_MARGIN; y++)
		margin = known_pixels(pixel_at(split, rect->x, y), margin, colour, colour);
	return margin;
}

static uint32_t right_margin(const struct split *split, const struct rect *rect)
{
	uint32_t right = rect->x + rect->width, margin = rect->width;
	uint32_t colour = *pixel_at(split, right - 1, rect->y);

	for (uint32_t y = rect->y; y < rect->y + rect->height && margin >= MIN_MARGIN; y++) {
		const uint32_t *end = pixel_at(split, right, y);
		uint32_t same = 0;

		while (same < margin && end[-1 - (ptrdiff_t)same] == colour)
			same++;
		margin = same;
	}
	return margin;
}

static bool pays(uint32_t width, uint32_t height)
{
	return (uint64_t)width * height >= MIN_PIECE;
}

/* Takes margins of one colour off the rectangle, which has more than two. */
static void take_margins(struct split *split, struct rect *rect)
{
	uint32_t left = left_margin(split, rect), right;

	if (left >= MIN_MARGIN && pays(left, rect->height)) {
		push(split, (struct rect){ rect->x, rect->y, left, rect->height }, VNC_PIECE_SOLID,
			*pixel_at(split, rect->x, rect->y));
		rect->x += left;
		rect->width -= left;
	}
	right = right_margin(split, rect);
	if (right >= MIN_MARGIN && pays(right, rect->height)) {
		rect->width -= right;
		push(split, (struct rect){ rect->x + rect->width, rect->y, right, rect->height },
			VNC_PIECE_SOLID, *pixel_at(split, rect->x + rect->width, rect->y));
	}
}

static void push_band(struct split *split, const struct rect *rect, uint32_t y, uint32_t height,
	const struct colours *colours)
{
	push(split, (struct rect){ rect->x, y, rect->width, height },
		colours->count == 1 ? VNC_PIECE_SOLID : VNC_PIECE_TWO, colours->values[0]);
}

static void split_rect(struct split *split, struct rect rect, unsigned depth);

/* A band of many colours, which is what is left between others. */
static void push_rest(
	struct split *split, const struct rect *rect, uint32_t y, uint32_t bottom, unsigned depth)
{
	struct rect rest = { rect->x, y, rect->width, bottom - y };

	if (rest.height && rest.height < rect->height && depth + 1 < MAX_DEPTH && has_room(split))
		split_rect(split, rest, depth + 1);
	else
		push(split, rest, VNC_PIECE_MANY, 0);
}

static void split_bands(struct split *split, const struct rect *rect, unsigned depth)
{
	uint32_t bottom = rect->y + rect->height, rest = rect->y, y = rect->y;

	while (y < bottom && has_room(split)) {
		struct colours colours;
		uint32_t height = band_height(split, rect, y, &colours);

		if ((height >= MIN_BAND && pays(rect->width, height)) || height == rect->height) {
			if (rest < y)
				push_rest(split, rect, rest, y, depth);
			push_band(split, rect, y, height, &colours);
			rest = y + height;
		}
		y += height ? height : 1;
	}
	if (rest < bottom)
		push_rest(split, rect, rest, bottom, depth);
}

static void split_rect(struct split *split, struct rect rect, unsigned depth)
{
	struct colours colours;

	if (band_height(split, &rect, rect.y, &colours) == rect.height) {
		push_band(split, &rect, rect.y, rect.height, &colours);
		return;
	}
	take_margins(split, &rect);
	split_bands(split, &rect, depth);
}

void vnc_split(struct vnc_pieces *pieces, const uint32_t *pixels, size_t stride_pixels,
	const struct rect *rect, size_t to_come)
{
	size_t most = VNC_MAX_PIECES - PIECES_TO_END - to_come;
	struct split split = { pieces, pixels, stride_pixels, pieces->count + PIECES_PER_RECT };

	if (split.limit > most)
		split.limit = most;
	if (has_room(&split))
		split_rect(&split, *rect, 0);
	else
		push(&split, *rect, VNC_PIECE_MANY, 0);
}
