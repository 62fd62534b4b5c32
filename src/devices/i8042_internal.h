/* What the controller's files share: i8042.c (the output buffer, the device's life),
 * i8042_ports.c (its registers and commands), i8042_sinks.c (keyboard and mouse as input sinks).
 * Everything is called with base.lock held unless it says otherwise. */
#ifndef VMGUI_DEVICES_I8042_INTERNAL_H
#define VMGUI_DEVICES_I8042_INTERNAL_H

#include "devices/i8042.h"
#include "devices/ps2_keyboard.h"
#include "devices/ps2_mouse.h"

#define I8042_RAM_BYTES 32

/* The command byte, RAM byte 0. */
enum {
	MODE_KEYBOARD_IRQ = 0x01,
	MODE_MOUSE_IRQ = 0x02,
	MODE_SYSTEM = 0x04,
	MODE_KEYBOARD_OFF = 0x10,
	MODE_MOUSE_OFF = 0x20,
	MODE_TRANSLATE = 0x40,
	/* As firmware leaves it: Linux takes the absence of translation for a machine without. */
	MODE_POWER_ON = MODE_KEYBOARD_IRQ | MODE_SYSTEM | MODE_MOUSE_OFF | MODE_TRANSLATE,
};

enum i8042_source {
	FROM_NOBODY,     /* the output buffer is empty */
	FROM_CONTROLLER, /* an answer; shows as the keyboard's */
	FROM_CONTROLLER_AS_MOUSE,
	FROM_KEYBOARD, /* its answer to a command */
	FROM_KEY,
	FROM_MOUSE,
};

struct i8042 {
	struct device base;
	struct input_sink keyboard_sink, mouse_sink; /* immutable, like the six below */
	struct bus *ports;
	bool data_claimed, command_claimed;
	struct irq_line keyboard_irq, mouse_irq;
	void (*request_reset)(void *opaque);
	void *opaque;

	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;

	uint8_t ram[I8042_RAM_BYTES]; /* byte 0 is the command byte */
	bool a20;
	bool last_was_command;
	uint8_t argument_of;   /* the command that the next byte at port 60h belongs to; 0: none */
	bool translated_break; /* the keyboard's last byte was F0 */

	enum i8042_source source;
	uint8_t output;
	/* A device's byte that an answer of the controller has pushed out of the output buffer. */
	enum i8042_source held_source;
	uint8_t held;
	/* A key's byte that comes back when the keyboard has answered a command. */
	bool key_aside;
	uint8_t aside;

	bool keyboard_level, mouse_level;
	bool keyboard_waits, mouse_waits; /* a sink said -EAGAIN, or is asked when all is read */
	bool mouse_drain_waits;           /* as the latter */
	struct input_sink_listener keyboard_listener, mouse_listener;
};

extern const struct bus_region_ops i8042_data_port, i8042_command_port;
extern const struct input_sink_ops i8042_keyboard_sink_ops, i8042_mouse_sink_ops;

/* Whether a byte is on the mouse's side of the output buffer. */
static inline bool i8042_shows_as_mouse(enum i8042_source source)
{
	return source == FROM_MOUSE || source == FROM_CONTROLLER_AS_MOUSE;
}

void i8042_update_irqs(struct i8042 *controller);
/* Fills an empty output buffer, sets the interrupt lines to match, and wakes who waits for room. */
void i8042_refill(struct i8042 *controller);
/* The controller's own byte, for the guest's next read. */
void i8042_answer(struct i8042 *controller, enum i8042_source as, uint8_t byte);
/* The guest speaks to the keyboard and has not read its last key yet: that comes after the answer,
 * as whoever waits for an answer throws away what is none. */
void i8042_set_key_aside(struct i8042 *controller);
bool i8042_keyboard_is_drained(const struct i8042 *controller);
bool i8042_mouse_is_drained(const struct i8042 *controller);

#endif
