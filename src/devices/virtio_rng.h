/* Virtio entropy device: random bytes of the host's kernel. See virtio_rng.c. */
#ifndef VMGUI_DEVICES_VIRTIO_RNG_H
#define VMGUI_DEVICES_VIRTIO_RNG_H

#include "core/virtio/virtio_device.h"
#include "core/event_thread.h"

struct virtio_rng_config {
	const struct guest_mem *mem;
};

/* For virtio_pci_create. */
#define VIRTIO_RNG_PCI_CLASS UINT32_C(0xff0000) /* fits no class */

struct virtio_rng;

VMGUI_MUST_USE int virtio_rng_create(
	const struct virtio_rng_config *config, struct virtio_rng **out, struct error *err);
/* The device for virtio_pci_create and, its first member, for the machine. */
struct virtio_device *virtio_rng_vdev(struct virtio_rng *rng);
/* For tests, which step it. */
struct event_thread *virtio_rng_thread(struct virtio_rng *rng);

#endif
