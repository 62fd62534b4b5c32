/* The mouse: where it is to a guest with an absolute pointer, how it moves to another.
 *
 * Absolute: the picture's pixel that is seen under the host's pointer. Relative: motion in pixels
 * of the picture, fractions kept, so that at any scale the guest's pointer goes as far over the
 * picture as the host's would have (if the guest does not accelerate it). */
#include <linux/input-event-codes.h>
#include <string.h>

#include "core/log.h"
#include "display/sdl/window.h"

#define DETENT 120.0f /* wheel units, core/input_sink.h */

static bool is_absolute(const struct sdl_window *sdl)
{
	return window_has(sdl, INPUT_POINTER_ABSOLUTE);
}

/* Whether the guest follows the mouse at the moment. */
static bool is_following(const struct sdl_window *sdl)
{
	return window_guest_runs(sdl) &&
	       (is_absolute(sdl) || sdl->grab_mouse ||
		       (window_has(sdl, INPUT_POINTER_RELATIVE) && !sdl->settings->release.keysym));
}

/* The guest with an absolute pointer draws it where the host's would be. */
void pointer_refresh(struct sdl_window *sdl)
{
	int wanted = is_absolute(sdl) && window_guest_runs(sdl) ? SDL_DISABLE : SDL_ENABLE;

	if (SDL_ShowCursor(SDL_QUERY) != wanted)
		SDL_ShowCursor(wanted);
}

static void place_pointer(struct sdl_window *sdl, int window_x, int window_y)
{
	int x, y;

	if (view_locate(&sdl->view, window_x, window_y, &x, &y))
		input_outbox_absolute(
			&sdl->outbox, (unsigned)x, (unsigned)y, sdl->view.width, sdl->view.height);
}

static void move_pointer(struct sdl_window *sdl, int dx, int dy)
{
	struct view_ratio ratio;

	if (!view_ratio(&sdl->view, &ratio))
		return;
	if (memcmp(&ratio, &sdl->ratio, sizeof(ratio)) != 0) {
		sdl->ratio = ratio;
		sdl->motion_rest_x = sdl->motion_rest_y = 0;
	}
	dx = geometry_scale_motion(dx, ratio.x_numerator, ratio.x_denominator, &sdl->motion_rest_x);
	dy = geometry_scale_motion(dy, ratio.y_numerator, ratio.y_denominator, &sdl->motion_rest_y);
	if (dx || dy)
		input_outbox_relative(&sdl->outbox, dx, dy);
}

void pointer_motion(struct sdl_window *sdl, const SDL_MouseMotionEvent *event)
{
	if (sdl->grab_mouse)
		view_pan_by(&sdl->view, event->xrel, event->yrel);
	else
		view_pan_to(&sdl->view, event->x, event->y);
	if (!is_following(sdl))
		return;
	if (is_absolute(sdl))
		place_pointer(sdl, event->x, event->y);
	else
		move_pointer(sdl, event->xrel, event->yrel);
}

void pointer_button(struct sdl_window *sdl, const SDL_MouseButtonEvent *event)
{
	static const uint16_t codes[] = { [SDL_BUTTON_LEFT] = BTN_LEFT,
		[SDL_BUTTON_MIDDLE] = BTN_MIDDLE,
		[SDL_BUTTON_RIGHT] = BTN_RIGHT,
		[SDL_BUTTON_X1] = BTN_SIDE,
		[SDL_BUTTON_X2] = BTN_EXTRA };
	bool down = event->state == SDL_PRESSED;

	sdl->release.armed = false; /* a modifier that a click came in between is not a chord */
	if (down && !is_following(sdl)) {
		grab_by_click(sdl); /* a click that is not the guest's, nor is its end */
		return;
	}
	if (event->button >= array_size(codes) || !codes[event->button])
		return;
	if (is_following(sdl) && is_absolute(sdl))
		place_pointer(sdl, event->x, event->y);
	if (!input_outbox_button(&sdl->outbox, codes[event->button], down))
		log_guest("sdl", "the guest takes no clicks, one is left out");
}

/* Whole units of what has come together; the rest stays. */
static int take_whole(float *amount)
{
	int whole = (int)*amount;

	*amount -= (float)whole;
	return whole;
}

void pointer_wheel(struct sdl_window *sdl, const SDL_MouseWheelEvent *event)
{
	float turn = event->direction == SDL_MOUSEWHEEL_FLIPPED ? -DETENT : DETENT;
	int vertical, horizontal;

	if (!is_following(sdl))
		return;
	sdl->wheel_vertical += event->preciseY * turn;
	sdl->wheel_horizontal += event->preciseX * turn;
	vertical = take_whole(&sdl->wheel_vertical);
	horizontal = take_whole(&sdl->wheel_horizontal);
	if (vertical || horizontal)
		input_outbox_wheel(&sdl->outbox, vertical, horizontal);
}
