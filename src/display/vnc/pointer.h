/* From a VNC client's pointer (a place and a button mask, RFC 6143 section 7.5.5) to the guest's.
 *
 * A guest with an absolute pointer gets the place. One that has only a relative mouse gets the
 * difference from the client's last place, and its pointer drifts from the client's whenever the
 * guest accelerates. So at an edge of the picture the difference is made larger than the picture:
 * that pins the guest's pointer to the same edge, and a client (or a test) gets both together again
 * by touching two edges, that is, a corner. The first event does so by itself, as nobody knows
 * where the guest's pointer is.
 *
 * Threads: one client's input thread. */
#ifndef VMGUI_DISPLAY_VNC_POINTER_H
#define VMGUI_DISPLAY_VNC_POINTER_H

#include "core/util.h"
#include "input/router.h"

struct vnc_pointer {
	bool known; /* x and y are where the guest's pointer should be */
	int x, y;
	unsigned buttons;
};

/* capabilities: enum input_capability mask that the guest has switched on. */
void vnc_pointer_event(struct vnc_pointer *pointer, struct input_source *source, unsigned buttons,
	int x, int y, int width, int height, unsigned capabilities);

#endif
