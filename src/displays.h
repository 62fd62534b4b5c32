/* What people see the guest by: surface, refresh thread, input router and displays, made from the
 * command line in that order and taken down in reverse.
 *
 * Threads: main, but for what vm_control and the machine's hooks call. */
#ifndef VMGUI_DISPLAYS_H
#define VMGUI_DISPLAYS_H

#include "board.h"
#include "config.h"
#include "core/console_hub.h"
#include "display/backend.h"
#include "display/refresh.h"

#define DISPLAYS_MAX 4

struct displays {
	const struct config *config;
	struct surface *surface;     /* NULL: nobody looks, not even a screenshot */
	struct refresh *refresh;     /* as the surface */
	struct input_router *router; /* NULL: nobody types */
	struct console_hub *console; /* NULL: no display shows the serial line */
	struct keymap *keymap;       /* NULL: a display that needs one makes the usual one */
	struct display_settings settings;
	struct display_host host;
	struct display_backend *backends[DISPLAYS_MAX];
	unsigned count;
	bool shows;    /* there is a display, or will be */
	int closed_fd; /* eventfd: a display has ended by itself; -1: none yet */
};

/* Whether windows can be expected to open. */
bool displays_in_desktop_session(void);
/* Whether the command line wants one at all; start_displays chooses which. */
bool displays_wanted(const struct config *config);
/* Whether the serial line is to be given to a hub (a window may show it). */
bool displays_want_console(const struct config *config);

/* Everything but the displays themselves. On failure displays_fini cleans up. */
VMGUI_MUST_USE int displays_init(struct displays *displays, const struct config *config,
	struct board *board, struct error *err);
/* -EINVAL: an option's value is wrong. console: NULL for none; stays the caller's. */
VMGUI_MUST_USE int displays_start(
	struct displays *displays, struct console_hub *console, struct error *err);
/* The machine's state has changed. Any thread. */
void displays_notify(struct displays *displays);
/* The guest starts, or starts anew, with its devices reset. */
void displays_guest_starts(struct displays *displays);
/* Whether a window is to stay open now that the guest has ended (--keep-open). */
bool displays_want_to_linger(const struct displays *displays);
/* Until the windows are closed, or a signal tells us to end. */
void displays_linger(struct displays *displays);
/* False: a display does not end, and everything that it uses has to stay. */
VMGUI_MUST_USE bool displays_stop(struct displays *displays);
/* After displays_stop succeeded. */
void displays_fini(struct displays *displays);

#endif
