/* A machine of buses, a fake message controller and one virtio device on PCI, with the driver's way
 * to it: configuration mechanism 1, a walk over the capabilities as section 4.1.4 of VIRTIO 1.2
 * tells drivers to do it, and registers through the BARs that it found. For the unit test and the
 * fuzz target of virtio_pci; setting up aborts where it fails.
 *
 * The device itself comes from whoever includes this. */
#ifndef VMGUI_TESTS_VIRTIO_PCI_MACHINE_H
#define VMGUI_TESTS_VIRTIO_PCI_MACHINE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/virtio/virtio_pci.h"
#include "fake_virtio.h"

#define MACHINE_MMIO_BASE UINT64_C(0xc0000000)
#define MACHINE_MMIO_END  UINT64_C(0xc0200000)
#define MACHINE_SLOT      1u
#define MACHINE_FIRST_GSI 24
#define MACHINE_GSIS      128u
#define MACHINE_LINE      1u /* of slot 1, INTA# */

/* What a driver finds in a capability. */
struct machine_region {
	bool found;
	unsigned capability; /* its offset */
	uint8_t bar;
	uint32_t offset, length;
};

struct machine {
	struct fake_virtio ram; /* only its memory and rings */
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct msi_controller msi;
	bool allocated[MACHINE_GSIS], messages_full;
	int bound_fd[MACHINE_GSIS]; /* -1: not bound */
	struct msi_message message[MACHINE_GSIS];
	bool levels[4];
	struct virtio_pci *transport;
	/* Found by the walk. */
	struct machine_region common, notify, isr, device, window;
	uint32_t notify_multiplier;
	unsigned msix; /* offset of the MSI-X capability */
};

static inline void machine_require(bool condition)
{
	if (!condition)
		abort();
}

static inline void machine_set_level(void *opaque, unsigned number, bool level)
{
	((struct machine *)opaque)->levels[number] = level;
}

static inline int machine_allocate(void *opaque)
{
	struct machine *m = opaque;

	for (int i = 0; i < (int)MACHINE_GSIS && !m->messages_full; i++) {
		if (!m->allocated[i]) {
			m->allocated[i] = true;
			return MACHINE_FIRST_GSI + i;
		}
	}
	return -ENOSPC;
}

static inline unsigned machine_gsi(const struct machine *m, unsigned gsi)
{
	machine_require(gsi >= MACHINE_FIRST_GSI && gsi - MACHINE_FIRST_GSI < MACHINE_GSIS);
	machine_require(m->allocated[gsi - MACHINE_FIRST_GSI]);
	return gsi - MACHINE_FIRST_GSI;
}

static inline void machine_release(void *opaque, unsigned gsi)
{
	struct machine *m = opaque;
	unsigned index = machine_gsi(m, gsi);

	machine_require(m->bound_fd[index] < 0);
	m->allocated[index] = false;
}

static inline int machine_bind(
	void *opaque, unsigned gsi, int fd, const struct msi_message *message)
{
	struct machine *m = opaque;
	unsigned index = machine_gsi(m, gsi);

	machine_require(fd >= 0 && m->bound_fd[index] < 0);
	m->bound_fd[index] = fd;
	m->message[index] = *message;
	return 0;
}

static inline int machine_update(void *opaque, unsigned gsi, const struct msi_message *message)
{
	struct machine *m = opaque;

	m->message[machine_gsi(m, gsi)] = *message;
	return 0;
}

static inline void machine_unbind(void *opaque, unsigned gsi, int fd)
{
	struct machine *m = opaque;
	unsigned index = machine_gsi(m, gsi);

	machine_require(m->bound_fd[index] == fd);
	m->bound_fd[index] = -1;
}

static inline void machine_init(struct machine *m)
{
	struct pci_bus_config config = {
		.mmio_base = MACHINE_MMIO_BASE,
		.mmio_end = MACHINE_MMIO_END,
		.ports_base = 0xc000,
		.ports_end = 0xd000,
	};

	memset(m, 0, sizeof(*m));
	fake_virtio_init(&m->ram, KIB(64), 0);
	memset(m->bound_fd, 0xff, sizeof(m->bound_fd));
	m->msi = (struct msi_controller){ machine_allocate, machine_release, machine_bind,
		machine_update, machine_unbind, m };
	m->ports = config.ports = bus_create("port", 0x10000);
	m->mmio = config.mmio = bus_create("memory", 0);
	machine_require(m->ports && m->mmio);
	for (unsigned i = 0; i < 4; i++)
		config.intx[i] =
			(struct irq_line){ .set = machine_set_level, .opaque = m, .number = i };
	machine_require(!pci_bus_create(&config, &m->pci, NULL));
}

/* Checks that everything was given back. */
static inline void machine_fini(struct machine *m)
{
	virtio_pci_destroy(m->transport);
	for (unsigned i = 0; i < MACHINE_GSIS; i++)
		machine_require(!m->allocated[i]);
	pci_bus_destroy(m->pci);
	bus_destroy(m->mmio);
	bus_destroy(m->ports);
	fake_virtio_fini(&m->ram);
}

/* ---- the driver's accesses ---- */

static inline uint32_t config_read(struct machine *m, unsigned offset, unsigned width)
{
	uint32_t address = 0x80000000u | MACHINE_SLOT << 11 | (offset & 0xfc), value = 0;

	bus_write(m->ports, 0xcf8, &address, 4);
	bus_read(m->ports, 0xcfc + (offset & 3), &value, width);
	return value;
}

static inline void config_write(struct machine *m, unsigned offset, uint32_t value, unsigned width)
{
	uint32_t address = 0x80000000u | MACHINE_SLOT << 11 | (offset & 0xfc);

	bus_write(m->ports, 0xcf8, &address, 4);
	bus_write(m->ports, 0xcfc + (offset & 3), &value, width);
}

static inline uint64_t machine_address(struct machine *m, const struct machine_region *region)
{
	return (config_read(m, PCI_CFG_BAR0 + 4u * region->bar, 4) & ~UINT32_C(15)) +
	       region->offset;
}

static inline uint64_t region_read(
	struct machine *m, const struct machine_region *region, uint64_t offset, unsigned width)
{
	uint64_t value = 0;

	bus_read(m->mmio, machine_address(m, region) + offset, &value, width);
	return value;
}

static inline void region_write(struct machine *m, const struct machine_region *region,
	uint64_t offset, unsigned width, uint64_t value)
{
	bus_write(m->mmio, machine_address(m, region) + offset, &value, width);
}

static inline uint32_t common_read(struct machine *m, unsigned offset, unsigned width)
{
	return (uint32_t)region_read(m, &m->common, offset, width);
}

static inline void common_write(struct machine *m, unsigned offset, unsigned width, uint32_t value)
{
	region_write(m, &m->common, offset, width, value);
}

static inline uint64_t msix_address(struct machine *m)
{
	return config_read(m, PCI_CFG_BAR0 + 4 * (config_read(m, m->msix + 4, 4) & 7), 4) &
	       ~UINT32_C(15);
}

/* Writes a vector's message and unmasks it. */
static inline void msix_program(struct machine *m, unsigned vector, bool masked)
{
	const uint32_t entry[4] = { 0xfee00000, 0, 0x40 + vector, masked };

	for (unsigned i = 0; i < 4; i++)
		bus_write(m->mmio, msix_address(m) + 16 * vector + 4 * i, &entry[i], 4);
}

static inline void msix_enable(struct machine *m, bool on)
{
	config_write(m, m->msix + 2, on ? 0x8000 : 0, 2);
}

/* ---- the walk ---- */

static inline struct machine_region machine_read_capability(struct machine *m, unsigned offset)
{
	return (struct machine_region){
		.found = true,
		.capability = offset,
		.bar = (uint8_t)config_read(m, offset + 4, 1),
		.offset = config_read(m, offset + 8, 4),
		.length = config_read(m, offset + 12, 4),
	};
}

/* Finds all structures; of a kind that is there several times the first, as a driver is to do. */
static inline void machine_walk(struct machine *m)
{
	unsigned offset = config_read(m, PCI_CFG_CAPABILITIES, 1), steps = 0;

	machine_require(config_read(m, PCI_CFG_STATUS, 2) & PCI_STATUS_CAPABILITIES);
	for (; offset; offset = config_read(m, offset + 1, 1)) {
		struct machine_region *kinds[6] = { NULL, &m->common, &m->notify, &m->isr,
			&m->device, &m->window };
		uint8_t id = (uint8_t)config_read(m, offset, 1);
		uint8_t kind = (uint8_t)config_read(m, offset + 3, 1);

		machine_require(offset >= 0x40 && offset % 4 == 0 && steps++ < 48);
		if (id == 0x11)
			m->msix = offset;
		if (id != 0x09 || kind < 1 || kind > 5 || kinds[kind]->found)
			continue;
		*kinds[kind] = machine_read_capability(m, offset);
		if (kind == 2)
			m->notify_multiplier = config_read(m, offset + 16, 4);
	}
}

#endif
