/* Which part of a window a damaged part of the picture is. All in the screen's own pixels
 * ("device pixels"): on a screen with a scale factor of 2 a widget of 100 units has 200. No state.
 */
#ifndef VMGUI_DISPLAY_GTK_REDRAW_H
#define VMGUI_DISPLAY_GTK_REDRAW_H

#include "display/geometry.h"
#include "display/surface.h"

struct extent {
	int width, height;
};

/* Whether each of the picture's pixels is a square of whole screen pixels. */
bool redraw_is_whole(const struct placement *place, struct extent picture);
/* What has to be drawn again for a damaged rectangle of the picture; with smooth, neighbours are
 * part of it. Clipped to the area; may be empty. */
struct placement redraw_damage(const struct placement *place, struct extent picture,
	struct extent area, const struct rect *damage, bool smooth);
/* The smallest rectangle of the widget's units (each factor pixels) around that one. */
struct placement redraw_to_units(const struct placement *pixels, int factor);

#endif
