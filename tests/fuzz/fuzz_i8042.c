/* A guest and a user that do anything to the keyboard controller. What must hold: what it has to
 * say ends, within what Linux's flush would read. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>

#include "devices/i8042.h"
#include "fake_irq.h"
#include "fuzz_input.h"
#include "port_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request_reset(void *opaque)
{
	(void)opaque;
}

static void leds_changed(void *opaque, unsigned leds)
{
	(void)opaque;
	if (leds & ~7u)
		abort();
}

static void ready(void *opaque)
{
	(void)opaque;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct fake_irq irq1 = { 0 }, irq12 = { 0 };
	struct bus *bus = bus_create("ports", 0x10000);
	struct timer_queue *timers = timer_queue_create_manual();
	struct i8042 *controller;
	const struct i8042_config config = { bus, fake_irq_line(&irq1), fake_irq_line(&irq12),
		timers, request_reset, NULL };
	const struct input_sink_listener listener = { leds_changed, ready, NULL };
	if (i8042_create(&config, &controller, NULL))
		abort();
	struct input_sink *keyboard = i8042_keyboard_sink(controller);
	struct input_sink *mouse = i8042_mouse_sink(controller);
	keyboard->ops->set_listener(keyboard, &listener);
	mouse->ops->set_listener(mouse, &listener);
	while (input.size) {
		uint8_t op = fuzz_u8(&input), arg = fuzz_u8(&input);
		switch (op & 15) {
		case 0:
		case 1:
			port_out(bus, 0x64, arg);
			break;
		case 2:
		case 3:
			port_out(bus, 0x60, arg);
			break;
		case 4:
			port_out(bus, 0x64, 0xd4);
			port_out(bus, 0x60, arg);
			break;
		case 5:
		case 6:
			port_in(bus, arg & 1 ? 0x64 : 0x60);
			break;
		case 7:
		case 8:
			(void)keyboard->ops->key(keyboard, arg | (op & 0x80u) << 1, op & 0x40);
			break;
		case 9: {
			int dx = (int16_t)fuzz_u16(&input), dy = (int16_t)fuzz_u16(&input);
			mouse->ops->relative(mouse, dx * (1 << (arg & 15)), dy * (1 << (arg >> 4)));
			break;
		}
		case 10:
			mouse->ops->button(mouse, BTN_LEFT + (arg & 7), arg & 0x80);
			break;
		case 11:
			mouse->ops->wheel(mouse, (int8_t)arg * 40, (int16_t)fuzz_u16(&input));
			break;
		case 12:
			(void)mouse->ops->sync(mouse);
			break;
		case 13:
			timer_queue_advance(timers, arg * 10 * NS_PER_MS);
			break;
		case 14:
			(void)keyboard->ops->active(keyboard);
			(void)mouse->ops->active(mouse);
			break;
		default:
			if (arg == 0)
				i8042_device(controller)->ops->reset(i8042_device(controller));
			break;
		}
		if (irq1.level && irq12.level)
			abort();
	}
	/* No more motion to come, both lines clocked: all of it must come out and end. */
	port_out(bus, 0x64, 0x60);
	port_out(bus, 0x60, 0x47);
	port_out(bus, 0x64, 0xd4);
	port_out(bus, 0x60, 0xff);
	port_out(bus, 0x64, 0xd4);
	port_out(bus, 0x60, 0xf5);
	unsigned flushed = 0;
	for (; port_in(bus, 0x64) & 1; flushed++)
		port_in(bus, 0x60);
	if (flushed > 200)
		abort();
	i8042_device(controller)->ops->destroy(i8042_device(controller));
	timer_queue_destroy(timers);
	bus_destroy(bus);
	return 0;
}
