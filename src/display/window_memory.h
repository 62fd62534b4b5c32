/* The size and the scale that a guest's window had when it was last open, by the guest's name: one
 * small text file, $XDG_STATE_HOME/vmgui/windows (or ~/.local/state/vmgui/windows), a line a guest,
 * the last used first.
 *
 *	NAME WIDTHxHEIGHT fit|integer|N%
 *
 * Only guests that the user has named are remembered, and of those the last
 * WINDOW_MEMORY_MAX_GUESTS. The file may hold anything: lines that are not understood count as not
 * there. Whatever fails (no home, a full disk) is a matter for --debug only.
 *
 * Threads: any, and any number of processes. */
#ifndef VMGUI_DISPLAY_WINDOW_MEMORY_H
#define VMGUI_DISPLAY_WINDOW_MEMORY_H

#include "display/settings.h"

#define WINDOW_MEMORY_MAX_GUESTS 100
#define WINDOW_MEMORY_MAX_SIZE   16384u

struct window_memory {
	unsigned width, height; /* the picture's area, in the toolkit's units; 0 x 0: not known */
	enum display_scale scale;
	unsigned scale_percent; /* 25 to 800 with DISPLAY_SCALE_FIXED, else 100 */
};

/* False, and *memory untouched: nothing is known of this guest. */
bool window_memory_load(const char *guest_name, struct window_memory *memory);
/* To be called when a window closes that its user has resized or zoomed. The file changes as a
 * whole or not at all. */
void window_memory_save(const char *guest_name, const struct window_memory *memory);

#endif
