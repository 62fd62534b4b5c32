/* What SDL does not tell or do about a window of X11 (XWayland's too). Each call is harmless where
 * the window is not one. Xlib is not linked: SDL has loaded it then.
 *
 * Threads: the SDL backend's only, under x11_guard.h. */
#ifndef VMGUI_DISPLAY_SDL_X11_H
#define VMGUI_DISPLAY_SDL_X11_H

#include <SDL.h>

#include "core/util.h"

/* Whether the server's key codes are evdev's, eight added, as all of Linux has it. (Other systems'
 * servers may be on the far end of the connection.) */
bool x11_keycodes_are_evdev(SDL_Window *window);
/* The evdev code of the key whose press or release this event (SDL_SYSWMEVENT) is; 0: neither. */
unsigned x11_hardware_key(const SDL_SysWMEvent *event, bool *down);
/* True also where the window is not one of X11. */
bool x11_has_window_manager(SDL_Window *window);
/* Whether the server would give us keyboard and mouse now; another client may have them. SDL does
 * not tell, and tries for seconds to get the mouse. True also where the window is not one of X11.
 */
bool x11_may_grab(SDL_Window *window);
/* The lock lights of the keyboard, a mask of enum input_led; false: not a window of X11. */
bool x11_lock_lights(SDL_Window *window, unsigned *leds);

#endif
