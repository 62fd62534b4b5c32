/* A virtqueue with a driver at the other end and no device: what its tests share. */
#ifndef VMGUI_TESTS_VIRTQUEUE_FIXTURE_H
#define VMGUI_TESTS_VIRTQUEUE_FIXTURE_H

#include <errno.h>

#include "cmocka_all.h"
#include "core/virtio/virtqueue.h"
#include "fake_virtio.h"

#define SIZE      8u
#define LOW_BYTES MIB(1)

struct fixture {
	struct fake_virtio driver;
	struct fake_queue queue;
	struct virtqueue ring;
	struct iovec iov[VIRTQUEUE_MAX_SIZE];
	struct virtqueue_chain chain;
	uint64_t data_gpa; /* a page */
};

static inline void activate(struct fixture *f, uint64_t features)
{
	f->queue.event_idx = features & VIRTIO_F_EVENT_IDX;
	assert_int_equal(
		virtqueue_activate(&f->ring, &f->driver.mem, &f->queue.layout, features), 0);
}

static inline void set_up_sized(struct fixture *f, uint32_t size, uint64_t features)
{
	memset(f, 0, sizeof(*f));
	fake_virtio_init(&f->driver, LOW_BYTES, MIB(1));
	fake_queue_init(&f->queue, &f->driver, size);
	f->data_gpa = fake_virtio_alloc(&f->driver, PAGE_BYTES, PAGE_BYTES);
	f->chain.iov = f->iov;
	f->chain.capacity = size;
	activate(f, features);
}

static inline void set_up(struct fixture *f)
{
	set_up_sized(f, SIZE, VIRTIO_COMMON_FEATURES);
}

static inline void tear_down(struct fixture *f)
{
	virtqueue_deactivate(&f->ring);
	fake_virtio_fini(&f->driver);
}

static inline int pop(struct fixture *f)
{
	return virtqueue_pop(&f->ring, &f->chain);
}

/* Puts a descriptor at 0 and offers it. */
static inline void offer_one(
	struct fixture *f, uint64_t gpa, uint32_t length, unsigned flags, unsigned next)
{
	fake_queue_put(&f->queue, 0, gpa, length, flags, next);
	fake_queue_offer(&f->queue, 0);
}

/* The next pop finds what breaks the queue; it stays broken, says why, and the driver sees nothing
 * of it. */
static inline void expect_broken(struct fixture *f)
{
	uint16_t available = f->ring.next_available;

	assert_int_equal(pop(f), -EPROTO);
	assert_non_null(f->ring.why_broken);
	assert_int_equal(pop(f), -EPROTO);
	assert_int_equal(f->ring.next_available, available);
	assert_int_equal(fake_queue_used_count(&f->queue), 0);
	assert_false(virtqueue_enable_notify(&f->ring));
}

static inline void expect_broken_and_tear_down(struct fixture *f)
{
	expect_broken(f);
	tear_down(f);
}

/* Fills head 0 and publishes it. */
static inline void give_back(struct fixture *f)
{
	bool interrupt;

	virtqueue_fill(&f->ring, 0, 0);
	interrupt = virtqueue_publish(&f->ring);
	(void)interrupt;
}

#endif
