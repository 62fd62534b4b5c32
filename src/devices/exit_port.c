/* The exit port: one byte written to F4h is the status that vmgui ends with (interface.md, "Exit
 * status"). It reads as zero, which tells a guest that it is there.
 *
 * Threads: vCPUs; nothing changes after create. */
#include "devices/exit_port.h"

#include <errno.h>
#include <stdlib.h>

struct exit_port {
	struct device base;
	struct exit_port_config config; /* immutable; ports is NULL until it is claimed */
};

static uint64_t exit_port_read(void *opaque, uint64_t offset, unsigned width)
{
	(void)opaque, (void)offset, (void)width;
	return 0;
}

static void exit_port_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	const struct exit_port *port = opaque;
	(void)offset, (void)width;
	port->config.guest_exits(port->config.opaque, (uint8_t)value);
}

static const struct bus_region_ops exit_port_ops = { exit_port_read, exit_port_write };

static void exit_port_reset(struct device *device)
{
	(void)device; /* no state */
}

static void exit_port_destroy(struct device *device)
{
	if (!device)
		return;
	struct exit_port *port = container_of(device, struct exit_port, base);
	if (port->config.ports)
		bus_remove(port->config.ports, EXIT_PORT);
	device_fini(device);
	free(port);
}

static const struct device_ops exit_port_device_ops = {
	.name = "exit-port",
	.reset = exit_port_reset,
	.destroy = exit_port_destroy,
};

int exit_port_create(const struct exit_port_config *config, struct device **out, struct error *err)
{
	struct exit_port *port = calloc(1, sizeof(*port));
	if (!port)
		return error_set(err, ENOMEM, "exit port: out of memory");
	device_init(&port->base, &exit_port_device_ops);
	port->config = *config;
	const struct bus_region region = {
		.base = EXIT_PORT,
		.length = 1,
		.widths = BUS_WIDTH_1,
		.owner = "exit-port",
		.ops = &exit_port_ops,
		.opaque = port,
		.lock = &port->base.lock,
	};
	int rc = bus_add(config->ports, &region, err);
	if (rc) {
		port->config.ports = NULL;
		exit_port_destroy(&port->base);
		return rc;
	}
	*out = &port->base;
	return 0;
}
