/* A virtio device of three queues that counts what is asked of it and stops a queue when the test
 * says so, with a driver at the other end: what the tests of virtio_device share. */
#ifndef VMGUI_TESTS_VIRTIO_FIXTURE_H
#define VMGUI_TESTS_VIRTIO_FIXTURE_H

#include "cmocka_all.h"
#include "core/virtio/virtio_device.h"
#include "fake_virtio.h"

#define QUEUES       3u
#define MAX_SIZE     16u
#define CONFIG_BYTES 12u
#define OWN_FEATURES (VIRTIO_FEATURE(3) | VIRTIO_FEATURE(38))

/* ACKNOWLEDGE, DRIVER and FEATURES_OK; and all that with DRIVER_OK. */
#define NEGOTIATED 0x0bu
#define RUNNING    0x0fu

struct machine {
	struct virtio_device vdev; /* first: ops get it */
	struct fake_virtio driver;
	struct fake_queue queues[QUEUES];
	unsigned starts[QUEUES], stops[QUEUES], resets, accepted;
	uint8_t status_at_start;
	bool active_at_reset;
	uint8_t config[CONFIG_BYTES];
	unsigned config_reads, config_writes;
	uint64_t config_garbage; /* above the width that was asked for */
	uint64_t written;
};

static inline struct machine *machine_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct machine, vdev);
}

static inline void queue_start(struct virtio_device *vdev, unsigned queue)
{
	struct machine *m = machine_of(vdev);

	m->starts[queue]++;
	m->status_at_start = virtio_device_get_status(vdev);
	assert_int_equal(vdev->queues[queue].state, VIRTIO_QUEUE_LIVE);
	assert_int_not_equal(vdev->queues[queue].ring.size, 0);
}

static inline void queue_stop(struct virtio_device *vdev, unsigned queue)
{
	machine_of(vdev)->stops[queue]++;
}

static inline void reset(struct virtio_device *vdev)
{
	struct machine *m = machine_of(vdev);

	m->resets++;
	for (unsigned i = 0; i < QUEUES; i++)
		m->active_at_reset |= vdev->queues[i].ring.size;
}

static inline void features_accepted(struct virtio_device *vdev)
{
	machine_of(vdev)->accepted++;
	assert_int_equal(vdev->features, vdev->driver_features);
}

static inline uint64_t read_config(struct virtio_device *vdev, unsigned offset, unsigned width)
{
	struct machine *m = machine_of(vdev);
	uint64_t value = m->config_garbage;

	m->config_reads++;
	assert_true(width && range_fits(offset, width, CONFIG_BYTES));
	memcpy(&value, m->config + offset, width);
	return value;
}

static inline void write_config(
	struct virtio_device *vdev, unsigned offset, unsigned width, uint64_t value)
{
	struct machine *m = machine_of(vdev);

	m->config_writes++;
	m->written = value;
	assert_true(width && range_fits(offset, width, CONFIG_BYTES));
	memcpy(m->config + offset, &value, width);
}

static const struct virtio_device_ops ops = { queue_start, queue_stop, reset, features_accepted,
	read_config, write_config };
static const struct device_ops device_ops = { .name = "fake" };

static inline void set_up_with(struct machine *m, const struct virtio_device_ops *vdev_ops)
{
	struct virtio_device_config config = {
		.name = "fake",
		.ops = vdev_ops,
		.id = VIRTIO_ID_BLOCK,
		.features = OWN_FEATURES,
		.config_bytes = CONFIG_BYTES,
		.queue_count = QUEUES,
		.max_queue_size = MAX_SIZE,
	};

	memset(m, 0, sizeof(*m));
	fake_virtio_init(&m->driver, MIB(1), 0);
	config.mem = &m->driver.mem;
	assert_int_equal(virtio_device_init(&m->vdev, &device_ops, &config, NULL), 0);
	fake_virtio_attach(&m->driver, &m->vdev);
	for (unsigned i = 0; i < QUEUES; i++)
		fake_queue_init(&m->queues[i], &m->driver, 8);
}

static inline void set_up(struct machine *m)
{
	set_up_with(m, &ops);
}

/* Two of three queues live. */
static inline void set_up_running(struct machine *m)
{
	set_up(m);
	assert_true(fake_virtio_negotiate(&m->driver, UINT64_MAX));
	fake_queue_enable(&m->queues[0], 0);
	fake_queue_enable(&m->queues[2], 2);
	fake_virtio_driver_ok(&m->driver);
	assert_int_equal(fake_virtio_status(&m->driver), RUNNING);
}

static inline void tear_down(struct machine *m)
{
	virtio_device_fini(&m->vdev);
	fake_virtio_fini(&m->driver);
}

static inline unsigned config_interrupts(struct machine *m)
{
	return atomic_load(&m->driver.config_interrupts);
}

/* Writes exactly this, where fake_virtio_add_status adds. */
static inline void write_status(struct machine *m, uint8_t status)
{
	fake_virtio_lock(&m->driver);
	virtio_device_set_status(&m->vdev, status);
	fake_virtio_unlock(&m->driver);
}

static inline void reset_queue(struct machine *m, unsigned queue)
{
	fake_virtio_lock(&m->driver);
	virtio_queue_reset(&m->vdev, queue);
	fake_virtio_unlock(&m->driver);
}

static inline void enable_queue(struct machine *m, unsigned queue)
{
	fake_virtio_lock(&m->driver);
	virtio_queue_enable(&m->vdev, queue);
	fake_virtio_unlock(&m->driver);
}

static inline void expect_default_queue(const struct virtio_queue *queue)
{
	assert_false(queue->enabled);
	assert_false(queue->resetting);
	assert_int_equal(queue->state, VIRTIO_QUEUE_IDLE);
	assert_int_equal(queue->ring.size, 0);
	assert_int_equal(queue->layout.size, MAX_SIZE);
	assert_int_equal(queue->layout.descriptors_gpa, 0);
	assert_int_equal(queue->layout.driver_gpa, 0);
	assert_int_equal(queue->layout.device_gpa, 0);
}

static inline void expect_reset_state(struct machine *m)
{
	assert_int_equal(fake_virtio_status(&m->driver), 0);
	assert_int_equal(m->vdev.features, 0);
	assert_int_equal(m->vdev.driver_features, 0);
	for (unsigned i = 0; i < QUEUES; i++)
		expect_default_queue(&m->vdev.queues[i]);
}

#endif
