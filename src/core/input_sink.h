/* Where input goes: the contract between the input router and a device that takes keys or pointer
 * events (the i8042, the VMware pointer; later virtio-input).
 *
 * Keys and buttons are Linux evdev codes (linux/input-event-codes.h); only the sink knows scan
 * codes. A sequence of bytes for the guest goes into its queue whole or not at all. Motion
 * accumulates until sync. Any thread may call; the sink takes its device's lock itself. Repeat: a
 * sink that the guest programs with a typematic rate repeats by itself; sources send only real
 * presses and releases. */
#ifndef VMGUI_CORE_INPUT_SINK_H
#define VMGUI_CORE_INPUT_SINK_H

#include "core/util.h"

enum input_capability {
	INPUT_KEYBOARD = 1,
	INPUT_POINTER_RELATIVE = 2,
	INPUT_POINTER_ABSOLUTE = 4,
};

enum input_led {
	INPUT_LED_SCROLL = 1,
	INPUT_LED_NUM = 2,
	INPUT_LED_CAPS = 4,
};

/* What a sink says back, with its device's lock held: only wake somebody up. */
struct input_sink_listener {
	void (*leds_changed)(void *opaque, unsigned leds); /* mask of enum input_led */
	/* Room again after -EAGAIN, everything read after drained said no, or the guest switched
	 * the keyboard or pointer on or off. */
	void (*ready)(void *opaque);
	void *opaque;
};

struct input_sink;

struct input_sink_ops {
	const char *name;
	/* 0, or -EAGAIN: no room now, nothing was taken, `ready` follows; -ENOENT: the sink does
	 * not know the key; -ENODEV: the guest has switched the keyboard off (the key is not kept).
	 */
	int (*key)(struct input_sink *sink, unsigned code, bool down);
	/* Motion in pixels, right and down positive, one kind of motion between two syncs; buttons
	 * BTN_LEFT..BTN_EXTRA; wheel in 1/120 of a detent, up and right positive. They change the
	 * pointer's pending state only; sync sends what is pending (-EAGAIN: it stays pending,
	 * `ready` follows). */
	void (*relative)(struct input_sink *sink, int dx, int dy);
	/* 0 <= x < width of the picture. Only with INPUT_POINTER_ABSOLUTE. */
	void (*absolute)(
		struct input_sink *sink, unsigned x, unsigned y, unsigned width, unsigned height);
	void (*button)(struct input_sink *sink, unsigned code, bool down);
	void (*wheel)(struct input_sink *sink, int vertical, int horizontal);
	int (*sync)(struct input_sink *sink);
	/* Whether the guest has read everything that was sent; if not, `ready` follows when it has.
	 * NULL: always. */
	bool (*drained)(struct input_sink *sink);
	/* enum input_capability mask that the guest has switched on right now. */
	unsigned (*active)(struct input_sink *sink);
	/* At most one listener; NULL takes it off. Calls leds_changed at once with the current
	 * state. */
	void (*set_listener)(struct input_sink *sink, const struct input_sink_listener *listener);
};

struct input_sink {
	const struct input_sink_ops *ops;
	unsigned capabilities; /* enum input_capability mask, immutable */
};

#endif
