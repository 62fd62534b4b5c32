/* Split virtqueues (virtqueue.h says what is promised).
 *
 * Everything in the rings is little-endian, as is the only host that vmgui runs on. The driver
 * writes while we read, so every field is read once, with a load that the compiler can neither tear
 * nor repeat, and only the copy is used.
 *
 * Ordering. Two pairs of plain release and acquire: the driver's index after its ring entries, ours
 * after the used entries. And two places where each side writes one word and then reads the
 * other's, so that at least one of them must see the other's write, or both go to sleep:
 *
 *   we: publish used idx, then read used_event      driver: write used_event, then read used idx
 *   we: write avail_event, then read avail idx      driver: write avail idx, then read avail_event
 *
 * Release and acquire do not order a store before a later load; sequentially consistent accesses
 * do, and are what these four use (on x86 the store becomes an xchg). The flags that stand for the
 * events without EVENT_IDX are used in the same way.
 *
 * Source: VIRTIO 1.2, section 2.7. */
#include "core/virtio/virtqueue.h"

#include <errno.h>
#include <string.h>

#include "core/virtio/virtio.h"

#define DESCRIPTOR_BYTES 16u

enum descriptor_flags {
	DESCRIPTOR_NEXT = 1,
	DESCRIPTOR_WRITE = 2, /* for the device to write */
	DESCRIPTOR_INDIRECT = 4,
};

#define AVAILABLE_NO_INTERRUPT 1u
#define USED_NO_NOTIFY         1u

/* Offsets in the available (driver) and used (device) rings. */
#define RING_FLAGS   0u
#define RING_IDX     2u
#define RING_ENTRIES 4u

struct descriptor {
	uint64_t gpa;
	uint32_t length;
	uint16_t flags, next;
};

static uint64_t driver_ring_bytes(uint32_t size)
{
	return 6 + 2 * (uint64_t)size;
}

static uint64_t device_ring_bytes(uint32_t size)
{
	return 6 + 8 * (uint64_t)size;
}

static uint16_t *field16(uint8_t *ring, uint32_t offset)
{
	return (uint16_t *)(void *)(ring + offset);
}

static uint16_t *used_event(const struct virtqueue *queue)
{
	return field16(queue->driver, RING_ENTRIES + 2 * queue->size);
}

static uint16_t *avail_event(const struct virtqueue *queue)
{
	return field16(queue->device, RING_ENTRIES + 8 * queue->size);
}

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

int virtqueue_activate(struct virtqueue *queue, const struct guest_mem *mem,
	const struct virtqueue_layout *layout, uint64_t features)
{
	uint32_t size = layout->size;
	uint64_t table_gpa = layout->descriptors_gpa,
		 table_bytes = DESCRIPTOR_BYTES * (uint64_t)size;
	uint64_t driver_gpa = layout->driver_gpa, driver_bytes = driver_ring_bytes(size);
	uint64_t device_gpa = layout->device_gpa, device_bytes = device_ring_bytes(size);
	struct guest_slice table, driver, device;

	virtqueue_deactivate(queue);
	if (!size || size > VIRTQUEUE_MAX_SIZE || size & (size - 1))
		return -EINVAL;
	if (table_gpa % 16 || driver_gpa % 2 || device_gpa % 4)
		return -EINVAL;
	if (guest_mem_slice(mem, table_gpa, table_bytes, &table) ||
		guest_mem_slice(mem, driver_gpa, driver_bytes, &driver) ||
		guest_mem_slice(mem, device_gpa, device_bytes, &device))
		return -EFAULT;
	/* In RAM, so no sum wraps. What we write must not change what we have checked. */
	if (overlap(table_gpa, table_bytes, driver_gpa, driver_bytes) ||
		overlap(table_gpa, table_bytes, device_gpa, device_bytes) ||
		overlap(driver_gpa, driver_bytes, device_gpa, device_bytes))
		return -EFAULT;

	queue->mem = mem;
	queue->region = &mem->regions[0];
	queue->event_idx = features & VIRTIO_F_EVENT_IDX;
	queue->indirect = features & VIRTIO_F_INDIRECT_DESC;
	queue->descriptors = table.data;
	queue->driver = driver.data;
	queue->device = device.data;
	queue->size = size;
	return 0;
}

void virtqueue_deactivate(struct virtqueue *queue)
{
	memset(queue, 0, sizeof(*queue));
}

static int break_queue(struct virtqueue *queue, const char *why)
{
	queue->broken = true;
	queue->why_broken = why;
	return -EPROTO;
}

/* Looks for new buffers once the ones seen have been popped. 1, 0 or -EPROTO. */
static int look_for_more(struct virtqueue *queue)
{
	uint16_t index;

	if (!queue->size)
		return 0;
	/* Acquire: the entries up to it, and what they point to, are read after it. */
	index = __atomic_load_n(field16(queue->driver, RING_IDX), __ATOMIC_ACQUIRE);
	if (index == queue->next_available)
		return 0;
	/* The driver owns again only what it has been told is used. Also bounds what is in flight.
	 */
	if ((uint16_t)(index - queue->published_used) > queue->size)
		return break_queue(queue, "more buffers available than the queue holds");
	queue->seen_available = index;
	return 1;
}

/* Without alignment: an indirect table may lie anywhere. */
static uint64_t load_bytes(const uint8_t *from)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)__atomic_load_n(from + i, __ATOMIC_RELAXED) << 8 * i;
	return value;
}

static uint64_t load64(const uint8_t *from)
{
	if ((uintptr_t)from % 8)
		return load_bytes(from);
	return __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED);
}

/* The one time that a descriptor is read. */
static struct descriptor load_descriptor(const uint8_t *table, uint32_t index)
{
	const uint8_t *from = table + (size_t)DESCRIPTOR_BYTES * index;
	uint64_t rest = load64(from + 8);

	return (struct descriptor){
		.gpa = load64(from),
		.length = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48),
	};
}

/* guest_mem_slice, faster for a buffer in the same region as the one before, as nearly all are. */
static uint8_t *translate(struct virtqueue *queue, uint64_t gpa, uint32_t length)
{
	const struct guest_mem *mem = queue->mem;
	const struct guest_mem_region *region = queue->region;

	/* An address below the region wraps to an offset that is larger than any region. */
	if (range_fits(gpa - region->start_gpa, length, region->length_bytes))
		return region->start_hva + (gpa - region->start_gpa);
	for (unsigned i = 0; i < mem->region_count; i++) {
		region = &mem->regions[i];
		if (range_fits(gpa - region->start_gpa, length, region->length_bytes)) {
			queue->region = region;
			return region->start_hva + (gpa - region->start_gpa);
		}
	}
	return NULL;
}

static int add_buffer(
	struct virtqueue *queue, struct virtqueue_chain *chain, const struct descriptor *descriptor)
{
	unsigned count = chain->readable_count + chain->writable_count;
	uint8_t *data;

	if (!descriptor->length)
		return 0;
	data = translate(queue, descriptor->gpa, descriptor->length);
	if (!data)
		return break_queue(queue, "a buffer is not in memory");
	if (count >= chain->capacity)
		return break_queue(queue, "a chain of more buffers than the device takes");
	if (descriptor->flags & DESCRIPTOR_WRITE) {
		chain->writable_count++;
		chain->writable_bytes += descriptor->length;
	} else {
		if (chain->writable_count)
			return break_queue(queue, "a readable buffer behind a writable one");
		chain->readable_count++;
		chain->readable_bytes += descriptor->length;
	}
	/* At most VIRTQUEUE_MAX_SIZE times 4 GiB: the sum does not wrap. */
	if (chain->readable_bytes + chain->writable_bytes > GIB(4))
		return break_queue(queue, "a chain of more than 4 GiB");
	chain->iov[count] = (struct iovec){ .iov_base = data, .iov_len = descriptor->length };
	return 0;
}

/* The table that an indirect descriptor of the queue's own table names; -EPROTO. Its WRITE flag
 * means nothing (2.7.5.3.2). */
static int enter_table(struct virtqueue *queue, const struct descriptor *descriptor,
	const uint8_t **table, uint32_t *entries)
{
	if (!queue->indirect)
		return break_queue(queue, "an indirect descriptor without the feature");
	if (descriptor->flags & DESCRIPTOR_NEXT)
		return break_queue(queue, "an indirect descriptor with a next one");
	if (!descriptor->length || descriptor->length % DESCRIPTOR_BYTES)
		return break_queue(queue, "an indirect table that is empty or has half an entry");
	*entries = descriptor->length / DESCRIPTOR_BYTES;
	/* No chain may be longer than the queue (2.7.5.3.1). */
	if (*entries > queue->size)
		return break_queue(queue, "an indirect table longer than the queue");
	*table = translate(queue, descriptor->gpa, descriptor->length);
	if (!*table)
		return break_queue(queue, "an indirect table is not in memory");
	return 0;
}

static int walk_chain(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	const uint8_t *table = queue->descriptors;
	uint32_t entries = queue->size, index = chain->head;
	struct descriptor descriptor;
	bool inside = false; /* an indirect table, which may well be the queue's own one */
	int ret;

	/* A chain that has not ended after as many buffers as the queue is long is a loop or too
	 * long, which comes to the same. */
	for (uint32_t left = queue->size; left; left--) {
		descriptor = load_descriptor(table, index);
		if (descriptor.flags & DESCRIPTOR_INDIRECT && !inside) {
			ret = enter_table(queue, &descriptor, &table, &entries);
			if (ret)
				return ret;
			inside = true;
			descriptor = load_descriptor(table, 0);
		}
		if (descriptor.flags & DESCRIPTOR_INDIRECT)
			return break_queue(queue, "an indirect table inside another");
		ret = add_buffer(queue, chain, &descriptor);
		if (ret || !(descriptor.flags & DESCRIPTOR_NEXT))
			return ret;
		index = descriptor.next;
		if (index >= entries)
			return break_queue(queue, "a next descriptor beyond the end of its table");
	}
	return break_queue(queue, "a chain that is longer than the queue, or a loop");
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	uint64_t *word, bit;
	uint32_t slot;
	int ret;

	if (queue->broken)
		return -EPROTO;
	if (queue->next_available == queue->seen_available) {
		ret = look_for_more(queue);
		if (ret <= 0)
			return ret;
	}
	slot = queue->next_available & (queue->size - 1);
	chain->head =
		__atomic_load_n(field16(queue->driver, RING_ENTRIES + 2 * slot), __ATOMIC_RELAXED);
	if (chain->head >= queue->size)
		return break_queue(queue, "a head beyond the end of the table");
	word = &queue->in_flight[chain->head / 64];
	bit = UINT64_C(1) << chain->head % 64;
	if (*word & bit)
		return break_queue(queue, "a head that is in flight already");

	chain->readable_count = chain->writable_count = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	ret = walk_chain(queue, chain);
	if (ret)
		return ret;
	*word |= bit;
	queue->next_available++;
	return 1;
}

void virtqueue_fill(struct virtqueue *queue, uint16_t head, uint32_t written_bytes)
{
	uint32_t slot = queue->next_used & (queue->size - 1);
	uint32_t *entry = (uint32_t *)(void *)(queue->device + RING_ENTRIES + (size_t)8 * slot);

	queue->in_flight[head / 64] &= ~(UINT64_C(1) << head % 64);
	/* Four bytes at a time: the ring is aligned to no more. */
	__atomic_store_n(&entry[0], head, __ATOMIC_RELAXED);
	__atomic_store_n(&entry[1], written_bytes, __ATOMIC_RELAXED);
	queue->next_used++;
}

bool virtqueue_publish(struct virtqueue *queue)
{
	uint16_t before = queue->published_used, now = queue->next_used, event;

	if (now == before)
		return false;
	queue->published_used = now;
	/* The entries come before the index, the index before what the driver wants: see the head
	 * of this file. */
	__atomic_store_n(field16(queue->device, RING_IDX), now, __ATOMIC_SEQ_CST);
	if (!queue->event_idx)
		return !(__atomic_load_n(field16(queue->driver, RING_FLAGS), __ATOMIC_SEQ_CST) &
			 AVAILABLE_NO_INTERRUPT);
	/* It wants to hear when the buffer with this index is used: is it among the new ones? All
	 * modulo 2^16. */
	event = __atomic_load_n(used_event(queue), __ATOMIC_SEQ_CST);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void virtqueue_disable_notify(struct virtqueue *queue)
{
	/* With EVENT_IDX the driver notifies once, when it passes the event index; that one lies
	 * behind us as long as we do not move it. */
	if (queue->size && !queue->event_idx)
		__atomic_store_n(
			field16(queue->device, RING_FLAGS), USED_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool virtqueue_enable_notify(struct virtqueue *queue)
{
	if (!queue->size || queue->broken)
		return false;
	if (queue->event_idx)
		__atomic_store_n(avail_event(queue), queue->next_available, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(field16(queue->device, RING_FLAGS), 0, __ATOMIC_SEQ_CST);
	/* A driver that has not seen this yet has its index written already: the file's head. */
	return __atomic_load_n(field16(queue->driver, RING_IDX), __ATOMIC_SEQ_CST) !=
	       queue->next_available;
}

/* The part of iov from offset on, piece by piece: true while there is one. */
struct walk {
	const struct iovec *iov;
	unsigned count;
	uint64_t offset;
	size_t left;
};

static uint8_t *next_piece(struct walk *walk, size_t *length)
{
	while (walk->count && walk->left) {
		const struct iovec *iov = walk->iov++;
		uint64_t offset = walk->offset;

		walk->count--;
		if (offset >= iov->iov_len) {
			walk->offset -= iov->iov_len;
			continue;
		}
		*length = min_u64(walk->left, iov->iov_len - offset);
		walk->offset = 0;
		walk->left -= *length;
		return (uint8_t *)iov->iov_base + offset;
	}
	return NULL;
}

size_t virtqueue_read(
	const struct virtqueue_chain *chain, uint64_t offset, void *buffer, size_t length)
{
	struct walk walk = { chain->iov, chain->readable_count, offset, length };
	uint8_t *to = buffer;
	const uint8_t *piece;
	size_t bytes;

	while ((piece = next_piece(&walk, &bytes))) {
		memcpy(to, piece, bytes);
		to += bytes;
	}
	return length - walk.left;
}

size_t virtqueue_write(
	const struct virtqueue_chain *chain, uint64_t offset, const void *buffer, size_t length)
{
	struct walk walk = { chain->iov + chain->readable_count, chain->writable_count, offset,
		length };
	const uint8_t *from = buffer;
	uint8_t *piece;
	size_t bytes;

	while ((piece = next_piece(&walk, &bytes))) {
		memcpy(piece, from, bytes);
		from += bytes;
	}
	return length - walk.left;
}
