/* Text from the sheet of letters; see text.h. */
#include "display/sdl/text.h"

#include "font_sheet.h"

void text_measure(const char *text, int *columns, int *lines)
{
	int column = 0;

	*columns = 0;
	*lines = 1;
	for (; *text; text++) {
		if (*text == '\n') {
			column = 0;
			++*lines;
		} else if (++column > *columns) {
			*columns = column;
		}
	}
}

static void draw_dot(
	uint32_t *pixels, int width, int height, int left, int top, int scale, uint32_t colour)
{
	for (int y = top; y < top + scale; y++) {
		for (int x = left; x < left + scale; x++) {
			if (x >= 0 && x < width && y >= 0 && y < height)
				pixels[(size_t)y * (size_t)width + (size_t)x] = colour;
		}
	}
}

void text_draw(uint32_t *pixels, int width, int height, int x, int y, int scale, uint32_t colour,
	const char *text)
{
	for (int left = x; *text; text++) {
		unsigned glyph = (unsigned char)*text - FONT_FIRST;

		if (*text == '\n') {
			left = x;
			y += TEXT_CELL_HEIGHT * scale;
			continue;
		}
		if (glyph >= FONT_GLYPHS)
			glyph = '?' - FONT_FIRST;
		for (unsigned row = 0; row < FONT_GLYPH_HEIGHT; row++) {
			const char *dots =
				font_sheet[glyph / FONT_PER_BAND * FONT_GLYPH_HEIGHT + row] +
				(size_t)(glyph % FONT_PER_BAND) * TEXT_CELL_WIDTH;

			for (int column = 0; column < FONT_GLYPH_WIDTH; column++) {
				if (dots[column] == '#')
					draw_dot(pixels, width, height, left + column * scale,
						y + (int)row * scale, scale, colour);
			}
		}
		left += TEXT_CELL_WIDTH * scale;
	}
}
