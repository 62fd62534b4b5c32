/* One VNC client's keyboard and pointer: messages in, keys of the guest out. Knows no socket and no
 * library.
 *
 * A client that knows the QEMU Extended Key Event sends scan codes, which are keys of the guest
 * whatever the layouts are; the symbols of any other client are played on the guest's layout
 * (input/keysym_keyboard.h). One client may do both, for keys that it has no scan code for; Shift
 * and AltGr are therefore the same ones for both.
 *
 * Threads: one client's input thread. */
#ifndef VMGUI_DISPLAY_VNC_INPUT_H
#define VMGUI_DISPLAY_VNC_INPUT_H

#include "display/vnc/locks.h"
#include "display/vnc/messages.h"
#include "display/vnc/pointer.h"
#include "input/keysym_keyboard.h"

/* Its members are its own, but for the sender, which the caller fills. */
struct vnc_input {
	struct vnc_sender sender;
	struct keysym_keyboard keyboard;
	struct vnc_pointer pointer;
	struct vnc_locks locks;
	unsigned modifiers; /* that the client holds, as bits of the table in input.c */
	bool sync_locks;    /* the guest's lock lights follow the client's */
};

void vnc_input_init(struct vnc_input *input, const struct keymap *keymap, struct vnc_place *place,
	bool sync_locks);
/* Nothing counts as held any more. */
void vnc_input_release_all(struct vnc_input *input);
/* leds: the guest's, enum input_led mask. Blocks as the sender does. */
void vnc_input_message(struct vnc_input *input, const struct vnc_message *message,
	const struct vnc_pointer_view *view, unsigned leds);

#endif
