/* core/pci_msi: what the guest programs is what gets bound; masked events wait. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/pci_msi.h"

struct machine {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct pci_device device;
	struct pci_msi *msi;
	struct msi_controller controller;
	unsigned allocated, released, updates, capability;
	int bound_fd[256]; /* by GSI; -1: not bound */
	struct msi_message message[256];
	bool full;
};

static int fake_allocate(void *opaque)
{
	struct machine *m = opaque;

	return m->full ? -ENOSPC : (int)(24 + m->allocated++);
}

static void fake_release(void *opaque, unsigned gsi)
{
	(void)gsi;
	((struct machine *)opaque)->released++;
}

static int fake_bind(void *opaque, unsigned gsi, int fd, const struct msi_message *message)
{
	struct machine *m = opaque;

	assert_int_equal(m->bound_fd[gsi], -1);
	m->bound_fd[gsi] = fd;
	m->message[gsi] = *message;
	return 0;
}

static int fake_update(void *opaque, unsigned gsi, const struct msi_message *message)
{
	struct machine *m = opaque;

	m->message[gsi] = *message;
	m->updates++;
	return 0;
}

static void fake_unbind(void *opaque, unsigned gsi, int fd)
{
	struct machine *m = opaque;

	assert_int_equal(m->bound_fd[gsi], fd);
	m->bound_fd[gsi] = -1;
}

static void config_write(struct machine *m, unsigned offset, uint32_t value, unsigned width)
{
	uint32_t address = 0x80000000u | 1 << 11 | (offset & 0xfc);

	bus_write(m->ports, 0xcf8, &address, 4);
	bus_write(m->ports, 0xcfc + (offset & 3), &value, width);
}

static uint32_t config_read(struct machine *m, unsigned offset, unsigned width)
{
	uint32_t address = 0x80000000u | 1 << 11 | (offset & 0xfc), value = 0;

	bus_write(m->ports, 0xcf8, &address, 4);
	bus_read(m->ports, 0xcfc + (offset & 3), &value, width);
	return value;
}

static void table_write(struct machine *m, unsigned offset, uint32_t value)
{
	bus_write(m->mmio, 0xc0000000 + offset, &value, 4);
}

static uint64_t table_read(struct machine *m, unsigned offset, unsigned width)
{
	uint64_t value = 0;

	bus_read(m->mmio, 0xc0000000 + offset, &value, width);
	return value;
}

static struct machine *machine_create(void)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	struct machine *m = calloc(1, sizeof(*m));
	struct pci_bus_config config = { .mmio_base = 0xc0000000,
		.mmio_end = 0xd0000000,
		.ports_base = 0xc000,
		.ports_end = 0xd000 };

	assert_non_null(m);
	m->controller = (struct msi_controller){ fake_allocate, fake_release, fake_bind,
		fake_update, fake_unbind, m };
	memset(m->bound_fd, 0xff, sizeof(m->bound_fd));
	m->ports = config.ports = bus_create("port", 0x10000);
	m->mmio = config.mmio = bus_create("memory", 0);
	assert_int_equal(pci_bus_create(&config, &m->pci, NULL), 0);
	pci_device_init(&m->device, "device", &ids, 0);
	return m;
}

static int setup_msix(void **state)
{
	struct machine *m = machine_create();

	assert_int_equal(pci_msix_create(&m->device, &m->controller, 3, 1, &m->msi, NULL), 0);
	assert_int_equal(pci_bus_attach(m->pci, &m->device, 1, NULL), 0);
	m->capability = config_read(m, 0x34, 1);
	*state = m;
	return 0;
}

static int setup_msi(void **state)
{
	struct machine *m = machine_create();

	assert_int_equal(pci_msi_create(&m->device, &m->controller, &m->msi, NULL), 0);
	assert_int_equal(pci_bus_attach(m->pci, &m->device, 1, NULL), 0);
	m->capability = config_read(m, 0x34, 1);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	pci_bus_detach(&m->device);
	pci_msi_destroy(m->msi);
	assert_int_equal(m->released, m->allocated);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(m->bound_fd[i], -1);
	pci_bus_destroy(m->pci);
	bus_destroy(m->mmio);
	bus_destroy(m->ports);
	free(m);
	return 0;
}

static void raise_vector(struct machine *m, unsigned vector)
{
	uint64_t one = 1;

	assert_int_equal(write(pci_msi_eventfd(m->msi, vector), &one, 8), 8);
}

static void msix_capability_tells_table_and_pending_bits(void **state)
{
	struct machine *m = *state;

	assert_int_equal(config_read(m, m->capability, 1), 0x11);
	assert_int_equal(config_read(m, m->capability + 2, 2), 2);
	assert_int_equal(config_read(m, m->capability + 4, 4), 1);
	assert_int_equal(config_read(m, m->capability + 8, 4), 0x801);
	assert_int_equal(pci_msi_eventfd(m->msi, 3), -EINVAL);
}

static void msix_unmasked_vector_is_bound_to_its_message(void **state)
{
	struct machine *m = *state;

	table_write(m, 16, 0xfee01000);
	table_write(m, 16 + 8, 0x41);
	table_write(m, 16 + 12, 0);
	assert_int_equal(m->bound_fd[25], -1);
	config_write(m, m->capability + 2, 0x8000, 2);
	assert_true(pci_msi_enabled(m->msi));
	assert_int_equal(m->bound_fd[25], pci_msi_eventfd(m->msi, 1));
	assert_int_equal(m->message[25].address, 0xfee01000);
	assert_int_equal(m->message[25].data, 0x41);
	assert_int_equal(m->bound_fd[24], -1);
	table_write(m, 16 + 8, 0x42);
	assert_int_equal(m->message[25].data, 0x42);
}

static void msix_masked_event_is_pending_until_unmasked(void **state)
{
	struct machine *m = *state;

	config_write(m, m->capability + 2, 0x8000, 2);
	raise_vector(m, 2);
	assert_int_equal(table_read(m, 0x800, 8), 4);
	assert_int_equal(table_read(m, 0x800, 4), 4);
	assert_int_equal(table_read(m, 0x804, 4), 0);
	table_write(m, 32 + 12, 0);
	assert_int_equal(m->bound_fd[26], pci_msi_eventfd(m->msi, 2));
	assert_int_equal(table_read(m, 0x800, 8), 0);
}

static void msix_function_mask_unbinds_all(void **state)
{
	struct machine *m = *state;

	config_write(m, m->capability + 2, 0x8000, 2);
	for (unsigned i = 0; i < 3; i++)
		table_write(m, 16 * i + 12, 0);
	assert_int_not_equal(m->bound_fd[24], -1);
	config_write(m, m->capability + 2, 0xc000, 2);
	for (unsigned i = 24; i < 27; i++)
		assert_int_equal(m->bound_fd[i], -1);
	config_write(m, m->capability + 2, 0x8000, 2);
	assert_int_not_equal(m->bound_fd[26], -1);
}

static void msix_table_ignores_what_lies_outside(void **state)
{
	struct machine *m = *state;

	table_write(m, 48, 0x12345678);
	assert_int_equal(table_read(m, 48, 4), 0);
	table_write(m, 0x800, 0xffffffff);
	assert_int_equal(table_read(m, 0x800, 4), 0);
	table_write(m, 12, 0xfffffffe);
	assert_int_equal(table_read(m, 12, 4), 0);
	assert_int_equal(table_read(m, 4092, 4), 0);
}

static void msix_reset_masks_and_drops_what_was_pending(void **state)
{
	struct machine *m = *state;

	config_write(m, m->capability + 2, 0x8000, 2);
	table_write(m, 12, 0);
	raise_vector(m, 1);
	pci_device_reset(&m->device);
	pci_msi_reset(m->msi);
	assert_false(pci_msi_enabled(m->msi));
	assert_int_equal(m->bound_fd[24], -1);
	assert_int_equal(table_read(m, 12, 4), 1);
	assert_int_equal(table_read(m, 0x800, 8), 0);
}

static void msi_enable_binds_the_message(void **state)
{
	struct machine *m = *state;

	assert_int_equal(config_read(m, m->capability, 1), 5);
	config_write(m, m->capability + 4, 0xfee0200f, 4);
	config_write(m, m->capability + 8, 0, 4);
	config_write(m, m->capability + 12, 0x4051, 2);
	config_write(m, m->capability + 2, 1, 2);
	assert_int_equal(m->bound_fd[24], pci_msi_eventfd(m->msi, 0));
	assert_int_equal(m->message[24].address, 0xfee0200c);
	assert_int_equal(m->message[24].data, 0x4051);
	config_write(m, m->capability + 16, 1, 4);
	assert_int_equal(m->bound_fd[24], -1);
	config_write(m, m->capability + 16, 0, 4);
	assert_int_not_equal(m->bound_fd[24], -1);
	config_write(m, m->capability + 2, 0, 2);
	assert_int_equal(m->bound_fd[24], -1);
}

static void msi_masked_event_shows_in_the_pending_bit(void **state)
{
	struct machine *m = *state;
	uint64_t one = 1;

	config_write(m, m->capability + 16, 1, 4);
	config_write(m, m->capability + 2, 1, 2);
	assert_int_equal(config_read(m, m->capability + 20, 4), 0);
	assert_int_equal(write(pci_msi_eventfd(m->msi, 0), &one, 8), 8);
	assert_int_equal(config_read(m, m->capability + 20, 4), 1);
	assert_int_equal(config_read(m, m->capability + 20, 1), 1);
	/* Unmasked, it is the kernel's to deliver. */
	config_write(m, m->capability + 16, 0, 4);
	assert_int_equal(config_read(m, m->capability + 20, 4), 0);
	pci_device_reset(&m->device);
	pci_msi_reset(m->msi);
	assert_int_equal(m->bound_fd[24], -1);
	assert_int_equal(config_read(m, m->capability + 20, 4), 0);
}

static void msix_without_free_interrupts_fails_whole(void **state)
{
	struct machine *m = machine_create();
	struct error err;

	(void)state;
	m->full = true;
	assert_int_equal(pci_msix_create(&m->device, &m->controller, 3, 1, &m->msi, &err), -ENOSPC);
	assert_int_equal(pci_msix_create(&m->device, &m->controller, 0, 1, &m->msi, &err), -EINVAL);
	assert_int_equal(
		pci_msix_create(&m->device, &m->controller, 129, 1, &m->msi, &err), -EINVAL);
	pci_bus_destroy(m->pci);
	bus_destroy(m->mmio);
	bus_destroy(m->ports);
	free(m);
}

int main(void)
{
#define MSIX(name) cmocka_unit_test_setup_teardown(name, setup_msix, teardown)
	const struct CMUnitTest tests[] = {
		MSIX(msix_capability_tells_table_and_pending_bits),
		MSIX(msix_unmasked_vector_is_bound_to_its_message),
		MSIX(msix_masked_event_is_pending_until_unmasked),
		MSIX(msix_function_mask_unbinds_all),
		MSIX(msix_table_ignores_what_lies_outside),
		MSIX(msix_reset_masks_and_drops_what_was_pending),
		cmocka_unit_test_setup_teardown(msi_enable_binds_the_message, setup_msi, teardown),
		cmocka_unit_test_setup_teardown(
			msi_masked_event_shows_in_the_pending_bit, setup_msi, teardown),
		cmocka_unit_test(msix_without_free_interrupts_fails_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
