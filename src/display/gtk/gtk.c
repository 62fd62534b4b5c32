/* The GTK backend: a desktop application with the guest's screen in it. GTK 3.24 or later.
 *
 * All of GTK runs in the backend's own thread, which iterates GLib's default main context; nobody
 * else in the process may use that. Other threads leave their news in a mask and make a source of
 * that context ready. The module stays loaded for good, and so does GTK's connection to the
 * desktop: started again, the backend finds it as it was.
 *
 * A desktop that goes away takes the window with it, not the guest; see guard.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/module.h"
#include "display/gtk/guard.h"
#include "display/gtk/window.h"
#include "display/session_bus.h"

MODULE_DEFINE();

/* One at a time: GTK is the process's. */
static atomic_bool in_use;

void window_wake(struct window *window, unsigned news)
{
	atomic_fetch_or(&window->news, news);
	g_source_set_ready_time(window->waker, 0);
}

static void on_surface_news(void *opaque)
{
	window_wake(opaque, NEWS_SURFACE);
}

static void on_leds(void *opaque, unsigned leds)
{
	struct window *window = opaque;

	atomic_store(&window->leds, leds);
	window_wake(window, NEWS_STATE);
}

static void on_capabilities(void *opaque, unsigned active)
{
	struct window *window = opaque;

	atomic_store(&window->capabilities, active);
	window_wake(window, NEWS_STATE);
}

static void on_room(void *opaque)
{
	window_wake(opaque, NEWS_ROOM);
}

static gboolean on_woken(gpointer opaque)
{
	struct window *window = opaque;
	unsigned news;

	g_source_set_ready_time(window->waker, -1);
	news = atomic_exchange(&window->news, 0);
	if (!window->window)
		return G_SOURCE_CONTINUE;
	if (news & NEWS_SURFACE) {
		view_wake(&window->view);
		window_count_frames(window);
	}
	if (news & NEWS_ROOM) {
		input_outbox_step(&window->outbox);
		input_outbox_step(&window->sent);
	}
	if (news & NEWS_TYPIST)
		actions_type(window);
	if (news & NEWS_CONSOLE)
		console_update(window);
	if (news & NEWS_STATE)
		window_refresh(window);
	return G_SOURCE_CONTINUE;
}

static gboolean dispatch_waker(GSource *source, GSourceFunc callback, gpointer opaque)
{
	(void)source;
	return callback(opaque);
}

static GSourceFuncs waker_functions = { .dispatch = dispatch_waker };

static void create_waker(struct window *window)
{
	window->waker = g_source_new(&waker_functions, sizeof(GSource));
	g_source_set_callback(window->waker, on_woken, window, NULL);
	g_source_set_ready_time(window->waker, -1);
	g_source_attach(window->waker, NULL);
}

/* ---- Opening ---- */

static int open_display(struct error *err)
{
	static bool opened; /* in_use guards it */

	guard_prepare();
	if (opened) {
		guard_display_opened(); /* SDL may have been there meanwhile */
		return 0;
	}
	/* The names that desktops find the icon and the desktop file by. */
	g_set_prgname("vmgui");
	g_set_application_name("vmgui");
	gdk_set_program_class("vmgui");
	/* Numbers in this process are written as in C. */
	gtk_disable_setlocale();
	gdk_set_allowed_backends("wayland,x11");
	if (!gtk_init_check(NULL, NULL))
		return error_set(err, ENODEV,
			"gtk: cannot open a window: there is no desktop session (run vmgui in one, "
			"or use --vnc or --headless)");
	opened = true;
	guard_display_opened();
	gtk_window_set_default_icon_name("vmgui");
	return 0;
}

static int open_application(struct window *window, struct error *err)
{
	GError *error = NULL;

	window->application = gtk_application_new("org.vmgui.Vmgui", G_APPLICATION_NON_UNIQUE);
	g_application_set_default(G_APPLICATION(window->application));
	if (!g_application_register(G_APPLICATION(window->application), NULL, &error)) {
		/* Only the session bus can be the reason; a window needs none. */
		log_debug("gtk", "no session bus: %s", error->message);
		g_error_free(error);
	}
	guard_bus_opened();
	if (!window->application)
		return error_set(err, ENOMEM, "gtk: out of memory");
	return 0;
}

static int open_input(struct window *window, struct error *err)
{
	const struct input_source_listener listener = { .leds_changed = on_leds,
		.capabilities_changed = on_capabilities,
		.room = on_room,
		.opaque = window };
	const struct input_source_listener sender = { .room = on_room, .opaque = window };

	if (!window->host->router)
		return 0;
	/* The source's listener tells, too, but only after the first click, maybe. */
	atomic_store(&window->capabilities, input_router_active(window->host->router));
	window->source = input_source_create(window->host->router, "window", &listener);
	window->sender = input_source_create(window->host->router, "menu", &sender);
	if (!window->source || !window->sender)
		return error_set(err, ENOMEM, "gtk: out of memory");
	return 0;
}

/* These wake us: they go before what they wake. */
static void close_sources(struct window *window)
{
	window->outbox.source = window->sent.source = NULL;
	input_source_destroy(window->source);
	input_source_destroy(window->sender);
	window->source = window->sender = NULL;
	surface_reader_destroy(window->view.reader);
	window->view.reader = NULL;
}

static int open_all(struct window *window, struct error *err)
{
	int result = open_display(err);

	if (result)
		return result;
	create_waker(window);
	result = open_application(window, err);
	if (!result)
		result = open_input(window, err);
	if (result)
		return result;
	window->view.reader = surface_reader_create(window->host->surface, on_surface_news, window);
	if (!window->view.reader)
		return error_set(err, ENOMEM, "gtk: out of memory");
	return window_create(window, err);
}

/* ---- Closing ---- */

static void close_all(struct window *window)
{
	window_destroy(window);
	if (window->application) {
		g_application_set_default(NULL);
		g_clear_object(&window->application);
	}
	if (window->waker) {
		g_source_destroy(window->waker);
		g_source_unref(window->waker);
		window->waker = NULL;
	}
	/* What the widgets have left to be done, and out with it to the desktop. */
	for (int i = 0; i < 100 && g_main_context_iteration(NULL, FALSE); i++)
		;
	if (gdk_display_get_default())
		gdk_display_flush(gdk_display_get_default());
}

static void finish(struct window *window)
{
	jmp_buf way_out;

	close_sources(window);
	if (!guard_is_lost() && setjmp(way_out) == 0) {
		guard_enter(&way_out);
		close_all(window);
	}
	guard_enter(NULL);
	input_outbox_fini(&window->outbox);
	input_outbox_fini(&window->sent);
	/* A context that was left by a long jump is of no use to anybody. */
	if (!guard_is_lost())
		g_main_context_release(NULL);
	atomic_store(&in_use, false);
}

static int gtk_init_backend(
	struct display_backend *backend, const char *argument, struct error *err)
{
	struct window *window = display_backend_private(backend);
	jmp_buf way_out;
	int result;

	if (argument && *argument)
		return error_set(err, EINVAL, "gtk: takes no argument, but got '%s'", argument);
	if (guard_is_lost())
		return error_set(err, ENODEV,
			"gtk: the desktop went away; a window can only be opened by another vmgui");
	result = session_bus_check("gtk", err);
	if (result)
		return result;
	if (atomic_exchange(&in_use, true))
		return error_set(err, EBUSY, "gtk: there is a window already");
	window->backend = backend;
	window->host = display_backend_host(backend);
	window->settings = display_backend_settings(backend);
	if (!g_main_context_acquire(NULL)) {
		atomic_store(&in_use, false);
		return error_set(err, EBUSY, "gtk: another part of the process uses GLib");
	}
	if (setjmp(way_out) == 0) {
		guard_enter(&way_out);
		result = open_all(window, err);
	} else {
		result = error_set(err, ENODEV, "gtk: the desktop went away");
	}
	guard_enter(NULL);
	if (result)
		finish(window);
	return result;
}

static void gtk_run(struct display_backend *backend)
{
	struct window *window = display_backend_private(backend);
	jmp_buf way_out;

	if (setjmp(way_out) == 0) {
		guard_enter(&way_out);
		while (!backend_should_stop(backend) && !window->over)
			g_main_context_iteration(NULL, TRUE);
	}
	guard_enter(NULL);
	if (guard_is_lost())
		log_warn("gtk", "the desktop is gone, and the window with it");
}

static void gtk_fini(struct display_backend *backend)
{
	finish(display_backend_private(backend));
}

static void gtk_wakeup(struct display_backend *backend)
{
	window_wake(display_backend_private(backend), NEWS_STATE);
}

extern const struct display_backend_ops vmgui_backend_ops;
const struct display_backend_ops vmgui_backend_ops = {
	.abi = DISPLAY_BACKEND_ABI,
	.name = "gtk",
	.description = "a desktop window with menus (GTK 3)",
	.is_window = true,
	.private_size = sizeof(struct window),
	.init = gtk_init_backend,
	.run = gtk_run,
	.fini = gtk_fini,
	.wakeup = gtk_wakeup,
};
