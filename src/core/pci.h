/* The PCI host bridge with one bus, and what a PCI device is built from.
 *
 *   guest --0xcf8/0xcfc--> pci_bus --config space--> pci_device --BARs--> bus regions, device
 * memory
 *
 * We are the firmware: attaching a device assigns its BARs and switches decoding on, so a guest
 * finds everything in place; it may move BARs within what is free. A BAR that would overlap RAM,
 * another BAR or any other region is not mapped (the register keeps what was written, as hardware
 * does).
 *
 * Locks: the bus's mutex covers config space, BAR registers and INTx; taken inside. A BAR's
 * registers run under the lock that its region names. Order: pci bus, then nothing: no device
 * callback runs with it but config_changed and config_reading. Source: PCI Local Bus
 * Specification 3.0, sections 3.2.2.3 (configuration mechanism 1), 6.1, 6.2.5 (BARs), 6.7
 * (capabilities). */
#ifndef VMGUI_CORE_PCI_H
#define VMGUI_CORE_PCI_H

#include "core/bus.h"
#include "core/device_memory.h"
#include "core/error.h"
#include "core/irq.h"

#define PCI_BAR_COUNT     6
#define PCI_MAX_DOORBELLS 64u /* in one BAR */
#define PCI_CONFIG_BYTES  256

/* Offsets in the type 0 header. */
enum pci_config_offset {
	PCI_CFG_VENDOR = 0x00,
	PCI_CFG_DEVICE = 0x02,
	PCI_CFG_COMMAND = 0x04,
	PCI_CFG_STATUS = 0x06,
	PCI_CFG_REVISION = 0x08,
	PCI_CFG_CLASS = 0x09,
	PCI_CFG_HEADER_TYPE = 0x0e,
	PCI_CFG_BAR0 = 0x10,
	PCI_CFG_SUBSYSTEM_VENDOR = 0x2c,
	PCI_CFG_SUBSYSTEM = 0x2e,
	PCI_CFG_CAPABILITIES = 0x34,
	PCI_CFG_INTERRUPT_LINE = 0x3c,
	PCI_CFG_INTERRUPT_PIN = 0x3d,
};

#define PCI_COMMAND_IO           0x0001u
#define PCI_COMMAND_MEMORY       0x0002u
#define PCI_COMMAND_MASTER       0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT     0x0008u
#define PCI_STATUS_CAPABILITIES  0x0010u

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_IO,     /* registers at I/O ports */
	PCI_BAR_MMIO,   /* registers in memory, 32-bit address */
	PCI_BAR_MEMORY, /* device_memory that the guest reaches without exits, 32-bit address */
};

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetchable;
	uint64_t size_bytes;          /* a power of two; I/O at least 4, memory at least 16 */
	struct device_memory *memory; /* PCI_BAR_MEMORY */
	/* PCI_BAR_IO and PCI_BAR_MMIO: as in struct bus_region. */
	unsigned widths;
	const struct bus_region_ops *ops;
	void *opaque;
	pthread_mutex_t *lock;
	/* Doorbells inside a BAR of registers, which move with it; doorbell.address is the offset
	 * in the BAR. The array stays the device's and lives as long as the device. All are off at
	 * first, see pci_device_set_doorbell. */
	const struct bus_doorbell *doorbells;
	unsigned doorbell_count;
};

struct pci_ids {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: base class, subclass, interface */
	uint8_t revision;
};

struct pci_bus;
struct pci_msi;

/* Embedded in a device's state. All fields are the bus's once attached. */
struct pci_device {
	const char *name; /* static, for messages */
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t reset_config[PCI_CONFIG_BYTES]; /* as attach left it */
	uint8_t writable[PCI_CONFIG_BYTES];     /* bits that the guest may change */
	struct pci_bar bars[PCI_BAR_COUNT];
	uint64_t mapped[PCI_BAR_COUNT]; /* address at which a BAR is mapped now; 0: not mapped */
	uint64_t doorbells_on[PCI_BAR_COUNT];    /* bit n: doorbell n is wanted */
	uint64_t doorbells_bound[PCI_BAR_COUNT]; /* those that are on the bus now */
	uint8_t next_capability;                 /* free config space for capabilities */
	uint8_t last_capability;                 /* offset of the newest one; 0: none */
	uint8_t slot, function;
	bool intx_level;
	bool uses_messages; /* MSI or MSI-X is enabled, which keeps the pin quiet */
	struct pci_bus *bus;
	/* After the guest wrote [offset, offset + width), with the bus's lock held; may be NULL. */
	void (*config_changed)(struct pci_device *device, unsigned offset, unsigned width);
	/* Before the guest reads the dword at offset, with the bus's lock held, to bring config up
	 * to date; may be NULL. */
	void (*config_reading)(struct pci_device *device, unsigned offset);
	/* The dword at window (0: there is none) leads into the device. Before the guest reads it
	 * and after it wrote to any byte of it, one of these runs, without the bus's lock because
	 * the device takes its own. config is a copy of config space; what window_read returns
	 * becomes the dword. */
	uint8_t window;
	uint32_t (*window_read)(struct pci_device *device, const uint8_t *config);
	void (*window_write)(struct pci_device *device, const uint8_t *config);
	struct pci_msi *msi; /* pci_msi.h; NULL: the device has none */
};

/* Sets up the header; interrupt_pin: 0 none, 1 INTA# ... 4 INTD#. */
void pci_device_init(struct pci_device *device, const char *name, const struct pci_ids *ids,
	unsigned interrupt_pin);
/* Before attach. -EINVAL: size or index is wrong, the BAR is set, or there are doorbells outside it
 * or too many of them. Copies *bar. */
VMGUI_MUST_USE int pci_device_set_bar(
	struct pci_device *device, unsigned index, const struct pci_bar *bar);
/* Before attach: appends a capability of length bytes (its two header bytes included, rounded up to
 * dwords) and returns its offset, or -ENOSPC. The caller fills config and writable behind the
 * header. */
VMGUI_MUST_USE int pci_device_add_capability(
	struct pci_device *device, uint8_t id, unsigned length);
/* Level of the device's INTx pin; what command's INTX_DISABLE masks. Any thread. */
void pci_device_set_intx(struct pci_device *device, bool level);
/* Switches a doorbell of a BAR on or off. Binding one costs the kernel up to milliseconds and a
 * guest moves every BAR when it boots, so a device switches on what its driver uses. The writes of
 * a doorbell that is off, or that the kernel cannot take, reach the BAR's callback, which must do
 * the same. Any thread. */
void pci_device_set_doorbell(
	struct pci_device *device, unsigned bar_index, unsigned doorbell, bool on);
/* BARs, command and the rest as attach left them, INTx low, doorbells off. For the device's reset.
 */
void pci_device_reset(struct pci_device *device);

struct pci_bus_config {
	struct bus *ports, *mmio;
	uint64_t mmio_base, mmio_end; /* window that BARs are assigned from and may lie in */
	uint64_t ports_base, ports_end;
	/* Interrupt line of (slot + pin - 1) % 4, and the number for the interrupt line register.
	 */
	struct irq_line intx[4];
	/* The guest asked for a reset through the reset control register, port 0xcf9, which lies
	 * inside configuration mechanism 1's ports; NULL: ignored. Called with the bus's lock held.
	 */
	void (*request_reset)(void *opaque);
	void *opaque;
};

/* Ports 0xcf8 to 0xcff; slot 0 is the host bridge (8086:1237). */
VMGUI_MUST_USE int pci_bus_create(
	const struct pci_bus_config *config, struct pci_bus **bus, struct error *err);
void pci_bus_destroy(struct pci_bus *bus); /* after its devices are detached */
/* slot 1..31, as its function 0; or 0 for any free place, 248 in all. Assigns and maps the BARs. */
VMGUI_MUST_USE int pci_bus_attach(
	struct pci_bus *bus, struct pci_device *device, unsigned slot, struct error *err);
void pci_bus_detach(struct pci_device *device); /* unmaps; no-op when not attached */
void pci_bus_reset(struct pci_bus *bus);        /* the address register and the host bridge */

#endif
