/* A window with a picture in it: window, renderer, texture and the copy that the texture is made
 * from.
 *
 * The copy (staging) is there so that the surface is held only for a memory copy, whatever the
 * graphics driver does, and so that a lost texture can be made again from it.
 *
 * Threads: the SDL backend's only. */
#ifndef VMGUI_DISPLAY_SDL_VIEW_H
#define VMGUI_DISPLAY_SDL_VIEW_H

#include <SDL.h>

#include "core/error.h"
#include "display/geometry.h"
#include "display/surface.h"

struct sdl_view {
	SDL_Window *window;
	SDL_Renderer *renderer;
	SDL_Texture *texture; /* NULL before the first picture */
	uint32_t *staging;
	uint32_t width, height; /* of the picture; 0: none yet */
	uint32_t generation;
	/* What the window has yet to show: all of it, or these rectangles. */
	bool stale;
	struct rect damage[SURFACE_MAX_RECTS];
	size_t damage_count;
	bool keeps_frame; /* the renderer: what was drawn before is still there after a present */
};

VMGUI_MUST_USE int view_create(struct sdl_view *view, const char *title, struct error *err);
void view_destroy(struct sdl_view *view);

/* Takes what is new from the surface. True if the picture has a new size. */
bool view_update(struct sdl_view *view, struct surface_reader *reader);
/* Shows it if there is anything to show and anybody to see it. */
void view_present(struct sdl_view *view);
/* The renderer lost its textures (whole: and itself). */
void view_restore(struct sdl_view *view, bool whole);
void view_toggle_fullscreen(struct sdl_view *view);
/* A place in the window, in the window's own units, to a pixel of the picture. False: no picture.
 */
bool view_locate(struct sdl_view *view, int window_x, int window_y, int *x, int *y);

#endif
