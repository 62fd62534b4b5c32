/* Virtio over PCI, modern devices only.
 *
 *   BAR 0   registers in memory: common configuration, ISR, device configuration, notifications
 *   BAR 1   MSI-X table and pending bits: one vector for each queue and one for configuration
 *           changes
 *
 * Each queue has a notification address of its own, which is a doorbell (bus.h): with KVM it never
 * leaves the kernel but as the queue's eventfd. Interrupts are the MSI-X vectors' eventfds; a
 * driver without MSI-X gets INTx and the ISR register.
 *
 * Threads: vCPU threads under the device's lock; interrupts from any thread, without it.
 * Source: VIRTIO 1.2, section 4.1. */
#ifndef VMGUI_CORE_VIRTIO_VIRTIO_PCI_H
#define VMGUI_CORE_VIRTIO_VIRTIO_PCI_H

#include "core/msi.h"
#include "core/pci.h"
#include "core/virtio/virtio_device.h"

struct virtio_pci;

/* Puts vdev on the bus; class_code as in struct pci_ids. vdev stays the caller's and outlives the
 * transport. */
VMGUI_MUST_USE int virtio_pci_create(struct virtio_device *vdev, uint32_t class_code,
	struct pci_bus *bus, const struct msi_controller *msi, struct virtio_pci **pci,
	struct error *err);
/* Off the bus; NULL is fine. The device has been stopped. */
void virtio_pci_destroy(struct virtio_pci *pci);
/* BARs, MSI-X and registers as at power-on, after virtio_device_reset; for the machine's reset. */
void virtio_pci_reset(struct virtio_pci *pci);

#endif
