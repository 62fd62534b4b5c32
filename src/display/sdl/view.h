/* A window with a picture in it: window, renderer, texture and the copy that the texture is made
 * from.
 *
 * The copy (staging) is there so that the surface is held only for a memory copy, whatever the
 * graphics driver does, and so that a lost texture or renderer can be made again from it.
 *
 * Two measures: a window's size and places are in window units; what is drawn is in output pixels.
 * On most screens they are one; on a screen with a scale factor (HiDPI) the output has more. Scales
 * are of output pixels: at 100% one pixel of the picture is one of the screen. A new window is as
 * many units large as the picture has pixels, so that it is as large as other programs' (and, with
 * a whole factor, still exact).
 *
 * Threads: the SDL backend's only. */
#ifndef VMGUI_DISPLAY_SDL_VIEW_H
#define VMGUI_DISPLAY_SDL_VIEW_H

#include <SDL.h>

#include "core/error.h"
#include "display/geometry.h"
#include "display/sdl/panel.h"
#include "display/settings.h"
#include "display/surface.h"
#include "display/window_memory.h"

struct sdl_view {
	SDL_Window *window;
	SDL_Renderer *renderer; /* NULL: lost, to be made again */
	SDL_Texture *texture;   /* NULL before the first picture */
	uint32_t *staging;
	uint32_t width, height; /* of the picture; 0: none yet */
	uint32_t generation;
	/* What the window has yet to show: all of it, or these rectangles. */
	bool stale;
	struct rect damage[SURFACE_MAX_RECTS];
	size_t damage_count;
	/* What the texture has yet to get from staging. */
	bool texture_stale;
	struct rect texture_damage[SURFACE_MAX_RECTS];
	size_t texture_damage_count;
	/* The renderer is software: what was drawn before is still there after a present, and may
	 * be drawn to without it (view_direct.c). */
	bool keeps_frame;
	unsigned failures; /* of renderers, one after the other */

	enum display_scale scale;
	unsigned scale_percent;
	enum display_filter filter;
	int pan_x, pan_y; /* output pixels, geometry.h */
	struct sdl_panel panel;
	bool dimmed;

	/* Window units, while neither maximized nor on the full screen: the size last asked for
	 * (0: none yet) and when, the one there was before, and the one there is. */
	int asked_width, asked_height, former_width, former_height, width_now, height_now;
	uint64_t asked_ms;
	bool asked_twice;
	struct window_memory memory; /* what was remembered at the start */
	bool sized;                  /* the user has chosen the size, now or in an earlier run */
	bool zoomed;                 /* and the scale, now */
	/* On the full screen by hand, as there is no window manager; and where it was before. */
	bool unmanaged;
	SDL_Rect before;
};

/* memory: NULL if nothing is known of an earlier run. */
VMGUI_MUST_USE int view_create(struct sdl_view *view, const char *title,
	const struct display_settings *settings, const struct window_memory *memory,
	struct error *err);
void view_destroy(struct sdl_view *view);

/* Takes what is new from the surface. True if the picture has a new size. */
bool view_update(struct sdl_view *view, struct surface_reader *reader);
/* Shows it if there is anything to show and anybody to see it. */
void view_present(struct sdl_view *view);
/* The renderer lost its textures (whole: and itself). */
void view_restore(struct sdl_view *view, bool whole);
/* The window has another size now. */
void view_resized(struct sdl_view *view);
bool view_is_fullscreen(const struct sdl_view *view);
void view_set_fullscreen(struct sdl_view *view, bool fullscreen);
/* direction 1: larger, -1: smaller, by a step; 0: one pixel for each of the picture's, and if it is
 * so already, the scale of the settings. The window becomes as large as the picture. */
void view_zoom(struct sdl_view *view, const struct display_settings *settings, int direction);
/* A box with text over the picture; NULL: none. The picture under it is darker if dimmed. */
void view_set_panel(struct sdl_view *view, const char *text, bool dimmed);
/* What is worth to be remembered; false: nothing is, the user has changed nothing. */
bool view_memory(const struct sdl_view *view, struct window_memory *memory);

/* A place in the window, in the window's own units, to the pixel of the picture that is seen there.
 * False: no picture. */
bool view_locate(struct sdl_view *view, int window_x, int window_y, int *x, int *y);
/* Motion in window units by this ratio is motion in pixels of the picture; one axis each. False: no
 * picture. */
struct view_ratio {
	int64_t x_numerator, x_denominator, y_numerator, y_denominator;
};
bool view_ratio(struct sdl_view *view, struct view_ratio *ratio);
/* Where only a part of the picture is seen: the pointer is here (window units), or has moved by
 * that much. */
void view_pan_to(struct sdl_view *view, int window_x, int window_y);
void view_pan_by(struct sdl_view *view, int dx, int dy);

#endif
