/* What the title of a guest's window says: whose it is, how it is or why it has ended, the
 * picture's size, a lock of the guest's that changes what is typed (Num Lock is on too often to be
 * worth a word), and what the release chord does now.
 *
 * Threads: any, no state. */
#ifndef VMGUI_DISPLAY_WINDOW_TITLE_H
#define VMGUI_DISPLAY_WINDOW_TITLE_H

#include "core/vm_control.h"
#include "display/backend.h"

/* What the window knows besides its host. */
struct window_facts {
	enum vm_state state;
	uint32_t width, height; /* the picture's; 0 x 0: there is none */
	bool has_input;         /* the guest takes it from this window */
	unsigned capabilities;  /* enum input_capability mask, as the guest has them on */
	bool grabbed;           /* the keyboard, at least */
	unsigned
		leds; /* enum input_led mask, the guest's, where nothing else in the window tells */
};

/* "running", "paused", "powering down", "ended". */
const char *window_state_name(enum vm_state state);
/* Why the guest has ended, as a sentence without its full stop; NULL: it has not, or nobody knows.
 */
const char *window_end_reason(const struct display_host *host, enum vm_state state);
void window_title(
	const struct display_host *host, const struct window_facts *facts, char *text, size_t size);

#endif
