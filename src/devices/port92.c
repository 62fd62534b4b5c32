/* System control port A at port 92h: fast A20 and fast reset.
 *
 * Specification: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A". Bit 0
 * going from 0 to 1 resets the CPU; bit 1 is A20, kept without an effect, since the guest's memory
 * has no such gate.
 *
 * Threads: vCPUs; base.lock guards `value`. */
#include "devices/port92.h"

#include <errno.h>
#include <stdlib.h>

#define PORT 0x92

enum {
	FAST_RESET = 0x01,
	A20 = 0x02,
};

struct port92 {
	struct device base;
	struct port92_config config; /* immutable; ports is NULL until it is claimed */
	uint8_t value;
};

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned width)
{
	const struct port92 *port = opaque;
	(void)offset, (void)width;
	return port->value;
}

static void port92_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct port92 *port = opaque;
	(void)offset, (void)width;
	bool reset = (value & FAST_RESET) && !(port->value & FAST_RESET);
	port->value = (uint8_t)value;
	if (reset && port->config.request_reset)
		port->config.request_reset(port->config.opaque);
}

static const struct bus_region_ops port92_ops = { port92_read, port92_write };

static void port92_reset(struct device *device)
{
	struct port92 *port = container_of(device, struct port92, base);
	pthread_mutex_lock(&device->lock);
	port->value = A20;
	pthread_mutex_unlock(&device->lock);
}

static void port92_destroy(struct device *device)
{
	if (!device)
		return;
	struct port92 *port = container_of(device, struct port92, base);
	if (port->config.ports)
		bus_remove(port->config.ports, PORT);
	device_fini(device);
	free(port);
}

static const struct device_ops port92_device_ops = {
	.name = "port92",
	.reset = port92_reset,
	.destroy = port92_destroy,
};

int port92_create(const struct port92_config *config, struct device **out, struct error *err)
{
	struct port92 *port = calloc(1, sizeof(*port));
	if (!port)
		return error_set(err, ENOMEM, "port92: out of memory");
	device_init(&port->base, &port92_device_ops);
	port->config = *config;
	port->value = A20;
	const struct bus_region region = {
		.base = PORT,
		.length = 1,
		.widths = BUS_WIDTH_1,
		.owner = "port92",
		.ops = &port92_ops,
		.opaque = port,
		.lock = &port->base.lock,
	};
	int rc = bus_add(config->ports, &region, err);
	if (rc) {
		port->config.ports = NULL;
		port92_destroy(&port->base);
		return rc;
	}
	*out = &port->base;
	return 0;
}
