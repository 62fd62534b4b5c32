/* A guest that writes to its first disk for as long as it lives, and says how far it has flushed:
 * vmgui is killed at some moment, and what was flushed must be there (test_kill.py, which makes the
 * same numbers).
 *
 * Kernel parameters: seed=N (not 0), first=N: number of the first write. Write number n covers
 * `count` sectors from `start`; each sector is eight words for seven of which hold n, its own
 * sector number and a mix of the two (see fill). Up to DEPTH writes are in flight; after some of
 * them, and all are done, a flush; once that is answered, the line "flushed N": all writes up to
 * number N are safe. Now and then sectors are zeroed by WRITE_ZEROES instead, which counts as a
 * write of zeroes.
 *
 * Source: VIRTIO 1.2, 2.7, 4.1, 5.2.6. */
#include "bare.h"

#define RINGS   0x1000000u
#define HEADERS 0x1010000u /* 64 bytes for each slot: header, segment, status */
#define BUFFERS 0x1100000u

#define SECTOR      512u
#define MAX_SECTORS 64u
#define DEPTH       8u
#define QUEUE_SIZE  64u

static struct queue queue;
static struct device *disk;
static uint32_t disk_sectors;

static void fail(const char *why)
{
	put("failed ");
	put(why);
	put("\n");
	for (;;)
		;
}

static void start_disk(void)
{
	uint32_t low;

	for (unsigned i = 0; i < device_count && !disk; i++) {
		if (devices[i].id == 2)
			disk = &devices[i];
	}
	if (!disk)
		fail("no disk");
	set_status(disk, 0);
	while (mmio_read(common(disk, 20), 1))
		;
	set_status(disk, 1);
	set_status(disk, 3);
	mmio_write(common(disk, 0), 4, 0);
	low = (uint32_t)mmio_read(common(disk, 4), 4);
	if (!(low & 1u << 9) || !(low & 1u << 14))
		fail("no FLUSH or WRITE_ZEROES");
	mmio_write(common(disk, 8), 4, 0);
	mmio_write(common(disk, 12), 4, 1u << 9 | 1u << 14);
	mmio_write(common(disk, 8), 4, 1);
	mmio_write(common(disk, 12), 4, 1); /* VERSION_1 */
	set_status(disk, 11);
	if (!(mmio_read(common(disk, 20), 1) & 8))
		fail("features");
	mmio_write(common(disk, 22), 2, 0);
	mmio_write(common(disk, 24), 2, QUEUE_SIZE);
	mmio_write(common(disk, 32), 4, RINGS);
	mmio_write(common(disk, 36), 4, 0);
	mmio_write(common(disk, 40), 4, RINGS + 0x4000);
	mmio_write(common(disk, 44), 4, 0);
	mmio_write(common(disk, 48), 4, RINGS + 0x8000);
	mmio_write(common(disk, 52), 4, 0);
	queue.size = QUEUE_SIZE;
	queue.base = RINGS;
	queue.notify = disk->bar[0] + disk->offset[NOTIFY] +
		       (uint32_t)mmio_read(common(disk, 30), 2) * disk->notify_multiplier;
	mmio_write(common(disk, 28), 2, 1);
	set_status(disk, 15);
	disk_sectors = (uint32_t)mmio_read((uint64_t)disk->bar[0] + disk->offset[DEVICE], 4);
	if (disk_sectors < 2 * MAX_SECTORS)
		fail("the disk is too small");
}

static uint64_t mix(uint64_t number, uint64_t sector)
{
	return (number * UINT64_C(0x9e3779b97f4a7c15) ^ sector) * UINT64_C(0xff51afd7ed558ccd);
}

static void fill(uint32_t buffer, uint64_t number, uint32_t start, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t *at = (uint64_t *)(uint64_t)(buffer + i * SECTOR),
			 word = mix(number, start + i);

		for (unsigned j = 0; j < SECTOR / 8; j += 8) {
			at[j] = number;
			at[j + 1] = start + i;
			for (unsigned k = 2; k < 8; k++)
				at[j + k] = word;
		}
	}
}

/* type 1: out, 4: flush, 13: write zeroes */
static void submit(unsigned slot, uint32_t type, uint32_t start, uint32_t count)
{
	uint32_t header = HEADERS + slot * 64, head = slot * 3;

	mmio_write(header, 8, type);
	mmio_write(header + 8, 8, type == 1 ? start : 0);
	mmio_write(header + 48, 1, 0xee);
	put_descriptor(RINGS, head, header, 16, 1, (uint16_t)(head + 1));
	if (type == 1) {
		put_descriptor(RINGS, head + 1, BUFFERS + slot * MAX_SECTORS * SECTOR,
			count * SECTOR, 1, (uint16_t)(head + 2));
	} else if (type == 13) {
		mmio_write(header + 16, 8, start);
		mmio_write(header + 24, 8, count);
		put_descriptor(RINGS, head + 1, header + 16, 16, 1, (uint16_t)(head + 2));
	}
	put_descriptor(RINGS, type == 4 ? head + 1 : head + 2, header + 48, 1, 2, 0);
	offer(&queue, head);
	mmio_write(queue.notify, 2, 0);
}

/* All that was offered is answered, and well. */
static void wait_for_all(unsigned slots)
{
	volatile uint16_t *index = (volatile uint16_t *)(uint64_t)(RINGS + 0x8002);

	while (*index != queue.available)
		__asm__ volatile("pause");
	for (unsigned i = 0; i < slots; i++) {
		if (mmio_read(HEADERS + i * 64 + 48, 1) != 0)
			fail("a request was answered with an error");
	}
}

void bare_main(const uint8_t *boot_params)
{
	uint64_t number = parameter(boot_params, "first=");

	random_state = parameter(boot_params, "seed=");
	find_devices();
	start_disk();
	put("ready\n");
	for (;;) {
		unsigned writes = 1 + below(DEPTH);

		for (unsigned slot = 0; slot < writes; slot++) {
			uint32_t count = below(4) ? 8 : 1 + below(MAX_SECTORS);
			uint32_t start = below(disk_sectors - count);

			if (below(8) == 0) {
				submit(slot, 13, start, count);
			} else {
				fill(BUFFERS + slot * MAX_SECTORS * SECTOR, number, start, count);
				submit(slot, 1, start, count);
			}
			number++;
		}
		wait_for_all(writes);
		if (below(3) == 0) {
			submit(0, 4, 0, 0);
			wait_for_all(1);
			put("flushed ");
			put_number(number - 1);
			put("\n");
		}
	}
}
