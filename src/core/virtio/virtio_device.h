/* What every virtio device is, whatever carries it: status, features, queues and their life.
 *
 *   driver --registers--> transport (virtio_pci) --calls--> virtio_device --ops--> virtio_blk ...
 *   driver --doorbell--> kick_fd --> the device's own thread
 *   the device's own thread --virtio_queue_interrupt--> transport --irqfd--> driver
 *
 * A queue's life: idle -> (driver enables it, DRIVER_OK) queue_start -> live -> (device or queue
 * reset) queue_stop -> the device finishes what is in flight -> virtio_queue_stopped -> idle. The
 * driver sees a reset as complete only when all queues have stopped; nobody waits meanwhile but the
 * driver, which polls as the specification says. When the whole machine is reset, the machine's
 * thread waits.
 *
 * Threads: the transport calls with device.lock held (vCPU threads). A live queue's ring belongs to
 * the device's own thread. Fields name their lock.
 * Source: VIRTIO 1.2, sections 2.1 to 2.4, 2.6.1 (queue reset), 3.1 (initialisation). */
#ifndef VMGUI_CORE_VIRTIO_VIRTIO_DEVICE_H
#define VMGUI_CORE_VIRTIO_VIRTIO_DEVICE_H

#include <stdatomic.h>

#include "core/device.h"
#include "core/guest_mem.h"
#include "core/log.h"
#include "core/virtio/virtio.h"
#include "core/virtio/virtqueue.h"

#define VIRTIO_MAX_QUEUES 64u

struct virtio_device;

struct virtio_device_ops {
	/* The queue is active: serve it, in the device's own thread, beginning with a look whether
	 * buffers are there. Called with device.lock held; must not block. */
	void (*queue_start)(struct virtio_device *vdev, unsigned queue);
	/* Pop no more; call virtio_queue_stopped (from any thread, without device.lock) once
	 * nothing popped is in flight. Called with device.lock held; must not block. */
	void (*queue_stop)(struct virtio_device *vdev, unsigned queue);
	/* All queues have stopped: what the device itself keeps goes back to its reset state. With
	 * device.lock held. NULL: nothing. */
	void (*reset)(struct virtio_device *vdev);
	/* The driver's features have been accepted (FEATURES_OK), vdev->features holds them. With
	 * device.lock held. NULL: nothing. */
	void (*features_accepted)(struct virtio_device *vdev);
	/* The device-specific configuration space, config_bytes long: [offset, offset + width) lies
	 * inside it, width is 1, 2, 4 or 8. With device.lock held. NULL: zeroes, ignored. */
	uint64_t (*read_config)(struct virtio_device *vdev, unsigned offset, unsigned width);
	void (*write_config)(
		struct virtio_device *vdev, unsigned offset, unsigned width, uint64_t value);
};

enum virtio_queue_state {
	VIRTIO_QUEUE_IDLE,
	VIRTIO_QUEUE_LIVE,
	VIRTIO_QUEUE_STOPPING
};

struct virtio_queue {
	struct virtqueue ring;          /* the device's thread while live, else device.lock */
	struct virtqueue_layout layout; /* device.lock; frozen once enabled */
	uint32_t max_size;              /* immutable */
	bool enabled, resetting;        /* device.lock */
	enum virtio_queue_state state;  /* device.lock */
	int kick_fd; /* eventfd, non-blocking: the driver's notifications; immutable */
};

/* What carries the device; virtio_pci, or a fake in unit tests. Any thread, any lock. */
struct virtio_transport {
	void (*queue_interrupt)(struct virtio_transport *transport, unsigned queue);
	void (*config_interrupt)(struct virtio_transport *transport);
};

/* Embedded first in a device's state. */
struct virtio_device {
	struct device device; /* its ops are the transport's or virtio_device.c's users' */
	const char *name;     /* static, for messages, e.g. "virtio-blk" */
	const struct virtio_device_ops *ops;
	enum virtio_id id;
	const struct guest_mem *mem;
	struct virtio_transport *transport; /* set by the transport before the guest runs */
	uint64_t offered;                   /* features; immutable */
	uint64_t features;                  /* negotiated; device.lock, stable while queues live */
	uint64_t driver_features;           /* written so far; device.lock */
	atomic_uint status;                 /* written under device.lock, but for NEEDS_RESET */
	atomic_uint config_generation;
	atomic_bool config_pending; /* an interrupt that waits for DRIVER_OK */
	unsigned config_bytes;      /* immutable */
	bool resetting;             /* device.lock: status reads as not yet 0 */
	pthread_cond_t stopped;     /* device.lock: a queue became idle */
	struct virtio_queue *queues;
	unsigned queue_count;
	struct log_limit limit; /* for messages that a guest causes */
};

struct virtio_device_config {
	const char *name;
	const struct virtio_device_ops *ops;
	enum virtio_id id;
	const struct guest_mem *mem;
	uint64_t features; /* the device's own; VIRTIO_COMMON_FEATURES come on top */
	unsigned config_bytes;
	unsigned queue_count;    /* 1 to VIRTIO_MAX_QUEUES */
	uint32_t max_queue_size; /* of each; a power of two, at most VIRTQUEUE_MAX_SIZE */
};

/* Storage is the caller's. device_ops: the life cycle of the machine's device (see
 * virtio_device_reset for its reset). -ENOMEM, -EMFILE and so on; on failure nothing is left. */
VMGUI_MUST_USE int virtio_device_init(struct virtio_device *vdev,
	const struct device_ops *device_ops, const struct virtio_device_config *config,
	struct error *err);
void virtio_device_fini(struct virtio_device *vdev);

/* ---- for the device ---- */

/* The queue that queue_stop named has nothing in flight. Any thread, without device.lock. */
void virtio_queue_stopped(struct virtio_device *vdev, unsigned queue);
/* The driver wants an interrupt (virtqueue_publish said so). Any thread, any lock. */
void virtio_queue_interrupt(struct virtio_device *vdev, unsigned queue);
/* The configuration space has changed: a new generation, and an interrupt once the driver has
 * reached DRIVER_OK. Any thread, any lock; device.lock still held since the change keeps a driver
 * from reading half of the old and half of the new under one generation. */
void virtio_config_changed(struct virtio_device *vdev);
/* The driver broke the rules: says why (rate-limited), sets DEVICE_NEEDS_RESET, tells a driver once
 * it has reached DRIVER_OK. Queues are served no more by the caller's own doing; no queue starts
 * any more until the reset. Any thread, any lock; for a queue, before its virtio_queue_stopped. */
void virtio_device_needs_reset(struct virtio_device *vdev, const char *why);

/* ---- for the machine: struct device_ops.reset of every virtio device calls this ---- */

/* Stops all queues, waits until they have stopped, and resets; vCPUs are held. Takes device.lock.
 */
void virtio_device_reset(struct virtio_device *vdev);

/* ---- for the transport, with device.lock held ---- */

uint8_t virtio_device_get_status(const struct virtio_device *vdev);
void virtio_device_set_status(struct virtio_device *vdev, uint8_t status);
/* select 0: bits 0 to 31, 1: bits 32 to 63, others: none. */
uint32_t virtio_device_offered(const struct virtio_device *vdev, uint32_t select);
uint32_t virtio_device_get_driver_features(const struct virtio_device *vdev, uint32_t select);
void virtio_device_set_driver_features(struct virtio_device *vdev, uint32_t select, uint32_t value);
/* The queue registers; a queue out of range reads 0 and ignores writes, as does an enabled one's
 * layout. Any size and address can be written: what is wrong with them shows when the queue starts
 * (needs-reset), not as a register that silently differs from what the driver wrote. */
struct virtio_queue *virtio_device_queue(struct virtio_device *vdev, unsigned queue); /* or NULL */
void virtio_queue_set_size(struct virtio_device *vdev, unsigned queue, uint32_t size);
void virtio_queue_set_address(struct virtio_device *vdev, unsigned queue, unsigned which, bool high,
	uint32_t value); /* which: 0 descriptors, 1 driver, 2 device */
void virtio_queue_enable(struct virtio_device *vdev, unsigned queue);
void virtio_queue_reset(struct virtio_device *vdev, unsigned queue);
/* Any offset and width: beyond the end and odd widths read zero and write nothing. */
uint64_t virtio_device_read_config(struct virtio_device *vdev, uint64_t offset, unsigned width);
void virtio_device_write_config(
	struct virtio_device *vdev, uint64_t offset, unsigned width, uint64_t value);

#endif
