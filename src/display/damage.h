/* A short list of rectangles that together cover what changed.
 *
 * Rectangles are joined when that costs little: a few pixels that did not change, or, when the list
 * is full, as few of them as possible. Plain data, no locks; the owner says who may touch it. */
#ifndef VMGUI_DISPLAY_DAMAGE_H
#define VMGUI_DISPLAY_DAMAGE_H

#include "display/surface.h"

struct damage {
	struct rect rects[SURFACE_MAX_RECTS];
	size_t count; /* 0: nothing changed */
};

/* Empty rectangles are ignored. x + width and y + height do not wrap. */
void damage_add(struct damage *damage, struct rect rect);

#endif
