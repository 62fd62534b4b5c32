/* A block request's way from the ring to the disk and back.
 *
 * Nothing of a request is read from guest memory twice: header and segments are copied when the
 * request is popped, and only the copies are looked at. A request may be laid out over its buffers
 * in any way (2.7.4.1), so the header is the first 16 readable bytes and the status the last
 * writable one, wherever the buffers begin and end.
 *
 * Specification: VIRTIO 1.2, section 5.2.6. Threads: the disk's; see virtio_blk_internal.h. */
#include <errno.h>
#include <string.h>

#include "devices/virtio_blk_internal.h"

enum blk_type {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};

enum blk_status {
	BLK_S_OK = 0,
	BLK_S_IOERR = 1,
	BLK_S_UNSUPP = 2,
};

/* struct virtio_blk_req without its data. */
struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

#define SEGMENT_UNMAP 1u

/* A driver that fills the ring as fast as it is emptied must not keep the thread from its other
 * work. */
#define MAX_ROUNDS 4

static void append(struct blk_list *list, struct blk_slot *slot)
{
	slot->next = NULL;
	if (list->last)
		list->last->next = slot;
	else
		list->first = slot;
	list->last = slot;
}

/* Takes the whole list. */
static struct blk_slot *take_all(struct blk_list *list)
{
	struct blk_slot *first = list->first;

	list->first = NULL;
	list->last = NULL;
	return first;
}

static void release(struct blk_slot *slot)
{
	struct blk_queue *queue = slot->queue;

	slot->next = queue->free;
	queue->free = slot;
	queue->in_flight--;
	if (queue->stopping && !queue->in_flight)
		blk_queue_stopped(queue);
}

/* What the driver is told has been written is what was written from the first writable byte on
 * without a gap (2.7.8.2), so the status counts only behind data that is complete. */
static void answer(struct blk_slot *slot, enum blk_status status, uint64_t data_bytes)
{
	struct blk_queue *queue = slot->queue;

	*slot->status = (uint8_t)status;
	if (data_bytes == slot->room_bytes)
		data_bytes++;
	virtqueue_fill(queue->ring, slot->head, (uint32_t)data_bytes);
	queue->filled = true;
	release(slot);
}

static void answer_result(struct blk_slot *slot, int result)
{
	enum blk_status status = BLK_S_OK;
	uint64_t data_bytes = 0;

	if (result)
		status = result == -EOPNOTSUPP ? BLK_S_UNSUPP : BLK_S_IOERR;
	else if (slot->request.operation == BLOCK_READ)
		data_bytes = slot->request.length_bytes;
	answer(slot, status, data_bytes);
}

static void stall(struct blk_slot *slot)
{
	struct virtio_blk *blk = slot->queue->blk;
	bool first = !blk->stalled.first;
	struct error message;

	append(&blk->stalled, slot);
	if (!first)
		return;
	error_set(&message, ENOSPC,
		"%s: no space left on the host, the guest waits (free some space and resume with "
		"SIGUSR2)",
		blk->disk->name);
	blk->config.stalled(blk->config.opaque, message.text);
}

static bool is_stall(const struct blk_slot *slot, int result)
{
	return (result == -ENOSPC || result == -EDQUOT) && slot->request.operation != BLOCK_READ &&
	       slot->queue->blk->config.stalled;
}

static void submit(struct blk_slot *slot)
{
	struct block_disk *disk = slot->queue->blk->disk;

	disk->ops->submit(disk, &slot->request);
}

static void submit_flush(struct blk_slot *slot)
{
	struct block_request *request = &slot->request;

	request->operation = BLOCK_FLUSH;
	request->offset_bytes = 0;
	request->length_bytes = 0;
	request->iov = NULL;
	request->iov_count = 0;
	submit(slot);
}

static void submit_segment(struct blk_slot *slot)
{
	const struct blk_segment *segment = &slot->segments[slot->segment];

	slot->request.offset_bytes = segment->sector * BLOCK_SECTOR_BYTES;
	slot->request.length_bytes = (uint64_t)segment->sector_count * BLOCK_SECTOR_BYTES;
	slot->request.may_unmap = segment->flags & SEGMENT_UNMAP;
	submit(slot);
}

void blk_request_done(struct block_request *request)
{
	struct blk_slot *slot = container_of(request, struct blk_slot, request);
	int result = request->result;

	if (slot->queue->stopping) {
		release(slot);
	} else if (is_stall(slot, result)) {
		stall(slot);
	} else if (!result && slot->segment + 1 < slot->segment_count) {
		slot->segment++;
		submit_segment(slot);
	} else if (!result && slot->sync) {
		/* The disk makes one of all that come while it is busy with another. */
		slot->sync = false;
		submit_flush(slot);
	} else {
		answer_result(slot, result);
	}
}

void blk_retry_stalled(struct virtio_blk *blk)
{
	struct blk_slot *slot = take_all(&blk->stalled);

	while (slot) {
		struct blk_slot *next = slot->next;

		submit(slot);
		slot = next;
	}
}

void blk_drop_stalled(struct blk_queue *queue)
{
	struct blk_slot *slot = take_all(&queue->blk->stalled);

	while (slot) {
		struct blk_slot *next = slot->next;

		if (slot->queue == queue)
			release(slot);
		else
			append(&queue->blk->stalled, slot);
		slot = next;
	}
}

/* ---- from the ring to the disk ---- */

static bool range_ok(const struct block_disk *disk, uint64_t sector, uint64_t length_bytes)
{
	uint64_t size = atomic_load_explicit(&disk->size_bytes, memory_order_relaxed);

	return sector <= size / BLOCK_SECTOR_BYTES &&
	       range_fits(sector * BLOCK_SECTOR_BYTES, length_bytes, size) &&
	       sector * BLOCK_SECTOR_BYTES % disk->block_bytes == 0 &&
	       length_bytes % disk->block_bytes == 0;
}

/* Cuts the header off the readable buffers: what is left is the data. */
static void skip_header(struct block_request *request, struct iovec *iov, unsigned count)
{
	size_t skip = sizeof(struct blk_header);

	while (count && skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
		count--;
	}
	if (count) {
		iov->iov_base = (uint8_t *)iov->iov_base + skip;
		iov->iov_len -= skip;
	}
	request->iov = iov;
	request->iov_count = count;
}

static void begin_transfer(
	struct blk_slot *slot, const struct virtqueue_chain *chain, uint64_t sector, bool write)
{
	const struct virtio_blk *blk = slot->queue->blk;
	struct block_request *request = &slot->request;

	if (write) {
		request->length_bytes = chain->readable_bytes - sizeof(struct blk_header);
		skip_header(request, chain->iov, chain->readable_count);
	} else {
		struct iovec *iov = chain->iov + chain->readable_count;
		unsigned count = chain->writable_count;

		request->length_bytes = slot->room_bytes;
		if (!--iov[count - 1].iov_len) /* the status byte */
			count--;
		request->iov = iov;
		request->iov_count = count;
	}
	if ((write && blk->disk->read_only) ||
		!range_ok(blk->disk, sector, request->length_bytes)) {
		answer(slot, BLK_S_IOERR, 0);
		return;
	}
	request->operation = write ? BLOCK_WRITE : BLOCK_READ;
	request->offset_bytes = sector * BLOCK_SECTOR_BYTES;
	if (!request->length_bytes) {
		request->result = 0;
		answer_result(slot, 0);
		return;
	}
	slot->sync = write && atomic_load_explicit(&blk->sync_writes, memory_order_relaxed);
	submit(slot);
}

static enum blk_status check_segments(const struct blk_slot *slot, bool zeroes)
{
	const struct block_disk *disk = slot->queue->blk->disk;
	uint32_t max = zeroes ? BLK_MAX_WRITE_ZEROES_SECTORS : BLK_MAX_DISCARD_SECTORS;

	for (unsigned i = 0; i < slot->segment_count; i++) {
		if (slot->segments[i].flags & ~(zeroes ? SEGMENT_UNMAP : 0))
			return BLK_S_UNSUPP;
	}
	for (unsigned i = 0; i < slot->segment_count; i++) {
		const struct blk_segment *segment = &slot->segments[i];

		if (segment->sector_count > max ||
			!range_ok(disk, segment->sector,
				(uint64_t)segment->sector_count * BLOCK_SECTOR_BYTES))
			return BLK_S_IOERR;
	}
	return BLK_S_OK;
}

/* All segments are checked before the first is carried out, one after the other. */
static void begin_segments(struct blk_slot *slot, const struct virtqueue_chain *chain, bool zeroes)
{
	const struct virtio_blk *blk = slot->queue->blk;
	uint64_t bytes = chain->readable_bytes - sizeof(struct blk_header);
	enum blk_status status = BLK_S_IOERR;

	if (blk->disk->read_only)
		goto refused;
	if (!zeroes && !blk->disk->discard_granularity_bytes) {
		status = BLK_S_UNSUPP;
		goto refused;
	}
	if (!bytes || bytes % sizeof(struct blk_segment) ||
		bytes > BLK_MAX_SEGMENTS * sizeof(struct blk_segment))
		goto refused;
	virtqueue_read(chain, sizeof(struct blk_header), slot->segments, (size_t)bytes);
	slot->segment_count = (uint8_t)(bytes / sizeof(struct blk_segment));
	status = check_segments(slot, zeroes);
	if (status != BLK_S_OK)
		goto refused;
	slot->request.operation = zeroes ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD;
	slot->request.iov = NULL;
	slot->request.iov_count = 0;
	slot->sync = zeroes && atomic_load_explicit(&blk->sync_writes, memory_order_relaxed);
	submit_segment(slot);
	return;

refused:
	answer(slot, status, 0);
}

/* The serial number, without a final NUL if it is 20 bytes long; as much of it as there is room
 * for. */
static void answer_id(struct blk_slot *slot, const struct virtqueue_chain *chain)
{
	uint64_t length = min_u64(slot->room_bytes, VIRTIO_BLK_SERIAL_BYTES);

	virtqueue_write(chain, 0, slot->queue->blk->serial, (size_t)length);
	answer(slot, BLK_S_OK, length);
}

static void break_queue(struct blk_queue *queue, const char *why)
{
	queue->broken = true;
	virtio_device_needs_reset(&queue->blk->vdev, why);
}

/* slot has been taken. */
static void begin(struct blk_slot *slot, const struct virtqueue_chain *chain)
{
	struct blk_header header;

	slot->head = chain->head;
	slot->segment = 0;
	slot->segment_count = 0;
	slot->sync = false;
	if (virtqueue_read(chain, 0, &header, sizeof(header)) < sizeof(header)) {
		break_queue(slot->queue, "a block request without a header");
		release(slot);
		return;
	}
	if (!chain->writable_bytes) {
		break_queue(slot->queue, "a block request without room for its status");
		release(slot);
		return;
	}
	slot->room_bytes = chain->writable_bytes - 1;
	const struct iovec *last = &chain->iov[chain->readable_count + chain->writable_count - 1];
	slot->status = (uint8_t *)last->iov_base + last->iov_len - 1;

	switch (header.type) {
	case BLK_T_IN:
	case BLK_T_OUT:
		begin_transfer(slot, chain, header.sector, header.type == BLK_T_OUT);
		break;
	case BLK_T_FLUSH:
		submit_flush(slot);
		break;
	case BLK_T_GET_ID:
		answer_id(slot, chain);
		break;
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		begin_segments(slot, chain, header.type == BLK_T_WRITE_ZEROES);
		break;
	default:
		answer(slot, BLK_S_UNSUPP, 0);
		break;
	}
}

/* False: there is none, or none may be taken. */
static bool serve_one(struct blk_queue *queue)
{
	struct blk_slot *slot = queue->free;
	struct virtqueue_chain chain;
	int ret;

	if (!slot) {
		/* There are as many slots as the ring can hold buffers. */
		if (virtqueue_enable_notify(queue->ring))
			break_queue(queue, "more block requests at once than the ring holds");
		return false;
	}
	chain.iov = slot->iov;
	chain.capacity = queue->size;
	ret = virtqueue_pop(queue->ring, &chain);
	if (ret < 0)
		break_queue(queue, queue->ring->why_broken);
	if (ret <= 0)
		return false;
	queue->free = slot->next;
	queue->in_flight++;
	begin(slot, &chain);
	return true;
}

static bool may_serve(const struct blk_queue *queue)
{
	return queue->live && !queue->stopping && !queue->broken;
}

static void serve_again_later(struct blk_queue *queue)
{
	struct block_disk *disk = queue->blk->disk;

	if (queue->again)
		return;
	queue->again = true;
	disk->ops->post(disk, &queue->again_call);
}

void blk_serve(struct blk_queue *queue)
{
	if (!may_serve(queue))
		return;
	virtqueue_disable_notify(queue->ring);
	queue->quiet = true;
	for (uint32_t i = 0; i < queue->size; i++) {
		if (!may_serve(queue) || !serve_one(queue))
			return;
	}
	serve_again_later(queue); /* the other queues' turn */
}

static void publish(struct blk_queue *queue)
{
	if (!queue->filled || !queue->live || queue->stopping)
		return;
	queue->filled = false;
	if (virtqueue_publish(queue->ring))
		virtio_queue_interrupt(&queue->blk->vdev, queue->index);
}

void blk_batch_end(void *opaque)
{
	struct virtio_blk *blk = opaque;
	bool more = true;

	for (int round = 0; more; round++) {
		more = false;
		for (unsigned i = 0; i < blk->queue_count; i++) {
			struct blk_queue *queue = &blk->queues[i];

			publish(queue);
			if (!queue->quiet || queue->again || !may_serve(queue))
				continue;
			if (!virtqueue_enable_notify(queue->ring)) {
				queue->quiet = false;
			} else if (round < MAX_ROUNDS) {
				blk_serve(queue);
				more = true;
			} else {
				serve_again_later(queue);
			}
		}
	}
}
