/* The window and its picture; see view.h. */
#include "display/sdl/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

#define FIRST_WIDTH      640
#define FIRST_HEIGHT     480
#define GL_RENDERER_NAME 0x1F01 /* OpenGL's GL_RENDERER */

/* A GL without hardware is slower than SDL's own blitter, and loads a compiler. */
static bool is_software_gl(void)
{
	const unsigned char *(*get_string)(unsigned name) = NULL;
	const char *name;

	*(void **)&get_string = SDL_GL_GetProcAddress("glGetString");
	name = get_string ? (const char *)get_string(GL_RENDERER_NAME) : NULL;
	return name &&
	       (strstr(name, "llvmpipe") || strstr(name, "softpipe") || strstr(name, "swrast"));
}

static SDL_Renderer *create_renderer(SDL_Window *window)
{
	const char *wanted = SDL_GetHint(SDL_HINT_RENDER_DRIVER);
	SDL_Renderer *renderer = NULL;
	SDL_RendererInfo info;

	if (wanted && *wanted)
		return SDL_CreateRenderer(window, -1, 0);
	if (access("/dev/dri", F_OK) == 0 || access("/dev/nvidiactl", F_OK) == 0)
		renderer = SDL_CreateRenderer(window, -1, SDL_RENDERER_ACCELERATED);
	if (renderer && SDL_GetRendererInfo(renderer, &info) == 0 &&
		!strncmp(info.name, "opengl", 6) && is_software_gl()) {
		SDL_DestroyRenderer(renderer);
		renderer = NULL;
	}
	if (!renderer) {
		/* Else SDL would send the software renderer's result through such a GL. */
		SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
		renderer = SDL_CreateRenderer(window, -1, SDL_RENDERER_SOFTWARE);
	}
	return renderer;
}

int view_create(struct sdl_view *view, const char *title, struct error *err)
{
	SDL_RendererInfo info;

	memset(view, 0, sizeof(*view));
	view->window = SDL_CreateWindow(title, SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED,
		FIRST_WIDTH, FIRST_HEIGHT, SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI);
	if (!view->window)
		return error_set(err, ENODEV, "sdl: cannot open a window: %s", SDL_GetError());
	view->renderer = create_renderer(view->window);
	if (!view->renderer) {
		error_set(err, ENODEV, "sdl: cannot draw in the window: %s", SDL_GetError());
		view_destroy(view);
		return -ENODEV;
	}
	if (SDL_GetRendererInfo(view->renderer, &info) == 0) {
		view->keeps_frame = info.flags & SDL_RENDERER_SOFTWARE;
		log_debug("sdl", "video driver %s, renderer %s", SDL_GetCurrentVideoDriver(),
			info.name);
	}
	view->stale = true;
	return 0;
}

void view_destroy(struct sdl_view *view)
{
	if (view->texture)
		SDL_DestroyTexture(view->texture);
	if (view->renderer)
		SDL_DestroyRenderer(view->renderer);
	if (view->window)
		SDL_DestroyWindow(view->window);
	free(view->staging);
	memset(view, 0, sizeof(*view));
}

static void upload(struct sdl_view *view, const struct rect *rect)
{
	const SDL_Rect area = { (int)rect->x, (int)rect->y, (int)rect->width, (int)rect->height };

	SDL_UpdateTexture(view->texture, &area,
		view->staging + (size_t)rect->y * view->width + rect->x,
		(int)(view->width * sizeof(uint32_t)));
	if (view->damage_count < array_size(view->damage))
		view->damage[view->damage_count++] = *rect;
	else
		view->stale = true;
}

static void create_texture(struct sdl_view *view)
{
	const struct rect whole = { 0, 0, view->width, view->height };

	if (view->texture)
		SDL_DestroyTexture(view->texture);
	view->texture = NULL;
	if (!view->width)
		return;
	view->texture = SDL_CreateTexture(view->renderer, SDL_PIXELFORMAT_ARGB8888,
		SDL_TEXTUREACCESS_STREAMING, (int)view->width, (int)view->height);
	if (!view->texture) {
		log_guest("sdl", "no texture of %ux%u: %s", view->width, view->height,
			SDL_GetError());
		return;
	}
	SDL_SetTextureBlendMode(view->texture, SDL_BLENDMODE_NONE); /* the top byte is nothing */
	upload(view, &whole);
	view->stale = true;
}

static int clipped(int start, int length, int area_start, int area_length)
{
	if (start + length > area_start + area_length)
		start = area_start + area_length - length;
	return start < area_start ? area_start : start;
}

/* As large as the picture, or as the screen has room for; the first one in the middle, later ones
 * where the window is, but not off the screen. */
static void resize_window(struct sdl_view *view, bool first)
{
	Uint32 flags = SDL_GetWindowFlags(view->window);
	int top = 0, left = 0, bottom = 0, right = 0, width, height, x, y, new_x, new_y;
	SDL_Rect usable = { 0, 0, 0, 0 };

	if (flags & (SDL_WINDOW_FULLSCREEN | SDL_WINDOW_FULLSCREEN_DESKTOP | SDL_WINDOW_MAXIMIZED))
		return;
	if (SDL_GetDisplayUsableBounds(SDL_GetWindowDisplayIndex(view->window), &usable) == 0)
		SDL_GetWindowBordersSize(view->window, &top, &left, &bottom, &right);
	geometry_window_size(DISPLAY_SCALE_FIT, 100, (int)view->width, (int)view->height,
		usable.w - left - right, usable.h - top - bottom, &width, &height);
	SDL_SetWindowSize(view->window, width, height);
	if (first) {
		SDL_SetWindowPosition(view->window, SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED);
		return;
	}
	SDL_GetWindowPosition(view->window, &x, &y);
	new_x = clipped(x, width, usable.x + left, usable.w - left - right);
	new_y = clipped(y, height, usable.y + top, usable.h - top - bottom);
	if (usable.w && (new_x != x || new_y != y))
		SDL_SetWindowPosition(view->window, new_x, new_y);
}

bool view_update(struct sdl_view *view, struct surface_reader *reader)
{
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view picture;
	size_t count = surface_read_begin(reader, &picture, rects);
	bool resized = picture.width &&
		       (!view->staging || picture.generation != view->generation ||
			       picture.width != view->width || picture.height != view->height);

	bool first = !view->staging;

	if (resized) {
		uint32_t *staging =
			malloc((size_t)picture.width * picture.height * sizeof(*staging));

		if (!staging) {
			surface_read_end(reader);
			log_guest("sdl", "no memory for a picture of %ux%u", picture.width,
				picture.height);
			return false;
		}
		free(view->staging);
		view->staging = staging;
		view->width = picture.width;
		view->height = picture.height;
		view->generation = picture.generation;
		rects[0] = (struct rect){ 0, 0, picture.width, picture.height };
		count = 1;
	}
	if (!picture.width)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct rect *rect = &rects[i];

		for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
			memcpy(view->staging + (size_t)y * view->width + rect->x,
				picture.pixels + (size_t)y * picture.stride_pixels + rect->x,
				rect->width * sizeof(uint32_t));
	}
	surface_read_end(reader);
	if (resized) {
		create_texture(view);
		resize_window(view, first);
	} else if (view->texture) {
		for (size_t i = 0; i < count; i++)
			upload(view, &rects[i]);
	}
	return resized;
}

static void draw_all(struct sdl_view *view, const struct placement *place)
{
	const SDL_Rect target = { place->x, place->y, place->width, place->height };
	bool whole_pixels;

	SDL_SetRenderDrawColor(view->renderer, 0, 0, 0, SDL_ALPHA_OPAQUE);
	SDL_RenderClear(view->renderer);
	if (!view->texture || !view->width || !view->height)
		return;
	whole_pixels =
		place->width % (int)view->width == 0 && place->height % (int)view->height == 0;
	SDL_SetTextureScaleMode(
		view->texture, whole_pixels ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
	SDL_RenderCopy(view->renderer, view->texture, NULL, &target);
}

static void draw_damage(struct sdl_view *view, const struct placement *place)
{
	for (size_t i = 0; i < view->damage_count; i++) {
		const struct rect *rect = &view->damage[i];
		const SDL_Rect source = { (int)rect->x, (int)rect->y, (int)rect->width,
			(int)rect->height };
		const SDL_Rect target = { place->x + source.x, place->y + source.y, source.w,
			source.h };

		SDL_RenderCopy(view->renderer, view->texture, &source, &target);
	}
}

void view_present(struct sdl_view *view)
{
	struct placement place = { 0, 0, 0, 0 };
	int width = 0, height = 0;

	/* Hidden, it stays stale; being shown again is an event of its own. */
	if ((!view->stale && !view->damage_count) ||
		(SDL_GetWindowFlags(view->window) & (SDL_WINDOW_HIDDEN | SDL_WINDOW_MINIMIZED)))
		return;
	SDL_GetRendererOutputSize(view->renderer, &width, &height);
	if (view->texture && width > 0 && height > 0)
		place = geometry_fit((int)view->width, (int)view->height, width, height);
	if (!view->stale && view->keeps_frame && place.width == (int)view->width &&
		place.height == (int)view->height)
		draw_damage(view, &place);
	else
		draw_all(view, &place);
	SDL_RenderPresent(view->renderer);
	view->stale = false;
	view->damage_count = 0;
}

void view_restore(struct sdl_view *view, bool whole)
{
	const struct rect all = { 0, 0, view->width, view->height };

	if (whole || !view->texture)
		create_texture(view);
	else
		upload(view, &all);
	view->stale = true;
}

void view_toggle_fullscreen(struct sdl_view *view)
{
	bool full = SDL_GetWindowFlags(view->window) & SDL_WINDOW_FULLSCREEN_DESKTOP;

	if (SDL_SetWindowFullscreen(view->window, full ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP))
		log_debug("sdl", "full screen: %s", SDL_GetError());
	view->stale = true;
}

bool view_locate(struct sdl_view *view, int window_x, int window_y, int *x, int *y)
{
	struct placement place;
	int width, height;

	SDL_GetWindowSize(view->window, &width, &height);
	if (!view->width || width <= 0 || height <= 0)
		return false;
	place = geometry_fit((int)view->width, (int)view->height, width, height);
	*x = geometry_to_picture(window_x, place.x, place.width, (int)view->width);
	*y = geometry_to_picture(window_y, place.y, place.height, (int)view->height);
	return true;
}
