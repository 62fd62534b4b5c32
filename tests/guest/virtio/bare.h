/* What the bare guests of this folder share: ports and registers, COM1, random numbers, and the
 * virtio devices on the PCI bus. Each is one source file, so these are static. */
#ifndef BARE_H
#define BARE_H

#include <stdint.h>

#define COM1 0x3f8

#define MAX_DEVICES 32
#define MAX_QUEUES  8
#define RING_STRIDE 0x10000u

enum {
	COMMON,
	NOTIFY,
	ISR,
	DEVICE,
	CAPABILITIES
};

struct queue {
	uint32_t size; /* 0: not set up */
	uint32_t base; /* of its descriptors; the rings follow */
	uint16_t available, used_seen;
	uint32_t notify;
};

struct device {
	uint32_t config; /* address for 0xcf8 */
	uint16_t id;
	uint32_t bar[6], bar_bytes[6];
	uint32_t offset[CAPABILITIES]; /* in BAR 0, as the capabilities say */
	uint32_t notify_multiplier;
	struct queue queues[MAX_QUEUES];
};

static struct device devices[MAX_DEVICES];
static unsigned device_count;
static uint64_t random_state;

void bare_main(const uint8_t *boot_params);

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(const char *text)
{
	for (; *text; text++) {
		while (!(in8(COM1 + 5) & 0x20))
			;
		out8(COM1, (uint8_t)*text);
	}
}

static void put_number(uint64_t number)
{
	char digits[24];
	unsigned at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(digits + at);
}

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint32_t below(uint32_t limit)
{
	return (uint32_t)((random64() >> 16) % limit);
}

static uint32_t config_read(const struct device *device, unsigned offset)
{
	out32(0xcf8, device->config | (offset & 0xfc));
	return in32(0xcfc) >> (8 * (offset & 3));
}

static void config_write(
	const struct device *device, unsigned offset, unsigned width, uint32_t value)
{
	uint16_t port = (uint16_t)(0xcfc + (offset & 3));

	out32(0xcf8, device->config | (offset & 0xfc));
	if (width == 1)
		out8(port, (uint8_t)value);
	else if (width == 2)
		__asm__ volatile("outw %0, %1" : : "a"((uint16_t)value), "Nd"(port));
	else
		out32(port, value);
}

static void mmio_write(uint64_t address, unsigned width, uint64_t value)
{
	switch (width) {
	case 1:
		*(volatile uint8_t *)address = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)address = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)address = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)address = value;
	}
}

static uint64_t mmio_read(uint64_t address, unsigned width)
{
	switch (width) {
	case 1:
		return *(volatile uint8_t *)address;
	case 2:
		return *(volatile uint16_t *)address;
	case 4:
		return *(volatile uint32_t *)address;
	default:
		return *(volatile uint64_t *)address;
	}
}

static uint64_t common(const struct device *device, unsigned offset)
{
	return (uint64_t)device->bar[0] + device->offset[COMMON] + offset;
}

/* What the firmware set; random pokes lose it. */
static void restore_bars(struct device *device)
{
	config_write(device, 4, 2, 0);
	for (unsigned i = 0; i < 6; i++) {
		if (device->bar_bytes[i])
			config_write(device, 0x10 + 4 * i, 4, device->bar[i]);
	}
	config_write(device, 4, 2, 6);
}

static void find_devices(void)
{
	for (unsigned slot = 1; slot < 32; slot++) {
		for (unsigned function = 0; function < 8; function++) {
			struct device *device = &devices[device_count];
			uint32_t ids;
			unsigned at;

			device->config = 0x80000000u | slot << 11 | function << 8;
			ids = config_read(device, 0);
			if ((ids & 0xffff) != 0x1af4 || device_count >= MAX_DEVICES)
				continue;
			device->id = (uint16_t)((ids >> 16) - 0x1040);
			for (unsigned i = 0; i < 6; i++) {
				uint32_t size;

				device->bar[i] = config_read(device, 0x10 + 4 * i) & ~0xfu;
				if (!device->bar[i])
					continue;
				config_write(device, 4, 2, 0);
				config_write(device, 0x10 + 4 * i, 4, 0xffffffff);
				size = config_read(device, 0x10 + 4 * i) & ~0xfu;
				device->bar_bytes[i] = 0 - size;
			}
			restore_bars(device);
			for (at = config_read(device, 0x34) & 0xff; at;
				at = config_read(device, at + 1) & 0xff) {
				unsigned type = config_read(device, at + 3) & 0xff;

				if ((config_read(device, at) & 0xff) != 9 || type < 1 ||
					type > CAPABILITIES)
					continue;
				device->offset[type - 1] = config_read(device, at + 8);
				if (type - 1 == NOTIFY)
					device->notify_multiplier = config_read(device, at + 16);
			}
			device_count++;
		}
	}
}

static void set_status(const struct device *device, uint8_t status)
{
	mmio_write(common(device, 20), 1, status);
}

static void put_descriptor(uint32_t table, uint32_t index, uint64_t address, uint32_t length,
	uint16_t flags, uint16_t next)
{
	volatile uint64_t *at = (volatile uint64_t *)(uint64_t)(table + 16 * index);

	at[0] = address;
	at[1] = length | (uint64_t)flags << 32 | (uint64_t)next << 48;
}

static void offer(struct queue *queue, uint32_t head)
{
	volatile uint16_t *ring = (volatile uint16_t *)(uint64_t)(queue->base + 0x4000);

	ring[2 + queue->available % queue->size] = (uint16_t)head;
	queue->available++;
	__asm__ volatile("" : : : "memory");
	ring[1] = queue->available;
}

/* The number after name among the kernel parameters; 0: it is not there. */
static uint64_t parameter(const uint8_t *boot_params, const char *name)
{
	const char *at = (const char *)(uint64_t) * (const uint32_t *)(boot_params + 0x228);

	for (; at && *at; at++) {
		uint64_t number = 0;
		unsigned length = 0;

		while (name[length] && at[length] == name[length])
			length++;
		if (name[length])
			continue;
		for (at += length; *at >= '0' && *at <= '9'; at++)
			number = number * 10 + (uint64_t)(*at - '0');
		return number;
	}
	return 0;
}

#endif
