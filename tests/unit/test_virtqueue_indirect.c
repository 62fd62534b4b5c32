/* Indirect tables, good and bad (VIRTIO 1.2, 2.7.5.3). */
#include <errno.h>

#include "virtqueue_fixture.h"

static void offer_table(struct fixture *f, uint64_t gpa, uint32_t length, unsigned flags)
{
	offer_one(f, gpa, length, FAKE_INDIRECT | flags, 1);
}

static void virtqueue_indirect_table_is_followed(void **state)
{
	const struct fake_buffer buffers[3] = { { 0, 3, false }, { 8, 4, false }, { 16, 5, true } };
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_queue_add_indirect(&f.queue, buffers, 3);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.readable_count, 2);
	assert_int_equal(f.chain.readable_bytes, 7);
	assert_int_equal(f.chain.writable_count, 1);
	assert_int_equal(f.chain.writable_bytes, 5);
	tear_down(&f);
}

static void virtqueue_indirect_behind_direct_is_followed(void **state)
{
	const struct fake_buffer buffers[2] = { { 8, 4, false }, { 16, 5, true } };
	struct fixture f;
	uint16_t table;

	(void)state;
	set_up(&f);
	f.queue.next_descriptor = 1;
	table = fake_queue_indirect(&f.queue, buffers, 2);
	offer_one(&f, 0, 3, FAKE_NEXT, table);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.readable_count, 2);
	assert_int_equal(f.chain.readable_bytes, 7);
	assert_int_equal(f.chain.writable_count, 1);
	assert_int_equal(f.chain.head, 0);
	tear_down(&f);
}

static void virtqueue_indirect_write_flag_is_ignored(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_put_descriptor(fake_virtio_at(&f.driver, f.data_gpa, 16), 0, 0, 6, 0, 0);
	offer_table(&f, f.data_gpa, 16, FAKE_WRITE);
	assert_int_equal(pop(&f), 1);
	assert_int_equal(f.chain.readable_count, 1);
	assert_int_equal(f.chain.writable_count, 0);
	tear_down(&f);
}

static void virtqueue_indirect_table_may_lie_anywhere(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned offset = 0; offset < 16; offset++) {
		uint64_t gpa;

		set_up(&f);
		gpa = f.data_gpa + offset;
		for (unsigned i = 0; i < 2; i++)
			fake_put_descriptor(fake_virtio_at(&f.driver, gpa, 32), i,
				i ? GUEST_MEM_HOLE_END + 0xabcde : 0x12345, 0x54321,
				i ? FAKE_WRITE : FAKE_NEXT, 1);
		offer_table(&f, gpa, 32, 0);
		assert_int_equal(pop(&f), 1);
		assert_ptr_equal(f.iov[0].iov_base, fake_virtio_at(&f.driver, 0x12345, 0x54321));
		assert_ptr_equal(f.iov[1].iov_base,
			fake_virtio_at(&f.driver, GUEST_MEM_HOLE_END + 0xabcde, 0x54321));
		assert_int_equal(f.iov[1].iov_len, 0x54321);
		tear_down(&f);
	}
}

static void virtqueue_indirect_without_the_feature_breaks(void **state)
{
	struct fixture f;

	(void)state;
	set_up_sized(&f, SIZE, VIRTIO_COMMON_FEATURES & ~VIRTIO_F_INDIRECT_DESC);
	offer_table(&f, f.data_gpa, 16, 0);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_indirect_with_next_breaks(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_queue_put(&f.queue, 1, 0, 1, 0, 0);
	offer_table(&f, f.data_gpa, 16, FAKE_NEXT);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_indirect_table_of_bad_length_breaks(void **state)
{
	static const uint32_t bad[] = { 0, 1, 15, 17, 24, 16 * SIZE - 1, 16 * SIZE + 1,
		16 * (SIZE + 1), 16 * 2 * SIZE, 0x10000 * 16, 0xfffffff0 };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(bad); i++) {
		set_up(&f);
		offer_table(&f, f.data_gpa, bad[i], 0);
		expect_broken_and_tear_down(&f);
	}
	set_up(&f);
	offer_table(&f, f.data_gpa, 16 * SIZE, 0);
	assert_int_equal(pop(&f), 1);
	tear_down(&f);
}

static void virtqueue_indirect_table_not_in_ram_breaks(void **state)
{
	static const uint64_t bad[] = { LOW_BYTES, LOW_BYTES - 16, GUEST_MEM_HOLE_END - 16,
		GUEST_MEM_HOLE_END + MIB(1) - 16, UINT64_MAX - 15 };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(bad); i++) {
		set_up(&f);
		offer_table(&f, bad[i], 32, 0);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_indirect_nested_breaks(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *table;

		set_up(&f);
		table = fake_virtio_at(&f.driver, f.data_gpa, 32);
		fake_put_descriptor(table, 0, 0, 1, FAKE_NEXT, 1);
		/* First or second in the table; what it names is well-formed. */
		fake_put_descriptor(table, i, f.data_gpa + 64, 16, FAKE_INDIRECT, 0);
		offer_table(&f, f.data_gpa, 32, 0);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_indirect_nested_in_the_own_table_breaks(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	/* The queue's table is also its indirect table; 0 in it is a fine buffer, 1 is not. */
	fake_queue_put(&f.queue, 0, 0, 1, FAKE_NEXT, 1);
	fake_queue_put(&f.queue, 1, f.data_gpa, 16, FAKE_INDIRECT, 0);
	fake_queue_put(&f.queue, 2, f.queue.layout.descriptors_gpa, 32, FAKE_INDIRECT, 0);
	fake_queue_offer(&f.queue, 2);
	expect_broken_and_tear_down(&f);
}

static void virtqueue_indirect_next_beyond_the_table_breaks(void **state)
{
	static const uint16_t nexts[] = { 2, SIZE - 1, SIZE, 0xffff };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(nexts); i++) {
		set_up(&f);
		fake_put_descriptor(
			fake_virtio_at(&f.driver, f.data_gpa, 32), 0, 0, 1, FAKE_NEXT, nexts[i]);
		offer_table(&f, f.data_gpa, 32, 0);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_indirect_loop_breaks(void **state)
{
	static const uint32_t lengths[] = { 1, 0 };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < array_size(lengths); i++) {
		uint8_t *table;

		set_up(&f);
		f.chain.capacity = VIRTQUEUE_MAX_SIZE;
		table = fake_virtio_at(&f.driver, f.data_gpa, 32);
		fake_put_descriptor(table, 0, 0, lengths[i], FAKE_NEXT, 1);
		fake_put_descriptor(table, 1, 0, lengths[i], FAKE_NEXT, 0);
		offer_table(&f, f.data_gpa, 32, 0);
		expect_broken_and_tear_down(&f);
	}
}

static void virtqueue_direct_and_indirect_together_longer_than_the_queue_breaks(void **state)
{
	struct fake_buffer buffers[SIZE];
	struct fixture f;
	uint16_t table;

	(void)state;
	for (unsigned i = 0; i < SIZE; i++)
		buffers[i] = (struct fake_buffer){ 0, 1, false };
	for (unsigned count = SIZE - 1; count <= SIZE; count++) {
		set_up(&f);
		f.chain.capacity = VIRTQUEUE_MAX_SIZE;
		f.queue.next_descriptor = 1;
		table = fake_queue_indirect(&f.queue, buffers, count);
		offer_one(&f, 0, 1, FAKE_NEXT, table);
		if (count == SIZE) {
			expect_broken(&f);
		} else {
			assert_int_equal(pop(&f), 1);
			assert_int_equal(f.chain.readable_count, SIZE);
		}
		tear_down(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtqueue_indirect_table_is_followed),
		cmocka_unit_test(virtqueue_indirect_behind_direct_is_followed),
		cmocka_unit_test(virtqueue_indirect_write_flag_is_ignored),
		cmocka_unit_test(virtqueue_indirect_table_may_lie_anywhere),
		cmocka_unit_test(virtqueue_indirect_without_the_feature_breaks),
		cmocka_unit_test(virtqueue_indirect_with_next_breaks),
		cmocka_unit_test(virtqueue_indirect_table_of_bad_length_breaks),
		cmocka_unit_test(virtqueue_indirect_table_not_in_ram_breaks),
		cmocka_unit_test(virtqueue_indirect_nested_breaks),
		cmocka_unit_test(virtqueue_indirect_nested_in_the_own_table_breaks),
		cmocka_unit_test(virtqueue_indirect_next_beyond_the_table_breaks),
		cmocka_unit_test(virtqueue_indirect_loop_breaks),
		cmocka_unit_test(
			virtqueue_direct_and_indirect_together_longer_than_the_queue_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
