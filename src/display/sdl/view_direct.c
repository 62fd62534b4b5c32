/* The picture into the window without a renderer; see view_internal.h.
 *
 * SDL's software renderer draws into the window's surface, which is memory that the X server
 * shares, and then has all of it shown. At one pixel for one there is nothing to render: a copy of
 * what changed, and only that shown, is the same. For a full screen of 1920x1080 this is 2 of 4
 * copies, for a cursor nearly all. */
#include <string.h>

#include "display/sdl/view_internal.h"

static bool is_our_format(const SDL_Surface *surface)
{
	const SDL_PixelFormat *format = surface->format;

	return format->BytesPerPixel == 4 && format->Rmask == 0xff0000 && format->Gmask == 0xff00 &&
	       format->Bmask == 0xff && !SDL_MUSTLOCK(surface);
}

/* The part of the picture's rectangle that the window shows, in its own places. */
static bool clip(const struct rect *rect, const struct placement *place, const SDL_Surface *surface,
	SDL_Rect *area)
{
	const SDL_Rect all = { 0, 0, surface->w, surface->h };
	const SDL_Rect there = { place->x + (int)rect->x, place->y + (int)rect->y, (int)rect->width,
		(int)rect->height };

	return SDL_IntersectRect(&there, &all, area);
}

static void copy(const struct sdl_view *view, const struct placement *place,
	const SDL_Surface *surface, const SDL_Rect *area)
{
	const uint32_t *from = view->staging + (ptrdiff_t)(area->y - place->y) * view->width +
			       (area->x - place->x);
	uint8_t *to = (uint8_t *)surface->pixels + (ptrdiff_t)area->y * surface->pitch +
		      (ptrdiff_t)area->x * 4;

	for (int row = 0; row < area->h; row++) {
		memcpy(to, from, (size_t)area->w * 4);
		from += view->width;
		to += surface->pitch;
	}
}

bool view_show_directly(struct sdl_view *view, const struct view_frame *frame)
{
	SDL_Rect areas[SURFACE_MAX_RECTS];
	SDL_Surface *surface;
	int count = 0;

	/* A window of another size than when it was last drawn is stale and does not get here; so
	 * this is the surface that the renderer has drawn all the rest into. */
	surface = SDL_GetWindowSurface(view->window);
	if (!surface || !surface->pixels || surface->w != frame->output_width ||
		surface->h != frame->output_height || !is_our_format(surface))
		return false;
	for (size_t i = 0; i < view->damage_count; i++) {
		if (!clip(&view->damage[i], &frame->place, surface, &areas[count]))
			continue;
		copy(view, &frame->place, surface, &areas[count]);
		count++;
	}
	/* Should this fail, the renderer has all of it shown. */
	return !count || SDL_UpdateWindowSurfaceRects(view->window, areas, count) == 0;
}
