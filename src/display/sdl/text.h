/* Letters on a picture in memory, for the panels of the window. Threads: any. */
#ifndef VMGUI_DISPLAY_SDL_TEXT_H
#define VMGUI_DISPLAY_SDL_TEXT_H

#include "core/util.h"

#define TEXT_CELL_WIDTH  6
#define TEXT_CELL_HEIGHT 10

/* Columns of the longest line, and how many lines there are (at least 1). */
void text_measure(const char *text, int *columns, int *lines);
/* Draws ASCII text (what is not becomes '?'), its lines below each other, each dot scale pixels
 * wide. What is outside the picture is left out. */
void text_draw(uint32_t *pixels, int width, int height, int x, int y, int scale, uint32_t colour,
	const char *text);

#endif
