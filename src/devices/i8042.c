/* The PS/2 keyboard controller (Intel 8042) with a keyboard and a mouse.
 *
 * Specification: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller" (commands 20h to FFh of port 64h, the output port, the command byte). Active
 *multiplexing is absent: D3h echoes whatever it is given, which is how a driver finds that out. A20
 *is a bit that is kept and does nothing: the guest's memory has no such gate.
 *
 *	guest <- output buffer <- answer of the controller
 *	                       <- keyboard (translated to set 1 if the command byte says so)
 *	                       <- mouse
 *
 * One byte at a time stands in the output buffer; reading it makes room for the next, and each
 *gives its own edge on IRQ 1 or 12. An answer of the controller overtakes a device's byte that the
 *guest has not fetched yet; that byte comes back after it. Nothing is delayed artificially.
 *
 * Threads: vCPUs (registers), any thread (input sinks), "timers" (a key that repeats); base.lock
 *guards everything that is not marked immutable. */
#include "devices/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "devices/ps2_keyboard.h"
#include "devices/ps2_mouse.h"
#include "devices/ps2_scancodes.h"

#define DATA_PORT    0x60
#define COMMAND_PORT 0x64

enum {
	STATUS_OUTPUT_FULL = 0x01,
	STATUS_SYSTEM = 0x04,
	STATUS_COMMAND = 0x08, /* the last byte written was a command */
	STATUS_NOT_LOCKED = 0x10,
	STATUS_MOUSE = 0x20, /* the output buffer's byte is the mouse's */

	/* The command byte, RAM byte 0. */
	MODE_KEYBOARD_IRQ = 0x01,
	MODE_MOUSE_IRQ = 0x02,
	MODE_SYSTEM = 0x04,
	MODE_KEYBOARD_OFF = 0x10,
	MODE_MOUSE_OFF = 0x20,
	MODE_TRANSLATE = 0x40,
	/* As firmware leaves it: Linux takes the absence of translation for a machine without. */
	MODE_POWER_ON = MODE_KEYBOARD_IRQ | MODE_SYSTEM | MODE_MOUSE_OFF | MODE_TRANSLATE,

	COMMAND_READ_RAM = 0x20,  /* to 3Fh */
	COMMAND_WRITE_RAM = 0x60, /* to 7Fh */
	COMMAND_PASSWORD_INSTALLED = 0xa4,
	COMMAND_MOUSE_OFF = 0xa7,
	COMMAND_MOUSE_ON = 0xa8,
	COMMAND_TEST_MOUSE_LINE = 0xa9,
	COMMAND_SELF_TEST = 0xaa,
	COMMAND_TEST_KEYBOARD_LINE = 0xab,
	COMMAND_KEYBOARD_OFF = 0xad,
	COMMAND_KEYBOARD_ON = 0xae,
	COMMAND_READ_INPUT_PORT = 0xc0,
	COMMAND_READ_OUTPUT_PORT = 0xd0,
	COMMAND_WRITE_OUTPUT_PORT = 0xd1,
	COMMAND_KEYBOARD_LOOP = 0xd2,
	COMMAND_MOUSE_LOOP = 0xd3,
	COMMAND_WRITE_MOUSE = 0xd4,
	COMMAND_A20_OFF = 0xdd,
	COMMAND_A20_ON = 0xdf,
	COMMAND_READ_TEST_INPUTS = 0xe0,
	COMMAND_PULSE_OUTPUT_PORT = 0xf0, /* to FFh: the low bits that are 0 go low for a moment */

	SELF_TEST_PASSED = 0x55,
	LINE_TEST_PASSED = 0x00,
	NO_PASSWORD = 0xf1,

	OUTPUT_PORT_NOT_RESET = 0x01,
	OUTPUT_PORT_A20 = 0x02,
	OUTPUT_PORT_KEYBOARD_FULL = 0x10,
	OUTPUT_PORT_MOUSE_FULL = 0x20,
	OUTPUT_PORT_LINES = 0xc0, /* keyboard clock and data, high at rest */

	INPUT_PORT = 0xa0, /* not locked, no manufacturing jumper */

	RAM_BYTES = 32,
	BREAK_PREFIX = 0xf0,
};

enum source {
	FROM_NOBODY,     /* the output buffer is empty */
	FROM_CONTROLLER, /* an answer; shows as the keyboard's */
	FROM_CONTROLLER_AS_MOUSE,
	FROM_KEYBOARD,
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

	uint8_t ram[RAM_BYTES]; /* byte 0 is the command byte */
	bool a20;
	bool last_was_command;
	uint8_t argument_of;   /* the command that the next byte at port 60h belongs to; 0: none */
	bool translated_break; /* the keyboard's last byte was F0 */

	enum source source;
	uint8_t output;
	/* A device's byte that an answer has pushed out of the output buffer. A key's comes back
	 * when the keyboard has answered. */
	enum source held_source;
	uint8_t held;

	bool keyboard_level, mouse_level;
	bool keyboard_waits, mouse_waits; /* a sink said -EAGAIN, or is asked when all is read */
	bool mouse_drain_waits;           /* as the latter */
	struct input_sink_listener keyboard_listener, mouse_listener;
};

static bool shows_as_mouse(enum source source)
{
	return source == FROM_MOUSE || source == FROM_CONTROLLER_AS_MOUSE;
}

static void update_irqs(struct i8042 *controller)
{
	uint8_t mode = controller->ram[0];
	bool full = controller->source != FROM_NOBODY, mouse = shows_as_mouse(controller->source);
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
		controller->source = FROM_KEYBOARD;
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

static bool keyboard_is_drained(const struct i8042 *controller)
{
	return ps2_keyboard_is_drained(&controller->keyboard) &&
	       controller->source != FROM_KEYBOARD && controller->held_source != FROM_KEYBOARD;
}

static bool mouse_is_drained(const struct i8042 *controller)
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

/* Fills an empty output buffer, sets the interrupt lines to match, and wakes who waits for room. */
static void refill(struct i8042 *controller)
{
	uint8_t mode = controller->ram[0];
	bool waits = controller->held_source == FROM_KEYBOARD && !(mode & MODE_KEYBOARD_OFF) &&
		     ps2_keyboard_is_busy(&controller->keyboard);
	if (controller->source == FROM_NOBODY && controller->held_source != FROM_NOBODY && !waits) {
		controller->source = controller->held_source;
		controller->output = controller->held;
		controller->held_source = FROM_NOBODY;
	}
	if (controller->source == FROM_NOBODY && !(mode & MODE_KEYBOARD_OFF))
		(void)fetch_keyboard(controller);
	if (controller->source == FROM_NOBODY && !(mode & MODE_MOUSE_OFF))
		(void)fetch_mouse(controller);
	update_irqs(controller);

	if (keyboard_is_drained(controller)) {
		ps2_keyboard_all_is_read(&controller->keyboard);
		tell_keyboard_ready(controller);
	}
	if ((controller->mouse_waits && ps2_mouse_has_room(&controller->mouse)) ||
		(controller->mouse_drain_waits && mouse_is_drained(controller))) {
		controller->mouse_waits = controller->mouse_drain_waits = false;
		tell_ready(&controller->mouse_listener);
	}
}

/* The controller's own byte, for the guest's next read. */
static void answer(struct i8042 *controller, enum source as, uint8_t byte)
{
	if (controller->source == FROM_KEYBOARD || controller->source == FROM_MOUSE) {
		controller->held_source = controller->source;
		controller->held = controller->output;
	}
	/* Its own edge, although the buffer was full perhaps. */
	controller->source = FROM_NOBODY;
	update_irqs(controller);
	controller->source = as;
	controller->output = byte;
	update_irqs(controller);
}

static uint8_t output_port(const struct i8042 *controller)
{
	bool mouse = shows_as_mouse(controller->source);
	unsigned value = OUTPUT_PORT_LINES | OUTPUT_PORT_NOT_RESET;
	if (controller->a20)
		value |= OUTPUT_PORT_A20;
	if (controller->source != FROM_NOBODY)
		value |= mouse ? OUTPUT_PORT_MOUSE_FULL : OUTPUT_PORT_KEYBOARD_FULL;
	return (uint8_t)value;
}

static void reset_cpu(struct i8042 *controller)
{
	if (controller->request_reset)
		controller->request_reset(controller->opaque);
}

static void write_output_port(struct i8042 *controller, uint8_t value)
{
	controller->a20 = value & OUTPUT_PORT_A20;
	if (!(value & OUTPUT_PORT_NOT_RESET))
		reset_cpu(controller);
}

static void set_mode_bit(struct i8042 *controller, uint8_t bit, bool on)
{
	controller->ram[0] =
		(uint8_t)(on ? controller->ram[0] | bit : controller->ram[0] & (uint8_t)~bit);
	refill(controller);
}

static void do_command(struct i8042 *controller, uint8_t command)
{
	controller->argument_of = 0;
	switch (command) {
	case COMMAND_READ_RAM ... COMMAND_READ_RAM + RAM_BYTES - 1:
		answer(controller, FROM_CONTROLLER, controller->ram[command % RAM_BYTES]);
		break;
	case COMMAND_WRITE_RAM ... COMMAND_WRITE_RAM + RAM_BYTES - 1:
	case COMMAND_WRITE_OUTPUT_PORT:
	case COMMAND_KEYBOARD_LOOP:
	case COMMAND_MOUSE_LOOP:
	case COMMAND_WRITE_MOUSE:
		controller->argument_of = command;
		break;
	case COMMAND_PASSWORD_INSTALLED:
		answer(controller, FROM_CONTROLLER, NO_PASSWORD);
		break;
	case COMMAND_MOUSE_OFF:
	case COMMAND_MOUSE_ON:
		set_mode_bit(controller, MODE_MOUSE_OFF, command == COMMAND_MOUSE_OFF);
		break;
	case COMMAND_KEYBOARD_OFF:
	case COMMAND_KEYBOARD_ON:
		set_mode_bit(controller, MODE_KEYBOARD_OFF, command == COMMAND_KEYBOARD_OFF);
		break;
	case COMMAND_TEST_MOUSE_LINE:
	case COMMAND_TEST_KEYBOARD_LINE:
		answer(controller, FROM_CONTROLLER, LINE_TEST_PASSED);
		break;
	case COMMAND_SELF_TEST:
		controller->ram[0] |= MODE_SYSTEM;
		answer(controller, FROM_CONTROLLER, SELF_TEST_PASSED);
		break;
	case COMMAND_READ_INPUT_PORT:
		answer(controller, FROM_CONTROLLER, INPUT_PORT);
		break;
	case COMMAND_READ_OUTPUT_PORT:
		answer(controller, FROM_CONTROLLER, output_port(controller));
		break;
	case COMMAND_A20_OFF:
	case COMMAND_A20_ON:
		controller->a20 = command == COMMAND_A20_ON;
		break;
	case COMMAND_READ_TEST_INPUTS:
		/* The clock lines: high, unless we hold them down. */
		answer(controller, FROM_CONTROLLER,
			(uint8_t)((controller->ram[0] & MODE_KEYBOARD_OFF ? 0 : 1) |
				  (controller->ram[0] & MODE_MOUSE_OFF ? 0 : 2)));
		break;
	case COMMAND_PULSE_OUTPUT_PORT ... 0xff:
		if (!(command & OUTPUT_PORT_NOT_RESET))
			reset_cpu(controller);
		break;
	default:
		log_guest("i8042", "unknown command %02x", command);
		break;
	}
}

/* The guest speaks to the keyboard and has not read its last key yet: that comes after the answer,
 * as whoever waits for an answer throws away what is none. */
static void set_key_aside(struct i8042 *controller)
{
	if (controller->source != FROM_KEYBOARD || !controller->keyboard.sent_key ||
		controller->held_source != FROM_NOBODY)
		return;
	controller->held_source = FROM_KEYBOARD;
	controller->held = controller->output;
	controller->source = FROM_NOBODY;
	update_irqs(controller); /* so that the answer has an edge */
}

static void do_data(struct i8042 *controller, uint8_t value)
{
	uint8_t command = controller->argument_of;
	controller->argument_of = 0;
	switch (command) {
	case COMMAND_WRITE_RAM ... COMMAND_WRITE_RAM + RAM_BYTES - 1:
		controller->ram[command % RAM_BYTES] = value;
		break;
	case COMMAND_WRITE_OUTPUT_PORT:
		write_output_port(controller, value);
		break;
	case COMMAND_KEYBOARD_LOOP:
		answer(controller, FROM_CONTROLLER, value);
		break;
	case COMMAND_MOUSE_LOOP:
		answer(controller, FROM_CONTROLLER_AS_MOUSE, value);
		break;
	case COMMAND_WRITE_MOUSE:
		/* To send a device something its clock has to run: sending switches it on. */
		controller->ram[0] &= (uint8_t)~MODE_MOUSE_OFF;
		ps2_mouse_write(&controller->mouse, value);
		break;
	default:
		controller->ram[0] &= (uint8_t)~MODE_KEYBOARD_OFF;
		set_key_aside(controller);
		ps2_keyboard_write(&controller->keyboard, value);
		break;
	}
	refill(controller);
}

static uint64_t read_data_port(void *opaque, uint64_t offset, unsigned width)
{
	struct i8042 *controller = opaque;
	(void)offset, (void)width;
	/* An empty buffer reads as what was in it last. */
	uint8_t value = controller->output;
	if (controller->source != FROM_NOBODY) {
		controller->source = FROM_NOBODY;
		update_irqs(controller); /* so that the next byte has an edge */
		refill(controller);
	}
	return value;
}

static uint64_t read_status_port(void *opaque, uint64_t offset, unsigned width)
{
	const struct i8042 *controller = opaque;
	(void)offset, (void)width;
	unsigned status = STATUS_NOT_LOCKED; /* never busy: what is written is taken at once */
	if (controller->source != FROM_NOBODY)
		status |= STATUS_OUTPUT_FULL;
	if (shows_as_mouse(controller->source))
		status |= STATUS_MOUSE;
	if (controller->ram[0] & MODE_SYSTEM)
		status |= STATUS_SYSTEM;
	if (controller->last_was_command)
		status |= STATUS_COMMAND;
	return status;
}

static void write_data_port(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct i8042 *controller = opaque;
	(void)offset, (void)width;
	controller->last_was_command = false;
	do_data(controller, (uint8_t)value);
}

static void write_command_port(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct i8042 *controller = opaque;
	(void)offset, (void)width;
	controller->last_was_command = true;
	do_command(controller, (uint8_t)value);
}

static const struct bus_region_ops data_port = { read_data_port, write_data_port };
static const struct bus_region_ops command_port = { read_status_port, write_command_port };

/* The keyboard as an input sink. */

static struct i8042 *of_keyboard(struct input_sink *sink)
{
	return container_of(sink, struct i8042, keyboard_sink);
}

static int sink_key(struct input_sink *sink, unsigned code, bool down)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	int rc = ps2_keyboard_key(&controller->keyboard, code, down);
	if (rc == -EAGAIN)
		controller->keyboard_waits = true;
	refill(controller);
	pthread_mutex_unlock(&controller->base.lock);
	return rc;
}

static bool sink_keyboard_drained(struct input_sink *sink)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	bool drained = keyboard_is_drained(controller);
	controller->keyboard_waits |= !drained;
	pthread_mutex_unlock(&controller->base.lock);
	return drained;
}

static unsigned keyboard_active(struct input_sink *sink)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	unsigned active = controller->keyboard.scanning ? INPUT_KEYBOARD : 0;
	pthread_mutex_unlock(&controller->base.lock);
	return active;
}

static void set_keyboard_listener(
	struct input_sink *sink, const struct input_sink_listener *listener)
{
	struct i8042 *controller = of_keyboard(sink);
	pthread_mutex_lock(&controller->base.lock);
	controller->keyboard_listener = listener ? *listener : (struct input_sink_listener){ 0 };
	if (listener && listener->leds_changed)
		listener->leds_changed(listener->opaque, controller->keyboard.leds);
	pthread_mutex_unlock(&controller->base.lock);
}

static void ignore_relative(struct input_sink *sink, int dx, int dy)
{
	(void)sink, (void)dx, (void)dy;
}

static void ignore_absolute(
	struct input_sink *sink, unsigned x, unsigned y, unsigned width, unsigned height)
{
	(void)sink, (void)x, (void)y, (void)width, (void)height;
}

static void ignore_button(struct input_sink *sink, unsigned code, bool down)
{
	(void)sink, (void)code, (void)down;
}

static void ignore_wheel(struct input_sink *sink, int vertical, int horizontal)
{
	(void)sink, (void)vertical, (void)horizontal;
}

static int keyboard_sync(struct input_sink *sink)
{
	(void)sink; /* keys go as they come */
	return 0;
}

static const struct input_sink_ops keyboard_sink_ops = {
	.name = "PS/2 keyboard",
	.key = sink_key,
	.relative = ignore_relative,
	.absolute = ignore_absolute,
	.button = ignore_button,
	.wheel = ignore_wheel,
	.sync = keyboard_sync,
	.drained = sink_keyboard_drained,
	.active = keyboard_active,
	.set_listener = set_keyboard_listener,
};

/* The mouse as an input sink. */

static struct i8042 *of_mouse(struct input_sink *sink)
{
	return container_of(sink, struct i8042, mouse_sink);
}

static int ignore_key(struct input_sink *sink, unsigned code, bool down)
{
	(void)sink, (void)code, (void)down;
	return -ENOENT;
}

static void sink_relative(struct input_sink *sink, int dx, int dy)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	ps2_mouse_relative(&controller->mouse, dx, dy);
	pthread_mutex_unlock(&controller->base.lock);
}

static void sink_button(struct input_sink *sink, unsigned code, bool down)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	ps2_mouse_button(&controller->mouse, code, down);
	pthread_mutex_unlock(&controller->base.lock);
}

static void sink_wheel(struct input_sink *sink, int vertical, int horizontal)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	ps2_mouse_wheel(&controller->mouse, vertical, horizontal);
	pthread_mutex_unlock(&controller->base.lock);
}

static int sink_sync(struct input_sink *sink)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	int rc = ps2_mouse_sync(&controller->mouse);
	if (rc == -EAGAIN)
		controller->mouse_waits = true;
	refill(controller);
	pthread_mutex_unlock(&controller->base.lock);
	return rc;
}

static bool sink_mouse_drained(struct input_sink *sink)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	bool drained = mouse_is_drained(controller);
	controller->mouse_drain_waits |= !drained;
	pthread_mutex_unlock(&controller->base.lock);
	return drained;
}

static unsigned mouse_active(struct input_sink *sink)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	bool active = controller->mouse.reporting || controller->mouse.remote;
	pthread_mutex_unlock(&controller->base.lock);
	return active ? INPUT_POINTER_RELATIVE : 0;
}

static void set_mouse_listener(struct input_sink *sink, const struct input_sink_listener *listener)
{
	struct i8042 *controller = of_mouse(sink);
	pthread_mutex_lock(&controller->base.lock);
	controller->mouse_listener = listener ? *listener : (struct input_sink_listener){ 0 };
	if (listener && listener->leds_changed)
		listener->leds_changed(listener->opaque, 0);
	pthread_mutex_unlock(&controller->base.lock);
}

static const struct input_sink_ops mouse_sink_ops = {
	.name = "PS/2 mouse",
	.key = ignore_key,
	.relative = sink_relative,
	.absolute = ignore_absolute,
	.button = sink_button,
	.wheel = sink_wheel,
	.sync = sink_sync,
	.drained = sink_mouse_drained,
	.active = mouse_active,
	.set_listener = set_mouse_listener,
};

/* What the two devices say, with the lock held. */

static void on_keyboard_output(void *opaque)
{
	refill(opaque);
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
	for (unsigned i = 0; i < RAM_BYTES; i++)
		controller->ram[i] = 0;
	controller->ram[0] = MODE_POWER_ON;
	controller->a20 = true;
	controller->last_was_command = false;
	controller->argument_of = 0;
	controller->translated_break = false;
	controller->source = controller->held_source = FROM_NOBODY;
	controller->output = 0;
	ps2_keyboard_power_on(&controller->keyboard);
	ps2_mouse_power_on(&controller->mouse);
	refill(controller);
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
	controller->keyboard_sink =
		(struct input_sink){ .ops = &keyboard_sink_ops, .capabilities = INPUT_KEYBOARD };
	controller->mouse_sink = (struct input_sink){ .ops = &mouse_sink_ops,
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

	int rc = claim(controller, DATA_PORT, &data_port, err);
	controller->data_claimed = !rc;
	if (!rc) {
		rc = claim(controller, COMMAND_PORT, &command_port, err);
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
	refill(controller);
	pthread_mutex_unlock(&controller->base.lock);
	return reports;
}
