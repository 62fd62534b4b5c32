/* The entropy device: it fills what the driver gives, in its own thread or stepped. */
#include "cmocka_all.h"

#include "devices/virtio_rng.h"
#include "fake_virtio.h"

struct fixture {
	struct fake_virtio driver;
	struct fake_queue queue;
	struct virtio_rng *rng;
	struct device *device;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	fake_virtio_init(&f->driver, MIB(2), 0);
	const struct virtio_rng_config config = { .mem = &f->driver.mem };
	assert_int_equal(virtio_rng_create(&config, &f->rng, &err), 0);
	f->device = &virtio_rng_vdev(f->rng)->device;
	fake_virtio_attach(&f->driver, virtio_rng_vdev(f->rng));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->device->ops->stop(f->device);
	f->device->ops->destroy(f->device);
	fake_virtio_fini(&f->driver);
	free(f);
	return 0;
}

static void bring_up(struct fixture *f)
{
	assert_true(fake_virtio_negotiate(&f->driver, ~UINT64_C(0)));
	fake_queue_init(&f->queue, &f->driver, 64);
	fake_queue_enable(&f->queue, 0);
	fake_virtio_driver_ok(&f->driver);
}

static void step(struct fixture *f)
{
	while (event_thread_step(virtio_rng_thread(f->rng)))
		;
}

static unsigned zeroes(const uint8_t *bytes, size_t count)
{
	unsigned found = 0;

	for (size_t i = 0; i < count; i++)
		found += !bytes[i];
	return found;
}

static void virtio_rng_fills_the_writable_buffers(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	assert_int_equal(f->device->ops->start(f->device, NULL), 0);
	bring_up(f);
	uint64_t gpa = fake_virtio_alloc(&f->driver, 4096, 64);
	const struct fake_buffer buffers[] = { { gpa, 64, false }, { gpa + 64, 1000, true },
		{ gpa + 2048, 500, true } };
	fake_queue_add(&f->queue, buffers, 3);
	fake_queue_kick(&f->queue);
	fake_queue_wait(&f->queue, &head, &written);
	assert_int_equal(written, 1500);
	const uint8_t *bytes = fake_virtio_at(&f->driver, gpa, 4096);
	assert_int_equal(zeroes(bytes, 64), 64);
	assert_in_range(zeroes(bytes + 64, 1000), 0, 50);
	assert_int_equal(zeroes(bytes + 1064, 984), 984);
	assert_in_range(zeroes(bytes + 2048, 500), 0, 30);
	assert_int_equal(bytes[2548], 0);
}

static void virtio_rng_two_requests_differ(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	bring_up(f);
	uint64_t gpa = fake_virtio_alloc(&f->driver, 64, 64);
	const struct fake_buffer buffers[] = { { gpa, 32, true }, { gpa + 32, 32, true } };
	fake_queue_add(&f->queue, &buffers[0], 1);
	fake_queue_add(&f->queue, &buffers[1], 1);
	fake_queue_kick(&f->queue);
	step(f);
	for (int i = 0; i < 2; i++) {
		assert_true(fake_queue_used(&f->queue, &head, &written));
		assert_int_equal(written, 32);
	}
	const uint8_t *bytes = fake_virtio_at(&f->driver, gpa, 64);
	assert_memory_not_equal(bytes, bytes + 32, 32);
}

static void virtio_rng_empty_buffer_comes_back_empty(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	bring_up(f);
	const struct fake_buffer readable = { fake_virtio_alloc(&f->driver, 64, 64), 64, false };
	fake_queue_add(&f->queue, &readable, 1);
	fake_queue_kick(&f->queue);
	step(f);
	assert_true(fake_queue_used(&f->queue, &head, &written));
	assert_int_equal(written, 0);
	assert_int_equal(fake_virtio_status(&f->driver) & VIRTIO_STATUS_NEEDS_RESET, 0);
}

/* The work for one buffer, and for one turn, has an end that the driver does not choose. */
static void virtio_rng_huge_buffers_are_filled_in_part_and_in_turns(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;
	unsigned used = 0;

	bring_up(f);
	const struct fake_buffer huge = { fake_virtio_alloc(&f->driver, MIB(1), 64), MIB(1), true };
	for (int i = 0; i < 16; i++)
		fake_queue_add(&f->queue, &huge, 1);
	fake_queue_kick(&f->queue);
	event_thread_step(virtio_rng_thread(f->rng)); /* starts and has the first turn */
	assert_in_range(fake_queue_used_count(&f->queue), 1, 8);
	step(f);
	while (fake_queue_used(&f->queue, &head, &written)) {
		assert_int_equal(written, 65536);
		used++;
	}
	assert_int_equal(used, 16);
}

static void virtio_rng_broken_queue_needs_a_reset_and_works_after_it(void **state)
{
	struct fixture *f = *state;
	uint32_t head = 0, written = 0;

	assert_int_equal(f->device->ops->start(f->device, NULL), 0);
	bring_up(f);
	uint64_t gpa = fake_virtio_alloc(&f->driver, 64, 64);
	const struct fake_buffer bad = { f->driver.mem.size_bytes - 16, 17, true };
	const struct fake_buffer good = { gpa, 64, true };
	fake_queue_add(&f->queue, &bad, 1);
	fake_queue_add(&f->queue, &good, 1);
	fake_queue_ring(&f->queue);
	for (int i = 0; !(fake_virtio_status(&f->driver) & VIRTIO_STATUS_NEEDS_RESET); i++) {
		assert_true(i < 60000);
		usleep(1000);
	}
	fake_queue_ring(&f->queue);
	fake_virtio_reset(&f->driver);
	assert_int_equal(fake_queue_used_count(&f->queue), 0);
	assert_int_equal(zeroes(fake_virtio_at(&f->driver, gpa, 64), 64), 64);
	bring_up(f);
	fake_queue_add(&f->queue, &good, 1);
	fake_queue_kick(&f->queue);
	fake_queue_wait(&f->queue, &head, &written);
	assert_int_equal(written, 64);
}

static void virtio_rng_machine_reset_and_stop_while_the_guest_floods(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->device->ops->start(f->device, NULL), 0);
	for (int round = 0; round < 20; round++) {
		bring_up(f);
		f->driver.next_gpa = KIB(64);
		const struct fake_buffer huge = { MIB(1), MIB(1), true };
		for (int i = 0; i < 64; i++)
			fake_queue_add(&f->queue, &huge, 1);
		fake_queue_ring(&f->queue);
		if (round < 19)
			f->device->ops->reset(f->device);
		assert_int_equal(fake_virtio_status(&f->driver) == 0, round < 19);
	}
	f->device->ops->stop(f->device);
}

static void virtio_rng_doorbell_of_an_idle_queue_is_taken(void **state)
{
	struct fixture *f = *state;

	fake_queue_init(&f->queue, &f->driver, 8);
	f->queue.index = 0;
	fake_queue_ring(&f->queue);
	step(f);
	assert_int_equal(event_thread_step(virtio_rng_thread(f->rng)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			virtio_rng_fills_the_writable_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(virtio_rng_two_requests_differ, setup, teardown),
		cmocka_unit_test_setup_teardown(
			virtio_rng_empty_buffer_comes_back_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(
			virtio_rng_huge_buffers_are_filled_in_part_and_in_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(
			virtio_rng_broken_queue_needs_a_reset_and_works_after_it, setup, teardown),
		cmocka_unit_test_setup_teardown(
			virtio_rng_machine_reset_and_stop_while_the_guest_floods, setup, teardown),
		cmocka_unit_test_setup_teardown(
			virtio_rng_doorbell_of_an_idle_queue_is_taken, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
