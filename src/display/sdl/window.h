/* The SDL window's parts know each other through this: sdl.c (life, loop), grab.c, pointer.c,
 * keyboard.c. Threads: the SDL backend's only, but for the members that say otherwise. */
#ifndef VMGUI_DISPLAY_SDL_WINDOW_H
#define VMGUI_DISPLAY_SDL_WINDOW_H

#include <SDL.h>
#include <stdatomic.h>

#include "display/backend.h"
#include "display/sdl/view.h"
#include "input/outbox.h"

enum grab_reason {
	GRAB_NONE,
	GRAB_CLICK,
	GRAB_CHORD,
	GRAB_FULLSCREEN,
};

/* Which comes first; Wayland's compositors differ. */
enum key_order {
	KEY_ORDER_UNKNOWN,
	KEY_ORDER_CODE_FIRST,
	KEY_ORDER_SDL_FIRST,
};

struct sdl_window {
	/* immutable after init */
	struct display_backend *backend;
	const struct display_host *host;
	const struct display_settings *settings;
	struct surface_reader *reader;
	Uint32 wake_event, key_event;      /* types of our own */
	bool hardware_keys;                /* X11 tells the keys' own codes */
	struct wayland_keys *wayland_keys; /* Wayland does; or NULL */

	struct sdl_view view;
	struct input_outbox outbox;
	enum vm_state state;
	bool help;   /* is shown */
	bool closed; /* the user has no guest left to close it for, or the session is gone */
	char title[256];

	enum grab_reason grab;
	bool grab_mouse;    /* with the keyboard */
	bool grab_declined; /* on the full screen: given back, or refused by the host */

	float wheel_vertical, wheel_horizontal; /* less than a unit, left over */
	struct view_ratio ratio;                /* of the motion that left these over */
	int64_t motion_rest_x, motion_rest_y;

	struct chord_follower release;
	/* One of a pair waits for the other: a key's own code, SDL's event of it. */
	enum key_order key_order;
	unsigned raw_code; /* 0: none waits */
	bool raw_down;
	bool key_waits;
	SDL_KeyboardEvent waiting_key;
	bool paired[KEY_CNT];                /* SDL knows this key, too */
	uint16_t pressed[SDL_NUM_SCANCODES]; /* evdev code of what SDL said is down */

	/* any thread */
	atomic_bool lost;  /* the X server is gone: hands off SDL */
	atomic_bool woken; /* the wake event is on its way */
	atomic_uint capabilities, leds;
};

static inline bool window_guest_runs(const struct sdl_window *sdl)
{
	return sdl->state == VM_RUNNING || sdl->state == VM_POWERING_DOWN;
}

static inline bool window_has(const struct sdl_window *sdl, enum input_capability capability)
{
	return sdl->outbox.source && (atomic_load(&sdl->capabilities) & capability);
}

/* --- sdl.c --- */

void window_toggle_help(struct sdl_window *sdl);

/* --- grab.c --- */

void grab_release(struct sdl_window *sdl);
/* The release chord, and a click of somebody whom the guest does not follow yet. */
void grab_toggle(struct sdl_window *sdl);
void grab_by_click(struct sdl_window *sdl);
/* Something has changed: the machine's state, what the guest has switched on, the full screen. */
void grab_refresh(struct sdl_window *sdl);
void grab_focus_gained(struct sdl_window *sdl);

/* --- pointer.c --- */

void pointer_motion(struct sdl_window *sdl, const SDL_MouseMotionEvent *event);
void pointer_button(struct sdl_window *sdl, const SDL_MouseButtonEvent *event);
void pointer_wheel(struct sdl_window *sdl, const SDL_MouseWheelEvent *event);
/* Shows the host's pointer or hides it. */
void pointer_refresh(struct sdl_window *sdl);

/* --- keyboard.c --- */

void keyboard_key(struct sdl_window *sdl, const SDL_KeyboardEvent *event);
void keyboard_x11(struct sdl_window *sdl, const SDL_SysWMEvent *event);
void keyboard_wayland(struct sdl_window *sdl, const SDL_UserEvent *event);
/* Something else comes, or nothing: what the code or SDL's event is still missing of has none. */
void keyboard_settle(struct sdl_window *sdl);
/* "Ctrl-Alt-": what goes with F1 to get help. */
const char *keyboard_help_modifiers(const struct sdl_window *sdl, char text[24]);
/* Caps, Num and Scroll Lock as the user has them. */
void keyboard_sync_locks(struct sdl_window *sdl);

#endif
