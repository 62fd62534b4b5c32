/* From what a VNC client says of its keyboard (X keysyms: symbols, not keys) to keys of a guest
 * with the US layout (evdev codes). RFC 6143, section 7.5.4; the layout comes from libxkbcommon.
 *
 * A client types "A" or "/" with whatever its own layout needs. The guest has to get the key that
 * has the symbol, with Shift in the state that the symbol needs; so Shift and AltGr are pressed or
 * let go around a key where the client's own state does not fit, and put back when the key is
 * released.
 *
 * Keypad symbols (KP_7 and KP_Home alike) are keys of the keypad; what those mean is for the
 * guest's Num Lock to say, as with a keyboard that is plugged in.
 *
 * Threads: a keymap is immutable; a keyboard belongs to one thread. */
#ifndef VMGUI_DISPLAY_VNC_KEYS_H
#define VMGUI_DISPLAY_VNC_KEYS_H

#include "core/error.h"
#include "core/util.h"

#define VNC_KEYBOARD_MAX_DOWN 32

struct vnc_keymap;

VMGUI_MUST_USE int vnc_keymap_create(struct vnc_keymap **keymap, struct error *err);
void vnc_keymap_destroy(struct vnc_keymap *keymap);

/* One client's keyboard. Zeroed storage and vnc_keyboard_init make one; nothing to free. */
struct vnc_keyboard {
	const struct vnc_keymap *keymap;
	void (*emit)(void *opaque, unsigned code, bool down);
	void *opaque;
	/* What the client holds, and with which key of the guest it was pressed. */
	struct {
		uint32_t keysym;
		uint16_t code;
		bool printable;
	} down[VNC_KEYBOARD_MAX_DOWN];
	unsigned down_count;
	/* Both Shifts, AltGr and the right Alt as the client holds them; both Shifts and the right
	 * Alt as they are in the guest. */
	bool held[4], guest[3];
};

void vnc_keyboard_init(struct vnc_keyboard *keyboard, const struct vnc_keymap *keymap,
	void (*emit)(void *opaque, unsigned code, bool down), void *opaque);
/* leds: enum input_led mask of the guest; tells whether Caps Lock turns its letters round. */
void vnc_keyboard_event(struct vnc_keyboard *keyboard, uint32_t keysym, bool down, unsigned leds);
void vnc_keyboard_release_all(struct vnc_keyboard *keyboard);

#endif
