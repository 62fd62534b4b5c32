/* A split virtqueue, seen from the device: the one place where descriptors are read and checked.
 *
 *   descriptor table   size x 16 bytes   address, length, flags, next   written by the driver
 *   available ring     6 + size x 2      flags, idx, ring[], used_event written by the driver
 *   used ring          6 + size x 8      flags, idx, ring[], avail_event  written by the device
 *
 * Configuring and running are separate states: virtqueue_activate checks the whole layout and
 * freezes it; nothing of it is read from the guest again. Each descriptor is copied once into a
 * local before it is looked at. What a driver may not do (a head, next or length out of range, a
 * loop, a malformed indirect table, a readable buffer behind a writable one, an address that is not
 * RAM, more available buffers than the ring holds, a head that is in flight already) breaks the
 * queue: pop says -EPROTO from then on, nothing of the chain has been touched, and the device asks
 * for a reset (virtio_device_needs_reset). So at most size chains are in flight, each with a head
 * of its own below size: a device may keep its requests in an array by head.
 *
 * Threads: one at a time: the device's thread while active, else whoever configures. No locks.
 * Source: VIRTIO 1.2, section 2.7, with 2.7.5.3 (indirect), 2.7.7 and 2.7.10 (notification
 * suppression). */
#ifndef VMGUI_CORE_VIRTIO_VIRTQUEUE_H
#define VMGUI_CORE_VIRTIO_VIRTQUEUE_H

#include <sys/uio.h>

#include "core/guest_mem.h"
#include "core/util.h"

#define VIRTQUEUE_MAX_SIZE 1024u

/* Where a driver put the rings. size is a power of two, at most VIRTQUEUE_MAX_SIZE; the addresses
 * are multiples of 16, 2 and 4. */
struct virtqueue_layout {
	uint32_t size;
	uint64_t descriptors_gpa, driver_gpa, device_gpa;
};

/* Fields are virtqueue.c's own. */
struct virtqueue {
	const struct guest_mem *mem;
	uint32_t size; /* 0: not active */
	bool event_idx, indirect, broken;
	uint8_t *descriptors, *driver, *device; /* checked slices of the sizes above */
	/* Free-running, as the indices in the rings are. */
	uint16_t next_available;                     /* of the next buffer to pop */
	uint16_t seen_available;                     /* the driver's index when it was last read */
	uint16_t next_used;                          /* that the next filled buffer gets */
	uint16_t published_used;                     /* what the driver has been told */
	const struct guest_mem_region *region;       /* where the last buffer was: a first guess */
	uint64_t in_flight[VIRTQUEUE_MAX_SIZE / 64]; /* heads popped and not filled yet */
	const char *why_broken;                      /* static text */
};

/* A popped chain: buffers in guest memory, the readable ones first. The caller owns iov, capacity
 * entries long; a chain of more buffers breaks the queue, so devices give as many entries as the
 * queue has descriptors. Buffers of length 0 are left out. */
struct virtqueue_chain {
	struct iovec *iov;
	unsigned capacity;

	uint16_t head;
	unsigned readable_count, writable_count; /* iov[0..readable), then writable ones */
	uint64_t readable_bytes, writable_bytes; /* in sum at most 4 GiB */
};

/* features: the negotiated ones. -EINVAL: size or alignment; -EFAULT: a ring is not wholly in RAM
 * or two of them overlap. */
VMGUI_MUST_USE int virtqueue_activate(struct virtqueue *queue, const struct guest_mem *mem,
	const struct virtqueue_layout *layout, uint64_t features);
void virtqueue_deactivate(struct virtqueue *queue);

/* 1: a chain; 0: none there; -EPROTO: broken, see why_broken. */
VMGUI_MUST_USE int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Gives a chain back, written_bytes of its writable part filled. The driver sees it once it is
 * published. */
void virtqueue_fill(struct virtqueue *queue, uint16_t head, uint32_t written_bytes);
/* Shows the driver all that was filled. True: it wants an interrupt for it. */
VMGUI_MUST_USE bool virtqueue_publish(struct virtqueue *queue);

/* Asks the driver not to notify while we look at the queue anyway. */
void virtqueue_disable_notify(struct virtqueue *queue);
/* Asks it to notify again: before every wait for the kick, the first one included. True: buffers
 * have come meanwhile and must be popped first. */
VMGUI_MUST_USE bool virtqueue_enable_notify(struct virtqueue *queue);

/* Copies between a flat buffer and the chain's readable or writable part, from offset on; returns
 * how many bytes there were to copy. */
size_t virtqueue_read(
	const struct virtqueue_chain *chain, uint64_t offset, void *buffer, size_t length);
size_t virtqueue_write(
	const struct virtqueue_chain *chain, uint64_t offset, const void *buffer, size_t length);

#endif
