/* qcow2 from a hostile image: small images whose tables the input writes, and requests to them
 * while I/O fails now and then. The image is opened or refused; every request is done exactly once;
 * memory stays bounded (libFuzzer's limit); the first cluster and the tables' places in the header
 * are never written by guest data. What ends well must be consistent if it was before. */
#include <signal.h>
#include <stdlib.h>

#include "block/qcow2.h"
#include "fake_file.h"
#include "fuzz_input.h"

#define SLOTS          8u
#define MAX_LENGTH     (64u << 10)
#define MAX_OPERATIONS 64u
#define MAX_CLUSTERS   40u

#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct slot {
	struct block_request request;
	struct iovec iov[3];
	uint8_t *buffer;
	bool busy;
};

static unsigned in_flight;

static uint32_t fuzz_u32(struct fuzz_input *input)
{
	uint32_t low = fuzz_u16(input);

	return low | (uint32_t)fuzz_u16(input) << 16;
}

static uint64_t fuzz_u64(struct fuzz_input *input)
{
	uint64_t low = fuzz_u32(input);

	return low | (uint64_t)fuzz_u32(input) << 32;
}

static void put32(struct fake_file *file, uint64_t offset, uint32_t value)
{
	value = htobe32(value);
	if (range_fits(offset, 4, file->size_bytes))
		memcpy(file->bytes + offset, &value, 4);
}

static void put64(struct fake_file *file, uint64_t offset, uint64_t value)
{
	value = htobe64(value);
	if (range_fits(offset, 8, file->size_bytes))
		memcpy(file->bytes + offset, &value, 8);
}

/* Where table entries like to point: at a cluster of the file, or anywhere. */
static uint64_t some_entry(struct fuzz_input *input, unsigned cluster_bits)
{
	uint8_t kind = fuzz_u8(input);
	uint64_t entry = (uint64_t)(fuzz_u8(input) % (MAX_CLUSTERS + 4)) << cluster_bits;

	if (kind & 1)
		entry |= QCOW2_COPIED;
	if (kind & 2)
		entry |= QCOW2_ZERO;
	if ((kind & 12) == 12)
		entry |= QCOW2_COMPRESSED | (uint64_t)fuzz_u8(input) << (62 - (cluster_bits - 8)) |
			 fuzz_u8(input);
	if (kind >= 0xf0)
		entry = fuzz_u64(input);
	return entry;
}

/* A valid image first: header, refcount table, refcount block, L1, L2 tables, data; then the input
 * changes any of it. */
static struct fake_file *make_image(struct fuzz_input *input)
{
	const unsigned cluster_bits = 9 + fuzz_u8(input) % 4, order = fuzz_u8(input) % 7;
	const uint64_t cluster = UINT64_C(1) << cluster_bits;
	const unsigned clusters = 10 + fuzz_u8(input) % (MAX_CLUSTERS - 10), tables = 8;
	struct fake_file *file = fake_file_create(clusters * cluster);
	uint8_t flags = fuzz_u8(input);

	memcpy(file->bytes, "QFI\xfb", 4);
	put32(file, 4, flags & 1 ? 2 : 3);
	put32(file, 20, cluster_bits);
	put64(file, 24, fuzz_u16(input) * UINT64_C(512) % (cluster * cluster / 8 * 4 + 1));
	put32(file, 36, 4);
	put64(file, 40, 3 * cluster);
	put64(file, 48, cluster);
	put32(file, 56, 1);
	if (flags & 2) { /* a snapshot, which has the second L2 table, too */
		put32(file, 60, 1);
		put64(file, 64, 6 * cluster);
		put64(file, 6 * cluster, 7 * cluster);
		put32(file, 6 * cluster + 8, 2);
		put64(file, 7 * cluster + 8, 5 * cluster);
	}
	if (flags & 4) {
		put64(file, 72, 1u << 3);
		file->bytes[104] = 1;
	}
	put32(file, 96, flags & 1 ? 0 : order);
	put32(file, 100, 112);
	put64(file, cluster, 2 * cluster);
	for (unsigned i = 0; i < clusters; i++)
		qcow2_refcount_store(file->bytes + 2 * cluster, flags & 1 ? 4 : order, i,
			i == 5 && flags & 2 && (flags & 1 || order)
				? 2
				: i < tables || (!(flags & 128) && fuzz_u8(input) & 1));
	/* What can be unpacked: a stored deflate block of one cluster. */
	memcpy(file->bytes + 8 * cluster, "\1", 1);
	file->bytes[8 * cluster + 1] = (uint8_t)cluster;
	file->bytes[8 * cluster + 2] = (uint8_t)(cluster >> 8);
	file->bytes[8 * cluster + 3] = (uint8_t)~cluster;
	file->bytes[8 * cluster + 4] = (uint8_t)(~cluster >> 8);
	put64(file, 3 * cluster, 4 * cluster | QCOW2_COPIED);
	put64(file, 3 * cluster + 8, 5 * cluster | (flags & 2 ? 0 : QCOW2_COPIED));
	for (unsigned i = 0; !(flags & 128) && i < 24; i++)
		put64(file, (4 + i % 2) * cluster + i / 2 * 8, some_entry(input, cluster_bits));
	if (flags & 8)
		put64(file, 4 * cluster + 8 * 3,
			QCOW2_COMPRESSED | 8 * cluster |
				(cluster / 512) << (62 - (cluster_bits - 8)));
	if (flags & 16) {
		for (unsigned i = 0; i < 8; i++)
			put64(file, cluster + fuzz_u8(input) % (3 * cluster / 8) * 8,
				some_entry(input, cluster_bits));
	}
	for (unsigned i = 0; flags & 32 && i < 4; i++)
		put32(file, fuzz_u8(input) / 2 * 4, fuzz_u32(input));
	for (unsigned i = 0; flags & 64 && i < 8; i++)
		file->bytes[fuzz_u32(input) % file->size_bytes] = fuzz_u8(input);
	fake_file_checkpoint(file);
	return file;
}

static void done(struct block_request *request)
{
	struct slot *slot = container_of(request, struct slot, request);

	require(slot->busy && request->result <= 0);
	slot->busy = false;
	in_flight--;
}

static void submit(struct image *image, struct slot *slot, struct fuzz_input *input)
{
	static const enum block_operation operations[] = { BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE,
		BLOCK_DISCARD, BLOCK_WRITE_ZEROES, BLOCK_FLUSH, BLOCK_WRITE, BLOCK_READ };
	uint64_t sectors = image->size_bytes / 512, first, count, split;
	enum block_operation operation = operations[fuzz_u8(input) % array_size(operations)];
	uint8_t shape = fuzz_u8(input);
	void *scratch = slot->request.scratch;

	first = sectors ? fuzz_u16(input) % sectors : 0;
	count = shape & 128 ? shape : shape & 15;
	count = min_u64(min_u64(count, sectors - first), MAX_LENGTH / 512);
	if (operation == BLOCK_DISCARD && shape & 64)
		count = sectors - first;
	slot->request = (struct block_request){ .operation = operation,
		.may_unmap = shape & 16,
		.offset_bytes = first * 512,
		.length_bytes = count * 512,
		.result = 1,
		.iov = slot->iov,
		.iov_count = 3,
		.done = done,
		.scratch = scratch };
	split = (uint64_t)shape * 3 % (count * 512 + 1);
	slot->iov[0] = (struct iovec){ slot->buffer, split };
	slot->iov[1] = (struct iovec){ slot->buffer + split, 0 };
	slot->iov[2] = (struct iovec){ slot->buffer + split, count * 512 - split };
	if (operation == BLOCK_WRITE)
		memset(slot->buffer, 0xd7, count * 512);
	slot->busy = true;
	in_flight++;
	image->ops->submit(image, &slot->request);
}

static void use(struct fake_file *file, struct fake_file *below, struct image *image,
	struct fuzz_input *input, bool clean)
{
	struct slot slots[SLOTS] = { 0 };
	struct qcow2_check check;
	unsigned operations = 0;
	int r;

	for (unsigned i = 0; i < SLOTS; i++) {
		slots[i].buffer = malloc(MAX_LENGTH);
		slots[i].request.scratch = malloc(image->scratch_bytes);
		require(slots[i].buffer && slots[i].request.scratch);
	}
	while (input->size && operations++ < MAX_OPERATIONS) {
		uint8_t choice = fuzz_u8(input);
		struct slot *slot = &slots[choice % SLOTS];

		if (choice >= 0xf0 && !clean) {
			file->fault_at = file->fault_count + 1 + choice % 8;
			file->fault_errno = choice & 8 ? ENOSPC : EIO;
		} else if (slot->busy || choice & 8) {
			if (below && below->pending_count && choice & 64)
				fake_file_run_one(below, 0);
			else if (file->pending_count)
				fake_file_run_one(file, (choice >> 4) % file->pending_count);
		} else {
			submit(image, slot, input);
		}
	}
	do
		fake_file_run(file);
	while (below && fake_file_run(below));
	require(!in_flight);
	r = image->ops->settle(image);
	image->ops->destroy(image);
	if (!r && clean)
		require(!qcow2_check(&file->base, &check, NULL) && !check.corruptions);
	for (unsigned i = 0; i < SLOTS; i++) {
		free(slots[i].buffer);
		free(slots[i].request.scratch);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	uint8_t choice = fuzz_u8(&input), header[48];
	struct qcow2_options options = { .cache_bytes = 4096 };
	struct fake_file *file = make_image(&input);
	struct qcow2_backing backing;
	struct qcow2_check check;
	struct error err = { "" };
	struct image *image;
	struct fake_file *below = NULL;
	bool clean;
	int r;

	log_set_level(LOG_ERROR);
	in_flight = 0;
	file->base.read_only = choice & 1;
	file->base.is_device = choice & 2;
	file->shuffle = choice & 4;
	fake_file_keep(file);
	memcpy(header, file->bytes, sizeof(header));
	r = qcow2_read_backing(&file->base, &backing, &err);
	require(r ? *err.text : memchr(backing.name, 0, sizeof(backing.name)) != NULL);
	clean = !qcow2_check(&file->base, &check, &err) && !check.corruptions;
	if (choice & 8) {
		below = fake_file_create(512u * 37);
		below->base.read_only = true;
		below->base.block_bytes = choice & 16 ? 4096 : 512;
		fake_file_keep(below);
		require(!raw_open(&below->base, &options.backing, &err));
	}
	r = qcow2_open(&file->base, &options, &image, &err);
	if (!r)
		use(file, below, image, &input, clean);
	else
		require(*err.text && file->closed && (file->record_count == 0 || choice & 2));
	/* Magic, sizes, the L1 table's place. */
	require(!memcmp(header, file->bytes, sizeof(header)));
	require(!file->wrote_read_only);
	require(!below || (below->closed && !below->wrote_read_only));
	fake_file_free(below);
	fake_file_free(file);
	return 0;
}
