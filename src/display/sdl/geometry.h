/* Where the picture is in a window, and what a place in the window means in the picture. No state.
 */
#ifndef VMGUI_DISPLAY_SDL_GEOMETRY_H
#define VMGUI_DISPLAY_SDL_GEOMETRY_H

#include "core/util.h"

struct placement {
	int x, y, width, height;
};

/* The picture as large as fits into the window, its proportions kept, in the middle; at least one
 * pixel. All sizes positive. */
struct placement geometry_fit(
	int picture_width, int picture_height, int window_width, int window_height);
/* The size for a new window: the picture's, or a smaller one of the same proportions that fits. */
void geometry_window_size(int picture_width, int picture_height, int most_width, int most_height,
	int *width, int *height);
/* One axis: a place in the window to the picture's pixel, clipped to the picture. */
int geometry_to_picture(int place, int start, int shown, int picture);

#endif
