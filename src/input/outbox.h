/* What a window's user does, on its way to the router, for windows that must never wait: where the
 * router has no room for a press (-EAGAIN) it is kept here, and everything that comes after it, in
 * order, until the source's listener says that there is room again. Nothing is lost before some ten
 * thousand keys wait; from then on presses are refused as a whole, with their release.
 *
 * Threads: one owns an outbox. */
#ifndef VMGUI_INPUT_OUTBOX_H
#define VMGUI_INPUT_OUTBOX_H

#include <linux/input-event-codes.h>

#include "input/router.h"

#define INPUT_OUTBOX_MAX_EVENTS (1u << 16)

struct input_outbox_event;

struct input_outbox {
	struct input_source *source;       /* NULL: there are no input devices, nothing is sent */
	struct input_outbox_event *events; /* a ring */
	size_t capacity, head, count;
	bool unsynced;      /* the source has collected motion since its last sync */
	bool down[KEY_CNT]; /* pressed, and not let go yet, as far as the user knows */
};

/* Zeroed storage with a source is a fresh one. */
void input_outbox_fini(struct input_outbox *outbox);

/* As those of input_source, which they reach at once if nothing waits. A press of what is down
 * already is ignored. False: the press is refused, too many wait. */
bool input_outbox_key(struct input_outbox *outbox, unsigned code, bool down);
bool input_outbox_button(struct input_outbox *outbox, unsigned code, bool down);
/* Motion may be collected for a while before input_outbox_sync; everything else goes at once. */
void input_outbox_relative(struct input_outbox *outbox, int dx, int dy);
void input_outbox_absolute(
	struct input_outbox *outbox, unsigned x, unsigned y, unsigned width, unsigned height);
void input_outbox_wheel(struct input_outbox *outbox, int vertical, int horizontal);
void input_outbox_sync(struct input_outbox *outbox);
/* Everything that is down is let go, after what waits. */
void input_outbox_release_all(struct input_outbox *outbox);
/* There is room: sends what there is room for. */
void input_outbox_step(struct input_outbox *outbox);

#endif
