/* The port through which a guest ends vmgui with a status of its own: interface.md, "Exit status".
 */
#ifndef VMGUI_DEVICES_EXIT_PORT_H
#define VMGUI_DEVICES_EXIT_PORT_H

#include "core/bus.h"
#include "core/device.h"
#include "core/error.h"

#define EXIT_PORT 0xf4

struct exit_port_config {
	struct bus *ports;
	/* The guest wrote `status`. With the device's lock held: only leaves a request. */
	void (*guest_exits)(void *opaque, uint8_t status);
	void *opaque;
};

int exit_port_create(const struct exit_port_config *config, struct device **out,
	struct error *err) VMGUI_MUST_USE;

#endif
