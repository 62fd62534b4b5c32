/* The surface's own memory as cairo surfaces, so that no picture is copied on its way to the
 * window. What is drawn from them is what the surface has at that moment; see surface_read_share.
 *
 * On X11 the server has the memory, too, as a pixmap: what is drawn from that costs this process
 * nothing but the request. That needs a server on the same machine that can do it (MIT-SHM 1.2 with
 * pixmaps) and keeps pixels as we do.
 *
 * Threads: the GTK backend's. */
#ifndef VMGUI_DISPLAY_GTK_SHARED_H
#define VMGUI_DISPLAY_GTK_SHARED_H

#include <gtk/gtk.h>

#include "display/gtk/redraw.h"

/* image is for what this process draws, pixmap for what the X server does, NULL without one. The
 * descriptor stays the caller's. False: it cannot be, or would cost more than a copy, and nothing
 * was opened. May wait for the server. */
bool shared_open(GdkWindow *window, int fd, struct extent size, cairo_surface_t **image,
	cairo_surface_t **pixmap);

/* A server that is slower than we are must not collect what it has to draw: shared_mark after a
 * frame, and no further one while it is still at it. */
struct shared_mark {
	bool set;
	unsigned request;
};

void shared_mark(struct shared_mark *mark, GdkWindow *window);
/* Whether it has not come so far. Does not wait. */
bool shared_is_behind(struct shared_mark *mark, GdkWindow *window);

#endif
