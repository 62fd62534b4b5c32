/* The picture in the window: a drawing area with scroll bars, the picture as the window system can
 * take it, and how the one is drawn into the other.
 *
 *     surface --(once a frame, what is damaged)--> image --(damaged part, scaled)--> window
 *
 * Where the surface's own memory can be drawn from (shared.h) that is the image, and nothing is
 * copied; else it is a copy, taken in the frame clock's update phase: a window that nobody sees
 * takes none. The surface is held only for that.
 *
 * The X server draws each pixel of such an image once, straight from it, so that needs no second
 * buffer to be hidden behind: it goes into the window in the update phase, past GTK, if nothing
 * lies over it. All else, and what GTK asks for, is drawn as GTK wants it, in its own buffer.
 *
 * Threads: the GTK backend's. */
#ifndef VMGUI_DISPLAY_GTK_VIEW_H
#define VMGUI_DISPLAY_GTK_VIEW_H

#include <gtk/gtk.h>

#include "core/error.h"
#include "display/gtk/redraw.h"
#include "display/gtk/shared.h"
#include "display/surface.h"

struct view {
	struct surface_reader *reader;
	GtkWidget *frame; /* what goes into the window: area and scroll bars */
	GtkWidget *area;
	GtkAdjustment *across, *down;
	GtkWidget *scroll_across, *scroll_down;

	struct extent picture; /* 0 x 0: none yet */
	uint32_t generation;
	cairo_surface_t
		*image; /* the copy, or the surface's memory; NULL before the first picture */
	cairo_surface_t *pixmap; /* the X server's view of that memory, or NULL */
	bool shared;             /* image is the surface's memory */
	struct shared_mark mark;

	enum display_scale scale;
	unsigned percent;
	enum display_filter filter;
	guint tick;      /* 0: the next frame changes nothing */
	guint refresh;   /* 0: the scroll bars are as they should be */
	unsigned frames; /* drawn with news, ever */
	bool news;       /* the image has changed since it was drawn */
	unsigned covers; /* widgets that lie over the area now */
	bool dimmed;     /* the guest has ended: shown, but not as if alive */

	/* The picture has a new size, or was placed differently. */
	void (*changed)(void *opaque, bool new_size);
	void *opaque;
};

/* The widgets are floating until they stand in a window. */
void view_init(struct view *view, struct surface_reader *reader);
/* After the window. */
void view_fini(struct view *view);
/* There is news on the surface: show it with the next frame. */
void view_wake(struct view *view);
/* Take it now, though nobody may see it. */
void view_update(struct view *view);
void view_set_scale(struct view *view, enum display_scale scale, unsigned percent);
void view_set_filter(struct view *view, enum display_filter filter);
void view_set_dimmed(struct view *view, bool dimmed);
/* The widget lies over the area while it is mapped. */
void view_add_cover(struct view *view, GtkWidget *widget);
/* The scale in use, in percent of one picture's pixel for one of the screen; 0: no picture. */
unsigned view_percent(struct view *view);
/* A place in the area, in its own units, to a pixel of the picture. False: no picture. */
bool view_locate(struct view *view, double x, double y, unsigned *pixel_x, unsigned *pixel_y);
/* A way in the area's units to one in the picture's pixels. */
void view_scale_motion(struct view *view, double *dx, double *dy);
/* The size in the area's units that shows all of the picture with the scale in use (1:1 for those
 * that follow the window), or the best that is at most that large (0: any). There is a picture. */
struct extent view_natural_size(struct view *view, struct extent most);
/* A copy of the picture, for whoever wants to keep it; NULL: none, or no memory. */
cairo_surface_t *view_screenshot(struct view *view);

#endif
