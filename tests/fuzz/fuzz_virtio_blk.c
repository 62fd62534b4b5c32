/* A driver that does anything to a block device, on a disk that fails and dawdles: descriptors,
 * rings and registers from the fuzzer, requests finished in any order with any result, resets in
 * between. What must hold: what gets to the disk lies inside the disk and in RAM (the fake disk
 * aborts), a reset leaves nothing in flight, and is complete once the disk has finished. */
#include <stdlib.h>

#include "blk_driver.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUES     2u
#define LOW_BYTES  KIB(16)
#define HIGH_BYTES KIB(4)
#define DISK_BYTES KIB(32)
#define DATA_GPA   KIB(8) /* rings lie below */

static const uint8_t types[] = { BLK_IN, BLK_OUT, BLK_FLUSH, BLK_GET_ID, BLK_DISCARD, BLK_ZEROES, 2,
	0xff };
static const int results[] = { 0, 0, 0, -EIO, -ENOSPC, -EOPNOTSUPP, -EDQUOT, -ENOMEM };

/* Addresses near what matters: RAM of both kinds, their ends, and nowhere. */
static uint64_t any_gpa(struct fuzz_input *input)
{
	uint16_t value = fuzz_u16(input);

	if (value < 0xf000)
		return value % LOW_BYTES;
	if (value < 0xfc00)
		return GUEST_MEM_HOLE_END + value % HIGH_BYTES;
	return (value & 1 ? LOW_BYTES : UINT64_MAX) - (value & 0xff);
}

static uint32_t any_length(struct fuzz_input *input)
{
	uint8_t value = fuzz_u8(input);

	return value < 0x60 ? value : value < 0xf0 ? (value & 15u) * 512 + (value >> 6) % 2 : ~0u;
}

static uint64_t any_sector(struct fuzz_input *input)
{
	uint8_t value = fuzz_u8(input);

	if (value < 0x80)
		return value;
	return (value & 1 ? UINT64_MAX : UINT64_C(1) << (value & 63)) - (value & 7);
}

static void put(struct blk_driver *d, uint64_t gpa, const void *bytes, size_t length)
{
	if (guest_mem_write(&d->virtio.mem, gpa, bytes, length))
		return; /* not RAM */
}

/* A request as a good driver makes it, in as many buffers as the fuzzer likes, or nearly. */
static void add_request(struct blk_driver *d, unsigned queue, struct fuzz_input *input)
{
	struct blk_header header = { types[fuzz_u8(input) % array_size(types)], 0,
		any_sector(input) };
	uint8_t shape = fuzz_u8(input);
	uint64_t gpa = DATA_GPA + (fuzz_u8(input) % 16) * 256;
	bool in = header.type == BLK_IN || header.type == BLK_GET_ID;
	uint32_t bytes = (shape & 7u) * 512;
	struct fake_buffer buffers[4];
	unsigned count = 0;

	if (header.type == BLK_DISCARD || header.type == BLK_ZEROES) {
		bytes = (shape & 7u) * 16;
		for (unsigned i = 0; i < (shape & 7u); i++) {
			const struct blk_range range = { any_sector(input), fuzz_u8(input),
				fuzz_u8(input) % 4 == 3 };
			put(d, gpa + 16 + 16 * i, &range, sizeof(range));
		}
	}
	put(d, gpa, &header, sizeof(header));
	if (shape & 8) /* header and data in one, or the header cut */
		buffers[count++] = (struct fake_buffer){ gpa, in ? 16 : 16 + bytes, false };
	else
		buffers[count++] = (struct fake_buffer){ gpa, 9, false },
		buffers[count++] = (struct fake_buffer){ gpa + 9, in ? 7 : 7 + bytes, false };
	if (in)
		buffers[count++] = (struct fake_buffer){ gpa + 16, bytes + (shape >> 6 & 1), true };
	if (shape & 0x10)
		buffers[count++] = (struct fake_buffer){ gpa, 1, true };
	if (shape & 0x20)
		fake_queue_add(&d->queues[queue], buffers, count);
	else {
		d->virtio.next_gpa = DATA_GPA - 256; /* the indirect table */
		fake_queue_add_indirect(&d->queues[queue], buffers, count);
	}
}

static void begin(struct blk_driver *d, uint8_t choice)
{
	uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_RING_RESET;

	if (fake_virtio_status(&d->virtio))
		return;
	if (d->disk->pending_count)
		abort(); /* the reset was not complete */
	if (choice & 1)
		features |= VIRTIO_FEATURE(BLK_F_FLUSH);
	if (choice & 2)
		features |= VIRTIO_FEATURE(BLK_F_CONFIG_WCE);
	if (choice & 4)
		features |= VIRTIO_F_EVENT_IDX;
	if (!fake_virtio_negotiate(&d->virtio, features))
		abort();
	d->virtio.next_gpa = PAGE_BYTES;
	for (unsigned i = 0; i < QUEUES; i++) {
		fake_queue_init(&d->queues[i], &d->virtio, choice & 8 ? 4 : BLK_QUEUE_SIZE);
		fake_queue_enable(&d->queues[i], i);
	}
	fake_virtio_driver_ok(&d->virtio);
}

static void reset_queue(struct blk_driver *d, unsigned queue)
{
	fake_virtio_lock(&d->virtio);
	virtio_queue_reset(virtio_blk_vdev(d->device), queue);
	fake_virtio_unlock(&d->virtio);
}

static void one_step(struct blk_driver *d, struct fuzz_input *input)
{
	uint8_t op = fuzz_u8(input);
	unsigned queue = op >> 7;
	struct fake_queue *q = &d->queues[queue];
	uint8_t bytes[16];

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
		add_request(d, queue, input);
		break;
	case 3:
		fake_queue_put(q, fuzz_u8(input) & (q->size - 1), any_gpa(input), any_length(input),
			fuzz_u8(input) & 7, fuzz_u8(input) % (q->size + 1));
		break;
	case 4:
		fake_queue_offer(q, fuzz_u8(input) % (q->size + 1));
		break;
	case 5:
		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = fuzz_u8(input);
		put(d, any_gpa(input), bytes, sizeof(bytes));
		break;
	case 6:
	case 7:
		fake_queue_ring(q);
		fake_disk_step(d->disk);
		break;
	case 8:
	case 9:
	case 10:
		if (d->disk->pending_count)
			fake_disk_complete(d->disk, fuzz_u8(input) % d->disk->pending_count,
				results[(op >> 4) % array_size(results)]);
		break;
	case 11:
		d->device->ops->resume(d->device);
		fake_disk_step(d->disk);
		break;
	case 12:
		fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, op >> 6 & 1);
		fake_virtio_read_config(&d->virtio, fuzz_u8(input), 1u << (op >> 4 & 3));
		break;
	case 13:
		if (op & 0x10)
			fake_virtio_add_status(&d->virtio, 0);
		else
			reset_queue(d, queue);
		if (op & 0x20)
			fake_disk_step(d->disk);
		break;
	case 14:
		begin(d, fuzz_u8(input));
		if (op & 0x10)
			fake_queue_enable(q, queue);
		break;
	default:
		if (op & 0x10)
			fake_disk_resize(d->disk, (1 + (op >> 5)) * KIB(4));
		d->disk->immediate = op & 0x20;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct blk_driver d;
	uint8_t options = fuzz_u8(&input);

	blk_driver_init_ram(&d, DISK_BYTES, LOW_BYTES, HIGH_BYTES);
	d.disk->base.read_only = (options & 7) == 7;
	if (options & 8)
		d.disk->base.block_bytes = 4096;
	if (options & 16)
		d.disk->base.discard_granularity_bytes = 0;
	if (options & 32)
		d.disk->base.writeback = false;
	blk_driver_create(&d, QUEUES);
	begin(&d, options >> 4);
	while (input.size)
		one_step(&d, &input);

	/* Nothing hangs: a reset is complete when the disk has done what it was given. */
	fake_virtio_add_status(&d.virtio, 0);
	d.disk->automatic = true;
	d.disk->fault = NULL;
	fake_disk_run(d.disk);
	if (fake_virtio_status(&d.virtio) || d.disk->pending_count)
		abort();
	begin(&d, 1);
	struct blk_io io = { DATA_GPA, DATA_GPA + 16, DATA_GPA + 600, 0, 0 };
	const struct blk_header header = { BLK_FLUSH, 0, 0 };
	const uint8_t no_answer = BLK_NO_ANSWER;
	put(&d, io.header_gpa, &header, sizeof(header));
	put(&d, io.status_gpa, &no_answer, 1);
	blk_offer(&d, 0, &io, true);
	blk_run(&d, 0);
	if (fake_queue_used_count(&d.queues[0]) != 1 || blk_status(&d, &io) != BLK_OK)
		abort();
	blk_driver_fini(&d);
	return 0;
}
