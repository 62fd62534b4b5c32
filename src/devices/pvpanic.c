/* The pvpanic port: the guest reads which events we understand and writes those that happened.
 *
 * Specification: QEMU's docs/specs/pvpanic (ISA variant). Threads: vCPUs; nothing changes after
 * create. */
#include "devices/pvpanic.h"

#include <errno.h>
#include <stdlib.h>

#define EVENTS_KNOWN (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED)

struct pvpanic {
	struct device base;
	struct pvpanic_config config; /* immutable; ports is NULL until it is claimed */
};

static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned width)
{
	(void)opaque, (void)offset, (void)width;
	return EVENTS_KNOWN;
}

static void pvpanic_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	const struct pvpanic *port = opaque;
	unsigned events = (unsigned)value & EVENTS_KNOWN;
	(void)offset, (void)width;
	if (events)
		port->config.guest_panicked(port->config.opaque, events);
}

static const struct bus_region_ops pvpanic_ops = { pvpanic_read, pvpanic_write };

static void pvpanic_reset(struct device *device)
{
	(void)device; /* no state */
}

static void pvpanic_destroy(struct device *device)
{
	if (!device)
		return;
	struct pvpanic *port = container_of(device, struct pvpanic, base);
	if (port->config.ports)
		bus_remove(port->config.ports, PVPANIC_PORT);
	device_fini(device);
	free(port);
}

static const struct device_ops pvpanic_device_ops = {
	.name = "pvpanic",
	.reset = pvpanic_reset,
	.destroy = pvpanic_destroy,
};

int pvpanic_create(const struct pvpanic_config *config, struct device **out, struct error *err)
{
	struct pvpanic *port = calloc(1, sizeof(*port));
	if (!port)
		return error_set(err, ENOMEM, "pvpanic: out of memory");
	device_init(&port->base, &pvpanic_device_ops);
	port->config = *config;
	const struct bus_region region = {
		.base = PVPANIC_PORT,
		.length = 1,
		.widths = BUS_WIDTH_1,
		.owner = "pvpanic",
		.ops = &pvpanic_ops,
		.opaque = port,
		.lock = &port->base.lock,
	};
	int rc = bus_add(config->ports, &region, err);
	if (rc) {
		port->config.ports = NULL;
		pvpanic_destroy(&port->base);
		return rc;
	}
	*out = &port->base;
	return 0;
}
