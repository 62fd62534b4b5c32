/* The real-time clock and CMOS memory (MC146818). See rtc.c. */
#ifndef VMGUI_DEVICES_RTC_H
#define VMGUI_DEVICES_RTC_H

#include "core/bus.h"
#include "core/device.h"
#include "core/error.h"
#include "core/irq.h"
#include "core/timer.h"

struct rtc_config {
	struct bus *ports;          /* 70h and 71h are claimed */
	struct irq_line irq;        /* 8 */
	struct timer_queue *timers; /* outlives the device */
	/* The wall clock: nanoseconds since 1970, UTC. NULL: the host's. */
	uint64_t (*wall_clock_ns)(void *opaque);
	void *opaque;
	/* RAM from address 0 and from 4 GiB, for the bytes where firmware says so. */
	uint64_t low_ram_bytes, high_ram_bytes;
};

int rtc_create(
	const struct rtc_config *config, struct device **out, struct error *err) VMGUI_MUST_USE;

#endif
