/* A driver that writes anything into rings, descriptors and indirect tables, and a device that
 * pops, fills, publishes and waits. A second, plain reading of the specification says before each
 * step what has to come of it: which chains are good and what is in them, which break the queue,
 * when to interrupt, whether there is more. Nothing outside RAM may ever be handed out, no head
 * twice, and no more than the queue holds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/virtio/virtqueue.h"
#include "fake_virtio.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOW_BYTES   KIB(32)
#define HIGH_BYTES  KIB(16)
#define TABLE_GPA   KIB(24) /* indirect tables: the last 8 KiB of low memory */
#define TABLE_BYTES KIB(8)

struct world {
	struct fake_virtio driver;
	struct fake_queue queue;
	struct virtqueue ring;
	struct iovec iov[VIRTQUEUE_MAX_SIZE];
	struct virtqueue_chain chain;
	bool have_chain;
	/* What the device must think. */
	uint64_t features;
	bool broken;
	uint16_t next, seen, used, published;
	uint16_t in_flight[VIRTQUEUE_MAX_SIZE];
	unsigned in_flight_count;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool in_ram(uint64_t gpa, uint64_t length)
{
	if (gpa < LOW_BYTES)
		return length <= LOW_BYTES - gpa;
	return gpa >= GUEST_MEM_HOLE_END && gpa < GUEST_MEM_HOLE_END + HIGH_BYTES &&
	       length <= GUEST_MEM_HOLE_END + HIGH_BYTES - gpa;
}

/* ---- the second reading ---- */

static bool is_in_flight(const struct world *w, uint16_t head)
{
	for (unsigned i = 0; i < w->in_flight_count; i++) {
		if (w->in_flight[i] == head)
			return true;
	}
	return false;
}

static struct fake_descriptor descriptor_at(struct world *w, uint64_t gpa)
{
	struct fake_descriptor descriptor;

	memcpy(&descriptor, fake_virtio_at(&w->driver, gpa, 16), 16);
	return descriptor;
}

struct expected {
	unsigned readable, writable;
	uint64_t readable_bytes, writable_bytes;
	struct fake_buffer buffers[VIRTQUEUE_MAX_SIZE];
};

static bool expect_chain(struct world *w, uint16_t head, struct expected *expected)
{
	uint64_t table = w->queue.layout.descriptors_gpa;
	unsigned entries = w->queue.size, index = head, steps = 0;
	bool inside = false;

	memset(expected, 0, offsetof(struct expected, buffers));
	for (;;) {
		struct fake_descriptor d;
		unsigned count = expected->readable + expected->writable;

		if (index >= entries)
			return false;
		d = descriptor_at(w, table + 16 * (uint64_t)index);
		if (d.flags & FAKE_INDIRECT) {
			if (inside || steps == w->queue.size ||
				!(w->features & VIRTIO_F_INDIRECT_DESC) || d.flags & FAKE_NEXT ||
				!d.length || d.length % 16 || d.length / 16 > w->queue.size ||
				!in_ram(d.gpa, d.length))
				return false;
			inside = true;
			table = d.gpa;
			entries = d.length / 16;
			index = 0;
			continue;
		}
		if (++steps > w->queue.size)
			return false;
		if (d.length) {
			if (!in_ram(d.gpa, d.length) || count == w->chain.capacity)
				return false;
			if (!(d.flags & FAKE_WRITE) && expected->writable)
				return false;
			expected->buffers[count] =
				(struct fake_buffer){ d.gpa, d.length, d.flags & FAKE_WRITE };
			if (d.flags & FAKE_WRITE) {
				expected->writable++;
				expected->writable_bytes += d.length;
			} else {
				expected->readable++;
				expected->readable_bytes += d.length;
			}
		}
		if (!(d.flags & FAKE_NEXT))
			return true;
		index = d.next;
	}
}

static int expect_pop(struct world *w, struct expected *expected, uint16_t *head)
{
	uint16_t index = w->queue.available[1];

	if (w->broken)
		return -EPROTO;
	if (w->seen == w->next) {
		if (index == w->next)
			return 0;
		if ((uint16_t)(index - w->published) > w->queue.size)
			return -EPROTO;
		w->seen = index;
	}
	*head = w->queue.available[2 + w->next % w->queue.size];
	if (*head >= w->queue.size || is_in_flight(w, *head))
		return -EPROTO;
	return expect_chain(w, *head, expected) ? 1 : -EPROTO;
}

/* ---- the device's steps ---- */

static void pop(struct world *w)
{
	static struct expected expected; /* large */
	uint16_t head = 0;
	int wanted = expect_pop(w, &expected, &head);
	int ret = virtqueue_pop(&w->ring, &w->chain);

	require(ret == wanted);
	w->broken |= ret < 0;
	require(!w->broken == !w->ring.why_broken);
	if (ret <= 0)
		return;
	require(w->chain.head == head && w->chain.readable_count == expected.readable &&
		w->chain.writable_count == expected.writable &&
		w->chain.readable_bytes == expected.readable_bytes &&
		w->chain.writable_bytes == expected.writable_bytes);
	for (unsigned i = 0; i < expected.readable + expected.writable; i++) {
		const struct fake_buffer *buffer = &expected.buffers[i];

		require(buffer->writable == (i >= expected.readable));
		require(w->iov[i].iov_len == buffer->length);
		require(w->iov[i].iov_base ==
			fake_virtio_at(&w->driver, buffer->gpa, buffer->length));
	}
	w->next++;
	w->have_chain = true;
	require(w->in_flight_count < w->queue.size);
	w->in_flight[w->in_flight_count++] = head;
}

static void fill(struct world *w, struct fuzz_input *input)
{
	unsigned which = fuzz_u8(input);
	uint32_t written = fuzz_u16(input), entry[2];
	uint16_t head;

	if (!w->in_flight_count)
		return;
	which %= w->in_flight_count;
	head = w->in_flight[which];
	w->in_flight[which] = w->in_flight[--w->in_flight_count];
	virtqueue_fill(&w->ring, head, written);
	memcpy(entry, w->queue.used + 2 + 4 * (size_t)(w->used % w->queue.size), sizeof(entry));
	require(entry[0] == head && entry[1] == written);
	w->used++;
}

static void publish(struct world *w)
{
	uint16_t shown = w->queue.used[1], flags = w->queue.available[0];
	uint16_t event = *fake_queue_used_event(&w->queue);
	bool anything = w->used != w->published, wanted = false;

	if (anything && !(w->features & VIRTIO_F_EVENT_IDX))
		wanted = !(flags & 1);
	for (; w->published != w->used; w->published++) {
		if (w->features & VIRTIO_F_EVENT_IDX && w->published == event)
			wanted = true;
	}
	require(virtqueue_publish(&w->ring) == wanted);
	require(w->queue.used[1] == (anything ? w->used : shown));
}

static void enable_notify(struct world *w)
{
	bool more = virtqueue_enable_notify(&w->ring);

	require(more == (!w->broken && w->queue.available[1] != w->next));
	if (w->broken)
		return;
	if (w->features & VIRTIO_F_EVENT_IDX)
		require(*fake_queue_avail_event(&w->queue) == w->next);
	else
		require(!w->queue.used[0]);
}

/* What is read back was written, where the chain's parts are the same or apart; at least nothing
 * outside is touched, which the sanitizers see. */
static void copy(struct world *w, struct fuzz_input *input)
{
	uint8_t buffer[512];
	uint64_t offset = fuzz_u16(input);
	size_t length = fuzz_u16(input) % (sizeof(buffer) + 1), wanted;

	if (!w->have_chain)
		return;
	wanted = offset >= w->chain.readable_bytes
			 ? 0
			 : min_u64(length, w->chain.readable_bytes - offset);
	require(virtqueue_read(&w->chain, offset, buffer, length) == wanted);
	memset(buffer, 0, sizeof(buffer));
	wanted = offset >= w->chain.writable_bytes
			 ? 0
			 : min_u64(length, w->chain.writable_bytes - offset);
	require(virtqueue_write(&w->chain, offset, buffer, length) == wanted);
}

/* ---- the driver's steps ---- */

static uint64_t pick_gpa(struct fuzz_input *input)
{
	static const uint64_t bases[] = { 0, PAGE_BYTES, TABLE_GPA, LOW_BYTES - 16, LOW_BYTES,
		GUEST_MEM_HOLE_END, GUEST_MEM_HOLE_END - 8, GUEST_MEM_HOLE_END + HIGH_BYTES - 16,
		UINT64_MAX - 15, UINT64_C(1) << 63, GUEST_MEM_HOLE_START, UINT64_MAX - UINT16_MAX };
	unsigned which = fuzz_u8(input);
	uint16_t offset = fuzz_u16(input);

	return bases[which % array_size(bases)] + (which & 0x80 ? offset % 16u : offset);
}

static uint32_t pick_length(struct fuzz_input *input)
{
	uint16_t length = fuzz_u16(input);

	/* Whole tables, small buffers, huge ones. */
	if (length & 0x8000)
		return 16 * (length % 64u);
	if (length & 0x4000)
		return UINT32_MAX - (length & 0x3fff);
	return length & 0x3fff;
}

static void put(uint8_t *table, unsigned index, struct fuzz_input *input)
{
	uint64_t gpa = pick_gpa(input);
	uint32_t length = pick_length(input);
	uint8_t flags = fuzz_u8(input);
	uint16_t next = fuzz_u8(input);

	if (flags & 0x80)
		next = (uint16_t)(next << 8);
	fake_put_descriptor(table, index, gpa, length, flags & 15, next);
}

static void activate(struct world *w, uint8_t choice)
{
	w->features = VIRTIO_F_VERSION_1;
	if (choice & 1)
		w->features |= VIRTIO_F_EVENT_IDX;
	if (choice & 2)
		w->features |= VIRTIO_F_INDIRECT_DESC;
	w->chain.capacity = choice & 4 ? w->queue.size : choice >> 3;
	require(!virtqueue_activate(&w->ring, &w->driver.mem, &w->queue.layout, w->features));
	w->broken = w->have_chain = false;
	w->next = w->seen = w->used = w->published = 0;
	w->in_flight_count = 0;
	w->queue.available_idx = 0;
	w->queue.available[1] = w->queue.used[1] = 0;
}

/* A layout that is accepted is one that is all in RAM, aligned and apart. */
static void try_layout(struct world *w, struct fuzz_input *input)
{
	struct virtqueue other = { 0 };
	struct virtqueue_layout layout;
	uint64_t bytes[3], gpa[3];

	layout.size = 1u << fuzz_u8(input) % 13;
	if (layout.size == 4096)
		layout.size = fuzz_u16(input);
	layout.descriptors_gpa = pick_gpa(input);
	layout.driver_gpa = pick_gpa(input);
	layout.device_gpa = pick_gpa(input);
	if (virtqueue_activate(&other, &w->driver.mem, &layout, 0))
		return;
	require(layout.size && layout.size <= VIRTQUEUE_MAX_SIZE);
	require(__builtin_popcount(layout.size) == 1);
	gpa[0] = layout.descriptors_gpa;
	gpa[1] = layout.driver_gpa;
	gpa[2] = layout.device_gpa;
	require(gpa[0] % 16 == 0 && gpa[1] % 2 == 0 && gpa[2] % 4 == 0);
	bytes[0] = 16 * (uint64_t)layout.size;
	bytes[1] = 6 + 2 * (uint64_t)layout.size;
	bytes[2] = 6 + 8 * (uint64_t)layout.size;
	for (unsigned i = 0; i < 3; i++) {
		unsigned j = (i + 1) % 3;

		require(in_ram(gpa[i], bytes[i]));
		require(gpa[i] + bytes[i] <= gpa[j] || gpa[j] + bytes[j] <= gpa[i]);
	}
}

static void poke(struct world *w, struct fuzz_input *input)
{
	uint64_t gpa = fuzz_u16(input) % LOW_BYTES;
	uint8_t value = fuzz_u8(input);

	*(uint8_t *)fake_virtio_at(&w->driver, gpa, 1) = value;
}

static void step(struct world *w, struct fuzz_input *input)
{
	struct fake_queue *queue = &w->queue;
	uint8_t *tables = fake_virtio_at(&w->driver, TABLE_GPA, TABLE_BYTES);
	uint8_t op = fuzz_u8(input);
	uint16_t value;

	switch (op & 15) {
	case 0:
	case 1:
		put(queue->table, fuzz_u8(input) % queue->size, input);
		break;
	case 2: /* op: up to 15 bytes off, where tables are not aligned */
		put(tables + (op >> 4), fuzz_u8(input), input);
		break;
	case 3:
		value = fuzz_u8(input);
		fake_queue_offer(queue, op & 0x80 ? (uint16_t)(value << 8) : value);
		break;
	case 4:
		queue->available[1] = queue->available_idx =
			(uint16_t)(w->next + (int8_t)fuzz_u8(input));
		break;
	case 5:
		value = fuzz_u16(input);
		*fake_queue_used_event(queue) =
			op & 0x80 ? (uint16_t)(w->used + value % 8 - 4) : value;
		queue->available[0] = op >> 4 & 1;
		break;
	case 6:
	case 7:
		pop(w);
		break;
	case 8:
		fill(w, input);
		break;
	case 9:
		publish(w);
		break;
	case 10:
		enable_notify(w);
		break;
	case 11:
		virtqueue_disable_notify(&w->ring);
		break;
	case 12:
		copy(w, input);
		break;
	case 13:
		activate(w, fuzz_u8(input));
		break;
	case 14:
		poke(w, input);
		break;
	default:
		try_layout(w, input);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct world *w = calloc(1, sizeof(*w));

	require(w);
	fake_virtio_init(&w->driver, LOW_BYTES, HIGH_BYTES);
	/* Up to 256, whose rings leave room for the tables. */
	fake_queue_init(&w->queue, &w->driver, 1u << fuzz_u8(&input) % 9);
	require(w->driver.next_gpa <= TABLE_GPA);
	w->chain.iov = w->iov;
	activate(w, fuzz_u8(&input));
	while (input.size)
		step(w, &input);
	virtqueue_deactivate(&w->ring);
	fake_virtio_fini(&w->driver);
	free(w);
	return 0;
}
