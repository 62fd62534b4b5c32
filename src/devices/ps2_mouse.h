/* A PS/2 mouse: standard, IntelliMouse or IntelliMouse Explorer, as the driver asks. See
 * ps2_mouse.c.
 *
 * Part of the i8042's state and guarded by that device's lock, which the caller holds. */
#ifndef VMGUI_DEVICES_PS2_MOUSE_H
#define VMGUI_DEVICES_PS2_MOUSE_H

#include "devices/ps2_queue.h"

#define PS2_MOUSE_BUTTON_STATES 16u

/* A motion, and the buttons from its end on. */
struct ps2_mouse_stroke {
	int dx, dy;
	uint8_t buttons;
	bool ends;           /* with a change of buttons: later motion must not join it */
	bool long_x, long_y; /* more than a packet held: the way back must not shorten it */
};

struct ps2_mouse {
	struct ps2_queue answers, packets;
	uint8_t last_sent[8]; /* for the resend command: the last sequence */
	unsigned last_length;
	bool last_complete;
	uint8_t command; /* waits for its argument; 0: none */

	uint8_t id; /* 0 standard, 3 IntelliMouse, 4 Explorer */
	uint8_t rate, resolution;
	uint8_t rate_history; /* how much of a knock the last rates make */
	bool reporting, remote, wrap, scaling;

	/* What came since the last sync, in PS/2's directions. */
	int new_dx, new_dy, new_wheel, new_hwheel;
	unsigned new_buttons;
	/* What waits for packets: whole wheel steps, and strokes in turn. There is always room for
	 * one stroke of motion behind those that end with a button. */
	int wheel, hwheel;
	int wheel_rest, hwheel_rest; /* 120ths of a step */
	struct ps2_mouse_stroke strokes[PS2_MOUSE_BUTTON_STATES + 1];
	unsigned stroke_count;
	uint8_t sent_buttons;

	/* Records that wait in a device beside (vmmouse.h), and how many of them a packet has
	 * announced or will. */
	unsigned records, announced;

	void (*enabled_changed)(void *opaque); /* immutable, like the next */
	void *opaque;
};

void ps2_mouse_init(struct ps2_mouse *mouse, void (*enabled_changed)(void *opaque), void *opaque);
void ps2_mouse_power_on(struct ps2_mouse *mouse);

/* A byte from the host; answers wait at once. */
void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte);
/* The next byte to the host; false: none. */
bool ps2_mouse_read(struct ps2_mouse *mouse, uint8_t *byte);

/* As in input_sink_ops. */
void ps2_mouse_relative(struct ps2_mouse *mouse, int dx, int dy);
void ps2_mouse_button(struct ps2_mouse *mouse, unsigned code, bool down);
void ps2_mouse_wheel(struct ps2_mouse *mouse, int vertical, int horizontal);
int ps2_mouse_sync(struct ps2_mouse *mouse);
/* So many records wait elsewhere, each of which is to be announced by a packet, if only an empty
 * one. Returns whether the mouse reports. */
bool ps2_mouse_announce(struct ps2_mouse *mouse, unsigned records);
/* Whether the host has read all that there is to report. */
bool ps2_mouse_is_drained(const struct ps2_mouse *mouse);
/* Whether a sync would take a change of buttons. */
bool ps2_mouse_has_room(const struct ps2_mouse *mouse);

#endif
