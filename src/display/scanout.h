/* From video memory to the surface: one look at a time.
 *
 * A look reads the source's mode and the pages that the guest wrote, converts what is dirty,
 * compares it with the surface so that rectangles are tight, and publishes them. When to look is
 * refresh.h's affair. */
#ifndef VMGUI_DISPLAY_SCANOUT_H
#define VMGUI_DISPLAY_SCANOUT_H

#include "core/display_source.h"
#include "display/surface.h"

struct scanout;

/* Neither source nor surface is owned; both outlive it. NULL: no memory. */
struct scanout *scanout_create(struct display_source *source, struct surface *surface);
void scanout_destroy(struct scanout *scanout);

/* Brings the surface up to date. Whether something changed or is still to come. *watched_pages: of
 * the picture, what is compared at each look (scanout.c): what the guest has written lately. Any
 * thread; holding no lock that a surface reader's wake takes. */
bool scanout_look(struct scanout *scanout, unsigned *watched_pages);

#endif
