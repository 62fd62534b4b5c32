/* When keyboard and mouse belong to the guest alone.
 *
 * A grab takes the keyboard: with it the guest gets also what the desktop would have kept (Super,
 * Alt-Tab, Print). Where the guest has only a relative mouse it takes the mouse, too: SDL's
 * relative mode, the host's pointer hidden and held. A guest with an absolute pointer never has
 * the mouse grabbed.
 *
 *   begins with                           where
 *   a click into the window               the guest has only a relative mouse
 *   the release chord                     any window
 *   the focus on the full screen          there the guest is all that the user sees
 *
 *   ends with the release chord; with the focus, the window's being seen, or the full screen that
 *   began it; when the guest is paused or has ended; a click's also when the guest switches its
 *   mouse off or an absolute pointer on. Where the host gives the grab to nobody (another program
 *   has it) nothing begins. Without a release chord ("none") nothing is ever grabbed, and a
 *   relative mouse follows the pointer over the window.
 *
 * On X11 SDL asks the server (XGrabKeyboard), on Wayland the compositor (the protocols
 * keyboard-shortcuts-inhibit, pointer-constraints, relative-pointer). */
#include "core/log.h"
#include "display/sdl/window.h"
#include "display/sdl/x11.h"

static void apply(struct sdl_window *sdl)
{
	bool mouse = sdl->grab != GRAB_NONE && window_has(sdl, INPUT_POINTER_RELATIVE) &&
		     !window_has(sdl, INPUT_POINTER_ABSOLUTE);

	SDL_SetWindowKeyboardGrab(sdl->view.window, sdl->grab != GRAB_NONE ? SDL_TRUE : SDL_FALSE);
	if (mouse == sdl->grab_mouse)
		return;
	sdl->grab_mouse = mouse;
	sdl->motion_rest_x = sdl->motion_rest_y = 0;
	SDL_SetWindowMouseGrab(sdl->view.window, mouse ? SDL_TRUE : SDL_FALSE);
	if (SDL_SetRelativeMouseMode(mouse ? SDL_TRUE : SDL_FALSE))
		log_debug("sdl", "relative mouse: %s", SDL_GetError());
}

void grab_release(struct sdl_window *sdl)
{
	if (sdl->grab == GRAB_NONE)
		return;
	sdl->grab = GRAB_NONE;
	apply(sdl);
}

static void begin(struct sdl_window *sdl, enum grab_reason reason)
{
	if (sdl->grab != GRAB_NONE || !sdl->outbox.source || !sdl->settings->release.keysym ||
		!window_guest_runs(sdl))
		return;
	if (!x11_may_grab(sdl->view.window)) {
		log_info("sdl", "another program has the keyboard or the mouse: nothing is "
				"grabbed (try again)");
		sdl->grab_declined = true;
		return;
	}
	sdl->grab = reason;
	apply(sdl);
}

void grab_toggle(struct sdl_window *sdl)
{
	if (sdl->grab != GRAB_NONE) {
		grab_release(sdl);
		sdl->grab_declined = true;
	} else {
		begin(sdl, GRAB_CHORD);
	}
}

void grab_by_click(struct sdl_window *sdl)
{
	if (window_has(sdl, INPUT_POINTER_RELATIVE) && !window_has(sdl, INPUT_POINTER_ABSOLUTE))
		begin(sdl, GRAB_CLICK);
}

void grab_refresh(struct sdl_window *sdl)
{
	bool fullscreen = view_is_fullscreen(&sdl->view);
	bool has_focus = SDL_GetWindowFlags(sdl->view.window) & SDL_WINDOW_INPUT_FOCUS;

	if (!fullscreen)
		sdl->grab_declined = false;
	if (!window_guest_runs(sdl) ||
		(sdl->grab == GRAB_CLICK && (window_has(sdl, INPUT_POINTER_ABSOLUTE) ||
						    !window_has(sdl, INPUT_POINTER_RELATIVE))) ||
		(sdl->grab == GRAB_FULLSCREEN && !fullscreen))
		grab_release(sdl);
	else if (sdl->grab != GRAB_NONE)
		apply(sdl);
	else if (fullscreen && has_focus && !sdl->grab_declined)
		begin(sdl, GRAB_FULLSCREEN);
}

void grab_focus_gained(struct sdl_window *sdl)
{
	sdl->grab_declined = false;
	grab_refresh(sdl);
}
