/* The window's picture: copied, uploaded, drawn; see view.h. What is about the window itself is in
 * view_window.c. */
#include "display/sdl/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "display/icon.h"
#include "display/sdl/renderer.h"
#include "display/sdl/view_internal.h"

#define FIRST_WIDTH  640
#define FIRST_HEIGHT 480
#define MAX_FAILURES 3 /* of a renderer, then it is the software one */
#define DIMMED       0x50

static void set_icon(SDL_Window *window)
{
	uint32_t pixels[ICON_SIZE * ICON_SIZE];
	SDL_Surface *icon;

	icon_draw(pixels);
	icon = SDL_CreateRGBSurfaceWithFormatFrom(
		pixels, ICON_SIZE, ICON_SIZE, 32, ICON_SIZE * 4, SDL_PIXELFORMAT_ARGB8888);
	if (!icon)
		return;
	SDL_SetWindowIcon(window, icon);
	SDL_FreeSurface(icon);
}

int view_create(struct sdl_view *view, const char *title, const struct display_settings *settings,
	const struct window_memory *memory, struct error *err)
{
	memset(view, 0, sizeof(*view));
	view->filter = settings->filter;
	view_window_init(view, settings, memory);
	view->window = SDL_CreateWindow(title, SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED,
		FIRST_WIDTH, FIRST_HEIGHT, SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI);
	if (!view->window)
		return error_set(err, ENODEV, "sdl: cannot open a window: %s", SDL_GetError());
	set_icon(view->window);
	view->renderer = renderer_create(view->window, false, &view->keeps_frame);
	if (!view->renderer) {
		error_set(err, ENODEV, "sdl: cannot draw in the window: %s", SDL_GetError());
		view_destroy(view);
		return -ENODEV;
	}
	view->stale = true;
	return 0;
}

static void drop_renderer(struct sdl_view *view)
{
	panel_drop(&view->panel);
	if (view->texture)
		SDL_DestroyTexture(view->texture);
	view->texture = NULL;
	if (view->renderer)
		SDL_DestroyRenderer(view->renderer);
	view->renderer = NULL;
}

void view_destroy(struct sdl_view *view)
{
	drop_renderer(view);
	if (view->window)
		SDL_DestroyWindow(view->window);
	free(view->staging);
	memset(view, 0, sizeof(*view));
}

/* --- the texture --- */

/* False: the renderer does not work any more. */
static bool upload(struct sdl_view *view, const struct rect *rect)
{
	const SDL_Rect area = { (int)rect->x, (int)rect->y, (int)rect->width, (int)rect->height };

	return SDL_UpdateTexture(view->texture, &area,
		       view->staging + (size_t)rect->y * view->width + rect->x,
		       (int)(view->width * sizeof(uint32_t))) == 0;
}

static void add_damage(struct sdl_view *view, const struct rect *rect)
{
	if (view->damage_count < array_size(view->damage))
		view->damage[view->damage_count++] = *rect;
	else
		view->stale = true;
	if (view->texture_damage_count < array_size(view->texture_damage))
		view->texture_damage[view->texture_damage_count++] = *rect;
	else
		view->texture_stale = true;
}

/* Only when it is drawn from: most pictures go past it. */
static bool refresh_texture(struct sdl_view *view)
{
	const struct rect whole = { 0, 0, view->width, view->height };
	bool good = true;

	if (!view->texture)
		return true;
	if (view->texture_stale)
		good = upload(view, &whole);
	for (size_t i = 0; good && !view->texture_stale && i < view->texture_damage_count; i++)
		good = upload(view, &view->texture_damage[i]);
	view->texture_stale = false;
	view->texture_damage_count = 0;
	return good;
}

static bool create_texture(struct sdl_view *view)
{
	view->stale = true;
	view->texture_stale = true;
	if (view->texture)
		SDL_DestroyTexture(view->texture);
	view->texture = NULL;
	if (!view->width)
		return true;
	view->texture = SDL_CreateTexture(view->renderer, SDL_PIXELFORMAT_ARGB8888,
		SDL_TEXTUREACCESS_STREAMING, (int)view->width, (int)view->height);
	if (!view->texture)
		return false;
	SDL_SetTextureBlendMode(view->texture, SDL_BLENDMODE_NONE); /* the top byte is nothing */
	return true;
}

bool view_update(struct sdl_view *view, struct surface_reader *reader)
{
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view picture;
	size_t count = surface_read_begin(reader, &picture, rects);
	bool resized = picture.width &&
		       (!view->staging || picture.generation != view->generation ||
			       picture.width != view->width || picture.height != view->height);

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
		if (view->renderer && !create_texture(view))
			drop_renderer(view);
		view_follow_picture(view);
	}
	for (size_t i = 0; !resized && i < count; i++)
		add_damage(view, &rects[i]);
	return resized;
}

/* --- drawing; false: the renderer does not work any more --- */

/* One axis of a picture that is larger than the window, at a whole factor: which of its pixels are
 * seen whole, and how much of the next one is seen. */
struct visible {
	int first, count, start, rest;
};

static struct visible visible_part(int place, int picture, int factor, int output)
{
	struct visible part = { .first = place < 0 ? -place / factor : 0,
		.start = place < 0 ? 0 : place };

	part.count = picture - part.first;
	if (part.count * factor > output - part.start) {
		part.count = (output - part.start) / factor;
		part.rest = output - part.start - part.count * factor;
	}
	return part;
}

/* The software renderer rounds what it has to clip, so nothing is left to be clipped. */
static bool draw_part(struct sdl_view *view, const struct placement *place, int factor,
	int output_width, int output_height)
{
	const struct visible x = visible_part(place->x, (int)view->width, factor, output_width);
	const struct visible y = visible_part(place->y, (int)view->height, factor, output_height);
	const SDL_Rect sources[] = {
		{ x.first, y.first, x.count, y.count },
		{ x.first + x.count, y.first, 1, y.count },
		{ x.first, y.first + y.count, x.count, 1 },
		{ x.first + x.count, y.first + y.count, 1, 1 },
	};
	const int right = x.start + x.count * factor, below = y.start + y.count * factor;
	const SDL_Rect targets[] = {
		{ x.start, y.start, x.count * factor, y.count * factor },
		{ right, y.start, x.rest, y.count * factor },
		{ x.start, below, x.count * factor, y.rest },
		{ right, below, x.rest, y.rest },
	};

	for (size_t i = 0; i < array_size(sources); i++) {
		if (targets[i].w && targets[i].h &&
			SDL_RenderCopy(view->renderer, view->texture, &sources[i], &targets[i]))
			return false;
	}
	return true;
}

static bool draw_all(
	struct sdl_view *view, const struct view_frame *frame, int factor, int panel_scale)
{
	const struct placement *place = &frame->place;
	const SDL_Rect target = { place->x, place->y, place->width, place->height };
	const Uint8 light = view->dimmed ? DIMMED : 0xff;
	bool nearest = view->filter == DISPLAY_FILTER_NEAREST ||
		       (view->filter == DISPLAY_FILTER_AUTO && factor);
	bool good;

	SDL_SetRenderDrawColor(view->renderer, 0, 0, 0, SDL_ALPHA_OPAQUE);
	good = SDL_RenderClear(view->renderer) == 0;
	if (view->texture && frame->output_width > 0) {
		SDL_SetTextureScaleMode(
			view->texture, nearest ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
		SDL_SetTextureColorMod(view->texture, light, light, light);
		if (factor > 1 &&
			(place->x < 0 || place->y < 0 || place->width > frame->output_width ||
				place->height > frame->output_height))
			good = good && draw_part(view, place, factor, frame->output_width,
					       frame->output_height);
		else
			good = good &&
			       SDL_RenderCopy(view->renderer, view->texture, NULL, &target) == 0;
	}
	return good && panel_draw(&view->panel, view->renderer, frame->output_width,
			       frame->output_height, panel_scale) == 0;
}

static bool draw_damage(struct sdl_view *view, const struct view_frame *frame)
{
	for (size_t i = 0; i < view->damage_count; i++) {
		const struct rect *rect = &view->damage[i];
		const SDL_Rect source = { (int)rect->x, (int)rect->y, (int)rect->width,
			(int)rect->height };
		const SDL_Rect target = { frame->place.x + source.x, frame->place.y + source.y,
			source.w, source.h };

		if (SDL_RenderCopy(view->renderer, view->texture, &source, &target))
			return false;
	}
	return true;
}

/* Draws and shows it. */
static bool draw(struct sdl_view *view)
{
	struct view_frame frame;
	bool seen = view_frame(view, &frame), whole, once;
	int factor = 0, density;

	whole = seen && frame.place.width % (int)view->width == 0 &&
		frame.place.height % (int)view->height == 0 &&
		frame.place.width / (int)view->width == frame.place.height / (int)view->height;
	if (whole)
		factor = frame.place.width / (int)view->width;
	once = factor == 1 && view->keeps_frame && !view->stale && !view->panel.text[0] &&
	       !view->dimmed;
	if (once && view_show_directly(view, &frame))
		return true;
	density = frame.window_width > 0 ? frame.output_width / frame.window_width : 1;
	if (!refresh_texture(view) ||
		!(once ? draw_damage(view, &frame)
		       : draw_all(view, &frame, factor, 2 * (density > 0 ? density : 1))))
		return false;
	SDL_RenderPresent(view->renderer);
	return true;
}

void view_present(struct sdl_view *view)
{
	/* Hidden, it stays stale; being shown again is an event of its own. */
	if ((!view->stale && !view->damage_count) ||
		(SDL_GetWindowFlags(view->window) & (SDL_WINDOW_HIDDEN | SDL_WINDOW_MINIMIZED)))
		return;
	for (int tries = 0; tries <= MAX_FAILURES; tries++) {
		if (!view->renderer) {
			view->renderer = renderer_create(
				view->window, view->failures >= MAX_FAILURES, &view->keeps_frame);
			if (view->renderer && !create_texture(view))
				drop_renderer(view);
			view->stale = true;
		}
		if (view->renderer && draw(view)) {
			view->stale = false;
			view->damage_count = 0;
			/* A software renderer stays one. */
			if (view->failures < MAX_FAILURES)
				view->failures = 0;
			return;
		}
		log_guest("sdl", "the renderer is lost: %s", SDL_GetError());
		drop_renderer(view);
		view->failures++;
	}
}

void view_restore(struct sdl_view *view, bool whole)
{
	panel_drop(&view->panel);
	view->stale = true;
	view->texture_stale = true;
	if (view->renderer && (whole || !view->texture) && !create_texture(view))
		drop_renderer(view);
}

void view_set_panel(struct sdl_view *view, const char *text, bool dimmed)
{
	if (panel_set(&view->panel, text) || view->dimmed != dimmed)
		view->stale = true;
	view->dimmed = dimmed;
}
