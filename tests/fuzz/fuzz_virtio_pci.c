/* A driver that pokes at random: BARs, configuration space, the window in it and the rings, with
 * BAR moves and resets in between, on a virtio device over PCI that really pops its queues. What
 * must hold after each step: an enabled queue's registers are frozen; every buffer is RAM; no more
 * chains are out than the queue has descriptors; doorbells are bound where BAR 0 is and nowhere
 * else; the pin is quiet while MSI-X is on, before DRIVER_OK and after a reset. In the end a reset
 * brings all back, and the device serves a well-behaved driver. */
#include "fuzz_input.h"
#include "virtio_pci_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUES       3u
#define QUEUE_SIZE   8u
#define CONFIG_BYTES 22u
#define HELD         4u
#define ALL_GOOD     0x0fu /* the status of a driver that is up */

#define NOTIFY_OFFSET 0x3000u
#define STATUS        0x14u
#define QUEUE_SELECT  0x16u
#define QUEUE_VECTOR  0x1au

struct queue_state {
	bool serve, stopping;
	unsigned held_count;
	uint16_t held[HELD];
	uint32_t held_bytes[HELD];
};

struct world {
	struct machine m;
	struct virtio_device vdev;
	struct queue_state queues[QUEUES];
	struct fake_queue rings[QUEUES]; /* where the last bring-up put them */
	uint8_t config[CONFIG_BYTES];
	uint64_t doorbells[QUEUES]; /* addresses; 0: not bound */
};

static struct world *world_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct world, vdev);
}

/* ---- the device ---- */

static void queue_start(struct virtio_device *vdev, unsigned index)
{
	struct queue_state *queue = &world_of(vdev)->queues[index];

	machine_require(index < QUEUES && !queue->serve && !queue->stopping && !queue->held_count);
	queue->serve = true;
}

static void queue_stop(struct virtio_device *vdev, unsigned index)
{
	struct queue_state *queue = &world_of(vdev)->queues[index];

	machine_require(index < QUEUES && !queue->stopping);
	queue->serve = false;
	queue->stopping = true;
}

static uint64_t read_config(struct virtio_device *vdev, unsigned offset, unsigned width)
{
	uint64_t value = 0;

	machine_require(offset + width <= CONFIG_BYTES);
	memcpy(&value, world_of(vdev)->config + offset, width);
	return value;
}

static void write_config(
	struct virtio_device *vdev, unsigned offset, unsigned width, uint64_t value)
{
	machine_require(offset + width <= CONFIG_BYTES);
	memcpy(world_of(vdev)->config + offset, &value, width);
}

static void no_reset(struct device *device)
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

static void complete_held(struct world *w, unsigned index)
{
	struct queue_state *queue = &w->queues[index];
	struct virtqueue *ring = &w->vdev.queues[index].ring;

	for (unsigned i = 0; i < queue->held_count; i++)
		virtqueue_fill(ring, queue->held[i], queue->held_bytes[i]);
	queue->held_count = 0;
	if (virtqueue_publish(ring))
		virtio_queue_interrupt(&w->vdev, index);
}

/* Touches every byte, so that a sanitizer sees where it is. */
static uint32_t use_chain(struct world *w, const struct virtqueue_chain *chain)
{
	const struct guest_mem_region *ram = &w->m.ram.mem.regions[0];
	uint64_t written = 0;
	unsigned sum = 0;

	machine_require(chain->head < QUEUE_SIZE);
	machine_require(chain->readable_count + chain->writable_count <= chain->capacity);
	for (unsigned i = 0; i < chain->readable_count + chain->writable_count; i++) {
		uint8_t *start = chain->iov[i].iov_base;
		size_t length = chain->iov[i].iov_len;

		machine_require(
			start >= ram->start_hva &&
			range_fits((uint64_t)(start - ram->start_hva), length, ram->length_bytes));
		if (i >= chain->readable_count) {
			memset(start, 0x5a, length);
			written += length;
			continue;
		}
		for (size_t j = 0; j < length; j++)
			sum += start[j];
	}
	machine_require(written == chain->writable_bytes);
	return (uint32_t)written + (sum & 0);
}

static void serve_queue(struct world *w, unsigned index, bool hold)
{
	struct queue_state *queue = &w->queues[index];
	struct virtqueue *ring = &w->vdev.queues[index].ring;
	struct iovec iov[QUEUE_SIZE];
	struct virtqueue_chain chain = { .iov = iov, .capacity = QUEUE_SIZE };
	uint64_t kicks;
	int ret = 0;

	if (read(w->vdev.queues[index].kick_fd, &kicks, sizeof(kicks)) < 0 && !queue->serve)
		return;
	/* A chain that writes over the ring makes new ones: so not for ever. */
	for (unsigned i = 0; i < 4 * QUEUE_SIZE && queue->serve; i++) {
		if (queue->held_count == HELD)
			complete_held(w, index);
		ret = virtqueue_pop(ring, &chain);
		if (ret <= 0)
			break;
		queue->held[queue->held_count] = chain.head;
		queue->held_bytes[queue->held_count++] = use_chain(w, &chain);
	}
	if (queue->serve && ret < 0) {
		queue->serve = false;
		virtio_device_needs_reset(&w->vdev, ring->why_broken);
	}
	if (!hold && queue->held_count)
		complete_held(w, index);
}

static void finish_stops(struct world *w)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		struct queue_state *queue = &w->queues[i];

		if (!queue->stopping)
			continue;
		complete_held(w, i);
		queue->stopping = false;
		virtio_queue_stopped(&w->vdev, i);
	}
}

/* ---- the machine ---- */

static int bind_doorbell(void *opaque, const struct bus_doorbell *doorbell)
{
	struct world *w = opaque;

	for (unsigned i = 0; i < QUEUES; i++) {
		if (doorbell->eventfd != w->vdev.queues[i].kick_fd)
			continue;
		machine_require(!w->doorbells[i] && !doorbell->width && !doorbell->match);
		w->doorbells[i] = doorbell->address;
		return 0;
	}
	abort();
}

static void unbind_doorbell(void *opaque, const struct bus_doorbell *doorbell)
{
	struct world *w = opaque;

	for (unsigned i = 0; i < QUEUES; i++) {
		if (doorbell->eventfd == w->vdev.queues[i].kick_fd) {
			machine_require(w->doorbells[i] == doorbell->address);
			w->doorbells[i] = 0;
		}
	}
}

static void create(struct world *w)
{
	const struct virtio_device_config config = {
		.name = "virtio-fuzz",
		.ops = &ops,
		.id = VIRTIO_ID_BLOCK,
		.mem = &w->m.ram.mem,
		.config_bytes = CONFIG_BYTES,
		.queue_count = QUEUES,
		.max_queue_size = QUEUE_SIZE,
	};

	memset(w, 0, sizeof(*w));
	machine_init(&w->m);
	bus_connect_doorbells(
		w->m.mmio, &(struct bus_doorbell_ops){ bind_doorbell, unbind_doorbell, w });
	machine_require(!virtio_device_init(&w->vdev, &device_ops, &config, NULL));
	machine_require(
		!virtio_pci_create(&w->vdev, 0x018000, w->m.pci, &w->m.msi, &w->m.transport, NULL));
	machine_walk(&w->m);
}

/* ---- the driver ---- */

static uint32_t fuzz_u32(struct fuzz_input *input)
{
	uint32_t low = fuzz_u16(input);

	return low | (uint32_t)fuzz_u16(input) << 16;
}

/* Numbers that a check is about are likelier than others. */
static uint64_t fuzz_value(struct fuzz_input *input)
{
	static const uint64_t some[] = { 0, 1, 2, 3, 4, 7, 8, 0xf, 0x40, 0xffff, 0x7fffffff,
		UINT32_MAX, UINT64_MAX, 0x1000, KIB(64), KIB(64) - 16, UINT64_C(1) << 32 };
	uint8_t kind = fuzz_u8(input);

	if (kind < 2 * array_size(some))
		return some[kind / 2];
	return kind < 128 ? fuzz_u16(input)
			  : fuzz_u32(input) | (uint64_t)fuzz_u16(input) << (kind & 32);
}

/* An offset in BAR 0, mostly of something. */
static uint32_t fuzz_register(struct fuzz_input *input)
{
	uint8_t kind = fuzz_u8(input);

	switch (kind >> 5) {
	case 0:
		return kind % 2 ? NOTIFY_OFFSET + (kind & 31) : 0x1000;
	case 1:
		return 0x2000u + (kind & 31);
	case 2:
		return fuzz_u16(input) & 0x3fff;
	default:
		return kind & 63;
	}
}

static void add_queue(struct world *w, unsigned index, unsigned vector)
{
	struct machine *m = &w->m;
	struct fake_queue *queue = &w->rings[index];
	const uint64_t gpa[3] = { queue->layout.descriptors_gpa, queue->layout.driver_gpa,
		queue->layout.device_gpa };

	common_write(m, QUEUE_SELECT, 2, index);
	for (unsigned i = 0; i < 3; i++)
		region_write(m, &m->common, 0x20 + 8 * i, 8, gpa[i]);
	common_write(m, QUEUE_VECTOR, 2, vector);
	common_write(m, 0x1c, 2, 1);
}

static void bring_up(struct world *w, bool msix, uint64_t refused)
{
	struct machine *m = &w->m;

	common_write(m, STATUS, 1, 0);
	finish_stops(w);
	common_write(m, STATUS, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		common_write(m, 0x00, 4, i);
		common_write(m, 0x08, 4, i);
		common_write(m, 0x0c, 4, common_read(m, 0x04, 4) & ~(uint32_t)(refused >> 32 * i));
	}
	common_write(m, STATUS, 1, 0xb);
	msix_enable(m, msix);
	m->ram.next_gpa = PAGE_BYTES;
	for (unsigned i = 0; i < QUEUES; i++) {
		fake_queue_init(&w->rings[i], &m->ram, QUEUE_SIZE);
		add_queue(w, i, msix ? i : 0xffff);
		if (msix)
			msix_program(m, i, false);
	}
	common_write(m, STATUS, 1, ALL_GOOD);
}

/* A chain as it should be, or nearly: some of its buffers lie anywhere. */
static void add_chain(struct world *w, struct fuzz_input *input)
{
	uint8_t shape = fuzz_u8(input);
	struct fake_queue *queue = &w->rings[shape % QUEUES];
	struct fake_buffer buffers[4];
	unsigned count = 1 + (shape >> 2) % 4;

	if (!queue->size)
		return;
	for (unsigned i = 0; i < count; i++)
		buffers[i] = (struct fake_buffer){
			.gpa = shape & 0x80 ? fuzz_value(input) : 0x8000u + 0x100 * i,
			.length = shape & 0x40 ? (uint32_t)fuzz_value(input) : 0x80,
			.writable = i > count / 2,
		};
	w->m.ram.next_gpa = 0x6000;
	if (shape & 0x20)
		fake_queue_add_indirect(queue, buffers, count);
	else
		fake_queue_add(queue, buffers, count);
	region_write(&w->m, &w->m.notify, 4 * (shape % QUEUES), 2, shape % QUEUES);
}

/* Anything into the rings and close by. */
static void scribble(struct world *w, struct fuzz_input *input)
{
	uint64_t gpa = PAGE_BYTES + fuzz_u16(input) % 0x300;
	uint64_t value = fuzz_value(input);

	machine_require(!guest_mem_write(&w->m.ram.mem, gpa, &value, 1u << (value & 3)));
}

static void use_window(struct world *w, struct fuzz_input *input)
{
	struct machine *m = &w->m;
	unsigned capability = m->window.capability;
	uint8_t how = fuzz_u8(input);

	config_write(m, capability + 4, how & 0x10 ? fuzz_u8(input) : how & 1, 1);
	config_write(m, capability + 8,
		how & 0x20 ? (uint32_t)fuzz_value(input) : fuzz_register(input), 4);
	config_write(m, capability + 12,
		how & 0x40 ? (uint32_t)fuzz_value(input) : 1u << (how >> 2) % 4, 4);
	if (how & 0x80)
		config_write(m, capability + 16 + (how & 3), (uint32_t)fuzz_value(input),
			how & 3 ? 1 : 4);
	else
		(void)config_read(m, capability + 16, 4);
}

static void move_bar(struct world *w, struct fuzz_input *input)
{
	uint8_t how = fuzz_u8(input);
	uint32_t address = (uint32_t)MACHINE_MMIO_BASE - 0x8000 + 0x1000u * fuzz_u16(input);

	if (how & 1)
		config_write(&w->m, PCI_CFG_COMMAND, how & 2 ? 6 : 0, 2);
	else
		config_write(&w->m, PCI_CFG_BAR0 + (how >> 2) % 6 * 4,
			how & 2 ? (uint32_t)fuzz_value(input) : address, 4);
}

static void poke(struct world *w, struct fuzz_input *input, uint8_t op)
{
	const struct machine_region bar = { .bar = op >> 7 };
	unsigned width = 1 + fuzz_u8(input) % 8;
	uint32_t offset = fuzz_register(input);

	if (op & 0x40)
		region_write(&w->m, &bar, offset, width, fuzz_value(input));
	else
		(void)region_read(&w->m, &bar, offset, width);
}

static void machine_reset(struct world *w)
{
	pthread_mutex_lock(&w->vdev.device.lock);
	virtio_device_set_status(&w->vdev, 0);
	pthread_mutex_unlock(&w->vdev.device.lock);
	finish_stops(w);
	virtio_device_reset(&w->vdev);
	virtio_pci_reset(w->m.transport);
}

static void step(struct world *w, struct fuzz_input *input)
{
	struct machine *m = &w->m;
	uint8_t op = fuzz_u8(input);

	switch (op & 15) {
	case 0:
		bring_up(w, op & 0x80, op & 0x40 ? fuzz_value(input) : 0);
		break;
	case 1:
	case 2:
		use_window(w, input);
		break;
	case 3:
		config_write(m, fuzz_u8(input), fuzz_u32(input), 1u << (op >> 4) % 3);
		break;
	case 4:
		move_bar(w, input);
		break;
	case 5:
	case 6:
		scribble(w, input);
		break;
	case 7:
	case 8:
		add_chain(w, input);
		break;
	case 9:
		region_write(m, &m->notify, fuzz_u8(input), 2, 0);
		break;
	case 10:
		if (op & 0x80)
			virtio_config_changed(&w->vdev);
		else
			virtio_queue_interrupt(&w->vdev, (op >> 4) % QUEUES);
		break;
	case 11:
		finish_stops(w);
		break;
	case 12:
		if (op & 0x80)
			machine_reset(w);
		else
			common_write(m, STATUS, 1, op & 0x40 ? fuzz_u8(input) : 0);
		break;
	default:
		poke(w, input, op);
		break;
	}
}

/* ---- what must hold ---- */

static void check(struct world *w)
{
	struct machine *m = &w->m;
	bool decodes = config_read(m, PCI_CFG_COMMAND, 2) & PCI_COMMAND_MEMORY;
	uint64_t bar = config_read(m, PCI_CFG_BAR0, 4);

	for (unsigned i = 0; i < QUEUES; i++) {
		if (w->doorbells[i])
			machine_require(decodes && bar >= MACHINE_MMIO_BASE &&
					w->doorbells[i] == bar + NOTIFY_OFFSET + 4 * i);
		/* Where they are bound for a BAR, they are bound for the queue's life. */
		if (w->vdev.queues[i].state == VIRTIO_QUEUE_LIVE)
			machine_require(w->vdev.queues[i].enabled);
	}
	if (m->levels[MACHINE_LINE])
		machine_require(!(config_read(m, m->msix + 2, 2) & 0x8000) &&
				!(config_read(m, PCI_CFG_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE) &&
				(virtio_device_get_status(&w->vdev) & VIRTIO_STATUS_DRIVER_OK) &&
				!w->vdev.resetting);
}

/* Whether an enabled queue's registers were changed; kinds of steps that reset and enable anew are
 * left out. */
static void step_and_compare(struct world *w, struct fuzz_input *input)
{
	bool is_one_access = (*input->data & 15) != 0;
	struct virtqueue_layout before[QUEUES];
	bool enabled[QUEUES];

	for (unsigned i = 0; i < QUEUES; i++) {
		before[i] = w->vdev.queues[i].layout;
		enabled[i] = w->vdev.queues[i].enabled;
	}
	step(w, input);
	for (unsigned i = 0; i < QUEUES && is_one_access; i++) {
		if (enabled[i] && w->vdev.queues[i].enabled)
			machine_require(
				!memcmp(&before[i], &w->vdev.queues[i].layout, sizeof(before[i])));
	}
}

/* After a reset the device is as new: it serves a driver that does everything right. */
static void check_that_it_works(struct world *w)
{
	struct machine *m = &w->m;
	const struct fake_buffer buffers[2] = { { 0x8000, 16, false }, { 0x9000, 16, true } };
	uint32_t head, written;

	machine_reset(w);
	machine_require(common_read(m, STATUS, 1) == 0);
	machine_require(!m->levels[MACHINE_LINE]);
	for (unsigned i = 0; i < QUEUES; i++) {
		common_write(m, QUEUE_SELECT, 2, i);
		machine_require(common_read(m, QUEUE_VECTOR, 2) == 0xffff);
		machine_require(common_read(m, 0x18, 2) == QUEUE_SIZE);
		machine_require(!w->doorbells[i]);
	}
	bring_up(w, false, VIRTIO_F_EVENT_IDX);
	machine_require(common_read(m, STATUS, 1) == ALL_GOOD);
	machine_require(w->doorbells[1] != 0);
	fake_queue_add(&w->rings[1], buffers, 2);
	region_write(m, &m->notify, 4, 2, 1);
	serve_queue(w, 1, false);
	machine_require(fake_queue_used(&w->rings[1], &head, &written) && written == 16);
	machine_require(m->levels[MACHINE_LINE]);
	machine_require(region_read(m, &m->isr, 0, 1) == 1);
	machine_require(!m->levels[MACHINE_LINE]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct world *w = malloc(sizeof(*w));

	machine_require(w);
	create(w);
	while (input.size) {
		uint8_t how = *input.data;

		step_and_compare(w, &input);
		check(w);
		for (unsigned i = 0; i < QUEUES; i++)
			serve_queue(w, i, how & 0x10);
		check(w);
	}
	check_that_it_works(w);
	machine_reset(w);
	machine_fini(&w->m);
	for (unsigned i = 0; i < QUEUES; i++)
		machine_require(!w->doorbells[i]);
	virtio_device_fini(&w->vdev);
	free(w);
	return 0;
}
