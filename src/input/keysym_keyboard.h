/* A keyboard of which only symbols are known (X keysyms: RFC 6143, section 7.5.4), played on the
 * guest's keys.
 *
 * A client types "A" or "/" with whatever its own layout needs. The guest has to get the key that
 * has the symbol, with Shift and AltGr in the state that the symbol needs; so these are pressed or
 * let go around a key where the client's own state does not fit, and put back when the key is
 * released. A symbol that needs a dead key first gets that one struck before it.
 *
 * Keypad symbols (KP_7 and KP_Home alike) are keys of the keypad; what those mean is for the
 * guest's Num Lock to say, as with a keyboard that is plugged in.
 *
 * Threads: belongs to one. */
#ifndef VMGUI_INPUT_KEYSYM_KEYBOARD_H
#define VMGUI_INPUT_KEYSYM_KEYBOARD_H

#include "input/keymap.h"

#define KEYSYM_KEYBOARD_MAX_DOWN 32

/* Its members are its own. Zeroed storage and keysym_keyboard_init make one; nothing to free. */
struct keysym_keyboard {
	const struct keymap *keymap;
	void (*emit)(void *opaque, unsigned code, bool down);
	void *opaque;
	/* What the client holds, and with which key of the guest it was pressed. */
	struct {
		uint32_t keysym;
		uint16_t code;
		bool printable;
	} down[KEYSYM_KEYBOARD_MAX_DOWN];
	unsigned down_count;
	/* Both Shifts, AltGr and the right Alt as the client holds them; both Shifts and the right
	 * Alt as they are in the guest. */
	bool held[4], guest[3];
};

void keysym_keyboard_init(struct keysym_keyboard *keyboard, const struct keymap *keymap,
	void (*emit)(void *opaque, unsigned code, bool down), void *opaque);
/* leds: enum input_led mask of the guest; tells whether Caps Lock turns its letters round. */
void keysym_keyboard_event(
	struct keysym_keyboard *keyboard, uint32_t keysym, bool down, unsigned leds);
void keysym_keyboard_release_all(struct keysym_keyboard *keyboard);

#endif
