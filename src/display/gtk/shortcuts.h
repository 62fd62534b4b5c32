/* The window's own keys and the key combinations that its menu sends to the guest: two tables.
 *
 * Threads: any; no state. */
#ifndef VMGUI_DISPLAY_GTK_SHORTCUTS_H
#define VMGUI_DISPLAY_GTK_SHORTCUTS_H

#include "core/util.h"
#include "input/chord.h"

/* A key that is the window's even while the guest has the keyboard. */
struct shortcut {
	struct key_chord chord;
	const char *accelerator; /* the same, as GTK writes it */
	const char *action;      /* detailed, e.g. "win.scale::fit" */
	const char *title;
};
/* Ends with an action that is NULL. */
extern const struct shortcut shortcuts[];

/* The one that this press gives; NULL: none, it is the guest's. keysym: without Shift's effect. */
const struct shortcut *shortcut_find(uint32_t keysym, unsigned code, unsigned modifiers);

/* What somebody cannot press because the host takes it. */
#define KEY_COMBINATION_MAX 5
struct key_combination {
	const char *name;                    /* "ctrl-alt-delete" */
	const char *label;                   /* "Ctrl+Alt+Delete" */
	const char *group;                   /* a submenu; NULL: none */
	uint16_t codes[KEY_COMBINATION_MAX]; /* evdev, pressed in this order; 0: no more */
};
/* Ends with a name that is NULL; those of one group stand together. */
extern const struct key_combination key_combinations[];
const struct key_combination *key_combination_find(const char *name);

#endif
