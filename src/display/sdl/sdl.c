/* The SDL backend: a window that shows the guest and takes its keyboard and mouse. SDL 2.26 or
 * later.
 *
 * All of SDL runs in the backend's own thread, which sleeps in SDL_WaitEvent; other threads push
 * one event to wake it (SDL_PushEvent may come from any). Nothing is polled: only the video
 * subsystem is up, and text input, which would make SDL poll an input method, is off.
 *
 * Mouse: a guest with an absolute pointer is told places and nothing is grabbed. One that has only
 * a relative mouse gets it, and the keyboard with it, by a click into the window, until Ctrl-Alt-G
 * or until the window loses the focus. */
#include <SDL.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/module.h"
#include "display/backend.h"
#include "display/sdl/scancodes.h"
#include "display/sdl/view.h"
#include "display/sdl/x11_guard.h"

MODULE_DEFINE();

#define DETENT    120.0f /* wheel units, core/input_sink.h */
#define MAX_BATCH 64     /* events handled before the picture gets its turn */

struct sdl_window {
	/* immutable after init */
	struct display_backend *backend;
	const struct display_host *host;
	struct surface_reader *reader;
	struct input_source *source; /* NULL: no input devices */
	Uint32 wake_event;

	/* the backend's thread */
	struct sdl_view view;
	bool grabbed;
	bool moved;                             /* motion not yet synced */
	float wheel_vertical, wheel_horizontal; /* less than a unit, left over */
	char title[160];

	/* any thread */
	atomic_bool lost;  /* the X server is gone: hands off SDL */
	atomic_bool woken; /* the wake event is on its way */
	atomic_uint capabilities;
};

static void wake(struct sdl_window *sdl)
{
	SDL_Event event = { .type = sdl->wake_event };
	jmp_buf way_out, *outer;

	if (atomic_load(&sdl->lost) || atomic_exchange(&sdl->woken, true))
		return;
	outer = x11_guard_enter(&way_out);
	/* A full queue has the thread awake, and it looks at `woken` whatever woke it. */
	if (setjmp(way_out) == 0)
		(void)SDL_PushEvent(&event);
	x11_guard_enter(outer);
}

static void on_surface_news(void *opaque)
{
	wake(opaque);
}

static void on_capabilities(void *opaque, unsigned active)
{
	struct sdl_window *sdl = opaque;

	atomic_store(&sdl->capabilities, active);
	wake(sdl);
}

static const char *state_name(enum vm_state state)
{
	switch (state) {
	case VM_RUNNING:
		return "running";
	case VM_PAUSED:
		return "paused";
	case VM_POWERING_DOWN:
		return "powering down";
	case VM_ENDED:
		break;
	}
	return "ended";
}

static void refresh_title(struct sdl_window *sdl)
{
	const struct vm_control *control = sdl->host->control;
	char size[32] = "no picture", title[sizeof(sdl->title)];

	if (sdl->view.width)
		snprintf(size, sizeof(size), "%ux%u", sdl->view.width, sdl->view.height);
	snprintf(title, sizeof(title), "%.64s - %s - %s - Ctrl-Alt-G releases the mouse",
		sdl->host->guest_name, state_name(control->state(control->opaque)), size);
	if (!strcmp(title, sdl->title))
		return;
	strcpy(sdl->title, title);
	SDL_SetWindowTitle(sdl->view.window, title);
}

/* --- mouse --- */

static bool is_absolute(struct sdl_window *sdl)
{
	return atomic_load(&sdl->capabilities) & INPUT_POINTER_ABSOLUTE;
}

/* Whether the guest follows the mouse at the moment. */
static bool is_following(struct sdl_window *sdl)
{
	return sdl->source && (sdl->grabbed || is_absolute(sdl));
}

static void set_grab(struct sdl_window *sdl, bool grab)
{
	if (grab == sdl->grabbed)
		return;
	sdl->grabbed = grab;
	SDL_SetWindowKeyboardGrab(sdl->view.window, grab ? SDL_TRUE : SDL_FALSE);
	SDL_SetWindowMouseGrab(sdl->view.window, grab ? SDL_TRUE : SDL_FALSE);
	if (SDL_SetRelativeMouseMode(grab ? SDL_TRUE : SDL_FALSE))
		log_debug("sdl", "relative mouse: %s", SDL_GetError());
}

/* The guest with an absolute pointer draws it where the host's would be. */
static void refresh_pointer(struct sdl_window *sdl)
{
	if (is_absolute(sdl))
		set_grab(sdl, false);
	SDL_ShowCursor(is_absolute(sdl) ? SDL_DISABLE : SDL_ENABLE);
}

static void sync_motion(struct sdl_window *sdl)
{
	if (sdl->moved)
		input_source_sync(sdl->source);
	sdl->moved = false;
}

static void place_pointer(struct sdl_window *sdl, int window_x, int window_y)
{
	int x, y;

	if (!view_locate(&sdl->view, window_x, window_y, &x, &y))
		return;
	input_source_absolute(
		sdl->source, (unsigned)x, (unsigned)y, sdl->view.width, sdl->view.height);
	sdl->moved = true;
}

static void handle_motion(struct sdl_window *sdl, const SDL_MouseMotionEvent *event)
{
	if (!is_following(sdl))
		return;
	if (is_absolute(sdl)) {
		place_pointer(sdl, event->x, event->y);
	} else {
		input_source_relative(sdl->source, event->xrel, event->yrel);
		sdl->moved = true;
	}
}

static void handle_button(struct sdl_window *sdl, const SDL_MouseButtonEvent *event)
{
	static const uint16_t codes[] = { [SDL_BUTTON_LEFT] = BTN_LEFT,
		[SDL_BUTTON_MIDDLE] = BTN_MIDDLE,
		[SDL_BUTTON_RIGHT] = BTN_RIGHT,
		[SDL_BUTTON_X1] = BTN_SIDE,
		[SDL_BUTTON_X2] = BTN_EXTRA };
	bool down = event->state == SDL_PRESSED;

	if (!is_following(sdl)) {
		/* The click that grabs is not the guest's. */
		if (sdl->source && down &&
			(atomic_load(&sdl->capabilities) & INPUT_POINTER_RELATIVE))
			set_grab(sdl, true);
		return;
	}
	if (event->button >= array_size(codes) || !codes[event->button])
		return;
	if (is_absolute(sdl))
		place_pointer(sdl, event->x, event->y);
	if (input_source_button(sdl->source, codes[event->button], down))
		log_guest("sdl", "the guest does not take the mouse, a click is lost");
	input_source_sync(sdl->source);
	sdl->moved = false;
}

/* Whole units of what has come together; the rest stays. */
static int take_whole(float *amount)
{
	int whole = (int)*amount;

	*amount -= (float)whole;
	return whole;
}

static void handle_wheel(struct sdl_window *sdl, const SDL_MouseWheelEvent *event)
{
	float turn = event->direction == SDL_MOUSEWHEEL_FLIPPED ? -DETENT : DETENT;
	int vertical, horizontal;

	if (!is_following(sdl))
		return;
	sdl->wheel_vertical += event->preciseY * turn;
	sdl->wheel_horizontal += event->preciseX * turn;
	vertical = take_whole(&sdl->wheel_vertical);
	horizontal = take_whole(&sdl->wheel_horizontal);
	if (!vertical && !horizontal)
		return;
	input_source_wheel(sdl->source, vertical, horizontal);
	input_source_sync(sdl->source);
	sdl->moved = false;
}

/* --- keyboard --- */

/* What is printed on the key; on a keyboard without Latin letters (Greek, Russian) what stands at
 * its place on others: nobody may be caught in a grab. */
static SDL_Keycode latin_letter(const SDL_Keysym *key)
{
	bool foreign = key->sym > 0x7f && !(key->sym & SDLK_SCANCODE_MASK);

	if (foreign && key->scancode >= SDL_SCANCODE_A && key->scancode <= SDL_SCANCODE_Z)
		return SDLK_a + (SDL_Keycode)(key->scancode - SDL_SCANCODE_A);
	return key->sym;
}

/* Ctrl-Alt with one of our letters. */
static bool handle_hotkey(struct sdl_window *sdl, const SDL_Keysym *key)
{
	const struct vm_control *control = sdl->host->control;

	if (!(key->mod & KMOD_CTRL) || !(key->mod & KMOD_ALT) || (key->mod & KMOD_SHIFT))
		return false;
	switch (latin_letter(key)) {
	case SDLK_g:
		set_grab(sdl, !sdl->grabbed && sdl->source && !is_absolute(sdl) &&
				      (atomic_load(&sdl->capabilities) & INPUT_POINTER_RELATIVE));
		break;
	case SDLK_f:
		view_toggle_fullscreen(&sdl->view);
		break;
	case SDLK_s:
		control->save_screenshot(control->opaque);
		break;
	case SDLK_p:
		control->toggle_pause(control->opaque);
		break;
	default:
		return false;
	}
	/* Ctrl and Alt have reached the guest; the letter has not, nor will any release. */
	if (sdl->source)
		input_source_release_all(sdl->source);
	return true;
}

static void handle_key(struct sdl_window *sdl, const SDL_KeyboardEvent *event)
{
	unsigned code = sdl_scancode_to_evdev((unsigned)event->keysym.scancode);
	bool down = event->state == SDL_PRESSED;

	if (event->repeat || (down && handle_hotkey(sdl, &event->keysym)) || !sdl->source)
		return;
	if (!code) {
		log_guest("sdl", "scan code %d is no key of ours", (int)event->keysym.scancode);
		return;
	}
	sync_motion(sdl);
	if (input_source_key(sdl->source, code, down))
		log_guest("sdl", "the guest does not take keys, %u is lost", code);
}

/* --- window --- */

static void lose_focus(struct sdl_window *sdl)
{
	set_grab(sdl, false);
	if (sdl->source)
		input_source_release_all(sdl->source);
}

static void handle_window(struct sdl_window *sdl, const SDL_WindowEvent *event)
{
	const struct vm_control *control = sdl->host->control;

	switch (event->event) {
	case SDL_WINDOWEVENT_SHOWN:
	case SDL_WINDOWEVENT_EXPOSED:
	case SDL_WINDOWEVENT_SIZE_CHANGED:
	case SDL_WINDOWEVENT_RESTORED:
	case SDL_WINDOWEVENT_MAXIMIZED:
		sdl->view.stale = true;
		break;
	case SDL_WINDOWEVENT_FOCUS_LOST:
	case SDL_WINDOWEVENT_HIDDEN:
	case SDL_WINDOWEVENT_MINIMIZED:
		lose_focus(sdl);
		break;
	case SDL_WINDOWEVENT_CLOSE:
		control->request_powerdown(control->opaque);
		break;
	default:
		break;
	}
}

static void handle(struct sdl_window *sdl, const SDL_Event *event)
{
	switch (event->type) {
	case SDL_KEYDOWN:
	case SDL_KEYUP:
		handle_key(sdl, &event->key);
		break;
	case SDL_MOUSEMOTION:
		handle_motion(sdl, &event->motion);
		break;
	case SDL_MOUSEBUTTONDOWN:
	case SDL_MOUSEBUTTONUP:
		handle_button(sdl, &event->button);
		break;
	case SDL_MOUSEWHEEL:
		handle_wheel(sdl, &event->wheel);
		break;
	case SDL_WINDOWEVENT:
		handle_window(sdl, &event->window);
		break;
	case SDL_RENDER_TARGETS_RESET:
		view_restore(&sdl->view, false);
		break;
	case SDL_RENDER_DEVICE_RESET:
		view_restore(&sdl->view, true);
		break;
	default:
		break;
	}
}

static void loop(struct sdl_window *sdl)
{
	SDL_Event event;

	atomic_store(&sdl->woken, true); /* the first picture */
	while (!backend_should_stop(sdl->backend)) {
		if (atomic_exchange(&sdl->woken, false)) {
			view_update(&sdl->view, sdl->reader);
			refresh_title(sdl);
			refresh_pointer(sdl);
		}
		view_present(&sdl->view);
		if (!SDL_WaitEvent(&event)) {
			log_warn("sdl", "the window is gone: %s", SDL_GetError());
			return;
		}
		for (int i = 0; i < MAX_BATCH; i++) {
			handle(sdl, &event);
			if (i == MAX_BATCH - 1 || !SDL_PollEvent(&event))
				break;
		}
		sync_motion(sdl);
		if (atomic_load(&sdl->lost))
			return;
	}
}

static void sdl_run(struct display_backend *backend)
{
	struct sdl_window *sdl = display_backend_private(backend);
	jmp_buf way_out;

	x11_guard_enter(&way_out);
	if (setjmp(way_out) == 0) {
		x11_guard_install(sdl->view.window, &sdl->lost);
		loop(sdl);
	}
	x11_guard_enter(NULL);
	if (atomic_load(&sdl->lost))
		log_warn("sdl", "the X server is gone, and the window with it");
}

/* With the connection lost any call of SDL's could block or end the process; what it holds goes
 * with the process. The last calls can find it lost, too. */
static void close_window(struct sdl_window *sdl)
{
	jmp_buf way_out;

	if (atomic_load(&sdl->lost))
		return;
	x11_guard_enter(&way_out);
	if (setjmp(way_out) == 0) {
		set_grab(sdl, false);
		view_destroy(&sdl->view);
		SDL_Quit();
		SDL_TLSCleanup(); /* of this thread, which SDL has not made */
	}
	x11_guard_enter(NULL);
	x11_guard_remove();
}

static void sdl_fini(struct display_backend *backend)
{
	struct sdl_window *sdl = display_backend_private(backend);

	/* These wake us; they go before what they wake. */
	input_source_destroy(sdl->source);
	surface_reader_destroy(sdl->reader);
	close_window(sdl);
}

static void log_sdl(void *opaque, int category, SDL_LogPriority priority, const char *message)
{
	(void)opaque;
	(void)category;
	(void)priority;
	log_guest("sdl", "%s", message);
}

/* SDL falls back to drivers that show nothing; that is not what a window was asked for. */
static bool shows_something(void)
{
	const char *driver = SDL_GetCurrentVideoDriver();

	return getenv("SDL_VIDEODRIVER") ||
	       (driver && strcmp(driver, "offscreen") != 0 && strcmp(driver, "dummy") != 0 &&
		       strcmp(driver, "evdev") != 0);
}

/* Whether it makes sense to ask SDL at all: libraries below it complain on stderr by themselves. */
static bool may_have_desktop(void)
{
	static const char *const signs[] = { "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR",
		"SDL_VIDEODRIVER" };

	for (size_t i = 0; i < array_size(signs); i++) {
		const char *value = getenv(signs[i]);

		if (value && *value)
			return true;
	}
	return false;
}

static int no_desktop(struct error *err)
{
	return error_set(err, ENODEV,
		"sdl: cannot open a window: there is no desktop session (run vmgui in one, or use "
		"--vnc or --headless)");
}

static int sdl_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct sdl_window *sdl = display_backend_private(backend);
	const struct input_source_listener listener = { .capabilities_changed = on_capabilities,
		.opaque = sdl };
	int result;

	if (argument && *argument)
		return error_set(err, EINVAL, "sdl: takes no argument, but got '%s'", argument);
	sdl->backend = backend;
	sdl->host = display_backend_host(backend);
	if (!may_have_desktop())
		return no_desktop(err);
	SDL_SetMainReady();
	SDL_LogSetOutputFunction(log_sdl, NULL);
	SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
	SDL_SetHint(SDL_HINT_APP_NAME, "vmgui");
	/* Closing is one event, not two: a second one within 10 s ends the guest. */
	SDL_SetHint(SDL_HINT_QUIT_ON_LAST_WINDOW_CLOSE, "0");
	SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
	SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
	SDL_SetHint(SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1");
	x11_guard_prepare();
	if (SDL_InitSubSystem(SDL_INIT_VIDEO) < 0) {
		result = error_set(err, ENODEV,
			"sdl: cannot open a window: %s (run vmgui in a desktop session, or use "
			"--vnc or --headless)",
			SDL_GetError());
		goto quit;
	}
	if (!shows_something()) {
		result = no_desktop(err);
		goto quit;
	}
	SDL_StopTextInput();
	SDL_EventState(SDL_TEXTINPUT, SDL_DISABLE);
	SDL_EventState(SDL_TEXTEDITING, SDL_DISABLE);
	sdl->wake_event = SDL_RegisterEvents(1);
	result = view_create(&sdl->view, sdl->host->guest_name, err);
	if (result)
		goto quit;
	SDL_SetWindowMinimumSize(sdl->view.window, 64, 48);
	sdl->reader = surface_reader_create(sdl->host->surface, on_surface_news, sdl);
	if (!sdl->reader) {
		result = error_set(err, ENOMEM, "sdl: out of memory");
		goto destroy_view;
	}
	if (sdl->host->router) {
		/* The source's listener tells, too, but only after the first click, maybe. */
		atomic_store(&sdl->capabilities, input_router_active(sdl->host->router));
		sdl->source = input_source_create(sdl->host->router, "window", &listener);
		if (!sdl->source) {
			result = error_set(err, ENOMEM, "sdl: out of memory");
			goto destroy_reader;
		}
	}
	return 0;

destroy_reader:
	surface_reader_destroy(sdl->reader);
destroy_view:
	view_destroy(&sdl->view);
quit:
	SDL_Quit();
	SDL_TLSCleanup();
	x11_guard_remove();
	return result;
}

static void sdl_wakeup(struct display_backend *backend)
{
	wake(display_backend_private(backend));
}

extern const struct display_backend_ops vmgui_backend_ops;
const struct display_backend_ops vmgui_backend_ops = {
	.abi = DISPLAY_BACKEND_ABI,
	.name = "sdl",
	.description = "a window (SDL2)",
	.is_window = true,
	.private_size = sizeof(struct sdl_window),
	.init = sdl_init,
	.run = sdl_run,
	.fini = sdl_fini,
	.wakeup = sdl_wakeup,
};
