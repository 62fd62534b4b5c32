/* The SDL backend: a window that shows the guest and takes its keyboard and mouse. SDL 2.26 or
 * later.
 *
 * All of SDL runs in the backend's own thread, which sleeps in SDL_WaitEvent; other threads push
 * one event to wake it (SDL_PushEvent may come from any). Nothing is polled: only the video
 * subsystem is up, and text input, which would make SDL poll an input method, is off.
 *
 * Here: the window's life. When keyboard and mouse are the guest's is in grab.c, keys are in
 * keyboard.c, the mouse is in pointer.c, the picture in view.c. */
#include <SDL.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/module.h"
#include "display/sdl/wayland_keys.h"
#include "display/sdl/window.h"
#include "display/sdl/x11.h"
#include "display/sdl/x11_guard.h"
#include "display/session_bus.h"
#include "display/window_title.h"

MODULE_DEFINE();

#define MAX_BATCH 64 /* events handled before the picture gets its turn */

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

static void on_leds(void *opaque, unsigned leds)
{
	struct sdl_window *sdl = opaque;

	atomic_store(&sdl->leds, leds);
	wake(sdl);
}

/* Any thread: a press that was refused may be sent again. */
static void on_room(void *opaque)
{
	wake(opaque);
}

/* --- what the window says --- */

static void refresh_title(struct sdl_window *sdl)
{
	const struct window_facts facts = { .state = sdl->state,
		.width = sdl->view.width,
		.height = sdl->view.height,
		.has_input = sdl->outbox.source != NULL,
		.capabilities = atomic_load(&sdl->capabilities),
		.grabbed = sdl->grab != GRAB_NONE,
		.leds = atomic_load(&sdl->leds) };
	char title[sizeof(sdl->title)];

	window_title(sdl->host, &facts, title, sizeof(title));
	if (!strcmp(title, sdl->title))
		return;
	strcpy(sdl->title, title);
	SDL_SetWindowTitle(sdl->view.window, title);
}

static void describe_keys(const struct sdl_window *sdl, char *text, size_t size)
{
	const struct key_chord *release = &sdl->settings->release;
	char modifiers[24];

	snprintf(text, size,
		"Keys of this window: %.26s\n"
		"\n"
		"%-10.16s %s\n"
		"Ctrl-Alt-F full screen\n"
		"Ctrl-Alt-+ larger\n"
		"Ctrl-Alt-- smaller\n"
		"Ctrl-Alt-0 pixel by pixel; again: as at first\n"
		"Ctrl-Alt-S screenshot, into the current folder\n"
		"Ctrl-Alt-P pause, or go on\n"
		"Ctrl-Alt-H this list, as has %sF1\n"
		"\n"
		"Closing asks the guest to power down, closing\n"
		"again within 10 seconds ends it.",
		sdl->host->guest_name, release->keysym ? release->text : "(no key)",
		release->keysym ? "releases mouse and keyboard, or\n"
				  "           grabs the keyboard"
				: "grabs or releases anything",
		keyboard_help_modifiers(sdl, modifiers));
}

static void refresh_panel(struct sdl_window *sdl)
{
	char text[sizeof(sdl->view.panel.text)];
	const char *reason = window_end_reason(sdl->host, sdl->state);
	bool ended = sdl->state == VM_ENDED && sdl->settings->keep_open;

	if (sdl->help)
		describe_keys(sdl, text, sizeof(text));
	else if (ended)
		snprintf(text, sizeof(text), "%.100s", reason ? reason : "ended");
	view_set_panel(&sdl->view, sdl->help || ended ? text : NULL, ended);
}

void window_toggle_help(struct sdl_window *sdl)
{
	sdl->help = !sdl->help;
	refresh_panel(sdl);
}

/* --- window --- */

static void lose_focus(struct sdl_window *sdl)
{
	grab_release(sdl);
	input_outbox_release_all(&sdl->outbox);
}

static void request_close(struct sdl_window *sdl)
{
	const struct vm_control *control = sdl->host->control;

	if (sdl->state == VM_ENDED && sdl->settings->keep_open)
		sdl->closed = true;
	else
		control->request_powerdown(control->opaque);
}

static void handle_window(struct sdl_window *sdl, const SDL_WindowEvent *event)
{
	switch (event->event) {
	case SDL_WINDOWEVENT_SIZE_CHANGED:
	case SDL_WINDOWEVENT_MAXIMIZED:
	case SDL_WINDOWEVENT_RESTORED:
		view_resized(&sdl->view);
		grab_refresh(sdl); /* the window manager, too, knows a full screen */
		break;
	case SDL_WINDOWEVENT_SHOWN:
	case SDL_WINDOWEVENT_EXPOSED:
	case SDL_WINDOWEVENT_DISPLAY_CHANGED:
		sdl->view.stale = true;
		break;
	case SDL_WINDOWEVENT_FOCUS_GAINED:
		keyboard_sync_locks(sdl);
		grab_focus_gained(sdl);
		break;
	case SDL_WINDOWEVENT_FOCUS_LOST:
	case SDL_WINDOWEVENT_HIDDEN:
	case SDL_WINDOWEVENT_MINIMIZED:
		lose_focus(sdl);
		break;
	case SDL_WINDOWEVENT_CLOSE:
		request_close(sdl);
		break;
	default:
		break;
	}
}

static void handle(struct sdl_window *sdl, const SDL_Event *event)
{
	bool of_key = event->type == SDL_KEYDOWN || event->type == SDL_KEYUP ||
		      event->type == SDL_SYSWMEVENT || event->type == sdl->key_event;

	if (!of_key && event->type != sdl->wake_event)
		keyboard_settle(sdl);
	if (event->type == sdl->key_event)
		keyboard_wayland(sdl, &event->user);
	switch (event->type) {
	case SDL_KEYDOWN:
	case SDL_KEYUP:
		keyboard_key(sdl, &event->key);
		break;
	case SDL_SYSWMEVENT:
		keyboard_x11(sdl, &event->syswm);
		break;
	case SDL_MOUSEMOTION:
		pointer_motion(sdl, &event->motion);
		break;
	case SDL_MOUSEBUTTONDOWN:
	case SDL_MOUSEBUTTONUP:
		pointer_button(sdl, &event->button);
		break;
	case SDL_MOUSEWHEEL:
		pointer_wheel(sdl, &event->wheel);
		break;
	case SDL_WINDOWEVENT:
		handle_window(sdl, &event->window);
		break;
	case SDL_QUIT: /* signals and the last window do not make one */
		log_warn("sdl", "the desktop session is gone, and the window with it");
		sdl->closed = true;
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

/* Somebody has woken us: for a picture, a state, what the guest has switched on, or room. */
static void look(struct sdl_window *sdl)
{
	const struct vm_control *control = sdl->host->control;
	enum vm_state before = sdl->state;

	sdl->state = control->state(control->opaque);
	input_outbox_step(&sdl->outbox);
	view_update(&sdl->view, sdl->reader);
	if (before != sdl->state && !window_guest_runs(sdl))
		input_outbox_release_all(&sdl->outbox);
	grab_refresh(sdl);
	pointer_refresh(sdl);
	refresh_panel(sdl);
}

static void loop(struct sdl_window *sdl)
{
	SDL_Event event;

	atomic_store(&sdl->woken, true); /* the first picture */
	while (!backend_should_stop(sdl->backend) && !sdl->closed) {
		if (atomic_exchange(&sdl->woken, false))
			look(sdl);
		refresh_title(sdl);
		view_present(&sdl->view);
		if (!SDL_WaitEvent(&event)) {
			log_warn("sdl", "the window is gone: %s", SDL_GetError());
			return;
		}
		for (int i = 0; i < MAX_BATCH; i++) {
			handle(sdl, &event);
			/* What follows news is to be taken in its light. */
			if (i == MAX_BATCH - 1 || event.type == sdl->wake_event)
				break;
			if (!SDL_PollEvent(&event)) {
				keyboard_settle(sdl);
				break;
			}
		}
		input_outbox_sync(&sdl->outbox);
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
		x11_guard_close();
		grab_release(sdl);
		wayland_keys_close(sdl->wayland_keys);
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

	struct window_memory memory;

	if (view_memory(&sdl->view, &memory))
		window_memory_save(sdl->host->guest_name, &memory);
	/* These wake us; they go before what they wake. */
	input_source_destroy(sdl->outbox.source);
	input_outbox_fini(&sdl->outbox);
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

static void set_hints(void)
{
	const char *wayland = getenv("WAYLAND_DISPLAY");

	SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
	SDL_SetHint(SDL_HINT_APP_NAME, "vmgui");
	/* In a Wayland session a window of X11 would be scaled by the compositor, and few give such
	 * a window the whole keyboard. */
	if (wayland && *wayland)
		SDL_SetHint(SDL_HINT_VIDEODRIVER, "wayland,x11");
	/* Closing is one event, not two: a second one within 10 s ends the guest. */
	SDL_SetHint(SDL_HINT_QUIT_ON_LAST_WINDOW_CLOSE, "0");
	SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
	SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
	SDL_SetHint(SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1");
	/* With the keyboard grabbed, Alt-Tab is the guest's; a full screen stays where it is. */
	SDL_SetHint(SDL_HINT_ALLOW_ALT_TAB_WHILE_GRABBED, "0");
	SDL_SetHint(SDL_HINT_VIDEO_MINIMIZE_ON_FOCUS_LOSS, "0");
}

static int open_video(struct error *err)
{
	if (SDL_InitSubSystem(SDL_INIT_VIDEO) < 0)
		return error_set(err, ENODEV,
			"sdl: cannot open a window: %s (run vmgui in a desktop session, or use "
			"--vnc or --headless)",
			SDL_GetError());
	if (!shows_something())
		return no_desktop(err);
	SDL_StopTextInput();
	SDL_EventState(SDL_TEXTINPUT, SDL_DISABLE);
	SDL_EventState(SDL_TEXTEDITING, SDL_DISABLE);
	return 0;
}

static int open_window(struct sdl_window *sdl, struct error *err)
{
	struct window_memory memory;
	bool known = window_memory_load(sdl->host->guest_name, &memory);
	int result = view_create(
		&sdl->view, sdl->host->guest_name, sdl->settings, known ? &memory : NULL, err);

	if (result)
		return result;
	SDL_SetWindowMinimumSize(sdl->view.window, 64, 48);
	sdl->hardware_keys = x11_keycodes_are_evdev(sdl->view.window);
	if (sdl->hardware_keys)
		SDL_EventState(SDL_SYSWMEVENT, SDL_ENABLE);
	sdl->wayland_keys = wayland_keys_open(sdl->view.window, sdl->key_event);
	sdl->key_order = sdl->wayland_keys ? KEY_ORDER_UNKNOWN : KEY_ORDER_CODE_FIRST;
	return 0;
}

static int sdl_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct sdl_window *sdl = display_backend_private(backend);
	const struct input_source_listener listener = { .leds_changed = on_leds,
		.capabilities_changed = on_capabilities,
		.room = on_room,
		.opaque = sdl };
	int result;

	if (argument && *argument)
		return error_set(err, EINVAL, "sdl: takes no argument, but got '%s'", argument);
	sdl->backend = backend;
	sdl->host = display_backend_host(backend);
	sdl->settings = display_backend_settings(backend);
	if (!may_have_desktop())
		return no_desktop(err);
	result = session_bus_check("sdl", err);
	if (result)
		return result;
	SDL_SetMainReady();
	SDL_LogSetOutputFunction(log_sdl, NULL);
	set_hints();
	x11_guard_prepare();
	result = open_video(err);
	if (result)
		goto quit;
	sdl->wake_event = SDL_RegisterEvents(2);
	sdl->key_event = sdl->wake_event + 1;
	result = open_window(sdl, err);
	if (result)
		goto quit;
	sdl->reader = surface_reader_create(sdl->host->surface, on_surface_news, sdl);
	if (!sdl->reader) {
		result = error_set(err, ENOMEM, "sdl: out of memory");
		goto destroy_view;
	}
	if (sdl->host->router) {
		/* The source's listener tells, too, but only after the first click, maybe. */
		atomic_store(&sdl->capabilities, input_router_active(sdl->host->router));
		sdl->outbox.source = input_source_create(sdl->host->router, "window", &listener);
		if (!sdl->outbox.source) {
			result = error_set(err, ENOMEM, "sdl: out of memory");
			goto destroy_reader;
		}
	}
	if (sdl->settings->fullscreen)
		view_set_fullscreen(&sdl->view, true);
	return 0;

destroy_reader:
	surface_reader_destroy(sdl->reader);
destroy_view:
	wayland_keys_close(sdl->wayland_keys);
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
