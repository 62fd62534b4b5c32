/* The PS/2 keyboard controller (Intel 8042) with a keyboard and a mouse: its output buffer, its
 * interrupts and its life. See i8042_ports.c for what the guest can ask, i8042_sinks.c for where
 * keys and motion come in.
 *
 * Specification: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller" (the output buffer, the command byte).
 *
 *	guest <- output buffer <- answer of the controller
 *	                       <- keyboard (translated to set 1 if the command byte says so)
 *	                       <- mouse
 *
 * One byte at a time stands in the output buffer; reading it makes room for the next, and each
 * gives its own edge on IRQ 1 or 12. An answer of the controller overtakes a device's byte that the
 * guest has not fetched yet; that byte comes back after it. Nothing is delayed
 * here; the keyboard paces a flood of keys (ps2_keyboard.h).
 *
 * Threads: vCPUs (registers), any thread (input sinks), "timers" (a key that repeats); base.lock
 * guards everything that is not marked immutable. */
#include "devices/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/i8042_internal.h"
#include "devices/ps2_scancodes.h"

#define DATA_PORT    0x60
#define COMMAND_PORT 0x64
#define BREAK_PREFIX 0xf0

void i8042_update_irqs(struct i8042 *controller)
{
	uint8_t mode = controller->ram[0];
	bool full = controller->source != FROM_NOBODY;
	bool mouse = i8042_shows_as_mouse(controller->source);
	bool keyboard_level = full && !mouse && (mode & MODE_KEYBOARD_IRQ);
	bool mouse_level = full && mouse && (mode & MODE_MOUSE_IRQ);
	if (keyboard_level != controller->keyboard_level) {
		controller->keyboard_level = keyboard_level;
		irq_line_set(&controller->keyboard_irq, keyboard_level);
	}
	if (mouse_level != controller->mouse_level) {
		controller->mouse_level = mouse_level;
		irq_line_set(&controller->mouse_irq, mouse_level);
	}
}

static bool fetch_keyboard(struct i8042 *controller)
{
	uint8_t byte;
	while (ps2_keyboard_read(&controller->keyboard, &byte)) {
		if (controller->ram[0] & MODE_TRANSLATE) {
			if (byte == BREAK_PREFIX) {
				controller->translated_break = true;
				continue;
			}
			byte = ps2_scancode_translate(byte);
			if (controller->translated_break)
				byte |= 0x80;
		}
		controller->translated_break = false;
		controller->output = byte;
		controller->source = controller->keyboard.sent_key ? FROM_KEY : FROM_KEYBOARD;
		return true;
	}
	return false;
}

static bool fetch_mouse(struct i8042 *controller)
{
	if (!ps2_mouse_read(&controller->mouse, &controller->output))
		return false;
	controller->source = FROM_MOUSE;
	return true;
}

static void tell_ready(const struct input_sink_listener *listener)
{
	if (listener->ready)
		listener->ready(listener->opaque);
}

bool i8042_keyboard_is_drained(const struct i8042 *controller)
{
	return ps2_keyboard_is_drained(&controller->keyboard) && controller->source != FROM_KEY &&
	       controller->held_source != FROM_KEY && !controller->key_aside;
}

bool i8042_mouse_is_drained(const struct i8042 *controller)
{
	return ps2_mouse_is_drained(&controller->mouse) && controller->source != FROM_MOUSE &&
	       controller->held_source != FROM_MOUSE;
}

static void tell_keyboard_ready(struct i8042 *controller)
{
	if (!controller->keyboard_waits || controller->keyboard.full)
		return;
	controller->keyboard_waits = false;
	tell_ready(&controller->keyboard_listener);
}

void i8042_refill(struct i8042 *controller)
{
	uint8_t mode = controller->ram[0];
	if (controller->source == FROM_NOBODY && controller->held_source != FROM_NOBODY) {
		controller->source = controller->held_source;
		controller->output = controller->held;
		controller->held_source = FROM_NOBODY;
	}
	if (controller->source == FROM_NOBODY && controller->key_aside &&
		(mode & MODE_KEYBOARD_OFF || !ps2_keyboard_is_busy(&controller->keyboard))) {
		controller->source = FROM_KEY;
		controller->output = controller->aside;
		controller->key_aside = false;
	}
	if (controller->source == FROM_NOBODY && !(mode & MODE_KEYBOARD_OFF))
		(void)fetch_keyboard(controller);
	if (controller->source == FROM_NOBODY && !(mode & MODE_MOUSE_OFF))
		(void)fetch_mouse(controller);
	i8042_update_irqs(controller);

	if (i8042_keyboard_is_drained(controller)) {
		ps2_keyboard_all_is_read(&controller->keyboard);
		tell_keyboard_ready(controller);
	}
	if ((controller->mouse_waits && ps2_mouse_has_room(&controller->mouse)) ||
		(controller->mouse_drain_waits && i8042_mouse_is_drained(controller))) {
		controller->mouse_waits = controller->mouse_drain_waits = false;
		tell_ready(&controller->mouse_listener);
	}
}

void i8042_answer(struct i8042 *controller, enum i8042_source as, uint8_t byte)
{
	if (controller->source >= FROM_KEYBOARD) {
		controller->held_source = controller->source;
		controller->held = controller->output;
	}
	/* Its own edge, although the buffer was full perhaps. */
	controller->source = FROM_NOBODY;
	i8042_update_irqs(controller);
	controller->source = as;
	controller->output = byte;
	i8042_update_irqs(controller);
}

void i8042_set_key_aside(struct i8042 *controller)
{
	if (controller->source == FROM_KEY) {
		controller->aside = controller->output;
		controller->source = FROM_NOBODY;
		i8042_update_irqs(controller); /* so that the answer has an edge */
	} else if (controller->held_source == FROM_KEY) {
		controller->aside = controller->held;
		controller->held_source = FROM_NOBODY;
	} else {
		return;
	}
	controller->key_aside = true;
}

/* What the two devices say, with the lock held. */

static void on_keyboard_output(void *opaque)
{
	i8042_refill(opaque);
}

static void on_leds_changed(void *opaque, unsigned leds)
{
	const struct i8042 *controller = opaque;
	const struct input_sink_listener *listener = &controller->keyboard_listener;
	if (listener->leds_changed)
		listener->leds_changed(listener->opaque, leds);
}

static void on_keyboard_room(void *opaque)
{
	tell_keyboard_ready(opaque);
}

static void on_keyboard_enabled(void *opaque)
{
	const struct i8042 *controller = opaque;
	tell_ready(&controller->keyboard_listener);
}

static void on_mouse_enabled(void *opaque)
{
	const struct i8042 *controller = opaque;
	tell_ready(&controller->mouse_listener);
}

/* Life. */

static void power_on(struct i8042 *controller)
{
	for (unsigned i = 0; i < I8042_RAM_BYTES; i++)
		controller->ram[i] = 0;
	controller->ram[0] = MODE_POWER_ON;
	controller->a20 = true;
	controller->last_was_command = false;
	controller->argument_of = 0;
	controller->translated_break = false;
	controller->source = controller->held_source = FROM_NOBODY;
	controller->key_aside = false;
	controller->output = 0;
	ps2_keyboard_power_on(&controller->keyboard);
	ps2_mouse_power_on(&controller->mouse);
	i8042_refill(controller);
}

static void i8042_reset(struct device *device)
{
	struct i8042 *controller = container_of(device, struct i8042, base);
	pthread_mutex_lock(&device->lock);
	power_on(controller);
	pthread_mutex_unlock(&device->lock);
}

static void i8042_destroy(struct device *device)
{
	if (!device)
		return;
	struct i8042 *controller = container_of(device, struct i8042, base);
	if (controller->command_claimed)
		bus_remove(controller->ports, COMMAND_PORT);
	if (controller->data_claimed)
		bus_remove(controller->ports, DATA_PORT);
	ps2_keyboard_fini(&controller->keyboard);
	device_fini(&controller->base);
	free(controller);
}

static const struct device_ops i8042_device_ops = {
	.name = "i8042",
	.reset = i8042_reset,
	.destroy = i8042_destroy,
};

static int claim(struct i8042 *controller, uint64_t port, const struct bus_region_ops *ops,
	struct error *err)
{
	const struct bus_region region = {
		.base = port,
		.length = 1,
		.widths = BUS_WIDTH_1,
		.owner = "i8042",
		.ops = ops,
		.opaque = controller,
		.lock = &controller->base.lock,
	};
	return bus_add(controller->ports, &region, err);
}

int i8042_create(const struct i8042_config *config, struct i8042 **out, struct error *err)
{
	struct i8042 *controller = calloc(1, sizeof(*controller));
	if (!controller)
		return error_set(err, ENOMEM, "i8042: out of memory");
	device_init(&controller->base, &i8042_device_ops);
	controller->keyboard_sink = (struct input_sink){ .ops = &i8042_keyboard_sink_ops,
		.capabilities = INPUT_KEYBOARD };
	controller->mouse_sink = (struct input_sink){ .ops = &i8042_mouse_sink_ops,
		.capabilities = INPUT_POINTER_RELATIVE };
	controller->ports = config->ports;
	controller->keyboard_irq = config->keyboard_irq;
	controller->mouse_irq = config->mouse_irq;
	controller->request_reset = config->request_reset;
	controller->opaque = config->opaque;
	const struct ps2_keyboard_events events = {
		.output = on_keyboard_output,
		.leds_changed = on_leds_changed,
		.enabled_changed = on_keyboard_enabled,
		.room = on_keyboard_room,
		.opaque = controller,
	};
	ps2_keyboard_init(&controller->keyboard, &events, config->timers, &controller->base.lock);
	ps2_mouse_init(&controller->mouse, on_mouse_enabled, controller);
	power_on(controller);

	int rc = claim(controller, DATA_PORT, &i8042_data_port, err);
	controller->data_claimed = !rc;
	if (!rc) {
		rc = claim(controller, COMMAND_PORT, &i8042_command_port, err);
		controller->command_claimed = !rc;
	}
	if (rc) {
		i8042_destroy(&controller->base);
		return rc;
	}
	*out = controller;
	return 0;
}

struct device *i8042_device(struct i8042 *controller)
{
	return &controller->base;
}

struct input_sink *i8042_keyboard_sink(struct i8042 *controller)
{
	return &controller->keyboard_sink;
}

struct input_sink *i8042_mouse_sink(struct i8042 *controller)
{
	return &controller->mouse_sink;
}

bool i8042_announce(void *opaque, unsigned records)
{
	struct i8042 *controller = opaque;
	pthread_mutex_lock(&controller->base.lock);
	bool reports = ps2_mouse_announce(&controller->mouse, records);
	i8042_refill(controller);
	pthread_mutex_unlock(&controller->base.lock);
	return reports;
}
