/* The GTK backend's window and all that belongs to it. One struct, since its parts speak to each
 * other all the time; each file of this folder has its own part of it.
 *
 *   gtk.c       the backend: start, loop, end, what comes from other threads
 *   window.c    the widgets, title and status, size
 *   view.c      the picture
 *   keyboard.c  keys to the guest               redraw.c     which part of it is drawn
 *   pointer.c   mouse to the guest, grab        pointer_lock.c  the grab on Wayland
 *   actions.c   what menus and shortcuts do     menu.c, shortcuts.c  which there are
 *   bars.c      messages, full screen's bar     console.c    the serial console's tab
 *   guard.c     a desktop that goes away        theme.c      dark or light
 *
 * Threads: the backend's, but for what is marked. */
#ifndef VMGUI_DISPLAY_GTK_WINDOW_H
#define VMGUI_DISPLAY_GTK_WINDOW_H

#include <gtk/gtk.h>
#include <stdatomic.h>

#include "display/backend.h"
#include "display/gtk/view.h"
#include "input/outbox.h"
#include "input/typist.h"

/* What other threads have to say; see window_wake. */
enum window_news {
	NEWS_SURFACE = 1,
	NEWS_ROOM = 2,  /* for keys */
	NEWS_STATE = 4, /* of the machine, the lights, the pointer; or the wish to end */
	NEWS_TYPIST = 8,
	NEWS_CONSOLE = 16,
};

struct console;
struct pointer_lock;

struct window {
	/* immutable after init */
	struct display_backend *backend;
	const struct display_host *host;
	const struct display_settings *settings;
	GSource *waker;

	/* any thread */
	atomic_uint news;         /* enum window_news mask */
	atomic_uint capabilities; /* enum input_capability mask */
	atomic_uint leds;         /* the guest's, enum input_led mask */

	/* window.c */
	GtkApplication *application;
	GtkWidget *window;
	GtkWidget *header, *status_label;
	GtkWidget *stack;       /* screen and console */
	GtkWidget *menu_button; /* in the header bar */
	GtkWidget *pause_button;
	struct view view;
	struct extent wanted; /* the size that we gave the picture's frame */
	bool asked;           /* for that, and the desktop has not made it so yet */
	struct extent normal; /* what it was last, neither maximised nor full screen */
	bool resized;         /* which the user has chosen, perhaps in an earlier run */
	guint settle_timer;   /* 0: the size has been at rest */
	bool zoomed;          /* the user has changed the scale */
	bool fullscreen;
	bool maximized;
	bool over; /* closed: the backend is to end */
	enum vm_state state;
	guint rate_timer; /* 0: no frames */
	unsigned rate, frames_before;
	char title[256], status[192];

	/* keyboard.c */
	struct input_source *source; /* NULL: no input devices */
	struct input_outbox outbox;  /* keys and mouse */
	struct input_source *sender; /* of combinations that the menu sends */
	struct input_outbox sent;
	struct chord_follower follower;
	unsigned own_key; /* held since it was a shortcut; 0: none */

	/* pointer.c */
	bool grabbed;  /* the keyboard is ours, and the mouse if it is a relative one */
	bool relative; /* part of a grab: the mouse is */
	bool warped;   /* the pointer was put back; its own motion is still to come */
	double last_x, last_y;
	double rest_x, rest_y; /* motion and wheel: less than a unit, left over */
	double wheel_rest_x, wheel_rest_y;
	double wheel_click; /* what GDK makes of one on Wayland; 0: not known yet */
	GdkCursor *no_cursor;
	bool cursor_hidden;
	struct pointer_lock *lock; /* NULL: not a Wayland display that can */

	/* actions.c */
	struct typist *typist; /* NULL: nothing was pasted yet */
	struct keymap *keymap; /* our own, if the settings have none */
	size_t typing;         /* strokes of the paste in all; 0: none */
	size_t typing_shown;   /* per mille that the message tells */
	GtkWidget *dialog;     /* NULL: none is open */
	/* Points back here while the clipboard's owner has not answered; NULL: nothing was asked.
	 */
	struct window **clipboard_asker;

	/* bars.c */
	GtkWidget *overlay;
	GtkWidget *message, *message_label, *message_button, *message_progress;
	guint message_timer;
	GtkWidget *bar, *bar_label, *bar_menu_button, *bar_pause_button; /* full screen's */
	guint bar_timer;

	/* console.c */
	struct console *console; /* NULL: none to show */

	/* theme.c */
	GDBusConnection *theme_bus;
	GCancellable *theme_request;
	guint theme_subscription;
};

/* Any thread: have the window look at it, soon. Only signals. */
void window_wake(struct window *window, unsigned news);

/* window.c */
VMGUI_MUST_USE int window_create(struct window *window, struct error *err);
void window_destroy(struct window *window); /* NULL widgets are fine */
void window_refresh(struct window *window); /* title, status, actions, pointer: as things are */
void window_refresh_status(struct window *window); /* title and status */
void window_count_frames(struct window *window);   /* there is a new picture */
/* The guest's picture has another size, or the user wants another scale. */
void window_adapt_size(struct window *window);
void window_set_accessible(GtkWidget *widget, const char *name, const char *description);
GdkPixbuf *window_icon(void);
void window_close_asked(struct window *window);
bool window_has_guest_focus(struct window *window);

/* keyboard.c */
void keyboard_init(struct window *window);
void keyboard_release(struct window *window); /* nothing is held any more */
void keyboard_sync_locks(struct window *window);
void keyboard_send(struct window *window, const uint16_t *codes, size_t count);

/* pointer.c */
void pointer_init(struct window *window);
void pointer_fini(struct window *window);
void pointer_set_grab(struct window *window, bool grab);
void pointer_refresh(struct window *window); /* the guest may have taken to another mouse */
bool pointer_can_be_relative(struct window *window);
void pointer_move_relative(struct window *window, double dx, double dy);

/* actions.c */
void actions_init(struct window *window);
void actions_fini(struct window *window);
void actions_refresh(struct window *window);
void actions_type(struct window *window); /* the typist has room */
void actions_activate(struct window *window, const char *detailed);

/* menu.c */
GMenuModel *menu_of_machine(const struct window *window);
GMenuModel *menu_of_keys(void);
/* As GTK writes it: "<Primary><Alt>g"; to be freed. NULL: no chord, or one of modifiers alone. */
char *menu_accelerator(const struct key_chord *chord);

/* bars.c */
GtkWidget *bars_create(struct window *window, GtkWidget *content); /* what goes into the window */
void bars_fini(struct window *window);
/* A message over the picture, for so long (0: until the next one). button: its label and action,
 * or NULL. progress: 0 to 1, or negative for none. */
void bars_tell(struct window *window, GtkMessageType type, const char *text, const char *button,
	const char *action, double progress, unsigned seconds);
void bars_hush(struct window *window);
void bars_show_top(struct window *window); /* full screen's bar, for a while */
void bars_hide_top(struct window *window);
void bars_refresh(struct window *window);

/* console.c: without VTE there is none */
void console_init(struct window *window);
void console_fini(struct window *window);
void console_update(struct window *window);

/* theme.c */
void theme_init(struct window *window);
void theme_fini(struct window *window);

#endif
