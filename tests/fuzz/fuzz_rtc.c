/* A guest that does anything to the real-time clock, under a host clock that goes as it likes. What
 * must hold: what it shows is a time of day, and timers come to rest when interrupts are off. */
#include <stdlib.h>

#include "devices/rtc.h"
#include "fake_irq.h"
#include "fuzz_input.h"
#include "port_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct clock {
	struct timer_queue *timers;
	uint64_t wall_ns;
};

static uint64_t wall_clock(void *opaque)
{
	const struct clock *clock = opaque;
	return timer_queue_now_ns(clock->timers) + clock->wall_ns;
}

static uint8_t get(struct bus *bus, uint8_t reg)
{
	port_out(bus, 0x70, reg);
	return port_in(bus, 0x71);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct fake_irq irq = { 0 };
	struct bus *bus = bus_create("ports", 0x10000);
	struct clock clock = { timer_queue_create_manual(), UINT64_C(1700000000) * NS_PER_SECOND };
	struct device *rtc;
	const struct rtc_config config = { .ports = bus,
		.irq = fake_irq_line(&irq),
		.timers = clock.timers,
		.wall_clock_ns = wall_clock,
		.opaque = &clock,
		.low_ram_bytes = GIB(3),
		.high_ram_bytes = GIB(64) };
	if (rtc_create(&config, &rtc, NULL))
		abort();
	while (input.size) {
		uint8_t op = fuzz_u8(&input), arg = fuzz_u8(&input);
		switch (op >> 5) {
		case 0:
			port_out(bus, 0x70, op & 31 ? op & 31 : 0x32);
			port_out(bus, 0x71, arg);
			break;
		case 1:
			port_out(bus, 0x71, arg);
			break;
		case 2:
		case 3:
			get(bus, arg);
			break;
		case 4:
			timer_queue_advance(clock.timers, arg * 100 * NS_PER_US);
			break;
		case 5:
			clock.wall_ns +=
				(uint64_t)(int64_t)(int16_t)fuzz_u16(&input) * NS_PER_SECOND;
			break;
		case 6:
			timer_queue_advance(clock.timers, (arg & 15) * NS_PER_SECOND / 4);
			break;
		default:
			if (arg == 0)
				rtc->ops->reset(rtc);
			break;
		}
	}
	port_out(bus, 0x70, 0x0b);
	port_out(bus, 0x71, 0x06); /* running, binary, no interrupt */
	port_out(bus, 0x70, 0x0a);
	port_out(bus, 0x71, 0x26);
	if (!timer_queue_idle(clock.timers))
		abort();
	if (get(bus, 0) > 59 || get(bus, 2) > 59 || get(bus, 4) > 23 || get(bus, 7) > 31 ||
		get(bus, 8) > 12 || get(bus, 9) > 99 || irq.level)
		abort();
	rtc->ops->destroy(rtc);
	timer_queue_destroy(clock.timers);
	bus_destroy(bus);
	return 0;
}
