/* Resets of a virtio device and of its queues, which the device takes its time for; and how it asks
 * for one. */
#include <pthread.h>
#include <stdatomic.h>

#include "virtio_fixture.h"

/* ---- the reset of a device ---- */

static void virtio_device_reset_when_idle_is_complete_at_once(void **state)
{
	/* In each state that has no live queue. */
	static const uint8_t states[] = { 0, 0x01, 0x03, 0x0b, 0x0f, 0x8f };
	struct machine m;

	(void)state;
	for (unsigned i = 0; i < array_size(states); i++) {
		set_up(&m);
		fake_virtio_set_features(&m.driver, VIRTIO_F_VERSION_1);
		for (uint8_t bit = 1; bit; bit = (uint8_t)(bit << 1))
			fake_virtio_add_status(&m.driver, states[i] & bit);
		fake_virtio_lock(&m.driver);
		virtio_queue_set_size(&m.vdev, 1, 4);
		virtio_queue_set_address(&m.vdev, 1, 2, true, 4);
		if (!(states[i] & VIRTIO_STATUS_DRIVER_OK))
			virtio_queue_enable(&m.vdev, 1);
		fake_virtio_unlock(&m.driver);
		m.resets = 0;
		write_status(&m, 0);
		expect_reset_state(&m);
		assert_int_equal(m.resets, 1);
		/* And it can be used. */
		assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
		fake_queue_enable(&m.queues[1], 1);
		fake_virtio_driver_ok(&m.driver);
		assert_int_equal(m.starts[1], 1);
		tear_down(&m);
	}
}

static void virtio_device_reset_is_complete_when_the_last_queue_has_stopped(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	write_status(&m, 0);
	assert_int_equal(m.stops[0], 1);
	assert_int_equal(m.stops[1], 0);
	assert_int_equal(m.stops[2], 1);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	/* The driver is impatient; nothing of it counts. */
	write_status(&m, 0);
	write_status(&m, 0x8f);
	fake_virtio_set_features(&m.driver, 0);
	fake_queue_enable(&m.queues[1], 1);
	reset_queue(&m, 0);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.stops[0], 1);
	assert_int_equal(m.starts[1], 0);
	assert_false(m.vdev.queues[1].enabled);
	assert_int_equal(m.resets, 0);

	virtio_queue_stopped(&m.vdev, 2);
	assert_int_equal(m.vdev.queues[2].state, VIRTIO_QUEUE_IDLE);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	/* Queue 1 was not stopping, queue 2 is no more. */
	virtio_queue_stopped(&m.vdev, 1);
	virtio_queue_stopped(&m.vdev, 2);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.resets, 0);
	assert_int_not_equal(m.vdev.queues[0].ring.size, 0);

	virtio_queue_stopped(&m.vdev, 0);
	expect_reset_state(&m);
	assert_int_equal(m.resets, 1);
	assert_false(m.active_at_reset);
	tear_down(&m);
}

static void virtio_device_queue_stopped_out_of_turn_ignored(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	virtio_queue_stopped(&m.vdev, 0);
	assert_int_equal(m.vdev.queues[0].state, VIRTIO_QUEUE_LIVE);
	assert_int_not_equal(m.vdev.queues[0].ring.size, 0);
	tear_down(&m);
}

struct resetter {
	struct machine *m;
	atomic_bool done;
};

static void *reset_machine(void *opaque)
{
	struct resetter *resetter = opaque;

	virtio_device_reset(&resetter->m->vdev);
	atomic_store(&resetter->done, true);
	return NULL;
}

static void virtio_device_machine_reset_waits_for_the_queues(void **state)
{
	struct machine m;
	struct resetter resetter = { .m = &m };
	pthread_t thread;

	(void)state;
	/* By itself, and joining the driver's own reset. */
	for (unsigned i = 0; i < 2; i++) {
		unsigned stops = 0;

		set_up_running(&m);
		atomic_init(&resetter.done, false);
		if (i)
			write_status(&m, 0);
		assert_int_equal(pthread_create(&thread, NULL, reset_machine, &resetter), 0);
		while (stops < 2) {
			usleep(100);
			fake_virtio_lock(&m.driver);
			stops = m.stops[0] + m.stops[2];
			fake_virtio_unlock(&m.driver);
		}
		virtio_queue_stopped(&m.vdev, 0);
		usleep(20000);
		assert_false(atomic_load(&resetter.done));
		virtio_queue_stopped(&m.vdev, 2);
		pthread_join(thread, NULL);
		assert_true(atomic_load(&resetter.done));
		assert_int_equal(m.resets, 1);
		expect_reset_state(&m);
		tear_down(&m);
	}
	/* Nothing to wait for. */
	set_up(&m);
	virtio_device_reset(&m.vdev);
	expect_reset_state(&m);
	tear_down(&m);
}

/* ---- the reset of a queue ---- */

static void virtio_device_queue_reset_without_the_feature_ignored(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX & ~VIRTIO_F_RING_RESET));
	fake_queue_enable(&m.queues[0], 0);
	reset_queue(&m, 0);
	assert_true(m.vdev.queues[0].enabled);
	fake_virtio_driver_ok(&m.driver);
	reset_queue(&m, 0);
	assert_false(m.vdev.queues[0].resetting);
	assert_int_equal(m.stops[0], 0);
	tear_down(&m);
}

static void virtio_device_queue_reset_before_it_runs_is_complete_at_once(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
	fake_queue_enable(&m.queues[0], 0);
	reset_queue(&m, 0);
	expect_default_queue(&m.vdev.queues[0]);
	fake_virtio_driver_ok(&m.driver);
	assert_int_equal(m.starts[0], 0);
	assert_int_equal(m.stops[0], 0);
	tear_down(&m);
}

static void virtio_device_queue_reset_in_flight_reads_so_until_it_is_done(void **state)
{
	struct virtio_queue *queue;
	struct machine m;

	(void)state;
	set_up_running(&m);
	queue = virtio_device_queue(&m.vdev, 0);
	reset_queue(&m, 0);
	assert_true(queue->resetting);
	assert_true(queue->enabled);
	assert_int_equal(queue->state, VIRTIO_QUEUE_STOPPING);
	/* Again, and enabling it meanwhile: nothing. */
	reset_queue(&m, 0);
	enable_queue(&m, 0);
	virtio_queue_set_size(&m.vdev, 0, 4);
	assert_int_equal(queue->layout.size, 8);
	assert_int_equal(m.stops[0], 1);
	assert_int_equal(m.starts[0], 1);
	assert_int_equal(m.stops[2], 0);
	virtio_queue_stopped(&m.vdev, 0);
	expect_default_queue(queue);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.vdev.queues[2].state, VIRTIO_QUEUE_LIVE);
	assert_int_equal(m.resets, 0);

	/* With rings elsewhere it starts afresh, at once. */
	fake_queue_init(&m.queues[0], &m.driver, 4);
	fake_queue_enable(&m.queues[0], 0);
	assert_int_equal(m.starts[0], 2);
	assert_int_equal(queue->ring.size, 4);
	assert_int_equal(queue->ring.next_available, 0);
	assert_int_equal(queue->state, VIRTIO_QUEUE_LIVE);
	tear_down(&m);
}

static void virtio_device_queue_resets_of_all_are_no_device_reset(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	reset_queue(&m, 0);
	reset_queue(&m, 2);
	virtio_queue_stopped(&m.vdev, 2);
	virtio_queue_stopped(&m.vdev, 0);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	assert_int_equal(m.resets, 0);
	assert_int_not_equal(m.vdev.features, 0);
	tear_down(&m);
}

static void virtio_device_reset_during_a_queue_reset_does_both(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	reset_queue(&m, 0);
	write_status(&m, 0);
	assert_int_equal(m.stops[0], 1);
	assert_int_equal(m.stops[2], 1);
	virtio_queue_stopped(&m.vdev, 2);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING);
	virtio_queue_stopped(&m.vdev, 0);
	expect_reset_state(&m);
	assert_int_equal(m.resets, 1);
	tear_down(&m);
}

/* ---- needs-reset and changes of the configuration ---- */

static void virtio_device_needs_reset_tells_a_running_driver_once(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	virtio_device_needs_reset(&m.vdev, "a test wants it");
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING | 0x40);
	assert_int_equal(config_interrupts(&m), 1);
	virtio_device_needs_reset(&m.vdev, "a test wants it");
	assert_int_equal(config_interrupts(&m), 1);
	/* The driver does not get rid of it but by a reset. */
	write_status(&m, 0x0f);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING | 0x40);
	write_status(&m, 0);
	virtio_queue_stopped(&m.vdev, 0);
	virtio_queue_stopped(&m.vdev, 2);
	expect_reset_state(&m);
	tear_down(&m);
}

static void virtio_device_needs_reset_before_driver_ok_waits(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
	fake_queue_enable(&m.queues[0], 0);
	virtio_device_needs_reset(&m.vdev, "a test wants it");
	assert_int_equal(fake_virtio_status(&m.driver), NEGOTIATED | 0x40);
	assert_int_equal(config_interrupts(&m), 0);
	fake_virtio_driver_ok(&m.driver);
	assert_int_equal(fake_virtio_status(&m.driver), RUNNING | 0x40);
	assert_int_equal(config_interrupts(&m), 1);
	assert_int_equal(m.starts[0], 0);
	tear_down(&m);
}

static void virtio_device_config_change_is_told_after_driver_ok(void **state)
{
	unsigned generation;
	struct machine m;

	(void)state;
	set_up(&m);
	generation = atomic_load(&m.vdev.config_generation);
	virtio_config_changed(&m.vdev);
	assert_int_equal(atomic_load(&m.vdev.config_generation), generation + 1);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
	virtio_config_changed(&m.vdev);
	assert_int_equal(config_interrupts(&m), 0);
	fake_virtio_driver_ok(&m.driver);
	assert_int_equal(config_interrupts(&m), 1);
	virtio_config_changed(&m.vdev);
	virtio_config_changed(&m.vdev);
	assert_int_equal(config_interrupts(&m), 3);
	assert_int_equal(atomic_load(&m.vdev.config_generation), generation + 4);
	/* What was to be told before a reset is not told after it. */
	fake_virtio_reset(&m.driver);
	virtio_config_changed(&m.vdev);
	fake_virtio_reset(&m.driver);
	assert_true(fake_virtio_negotiate(&m.driver, UINT64_MAX));
	fake_virtio_driver_ok(&m.driver);
	assert_int_equal(config_interrupts(&m), 3);
	tear_down(&m);
}

static void virtio_device_queue_interrupt_reaches_the_transport(void **state)
{
	struct machine m;

	(void)state;
	set_up_running(&m);
	virtio_queue_interrupt(&m.vdev, 2);
	assert_int_equal(atomic_load(&m.driver.queue_interrupts[2]), 1);
	assert_int_equal(atomic_load(&m.driver.queue_interrupts[0]), 0);
	tear_down(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_device_reset_when_idle_is_complete_at_once),
		cmocka_unit_test(virtio_device_reset_is_complete_when_the_last_queue_has_stopped),
		cmocka_unit_test(virtio_device_queue_stopped_out_of_turn_ignored),
		cmocka_unit_test(virtio_device_machine_reset_waits_for_the_queues),
		cmocka_unit_test(virtio_device_queue_reset_without_the_feature_ignored),
		cmocka_unit_test(virtio_device_queue_reset_before_it_runs_is_complete_at_once),
		cmocka_unit_test(virtio_device_queue_reset_in_flight_reads_so_until_it_is_done),
		cmocka_unit_test(virtio_device_queue_resets_of_all_are_no_device_reset),
		cmocka_unit_test(virtio_device_reset_during_a_queue_reset_does_both),
		cmocka_unit_test(virtio_device_needs_reset_tells_a_running_driver_once),
		cmocka_unit_test(virtio_device_needs_reset_before_driver_ok_waits),
		cmocka_unit_test(virtio_device_config_change_is_told_after_driver_ok),
		cmocka_unit_test(virtio_device_queue_interrupt_reaches_the_transport),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
