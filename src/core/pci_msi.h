/* Message-signalled interrupts of a PCI device: MSI with one vector, or MSI-X with a table in a
 * BAR.
 *
 * A device raises vector n by writing 1 to its eventfd: no ioctl, no lock, any thread. The kernel
 * turns it into the message that the guest has programmed. While a vector is masked or the function
 * disabled its eventfd is not bound: the event stays pending in it (and shows in MSI-X's pending
 * bits) and is delivered when the guest unmasks.
 *
 * Locks: taken inside, after the PCI bus's. Source: PCI Local Bus Specification 3.0, 6.8.1 (MSI)
 * and 6.8.2 (MSI-X). */
#ifndef VMGUI_CORE_PCI_MSI_H
#define VMGUI_CORE_PCI_MSI_H

#include "core/msi.h"
#include "core/pci.h"

#define PCI_MSIX_MAX_VECTORS 128u

struct pci_msi;

/* Both before pci_bus_attach. They take the device's config_changed; a device that needs it too
 * calls pci_msi_config_changed from its own. */

/* vectors: 1 to PCI_MSIX_MAX_VECTORS. The table and the pending bits fill BAR bar_index, which the
 * device has not set. -EINVAL, -ENOSPC, -ENOMEM. */
VMGUI_MUST_USE int pci_msix_create(struct pci_device *device,
	const struct msi_controller *controller, unsigned vectors, unsigned bar_index,
	struct pci_msi **msi, struct error *err);
/* One vector, 64-bit address, maskable. */
VMGUI_MUST_USE int pci_msi_create(struct pci_device *device,
	const struct msi_controller *controller, struct pci_msi **msi, struct error *err);
/* After pci_bus_detach. NULL is fine. */
void pci_msi_destroy(struct pci_msi *msi);
/* With the device's reset, after pci_device_reset: all masked and disabled, nothing pending. */
void pci_msi_reset(struct pci_msi *msi);
/* With the bus's lock held, as config_changed is. */
void pci_msi_config_changed(struct pci_msi *msi);

/* Whether the guest uses messages rather than INTx. Any thread. */
bool pci_msi_enabled(struct pci_msi *msi);
/* The eventfd of vector n, or -EINVAL: out of range. Stays pci_msi's. */
int pci_msi_eventfd(const struct pci_msi *msi, unsigned vector);

#endif
