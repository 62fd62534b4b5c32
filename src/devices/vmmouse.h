/* The VMware pointer: absolute positions for a PS/2 mouse. See vmmouse.c. */
#ifndef VMGUI_DEVICES_VMMOUSE_H
#define VMGUI_DEVICES_VMMOUSE_H

#include "core/bus.h"
#include "core/device.h"
#include "core/error.h"
#include "core/guest_registers.h"
#include "core/input_sink.h"

#define VMMOUSE_PORT 0x5658

struct vmmouse_config {
	struct bus *ports;
	const struct guest_register_access *registers;
	/* The PS/2 mouse beside it; outlives the device. It gets what the protocol has no place
	 * for: the side buttons and the sideways wheel. */
	struct input_sink *ps2_mouse;
	/* That many records wait here: the PS/2 mouse is to send packets until they have been
	 * fetched. Returns whether it reports at all. Called with the device's lock held. */
	bool (*announce)(void *opaque, unsigned records);
	void *opaque;
};

struct vmmouse;

VMGUI_MUST_USE int vmmouse_create(
	const struct vmmouse_config *config, struct vmmouse **out, struct error *err);
struct device *vmmouse_device(struct vmmouse *mouse);
/* Lives as long as the device. */
struct input_sink *vmmouse_sink(struct vmmouse *mouse);

/* What the guest is told for pixel `at` of `size`: 0 to FFFFh. */
uint16_t vmmouse_coordinate(unsigned at, unsigned size);

#endif
