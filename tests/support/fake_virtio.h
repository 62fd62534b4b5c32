/* The driver's side of virtio, for unit tests and fuzz targets: RAM of its own, rings in it,
 *buffers made available and used ones taken back, a device brought to DRIVER_OK as a driver does
 *it, and a transport that counts interrupts.
 *
 *	struct fake_virtio driver;
 *	struct fake_queue queue;
 *
 *	fake_virtio_init(&driver, MIB(1), 0);
 *	... virtio_device_init(&vdev, ... .mem = &driver.mem ...)
 *	fake_virtio_attach(&driver, &vdev);
 *	fake_virtio_negotiate(&driver, ~0);              (all that is offered)
 *	fake_queue_init(&queue, &driver, 8);
 *	fake_queue_enable(&queue, 0);
 *	fake_virtio_driver_ok(&driver);
 *	head = fake_queue_add(&queue, buffers, 2);
 *	fake_queue_kick(&queue);
 *	fake_queue_wait(&queue, &head, &written);
 *	...
 *	fake_virtio_reset(&driver);                      (waits, as a driver does)
 *	virtio_device_fini(&vdev);
 *	fake_virtio_fini(&driver);
 *
 * A virtqueue alone, without a device: fake_queue_init, then virtqueue_activate with queue.layout.
 *
 * Threads: one driver thread for each queue; the device may run in others. */
#ifndef VMGUI_TESTS_FAKE_VIRTIO_H
#define VMGUI_TESTS_FAKE_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/virtio/virtio_device.h"

/* As the specification names them. */
enum {
	FAKE_NEXT = 1,
	FAKE_WRITE = 2,
	FAKE_INDIRECT = 4,
};

struct fake_descriptor {
	uint64_t gpa;
	uint32_t length;
	uint16_t flags, next;
};

struct fake_buffer {
	uint64_t gpa;
	uint32_t length;
	bool writable; /* by the device */
};

struct fake_virtio {
	struct guest_mem mem;
	uint64_t next_gpa; /* what fake_virtio_alloc gives out next */
	struct virtio_device *vdev;
	struct virtio_transport transport;
	pthread_mutex_t lock; /* innermost; with `interrupt` */
	pthread_cond_t interrupt;
	atomic_uint config_interrupts, queue_interrupts[VIRTIO_MAX_QUEUES];
};

struct fake_queue {
	struct fake_virtio *driver;
	struct virtqueue_layout layout;
	uint32_t size;
	unsigned index;           /* of the device; set by fake_queue_enable */
	uint8_t *table;           /* size x 16 bytes */
	uint16_t *available;      /* flags, idx, ring[size], used_event */
	uint16_t *used;           /* flags, idx, 4 words an entry, avail_event */
	uint16_t next_descriptor; /* of the table, modulo size; nothing tracks which are free */
	uint16_t available_idx, kicked_idx, seen_used;
	bool event_idx; /* as negotiated; without a device: set it yourself */
};

/* ---- memory ---- */

/* low_bytes from address 0, high_bytes (may be 0) from 4 GiB on, each from malloc so that
 * sanitizers see an overrun. Ring addresses are given out from 4 KiB on. */
static inline void fake_virtio_init(
	struct fake_virtio *driver, uint64_t low_bytes, uint64_t high_bytes);

static inline void fake_virtio_fini(struct fake_virtio *driver)
{
	for (unsigned i = 0; i < driver->mem.region_count; i++)
		free(driver->mem.regions[i].start_hva);
	pthread_mutex_destroy(&driver->lock);
	pthread_cond_destroy(&driver->interrupt);
}

/* Host address of guest memory that must be there. */
static inline void *fake_virtio_at(struct fake_virtio *driver, uint64_t gpa, uint64_t bytes)
{
	struct guest_slice slice;

	if (guest_mem_slice(&driver->mem, gpa, bytes, &slice))
		abort();
	return slice.data;
}

/* Fresh zeroed room in low memory; there is no free. */
static inline uint64_t fake_virtio_alloc(
	struct fake_virtio *driver, uint64_t bytes, uint64_t alignment)
{
	uint64_t gpa = align_up(driver->next_gpa, alignment);

	memset(fake_virtio_at(driver, gpa, bytes), 0, bytes);
	driver->next_gpa = gpa + bytes;
	return gpa;
}

/* ---- transport ---- */

static inline void fake_virtio_count(struct fake_virtio *driver, atomic_uint *counter)
{
	pthread_mutex_lock(&driver->lock);
	atomic_fetch_add(counter, 1);
	pthread_cond_broadcast(&driver->interrupt);
	pthread_mutex_unlock(&driver->lock);
}

static inline void fake_virtio_queue_interrupt(struct virtio_transport *transport, unsigned queue)
{
	struct fake_virtio *driver = container_of(transport, struct fake_virtio, transport);

	if (queue >= VIRTIO_MAX_QUEUES)
		abort();
	fake_virtio_count(driver, &driver->queue_interrupts[queue]);
}

static inline void fake_virtio_config_interrupt(struct virtio_transport *transport)
{
	struct fake_virtio *driver = container_of(transport, struct fake_virtio, transport);

	fake_virtio_count(driver, &driver->config_interrupts);
}

static inline void fake_virtio_init(
	struct fake_virtio *driver, uint64_t low_bytes, uint64_t high_bytes)
{
	const uint64_t bytes[2] = { low_bytes, high_bytes };

	memset(driver, 0, sizeof(*driver));
	driver->mem.size_bytes = low_bytes + high_bytes;
	driver->mem.region_count = high_bytes ? 2 : 1;
	for (unsigned i = 0; i < driver->mem.region_count; i++) {
		uint8_t *hva = aligned_alloc(PAGE_BYTES, align_up(bytes[i], PAGE_BYTES));

		if (!hva)
			abort();
		memset(hva, 0, bytes[i]);
		driver->mem.regions[i] = (struct guest_mem_region){
			.start_gpa = i ? GUEST_MEM_HOLE_END : 0,
			.length_bytes = bytes[i],
			.start_hva = hva,
		};
	}
	driver->next_gpa = PAGE_BYTES;
	driver->transport.queue_interrupt = fake_virtio_queue_interrupt;
	driver->transport.config_interrupt = fake_virtio_config_interrupt;
	pthread_mutex_init(&driver->lock, NULL);
	pthread_cond_init(&driver->interrupt, NULL);
}

/* ---- a device's registers, with its lock taken ---- */

static inline void fake_virtio_attach(struct fake_virtio *driver, struct virtio_device *vdev)
{
	driver->vdev = vdev;
	vdev->transport = &driver->transport;
}

static inline void fake_virtio_lock(struct fake_virtio *driver)
{
	pthread_mutex_lock(&driver->vdev->device.lock);
}

static inline void fake_virtio_unlock(struct fake_virtio *driver)
{
	pthread_mutex_unlock(&driver->vdev->device.lock);
}

static inline uint8_t fake_virtio_status(struct fake_virtio *driver)
{
	uint8_t status;

	fake_virtio_lock(driver);
	status = virtio_device_get_status(driver->vdev);
	fake_virtio_unlock(driver);
	return status;
}

/* Adds bits; 0 asks for a reset, which may take its time. */
static inline void fake_virtio_add_status(struct fake_virtio *driver, unsigned bits)
{
	fake_virtio_lock(driver);
	virtio_device_set_status(
		driver->vdev, (uint8_t)(bits ? virtio_device_get_status(driver->vdev) | bits : 0));
	fake_virtio_unlock(driver);
}

static inline uint64_t fake_virtio_offered(struct fake_virtio *driver)
{
	uint64_t features;

	fake_virtio_lock(driver);
	features = virtio_device_offered(driver->vdev, 0) |
		   (uint64_t)virtio_device_offered(driver->vdev, 1) << 32;
	fake_virtio_unlock(driver);
	return features;
}

static inline void fake_virtio_set_features(struct fake_virtio *driver, uint64_t features)
{
	fake_virtio_lock(driver);
	virtio_device_set_driver_features(driver->vdev, 0, (uint32_t)features);
	virtio_device_set_driver_features(driver->vdev, 1, (uint32_t)(features >> 32));
	fake_virtio_unlock(driver);
}

/* Acknowledges, takes those of `wanted` that are offered; true: the device agrees. */
static inline bool fake_virtio_negotiate(struct fake_virtio *driver, uint64_t wanted)
{
	fake_virtio_add_status(driver, VIRTIO_STATUS_ACKNOWLEDGE);
	fake_virtio_add_status(driver, VIRTIO_STATUS_DRIVER);
	fake_virtio_set_features(driver, wanted & fake_virtio_offered(driver));
	fake_virtio_add_status(driver, VIRTIO_STATUS_FEATURES_OK);
	return fake_virtio_status(driver) & VIRTIO_STATUS_FEATURES_OK;
}

static inline void fake_virtio_driver_ok(struct fake_virtio *driver)
{
	fake_virtio_add_status(driver, VIRTIO_STATUS_DRIVER_OK);
}

static inline uint64_t fake_virtio_read_config(
	struct fake_virtio *driver, uint64_t offset, unsigned width)
{
	uint64_t value;

	fake_virtio_lock(driver);
	value = virtio_device_read_config(driver->vdev, offset, width);
	fake_virtio_unlock(driver);
	return value;
}

static inline void fake_virtio_write_config(
	struct fake_virtio *driver, uint64_t offset, unsigned width, uint64_t value)
{
	fake_virtio_lock(driver);
	virtio_device_write_config(driver->vdev, offset, width, value);
	fake_virtio_unlock(driver);
}

/* Resets the device and waits until it reads 0 (aborts after 60 s). */
static inline void fake_virtio_reset(struct fake_virtio *driver)
{
	fake_virtio_add_status(driver, 0);
	for (unsigned i = 0; fake_virtio_status(driver); i++) {
		if (i == 60000)
			abort();
		usleep(1000);
	}
}

/* ---- queues ---- */

/* Rings of `size` (a power of two, to be activated; any other for tests) in fresh memory, empty;
 * each in cache lines of its own. */
static inline void fake_queue_init(
	struct fake_queue *queue, struct fake_virtio *driver, uint32_t size)
{
	memset(queue, 0, sizeof(*queue));
	queue->driver = driver;
	queue->size = size;
	queue->layout.size = size;
	queue->layout.descriptors_gpa = fake_virtio_alloc(driver, 16 * (uint64_t)size, 64);
	queue->layout.driver_gpa = fake_virtio_alloc(driver, 6 + 2 * (uint64_t)size, 64);
	queue->layout.device_gpa = fake_virtio_alloc(driver, 6 + 8 * (uint64_t)size, 64);
	queue->table = fake_virtio_at(driver, queue->layout.descriptors_gpa, 16 * (uint64_t)size);
	queue->available = fake_virtio_at(driver, queue->layout.driver_gpa, 6 + 2 * (uint64_t)size);
	queue->used = fake_virtio_at(driver, queue->layout.device_gpa, 6 + 8 * (uint64_t)size);
}

/* Writes the queue's registers and enables it as queue `index` of the attached device. */
static inline void fake_queue_enable(struct fake_queue *queue, unsigned index)
{
	struct virtio_device *vdev = queue->driver->vdev;
	const uint64_t gpa[3] = { queue->layout.descriptors_gpa, queue->layout.driver_gpa,
		queue->layout.device_gpa };

	fake_virtio_lock(queue->driver);
	queue->index = index;
	queue->event_idx = vdev->features & VIRTIO_F_EVENT_IDX;
	virtio_queue_set_size(vdev, index, queue->layout.size);
	for (unsigned i = 0; i < 3; i++) {
		virtio_queue_set_address(vdev, index, i, false, (uint32_t)gpa[i]);
		virtio_queue_set_address(vdev, index, i, true, (uint32_t)(gpa[i] >> 32));
	}
	virtio_queue_enable(vdev, index);
	fake_virtio_unlock(queue->driver);
}

static inline uint16_t fake_load16(const uint16_t *from)
{
	return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}

static inline void fake_store16(uint16_t *to, uint16_t value)
{
	__atomic_store_n(to, value, __ATOMIC_SEQ_CST);
}

static inline uint16_t *fake_queue_used_event(const struct fake_queue *queue)
{
	return queue->available + 2 + queue->size;
}

static inline uint16_t *fake_queue_avail_event(const struct fake_queue *queue)
{
	return queue->used + 2 + 4 * (size_t)queue->size;
}

/* Any descriptor into any table. */
static inline void fake_put_descriptor(uint8_t *table, unsigned index, uint64_t gpa,
	uint32_t length, unsigned flags, unsigned next)
{
	const struct fake_descriptor descriptor = { gpa, length, (uint16_t)flags, (uint16_t)next };
	uint64_t words[2];

	memcpy(words, &descriptor, sizeof(words));
	table += (size_t)16 * index;
	if ((uintptr_t)table % 8) {
		memcpy(table, words, sizeof(words));
		return;
	}
	/* Tests let this race with a device. */
	__atomic_store_n((uint64_t *)(void *)table, words[0], __ATOMIC_RELAXED);
	__atomic_store_n((uint64_t *)(void *)table + 1, words[1], __ATOMIC_RELAXED);
}

static inline void fake_queue_put(struct fake_queue *queue, unsigned index, uint64_t gpa,
	uint32_t length, unsigned flags, unsigned next)
{
	fake_put_descriptor(queue->table, index, gpa, length, flags, next);
}

/* A chain in the queue's own table, from the next descriptors on; returns its head. */
static inline uint16_t fake_queue_chain(
	struct fake_queue *queue, const struct fake_buffer *buffers, unsigned count)
{
	unsigned mask = queue->size - 1, head = queue->next_descriptor & mask;

	for (unsigned i = 0; i < count; i++) {
		unsigned flags =
			(buffers[i].writable ? FAKE_WRITE : 0u) | (i + 1 < count ? FAKE_NEXT : 0u);

		fake_queue_put(queue, (head + i) & mask, buffers[i].gpa, buffers[i].length, flags,
			i + 1 < count ? (head + i + 1) & mask : 0);
	}
	queue->next_descriptor = (uint16_t)((head + count) & mask);
	return (uint16_t)head;
}

/* A chain in an indirect table, in fresh memory; returns its head. */
static inline uint16_t fake_queue_indirect(
	struct fake_queue *queue, const struct fake_buffer *buffers, unsigned count)
{
	uint64_t gpa = fake_virtio_alloc(queue->driver, (uint64_t)16 * count, 16);
	uint8_t *table = fake_virtio_at(queue->driver, gpa, (uint64_t)16 * count);
	unsigned head = queue->next_descriptor & (queue->size - 1);

	for (unsigned i = 0; i < count; i++)
		fake_put_descriptor(table, i, buffers[i].gpa, buffers[i].length,
			(buffers[i].writable ? FAKE_WRITE : 0u) | (i + 1 < count ? FAKE_NEXT : 0u),
			i + 1 < count ? i + 1 : 0);
	fake_queue_put(queue, head, gpa, 16 * count, FAKE_INDIRECT, 0);
	queue->next_descriptor = (uint16_t)((head + 1) & (queue->size - 1));
	return (uint16_t)head;
}

/* Makes any head available. */
static inline void fake_queue_offer(struct fake_queue *queue, uint16_t head)
{
	__atomic_store_n(&queue->available[2 + (queue->available_idx & (queue->size - 1))], head,
		__ATOMIC_RELAXED);
	fake_store16(&queue->available[1], ++queue->available_idx);
}

static inline uint16_t fake_queue_add(
	struct fake_queue *queue, const struct fake_buffer *buffers, unsigned count)
{
	uint16_t head = fake_queue_chain(queue, buffers, count);

	fake_queue_offer(queue, head);
	return head;
}

static inline uint16_t fake_queue_add_indirect(
	struct fake_queue *queue, const struct fake_buffer *buffers, unsigned count)
{
	uint16_t head = fake_queue_indirect(queue, buffers, count);

	fake_queue_offer(queue, head);
	return head;
}

/* Whether the device wants to be notified of what was offered since the last kick. */
static inline bool fake_queue_wants_kick(const struct fake_queue *queue)
{
	uint16_t event;

	if (!queue->event_idx)
		return !(fake_load16(&queue->used[0]) & 1);
	event = fake_load16(fake_queue_avail_event(queue));
	return (uint16_t)(queue->available_idx - event - 1) <
	       (uint16_t)(queue->available_idx - queue->kicked_idx);
}

/* Notifies the device, as its doorbell does. */
static inline void fake_queue_ring(struct fake_queue *queue)
{
	struct virtio_queue *target = virtio_device_queue(queue->driver->vdev, queue->index);
	const uint64_t one = 1;

	if (!target || write(target->kick_fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* Notifies it if it wants that; tells whether. */
static inline bool fake_queue_kick(struct fake_queue *queue)
{
	bool wanted = fake_queue_wants_kick(queue);

	queue->kicked_idx = queue->available_idx;
	if (wanted)
		fake_queue_ring(queue);
	return wanted;
}

static inline unsigned fake_queue_used_count(const struct fake_queue *queue)
{
	return (uint16_t)(fake_load16(&queue->used[1]) - queue->seen_used);
}

/* Takes the next used entry; false: there is none. */
static inline bool fake_queue_used(struct fake_queue *queue, uint32_t *head, uint32_t *written)
{
	const uint32_t *entry;

	if (!fake_queue_used_count(queue))
		return false;
	entry = (const uint32_t *)(const void *)(queue->used + 2) +
		2 * (size_t)(queue->seen_used & (queue->size - 1));
	*head = __atomic_load_n(&entry[0], __ATOMIC_RELAXED);
	*written = __atomic_load_n(&entry[1], __ATOMIC_RELAXED);
	queue->seen_used++;
	return true;
}

/* The same, waiting for an interrupt as long as there is none (aborts after 60 s). */
static inline void fake_queue_wait(struct fake_queue *queue, uint32_t *head, uint32_t *written)
{
	struct fake_virtio *driver = queue->driver;
	atomic_uint *interrupts = &driver->queue_interrupts[queue->index];
	unsigned seen = atomic_load(interrupts);
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 60;
	if (queue->event_idx)
		fake_store16(fake_queue_used_event(queue), queue->seen_used);
	while (!fake_queue_used(queue, head, written)) {
		pthread_mutex_lock(&driver->lock);
		while (atomic_load(interrupts) == seen) {
			if (pthread_cond_timedwait(&driver->interrupt, &driver->lock, &deadline))
				abort();
		}
		seen = atomic_load(interrupts);
		pthread_mutex_unlock(&driver->lock);
	}
}

#endif
