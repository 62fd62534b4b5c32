/* A guest that abuses the virtio devices: random writes to their configuration space and registers,
 * rings and descriptors that are right, nearly right and nonsense, resets and BAR moves in between,
 * for ever.
 *
 * "ready SEED DEVICES" on COM1, then a line "pokes N used N resets N" now and then; `used` counts
 * requests that a device has answered, so that the test can tell abuse from silence. Kernel
 * parameter: seed=N.
 *
 * Source for the layouts: VIRTIO 1.2, 2.7 (rings), 4.1 (PCI), 5.2.6 (block requests). */
#include "bare.h"

/* Rings and buffers; the program lies below. The test gives the guest 64 MiB. */
#define ARENA_START 0x1000000u
#define ARENA_BYTES 0x2000000u
#define RAM_BYTES   0x4000000u

static uint64_t pokes, used, resets;
static uint8_t config_is_sound[MAX_DEVICES];

/* Numbers at which checks break. */
static uint64_t odd_number(void)
{
	static const uint64_t numbers[] = { 0, 1, 2, 3, 7, 8, 15, 16, 31, 63, 127, 128, 255, 256,
		511, 512, 1023, 1024, 1025, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000,
		0xffffffff, 0xc0000000, 0xfec00000, 0xfee00000, RAM_BYTES - 1, RAM_BYTES,
		RAM_BYTES - 16, UINT64_C(0x100000000), UINT64_C(0x7fffffffffffffff),
		UINT64_C(0x8000000000000000), UINT64_MAX, UINT64_MAX - 15 };

	if (below(3) == 0)
		return random64() >> below(64);
	return numbers[below(sizeof(numbers) / sizeof(numbers[0]))];
}

static uint32_t arena_address(void)
{
	return ARENA_START + below(ARENA_BYTES - 0x100000);
}

static uint64_t some_address(void)
{
	return below(100) ? arena_address() : odd_number();
}

static void reset(struct device *device)
{
	set_status(device, 0);
	for (unsigned i = 0; i < 1000 && mmio_read(common(device, 20), 1); i++)
		;
	for (unsigned i = 0; i < MAX_QUEUES; i++)
		device->queues[i].size = 0;
	resets++;
}

static void set_up_queue(struct device *device, unsigned index, unsigned slot)
{
	struct queue *queue = &device->queues[index];
	uint32_t largest, base = ARENA_START + slot * RING_STRIDE;

	mmio_write(common(device, 22), 2, index);
	largest = (uint32_t)mmio_read(common(device, 24), 2);
	if (!largest)
		return;
	queue->size = below(4) ? largest : 1u << below(11);
	if (queue->size > largest)
		queue->size = largest;
	if (!below(30))
		queue->size = (uint32_t)odd_number() & 0xffff;
	if (!queue->size)
		return;
	queue->base = base;
	queue->available = queue->used_seen = 0;
	for (uint32_t i = 0; i < RING_STRIDE; i += 8)
		*(volatile uint64_t *)(uint64_t)(base + i) = 0;
	if (below(3) == 0)
		mmio_write(common(device, 26), 2, below(12));
	mmio_write(common(device, 24), 2, queue->size);
	mmio_write(common(device, 32), 4, base);
	mmio_write(common(device, 36), 4, 0);
	mmio_write(common(device, 40), 4, base + 0x4000);
	mmio_write(common(device, 44), 4, 0);
	mmio_write(common(device, 48), 4, base + 0x8000);
	mmio_write(common(device, 52), 4, 0);
	if (!below(30))
		mmio_write(common(device, 32 + 4 * below(6)), 4, odd_number());
	queue->notify = device->bar[0] + device->offset[NOTIFY] +
			(uint32_t)mmio_read(common(device, 30), 2) * device->notify_multiplier;
	mmio_write(common(device, 28), 2, 1);
}

/* As a driver would, mostly. */
static void set_up(struct device *device)
{
	unsigned number = (unsigned)(device - devices);
	uint32_t offered[2];

	/* Each move of a BAR takes KVM some milliseconds. Where it does not help, another device is
	 * in the way. */
	if (!config_is_sound[number]) {
		restore_bars(device);
		config_is_sound[number] = 1;
	}
	if (mmio_read(common(device, 20), 1) == 0xff) {
		for (unsigned i = 0; i < device_count; i++)
			restore_bars(&devices[i]);
		restore_bars(device);
	}
	reset(device);
	set_status(device, 1);
	set_status(device, 3);
	for (unsigned i = 0; i < 2; i++) {
		mmio_write(common(device, 0), 4, i);
		offered[i] = (uint32_t)mmio_read(common(device, 4), 4);
	}
	if (below(3) == 0)
		offered[0] &= (uint32_t)random64();
	for (unsigned i = 0; i < 2; i++) {
		mmio_write(common(device, 8), 4, i);
		mmio_write(common(device, 12), 4, offered[i]);
	}
	set_status(device, 11);
	for (unsigned i = 0; i < MAX_QUEUES; i++)
		set_up_queue(device, i, number * MAX_QUEUES + i);
	set_status(device, below(20) ? 15 : (uint8_t)random64());
}

static struct queue *some_queue(struct device *device)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		struct queue *queue = &device->queues[below(MAX_QUEUES)];

		if (queue->size && queue->size <= 1024)
			return queue;
	}
	return 0;
}

static void count_used(struct queue *queue)
{
	uint16_t index = *(volatile uint16_t *)(uint64_t)(queue->base + 0x8002);

	used += (uint16_t)(index - queue->used_seen);
	queue->used_seen = index;
}

/* A block request, right or nearly so: header, up to three buffers, status. */
static void block_request(struct queue *queue)
{
	static const uint8_t types[] = { 0, 0, 0, 1, 1, 1, 4, 8, 11, 13 };
	uint32_t head = below(queue->size), buffers = below(4), at = head;
	uint32_t header = arena_address() & ~0xfu, table = queue->base;
	uint32_t type = below(20) ? types[below(sizeof(types))] : (uint32_t)odd_number();
	int in = type == 0 || type == 8;

	if (queue->size < 8)
		return;
	mmio_write(header, 4, type);
	mmio_write(header + 8, 8, below(20) ? below(4096) : odd_number());
	put_descriptor(table, at, header, below(50) ? 16 : (uint32_t)odd_number(), 1,
		(uint16_t)((at + 1) % queue->size));
	for (uint32_t i = 0; i < buffers; i++) {
		uint32_t length = below(40) ? 512u << below(7) : (uint32_t)odd_number();

		at = (at + 1) % queue->size;
		if (type == 11 || type == 13) {
			length = 16;
			mmio_write(header + 16, 8, below(4096));
			mmio_write(header + 24, 8, below(64));
			put_descriptor(table, at, header + 16, length, 1,
				(uint16_t)((at + 1) % queue->size));
			continue;
		}
		put_descriptor(table, at, below(50) ? arena_address() & ~0x1ffu : some_address(),
			length, (uint16_t)(1 | (in ? 2 : 0)), (uint16_t)((at + 1) % queue->size));
	}
	at = (at + 1) % queue->size;
	put_descriptor(table, at, arena_address(), 1, 2, 0);
	offer(queue, head);
}

static void plain_request(struct queue *queue)
{
	uint32_t head = below(queue->size);

	put_descriptor(queue->base, head, some_address(),
		below(60) ? below(65536) : (uint32_t)odd_number(), below(2) ? 2 : 0, 0);
	offer(queue, head);
}

/* An indirect table, mostly sound. */
static void indirect_request(struct queue *queue)
{
	uint32_t head = below(queue->size), count = 1 + below(8), table = arena_address() & ~0xfu;

	for (uint32_t i = 0; i < count; i++)
		put_descriptor(table, i, some_address(),
			below(60) ? below(8192) : (uint32_t)odd_number(),
			(uint16_t)((i + 1 < count ? 1 : 0) | (i * 2 >= count ? 2 : 0) |
				   (below(40) ? 0 : 4)),
			(uint16_t)(below(40) ? i + 1 : odd_number()));
	put_descriptor(queue->base, head, below(40) ? table : some_address(),
		below(20) ? count * 16 : (uint32_t)odd_number(), (uint16_t)(below(20) ? 4 : 5), 0);
	offer(queue, head);
}

static void nonsense_in_rings(struct queue *queue)
{
	uint32_t places = 1 + below(32);

	for (uint32_t i = 0; i < places; i++)
		mmio_write(queue->base + (below(0xc000) & ~7u), 8,
			below(2) ? odd_number() : random64());
	if (below(2)) {
		queue->available = (uint16_t)(queue->available + odd_number());
		mmio_write(queue->base + 0x4002, 2, queue->available);
	}
}

static void poke_queue(struct device *device)
{
	struct queue *queue = some_queue(device);
	unsigned requests = 1 + below(8);

	if (!queue) {
		set_up(device);
		return;
	}
	count_used(queue);
	while (requests--) {
		unsigned kind = below(100);

		if (kind < 60 && device->id == 2)
			block_request(queue);
		else if (kind < 90)
			plain_request(queue);
		else if (kind < 98)
			indirect_request(queue);
		else if (below(8) == 0)
			nonsense_in_rings(queue);
	}
	mmio_write(queue->notify, 1u << below(3), 0);
	count_used(queue);
	/* Asked to be reset? As a driver would. */
	if (mmio_read(common(device, 20), 1) & 0x40)
		set_up(device);
}

static void poke_registers(const struct device *device)
{
	unsigned bar = below(6), width = 1u << below(4);

	if (!device->bar_bytes[bar])
		bar = 0;
	for (unsigned i = 1 + below(4); i; i--) {
		uint64_t address =
			device->bar[bar] + (below(2) ? below(64) : below(device->bar_bytes[bar]));

		if (below(2))
			mmio_write(address, width, odd_number());
		else
			(void)mmio_read(address, width);
	}
}

static void poke_config(struct device *device)
{
	config_is_sound[device - devices] = 0;
	for (unsigned i = 1 + below(4); i; i--) {
		unsigned offset = 4 + below(252), width = 1u << below(3);
		uint32_t value = (uint32_t)odd_number();

		/* On top of RAM, of another device or of nothing. */
		if (!below(4)) {
			offset = 0x10 + 4 * below(2);
			width = 4;
			value = below(2) ? devices[below(device_count)].bar[below(2)]
					 : 0xc0000000u + (below(0x3ec00) << 12);
		}
		config_write(device, offset & ~(width - 1), width, value);
		(void)config_read(device, offset);
	}
	if (below(2))
		restore_bars(device);
}

void bare_main(const uint8_t *boot_params)
{
	uint32_t low, high;

	random_state = parameter(boot_params, "seed=");
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	if (!random_state)
		random_state = ((uint64_t)high << 32 | low) | 1;
	find_devices();
	/* What vmgui's memory grows by from here on is its own. */
	for (uint32_t address = ARENA_START; address < ARENA_START + ARENA_BYTES; address += 4096)
		mmio_write(address, 8, address);
	put("ready ");
	put_number(random_state);
	put(" ");
	put_number(device_count);
	put("\n");
	for (unsigned i = 0; i < device_count; i++)
		set_up(&devices[i]);
	for (;;) {
		struct device *device = &devices[below(device_count)];
		unsigned kind = below(1000);

		if (kind < 700)
			poke_queue(device);
		else if (kind < 900)
			poke_registers(device);
		else if (kind < 960)
			poke_config(device);
		else if (kind < 990)
			set_up(device);
		else
			mmio_write(common(device, 56), 2, 1); /* queue reset */
		if (++pokes % 128 == 0) {
			put("pokes ");
			put_number(pokes);
			put(" used ");
			put_number(used);
			put(" resets ");
			put_number(resets);
			put("\n");
		}
	}
}
