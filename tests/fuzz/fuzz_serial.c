/* A guest and a host side that do anything to the serial port. What must hold: it takes no more
 * from the host than its FIFO has room for, and once the host side drains it the transmitter is
 * empty. */
#include <stdlib.h>

#include "devices/serial.h"
#include "fake_irq.h"
#include "fuzz_input.h"
#include "port_io.h"

#define BASE 0x3f8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t room;

static size_t host_write(void *opaque, const uint8_t *data, size_t length)
{
	size_t n = length < room ? length : room;
	(void)opaque, (void)data;
	room -= n;
	return n;
}

static void resume_input(void *opaque)
{
	(void)opaque;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct fake_irq irq = { 0 };
	struct bus *bus = bus_create("ports", 0x10000);
	struct timer_queue *timers = timer_queue_create_manual();
	struct serial *serial;
	const struct serial_config config = { bus, BASE, "COM1", fake_irq_line(&irq), timers };
	const struct char_host host = { host_write, resume_input, NULL };
	if (serial_create(&config, &serial, NULL))
		abort();
	const struct char_device *end = serial_char_device(serial);
	serial_set_host(serial, &host);
	room = 100;
	while (input.size) {
		uint8_t op = fuzz_u8(&input), arg = fuzz_u8(&input);
		uint16_t port = (uint16_t)(BASE + (op & 7));
		switch (op >> 4) {
		case 0:
			if (end->receive(end->opaque, input.data, input.size) > 16)
				abort();
			break;
		case 1:
			end->receive_break(end->opaque);
			break;
		case 2:
			room = arg;
			end->writable(end->opaque);
			break;
		case 3:
			timer_queue_advance(timers, arg * 50 * NS_PER_US);
			break;
		case 4:
			serial_set_host(serial, arg & 1 ? &host : NULL);
			break;
		case 5:
			if (arg == 0)
				serial_device(serial)->ops->reset(serial_device(serial));
			break;
		case 6:
		case 7:
		case 8:
			port_in(bus, port);
			break;
		default:
			port_out(bus, port, arg);
			break;
		}
	}
	room = 1000;
	end->writable(end->opaque);
	if ((port_in(bus, BASE + 5) & 0x60) != 0x60)
		abort();
	serial_device(serial)->ops->destroy(serial_device(serial));
	timer_queue_destroy(timers);
	bus_destroy(bus);
	return 0;
}
