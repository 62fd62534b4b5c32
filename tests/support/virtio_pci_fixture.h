/* One remembering virtio device on the machine of virtio_pci_machine.h, and a driver that brings it
 * up through its registers: what the unit tests of virtio_pci share. */
#ifndef VMGUI_TESTS_VIRTIO_PCI_FIXTURE_H
#define VMGUI_TESTS_VIRTIO_PCI_FIXTURE_H

#include "cmocka_all.h"
#include "virtio_pci_machine.h"

#define QUEUES       3u
#define QUEUE_SIZE   8u
#define CONFIG_BYTES 10u /* so that its end lies inside a dword */
#define NO_VECTOR    0xffffu

/* The common configuration structure, 4.1.4.3. */
enum {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_VECTOR = 0x10,
	NUM_QUEUES = 0x12,
	DEVICE_STATUS = 0x14,
	CONFIG_GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE_FIELD = 0x18,
	QUEUE_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFF = 0x1e,
	QUEUE_DESC = 0x20,
	QUEUE_DRIVER = 0x28,
	QUEUE_DEVICE = 0x30,
	QUEUE_NOTIFY_DATA = 0x38,
	QUEUE_RESET = 0x3a,
	COMMON_LENGTH = 0x3c,
};

#define ALL_GOOD                                                                                   \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |            \
		VIRTIO_STATUS_DRIVER_OK)

/* The device under the transport: it only remembers. */
struct fixture {
	struct machine m;
	struct virtio_device vdev;
	uint8_t config[CONFIG_BYTES];
	unsigned started, stopping; /* bit n: queue n */
	bool interrupts_at_start;
	unsigned bound, binds; /* doorbells, where they are counted */
};

static inline struct fixture *fixture_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct fixture, vdev);
}

static inline void queue_start(struct virtio_device *vdev, unsigned queue)
{
	fixture_of(vdev)->started |= 1u << queue;
	if (fixture_of(vdev)->interrupts_at_start)
		virtio_queue_interrupt(vdev, queue);
}

static inline void queue_stop(struct virtio_device *vdev, unsigned queue)
{
	fixture_of(vdev)->stopping |= 1u << queue;
}

static inline uint64_t read_config(struct virtio_device *vdev, unsigned offset, unsigned width)
{
	uint64_t value = 0;

	assert_true(offset + width <= CONFIG_BYTES);
	memcpy(&value, fixture_of(vdev)->config + offset, width);
	return value;
}

static inline void write_config(
	struct virtio_device *vdev, unsigned offset, unsigned width, uint64_t value)
{
	assert_true(offset + width <= CONFIG_BYTES);
	memcpy(fixture_of(vdev)->config + offset, &value, width);
}

static inline void no_reset(struct device *device)
{
	(void)device;
}

static const struct device_ops device_ops = { .name = "fake", .reset = no_reset };
static const struct virtio_device_ops ops = {
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.read_config = read_config,
	.write_config = write_config,
};

static inline void init_vdev(struct fixture *f, struct virtio_device *vdev, unsigned queues)
{
	const struct virtio_device_config config = {
		.name = "virtio-fake",
		.ops = &ops,
		.id = VIRTIO_ID_BLOCK,
		.mem = &f->m.ram.mem,
		.features = VIRTIO_FEATURE(5),
		.config_bytes = vdev == &f->vdev ? CONFIG_BYTES : 0,
		.queue_count = queues,
		.max_queue_size = QUEUE_SIZE,
	};

	assert_int_equal(virtio_device_init(vdev, &device_ops, &config, NULL), 0);
}

static inline int count_bind(void *opaque, const struct bus_doorbell *doorbell)
{
	struct fixture *f = opaque;

	(void)doorbell;
	f->bound++;
	f->binds++;
	return 0;
}

static inline void count_unbind(void *opaque, const struct bus_doorbell *doorbell)
{
	(void)doorbell;
	((struct fixture *)opaque)->bound--;
}

static inline struct fixture *create(bool counts_doorbells)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	machine_init(&f->m);
	if (counts_doorbells)
		bus_connect_doorbells(
			f->m.mmio, &(struct bus_doorbell_ops){ count_bind, count_unbind, f });
	for (unsigned i = 0; i < CONFIG_BYTES; i++)
		f->config[i] = (uint8_t)(0xa0 + i);
	init_vdev(f, &f->vdev, QUEUES);
	assert_int_equal(
		virtio_pci_create(&f->vdev, 0x018000, f->m.pci, &f->m.msi, &f->m.transport, NULL),
		0);
	machine_walk(&f->m);
	return f;
}

static inline int setup(void **state)
{
	*state = create(false);
	return 0;
}

/* Doorbells bound elsewhere, as by KVM. */
static inline int setup_bound(void **state)
{
	*state = create(true);
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	machine_fini(&f->m);
	assert_int_equal(f->bound, 0);
	virtio_device_fini(&f->vdev);
	free(f);
	return 0;
}

static inline void finish_stops(struct fixture *f)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		if (f->stopping & 1u << i)
			virtio_queue_stopped(&f->vdev, i);
	}
	f->stopping = f->started = 0;
}

static inline void set_status(struct fixture *f, unsigned status)
{
	common_write(&f->m, DEVICE_STATUS, 1, status);
}

static inline unsigned get_status(struct fixture *f)
{
	return common_read(&f->m, DEVICE_STATUS, 1);
}

/* As 3.1.1 has it, up to FEATURES_OK, with all that is offered. */
static inline void negotiate(struct fixture *f)
{
	struct machine *m = &f->m;

	set_status(f, VIRTIO_STATUS_ACKNOWLEDGE);
	set_status(f, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		common_write(m, DEVICE_FEATURE_SELECT, 4, i);
		common_write(m, DRIVER_FEATURE_SELECT, 4, i);
		common_write(m, DRIVER_FEATURE, 4, common_read(m, DEVICE_FEATURE, 4));
	}
	set_status(f, ALL_GOOD & ~VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(get_status(f), ALL_GOOD & ~VIRTIO_STATUS_DRIVER_OK);
}

static inline void write64(struct machine *m, unsigned offset, uint64_t value)
{
	common_write(m, offset, 4, (uint32_t)value);
	common_write(m, offset + 4, 4, (uint32_t)(value >> 32));
}

static inline void enable_queue(struct fixture *f, unsigned index)
{
	struct machine *m = &f->m;
	struct fake_queue queue;

	fake_queue_init(&queue, &m->ram, QUEUE_SIZE);
	common_write(m, QUEUE_SELECT, 2, index);
	write64(m, QUEUE_DESC, queue.layout.descriptors_gpa);
	write64(m, QUEUE_DRIVER, queue.layout.driver_gpa);
	write64(m, QUEUE_DEVICE, queue.layout.device_gpa);
	common_write(m, QUEUE_ENABLE, 2, 1);
}

/* A driver that is up, with all queues live; MSI-X with vector n + 1 for queue n, if wanted. */
static inline void bring_up(struct fixture *f, bool msix)
{
	struct machine *m = &f->m;

	negotiate(f);
	msix_enable(m, msix);
	common_write(m, CONFIG_VECTOR, 2, msix ? 0 : NO_VECTOR);
	for (unsigned i = 0; i < QUEUES; i++) {
		enable_queue(f, i);
		common_write(m, QUEUE_VECTOR, 2, msix ? i + 1 : NO_VECTOR);
	}
	for (unsigned i = 0; msix && i <= QUEUES; i++)
		msix_program(m, i, false);
	set_status(f, ALL_GOOD);
	assert_int_equal(get_status(f), ALL_GOOD);
}

static inline uint64_t take(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static inline uint64_t kicks(struct fixture *f, unsigned queue)
{
	return take(f->vdev.queues[queue].kick_fd);
}

/* Messages that were sent since, by vector: the fake controller does not take them from a bound
 * eventfd. Masked ones are left where they are. */
static inline uint64_t messages(struct fixture *f, unsigned vector)
{
	int fd = f->m.bound_fd[vector];

	return fd < 0 ? 0 : take(fd);
}

#endif
