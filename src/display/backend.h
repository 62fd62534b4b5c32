/* What a display is to vmgui: a const table. backend_null.c is the complete small example.
 *
 * A backend shows what the surface holds and sends input to the router. Each backend runs in a
 * thread of its own, made by backend_start, which calls run; so any number of them live side by
 * side, toolkits included, and one that stalls or dies stops neither the guest nor the others.
 * wakeup is the only call that comes from other threads (surface news, LEDs, state changes, the
 * wish to end) and only signals.
 *
 *   backend_start --> [thread "NAME"] init -> run -> fini
 *                         ^ wakeup: look at the surface, vm state and backend_should_stop()
 *
 * SDL and VNC are modules (display/../modules: vmgui-sdl.so, vmgui-vnc.so) that export one
 * `const struct display_backend_ops vmgui_backend_ops` and are loaded when asked for, so that a
 * headless run maps no toolkit. */
#ifndef VMGUI_DISPLAY_BACKEND_H
#define VMGUI_DISPLAY_BACKEND_H

#include <stdatomic.h>

#include "core/error.h"
#include "core/vm_control.h"
#include "core/console_hub.h"
#include "display/settings.h"
#include "display/surface.h"
#include "input/router.h"

#define DISPLAY_BACKEND_ABI 2

/* What a backend may use; immutable after creation, outlives the backend. */
struct display_host {
	struct surface *surface;
	struct input_router *router; /* NULL: no input devices */
	const struct vm_control *control;
	const struct display_settings *settings; /* NULL: display_settings_default */
	struct console_hub *console;             /* NULL: the guest's serial line is elsewhere */
	const char *guest_name;
	/* run has returned by itself, the display is over; any thread, must only signal. May be
	 * NULL. */
	void (*closed)(void *opaque);
	void *closed_opaque;
};

struct display_backend;

struct display_backend_ops {
	unsigned abi;            /* DISPLAY_BACKEND_ABI */
	const char *name;        /* "sdl": option and thread name */
	const char *description; /* one line for --help */
	bool is_window;          /* on this host's desktop: --keep-open is about these */
	size_t private_size;     /* bytes of zeroed private memory, display_backend_private() */
	/* All three run in the backend's thread. init opens what it needs: 0, or -errno and one
	 * line; backend_start returns it. argument: the option's value (e.g. "127.0.0.1:1" of
	 * --vnc=...) or NULL. run returns when backend_should_stop(), or when the display is gone
	 * by itself (then the backend is over, the guest goes on). fini undoes init. */
	int (*init)(struct display_backend *backend, const char *argument, struct error *err);
	void (*run)(struct display_backend *backend);
	void (*fini)(struct display_backend *backend);
	/* Any thread; must only signal run, and takes no lock but for that. Comes only after init
	 * has succeeded and before fini; a notice from before that comes once then. (What init
	 * itself sets going, such as a surface reader's wake, may come at any time until fini takes
	 * it away.) */
	void (*wakeup)(struct display_backend *backend);
};

/* Made before the thread, freed after it; name: one of the registry. Loads the module if it is one.
 * -ENOENT: no such backend in this build. */
VMGUI_MUST_USE int backend_create(const char *name, const struct display_host *host,
	struct display_backend **backend, struct error *err);
/* Starts the thread and waits for init; returns init's result. */
VMGUI_MUST_USE int backend_start(
	struct display_backend *backend, const char *argument, struct error *err);
/* Asks run to end and joins; idempotent. backend_start may follow again. */
void backend_stop(struct display_backend *backend);
/* The same, but gives up on a display that does not answer (a toolkit whose server is stuck):
 * -ETIMEDOUT. Then its thread lives on: nothing that it uses may be freed, not even itself. */
VMGUI_MUST_USE int backend_stop_within(struct display_backend *backend, unsigned seconds);
void backend_destroy(struct display_backend *backend);
/* The VM's state or the LEDs changed: wake up and look. Any thread. */
void backend_notify(struct display_backend *backend);
/* Whether run has ended by itself. Any thread. */
bool backend_ended(struct display_backend *backend);
bool backend_is_window(const struct display_backend *backend);

/* For the backend's own use. */
void *display_backend_private(struct display_backend *backend);
const struct display_host *display_backend_host(struct display_backend *backend);
const struct display_settings *display_backend_settings(struct display_backend *backend);
bool backend_should_stop(struct display_backend *backend);

/* The registry in order of preference, NULL at its end: names for --help and tests. */
struct backend_info {
	const char *name;
	const char *description;
	bool module;
	const struct display_backend_ops *ops; /* NULL for modules */
};
extern const struct backend_info backend_registry[];

#endif
