/* A virtio device's status, features, queue registers and configuration space, by a driver that
 * keeps the rules and by one that does not. */
#include <errno.h>
#include <sys/resource.h>

#include "virtio_fixture.h"

/* ---- making one ---- */

static void virtio_device_impossible_config_refused(void **state)
{
	static const struct {
		unsigned queues;
		uint32_t size;
	} bad[] = { { 0, 16 }, { VIRTIO_MAX_QUEUES + 1, 16 }, { 1, 0 }, { 1, 24 }, { 1, 2048 } };
	struct error err = { "" };
	struct virtio_device vdev;

	(void)state;
	for (unsigned i = 0; i < array_size(bad); i++) {
		struct virtio_device_config config = { .name = "fake",
			.ops = &ops,
			.queue_count = bad[i].queues,
			.max_queue_size = bad[i].size };

		assert_int_equal(virtio_device_init(&vdev, &device_ops, &config, &err), -EINVAL);
		assert_string_not_equal(err.text, "");
	}
}

static void virtio_device_without_descriptors_leaves_nothing(void **state)
{
	struct virtio_device_config config = { .name = "fake",
		.ops = &ops,
		.queue_count = VIRTIO_MAX_QUEUES,
		.max_queue_size = 1024 };
	struct rlimit limit, few;
	struct virtio_device vdev;
	struct error err;
	int first = dup(0), again;

	(void)state;
	assert_true(first >= 0);
	close(first);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	few.rlim_cur = (rlim_t)first + 5;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(virtio_device_init(&vdev, &device_ops, &config, &err), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	again = dup(0);
	assert_int_equal(again, first);
	close(again);
	/* With enough of them it works, and fini gives all back. */
	assert_int_equal(virtio_device_init(&vdev, &device_ops, &config, &err), 0);
	virtio_device_fini(&vdev);
	again = dup(0);
	assert_int_equal(again, first);
	close(again);
}

/* ---- status and features ---- */

static void virtio_device_driver_reaches_driver_ok(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	assert_int_equal(fake_virtio_status(&m.driver), 0);
	fake_virtio_add_status(&m.driver, VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(fake_virtio_status(&m.driver), 0x01);
	fake_virtio_add_status(&m.driver, VIRTIO_STATUS_DRIVER);
	assert_int_equal(fake_virtio_status(&m.driver), 0x03);
	fake_virtio_set_features(&m.driver, VIRTIO_F_VERSION_1 | VIRTIO_FEATURE(3));
	assert_int_equal(m.accepted, 0);
	fake_virtio_add_status(&m.driver, VIRTIO_STATUS_FEATURES_OK);
	assert_int_equal(fake_virtio_status(&m.driver), NEGOTIATED);
	assert_int_equal(m.accepted, 1);
	assert_int_equal(m.vdev.features, VIRTIO_F_VERSION_1 | VIRTIO_FEATURE(3));
	fake_queue_enable(&m.queues[1], 1);
	assert_int_equal(m.starts[1], 0);
	fake_virtio_driver_ok(&m.driver);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.status_at_start, RUNNING);
	assert_int_equal(m.starts[0] + m.starts[2], 0);
	assert_int_equal(m.starts[1], 1);
	/* What has come about stays, without doing it again. */
	write_status(&m, 0xbf);
	assert_int_equal(fake_virtio_status(&m.driver), 0x8f);
	assert_int_equal(m.accepted, 1);
	assert_int_equal(m.starts[1], 1);
	assert_int_equal(config_interrupts(&m), 0);
	tear_down(&m);
}

static void virtio_device_status_bits_never_go_one_by_one(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	write_status(&m, VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.stops[0], 0);
	tear_down(&m);
}

static void virtio_device_status_of_unknown_bits_ignored(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	/* NEEDS_RESET is not the driver's to set. */
	write_status(&m, VIRTIO_STATUS_NEEDS_RESET | 0x30);
	assert_int_equal(fake_virtio_status(&m.driver), 0);
	write_status(&m, VIRTIO_STATUS_FAILED | VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(fake_virtio_status(&m.driver), 0x81);
	tear_down(&m);
}

static void virtio_device_features_not_offered_do_not_stick(void **state)
{
	static const uint64_t bad[] = { VIRTIO_F_VERSION_1 | VIRTIO_FEATURE(0),
		VIRTIO_F_VERSION_1 | VIRTIO_FEATURE(37), UINT64_MAX, 0,
		/* No VERSION_1. */
		OWN_FEATURES | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_RESET };
	struct machine m;

	(void)state;
	for (unsigned i = 0; i < array_size(bad); i++) {
		set_up(&m);
		fake_virtio_add_status(&m.driver, 3);
		fake_virtio_set_features(&m.driver, bad[i]);
		fake_virtio_add_status(&m.driver, VIRTIO_STATUS_FEATURES_OK);
		assert_int_equal(fake_virtio_status(&m.driver), 0x03);
		assert_int_equal(m.vdev.features, 0);
		assert_int_equal(m.accepted, 0);
		/* Nor does it run. */
		fake_queue_enable(&m.queues[0], 0);
		fake_virtio_driver_ok(&m.driver);
		assert_int_equal(fake_virtio_status(&m.driver), 0x03);
		assert_int_equal(m.starts[0], 0);
		/* A driver that thinks better of it may go on. */
		fake_virtio_set_features(&m.driver, VIRTIO_F_VERSION_1);
		fake_virtio_add_status(&m.driver, VIRTIO_STATUS_FEATURES_OK);
		assert_int_equal(fake_virtio_status(&m.driver), NEGOTIATED);
		assert_int_equal(m.vdev.features, VIRTIO_F_VERSION_1);
		tear_down(&m);
	}
}

static void virtio_device_driver_ok_without_features_ok_refused(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	fake_virtio_set_features(&m.driver, VIRTIO_F_VERSION_1);
	fake_queue_enable(&m.queues[0], 0);
	write_status(&m, 0x07);
	assert_int_equal(fake_virtio_status(&m.driver), 0x03);
	assert_int_equal(m.starts[0], 0);
	/* Both at once: the features come first. */
	write_status(&m, 0x0f);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.starts[0], 1);
	tear_down(&m);
}

static void virtio_device_features_frozen_by_features_ok(void **state)
{
	const uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX;
	struct machine m;

	(void)state;
	set_up(&m);
	assert_true(fake_virtio_negotiate(&m.driver, features));
	fake_virtio_set_features(&m.driver, VIRTIO_F_VERSION_1);
	assert_int_equal(m.vdev.driver_features, features);
	fake_virtio_driver_ok(&m.driver);
	fake_virtio_set_features(&m.driver, 0);
	fake_virtio_add_status(&m.driver, VIRTIO_STATUS_FEATURES_OK);
	assert_int_equal(m.vdev.driver_features, features);
	assert_int_equal(m.vdev.features, features);
	tear_down(&m);
}

static void virtio_device_feature_words_are_two(void **state)
{
	static const uint32_t selects[] = { 2, 3, 31, 32, 33, 64, 0x80000000, UINT32_MAX };
	const uint64_t offered = OWN_FEATURES | VIRTIO_COMMON_FEATURES;
	struct machine m;

	(void)state;
	set_up(&m);
	assert_int_equal(virtio_device_offered(&m.vdev, 0), (uint32_t)offered);
	assert_int_equal(virtio_device_offered(&m.vdev, 1), offered >> 32);
	virtio_device_set_driver_features(&m.vdev, 0, 0x12345678);
	virtio_device_set_driver_features(&m.vdev, 1, 0x9abcdef0);
	for (unsigned i = 0; i < array_size(selects); i++) {
		assert_int_equal(virtio_device_offered(&m.vdev, selects[i]), 0);
		assert_int_equal(virtio_device_get_driver_features(&m.vdev, selects[i]), 0);
		virtio_device_set_driver_features(&m.vdev, selects[i], 0xffffffff);
	}
	assert_int_equal(m.vdev.driver_features, 0x9abcdef012345678);
	assert_int_equal(virtio_device_get_driver_features(&m.vdev, 0), 0x12345678);
	assert_int_equal(virtio_device_get_driver_features(&m.vdev, 1), 0x9abcdef0);
	virtio_device_set_driver_features(&m.vdev, 0, 1);
	assert_int_equal(m.vdev.driver_features, 0x9abcdef000000001);
	tear_down(&m);
}

static void virtio_device_queue_runs_with_the_negotiated_features(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	assert_true(fake_virtio_negotiate(&m.driver, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC));
	fake_queue_enable(&m.queues[0], 0);
	fake_virtio_driver_ok(&m.driver);
	assert_true(m.vdev.queues[0].ring.indirect);
	assert_false(m.vdev.queues[0].ring.event_idx);
	tear_down(&m);
}

/* ---- queue registers ---- */

static void virtio_device_queue_registers_frozen_at_enable(void **state)
{
	struct virtqueue_layout before;
	struct machine m;

	(void)state;
	set_up(&m);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
	fake_queue_enable(&m.queues[0], 0);
	before = m.vdev.queues[0].layout;
	assert_memory_equal(&before, &m.queues[0].layout, sizeof(before));
	for (unsigned round = 0; round < 2; round++) {
		virtio_queue_set_size(&m.vdev, 0, 4);
		for (unsigned i = 0; i < 6; i++)
			virtio_queue_set_address(&m.vdev, 0, i / 2, i % 2, 0x1000);
		assert_memory_equal(&before, &m.vdev.queues[0].layout, sizeof(before));
		/* Before and after the queue runs. */
		fake_virtio_driver_ok(&m.driver);
	}
	enable_queue(&m, 0);
	assert_int_equal(m.starts[0], 1);
	tear_down(&m);
}

static void virtio_device_queue_addresses_are_set_by_halves(void **state)
{
	struct virtqueue_layout *layout;
	struct machine m;

	(void)state;
	set_up(&m);
	layout = &m.vdev.queues[1].layout;
	for (unsigned i = 0; i < 3; i++) {
		virtio_queue_set_address(&m.vdev, 1, i, false, 0xffffffff);
		virtio_queue_set_address(&m.vdev, 1, i, true, 0xffffffff);
		virtio_queue_set_address(&m.vdev, 1, i, false, 0x10 + i);
		virtio_queue_set_address(&m.vdev, 1, i, true, 0x20 + i);
	}
	virtio_queue_set_address(&m.vdev, 1, 3, true, 5);
	virtio_queue_set_address(&m.vdev, 1, UINT32_MAX, true, 5);
	assert_int_equal(layout->descriptors_gpa, 0x2000000010);
	assert_int_equal(layout->driver_gpa, 0x2100000011);
	assert_int_equal(layout->device_gpa, 0x2200000012);
	assert_int_equal(layout->size, MAX_SIZE);
	tear_down(&m);
}

static void virtio_device_queue_out_of_range_ignored(void **state)
{
	static const unsigned bad[] = { QUEUES, QUEUES + 1, 64, 0xffff, 0x80000000, UINT32_MAX };
	struct machine m;

	(void)state;
	set_up_running(&m);
	for (unsigned i = 0; i < array_size(bad); i++) {
		assert_null(virtio_device_queue(&m.vdev, bad[i]));
		virtio_queue_set_size(&m.vdev, bad[i], 4);
		virtio_queue_set_address(&m.vdev, bad[i], 0, false, 4);
		enable_queue(&m, bad[i]);
		reset_queue(&m, bad[i]);
		virtio_queue_stopped(&m.vdev, bad[i]);
	}
	assert_ptr_equal(virtio_device_queue(&m.vdev, 2), &m.vdev.queues[2]);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	tear_down(&m);
}

static void virtio_device_bad_layout_needs_reset_and_nothing_starts(void **state)
{
	/* Not a power of two, none, more than the device has (which a virtqueue could do), a ring
	 * that is not aligned, one that is not in RAM. */
	static const struct virtqueue_layout bad[] = {
		{ 12, 0x1000, 0x2000, 0x3000 },
		{ 0, 0x1000, 0x2000, 0x3000 },
		{ 2 * MAX_SIZE, 0x1000, 0x2000, 0x3000 },
		{ 8, 0x1008, 0x2000, 0x3000 },
		{ 8, 0x1000, 0x2000, UINT64_C(0x3000000000) },
	};
	struct machine m;

	(void)state;
	for (unsigned i = 0; i < 2 * array_size(bad); i++) {
		set_up(&m);
		assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
		fake_queue_enable(&m.queues[0], 0);
		m.queues[1].layout = bad[i / 2];
		/* At DRIVER_OK, with good ones in front and behind; and after it, alone. */
		if (i % 2 == 0) {
			fake_queue_enable(&m.queues[1], 1);
			fake_queue_enable(&m.queues[2], 2);
			fake_virtio_driver_ok(&m.driver);
			assert_int_equal(m.starts[0], 0);
		} else {
			fake_virtio_driver_ok(&m.driver);
			fake_queue_enable(&m.queues[1], 1);
			assert_int_equal(m.starts[0], 1);
		}
		assert_int_equal(fake_virtio_status(&m.driver), RUNNING | 0x40);
		assert_int_equal(config_interrupts(&m), 1);
		assert_int_equal(m.starts[1] + m.starts[2], 0);
		assert_int_equal(m.vdev.queues[1].state, VIRTIO_QUEUE_IDLE);
		if (i % 2 == 0)
			assert_int_equal(m.vdev.queues[0].ring.size, 0);
		/* Nothing starts until the reset. */
		fake_queue_enable(&m.queues[2], 2);
		assert_int_equal(m.starts[2], 0);
		tear_down(&m);
	}
}

/* ---- configuration space ---- */

static void virtio_device_config_is_read_and_written_by_width(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	for (unsigned i = 0; i < CONFIG_BYTES; i++)
		m.config[i] = (uint8_t)(0xa0 + i);
	m.config_garbage = UINT64_MAX;
	assert_int_equal(fake_virtio_read_config(&m.driver, 0, 1), 0xa0);
	assert_int_equal(fake_virtio_read_config(&m.driver, 11, 1), 0xab);
	assert_int_equal(fake_virtio_read_config(&m.driver, 10, 2), 0xabaa);
	assert_int_equal(fake_virtio_read_config(&m.driver, 8, 4), 0xabaaa9a8);
	assert_true(fake_virtio_read_config(&m.driver, 4, 8) == UINT64_C(0xabaaa9a8a7a6a5a4));
	fake_virtio_write_config(&m.driver, 10, 2, 0x123456789);
	assert_int_equal(m.written, 0x6789);
	fake_virtio_write_config(&m.driver, 4, 8, UINT64_MAX);
	assert_true(m.written == UINT64_MAX);
	tear_down(&m);
}

static void virtio_device_config_beyond_the_end_and_odd_widths_ignored(void **state)
{
	static const struct {
		uint64_t offset;
		unsigned width;
	} bad[] = { { CONFIG_BYTES, 1 }, { CONFIG_BYTES - 1, 2 }, { CONFIG_BYTES - 3, 4 },
		{ CONFIG_BYTES - 4, 8 }, { CONFIG_BYTES, 4 }, { 4096, 4 }, { UINT32_MAX, 1 },
		{ UINT64_C(0x100000000), 4 }, { UINT64_MAX, 1 }, { UINT64_MAX, 2 },
		{ UINT64_MAX - 3, 8 }, { 0, 0 }, { 0, 3 }, { 0, 5 }, { 0, 6 }, { 0, 7 }, { 0, 9 },
		{ 0, 16 }, { 0, UINT32_MAX } };
	struct machine m;

	(void)state;
	set_up(&m);
	memset(m.config, 0xaa, sizeof(m.config));
	for (unsigned i = 0; i < array_size(bad); i++) {
		assert_int_equal(
			fake_virtio_read_config(&m.driver, bad[i].offset, bad[i].width), 0);
		fake_virtio_write_config(&m.driver, bad[i].offset, bad[i].width, UINT64_MAX);
	}
	assert_int_equal(m.config_reads, 0);
	assert_int_equal(m.config_writes, 0);
	tear_down(&m);
}

static void virtio_device_without_optional_ops_works(void **state)
{
	static const struct virtio_device_ops few = { .queue_start = queue_start,
		.queue_stop = queue_stop };
	struct machine m;

	(void)state;
	set_up_with(&m, &few);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
	fake_virtio_driver_ok(&m.driver);
	assert_int_equal(fake_virtio_read_config(&m.driver, 0, 4), 0);
	fake_virtio_write_config(&m.driver, 0, 4, 1);
	fake_virtio_reset(&m.driver);
	expect_reset_state(&m);
	tear_down(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_device_impossible_config_refused),
		cmocka_unit_test(virtio_device_without_descriptors_leaves_nothing),
		cmocka_unit_test(virtio_device_driver_reaches_driver_ok),
		cmocka_unit_test(virtio_device_status_bits_never_go_one_by_one),
		cmocka_unit_test(virtio_device_status_of_unknown_bits_ignored),
		cmocka_unit_test(virtio_device_features_not_offered_do_not_stick),
		cmocka_unit_test(virtio_device_driver_ok_without_features_ok_refused),
		cmocka_unit_test(virtio_device_features_frozen_by_features_ok),
		cmocka_unit_test(virtio_device_feature_words_are_two),
		cmocka_unit_test(virtio_device_queue_runs_with_the_negotiated_features),
		cmocka_unit_test(virtio_device_queue_registers_frozen_at_enable),
		cmocka_unit_test(virtio_device_queue_addresses_are_set_by_halves),
		cmocka_unit_test(virtio_device_queue_out_of_range_ignored),
		cmocka_unit_test(virtio_device_bad_layout_needs_reset_and_nothing_starts),
		cmocka_unit_test(virtio_device_config_is_read_and_written_by_width),
		cmocka_unit_test(virtio_device_config_beyond_the_end_and_odd_widths_ignored),
		cmocka_unit_test(virtio_device_without_optional_ops_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
