/* The PS/2 keyboard controller with a keyboard and a mouse. See i8042.c. */
#ifndef VMGUI_DEVICES_I8042_H
#define VMGUI_DEVICES_I8042_H

#include "core/bus.h"
#include "core/device.h"
#include "core/error.h"
#include "core/input_sink.h"
#include "core/irq.h"
#include "core/timer.h"

struct i8042_config {
	struct bus *ports; /* 60h and 64h are claimed; 61h belongs to the in-kernel PIT */
	struct irq_line keyboard_irq; /* 1 */
	struct irq_line mouse_irq;    /* 12 */
	struct timer_queue *timers;   /* outlives the device */
	/* The guest pulses the CPU's reset line. With the device's lock held: only leaves a
	 * request. */
	void (*request_reset)(void *opaque);
	void *opaque;
};

struct i8042;

int i8042_create(
	const struct i8042_config *config, struct i8042 **out, struct error *err) VMGUI_MUST_USE;
struct device *i8042_device(struct i8042 *controller);

/* Live as long as the device. */
struct input_sink *i8042_keyboard_sink(struct i8042 *controller);
struct input_sink *i8042_mouse_sink(struct i8042 *controller);

/* vmmouse_config.announce. */
bool i8042_announce(void *controller, unsigned records);

#endif
