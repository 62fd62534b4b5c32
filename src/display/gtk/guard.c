/* See guard.h. The handlers are the process's, so what is not about our thread is passed on. */
#include "display/gtk/guard.h"

#include <dlfcn.h>
#include <gio/gio.h>
#include <gtk/gtk.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#ifdef GDK_WINDOWING_X11
#include <gdk/gdkx.h>
#endif
#ifdef GDK_WINDOWING_WAYLAND
#include <gdk/gdkwayland.h>
#endif

#include "core/log.h"

static _Thread_local jmp_buf *current_way_out;
static atomic_bool lost;

void guard_enter(jmp_buf *way_out)
{
	current_way_out = way_out;
}

bool guard_is_lost(void)
{
	return atomic_load(&lost);
}

/* Does not return if there is a way out. */
static void leave(void)
{
	jmp_buf *way_out = current_way_out;

	if (!way_out)
		return;
	atomic_store(&lost, true);
	current_way_out = NULL;
	longjmp(*way_out, 1);
}

/* ---- X11 ---- */

#ifdef GDK_WINDOWING_X11
static XErrorHandler other_on_error;
static XIOErrorHandler other_on_io_error;

static bool is_ours(Display *display)
{
	GdkDisplay *gdk = gdk_display_get_default();

	return current_way_out && gdk && GDK_IS_X11_DISPLAY(gdk) &&
	       gdk_x11_display_get_xdisplay(gdk) == display;
}

/* Requests about windows that have just gone, mostly. GDK would abort. */
static int on_protocol_error(Display *display, XErrorEvent *event)
{
	if (!is_ours(display) && other_on_error)
		return other_on_error(display, event);
	log_guest("gtk", "X error %u in request %u.%u", event->error_code, event->request_code,
		event->minor_code);
	return 0;
}

/* Xlib has locked the display for good, so that only the thread that ends the process goes on. Ours
 * does not end it, and libGLX wants the lock when another does. */
static void leave_x11(Display *display)
{
	if (!current_way_out)
		return;
	XUnlockDisplay(display);
	leave();
}

static int on_io_error(Display *display)
{
	if (is_ours(display))
		leave_x11(display);
	return other_on_io_error ? other_on_io_error(display) : 0;
}

/* For when another library has put its own handler over ours: this one is the display's. */
static void on_io_error_exit(Display *display, void *data)
{
	(void)data;
	leave_x11(display);
	_exit(1);
}

static void x11_display_opened(GdkDisplay *gdk)
{
	Display *display = gdk_x11_display_get_xdisplay(gdk);

	XSetErrorHandler(on_protocol_error);
	XSetIOErrorHandler(on_io_error);
	XSetIOErrorExitHandler(display, on_io_error_exit, NULL);
}
#endif

/* ---- Wayland, and what is fatal by GLib's own rules ---- */

static bool connection_is_broken(void)
{
#ifdef GDK_WINDOWING_WAYLAND
	GdkDisplay *gdk = gdk_display_get_default();

	if (gdk && GDK_IS_WAYLAND_DISPLAY(gdk)) {
		struct wl_display *display = gdk_wayland_display_get_wl_display(gdk);
		struct pollfd pollfd = { .fd = wl_display_get_fd(display), .events = POLLIN };

		return wl_display_get_error(display) ||
		       (poll(&pollfd, 1, 0) > 0 && (pollfd.revents & (POLLERR | POLLHUP)));
	}
#endif
	return false;
}

static GLogWriterOutput write_log(
	GLogLevelFlags level, const GLogField *fields, gsize count, gpointer data)
{
	const char *message = "", *domain = "glib";

	(void)data;
	for (gsize i = 0; i < count; i++) {
		if (fields[i].length >= 0)
			continue; /* not a string */
		if (!strcmp(fields[i].key, "MESSAGE"))
			message = fields[i].value;
		else if (!strcmp(fields[i].key, "GLIB_DOMAIN"))
			domain = fields[i].value;
	}
	if (level & (G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL))
		log_warn("gtk", "%s: %s", domain, message);
	else if (!(level & G_LOG_LEVEL_DEBUG))
		log_guest("gtk", "%s: %s", domain, message);
	if ((level & (G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL)) ||
		((level & G_LOG_LEVEL_MESSAGE) && current_way_out && connection_is_broken()))
		leave();
	return G_LOG_WRITER_HANDLED;
}

void guard_prepare(void)
{
	static atomic_bool prepared;

	if (atomic_exchange(&prepared, true))
		return;
	g_log_set_writer_func(write_log, NULL, NULL);
#ifdef GDK_WINDOWING_X11
	/* What was there before GDK comes: SDL's, perhaps. */
	other_on_error = XSetErrorHandler(NULL);
	XSetErrorHandler(other_on_error);
	other_on_io_error = XSetIOErrorHandler(NULL);
	XSetIOErrorHandler(other_on_io_error);
#endif
}

void guard_display_opened(void)
{
#ifdef GDK_WINDOWING_X11
	GdkDisplay *gdk = gdk_display_get_default();

	if (GDK_IS_X11_DISPLAY(gdk))
		x11_display_opened(gdk);
#endif
}

/* ---- The session bus ---- */

void guard_bus_opened(void)
{
	void *(*bus_get)(int type, void *error);
	void (*set_exit)(void *connection, unsigned exits);
	void (*unref)(void *connection);
	void *dbus = dlopen("libdbus-1.so.3", RTLD_NOW | RTLD_NOLOAD);
	GApplication *application = g_application_get_default();
	GDBusConnection *bus = application ? g_application_get_dbus_connection(application) : NULL;

	if (bus)
		g_dbus_connection_set_exit_on_close(bus, FALSE);
	/* The accessibility bridge has a connection of libdbus's. Where there is a bus at all it
	 * is a shared one, and this gives us the same. */
	if (!dbus)
		return;
	*(void **)&bus_get = dlsym(dbus, "dbus_bus_get");
	*(void **)&set_exit = dlsym(dbus, "dbus_connection_set_exit_on_disconnect");
	*(void **)&unref = dlsym(dbus, "dbus_connection_unref");
	if (bus && bus_get && set_exit && unref) {
		void *connection = bus_get(0, NULL); /* DBUS_BUS_SESSION */

		if (connection) {
			set_exit(connection, 0);
			unref(connection);
		}
	}
	dlclose(dbus);
}
