/* core/virtio/virtio_pci: what a driver finds, and its registers, through BARs and window. */
#include "virtio_pci_fixture.h"

/* ---- what a driver finds ---- */

static void virtio_pci_ids_are_those_of_a_modern_device(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_read(&f->m, 0x00, 4), 0x10421af4);
	assert_int_equal(config_read(&f->m, 0x08, 4), 0x01800001);
	assert_int_equal(config_read(&f->m, 0x2c, 2), 0x1af4);
	assert_true(config_read(&f->m, 0x2e, 2) >= 0x40);
	assert_int_equal(config_read(&f->m, 0x3d, 1), 1);
}

static void expect_region(
	struct fixture *f, const struct machine_region *region, unsigned length, unsigned alignment)
{
	assert_true(region->found);
	assert_int_equal(region->length, length);
	assert_int_equal(region->offset % alignment, 0);
	assert_int_equal(region->bar, 0);
	config_write(&f->m, 4, 0, 2);
	config_write(&f->m, 0x10, 0xffffffff, 4);
	assert_true(region->offset + region->length <= -config_read(&f->m, 0x10, 4));
}

static void virtio_pci_capabilities_tell_where_all_is(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	const struct machine_region *regions[4] = { &m->common, &m->notify, &m->isr, &m->device };

	expect_region(f, &m->common, COMMON_LENGTH, 4);
	expect_region(f, &m->notify, 4 * QUEUES, 4);
	expect_region(f, &m->isr, 1, 1);
	expect_region(f, &m->device, CONFIG_BYTES, 4);
	assert_int_equal(m->notify_multiplier, 4);
	for (unsigned i = 0; i < 4; i++) {
		const struct machine_region *a = regions[i];

		assert_int_equal(config_read(m, a->capability + 2, 1), a == &m->notify ? 20 : 16);
		assert_int_equal(config_read(m, a->capability + 5, 1), 0);
		for (unsigned j = 0; j < i; j++)
			assert_true(a->offset >= regions[j]->offset + regions[j]->length ||
				    regions[j]->offset >= a->offset + a->length);
	}
	assert_true(m->window.found);
	assert_int_equal(config_read(m, m->window.capability + 2, 1), 20);
	assert_true(m->msix != 0);
	assert_int_equal(config_read(m, m->msix + 2, 2), QUEUES);
	/* Nothing of it can be changed. */
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned j = 0; j < 16; j += 4) {
			uint32_t before = config_read(m, regions[i]->capability + j, 4);

			config_write(m, regions[i]->capability + j, ~before, 4);
			assert_int_equal(config_read(m, regions[i]->capability + j, 4), before);
		}
	}
}

static void virtio_pci_device_without_configuration_has_no_capability_for_it(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	struct virtio_device other;
	struct virtio_pci *transport;
	struct machine_region none = { 0 };

	/* In the first one's slot, so that the walk finds it. */
	virtio_pci_destroy(m->transport);
	init_vdev(f, &other, VIRTIO_MAX_QUEUES);
	assert_int_equal(virtio_pci_create(&other, 0, m->pci, &m->msi, &transport, NULL), 0);
	m->common = m->notify = m->isr = m->device = m->window = none;
	machine_walk(m);
	assert_false(m->device.found);
	assert_true(m->common.found && m->window.found);
	assert_int_equal(common_read(m, NUM_QUEUES, 2), VIRTIO_MAX_QUEUES);
	common_write(m, QUEUE_SELECT, 2, VIRTIO_MAX_QUEUES - 1);
	common_write(m, QUEUE_VECTOR, 2, VIRTIO_MAX_QUEUES);
	assert_int_equal(common_read(m, QUEUE_VECTOR, 2), VIRTIO_MAX_QUEUES);
	virtio_pci_destroy(transport);
	virtio_device_fini(&other);
	assert_int_equal(
		virtio_pci_create(&f->vdev, 0x018000, m->pci, &m->msi, &m->transport, NULL), 0);
}

/* ---- registers ---- */

static void virtio_pci_fields_as_a_driver_uses_them(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint64_t offered = VIRTIO_COMMON_FEATURES | VIRTIO_FEATURE(5);

	assert_int_equal(common_read(m, NUM_QUEUES, 2), QUEUES);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t bits = i < 2 ? (uint32_t)(offered >> 32 * i) : 0;

		common_write(m, DEVICE_FEATURE_SELECT, 4, i);
		assert_int_equal(common_read(m, DEVICE_FEATURE_SELECT, 4), i);
		assert_int_equal(common_read(m, DEVICE_FEATURE, 4), bits);
		common_write(m, DRIVER_FEATURE_SELECT, 4, i);
		assert_int_equal(common_read(m, DRIVER_FEATURE_SELECT, 4), i);
		common_write(m, DRIVER_FEATURE, 4, 0x11223344);
		assert_int_equal(common_read(m, DRIVER_FEATURE, 4), i < 2 ? 0x11223344 : 0);
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		common_write(m, QUEUE_SELECT, 2, i);
		assert_int_equal(common_read(m, QUEUE_SELECT, 2), i);
		assert_int_equal(common_read(m, QUEUE_SIZE_FIELD, 2), QUEUE_SIZE);
		assert_int_equal(common_read(m, QUEUE_NOTIFY_OFF, 2), i);
		assert_int_equal(common_read(m, QUEUE_NOTIFY_DATA, 2), 0);
		common_write(m, QUEUE_SIZE_FIELD, 2, 4);
		assert_int_equal(common_read(m, QUEUE_SIZE_FIELD, 2), 4);
		for (unsigned field = QUEUE_DESC; field <= QUEUE_DEVICE; field += 8) {
			uint64_t gpa = UINT64_C(0x1000000020000) * (i + 1) + field;

			write64(m, field, gpa);
			assert_int_equal(common_read(m, field, 4), (uint32_t)gpa);
			assert_int_equal(common_read(m, field + 4, 4), gpa >> 32);
			/* Halves are independent; some drivers write both at once. */
			common_write(m, field + 4, 4, 7);
			assert_int_equal(common_read(m, field, 4), (uint32_t)gpa);
			region_write(m, &m->common, field, 8, gpa);
			assert_int_equal(region_read(m, &m->common, field, 8), gpa);
		}
	}
	common_write(m, QUEUE_SELECT, 2, 1);
	assert_int_equal(common_read(m, QUEUE_DRIVER + 4, 4), 0x20000);
}

static void virtio_pci_read_only_fields_ignore_writes(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	static const struct {
		uint8_t offset, width;
	} fields[] = { { DEVICE_FEATURE, 4 }, { NUM_QUEUES, 2 }, { CONFIG_GENERATION, 1 },
		{ QUEUE_NOTIFY_OFF, 2 }, { QUEUE_NOTIFY_DATA, 2 } };

	common_write(m, QUEUE_SELECT, 2, 1);
	for (unsigned i = 0; i < array_size(fields); i++) {
		uint32_t before = common_read(m, fields[i].offset, fields[i].width);

		common_write(m, fields[i].offset, fields[i].width, ~before);
		assert_int_equal(common_read(m, fields[i].offset, fields[i].width), before);
	}
}

static unsigned natural_width(unsigned offset)
{
	static const uint8_t of_four[] = { DEVICE_FEATURE_SELECT, DEVICE_FEATURE,
		DRIVER_FEATURE_SELECT, DRIVER_FEATURE, QUEUE_DESC, QUEUE_DESC + 4, QUEUE_DRIVER,
		QUEUE_DRIVER + 4, QUEUE_DEVICE, QUEUE_DEVICE + 4 };

	if (offset == DEVICE_STATUS || offset == CONFIG_GENERATION)
		return 1;
	for (unsigned i = 0; i < sizeof(of_four); i++) {
		if (offset == of_four[i])
			return 4;
	}
	return offset < 0x20 ? (offset >= 0x10 && offset % 2 == 0 ? 2 : 0)
			     : (offset == QUEUE_NOTIFY_DATA || offset == QUEUE_RESET ? 2 : 0);
}

/* All that the common configuration holds, as its fields show it. */
static void snapshot(struct machine *m, uint32_t values[COMMON_LENGTH])
{
	for (unsigned i = 0; i < COMMON_LENGTH; i++)
		values[i] = natural_width(i) ? common_read(m, i, natural_width(i)) : 0;
}

static void virtio_pci_other_widths_read_zero_and_write_nothing(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint32_t before[COMMON_LENGTH], after[COMMON_LENGTH];

	/* No field is zero that can be something else. */
	negotiate(f);
	common_write(m, CONFIG_VECTOR, 2, 1);
	enable_queue(f, 1);
	common_write(m, QUEUE_VECTOR, 2, 2);
	virtio_config_changed(&f->vdev);
	snapshot(m, before);
	for (unsigned width = 1; width <= 8; width++) {
		for (unsigned offset = 0; offset < 0x80; offset++) {
			bool whole =
				width == 8 && (offset == QUEUE_DESC || offset == QUEUE_DRIVER ||
						      offset == QUEUE_DEVICE);

			if (whole || (offset < COMMON_LENGTH && natural_width(offset) == width))
				continue;
			/* 3, 5, 6 and 7 reach the device as bytes. */
			if (width & (width - 1) && offset <= CONFIG_GENERATION &&
				offset + width > DEVICE_STATUS)
				continue;
			assert_int_equal(region_read(m, &m->common, offset, width), 0);
			region_write(m, &m->common, offset, width, UINT64_MAX);
			region_write(m, &m->common, offset, width, 0);
		}
	}
	snapshot(m, after);
	assert_memory_equal(before, after, sizeof(before));
}

static void virtio_pci_queue_selector_out_of_range_is_ignored(void **state)
{
	static const uint16_t wrong[] = { QUEUES, QUEUES + 1, 0x7fff, 0x8000, 0xffff };
	struct fixture *f = *state;
	struct machine *m = &f->m;

	negotiate(f);
	for (unsigned i = 0; i < array_size(wrong); i++) {
		common_write(m, QUEUE_SELECT, 2, wrong[i]);
		assert_int_equal(common_read(m, QUEUE_SELECT, 2), wrong[i]);
		common_write(m, QUEUE_SIZE_FIELD, 2, 4);
		common_write(m, QUEUE_VECTOR, 2, 1);
		write64(m, QUEUE_DESC, 0x1000);
		write64(m, QUEUE_DRIVER, 0x2000);
		write64(m, QUEUE_DEVICE, 0x3000);
		common_write(m, QUEUE_ENABLE, 2, 1);
		common_write(m, QUEUE_RESET, 2, 1);
		for (unsigned offset = QUEUE_SIZE_FIELD; offset < COMMON_LENGTH; offset++) {
			unsigned width = natural_width(offset);

			if (width)
				assert_int_equal(common_read(m, offset, width),
					offset == QUEUE_VECTOR ? NO_VECTOR : 0);
		}
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		common_write(m, QUEUE_SELECT, 2, i);
		assert_int_equal(common_read(m, QUEUE_SIZE_FIELD, 2), QUEUE_SIZE);
		assert_int_equal(common_read(m, QUEUE_VECTOR, 2), NO_VECTOR);
		assert_int_equal(common_read(m, QUEUE_DESC, 4), 0);
		assert_int_equal(common_read(m, QUEUE_ENABLE, 2), 0);
	}
}

static void virtio_pci_queue_registers_are_frozen_once_enabled(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint32_t before[COMMON_LENGTH], after[COMMON_LENGTH];

	negotiate(f);
	enable_queue(f, 1);
	for (unsigned live = 0; live < 2; live++) {
		snapshot(m, before);
		common_write(m, QUEUE_SIZE_FIELD, 2, 2);
		for (unsigned field = QUEUE_DESC; field <= QUEUE_DEVICE; field += 8) {
			write64(m, field, UINT64_MAX);
			region_write(m, &m->common, field, 8, 0);
		}
		common_write(m, QUEUE_ENABLE, 2, 0);
		common_write(m, QUEUE_ENABLE, 2, 2);
		snapshot(m, after);
		assert_memory_equal(before, after, sizeof(before));
		set_status(f, ALL_GOOD);
	}
	assert_int_equal(f->started, 2);
	assert_int_equal(f->stopping, 0);
}

static void virtio_pci_queue_is_enabled_by_one_only(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	negotiate(f);
	common_write(m, QUEUE_ENABLE, 2, 2);
	common_write(m, QUEUE_ENABLE, 2, 0xfffe);
	assert_int_equal(common_read(m, QUEUE_ENABLE, 2), 0);
	common_write(m, QUEUE_ENABLE, 2, 1);
	assert_int_equal(common_read(m, QUEUE_ENABLE, 2), 1);
}

static void virtio_pci_config_space_ends_where_it_ends(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	assert_int_equal(region_read(m, &m->device, 0, 8), 0xa7a6a5a4a3a2a1a0);
	assert_int_equal(region_read(m, &m->device, 8, 2), 0xa9a8);
	assert_int_equal(region_read(m, &m->device, 9, 1), 0xa9);
	assert_int_equal(region_read(m, &m->device, 9, 2), 0);
	assert_int_equal(region_read(m, &m->device, 8, 4), 0);
	assert_int_equal(region_read(m, &m->device, 4, 8), 0);
	assert_int_equal(region_read(m, &m->device, 10, 1), 0);
	assert_int_equal(region_read(m, &m->device, 0xff8, 8), 0);
	region_write(m, &m->device, 9, 2, 0xffff);
	region_write(m, &m->device, 8, 4, 0xffffffff);
	region_write(m, &m->device, 10, 1, 0xff);
	region_write(m, &m->device, 0xfff, 1, 0xff);
	assert_int_equal(f->config[8], 0xa8);
	assert_int_equal(f->config[9], 0xa9);
	region_write(m, &m->device, 8, 2, 0x1122);
	assert_int_equal(region_read(m, &m->device, 8, 2), 0x1122);
	/* The last bytes of the BAR, and what lies over its end. */
	region_write(m, &m->common, 0x3ffc, 8, UINT64_MAX);
	assert_int_equal(region_read(m, &m->common, 0x3ffc, 4), 0);
}

static void virtio_pci_config_generation_follows_changes(void **state)
{
	struct fixture *f = *state;
	uint32_t before = common_read(&f->m, CONFIG_GENERATION, 1);

	assert_int_equal(common_read(&f->m, CONFIG_GENERATION, 1), before);
	virtio_config_changed(&f->vdev);
	assert_int_not_equal(common_read(&f->m, CONFIG_GENERATION, 1), before);
	for (unsigned i = 1; i < 256; i++)
		virtio_config_changed(&f->vdev);
	assert_int_equal(common_read(&f->m, CONFIG_GENERATION, 1), before);
}

/* ---- notifications ---- */

static void virtio_pci_notification_kicks_its_queue(void **state)
{
	static const uint8_t widths[] = { 1, 2, 4, 8 };
	struct fixture *f = *state;
	struct machine *m = &f->m;

	for (unsigned up = 0; up < 2; up++) {
		for (unsigned i = 0; i < QUEUES; i++) {
			for (unsigned j = 0; j < sizeof(widths); j++) {
				region_write(m, &m->notify, 4 * i, widths[j], 0xffffffff);
				for (unsigned k = 0; k < QUEUES; k++)
					assert_int_equal(kicks(f, k), k == i);
			}
		}
		if (!up)
			bring_up(f, true); /* the doorbells are on now */
	}
	assert_int_equal(region_read(m, &m->notify, 0, 2), 0);
}

static void virtio_pci_notification_out_of_range_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	for (unsigned up = 0; up < 2; up++) {
		for (unsigned offset = 0; offset < 0x1000; offset++) {
			if (offset % 4 || offset >= 4 * QUEUES)
				region_write(m, &m->notify, offset, 2, offset);
		}
		for (unsigned i = 0; i < QUEUES; i++)
			assert_int_equal(kicks(f, i), 0);
		if (!up)
			bring_up(f, true);
	}
}

static void virtio_pci_doorbells_are_bound_for_enabled_queues(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	/* A driver sizes the BARs long before. */
	config_write(m, 4, 0, 2);
	config_write(m, 4, 6, 2);
	negotiate(f);
	assert_int_equal(f->binds, 0);
	enable_queue(f, 2);
	assert_int_equal(f->bound, 1);
	enable_queue(f, 0);
	assert_int_equal(f->bound, 2);
	common_write(m, QUEUE_SELECT, 2, QUEUES);
	common_write(m, QUEUE_ENABLE, 2, 1);
	assert_int_equal(f->bound, 2);
	/* The driver's own reset costs nothing. */
	set_status(f, 0);
	assert_int_equal(f->binds, 2);
	virtio_device_reset(&f->vdev);
	virtio_pci_reset(m->transport);
	assert_int_equal(f->bound, 0);
	/* Where the kernel does not take the write, the register does. */
	region_write(m, &m->notify, 4, 2, 1);
	assert_int_equal(kicks(f, 1), 1);
}

static void virtio_pci_bar_moves_with_bound_doorbells(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;

	bring_up(f, true);
	assert_int_equal(f->binds, QUEUES);
	config_write(m, 0x10, (uint32_t)MACHINE_MMIO_BASE + 0x80000, 4);
	assert_int_equal(f->bound, QUEUES);
	assert_int_equal(f->binds, 2 * QUEUES);
	assert_int_equal(machine_address(m, &m->common), MACHINE_MMIO_BASE + 0x80000);
	assert_int_equal(get_status(f), ALL_GOOD);
	/* Over the other BAR, over RAM, over nothing that is PCI's: gone, and back. */
	config_write(m, 0x10, config_read(m, 0x14, 4), 4);
	assert_int_equal(f->bound, 0);
	config_write(m, 0x10, 0x8000, 4);
	assert_int_equal(f->bound, 0);
	assert_int_equal(region_read(m, &m->common, NUM_QUEUES, 2), 0xffff);
	config_write(m, 0x10, 0xffff0000, 4);
	assert_int_equal(f->bound, 0);
	config_write(m, 0x10, (uint32_t)MACHINE_MMIO_BASE + 0x40000, 4);
	assert_int_equal(f->bound, QUEUES);
	assert_int_equal(get_status(f), ALL_GOOD);
}

static void virtio_pci_bar_that_moved_rings_there(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint64_t old;
	uint16_t value = 0;

	bring_up(f, true);
	old = machine_address(m, &m->notify);
	config_write(m, 0x10, (uint32_t)MACHINE_MMIO_BASE + 0x80000, 4);
	bus_write(m->mmio, old, &value, 2);
	assert_int_equal(kicks(f, 0), 0);
	region_write(m, &m->notify, 0, 2, 0);
	assert_int_equal(kicks(f, 0), 1);
}

/* ---- the window in configuration space ---- */

static void aim_window(struct machine *m, uint8_t bar, uint32_t offset, uint32_t length)
{
	config_write(m, m->window.capability + 4, bar, 1);
	config_write(m, m->window.capability + 8, offset, 4);
	config_write(m, m->window.capability + 12, length, 4);
}

static uint32_t window_get(
	struct machine *m, const struct machine_region *region, uint32_t offset, uint32_t length)
{
	aim_window(m, region->bar, region->offset + offset, length);
	return config_read(m, m->window.capability + 16, length);
}

static void window_put(struct machine *m, const struct machine_region *region, uint32_t offset,
	uint32_t length, uint32_t value)
{
	aim_window(m, region->bar, region->offset + offset, length);
	config_write(m, m->window.capability + 16, value, length);
}

static void virtio_pci_window_reaches_all_registers(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	struct machine_region table = { .bar = 1 };

	/* It needs no BAR. */
	config_write(m, PCI_CFG_COMMAND, 0, 2);
	assert_int_equal(window_get(m, &m->common, NUM_QUEUES, 2), QUEUES);
	window_put(m, &m->common, QUEUE_SELECT, 2, 2);
	assert_int_equal(window_get(m, &m->common, QUEUE_NOTIFY_OFF, 2), 2);
	window_put(m, &m->common, DEVICE_FEATURE_SELECT, 4, 1);
	assert_int_equal(window_get(m, &m->common, DEVICE_FEATURE, 4),
		(uint32_t)(VIRTIO_COMMON_FEATURES >> 32));
	window_put(m, &m->common, DEVICE_STATUS, 1, 1);
	assert_int_equal(window_get(m, &m->common, DEVICE_STATUS, 1), 1);
	assert_int_equal(window_get(m, &m->device, 8, 2), 0xa9a8);
	window_put(m, &m->device, 4, 4, 0x44332211);
	assert_int_equal(f->config[5], 0x22);
	window_put(m, &m->notify, 4, 2, 1);
	assert_int_equal(kicks(f, 1), 1);
	window_put(m, &table, 24, 4, 0x99);
	assert_int_equal(window_get(m, &table, 24, 4), 0x99);
	/* Interrupts meanwhile: the pin's lock is not the window's. */
	config_write(m, PCI_CFG_COMMAND, 6, 2);
	bring_up(f, false);
	virtio_queue_interrupt(&f->vdev, 0);
	assert_true(m->levels[MACHINE_LINE]);
	assert_int_equal(window_get(m, &m->isr, 0, 1), 1);
	assert_false(m->levels[MACHINE_LINE]);
}

static void virtio_pci_window_uses_the_first_bytes(void **state)
{
	struct fixture *f = *state;
	struct machine *m = &f->m;
	unsigned data = m->window.capability + 16;

	aim_window(m, m->common.bar, m->common.offset + QUEUE_SELECT, 2);
	config_write(m, data, 0xffff0001, 4);
	assert_int_equal(common_read(m, QUEUE_SELECT, 2), 1);
	assert_int_equal(config_read(m, data, 4), 1);
	assert_int_equal(config_read(m, data + 1, 1), 0);
	aim_window(m, m->common.bar, m->common.offset + DEVICE_STATUS, 1);
	config_write(m, data, 0x12345603, 4);
	assert_int_equal(get_status(f), 3);
}

static void virtio_pci_hostile_window_reads_zero_and_writes_nothing(void **state)
{
	static const uint32_t offsets[] = { 0x4000, 0x3ffe, 0x3fff, 0x7fffffff, 0x80000000,
		0xfffffffc, 0xffffffff, 0x1000000, 0x20000800, QUEUE_SELECT + 1,
		QUEUE_SIZE_FIELD + 2 };
	static const uint32_t lengths[] = { 0, 3, 5, 8, 16, 0x100, 0x80000000, 0xffffffff,
		0x01000000, 0x10002 };
	struct fixture *f = *state;
	struct machine *m = &f->m;
	uint32_t before[COMMON_LENGTH], after[COMMON_LENGTH];
	unsigned data = m->window.capability + 16;

	/* An event that waits, which pending bits would show. */
	bring_up(f, true);
	msix_program(m, 1, true);
	virtio_queue_interrupt(&f->vdev, 0);
	aim_window(m, 1, 0x800, 4);
	assert_int_equal(config_read(m, data, 4), 2);
	snapshot(m, before);
	for (unsigned bar = 2; bar < 256; bar++) {
		aim_window(m, (uint8_t)bar, m->common.offset + NUM_QUEUES, 2);
		config_write(m, data, 0xffffffff, 4);
		assert_int_equal(config_read(m, data, 4), 0);
	}
	for (uint8_t bar = 0; bar < 2; bar++) {
		for (unsigned i = 0; i < array_size(offsets); i++) {
			aim_window(m, bar, offsets[i], 4);
			config_write(m, data, 0xffffffff, 4);
			assert_int_equal(config_read(m, data, 4), 0);
		}
		for (unsigned i = 0; i < array_size(lengths); i++) {
			aim_window(m, bar, m->common.offset + DEVICE_FEATURE_SELECT, lengths[i]);
			config_write(m, data, 0xffffffff, 4);
			assert_int_equal(config_read(m, data, 4), 0);
		}
	}
	/* The table takes dwords only. */
	aim_window(m, 1, 8, 2);
	config_write(m, data, 0xffff, 2);
	aim_window(m, 1, 8, 4);
	assert_int_equal(config_read(m, data, 4), 0x40); /* as msix_program left it */
	snapshot(m, after);
	assert_memory_equal(before, after, sizeof(before));
}

/* ---- what fails ---- */

static void virtio_pci_full_bus_leaves_nothing(void **state)
{
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	static struct pci_device others[31 * 8 - 1];
	struct fixture *f = *state;
	struct machine *m = &f->m;
	struct virtio_device one_more;
	struct virtio_pci *transport;
	struct error err;

	for (unsigned i = 0; i < array_size(others); i++) {
		pci_device_init(&others[i], "other", &ids, 0);
		assert_int_equal(pci_bus_attach(m->pci, &others[i], 0, NULL), 0);
	}
	init_vdev(f, &one_more, 16);
	assert_int_equal(
		virtio_pci_create(&one_more, 0, m->pci, &m->msi, &transport, &err), -ENOSPC);
	assert_string_equal(err.text, "virtio-fake: the PCI bus is full, it takes 248 devices");
	assert_null(one_more.transport);
	virtio_device_fini(&one_more);
	for (unsigned i = 0; i < array_size(others); i++)
		pci_bus_detach(&others[i]);
}

static void virtio_pci_create_without_vectors_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct virtio_device other;
	struct virtio_pci *transport;
	struct error err;

	init_vdev(f, &other, 1);
	f->m.messages_full = true;
	assert_int_equal(
		virtio_pci_create(&other, 0, f->m.pci, &f->m.msi, &transport, &err), -ENOSPC);
	assert_true(strlen(err.text) > 0);
	virtio_device_fini(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(virtio_pci_ids_are_those_of_a_modern_device),
		TEST(virtio_pci_capabilities_tell_where_all_is),
		TEST(virtio_pci_device_without_configuration_has_no_capability_for_it),
		TEST(virtio_pci_fields_as_a_driver_uses_them),
		TEST(virtio_pci_read_only_fields_ignore_writes),
		TEST(virtio_pci_other_widths_read_zero_and_write_nothing),
		TEST(virtio_pci_queue_selector_out_of_range_is_ignored),
		TEST(virtio_pci_queue_registers_are_frozen_once_enabled),
		TEST(virtio_pci_queue_is_enabled_by_one_only),
		TEST(virtio_pci_config_space_ends_where_it_ends),
		TEST(virtio_pci_config_generation_follows_changes),
		TEST(virtio_pci_notification_kicks_its_queue),
		TEST(virtio_pci_notification_out_of_range_is_ignored),
		cmocka_unit_test_setup_teardown(
			virtio_pci_doorbells_are_bound_for_enabled_queues, setup_bound, teardown),
		cmocka_unit_test_setup_teardown(
			virtio_pci_bar_moves_with_bound_doorbells, setup_bound, teardown),
		TEST(virtio_pci_bar_that_moved_rings_there),
		TEST(virtio_pci_window_reaches_all_registers),
		TEST(virtio_pci_window_uses_the_first_bytes),
		TEST(virtio_pci_hostile_window_reads_zero_and_writes_nothing),
		TEST(virtio_pci_full_bus_leaves_nothing),
		TEST(virtio_pci_create_without_vectors_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
