/* The port through which a guest's kernel reports that it has panicked. See pvpanic.c. */
#ifndef VMGUI_DEVICES_PVPANIC_H
#define VMGUI_DEVICES_PVPANIC_H

#include "core/bus.h"
#include "core/device.h"
#include "core/error.h"

#define PVPANIC_PORT 0x505 /* as the DSDT's QEMU0001 says */

enum pvpanic_event {
	PVPANIC_PANICKED = 1,
	PVPANIC_CRASH_LOADED = 2, /* it panicked and boots its crash kernel by itself */
};

struct pvpanic_config {
	struct bus *ports;
	/* events: a mask of enum pvpanic_event, not empty. With the device's lock held. */
	void (*guest_panicked)(void *opaque, unsigned events);
	void *opaque;
};

int pvpanic_create(
	const struct pvpanic_config *config, struct device **out, struct error *err) VMGUI_MUST_USE;

#endif
