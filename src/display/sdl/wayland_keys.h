/* The codes of keys on Wayland, as the compositor sends them: evdev's. SDL has them in its hands,
 * but tells only what it has a scancode for. So a keyboard object of our own listens beside SDL's,
 * on SDL's connection; SDL's thread calls it right after its own.
 *
 * Threads: the SDL backend's only. */
#ifndef VMGUI_DISPLAY_SDL_WAYLAND_KEYS_H
#define VMGUI_DISPLAY_SDL_WAYLAND_KEYS_H

#include <SDL.h>

#include "core/util.h"

struct wayland_keys;

/* NULL: not a window of Wayland's, or it cannot be done; SDL's scancodes remain. Each press or
 * release pushes an SDL event of that type, after SDL's own of that key if there is one; in its
 * user.code the evdev code, in user.data1 whether it is down (not NULL). */
struct wayland_keys *wayland_keys_open(SDL_Window *window, Uint32 event_type);
/* The locks that are on in the session, a mask of enum input_led: of Caps and Num Lock, the only
 * ones that Wayland tells of. As of the last that the window heard, which is no older than its
 * focus. */
unsigned wayland_keys_locks(const struct wayland_keys *keys);
/* Before SDL's video ends. NULL is fine. */
void wayland_keys_close(struct wayland_keys *keys);

#endif
