/* Where the interrupts of a virtio device on PCI go: a vector's eventfd, the INTx pin, or nowhere.
 *
 * raise_queue, the hot one, reads one atomic and writes one eventfd: no lock, no ioctl. The atomic
 * is set anew whenever something changes that decides it: the queue's vector, MSI-X's enable bit,
 * the device status. Masks and messages are pci_msi's and change nothing here: a masked vector's
 * event waits in its eventfd. INTx is for drivers without MSI-X: a level, for whose every change
 * irq_line needs an ioctl; irqfd would do for a level only with resampling, which the driver's read
 * of the ISR register makes needless.
 *
 * Locks: inside. `pin` comes before the PCI bus's lock; `routes` is innermost and may be taken with
 * the PCI bus's held.
 * Source: VIRTIO 1.2, sections 4.1.4.5 (ISR status), 4.1.5.1.2 (vectors), 4.1.5.3, 4.1.5.4. */
#ifndef VMGUI_CORE_VIRTIO_VIRTIO_PCI_INTERRUPTS_H
#define VMGUI_CORE_VIRTIO_VIRTIO_PCI_INTERRUPTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/pci_msi.h"
#include "core/virtio/virtio_device.h"

#define VIRTIO_PCI_NO_VECTOR 0xffffu

struct virtio_pci_source {
	uint16_t vector;  /* routes */
	atomic_int route; /* written under routes; read by anybody */
};

struct virtio_pci_interrupts {
	struct pci_device *device; /* immutable */
	struct pci_msi *msi;       /* immutable */
	unsigned queue_count;      /* immutable */
	pthread_mutex_t pin;       /* keeps ISR and INTx in step */
	uint8_t isr;               /* pin */
	pthread_mutex_t routes;
	bool live;                       /* routes */
	struct virtio_pci_source config; /* of configuration changes */
	struct virtio_pci_source queues[VIRTIO_MAX_QUEUES];
};

/* msi: made for device already. */
void virtio_pci_interrupts_init(struct virtio_pci_interrupts *interrupts, struct pci_device *device,
	struct pci_msi *msi, unsigned queue_count);
void virtio_pci_interrupts_fini(struct virtio_pci_interrupts *interrupts);

/* Live from DRIVER_OK on until a reset begins; nobody is interrupted otherwise. */
void virtio_pci_interrupts_set_live(struct virtio_pci_interrupts *interrupts, bool live);
/* After MSI-X was enabled or disabled. */
void virtio_pci_interrupts_update(struct virtio_pci_interrupts *interrupts);
/* No vectors, nothing pending. */
void virtio_pci_interrupts_reset(struct virtio_pci_interrupts *interrupts);
/* source: one of interrupts'. A vector that does not exist becomes none, which tells the driver. */
void virtio_pci_set_vector(struct virtio_pci_interrupts *interrupts,
	struct virtio_pci_source *source, uint16_t vector);
uint16_t virtio_pci_get_vector(
	struct virtio_pci_interrupts *interrupts, const struct virtio_pci_source *source);
/* The ISR status, which is 0 and INTx low afterwards. */
uint8_t virtio_pci_take_isr(struct virtio_pci_interrupts *interrupts);

/* Any thread, any lock but the PCI bus's. */
void virtio_pci_raise_queue(struct virtio_pci_interrupts *interrupts, unsigned queue);
void virtio_pci_raise_config(struct virtio_pci_interrupts *interrupts);

#endif
