/* The queues of a virtio device, served by an event thread: for all devices that have no thread of
 * another kind. It turns the contract of virtio_device.h (start, stop, doorbells) into three calls
 * in the thread.
 *
 * Threads: queue_start and queue_stop come from vCPU threads with device.lock held; virtio_worker
 * and everything else that is not marked run in the event thread. */
#ifndef VMGUI_CORE_VIRTIO_VIRTIO_WORKER_H
#define VMGUI_CORE_VIRTIO_VIRTIO_WORKER_H

#include "core/event_thread.h"
#include "core/virtio/virtio_device.h"

/* In the event thread, without any lock. */
struct virtio_worker_ops {
	/* The queue has become live; serve follows. NULL: nothing. */
	void (*started)(struct virtio_device *vdev, unsigned queue);
	/* The driver rang, or virtio_worker_again asked: look at the queue. 0: done; 1: there is
	 * more, and others are to have a turn before; negative: the ring is broken (what
	 * virtqueue_pop said). Work in one call is bounded, whatever the driver does. */
	int (*serve)(struct virtio_device *vdev, unsigned queue);
	/* The queue is live no more; whatever was popped is forgotten. NULL: nothing. */
	void (*stopped)(struct virtio_device *vdev, unsigned queue);
};

struct virtio_worker;

/* After virtio_device_init. */
VMGUI_MUST_USE int virtio_worker_create(struct virtio_device *vdev,
	const struct virtio_worker_ops *ops, struct virtio_worker **out, struct error *err);
/* Stopped; NULL is fine. Before virtio_device_fini. */
void virtio_worker_destroy(struct virtio_worker *worker);

/* For device_ops.start and stop. */
VMGUI_MUST_USE int virtio_worker_start(
	struct virtio_worker *worker, const char *thread_name, struct error *err);
void virtio_worker_stop(struct virtio_worker *worker);

/* For virtio_device_ops. */
void virtio_worker_queue_start(struct virtio_worker *worker, unsigned queue);
void virtio_worker_queue_stop(struct virtio_worker *worker, unsigned queue);

/* serve is soon called, if the queue is live. Any thread, any lock. */
void virtio_worker_again(struct virtio_worker *worker, unsigned queue);
/* Whether the queue is live and not broken. */
bool virtio_worker_is_live(const struct virtio_worker *worker, unsigned queue);
/* For descriptors and calls of the device's own. Any thread. */
struct event_thread *virtio_worker_thread(struct virtio_worker *worker);

#endif
