/* System control port A at port 92h: fast A20 and fast reset. See port92.c. */
#ifndef VMGUI_DEVICES_PORT92_H
#define VMGUI_DEVICES_PORT92_H

#include "core/bus.h"
#include "core/device.h"
#include "core/error.h"

struct port92_config {
	struct bus *ports;
	/* The guest asks for a reset. With the device's lock held: only leaves a request. */
	void (*request_reset)(void *opaque);
	void *opaque;
};

int port92_create(
	const struct port92_config *config, struct device **out, struct error *err) VMGUI_MUST_USE;

#endif
