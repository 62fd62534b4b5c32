/* Byte access to a bus of ports, as a guest's IN and OUT. */
#ifndef VMGUI_TESTS_PORT_IO_H
#define VMGUI_TESTS_PORT_IO_H

#include "core/bus.h"

static inline uint8_t port_in(struct bus *bus, uint16_t port)
{
	uint8_t value = 0xff;
	bus_read(bus, port, &value, 1);
	return value;
}

static inline void port_out(struct bus *bus, uint16_t port, uint8_t value)
{
	bus_write(bus, port, &value, 1);
}

#endif
