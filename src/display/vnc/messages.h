/* What a VNC client says of its keyboard and pointer, as bytes: how long a message is and what it
 * means. Knows no socket and no library.
 *
 * Protocol: RFC 6143, sections 7.5.4 KeyEvent and 7.5.5 PointerEvent; the community's RFB document
 * (rfbproto), "QEMU Extended Key Event Message" and "Extended Mouse Buttons Pseudo-encoding".
 *
 *   KeyEvent           4, down, 2 of padding, keysym (4)
 *   PointerEvent       5, buttons, x (2), y (2)
 *   the same, extended 5, buttons 1 to 7 | 80h, x (2), y (2), buttons from 8 on
 *   extended key       255, 0, down (2), keysym (4), scan code (4)
 *
 * Numbers are big-endian. Threads: none of its own, no state. */
#ifndef VMGUI_DISPLAY_VNC_MESSAGES_H
#define VMGUI_DISPLAY_VNC_MESSAGES_H

#include "core/util.h"

enum vnc_message_type {
	VNC_KEY_EVENT = 4,
	VNC_POINTER_EVENT = 5,
	VNC_QEMU_MESSAGE = 255,
};

#define VNC_MESSAGE_MAX_BYTES 12

struct vnc_message {
	enum vnc_message_type type;
	bool down;
	uint32_t keysym;
	uint32_t scancode; /* set 1, E0 prefix as 80h (xt_keys.h); 0: none is known */
	unsigned buttons;  /* bit N: button N + 1 */
	unsigned x, y;     /* a place, or motion from VNC_MOTION_ZERO on (pointer.h) */
};

/* How long the message is of which these are the first bytes (at least one), as far as they tell:
 * a result larger than `have` may still grow. extended_buttons: the client was told that it may use
 * the longer form. -EPROTO: no input message, or none that is known. */
VMGUI_MUST_USE int vnc_message_bytes(const uint8_t *bytes, size_t have, bool extended_buttons);
/* A whole message, of the length that vnc_message_bytes gave. */
void vnc_message_parse(const uint8_t *bytes, size_t length, struct vnc_message *message);

#endif
