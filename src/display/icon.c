/* A screen with colour bars on a stand. Half the measures of assets/desktop/vmgui.svg, from which
 * it should not be told apart. */
#include "display/icon.h"

#include <string.h>

#define FRAME 0xff33383fu
#define STAND 0xff4a5058u

static void fill(uint32_t *pixels, int x, int y, int width, int height, uint32_t colour)
{
	for (int row = y; row < y + height; row++) {
		for (int column = x; column < x + width; column++)
			pixels[row * ICON_SIZE + column] = colour;
	}
}

/* A box whose corners are quarters of a circle, their edges smooth: 4 x 4 looks a pixel. */
static void fill_rounded(
	uint32_t *pixels, int x, int y, int width, int height, int radius, uint32_t colour)
{
	fill(pixels, x, y, width, height, colour);
	for (int corner = 0; corner < 4 * radius * radius; corner++) {
		int column = corner % (2 * radius), row = corner / (2 * radius);
		int px = column < radius ? x + column : x + width - 2 * radius + column;
		int py = row < radius ? y + row : y + height - 2 * radius + row;
		uint32_t inside = 0;

		for (int look = 0; look < 16; look++) {
			int dx = 8 * (column - radius) + 2 * (look % 4) + 1;
			int dy = 8 * (row - radius) + 2 * (look / 4) + 1;

			inside += dx * dx + dy * dy <= 64 * radius * radius;
		}
		pixels[py * ICON_SIZE + px] = (colour & 0xffffff) | (inside * 255 / 16) << 24;
	}
}

void icon_draw(uint32_t pixels[ICON_SIZE * ICON_SIZE])
{
	static const uint32_t bars[8] = { 0xffffffff, 0xffffff00, 0xff00ffff, 0xff00ff00,
		0xffff00ff, 0xffff0000, 0xff0000ff, 0xff222222 };

	memset(pixels, 0, ICON_SIZE * ICON_SIZE * sizeof(*pixels));
	for (int row = 0; row < 7; row++)
		fill(pixels, 26 - row / 3, 49 + row, 12 + 2 * (row / 3), 1, STAND);
	fill_rounded(pixels, 18, 55, 28, 4, 2, FRAME);
	fill_rounded(pixels, 3, 6, 58, 44, 4, FRAME);
	fill(pixels, 7, 10, 50, 36, 0xff000000);
	for (int bar = 0; bar < 8; bar++)
		fill(pixels, 8 + 6 * bar, 11, 6, 26, bars[bar]);
	for (int column = 0; column < 48; column++)
		fill(pixels, 8 + column, 38, 1, 7,
			0xff000000 | (uint32_t)(column * 255 / 47) * 0x010101);
}
