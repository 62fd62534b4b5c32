/* Keys and buttons of one client on their way to the guest: what finds no room waits, so that none
 * is ever lost.
 *
 * Threads: one client's input thread. */
#ifndef VMGUI_DISPLAY_VNC_SENDER_H
#define VMGUI_DISPLAY_VNC_SENDER_H

#include "core/util.h"
#include "input/router.h"

struct vnc_sender {
	struct input_source *source;
	const char *name; /* of the client, for messages */
	/* Blocks until there may be room (the source's listener: room); false: do not wait, the
	 * client is gone or everything ends. NULL: never wait. */
	bool (*wait)(void *opaque);
	void *opaque;
	bool given_up; /* wait has said so: what finds no room is dropped from then on */
};

/* evdev codes; a key or a button by its code. */
void vnc_send(struct vnc_sender *sender, unsigned code, bool down);

#endif
