/* A guest and a user that do anything to the VMware pointer and the PS/2 mouse behind it. What must
 * hold: the status makes sense; and a driver that starts anew after all that is told of each record
 * by a packet, and ends with the pointer at the very place, no button down. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>

#include "devices/i8042.h"
#include "devices/vmmouse.h"
#include "fake_irq.h"
#include "fuzz_input.h"
#include "port_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAGIC 0x564d5868u

static const uint32_t controls[] = { 0x45414552, 0xf5, 0x4c455252, 0x53424152 };
static const unsigned buttons[] = { BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA,
	BTN_TASK };

struct guest {
	struct bus *ports;
	struct guest_registers registers;
};

static int get_registers(void *opaque, struct guest_registers *registers)
{
	*registers = ((struct guest *)opaque)->registers;
	return 0;
}

static int set_registers(void *opaque, const struct guest_registers *registers)
{
	((struct guest *)opaque)->registers = *registers;
	return 0;
}

static void ignore(void *opaque)
{
	(void)opaque;
}

static uint32_t backdoor(struct guest *guest, uint32_t command, uint32_t argument)
{
	uint32_t eax = 0;

	guest->registers =
		(struct guest_registers){ .rax = MAGIC, .rbx = argument, .rcx = command };
	bus_read(guest->ports, VMMOUSE_PORT, &eax, 4);
	return eax;
}

static uint32_t status(struct guest *guest)
{
	uint32_t value = backdoor(guest, 40, 0);

	if (value != 0xffff0000 && value > 256)
		abort();
	return value;
}

static void anything(struct guest *guest, struct input_sink *sink, struct fuzz_input *input)
{
	uint8_t op = fuzz_u8(input), arg = fuzz_u8(input);

	switch (op & 15) {
	case 0:
		backdoor(guest, 41, controls[arg % array_size(controls)]);
		break;
	case 1:
	case 2:
		backdoor(guest, 39, arg < 240 ? arg % 7 : arg * 0x01010101u);
		break;
	case 3:
		(void)status(guest);
		break;
	case 4:
		backdoor(guest, arg, fuzz_u16(input));
		break;
	case 5: {
		uint64_t value;

		bus_read(guest->ports, VMMOUSE_PORT + (op >> 4), &value, 1 + (arg & 7));
		break;
	}
	case 6:
	case 7: {
		unsigned width = 1 + fuzz_u16(input), height = 1 + fuzz_u16(input);

		sink->ops->absolute(
			sink, fuzz_u16(input) % width, fuzz_u16(input) % height, width, height);
		if (arg & 1)
			(void)sink->ops->sync(sink);
		break;
	}
	case 8: {
		int dx = (int16_t)fuzz_u16(input), dy = (int16_t)fuzz_u16(input);

		sink->ops->relative(sink, dx * (1 << (arg & 15)), dy * (1 << (arg >> 4)));
		break;
	}
	case 9:
		sink->ops->button(sink, buttons[arg % array_size(buttons)], arg & 0x80);
		(void)sink->ops->sync(sink);
		break;
	case 10:
		sink->ops->wheel(sink, (int16_t)fuzz_u16(input) * (int8_t)arg, (int8_t)arg * 30);
		break;
	case 11:
		(void)sink->ops->sync(sink);
		break;
	case 12:
		port_out(guest->ports, 0x64, 0xd4);
		port_out(guest->ports, 0x60, arg);
		break;
	case 13:
		port_out(guest->ports, arg & 1 ? 0x64 : 0x60, fuzz_u8(input));
		break;
	default:
		port_in(guest->ports, 0x60);
		break;
	}
}

/* As psmouse: all records at each byte that ends a packet; here at every byte. Returns whether any
 * has come. */
static bool read_all(struct guest *guest, uint32_t last[3])
{
	bool any = false;

	while (port_in(guest->ports, 0x64) & 1) {
		port_in(guest->ports, 0x60);
		while (status(guest)) {
			if (status(guest) % 4)
				abort();
			last[0] = backdoor(guest, 39, 4);
			last[1] = (uint32_t)guest->registers.rbx;
			last[2] = (uint32_t)guest->registers.rcx;
			any = true;
		}
	}
	return any;
}

static void start_anew(struct guest *guest)
{
	uint32_t nothing[3];

	port_out(guest->ports, 0x64, 0x60);
	port_out(guest->ports, 0x60, 0x47);
	for (unsigned i = 0; i < 2; i++) {
		static const uint8_t reset_and_enable[] = { 0xff, 0xf4 };

		port_out(guest->ports, 0x64, 0xd4);
		port_out(guest->ports, 0x60, reset_and_enable[i]);
	}
	backdoor(guest, 41, 0x45414552);
	if (status(guest) != 1 || backdoor(guest, 39, 1) != 0x3442554a)
		abort();
	backdoor(guest, 41, 0x53424152);
	(void)read_all(guest, nothing);
}

static void try_sync(struct guest *guest, struct input_sink *sink, uint32_t last[3])
{
	unsigned tries = 0;

	while (sink->ops->sync(sink) == -EAGAIN) {
		if (!read_all(guest, last) && tries++ > 64)
			abort(); /* it will never have room */
	}
}

static void check_driver(struct guest *guest, struct input_sink *sink)
{
	uint32_t last[3] = { 0 };

	start_anew(guest);
	try_sync(guest, sink, last);
	for (unsigned i = 0; i < array_size(buttons); i++) {
		sink->ops->button(sink, buttons[i], false);
		try_sync(guest, sink, last);
	}
	/* Twice, since it may have been there already. */
	for (unsigned i = 0; i < 2; i++) {
		sink->ops->absolute(sink, i, 3, 1000, 1000);
		try_sync(guest, sink, last);
		(void)read_all(guest, last);
	}
	if (status(guest) != 0)
		abort(); /* a record without a packet */
	if (last[0] != 0 || last[1] != vmmouse_coordinate(1, 1000) ||
		last[2] != vmmouse_coordinate(3, 1000))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct fake_irq irq1 = { 0 }, irq12 = { 0 };
	struct guest guest = { .ports = bus_create("ports", 0x10000) };
	struct timer_queue *timers = timer_queue_create_manual();
	const struct i8042_config controller_config = { guest.ports, fake_irq_line(&irq1),
		fake_irq_line(&irq12), timers, ignore, NULL };
	const struct guest_register_access access = { get_registers, set_registers, &guest };
	const struct input_sink_listener listener = { .ready = ignore };
	struct i8042 *controller;
	struct vmmouse *vmmouse;
	struct input_sink *sink;

	if (i8042_create(&controller_config, &controller, NULL))
		abort();
	const struct vmmouse_config config = { guest.ports, &access, i8042_mouse_sink(controller),
		i8042_announce, controller };
	if (vmmouse_create(&config, &vmmouse, NULL))
		abort();
	sink = vmmouse_sink(vmmouse);
	sink->ops->set_listener(sink, &listener);
	while (input.size)
		anything(&guest, sink, &input);
	check_driver(&guest, sink);
	vmmouse_device(vmmouse)->ops->reset(vmmouse_device(vmmouse));
	if (status(&guest) != 0xffff0000)
		abort();
	vmmouse_device(vmmouse)->ops->destroy(vmmouse_device(vmmouse));
	i8042_device(controller)->ops->destroy(i8042_device(controller));
	timer_queue_destroy(timers);
	bus_destroy(guest.ports);
	return 0;
}
