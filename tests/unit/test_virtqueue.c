/* Virtqueues against drivers that break each rule in turn. */
#include <errno.h>

#include "virtqueue_fixture.h"

/* ---- activation ---- */

static int try_layout(struct fixture *f, const struct virtqueue_layout *layout)
{
	int ret = virtqueue_activate(&f->ring, &f->driver.mem, layout, 0);

	/* What failed left nothing behind that could be used. */
	if (ret)
		assert_int_equal(pop(f), 0);
	return ret;
}

static void virtqueue_sizes_only_powers_of_two_up_to_1024_activate(void **state)
{
	static const uint32_t bad[] = { 0, 3, 7, 12, 1023, 1025, 2048, 32768, 65536, 0x80000000 };
	struct virtqueue_layout layout;
	struct fixture f;

	(void)state;
	set_up_sized(&f, 1024, 0);
	layout = f.queue.layout;
	for (unsigned i = 0; i < array_size(bad); i++) {
		layout.size = bad[i];
		assert_int_equal(try_layout(&f, &layout), -EINVAL);
	}
	for (layout.size = 1; layout.size <= 1024; layout.size *= 2)
		assert_int_equal(try_layout(&f, &layout), 0);
	tear_down(&f);
}

static void virtqueue_ring_misaligned_refused(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned offset = 1; offset < 16; offset++) {
		struct virtqueue_layout layout = f.queue.layout;

		layout.descriptors_gpa = f.data_gpa + offset;
		assert_int_equal(try_layout(&f, &layout), -EINVAL);
		layout = f.queue.layout;
		layout.driver_gpa = f.data_gpa + offset;
		assert_int_equal(try_layout(&f, &layout), offset % 2 ? -EINVAL : 0);
		layout = f.queue.layout;
		layout.device_gpa = f.data_gpa + offset;
		assert_int_equal(try_layout(&f, &layout), offset % 4 ? -EINVAL : 0);
	}
	tear_down(&f);
}

static void virtqueue_ring_not_in_ram_refused(void **state)
{
	/* Into the hole, in it, over the end of all memory, wrapping round. */
	static const uint64_t bad[] = { LOW_BYTES - 16, LOW_BYTES, GUEST_MEM_HOLE_START,
		GUEST_MEM_HOLE_END - 16, GUEST_MEM_HOLE_END + MIB(1) - 16, UINT64_MAX - 15 };
	struct virtqueue_layout layout;
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned i = 0; i < array_size(bad); i++) {
		layout = f.queue.layout;
		layout.descriptors_gpa = bad[i];
		assert_int_equal(try_layout(&f, &layout), -EFAULT);
		layout = f.queue.layout;
		layout.driver_gpa = bad[i];
		assert_int_equal(try_layout(&f, &layout), -EFAULT);
		layout = f.queue.layout;
		layout.device_gpa = bad[i];
		assert_int_equal(try_layout(&f, &layout), -EFAULT);
	}
	/* To the last byte: 128, 22 and 70 bytes for 8 buffers. */
	layout = f.queue.layout;
	layout.descriptors_gpa = LOW_BYTES - 128;
	assert_int_equal(try_layout(&f, &layout), 0);
	layout = f.queue.layout;
	layout.driver_gpa = LOW_BYTES - 22;
	assert_int_equal(try_layout(&f, &layout), 0);
	layout.driver_gpa = LOW_BYTES - 20;
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	layout = f.queue.layout;
	layout.device_gpa = GUEST_MEM_HOLE_END + MIB(1) - 72;
	assert_int_equal(try_layout(&f, &layout), 0);
	layout.device_gpa = GUEST_MEM_HOLE_END + MIB(1) - 68;
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	tear_down(&f);
}

static void virtqueue_rings_overlapping_refused(void **state)
{
	struct fixture f;
	struct virtqueue_layout layout;
	uint64_t gpa;

	(void)state;
	set_up(&f);
	gpa = f.data_gpa;
	/* 128 bytes of descriptors, 22 and 70 bytes of rings. */
	layout = (struct virtqueue_layout){ SIZE, gpa, gpa + 128, gpa + 152 };
	assert_int_equal(try_layout(&f, &layout), 0);
	layout = (struct virtqueue_layout){ SIZE, gpa, gpa + 126, gpa + 152 };
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	layout = (struct virtqueue_layout){ SIZE, gpa, gpa + 512, gpa + 124 };
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	layout = (struct virtqueue_layout){ SIZE, gpa, gpa + 128, gpa + 148 };
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	layout = (struct virtqueue_layout){ SIZE, gpa + 64, gpa + 128, gpa };
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	layout = (struct virtqueue_layout){ SIZE, gpa, gpa, gpa + 512 };
	assert_int_equal(try_layout(&f, &layout), -EFAULT);
	tear_down(&f);
}

static void virtqueue_not_active_does_nothing(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	offer_one(&f, f.data_gpa, 1, 0, 0);
	virtqueue_deactivate(&f.ring);
	assert_int_equal(pop(&f), 0);
	assert_false(virtqueue_publish(&f.ring));
	assert_false(virtqueue_enable_notify(&f.ring));
	virtqueue_disable_notify(&f.ring);
	tear_down(&f);
}

static void virtqueue_layout_changed_later_has_no_effect(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	f.queue.layout.descriptors_gpa = f.queue.layout.driver_gpa = UINT64_MAX;
	f.queue.layout.size = 0;
	offer_one(&f, f.data_gpa, 1, 0, 0);
	assert_int_equal(pop(&f), 1);
	tear_down(&f);
}

/* ---- chains ---- */

static void virtqueue_chain_gives_readable_then_writable(void **state)
{
	struct fixture f;
	uint8_t *data;

	(void)state;
	set_up(&f);
	data = fake_virtio_at(&f.driver, f.data_gpa, PAGE_BYTES);
	assert_int_equal(pop(&f), 0);
	fake_queue_add(&f.queue,
		(struct fake_buffer[]){ { f.data_gpa, 16, false }, { f.data_gpa + 16, 0, false },
			{ GUEST_MEM_HOLE_END, 8, false }, { f.data_gpa + 32, 0, true },
			{ GUEST_MEM_HOLE_END + MIB(1) - 1, 1, true }, { f.data_gpa, 512, true } },
		6);
	f.queue.next_descriptor = 7;
	assert_int_equal(fake_queue_add(&f.queue, (struct fake_buffer[]){ { 0, 1, true } }, 1), 7);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.head, 0);
	assert_int_equal(f.chain.readable_count, 2);
	assert_int_equal(f.chain.writable_count, 2);
	assert_int_equal(f.chain.readable_bytes, 24);
	assert_int_equal(f.chain.writable_bytes, 513);
	assert_ptr_equal(f.iov[0].iov_base, data);
	assert_int_equal(f.iov[0].iov_len, 16);
	assert_ptr_equal(f.iov[1].iov_base, fake_virtio_at(&f.driver, GUEST_MEM_HOLE_END, 8));
	assert_int_equal(f.iov[1].iov_len, 8);
	assert_ptr_equal(
		f.iov[2].iov_base, fake_virtio_at(&f.driver, GUEST_MEM_HOLE_END + MIB(1) - 1, 1));
	assert_int_equal(f.iov[2].iov_len, 1);
	assert_ptr_equal(f.iov[3].iov_base, data);
	assert_int_equal(f.iov[3].iov_len, 512);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.head, 7);
	assert_int_equal(f.chain.readable_count, 0);
	assert_int_equal(f.chain.writable_count, 1);
	assert_ptr_equal(f.iov[0].iov_base, fake_virtio_at(&f.driver, 0, 1));
	assert_int_equal(pop(&f), 0);
	tear_down(&f);
}

static void virtqueue_chain_of_nothing_is_a_chain(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	/* No byte of it is used, so its address does not matter. */
	offer_one(&f, UINT64_MAX, 0, 0, 0);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.readable_count + f.chain.writable_count, 0);
	assert_int_equal(f.chain.readable_bytes + f.chain.writable_bytes, 0);
	tear_down(&f);
}

static void virtqueue_head_out_of_range_breaks(void **state)
{
	static const uint16_t heads[] = { SIZE, SIZE + 1, 0x8000, 0xffff };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(heads); i++) {
		set_up(&f);
		fake_queue_offer(&f.queue, heads[i]);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_broken_stays_so_when_the_driver_mends_it(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_queue_offer(&f.queue, SIZE);
	expect_broken(&f);
	f.queue.available_idx = 0;
	offer_one(&f, f.data_gpa, 1, 0, 0);
	expect_broken(&f);
	/* Only starting afresh helps. */
	activate(&f, VIRTIO_COMMON_FEATURES);
	assert_int_equal(pop(&f), 1);
	tear_down(&f);
}

static void virtqueue_next_out_of_range_breaks(void **state)
{
	static const uint16_t nexts[] = { SIZE, SIZE + 1, 0x8000, 0xffff };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(nexts); i++) {
		set_up(&f);
		/* What stands there, in the available ring, looks like a fine descriptor. */
		offer_one(&f, f.data_gpa, 1, FAKE_NEXT, nexts[i]);
		expect_broken_and_tear_down(&f);
	}
	/* Without the flag it means nothing. */
	set_up(&f);
	offer_one(&f, f.data_gpa, 1, 0, 0xffff);
	assert_int_equal(pop(&f), 1);
	tear_down(&f);
}

static void virtqueue_loop_breaks(void **state)
{
	/* With length 0 the buffers cost no room in iov. */
	static const uint32_t lengths[] = { 1, 0 };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(lengths); i++) {
		set_up(&f);
		f.chain.capacity = VIRTQUEUE_MAX_SIZE;
		offer_one(&f, f.data_gpa, lengths[i], FAKE_NEXT, 0);
		expect_broken_and_tear_down(&f);

		set_up(&f);
		f.chain.capacity = VIRTQUEUE_MAX_SIZE;
		fake_queue_put(&f.queue, 1, f.data_gpa, lengths[i], FAKE_NEXT, 2);
		fake_queue_put(&f.queue, 2, f.data_gpa, lengths[i], FAKE_NEXT, 1);
		offer_one(&f, f.data_gpa, lengths[i], FAKE_NEXT, 1);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_chain_as_long_as_the_queue_is_fine(void **state)
{
	struct fake_buffer buffers[VIRTQUEUE_MAX_SIZE];
	struct fixture f;

	(void)state;
	for (uint32_t size = 1; size <= VIRTQUEUE_MAX_SIZE; size *= 2) {
		set_up_sized(&f, size, VIRTIO_COMMON_FEATURES);
		for (unsigned i = 0; i < size; i++)
			buffers[i] = (struct fake_buffer){ f.data_gpa, 4, false };
		fake_queue_add(&f.queue, buffers, size);
		assert_int_equal(pop(&f), 1);
		assert_int_equal(f.chain.readable_count, size);
		assert_int_equal(f.chain.readable_bytes, 4 * size);
		tear_down(&f);
	}
}

static void virtqueue_chain_longer_than_iov_breaks(void **state)
{
	const struct fake_buffer buffers[3] = { { 0, 1, false }, { 0, 1, true }, { 0, 1, true } };
	struct fixture f;

	(void)state;
	set_up(&f);
	f.chain.capacity = 3;
	fake_queue_add(&f.queue, buffers, 3);
	assert_int_equal(pop(&f), 1);
	f.chain.capacity = 2;
	f.iov[2].iov_len = 12345;
	fake_queue_add(&f.queue, buffers, 3);
	expect_broken(&f);
	assert_int_equal(f.iov[2].iov_len, 12345);
	tear_down(&f);
}

static void virtqueue_readable_behind_writable_breaks(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_queue_add(&f.queue,
		(struct fake_buffer[]){ { 0, 1, false }, { 0, 1, true }, { 0, 1, false } }, 3);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_buffer_not_in_ram_breaks(void **state)
{
	/* The last ones: from one region into the other, and past 2^64 to an address that is RAM.
	 */
	static const struct {
		uint64_t gpa;
		uint32_t length;
	} bad[] = {
		{ LOW_BYTES, 1 },
		{ LOW_BYTES - 1, 2 },
		{ 0, LOW_BYTES + 1 },
		{ 0, UINT32_MAX },
		{ GUEST_MEM_HOLE_START, 1 },
		{ GUEST_MEM_HOLE_END - 1, 1 },
		{ GUEST_MEM_HOLE_END - 1, 2 },
		{ GUEST_MEM_HOLE_END + MIB(1), 1 },
		{ GUEST_MEM_HOLE_END + MIB(1) - 1, 2 },
		{ LOW_BYTES - 1, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 },
		{ UINT64_MAX - 15, 32 },
		{ UINT64_C(0x8000000000000000), 16 },
	};
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 4 * array_size(bad); i++) {
		const uint64_t near = i & 1 ? GUEST_MEM_HOLE_END : 0;

		set_up(&f);
		/* Also behind a good one in either region, which makes that the first guess. */
		fake_queue_put(&f.queue, 1, bad[i / 4].gpa, bad[i / 4].length, FAKE_WRITE, 0);
		if (i & 2)
			fake_queue_offer(&f.queue, 1);
		else
			offer_one(&f, near, 1, FAKE_NEXT, 1);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_chain_over_4_gib_breaks(void **state)
{
	struct fixture f;
	struct fake_buffer buffers[513];

	(void)state;
	memset(&f, 0, sizeof(f));
	fake_virtio_init(&f.driver, MIB(8), 0);
	fake_queue_init(&f.queue, &f.driver, 1024);
	f.chain.iov = f.iov;
	f.chain.capacity = VIRTQUEUE_MAX_SIZE;
	activate(&f, VIRTIO_COMMON_FEATURES);
	for (unsigned i = 0; i < 512; i++)
		buffers[i] = (struct fake_buffer){ 0, MIB(8), i >= 256 };
	buffers[512] = (struct fake_buffer){ 0, 1, true };
	fake_queue_add(&f.queue, buffers, 512);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.readable_bytes, GIB(2));
	assert_int_equal(f.chain.writable_bytes, GIB(2));
	activate(&f, VIRTIO_COMMON_FEATURES);
	f.queue.available_idx = f.queue.next_descriptor = 0;
	fake_queue_add(&f.queue, buffers, 513);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_more_available_than_the_queue_holds_breaks(void **state)
{
	static const uint16_t indices[] = { SIZE + 1, 2 * SIZE, 0x8000, 0xffff };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(indices); i++) {
		set_up(&f);
		fake_store16(&f.queue.available[1], indices[i]);
		expect_broken_and_tear_down(&f);
	}
	set_up(&f);
	for (uint16_t i = 0; i < SIZE; i++) {
		fake_queue_put(&f.queue, i, 0, 1, 0, 0);
		fake_queue_offer(&f.queue, i);
	}
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(pop(&f), 1);
	assert_int_equal(pop(&f), 0);
	/* None has come back, so there cannot be more, whatever their heads are. */
	f.ring.in_flight[0] = 0;
	fake_queue_offer(&f.queue, 0);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_filled_but_unpublished_counts_as_in_flight(void **state)
{
	struct fixture f;

	(void)state;
	set_up_sized(&f, 1, VIRTIO_COMMON_FEATURES);
	offer_one(&f, 0, 1, 0, 0);
	assert_int_equal(pop(&f), 1);
	virtqueue_fill(&f.ring, 0, 0);
	fake_queue_offer(&f.queue, 0);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_head_in_flight_twice_breaks(void **state)
{
	struct fixture f;

	(void)state;
	for (uint16_t head = 0; head < 128; head = (uint16_t)(head + 63)) {
		set_up_sized(&f, 128, VIRTIO_COMMON_FEATURES);
		fake_queue_put(&f.queue, head, 0, 1, 0, 0);
		fake_queue_offer(&f.queue, head);
		fake_queue_offer(&f.queue, head);
		assert_int_equal(pop(&f), 1);
		expect_broken_and_tear_down(&f);
	}
	/* Once it has been given back it may come again. */
	set_up(&f);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		offer_one(&f, 0, 1, 0, 0);
		assert_int_equal(pop(&f), 1);
		give_back(&f);
	}
	tear_down(&f);
}

/* ---- copies ---- */

static void virtqueue_copies_go_over_buffer_borders(void **state)
{
	const uint8_t text[10] = "0123456789";
	uint8_t copy[16];
	struct fixture f;
	uint8_t *data;

	(void)state;
	set_up(&f);
	data = fake_virtio_at(&f.driver, f.data_gpa, PAGE_BYTES);
	memcpy(data + 100, text, 4);
	memcpy(data + 200, text + 4, 1);
	memcpy(data + 300, text + 5, 5);
	fake_queue_add(&f.queue,
		(struct fake_buffer[]){ { f.data_gpa + 100, 4, false },
			{ f.data_gpa + 200, 1, false }, { f.data_gpa + 300, 5, false },
			{ f.data_gpa + 400, 3, true }, { f.data_gpa + 500, 7, true } },
		5);
	assert_int_equal(pop(&f), 1);
	for (unsigned offset = 0; offset < 13; offset++) {
		for (unsigned length = 0; length <= sizeof(copy); length++) {
			size_t there = offset >= 10 ? 0 : min_u64(length, 10 - offset);

			memset(copy, '-', sizeof(copy));
			assert_int_equal(virtqueue_read(&f.chain, offset, copy, length), there);
			if (there)
				assert_memory_equal(copy, text + offset, there);
			for (size_t i = there; i < sizeof(copy); i++)
				assert_int_equal(copy[i], '-');

			memset(data + 390, '-', 200);
			assert_int_equal(
				virtqueue_write(&f.chain, offset, "abcdefghijklmnop", length),
				there);
			for (unsigned i = 0; i < 10; i++) {
				uint8_t got = data[i < 3 ? 400 + i : 500 + i - 3];
				bool inside = i >= offset && i < offset + there;

				assert_int_equal(got, inside ? 'a' + (int)(i - offset) : '-');
			}
			assert_int_equal(data[403], '-');
			assert_int_equal(data[507], '-');
			assert_int_equal(data[399], '-');
		}
	}
	assert_int_equal(virtqueue_read(&f.chain, UINT64_MAX, copy, 16), 0);
	assert_int_equal(virtqueue_write(&f.chain, UINT64_MAX, copy, 16), 0);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtqueue_sizes_only_powers_of_two_up_to_1024_activate),
		cmocka_unit_test(virtqueue_ring_misaligned_refused),
		cmocka_unit_test(virtqueue_ring_not_in_ram_refused),
		cmocka_unit_test(virtqueue_rings_overlapping_refused),
		cmocka_unit_test(virtqueue_not_active_does_nothing),
		cmocka_unit_test(virtqueue_layout_changed_later_has_no_effect),
		cmocka_unit_test(virtqueue_chain_gives_readable_then_writable),
		cmocka_unit_test(virtqueue_chain_of_nothing_is_a_chain),
		cmocka_unit_test(virtqueue_head_out_of_range_breaks),
		cmocka_unit_test(virtqueue_broken_stays_so_when_the_driver_mends_it),
		cmocka_unit_test(virtqueue_next_out_of_range_breaks),
		cmocka_unit_test(virtqueue_loop_breaks),
		cmocka_unit_test(virtqueue_chain_as_long_as_the_queue_is_fine),
		cmocka_unit_test(virtqueue_chain_longer_than_iov_breaks),
		cmocka_unit_test(virtqueue_readable_behind_writable_breaks),
		cmocka_unit_test(virtqueue_buffer_not_in_ram_breaks),
		cmocka_unit_test(virtqueue_chain_over_4_gib_breaks),
		cmocka_unit_test(virtqueue_more_available_than_the_queue_holds_breaks),
		cmocka_unit_test(virtqueue_filled_but_unpublished_counts_as_in_flight),
		cmocka_unit_test(virtqueue_head_in_flight_twice_breaks),
		cmocka_unit_test(virtqueue_copies_go_over_buffer_borders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
