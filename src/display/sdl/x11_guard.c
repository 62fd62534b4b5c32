/* See x11_guard.h. Xlib is not linked: SDL has loaded it if the window is one of X11. */
#include "display/sdl/x11_guard.h"

#include <SDL_syswm.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "core/log.h"

static _Thread_local jmp_buf *current_way_out;

jmp_buf *x11_guard_enter(jmp_buf *way_out)
{
	jmp_buf *outer = current_way_out;

	current_way_out = way_out;
	return outer;
}

#ifdef SDL_VIDEO_DRIVER_X11
typedef int error_function(Display *, XErrorEvent *);
typedef int io_error_function(Display *);

/* Xlib's handlers are the process's, and get no argument of ours. */
static atomic_bool *connection_lost;
static void (*unlock_display)(Display *display);
static void *xlib; /* our own hold on it, from prepare to remove */
/* What another library, GTK, has put over ours, and SDL takes away when it ends; NULL: nothing.
 * Without them an error of X's would end the process. */
static error_function *others_on_error;
static io_error_function *others_on_io_error;

static int on_protocol_error(Display *display, XErrorEvent *event)
{
	(void)display;
	log_guest("sdl", "X error %u in request %u.%u", event->error_code, event->request_code,
		event->minor_code);
	return 0;
}

static int on_connection_lost(Display *display)
{
	if (connection_lost)
		atomic_store(connection_lost, true);
	/* Xlib has locked it and expects that nobody comes after us; let others find out, too. */
	if (unlock_display)
		unlock_display(display);
	if (current_way_out)
		longjmp(*current_way_out, 1);
	log_error("sdl", "the X server is gone");
	return 0;
}

/* before: NULL or what there was. */
static void set_handlers(error_function *on_error, io_error_function *on_io_error,
	error_function **error_before, io_error_function **io_error_before)
{
	void *loaded = dlopen("libX11.so.6", RTLD_NOW | RTLD_NOLOAD);
	error_function *(*set_error)(error_function *), *error = NULL;
	io_error_function *(*set_io_error)(io_error_function *), *io_error = NULL;

	if (!loaded)
		return;
	*(void **)&set_error = dlsym(loaded, "XSetErrorHandler");
	*(void **)&set_io_error = dlsym(loaded, "XSetIOErrorHandler");
	*(void **)&unlock_display = dlsym(loaded, "XUnlockDisplay");
	if (set_error)
		error = set_error(on_error);
	if (set_io_error)
		io_error = set_io_error(on_io_error);
	if (error_before)
		*error_before = error;
	if (io_error_before)
		*io_error_before = io_error;
	dlclose(loaded); /* whoever else uses it keeps it */
}

void x11_guard_prepare(void)
{
	int (*(*set_error)(int (*)(Display *, XErrorEvent *)))(Display *, XErrorEvent *);
	const char *server = getenv("DISPLAY");

	if (xlib || !server || !*server)
		return;
	xlib = dlopen("libX11.so.6", RTLD_NOW);
	if (!xlib)
		return;
	*(void **)&set_error = dlsym(xlib, "XSetErrorHandler");
	if (set_error)
		set_error(on_protocol_error);
}

void x11_guard_install(SDL_Window *window, atomic_bool *lost)
{
	SDL_SysWMinfo info;

	SDL_VERSION(&info.version);
	if (!SDL_GetWindowWMInfo(window, &info) || info.subsystem != SDL_SYSWM_X11)
		return;
	connection_lost = lost;
	set_handlers(on_protocol_error, on_connection_lost, NULL, NULL);
}

void x11_guard_close(void)
{
	error_function *error = NULL;
	io_error_function *io_error = NULL;

	if (!connection_lost)
		return;
	set_handlers(on_protocol_error, on_connection_lost, &error, &io_error);
	others_on_error = error == on_protocol_error ? NULL : error;
	others_on_io_error = io_error == on_connection_lost ? NULL : io_error;
	if (others_on_error || others_on_io_error)
		set_handlers(error, io_error, NULL, NULL);
}

void x11_guard_remove(void)
{
	set_handlers(others_on_error, others_on_io_error, NULL, NULL);
	others_on_error = NULL;
	others_on_io_error = NULL;
	connection_lost = NULL;
	if (xlib)
		dlclose(xlib);
	xlib = NULL;
}
#else
void x11_guard_prepare(void)
{
}

void x11_guard_install(SDL_Window *window, atomic_bool *lost)
{
	(void)window;
	(void)lost;
}

void x11_guard_close(void)
{
}

void x11_guard_remove(void)
{
}
#endif
