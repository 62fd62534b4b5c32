/* A block driver for tests: a virtio-blk device on a fake disk, and requests for it.
 *
 *	struct blk_driver d;
 *	blk_driver_init(&d, MIB(1));               d.disk may be changed now
 *	blk_driver_create(&d, 1);                  and queues
 *	blk_driver_begin(&d, ~UINT64_C(0));        to DRIVER_OK, with these features
 *	io = blk_add(&d, 0, BLK_IN, sector, bytes);
 *	blk_run(&d, 0);                            kicks, and the disk does what there is to do
 *	blk_status(&d, &io), blk_used(&d, 0, &io, &written)
 *	blk_driver_fini(&d); */
#ifndef VMGUI_TESTS_BLK_DRIVER_H
#define VMGUI_TESTS_BLK_DRIVER_H

#include <stdio.h>

#include "devices/virtio_blk.h"
#include "fake_disk.h"
#include "fake_virtio.h"

#define BLK_QUEUE_SIZE 16u
#define BLK_QUEUES     4u

/* As the specification numbers them. */
enum {
	BLK_IN = 0,
	BLK_OUT = 1,
	BLK_FLUSH = 4,
	BLK_GET_ID = 8,
	BLK_DISCARD = 11,
	BLK_ZEROES = 13,

	BLK_OK = 0,
	BLK_IOERR = 1,
	BLK_UNSUPP = 2,
	BLK_NO_ANSWER = 0xff, /* what the status byte is before */

	BLK_F_RO = 5,
	BLK_F_FLUSH = 9,
	BLK_F_CONFIG_WCE = 11,
	BLK_F_MQ = 12,
	BLK_F_DISCARD = 13,
	BLK_F_WRITE_ZEROES = 14,
	BLK_F_EVENT_IDX = 29,

	BLK_CONFIG_WRITEBACK = 32,
	BLK_CONFIG_BYTES = 60,
};

struct blk_driver {
	struct fake_virtio virtio;
	struct fake_queue queues[BLK_QUEUES];
	struct fake_disk *disk;
	struct device *device;
	struct virtio_blk_config config;
	unsigned stalls;
	char message[512];
};

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct blk_io {
	uint64_t header_gpa, data_gpa, status_gpa;
	uint32_t bytes;
	uint16_t head;
};

struct blk_range {
	uint64_t sector;
	uint32_t count, flags;
};

static inline void blk_driver_stalled(void *opaque, const char *message)
{
	struct blk_driver *d = opaque;

	d->stalls++;
	snprintf(d->message, sizeof(d->message), "%s", message);
}

static inline void blk_driver_init_ram(
	struct blk_driver *d, uint64_t size_bytes, uint64_t low_bytes, uint64_t high_bytes)
{
	memset(d, 0, sizeof(*d));
	fake_virtio_init(&d->virtio, low_bytes, high_bytes);
	d->disk = fake_disk_create(size_bytes);
	d->disk->mem = &d->virtio.mem;
	d->config = (struct virtio_blk_config){
		.mem = &d->virtio.mem,
		.disk = &d->disk->base,
		.serial = "disk-0",
		.queue_count = 1,
		.queue_size = BLK_QUEUE_SIZE,
		.thread_name = "disk0",
		.stalled = blk_driver_stalled,
		.opaque = d,
	};
}

static inline void blk_driver_init(struct blk_driver *d, uint64_t size_bytes)
{
	blk_driver_init_ram(d, size_bytes, MIB(2), MIB(1));
}

static inline void blk_driver_create(struct blk_driver *d, unsigned queue_count)
{
	struct error err;

	d->config.queue_count = queue_count;
	if (virtio_blk_create(&d->config, &d->device, &err))
		abort();
	fake_virtio_attach(&d->virtio, virtio_blk_vdev(d->device));
	if (d->device->ops->start(d->device, &err))
		abort();
}

/* Rings, features, DRIVER_OK; the disk's thread has not run yet. */
static inline void blk_driver_begin(struct blk_driver *d, uint64_t features)
{
	if (!fake_virtio_negotiate(&d->virtio, features | VIRTIO_F_VERSION_1))
		abort();
	for (unsigned i = 0; i < d->config.queue_count; i++) {
		fake_queue_init(&d->queues[i], &d->virtio, BLK_QUEUE_SIZE);
		fake_queue_enable(&d->queues[i], i);
	}
	fake_virtio_driver_ok(&d->virtio);
}

static inline void blk_driver_fini(struct blk_driver *d)
{
	if (d->device) {
		d->device->ops->stop(d->device);
		d->device->ops->destroy(d->device);
	} else {
		d->disk->base.ops->destroy(&d->disk->base);
	}
	fake_virtio_fini(&d->virtio);
}

static inline void *blk_at(struct blk_driver *d, uint64_t gpa, uint64_t bytes)
{
	return fake_virtio_at(&d->virtio, gpa, bytes);
}

/* The three parts in memory; the data is 0 for reads, and counts up for writes. */
static inline struct blk_io blk_prepare(
	struct blk_driver *d, uint32_t type, uint64_t sector, uint32_t bytes)
{
	const struct blk_header header = { type, 0, sector };
	struct blk_io io = { .bytes = bytes };

	io.header_gpa = fake_virtio_alloc(&d->virtio, sizeof(header), 16);
	io.data_gpa = fake_virtio_alloc(&d->virtio, bytes ? bytes : 1, 16);
	io.status_gpa = fake_virtio_alloc(&d->virtio, 1, 1);
	memcpy(blk_at(d, io.header_gpa, sizeof(header)), &header, sizeof(header));
	for (uint32_t i = 0; i < bytes && type == BLK_OUT; i++)
		*(uint8_t *)blk_at(d, io.data_gpa + i, 1) = (uint8_t)(sector + i % 251 + 1);
	*(uint8_t *)blk_at(d, io.status_gpa, 1) = BLK_NO_ANSWER;
	return io;
}

static inline void blk_offer(
	struct blk_driver *d, unsigned queue, struct blk_io *io, bool data_writable)
{
	const struct fake_buffer buffers[3] = {
		{ io->header_gpa, sizeof(struct blk_header), false },
		{ io->data_gpa, io->bytes, data_writable },
		{ io->status_gpa, 1, true },
	};

	io->head = fake_queue_add(&d->queues[queue], buffers, 3);
}

static inline struct blk_io blk_add(
	struct blk_driver *d, unsigned queue, uint32_t type, uint64_t sector, uint32_t bytes)
{
	struct blk_io io = blk_prepare(d, type, sector, bytes);

	blk_offer(d, queue, &io, type == BLK_IN || type == BLK_GET_ID);
	return io;
}

/* A discard or write-zeroes request. */
static inline struct blk_io blk_add_ranges(
	struct blk_driver *d, uint32_t type, const struct blk_range *ranges, uint32_t range_bytes)
{
	struct blk_io io = blk_prepare(d, type, 0, range_bytes);

	memcpy(blk_at(d, io.data_gpa, range_bytes), ranges, range_bytes);
	blk_offer(d, 0, &io, false);
	return io;
}

static inline void blk_run(struct blk_driver *d, unsigned queue)
{
	fake_queue_kick(&d->queues[queue]);
	fake_disk_run(d->disk);
}

static inline uint8_t blk_status(struct blk_driver *d, const struct blk_io *io)
{
	return *(volatile uint8_t *)blk_at(d, io->status_gpa, 1);
}

/* Takes the next used entry, which must be this request's. */
static inline bool blk_used(
	struct blk_driver *d, unsigned queue, const struct blk_io *io, uint32_t *written)
{
	uint32_t head;

	return fake_queue_used(&d->queues[queue], &head, written) && head == io->head;
}

static inline bool blk_needs_reset(struct blk_driver *d)
{
	return fake_virtio_status(&d->virtio) & VIRTIO_STATUS_NEEDS_RESET;
}

/* What was submitted in all. */
static inline unsigned blk_submitted(struct blk_driver *d)
{
	unsigned sum = 0;

	for (unsigned i = 0; i <= BLOCK_WRITE_ZEROES; i++)
		sum += atomic_load(&d->disk->submitted[i]);
	return sum;
}

#endif
