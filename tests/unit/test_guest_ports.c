/* The exit port and pvpanic: what a guest says about itself. */
#include "cmocka_all.h"

#include "devices/exit_port.h"
#include "devices/pvpanic.h"
#include "port_io.h"

struct said {
	unsigned count, value;
};

static void guest_exits(void *opaque, uint8_t status)
{
	struct said *said = opaque;
	said->count++;
	said->value = status;
}

static void guest_panicked(void *opaque, unsigned events)
{
	struct said *said = opaque;
	said->count++;
	said->value = events;
}

static void exit_port_write_gives_the_status(void **state)
{
	(void)state;
	struct said said = { 0 };
	struct bus *bus = bus_create("ports", 0x10000);
	struct device *port;
	const struct exit_port_config config = { bus, guest_exits, &said };
	assert_int_equal(exit_port_create(&config, &port, NULL), 0);
	assert_int_equal(port_in(bus, EXIT_PORT), 0);
	port_out(bus, EXIT_PORT, 42);
	assert_int_equal(said.count, 1);
	assert_int_equal(said.value, 42);
	const uint32_t wide = 0x01020307;
	bus_write(bus, EXIT_PORT, &wide, 4); /* OUT DX, EAX: the low byte */
	assert_int_equal(said.value, 7);
	assert_int_equal(said.count, 2);
	struct device *second;
	assert_true(exit_port_create(&config, &second, NULL) < 0);
	port->ops->reset(port);
	port->ops->destroy(port);
	bus_destroy(bus);
}

static void pvpanic_write_reports_known_events(void **state)
{
	(void)state;
	struct said said = { 0 };
	struct bus *bus = bus_create("ports", 0x10000);
	struct device *port;
	const struct pvpanic_config config = { bus, guest_panicked, &said };
	assert_int_equal(pvpanic_create(&config, &port, NULL), 0);
	assert_int_equal(port_in(bus, PVPANIC_PORT), 3);
	port_out(bus, PVPANIC_PORT, 0xfc);
	assert_int_equal(said.count, 0);
	port_out(bus, PVPANIC_PORT, 0x01);
	assert_int_equal(said.count, 1);
	assert_int_equal(said.value, PVPANIC_PANICKED);
	port->ops->destroy(port);
	bus_destroy(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_port_write_gives_the_status),
		cmocka_unit_test(pvpanic_write_reports_known_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
