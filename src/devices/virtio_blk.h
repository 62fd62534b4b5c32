/* The virtio block device: a driver's requests, checked, to a disk (core/block.h) and back.
 *
 * Specification: VIRTIO 1.2, section 5.2. Threads: see virtio_blk_internal.h. */
#ifndef VMGUI_DEVICES_VIRTIO_BLK_H
#define VMGUI_DEVICES_VIRTIO_BLK_H

#include "core/block.h"
#include "core/virtio/virtio_device.h"

#define VIRTIO_BLK_SERIAL_BYTES       20u
#define VIRTIO_BLK_DEFAULT_QUEUE_SIZE 512u

struct virtio_blk_config {
	const struct guest_mem *mem;
	/* Not started; the device's from a successful create on, which starts, stops and destroys
	 * it. */
	struct block_disk *disk;
	const char *serial;      /* the first 20 bytes count; NULL: none */
	unsigned queue_count;    /* 1 to VIRTIO_MAX_QUEUES; one for each vCPU up to a few is best */
	uint32_t queue_size;     /* of each, a power of two from 4 on; 0: the default */
	const char *thread_name; /* of the disk's thread, at most 15 characters; static */
	/* The host has no room for what the guest writes: its requests are kept, the guest should
	 * be paused, and device_ops.resume tries them again. message is one line for the user. In
	 * the disk's thread, once until a resume. NULL: such writes fail with an I/O error. */
	void (*stalled)(void *opaque, const char *message);
	void *opaque;
};

/* The device, not yet on a bus: virtio_blk_vdev is for virtio_pci_create. */
VMGUI_MUST_USE int virtio_blk_create(
	const struct virtio_blk_config *config, struct device **device, struct error *err);
struct virtio_device *virtio_blk_vdev(struct device *device);

#endif
