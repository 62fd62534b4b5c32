/* From a VNC client's pointer (a place or a motion, and a button mask; RFC 6143 section 7.5.5, with
 * the extensions named in messages.h) to the guest's.
 *
 * A guest with an absolute pointer gets the place. One that has only a relative mouse gets motion:
 * the client's own, if it speaks the QEMU Pointer Motion Change extension, and has been told to
 * send that. From any other client it gets the difference from its last place, and its pointer
 * drifts from the client's whenever the guest accelerates. So at an edge of the picture the
 * difference is made larger than the picture: that pins the guest's pointer to the same edge, and a
 * client (or a test) gets both together again by touching two edges, that is, a corner. The first
 * event does so by itself, as nobody knows where the guest's pointer is, and so does the first one
 * after a window has moved it or the guest has started anew. Several clients share the one pointer,
 * and so what is known of its place.
 *
 * Threads: one client's input thread. */
#ifndef VMGUI_DISPLAY_VNC_POINTER_H
#define VMGUI_DISPLAY_VNC_POINTER_H

#include <pthread.h>

#include "display/vnc/sender.h"

#define VNC_MOTION_ZERO 0x7fff /* an event's x or y that means: not moved */

enum vnc_pointer_mode {
	VNC_POINTER_PLACES,   /* the client knows nothing else */
	VNC_POINTER_ABSOLUTE, /* it knows both and was told to send places; */
	VNC_POINTER_RELATIVE, /* or motion. What was on its way says the other thing still. */
};

/* What the pointer's events are about. */
struct vnc_pointer_view {
	int width, height;     /* of the guest's picture as the client sees it */
	unsigned capabilities; /* enum input_capability mask that the guest has switched on */
	enum vnc_pointer_mode mode;
};

/* Where the guest's pointer should be, while it has a mouse only; one for all clients. */
struct vnc_place {
	pthread_mutex_t lock; /* taken before the router's; covers what follows and its sending */
	bool known;
	int x, y;
	const struct input_source *mover; /* who took it there; anybody else since: not known */
};

/* Zeroed storage with a place is a fresh one. */
struct vnc_pointer {
	struct vnc_place *place;
	bool known; /* x and y are where this client pointed last, in a picture of that size */
	int x, y, width, height;
	unsigned buttons;
};

/* buttons: bit N for button N + 1, of which 4 to 7 are the wheels. */
void vnc_pointer_event(struct vnc_pointer *pointer, struct vnc_sender *sender,
	const struct vnc_pointer_view *view, unsigned buttons, int x, int y);

#endif
