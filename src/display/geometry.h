/* Where the picture is in a window, and what a place in the window means in the picture. All
 * lengths are whole pixels of the output (what the screen has, not what a desktop with a scale
 * factor counts in). No state. */
#ifndef VMGUI_DISPLAY_GEOMETRY_H
#define VMGUI_DISPLAY_GEOMETRY_H

#include "display/settings.h"

/* Left of the window or above it (negative) where the picture is larger than the window. */
struct placement {
	int x, y, width, height;
};

/* The picture as large as fits into the window, its proportions kept, in the middle; at least one
 * pixel. All sizes positive. */
struct placement geometry_fit(
	int picture_width, int picture_height, int window_width, int window_height);
/* The same for any scale. Where the picture is larger than the window, the window shows the part
 * that begins pan_x, pan_y output pixels into the picture, or as close to that as there is. */
struct placement geometry_place(enum display_scale scale, unsigned percent, int picture_width,
	int picture_height, int window_width, int window_height, int pan_x, int pan_y);
/* The size for a new window: the picture's at this scale (fit and integer: as it is), or a smaller
 * one of the same proportions that fits; most_*: 0 if unknown. */
void geometry_window_size(enum display_scale scale, unsigned percent, int picture_width,
	int picture_height, int most_width, int most_height, int *width, int *height);
/* One axis: the picture's pixel that is seen at a place in the window, clipped to the picture. */
int geometry_to_picture(int place, int start, int shown, int picture);
/* One axis of relative motion, by numerator / denominator; the fraction stays in *remainder for the
 * next one. */
int geometry_scale_motion(int delta, int64_t numerator, int64_t denominator, int64_t *remainder);
/* One axis of panning: where to begin when the pointer is at `place`, so that it need not leave the
 * window to see what is beside it. */
int geometry_pan(int pan, int place, int shown, int window);
/* The next scale of the zoom keys, in per cent, above (direction 1) or below (-1). */
unsigned geometry_zoom(unsigned percent, int direction);

#endif
