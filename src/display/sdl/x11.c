/* Beside SDL: X11's key codes, grabs, window manager and lights; see x11.h. */
#include "display/sdl/x11.h"

#include <SDL_syswm.h>

#ifdef SDL_VIDEO_DRIVER_X11
#include <X11/XKBlib.h>
#include <X11/keysym.h>
#include <dlfcn.h>

#include "core/input_sink.h"

#define EVDEV_OFFSET 8

/* False: not one of X11, or there is no such function. */
static bool find(SDL_Window *window, SDL_SysWMinfo *info, const char *name, void *function)
{
	void *loaded;

	SDL_VERSION(&info->version);
	if (!SDL_GetWindowWMInfo(window, info) || info->subsystem != SDL_SYSWM_X11)
		return false;
	loaded = dlopen("libX11.so.6", RTLD_NOW | RTLD_NOLOAD);
	if (!loaded)
		return false;
	*(void **)function = dlsym(loaded, name);
	dlclose(loaded); /* SDL holds it */
	return *(void **)function != NULL;
}

bool x11_keycodes_are_evdev(SDL_Window *window)
{
	/* Keys that every layout has in one place, and that older tables of codes had elsewhere. */
	static const struct {
		KeySym symbol;
		unsigned code;
	} keys[] = { { XK_Home, 110 }, { XK_Up, 111 }, { XK_Prior, 112 }, { XK_Left, 113 },
		{ XK_Delete, 119 }, { XK_KP_Enter, 104 } };
	KeyCode (*keysym_to_keycode)(Display * display, KeySym symbol);
	SDL_SysWMinfo info;

	if (!find(window, &info, "XKeysymToKeycode", &keysym_to_keycode))
		return false;
	for (size_t i = 0; i < array_size(keys); i++) {
		if (keysym_to_keycode(info.info.x11.display, keys[i].symbol) != keys[i].code)
			return false;
	}
	return true;
}

unsigned x11_hardware_key(const SDL_SysWMEvent *event, bool *down)
{
	const SDL_SysWMmsg *message = event->msg;
	const XEvent *x;

	if (!message || message->subsystem != SDL_SYSWM_X11)
		return 0;
	x = &message->msg.x11.event;
	if ((x->type != KeyPress && x->type != KeyRelease) || x->xkey.keycode <= EVDEV_OFFSET)
		return 0;
	*down = x->type == KeyPress;
	return x->xkey.keycode - EVDEV_OFFSET;
}

static Window window_property(
	const SDL_SysWMinfo *info, Window window, Atom property, SDL_Window *sdl_window)
{
	int (*get_property)(Display * display, Window w, Atom name, long offset, long length,
		Bool delete, Atom wanted, Atom *type, int *format, unsigned long *items,
		unsigned long *left, unsigned char **data);
	int (*free_data)(void *data);
	SDL_SysWMinfo unused;
	unsigned long items = 0, left;
	unsigned char *data = NULL;
	Window value = None;
	Atom type;
	int format;

	if (!find(sdl_window, &unused, "XGetWindowProperty", &get_property) ||
		!find(sdl_window, &unused, "XFree", &free_data))
		return None;
	if (get_property(info->info.x11.display, window, property, 0, 1, False, AnyPropertyType,
		    &type, &format, &items, &left, &data) == Success &&
		items == 1 && format == 32)
		value = *(Window *)(void *)data;
	if (data)
		free_data(data);
	return value;
}

bool x11_has_window_manager(SDL_Window *window)
{
	Atom (*intern_atom)(Display * display, const char *name, Bool only_if_exists);
	Window manager;
	SDL_SysWMinfo info;
	Atom atom;

	if (!find(window, &info, "XInternAtom", &intern_atom))
		return true;
	/* EWMH 1.5, _NET_SUPPORTING_WM_CHECK: on the root and on the window it names; only the
	 * latter goes away with the window manager. */
	atom = intern_atom(info.info.x11.display, "_NET_SUPPORTING_WM_CHECK", True);
	if (atom == None)
		return false;
	manager = window_property(&info, DefaultRootWindow(info.info.x11.display), atom, window);
	return manager != None && window_property(&info, manager, atom, window) == manager;
}

bool x11_may_grab(SDL_Window *window)
{
	int (*grab_keyboard)(Display * display, Window w, Bool owner_events, int pointer_mode,
		int keyboard_mode, Time time);
	int (*grab_pointer)(Display * display, Window w, Bool owner_events, unsigned mask,
		int pointer_mode, int keyboard_mode, Window confine_to, Cursor cursor, Time time);
	int (*ungrab_keyboard)(Display * display, Time time),
		(*ungrab_pointer)(Display * display, Time time);
	SDL_SysWMinfo info;
	Display *display;
	bool may = false;

	if (!find(window, &info, "XGrabKeyboard", &grab_keyboard) ||
		!find(window, &info, "XGrabPointer", &grab_pointer) ||
		!find(window, &info, "XUngrabKeyboard", &ungrab_keyboard) ||
		!find(window, &info, "XUngrabPointer", &ungrab_pointer))
		return true;
	display = info.info.x11.display;
	if (grab_keyboard(display, info.info.x11.window, True, GrabModeAsync, GrabModeAsync,
		    CurrentTime) == GrabSuccess) {
		may = grab_pointer(display, info.info.x11.window, True, 0, GrabModeAsync,
			      GrabModeAsync, None, None, CurrentTime) == GrabSuccess;
		if (may)
			ungrab_pointer(display, CurrentTime);
		ungrab_keyboard(display, CurrentTime);
	}
	return may;
}

bool x11_lock_lights(SDL_Window *window, unsigned *leds)
{
	/* The order that X's rules give the lights (xkeyboard-config, compat/basic and ledscroll).
	 */
	static const unsigned lights[] = { INPUT_LED_CAPS, INPUT_LED_NUM, INPUT_LED_SCROLL };
	Status (*get_state)(Display * display, unsigned device, unsigned *state);
	unsigned state = 0;
	SDL_SysWMinfo info;

	if (!find(window, &info, "XkbGetIndicatorState", &get_state) ||
		get_state(info.info.x11.display, XkbUseCoreKbd, &state) != Success)
		return false;
	*leds = 0;
	for (unsigned i = 0; i < array_size(lights); i++) {
		if (state & 1u << i)
			*leds |= lights[i];
	}
	return true;
}
#else
bool x11_keycodes_are_evdev(SDL_Window *window)
{
	(void)window;
	return false;
}

unsigned x11_hardware_key(const SDL_SysWMEvent *event, bool *down)
{
	(void)event;
	(void)down;
	return 0;
}

bool x11_has_window_manager(SDL_Window *window)
{
	(void)window;
	return true;
}

bool x11_may_grab(SDL_Window *window)
{
	(void)window;
	return true;
}

bool x11_lock_lights(SDL_Window *window, unsigned *leds)
{
	(void)window;
	(void)leds;
	return false;
}
#endif
