/* What a VNC client's keys tell of its lock lights. RFB has no message for them; but a letter or a
 * key of the keypad that comes with its symbol shows whether Caps or Num Lock is on at the client.
 * A symbol that comes without its key shows nothing, and needs nothing: it is typed as it is, and
 * what the keypad's mean is for the guest to say (input/keysym_keyboard.h).
 *
 * Only a change of what is seen counts: two clients whose lights differ would otherwise turn the
 * guest's round with every letter. And after a lock key nothing is concluded until the guest has
 * answered it, as its lights are what there is to compare with.
 *
 * Threads: one client's input thread. */
#ifndef VMGUI_DISPLAY_VNC_LOCKS_H
#define VMGUI_DISPLAY_VNC_LOCKS_H

#include "core/util.h"

/* Masks of enum input_led. Zeroed storage is a fresh one. */
struct vnc_locks {
	unsigned known, leds; /* as last seen at the client */
	unsigned pending,
		old_leds; /* lock keys that the guest has not answered, and its lights then */
};

/* The client presses a key. code: evdev, 0 if only the symbol is known; plain: no modifier is held
 * with it. guest_leds: the guest's lights. Returns those of the client's lights that are seen to be
 * other than before (or for the first time), with their state in *leds. */
unsigned vnc_locks_press(struct vnc_locks *locks, uint32_t keysym, unsigned code, bool plain,
	unsigned guest_leds, unsigned *leds);

#endif
