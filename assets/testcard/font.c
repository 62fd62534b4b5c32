/* Writes with the letters of the sheet. Enlarged ones get their diagonals smoothed. */
#include "card.h"
#include "font_sheet.h"

static bool dot(unsigned glyph, int x, int y)
{
	if (x < 0 || y < 0 || x >= FONT_GLYPH_WIDTH || y >= FONT_GLYPH_HEIGHT)
		return false;
	return font_sheet[(int)(glyph / FONT_PER_BAND) * FONT_GLYPH_HEIGHT + y]
			 [(int)(glyph % FONT_PER_BAND) * FONT_WIDTH + x] == '#';
}

/* An empty dot between two set ones that touch at a corner only gets that corner's triangle. */
static void smooth(unsigned glyph, int column, int row, int x, int y, int scale, uint32_t colour)
{
	for (int corner = 0; corner < 4; corner++) {
		int dx = corner & 1 ? 1 : -1, dy = corner & 2 ? 1 : -1;

		if (!dot(glyph, column + dx, row) || !dot(glyph, column, row + dy) ||
			dot(glyph, column + dx, row + dy))
			continue;
		for (int line = 0; line < scale - 1; line++) {
			int length = scale - 1 - line;

			screen_fill(dx < 0 ? x : x + scale - length,
				dy < 0 ? y + line : y + scale - 1 - line, length, 1, colour);
		}
	}
}

void font_draw(int x, int y, int scale, uint32_t colour, const char *text)
{
	for (; *text; text++, x += FONT_WIDTH * scale) {
		unsigned glyph = (unsigned char)*text - FONT_FIRST;

		if (glyph >= FONT_GLYPHS)
			glyph = '?' - FONT_FIRST;
		for (int row = 0; row < FONT_GLYPH_HEIGHT; row++) {
			for (int column = 0; column < FONT_GLYPH_WIDTH; column++) {
				int left = x + column * scale, top = y + row * scale;

				if (dot(glyph, column, row))
					screen_fill(left, top, scale, scale, colour);
				else
					smooth(glyph, column, row, left, top, scale, colour);
			}
		}
	}
}
