/* The keyboard controller's registers (ports 60h and 64h) and the commands that it obeys itself.
 *
 * Specification: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller" (the status register, commands 20h to FFh of port 64h, the output port). Active
 * multiplexing is absent: D3h echoes whatever it is given, which is how a driver finds that out.
 * A20 is a bit that is kept and does nothing: the guest's memory has no such gate.
 *
 * Threads: vCPUs, with base.lock held by the bus. */
#include "core/log.h"
#include "devices/i8042_internal.h"

enum {
	STATUS_OUTPUT_FULL = 0x01,
	STATUS_SYSTEM = 0x04,
	STATUS_COMMAND = 0x08, /* the last byte written was a command */
	STATUS_NOT_LOCKED = 0x10,
	STATUS_MOUSE = 0x20, /* the output buffer's byte is the mouse's */

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
};

static uint8_t output_port(const struct i8042 *controller)
{
	bool mouse = i8042_shows_as_mouse(controller->source);
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
	i8042_refill(controller);
}

static void do_command(struct i8042 *controller, uint8_t command)
{
	controller->argument_of = 0;
	switch (command) {
	case COMMAND_READ_RAM ... COMMAND_READ_RAM + I8042_RAM_BYTES - 1:
		i8042_answer(
			controller, FROM_CONTROLLER, controller->ram[command % I8042_RAM_BYTES]);
		break;
	case COMMAND_WRITE_RAM ... COMMAND_WRITE_RAM + I8042_RAM_BYTES - 1:
	case COMMAND_WRITE_OUTPUT_PORT:
	case COMMAND_KEYBOARD_LOOP:
	case COMMAND_MOUSE_LOOP:
	case COMMAND_WRITE_MOUSE:
		controller->argument_of = command;
		break;
	case COMMAND_PASSWORD_INSTALLED:
		i8042_answer(controller, FROM_CONTROLLER, NO_PASSWORD);
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
		i8042_answer(controller, FROM_CONTROLLER, LINE_TEST_PASSED);
		break;
	case COMMAND_SELF_TEST:
		controller->ram[0] |= MODE_SYSTEM;
		i8042_answer(controller, FROM_CONTROLLER, SELF_TEST_PASSED);
		break;
	case COMMAND_READ_INPUT_PORT:
		i8042_answer(controller, FROM_CONTROLLER, INPUT_PORT);
		break;
	case COMMAND_READ_OUTPUT_PORT:
		i8042_answer(controller, FROM_CONTROLLER, output_port(controller));
		break;
	case COMMAND_A20_OFF:
	case COMMAND_A20_ON:
		controller->a20 = command == COMMAND_A20_ON;
		break;
	case COMMAND_READ_TEST_INPUTS:
		/* The clock lines: high, unless we hold them down. */
		i8042_answer(controller, FROM_CONTROLLER,
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

static void do_data(struct i8042 *controller, uint8_t value)
{
	uint8_t command = controller->argument_of;
	controller->argument_of = 0;
	switch (command) {
	case COMMAND_WRITE_RAM ... COMMAND_WRITE_RAM + I8042_RAM_BYTES - 1:
		controller->ram[command % I8042_RAM_BYTES] = value;
		break;
	case COMMAND_WRITE_OUTPUT_PORT:
		write_output_port(controller, value);
		break;
	case COMMAND_KEYBOARD_LOOP:
		i8042_answer(controller, FROM_CONTROLLER, value);
		break;
	case COMMAND_MOUSE_LOOP:
		i8042_answer(controller, FROM_CONTROLLER_AS_MOUSE, value);
		break;
	case COMMAND_WRITE_MOUSE:
		/* To send a device something its clock has to run: sending switches it on. */
		controller->ram[0] &= (uint8_t)~MODE_MOUSE_OFF;
		ps2_mouse_write(&controller->mouse, value);
		break;
	default:
		controller->ram[0] &= (uint8_t)~MODE_KEYBOARD_OFF;
		i8042_set_key_aside(controller);
		ps2_keyboard_write(&controller->keyboard, value);
		break;
	}
	i8042_refill(controller);
}

static uint64_t read_data_port(void *opaque, uint64_t offset, unsigned width)
{
	struct i8042 *controller = opaque;
	(void)offset, (void)width;
	/* An empty buffer reads as what was in it last. */
	uint8_t value = controller->output;
	if (controller->source != FROM_NOBODY) {
		controller->source = FROM_NOBODY;
		i8042_update_irqs(controller); /* so that the next byte has an edge */
		i8042_refill(controller);
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
	if (i8042_shows_as_mouse(controller->source))
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

const struct bus_region_ops i8042_data_port = { read_data_port, write_data_port };
const struct bus_region_ops i8042_command_port = { read_status_port, write_command_port };
