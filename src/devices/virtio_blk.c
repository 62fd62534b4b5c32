/* The block device but for its requests: features, configuration space, the life of its queues.
 *
 * Specification: VIRTIO 1.2, sections 5.2.2 to 5.2.5. Threads: see virtio_blk_internal.h. */
#include "devices/virtio_blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtio_blk_internal.h"

/* struct virtio_blk_config of the specification, as far as our features reach. */
struct blk_config_space {
	uint64_t capacity;
	uint32_t size_max;
	uint32_t seg_max;
	uint16_t cylinders;
	uint8_t heads;
	uint8_t sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
_Static_assert(sizeof(struct blk_config_space) == 64, "no padding inside"); /* but at its end */
#define CONFIG_BYTES     60u
#define CONFIG_WRITEBACK offsetof(struct blk_config_space, writeback)
_Static_assert(offsetof(struct blk_config_space, unused1) + 3 == CONFIG_BYTES, "its end");

static struct virtio_blk *blk_of(struct device *device)
{
	return container_of(device, struct virtio_blk, vdev.device);
}

static struct virtio_blk *blk_of_vdev(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_blk, vdev);
}

/* ---- configuration space ---- */

static uint64_t features_of(const struct block_disk *disk, unsigned queue_count)
{
	uint64_t features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY |
			    VIRTIO_BLK_F_FLUSH;

	if (queue_count > 1)
		features |= VIRTIO_BLK_F_MQ;
	if (disk->read_only)
		return features | VIRTIO_BLK_F_RO;
	features |= VIRTIO_BLK_F_WRITE_ZEROES;
	if (disk->writeback)
		features |= VIRTIO_BLK_F_CONFIG_WCE;
	if (disk->discard_granularity_bytes)
		features |= VIRTIO_BLK_F_DISCARD;
	return features;
}

static struct blk_config_space config_space(const struct virtio_blk *blk)
{
	const struct block_disk *disk = blk->disk;
	uint32_t physical_blocks = disk->physical_block_bytes / disk->block_bytes;
	struct blk_config_space space = {
		.capacity = blk->capacity_bytes / BLOCK_SECTOR_BYTES,
		.seg_max = blk->queues[0].size - 2, /* all but header and status */
		.blk_size = disk->block_bytes,
		.physical_block_exp =
			(uint8_t)(physical_blocks ? __builtin_ctz(physical_blocks) : 0),
		.min_io_size = (uint16_t)min_u64(physical_blocks, UINT16_MAX),
		.writeback = blk->writeback,
		.num_queues = (uint16_t)blk->queue_count,
	};

	if (disk->read_only)
		return space;
	space.max_write_zeroes_sectors = BLK_MAX_WRITE_ZEROES_SECTORS;
	space.max_write_zeroes_seg = BLK_MAX_SEGMENTS;
	if (disk->discard_granularity_bytes) {
		space.max_discard_sectors = BLK_MAX_DISCARD_SECTORS;
		space.max_discard_seg = BLK_MAX_SEGMENTS;
		space.discard_sector_alignment =
			disk->discard_granularity_bytes / BLOCK_SECTOR_BYTES;
		space.write_zeroes_may_unmap = 1;
	}
	return space;
}

static uint64_t blk_read_config(struct virtio_device *vdev, unsigned offset, unsigned width)
{
	struct blk_config_space space = config_space(blk_of_vdev(vdev));
	uint64_t value = 0;

	memcpy(&value, (const uint8_t *)&space + offset, width);
	return value;
}

/* A driver that cannot flush, or has chosen writethrough, is answered when its writes are durable
 * (5.2.6.2). */
static void choose_sync(struct virtio_blk *blk)
{
	uint64_t features = blk->vdev.features;
	bool flushes = features & VIRTIO_BLK_F_FLUSH;
	bool writethrough = (features & VIRTIO_BLK_F_CONFIG_WCE) && !blk->writeback;

	atomic_store(&blk->sync_writes, blk->disk->writeback && (!flushes || writethrough));
}

static void blk_write_config(
	struct virtio_device *vdev, unsigned offset, unsigned width, uint64_t value)
{
	struct virtio_blk *blk = blk_of_vdev(vdev);

	if (offset != CONFIG_WRITEBACK || width != 1 || !(vdev->features & VIRTIO_BLK_F_CONFIG_WCE))
		return;
	blk->writeback = value;
	choose_sync(blk);
}

static void blk_features_accepted(struct virtio_device *vdev)
{
	struct virtio_blk *blk = blk_of_vdev(vdev);

	blk->writeback = blk->disk->writeback && (vdev->features & VIRTIO_BLK_F_FLUSH);
	choose_sync(blk);
}

static void blk_vdev_reset(struct virtio_device *vdev)
{
	struct virtio_blk *blk = blk_of_vdev(vdev);

	blk->writeback = blk->disk->writeback;
}

/* In the disk's thread. Under the lock, so that a driver reads the whole old size with the old
 * generation or sees a new generation. */
static void blk_resized(void *opaque)
{
	struct virtio_blk *blk = opaque;

	pthread_mutex_lock(&blk->vdev.device.lock);
	blk->capacity_bytes = atomic_load(&blk->disk->size_bytes);
	virtio_config_changed(&blk->vdev);
	pthread_mutex_unlock(&blk->vdev.device.lock);
}

/* ---- the life of a queue ---- */

void blk_queue_stopped(struct blk_queue *queue)
{
	queue->live = false;
	queue->stopping = false;
	queue->broken = false;
	queue->quiet = false;
	queue->filled = false;
	virtio_queue_stopped(&queue->blk->vdev, queue->index);
}

static void carry_out_order(struct block_call *call)
{
	struct blk_queue *queue = container_of(call, struct blk_queue, order_call);

	atomic_store(&queue->order_sent, false);
	switch ((enum blk_order)atomic_exchange(&queue->order, BLK_ORDER_NONE)) {
	case BLK_ORDER_START:
		queue->live = true;
		blk_serve(queue);
		break;
	case BLK_ORDER_STOP:
		blk_drop_stalled(queue);
		queue->stopping = true;
		if (!queue->in_flight)
			blk_queue_stopped(queue);
		break;
	case BLK_ORDER_NONE: /* an earlier call has found it */
		break;
	}
}

/* A stop that overtakes its start is a stop of a queue with nothing in flight; two of a kind never
 * follow each other (virtio_device.h). */
static void give_order(struct virtio_device *vdev, unsigned index, enum blk_order order)
{
	struct virtio_blk *blk = blk_of_vdev(vdev);
	struct blk_queue *queue = &blk->queues[index];

	atomic_store(&queue->order, order);
	if (!atomic_exchange(&queue->order_sent, true))
		blk->disk->ops->post(blk->disk, &queue->order_call);
}

static void blk_queue_start(struct virtio_device *vdev, unsigned index)
{
	give_order(vdev, index, BLK_ORDER_START);
}

static void blk_queue_stop(struct virtio_device *vdev, unsigned index)
{
	give_order(vdev, index, BLK_ORDER_STOP);
}

static void serve_again(struct block_call *call)
{
	struct blk_queue *queue = container_of(call, struct blk_queue, again_call);

	queue->again = false;
	blk_serve(queue);
}

static void kicked(void *opaque)
{
	blk_serve(opaque);
}

static const struct virtio_device_ops blk_vdev_ops = {
	.queue_start = blk_queue_start,
	.queue_stop = blk_queue_stop,
	.reset = blk_vdev_reset,
	.features_accepted = blk_features_accepted,
	.read_config = blk_read_config,
	.write_config = blk_write_config,
};

/* ---- the machine's device ---- */

static void blk_reset(struct device *device)
{
	virtio_device_reset(&blk_of(device)->vdev);
}

static int blk_start(struct device *device, struct error *err)
{
	struct virtio_blk *blk = blk_of(device);

	return blk->disk->ops->start(blk->disk, blk->config.thread_name, err);
}

static void blk_stop(struct device *device)
{
	struct virtio_blk *blk = blk_of(device);

	blk->disk->ops->stop(blk->disk);
}

static void resume_in_thread(struct block_call *call)
{
	struct virtio_blk *blk = container_of(call, struct virtio_blk, resume_call);

	atomic_store(&blk->resume_sent, false);
	blk_retry_stalled(blk);
}

static void blk_resume(struct device *device)
{
	struct virtio_blk *blk = blk_of(device);

	if (!atomic_exchange(&blk->resume_sent, true))
		blk->disk->ops->post(blk->disk, &blk->resume_call);
}

/* All but the disk. */
static void free_all(struct virtio_blk *blk)
{
	for (unsigned i = 0; blk->queues && i < blk->queue_count; i++) {
		if (blk->queues[i].arena)
			munmap(blk->queues[i].arena, blk->queues[i].arena_bytes);
	}
	free(blk->queues);
	free(blk);
}

static void blk_destroy(struct device *device)
{
	if (!device)
		return;
	struct virtio_blk *blk = blk_of(device);

	blk->disk->ops->destroy(blk->disk);
	virtio_device_fini(&blk->vdev);
	free_all(blk);
}

static const struct device_ops blk_device_ops = {
	.name = "virtio-blk",
	.reset = blk_reset,
	.start = blk_start,
	.stop = blk_stop,
	.resume = blk_resume,
	.destroy = blk_destroy,
};

/* One mapping for all that a queue's requests need at worst; a page counts once it is used, and the
 * free list gives out what was used last, so a queue costs what its depth and its largest requests
 * ask for. */
static int init_slots(struct blk_queue *queue, size_t scratch_bytes)
{
	size_t size = queue->size;
	size_t scratch_stride = (size_t)align_up(scratch_bytes, _Alignof(max_align_t));
	size_t slots_bytes = (size_t)align_up(size * sizeof(struct blk_slot), PAGE_BYTES);
	size_t iov_bytes = size * size * sizeof(struct iovec);
	size_t segments_bytes = size * BLK_MAX_SEGMENTS * sizeof(struct blk_segment);
	uint8_t *arena, *iovs, *segments, *scratch;

	queue->arena_bytes = slots_bytes + iov_bytes + segments_bytes + size * scratch_stride;
	arena = mmap(NULL, queue->arena_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return -ENOMEM;
	queue->arena = arena;
	iovs = arena + slots_bytes;
	segments = iovs + iov_bytes;
	scratch = segments + segments_bytes;
	for (size_t i = size; i-- > 0;) {
		struct blk_slot *slot = (struct blk_slot *)(void *)arena + i;

		slot->queue = queue;
		slot->iov = (struct iovec *)(void *)iovs + i * size;
		slot->segments = (struct blk_segment *)(void *)segments + i * BLK_MAX_SEGMENTS;
		slot->request.scratch = scratch_stride ? scratch + i * scratch_stride : NULL;
		slot->request.done = blk_request_done;
		slot->next = queue->free;
		queue->free = slot;
	}
	return 0;
}

static int init_queues(struct virtio_blk *blk)
{
	blk->queues = calloc(blk->queue_count, sizeof(*blk->queues));
	if (!blk->queues)
		return -ENOMEM;
	for (unsigned i = 0; i < blk->queue_count; i++) {
		struct blk_queue *queue = &blk->queues[i];
		int ret;

		queue->blk = blk;
		queue->index = i;
		queue->size = blk->config.queue_size;
		queue->order_call.function = carry_out_order;
		queue->again_call.function = serve_again;
		ret = init_slots(queue, blk->disk->scratch_bytes);
		if (ret)
			return ret;
	}
	return 0;
}

static int watch_queues(struct virtio_blk *blk, struct error *err)
{
	struct block_disk *disk = blk->disk;

	for (unsigned i = 0; i < blk->queue_count; i++) {
		struct virtio_queue *queue = &blk->vdev.queues[i];
		int ret = disk->ops->watch(disk, queue->kick_fd, kicked, &blk->queues[i]);

		if (ret)
			return error_set(err, -ret,
				"%s: the disk's thread cannot watch %u queues: %s", disk->name,
				blk->queue_count, strerror(-ret));
		blk->queues[i].ring = &queue->ring;
	}
	disk->ops->set_batch_end(disk, blk_batch_end, blk);
	disk->ops->set_resized(disk, blk_resized, blk);
	return 0;
}

int virtio_blk_create(
	const struct virtio_blk_config *config, struct device **device, struct error *err)
{
	struct block_disk *disk = config->disk;
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int ret;

	if (!blk)
		return error_set(err, ENOMEM, "%s: out of memory", disk->name);
	blk->config = *config;
	if (!config->queue_size)
		blk->config.queue_size = VIRTIO_BLK_DEFAULT_QUEUE_SIZE;
	blk->disk = disk;
	blk->queue_count = config->queue_count;
	blk->capacity_bytes = atomic_load(&disk->size_bytes);
	blk->writeback = disk->writeback;
	if (config->serial)
		memcpy(blk->serial, config->serial,
			strnlen(config->serial, VIRTIO_BLK_SERIAL_BYTES));
	blk->resume_call.function = resume_in_thread;
	ret = init_queues(blk);
	if (ret) {
		error_set(err, -ret, "%s: out of memory", disk->name);
		goto free_all;
	}

	const struct virtio_device_config vdev_config = {
		.name = "virtio-blk",
		.ops = &blk_vdev_ops,
		.id = VIRTIO_ID_BLOCK,
		.mem = config->mem,
		.features = features_of(disk, blk->queue_count),
		.config_bytes = CONFIG_BYTES,
		.queue_count = blk->queue_count,
		.max_queue_size = blk->config.queue_size,
	};
	ret = virtio_device_init(&blk->vdev, &blk_device_ops, &vdev_config, err);
	if (ret)
		goto free_all;
	ret = watch_queues(blk, err);
	if (ret)
		goto fini_vdev;
	*device = &blk->vdev.device;
	return 0;

fini_vdev:
	virtio_device_fini(&blk->vdev);
free_all:
	free_all(blk);
	return ret;
}

struct virtio_device *virtio_blk_vdev(struct device *device)
{
	return &blk_of(device)->vdev;
}
