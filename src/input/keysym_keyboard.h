/* A keyboard of which only symbols are known (X keysyms: RFC 6143, section 7.5.4), played on the
 * guest's keys.
 *
 * A client types "A" or "/" with whatever its own layout needs. The guest has to get the key that
 * has the symbol, with Shift and AltGr in the state that the symbol needs; so these are pressed or
 * let go around a key where the client's own state does not fit, and put back when the key is
 * released. A symbol that needs a dead key first gets that one struck before it; a dead key that
 * the guest's layout does not have waits for the letter it is for. Where Caps Lock makes a symbol
 * impossible, it is tapped around the key, too.
 *
 * A key that was pressed under Shift or AltGr ends with it at the latest: some clients never tell
 * of its release, or tell of another symbol's. Who goes on holding it sends its repeats, and these
 * press it again.
 *
 * With Ctrl, Alt or Super held a letter is a shortcut: then Shift is as the client has it, and Caps
 * Lock means nothing. Windows says Ctrl and right Alt for AltGr.
 *
 * Keypad symbols (KP_7 and KP_Home alike) are keys of the keypad; what those mean is for the
 * guest's Num Lock to say, as with a keyboard that is plugged in.
 *
 * Threads: belongs to one. */
#ifndef VMGUI_INPUT_KEYSYM_KEYBOARD_H
#define VMGUI_INPUT_KEYSYM_KEYBOARD_H

#include "input/caps_lock.h"
#include "input/keymap.h"

#define KEYSYM_KEYBOARD_MAX_DOWN 32
#define KEYSYM_KEYBOARD_HELD     5 /* modifiers that clients hold */
#define KEYSYM_KEYBOARD_GUEST    4 /* keys of the guest for them */

/* Its members are its own. Zeroed storage and keysym_keyboard_init make one; nothing to free. */
struct keysym_keyboard {
	const struct keymap *keymap;
	void (*emit)(void *opaque, unsigned code, bool down);
	void *opaque;
	/* What the client holds, and with which key of the guest it was pressed. */
	struct keysym_down {
		uint32_t keysym;
		uint16_t code; /* 0: struck and let go already */
		bool printable;
		uint8_t under; /* Shift and AltGr that the client held with it: bits as in held */
	} down[KEYSYM_KEYBOARD_MAX_DOWN];
	unsigned down_count;
	unsigned ended; /* printable keys that were let go before their client said so */
	bool held[KEYSYM_KEYBOARD_HELD], guest[KEYSYM_KEYBOARD_GUEST];
	uint32_t dead; /* a dead key that waits for its letter; 0: none */
	struct caps_lock caps;
	bool caps_turned; /* Caps Lock was tapped for a symbol, and is to be tapped again */
};

void keysym_keyboard_init(struct keysym_keyboard *keyboard, const struct keymap *keymap,
	void (*emit)(void *opaque, unsigned code, bool down), void *opaque);
/* leds: enum input_led mask of the guest; tells whether Caps Lock turns its letters round. */
void keysym_keyboard_event(
	struct keysym_keyboard *keyboard, uint32_t keysym, bool down, unsigned leds);
void keysym_keyboard_release_all(struct keysym_keyboard *keyboard);

#endif
