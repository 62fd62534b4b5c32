/* The window itself: its size, the full screen, scales, and what a place in it means; see view.h.
 */
#include <string.h>

#include "core/log.h"
#include "display/sdl/view_internal.h"
#include "display/sdl/x11.h"

/* What a window manager makes of a wish comes within that time; later it is the user. */
#define SETTLE_MS 500

static bool is_fullscreen(const struct sdl_view *view)
{
	return view->unmanaged || (SDL_GetWindowFlags(view->window) & SDL_WINDOW_FULLSCREEN);
}

/* Whether its size is its own, and not the screen's. */
static bool is_free(const struct sdl_view *view)
{
	return !is_fullscreen(view) && !(SDL_GetWindowFlags(view->window) & SDL_WINDOW_MAXIMIZED);
}

void view_window_init(struct sdl_view *view, const struct display_settings *settings,
	const struct window_memory *memory)
{
	view->scale = settings->scale_given || !memory ? settings->scale : memory->scale;
	view->scale_percent =
		settings->scale_given || !memory ? settings->scale_percent : memory->scale_percent;
	view->memory =
		memory ? *memory
		       : (struct window_memory){ .scale = DISPLAY_SCALE_FIT, .scale_percent = 100 };
	/* A size goes with a scale that shows what there is room for. */
	view->sized = memory && memory->width &&
		      !(settings->scale_given && settings->scale == DISPLAY_SCALE_FIXED);
}

bool view_memory(const struct sdl_view *view, struct window_memory *memory)
{
	*memory = view->memory;
	if (view->zoomed) {
		memory->scale = view->scale;
		memory->scale_percent =
			view->scale == DISPLAY_SCALE_FIXED ? view->scale_percent : 100;
		memory->width = memory->height = 0;
	}
	if (view->sized && view->width_now > 0 && view->height_now > 0 &&
		view->width_now <= (int)WINDOW_MEMORY_MAX_SIZE &&
		view->height_now <= (int)WINDOW_MEMORY_MAX_SIZE) {
		memory->width = (unsigned)view->width_now;
		memory->height = (unsigned)view->height_now;
	}
	return view->zoomed || view->sized;
}

bool view_frame(struct sdl_view *view, struct view_frame *frame)
{
	struct placement *place = &frame->place;
	int factor;

	memset(frame, 0, sizeof(*frame));
	SDL_GetWindowSize(view->window, &frame->window_width, &frame->window_height);
	if (!view->renderer || SDL_GetRendererOutputSize(
				       view->renderer, &frame->output_width, &frame->output_height))
		SDL_GetWindowSizeInPixels(
			view->window, &frame->output_width, &frame->output_height);
	if (!view->width || frame->window_width <= 0 || frame->window_height <= 0 ||
		frame->output_width <= 0 || frame->output_height <= 0)
		return false;
	*place = geometry_place(view->scale, view->scale_percent, (int)view->width,
		(int)view->height, frame->output_width, frame->output_height, view->pan_x,
		view->pan_y);
	/* At whole factors a part begins with a whole pixel, so that it can be drawn exactly. */
	if (place->width % (int)view->width == 0) {
		factor = place->width / (int)view->width;
		if (place->x < 0)
			place->x = -((-place->x + factor - 1) / factor * factor);
		if (place->y < 0)
			place->y = -((-place->y + factor - 1) / factor * factor);
	}
	return true;
}

/* --- size --- */

static int clipped(int start, int length, int area_start, int area_length)
{
	if (start + length > area_start + area_length)
		start = area_start + area_length - length;
	return start < area_start ? area_start : start;
}

/* The first one in the middle, later ones where the window is, but not off the screen. */
static void set_size(struct sdl_view *view, int width, int height, const SDL_Rect *usable)
{
	bool first = !view->asked_width;
	int x, y, new_x, new_y;

	SDL_GetWindowSize(view->window, &view->former_width, &view->former_height);
	view->asked_width = view->width_now = width;
	view->asked_height = view->height_now = height;
	view->asked_ms = SDL_GetTicks64();
	view->asked_twice = false;
	SDL_SetWindowSize(view->window, width, height);
	if (first) {
		SDL_SetWindowPosition(view->window, SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED);
		return;
	}
	SDL_GetWindowPosition(view->window, &x, &y);
	new_x = clipped(x, width, usable->x, usable->w);
	new_y = clipped(y, height, usable->y, usable->h);
	if (usable->w && (new_x != x || new_y != y))
		SDL_SetWindowPosition(view->window, new_x, new_y);
}

static bool is_wayland(void)
{
	const char *driver = SDL_GetCurrentVideoDriver();

	return driver && !strcmp(driver, "wayland");
}

/* Where the window's inside may be: its screen without panels and without its own borders. */
static SDL_Rect usable_area(struct sdl_view *view)
{
	int top = 0, left = 0, bottom = 0, right = 0;
	SDL_Rect usable = { 0, 0, 0, 0 };

	if (SDL_GetDisplayUsableBounds(SDL_GetWindowDisplayIndex(view->window), &usable) == 0)
		SDL_GetWindowBordersSize(view->window, &top, &left, &bottom, &right);
	usable.x += left;
	usable.y += top;
	usable.w -= left + right;
	usable.h -= top + bottom;
	return usable;
}

void view_follow_picture(struct sdl_view *view)
{
	const SDL_Rect usable = usable_area(view);
	bool first = !view->asked_width;
	struct view_frame frame;
	int width, height;

	view->pan_x = view->pan_y = 0;
	view->stale = true;
	if (!is_free(view) || !view_frame(view, &frame) || (view->sized && !first))
		return;
	if (view->sized) {
		width = (int)view->memory.width;
		height = (int)view->memory.height;
		if (usable.w > 0 && width > usable.w)
			width = usable.w;
		if (usable.h > 0 && height > usable.h)
			height = usable.h;
	} else if (view->scale == DISPLAY_SCALE_FIXED) {
		int64_t most_width = (int64_t)usable.w * frame.output_width / frame.window_width;
		int64_t most_height = (int64_t)usable.h * frame.output_height / frame.window_height;

		geometry_window_size(view->scale, view->scale_percent, (int)view->width,
			(int)view->height, (int)most_width, (int)most_height, &width, &height);
		/* At least what is needed for all of it. */
		width = (int)(((int64_t)width * frame.window_width + frame.output_width - 1) /
			      frame.output_width);
		height = (int)(((int64_t)height * frame.window_height + frame.output_height - 1) /
			       frame.output_height);
	} else {
		geometry_window_size(view->scale, 100, (int)view->width, (int)view->height,
			usable.w, usable.h, &width, &height);
	}
	set_size(view, width, height, &usable);
}

void view_resized(struct sdl_view *view)
{
	bool soon = SDL_GetTicks64() - view->asked_ms <= SETTLE_MS;
	int width, height;

	view->stale = true;
	if (!is_free(view) || !view->asked_width)
		return;
	SDL_GetWindowSize(view->window, &width, &height);
	if (width == view->width_now && height == view->height_now)
		return;
	if (!view->asked_twice && is_wayland() &&
		(soon || (width == view->former_width && height == view->former_height))) {
		/* A compositor's first answer to a new window may have crossed our wish; on a busy
		 * machine it comes late, and has the former size. On X11 it is somebody's wish, and
		 * a test's hand is as quick as this. */
		view->asked_twice = true;
		SDL_SetWindowSize(view->window, view->asked_width, view->asked_height);
		SDL_GetWindowSize(view->window, &width, &height);
	} else if (!soon) {
		view->sized = true;
	}
	view->width_now = width;
	view->height_now = height;
}

/* Without a window manager nobody makes the window as large as the screen, whatever SDL says. */
static void set_unmanaged(struct sdl_view *view, bool fullscreen)
{
	SDL_Rect screen;

	if (fullscreen) {
		if (SDL_GetDisplayBounds(SDL_GetWindowDisplayIndex(view->window), &screen))
			return;
		SDL_GetWindowPosition(view->window, &view->before.x, &view->before.y);
		SDL_GetWindowSize(view->window, &view->before.w, &view->before.h);
		view->unmanaged = true;
	} else {
		screen = view->before;
		view->unmanaged = false;
	}
	SDL_SetWindowSize(view->window, screen.w, screen.h);
	SDL_SetWindowPosition(view->window, screen.x, screen.y);
	SDL_RaiseWindow(view->window);
}

bool view_is_fullscreen(const struct sdl_view *view)
{
	return is_fullscreen(view);
}

void view_set_fullscreen(struct sdl_view *view, bool fullscreen)
{
	if (fullscreen == is_fullscreen(view))
		return;
	view->asked_ms = SDL_GetTicks64();
	view->stale = true;
	if (view->unmanaged || (fullscreen && !x11_has_window_manager(view->window)))
		set_unmanaged(view, fullscreen);
	else if (SDL_SetWindowFullscreen(
			 view->window, fullscreen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0))
		log_debug("sdl", "full screen: %s", SDL_GetError());
	if (!fullscreen)
		view_follow_picture(view);
}

void view_zoom(struct sdl_view *view, const struct display_settings *settings, int direction)
{
	struct view_frame frame;

	if (!view_frame(view, &frame))
		return;
	if (direction) {
		int64_t percent = (int64_t)frame.place.width * 100 / view->width;

		view->scale_percent = geometry_zoom((unsigned)percent, direction);
		view->scale = DISPLAY_SCALE_FIXED;
	} else if (view->scale != DISPLAY_SCALE_FIXED || view->scale_percent != 100) {
		view->scale = DISPLAY_SCALE_FIXED;
		view->scale_percent = 100;
	} else {
		view->scale = settings->scale;
		view->scale_percent = settings->scale_percent;
	}
	view->zoomed = true;
	view->sized = false;
	view_follow_picture(view);
}

/* --- places --- */

/* A unit's place to the output pixel in its middle. */
static int to_output(int place, int output, int window)
{
	return (int)((2 * (int64_t)place + 1) * output / (2 * (int64_t)window));
}

bool view_locate(struct sdl_view *view, int window_x, int window_y, int *x, int *y)
{
	struct view_frame frame;

	if (!view_frame(view, &frame))
		return false;
	*x = geometry_to_picture(to_output(window_x, frame.output_width, frame.window_width),
		frame.place.x, frame.place.width, (int)view->width);
	*y = geometry_to_picture(to_output(window_y, frame.output_height, frame.window_height),
		frame.place.y, frame.place.height, (int)view->height);
	return true;
}

bool view_ratio(struct sdl_view *view, struct view_ratio *ratio)
{
	struct view_frame frame;

	if (!view_frame(view, &frame))
		return false;
	ratio->x_numerator = (int64_t)frame.output_width * view->width;
	ratio->x_denominator = (int64_t)frame.window_width * frame.place.width;
	ratio->y_numerator = (int64_t)frame.output_height * view->height;
	ratio->y_denominator = (int64_t)frame.window_height * frame.place.height;
	return true;
}

static void set_pan(struct sdl_view *view, int x, int y)
{
	if (x == view->pan_x && y == view->pan_y)
		return;
	view->pan_x = x;
	view->pan_y = y;
	view->stale = true;
}

void view_pan_to(struct sdl_view *view, int window_x, int window_y)
{
	struct view_frame frame;

	if (!view_frame(view, &frame))
		return;
	set_pan(view,
		geometry_pan(view->pan_x,
			to_output(window_x, frame.output_width, frame.window_width),
			frame.place.width, frame.output_width),
		geometry_pan(view->pan_y,
			to_output(window_y, frame.output_height, frame.window_height),
			frame.place.height, frame.output_height));
}

void view_pan_by(struct sdl_view *view, int dx, int dy)
{
	struct view_frame frame;

	if (!view_frame(view, &frame))
		return;
	/* The middle is not in geometry_pan's margin: this only clips. */
	set_pan(view,
		geometry_pan(view->pan_x + dx, frame.output_width / 2, frame.place.width,
			frame.output_width),
		geometry_pan(view->pan_y + dy, frame.output_height / 2, frame.place.height,
			frame.output_height));
}
