/* core/virtio/virtio_pci: vectors, INTx and ISR, and what resets leave. */
#include <pthread.h>

#include "virtio_pci_fixture.h"

/* ---- interrupts ---- */

static void virtio_pci_vectors_read_back_or_none(void **state)
{
	static const uint16_t wrong[] = { QUEUES + 1, QUEUES + 2, 0x7fff, 0x8000, 0xfffe, 0xffff };
	struct fixture *f = *state;
	struct machine *m = &f->m;

	assert_int_equal(common_read(m, CONFIG_VECTOR, 2), NO_VECTOR);
	for (unsigned i = 0; i < QUEUES; i++) {
		common_write(m, QUEUE_SELECT, 2, i);
		assert_int_equal(common_read(m, QUEUE_VECTOR, 2), NO_VECTOR);
		for (unsigned j = 0; j < array_size(wrong); j++) {
			common_write(m, QUEUE_VECTOR, 2, QUEUES);
			assert_int_equal(common_read(m, QUEUE_VECTOR, 2), QUEUES);
			common_write(m, QUEUE_VECTOR, 2, wrong[j]);
			assert_int_equal(common_read(m, QUEUE_VECTOR, 2), NO_VECTOR);
			common_write(m, CONFIG_VECTOR, 2, QUEUES);
			assert_int_equal(common_read(m, CONFIG_VECTOR, 2), QUEUES);
			common_write(m, CONFIG_VECTOR, 2, wrong[j]);
			assert_int_equal(common_read(m, CONFIG_VECTOR, 2), NO_VECTOR);
		}
	}
}

static void virtio_pci_queue_has_a_vector_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	bring_up(f, true);
	for (unsigned i = 0; i < QUEUES; i++) {
		virtio_queue_interrupt(&f->vdev, i);
		for (unsigned j = 0; j <= QUEUES; j++)
			assert_int_equal(messages(f, j), j == i + 1);
	}
	virtio_config_changed(&f->vdev);
	assert_int_equal(messages(f, 0), 1);
	/* Another vector, shared, and none. */
	common_write(m, QUEUE_SELECT, 2, 1);
	common_write(m, QUEUE_VECTOR, 2, 1);
	virtio_queue_interrupt(&f->vdev, 0);
	virtio_queue_interrupt(&f->vdev, 1);
	assert_int_equal(messages(f, 1), 2);
	common_write(m, QUEUE_VECTOR, 2, NO_VECTOR);
	virtio_queue_interrupt(&f->vdev, 1);
	for (unsigned j = 0; j <= QUEUES; j++)
		assert_int_equal(messages(f, j), 0);
	assert_false(m->levels[MACHINE_LINE]);
	/* No queue interrupt shows in the ISR; changes of the configuration do. */
	assert_int_equal(region_read(m, &m->isr, 0, 1), 2);
}

static void virtio_pci_masked_vector_waits_in_its_eventfd(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint32_t pending = 0;

	bring_up(f, true);
	msix_program(m, 2, true);
	virtio_queue_interrupt(&f->vdev, 1);
	bus_read(m->mmio, msix_address(m) + (config_read(m, m->msix + 8, 4) & ~7u), &pending, 4);
	assert_int_equal(pending, 4);
	msix_program(m, 2, false);
	assert_int_equal(messages(f, 2), 1);
}

static void virtio_pci_interrupt_waits_for_driver_ok(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	negotiate(f);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_false(m->levels[MACHINE_LINE]);
	msix_enable(m, true);
	msix_program(m, 1, false);
	enable_queue(f, 0);
	common_write(m, QUEUE_VECTOR, 2, 1);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_int_equal(messages(f, 1), 0);
	/* The first one may come while DRIVER_OK is still being written. */
	f->interrupts_at_start = true;
	set_status(f, ALL_GOOD);
	assert_int_equal(messages(f, 1), 1);
}

static void virtio_pci_refused_driver_ok_stays_silent(void **state)
{
	struct fixture *f = *state;

	set_status(f, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(get_status(f), VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_false(f->m.levels[MACHINE_LINE]);
}

static void virtio_pci_status_bits_that_stay_keep_it_live(void **state)
{
	struct fixture *f = *state;

	bring_up(f, false);
	set_status(f, VIRTIO_STATUS_FAILED);
	assert_int_equal(get_status(f), ALL_GOOD | VIRTIO_STATUS_FAILED);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_true(f->m.levels[MACHINE_LINE]);
}

static void virtio_pci_isr_read_lowers_the_pin(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	bring_up(f, false);
	virtio_queue_interrupt(&f->vdev, 1);
	assert_true(m->levels[MACHINE_LINE]);
	assert_int_equal(
		config_read(m, PCI_CFG_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	virtio_config_changed(&f->vdev);
	/* Other widths and offsets are no reads of it. */
	assert_int_equal(region_read(m, &m->isr, 0, 2), 0);
	assert_int_equal(region_read(m, &m->isr, 0, 4), 0);
	assert_int_equal(region_read(m, &m->isr, 1, 1), 0);
	region_write(m, &m->isr, 0, 1, 0);
	assert_true(m->levels[MACHINE_LINE]);
	assert_int_equal(region_read(m, &m->isr, 0, 1), 3);
	assert_false(m->levels[MACHINE_LINE]);
	assert_int_equal(region_read(m, &m->isr, 0, 1), 0);
	virtio_queue_interrupt(&f->vdev, 2);
	assert_true(m->levels[MACHINE_LINE]);
	assert_int_equal(region_read(m, &m->isr, 0, 1), 1);
}

static void virtio_pci_pin_is_quiet_while_msix_is_on(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	bring_up(f, false);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_true(m->levels[MACHINE_LINE]);
	msix_enable(m, true);
	assert_false(m->levels[MACHINE_LINE]);
	virtio_queue_interrupt(&f->vdev, 0); /* it has no vector */
	virtio_config_changed(&f->vdev);
	assert_false(m->levels[MACHINE_LINE]);
	msix_enable(m, false);
	assert_true(m->levels[MACHINE_LINE]); /* the ISR is not read yet */
	assert_int_equal(region_read(m, &m->isr, 0, 1), 1);
	virtio_queue_interrupt(&f->vdev, 0);
	config_write(m, PCI_CFG_COMMAND, 6 | PCI_COMMAND_INTX_DISABLE, 2);
	assert_false(m->levels[MACHINE_LINE]);
}

static void virtio_pci_needs_reset_is_told(void **state)
{
	struct fixture *f = *state;

	bring_up(f, false);
	virtio_device_needs_reset(&f->vdev, "test");
	assert_int_equal(get_status(f), ALL_GOOD | VIRTIO_STATUS_NEEDS_RESET);
	assert_true(f->m.levels[MACHINE_LINE]);
	assert_int_equal(region_read(&f->m, &f->m.isr, 0, 1), 2);
}

/* ---- resets ---- */

static void expect_pristine(struct fixture *f)
{
	struct machine *m = &f->m;

	assert_int_equal(get_status(f), 0);
	assert_int_equal(common_read(m, DEVICE_FEATURE_SELECT, 4), 0);
	assert_int_equal(common_read(m, DRIVER_FEATURE_SELECT, 4), 0);
	assert_int_equal(common_read(m, DRIVER_FEATURE, 4), 0);
	assert_int_equal(common_read(m, CONFIG_VECTOR, 2), NO_VECTOR);
	assert_int_equal(common_read(m, QUEUE_SELECT, 2), 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		common_write(m, QUEUE_SELECT, 2, i);
		assert_int_equal(common_read(m, QUEUE_SIZE_FIELD, 2), QUEUE_SIZE);
		assert_int_equal(common_read(m, QUEUE_VECTOR, 2), NO_VECTOR);
		assert_int_equal(common_read(m, QUEUE_ENABLE, 2), 0);
		for (unsigned offset = QUEUE_DESC; offset < QUEUE_NOTIFY_DATA; offset += 4)
			assert_int_equal(common_read(m, offset, 4), 0);
	}
	assert_int_equal(region_read(m, &m->isr, 0, 1), 0);
	assert_false(m->levels[MACHINE_LINE]);
}

static void virtio_pci_status_zero_resets_when_queues_have_stopped(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	bring_up(f, false);
	virtio_queue_interrupt(&f->vdev, 0);
	set_status(f, 0);
	assert_false(m->levels[MACHINE_LINE]);
	assert_int_equal(f->stopping, 7);
	assert_int_not_equal(get_status(f), 0);
	/* What is in flight completes silently, whatever the driver does meanwhile. */
	set_status(f, ALL_GOOD);
	virtio_queue_interrupt(&f->vdev, 0);
	virtio_config_changed(&f->vdev);
	assert_false(m->levels[MACHINE_LINE]);
	finish_stops(f);
	expect_pristine(f);
	bring_up(f, true);
	virtio_queue_interrupt(&f->vdev, 2);
	assert_int_equal(messages(f, 3), 1);
}

static void virtio_pci_machine_reset_is_as_at_power_on(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint32_t first = config_read(m, 0x10, 4);

	bring_up(f, true);
	virtio_queue_interrupt(&f->vdev, 0);
	msix_program(m, 1, true);
	virtio_queue_interrupt(&f->vdev, 0); /* pending when it comes */
	config_write(m, 0x10, (uint32_t)MACHINE_MMIO_BASE + 0x80000, 4);
	config_write(m, m->window.capability + 8, 0x12345678, 4);
	set_status(f, 0);
	finish_stops(f);
	virtio_device_reset(&f->vdev);
	virtio_pci_reset(m->transport);
	assert_int_equal(config_read(m, 0x10, 4), first);
	assert_int_equal(config_read(m, m->msix + 2, 2), QUEUES);
	assert_int_equal(config_read(m, m->window.capability + 8, 4), 0);
	expect_pristine(f);
	for (unsigned i = 0; i <= QUEUES; i++)
		assert_int_equal(m->bound_fd[i], -1);
	msix_enable(m, true);
	msix_program(m, 1, false);
	assert_int_equal(messages(f, 1), 0);
	msix_enable(m, false);
	bring_up(f, false);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_true(m->levels[MACHINE_LINE]);
}

static void virtio_pci_queue_reset_concerns_one_queue(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	bring_up(f, true);
	common_write(m, QUEUE_SELECT, 2, 1);
	common_write(m, QUEUE_RESET, 2, 0);
	common_write(m, QUEUE_RESET, 2, 2);
	assert_int_equal(f->stopping, 0);
	common_write(m, QUEUE_RESET, 2, 1);
	assert_int_equal(f->stopping, 2);
	assert_int_equal(common_read(m, QUEUE_RESET, 2), 1);
	finish_stops(f);
	assert_int_equal(common_read(m, QUEUE_RESET, 2), 0);
	assert_int_equal(common_read(m, QUEUE_ENABLE, 2), 0);
	assert_int_equal(common_read(m, QUEUE_VECTOR, 2), NO_VECTOR);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_int_equal(messages(f, 1), 1);
	enable_queue(f, 1);
	common_write(m, QUEUE_VECTOR, 2, 2);
	assert_int_equal(f->started, 2);
	virtio_queue_interrupt(&f->vdev, 1);
	assert_int_equal(messages(f, 2), 1);
}

static void virtio_pci_queue_reset_needs_its_feature(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	common_write(m, QUEUE_VECTOR, 2, 1);
	enable_queue(f, 0);
	common_write(m, QUEUE_RESET, 2, 1);
	assert_int_equal(common_read(m, QUEUE_ENABLE, 2), 1);
	assert_int_equal(common_read(m, QUEUE_VECTOR, 2), 1);
}

/* ---- all at once ---- */

struct racer {
	struct fixture *f;
	atomic_bool stop;
};

static void *race(void *opaque)
{
	struct racer *racer = opaque;

	while (!atomic_load(&racer->stop)) {
		virtio_queue_interrupt(&racer->f->vdev, 1);
		virtio_config_changed(&racer->f->vdev);
	}
	return NULL;
}

static void virtio_pci_interrupts_race_with_registers(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	struct racer racer = { .f = f };
	pthread_t thread;

	bring_up(f, true);
	assert_int_equal(pthread_create(&thread, NULL, race, &racer), 0);
	common_write(m, QUEUE_SELECT, 2, 1);
	for (unsigned i = 0; i < 500; i++) {
		msix_enable(m, i & 1);
		common_write(m, QUEUE_VECTOR, 2, i % 5);
		msix_program(m, 2, i & 2);
		(void)region_read(m, &m->isr, 0, 1);
		if (i % 16 == 15) {
			set_status(f, 0);
			finish_stops(f);
			bring_up(f, i & 32);
			common_write(m, QUEUE_SELECT, 2, 1);
		}
	}
	atomic_store(&racer.stop, true);
	pthread_join(thread, NULL);
	/* Pin and ISR are in step whatever happened. */
	msix_enable(m, false);
	virtio_queue_interrupt(&f->vdev, 1);
	assert_true(m->levels[MACHINE_LINE]);
	(void)region_read(m, &m->isr, 0, 1);
	assert_false(m->levels[MACHINE_LINE]);
	assert_int_equal(region_read(m, &m->isr, 0, 1), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(virtio_pci_vectors_read_back_or_none),
		TEST(virtio_pci_queue_has_a_vector_of_its_own),
		TEST(virtio_pci_masked_vector_waits_in_its_eventfd),
		TEST(virtio_pci_interrupt_waits_for_driver_ok),
		TEST(virtio_pci_refused_driver_ok_stays_silent),
		TEST(virtio_pci_status_bits_that_stay_keep_it_live),
		TEST(virtio_pci_isr_read_lowers_the_pin),
		TEST(virtio_pci_pin_is_quiet_while_msix_is_on),
		TEST(virtio_pci_needs_reset_is_told),
		TEST(virtio_pci_status_zero_resets_when_queues_have_stopped),
		TEST(virtio_pci_machine_reset_is_as_at_power_on),
		TEST(virtio_pci_queue_reset_concerns_one_queue),
		TEST(virtio_pci_queue_reset_needs_its_feature),
		TEST(virtio_pci_interrupts_race_with_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
