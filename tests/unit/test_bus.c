/* core/bus: claims, lookups, splitting. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/bus.h"

struct chip {
	uint64_t offset, value;
	unsigned width, reads, writes;
	uint64_t answer;
	struct bus *remove_from;
};

static uint64_t chip_read(void *opaque, uint64_t offset, unsigned width)
{
	struct chip *chip = opaque;

	chip->offset = offset;
	chip->width = width;
	chip->reads++;
	return chip->answer >> (8 * offset);
}

static void chip_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct chip *chip = opaque;

	chip->offset = offset;
	chip->width = width;
	chip->value = value;
	chip->writes++;
	if (chip->remove_from)
		assert_int_equal(bus_remove(chip->remove_from, 0x100), 0);
}

static const struct bus_region_ops chip_ops = { .read = chip_read, .write = chip_write };

static struct bus_region region_of(
	struct chip *chip, uint64_t base, uint64_t length, unsigned widths)
{
	return (struct bus_region){
		.base = base,
		.length = length,
		.widths = widths,
		.owner = "chip",
		.ops = &chip_ops,
		.opaque = chip,
	};
}

static int add(struct bus *bus, struct chip *chip, uint64_t base, uint64_t length, unsigned widths)
{
	struct bus_region region = region_of(chip, base, length, widths);

	return bus_add(bus, &region, NULL);
}

static int setup(void **state)
{
	*state = bus_create("port", 0x10000);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	bus_destroy(*state);
	return 0;
}

static void bus_access_reaches_region_with_offset(void **state)
{
	struct chip chip = { .answer = 0x1122334455667788 };
	uint32_t value = 0xa1b2c3d4;

	assert_int_equal(add(*state, &chip, 0x100, 8, BUS_WIDTH_ANY), 0);
	assert_true(bus_write(*state, 0x104, &value, 4));
	assert_int_equal(chip.offset, 4);
	assert_int_equal(chip.width, 4);
	assert_int_equal(chip.value, 0xa1b2c3d4);
	assert_true(bus_read(*state, 0x102, &value, 2));
	assert_int_equal(value & 0xffff, 0x5566);
}

static void bus_unclaimed_read_gives_all_ones(void **state)
{
	uint8_t data[8] = { 0 };

	assert_false(bus_read(*state, 0x80, data, 8));
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(data[i], 0xff);
	assert_false(bus_write(*state, 0x80, data, 8));
}

static void bus_overlap_is_refused_and_names_both(void **state)
{
	struct chip chip = { 0 };
	struct bus_region region = region_of(&chip, 0x107, 4, BUS_WIDTH_1);
	struct error err;

	assert_int_equal(add(*state, &chip, 0x100, 8, BUS_WIDTH_1), 0);
	region.owner = "other";
	assert_int_equal(bus_add(*state, &region, &err), -EEXIST);
	assert_non_null(strstr(err.text, "other"));
	assert_non_null(strstr(err.text, "chip"));
	assert_int_equal(add(*state, &chip, 0xff, 2, BUS_WIDTH_1), -EEXIST);
	assert_int_equal(add(*state, &chip, 0x100, 8, BUS_WIDTH_1), -EEXIST);
	assert_int_equal(add(*state, &chip, 0x108, 1, BUS_WIDTH_1), 0);
	assert_int_equal(add(*state, &chip, 0xff, 1, BUS_WIDTH_1), 0);
}

static void bus_wrapping_or_empty_region_is_refused(void **state)
{
	struct bus *memory = bus_create("memory", 0);
	struct chip chip = { 0 };

	assert_int_equal(add(*state, &chip, 0x100, 0, BUS_WIDTH_1), -EINVAL);
	assert_int_equal(add(*state, &chip, 0xffff, 2, BUS_WIDTH_1), -EINVAL);
	assert_int_equal(add(*state, &chip, 0xffff, 1, BUS_WIDTH_1), 0);
	assert_int_equal(add(memory, &chip, UINT64_MAX, 2, BUS_WIDTH_1), -EINVAL);
	assert_int_equal(add(memory, &chip, UINT64_MAX, 1, BUS_WIDTH_1), 0);
	bus_destroy(memory);
}

static void bus_wide_access_to_bytes_is_split(void **state)
{
	struct chip chip = { .answer = 0x44332211 };
	uint32_t value = 0;

	assert_int_equal(add(*state, &chip, 0x60, 4, BUS_WIDTH_1), 0);
	assert_true(bus_read(*state, 0x60, &value, 4));
	assert_int_equal(chip.reads, 4);
	assert_int_equal(value, 0x44332211);
	value = 0x04030201;
	assert_true(bus_write(*state, 0x60, &value, 4));
	assert_int_equal(chip.writes, 4);
	assert_int_equal(chip.value, 4);
}

static void bus_access_over_an_end_touches_only_what_is_there(void **state)
{
	struct chip first = { .answer = 0x11 }, second = { .answer = 0x22 };
	uint32_t value = 0;

	assert_int_equal(add(*state, &first, 0x70, 1, BUS_WIDTH_ANY), 0);
	assert_int_equal(add(*state, &second, 0x72, 1, BUS_WIDTH_1), 0);
	assert_true(bus_read(*state, 0x70, &value, 4));
	assert_int_equal(value, 0xff22ff11);
	assert_true(bus_read(*state, 0x71, &value, 2));
	assert_int_equal(value & 0xffff, 0x22ff);
	assert_int_equal(first.reads, 1);
	assert_true(bus_read(*state, 0xfffe, &value, 4) == false);
}

static void bus_width_that_is_not_taken_reads_ones(void **state)
{
	struct chip chip = { .answer = 0 };
	uint64_t value = 0;

	assert_int_equal(add(*state, &chip, 0x200, 8, BUS_WIDTH_2), 0);
	assert_true(bus_read(*state, 0x200, &value, 4));
	assert_int_equal(value, 0xffffffff);
	assert_int_equal(chip.reads, 0);
	assert_true(bus_write(*state, 0x200, &value, 1));
	assert_int_equal(chip.writes, 0);
}

static void bus_region_without_callbacks_is_claimed(void **state)
{
	static const struct bus_region_ops none = { .read = NULL };
	const struct bus_region region = {
		.base = 0x300, .length = 4, .widths = BUS_WIDTH_ANY, .owner = "nobody", .ops = &none
	};
	uint32_t value = 0;

	assert_int_equal(bus_add(*state, &region, NULL), 0);
	assert_true(bus_read(*state, 0x300, &value, 4));
	assert_int_equal(value, 0xffffffff);
	assert_true(bus_write(*state, 0x300, &value, 4));
}

static void bus_remove_frees_the_addresses(void **state)
{
	struct chip chip = { 0 };
	uint8_t value;

	assert_int_equal(bus_remove(*state, 0x100), -ENOENT);
	assert_int_equal(add(*state, &chip, 0x100, 8, BUS_WIDTH_1), 0);
	assert_int_equal(bus_remove(*state, 0x101), -ENOENT);
	assert_int_equal(bus_remove(*state, 0x100), 0);
	assert_false(bus_read(*state, 0x100, &value, 1));
	assert_int_equal(add(*state, &chip, 0x104, 8, BUS_WIDTH_1), 0);
}

static void bus_callback_may_remove_its_own_region(void **state)
{
	struct chip chip = { .remove_from = *state };
	uint8_t value = 1;

	assert_int_equal(add(*state, &chip, 0x100, 8, BUS_WIDTH_1), 0);
	assert_true(bus_write(*state, 0x100, &value, 1));
	assert_false(bus_write(*state, 0x100, &value, 1));
}

static void bus_takes_a_bounded_number_of_regions(void **state)
{
	struct chip chip = { 0 };

	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(add(*state, &chip, 0x1000 + 1023 * 4 - 4 * i, 4, BUS_WIDTH_1), 0);
	assert_int_equal(add(*state, &chip, 0x8000, 4, BUS_WIDTH_1), -ENOSPC);
}

struct racer {
	struct bus *bus;
	struct chip *chip;
};

static void *race_reads(void *opaque)
{
	struct racer *racer = opaque;
	uint8_t value;

	for (unsigned i = 0; i < 20000; i++)
		bus_read(racer->bus, 0x400, &value, 1);
	return NULL;
}

static void bus_changes_while_others_read_are_safe(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct chip chip = { .answer = 7 };
	struct bus_region region = region_of(&chip, 0x400, 4, BUS_WIDTH_1);
	struct racer racer = { .bus = *state };
	pthread_t threads[2];

	region.lock = &lock;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_reads, &racer), 0);
	for (unsigned i = 0; i < 2000; i++) {
		assert_int_equal(bus_add(*state, &region, NULL), 0);
		assert_int_equal(bus_remove(*state, 0x400), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static uint64_t rings(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void bus_doorbell_rings_instead_of_the_region(void **state)
{
	struct chip chip = { 0 };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const struct bus_doorbell any = { .address = 0x100, .eventfd = fd };
	const struct bus_doorbell word = {
		.address = 0x104, .width = 2, .match = true, .value = 7, .eventfd = fd
	};
	uint32_t value = 7;

	assert_int_equal(add(*state, &chip, 0x100, 8, BUS_WIDTH_ANY), 0);
	assert_int_equal(bus_add_doorbell(*state, &any, NULL), 0);
	assert_int_equal(bus_add_doorbell(*state, &any, NULL), -EEXIST);
	assert_int_equal(bus_add_doorbell(*state, &word, NULL), 0);
	assert_true(bus_write(*state, 0x100, &value, 4));
	assert_true(bus_write(*state, 0x100, &value, 1));
	assert_int_equal(rings(fd), 2);
	assert_true(bus_write(*state, 0x104, &value, 2));
	assert_int_equal(rings(fd), 1);
	assert_int_equal(chip.writes, 0);
	/* Another width, another value, another address, a read: the region's. */
	assert_true(bus_write(*state, 0x104, &value, 4));
	value = 8;
	assert_true(bus_write(*state, 0x104, &value, 2));
	assert_true(bus_write(*state, 0x102, &value, 2));
	assert_true(bus_read(*state, 0x100, &value, 4));
	assert_int_equal(rings(fd), 0);
	assert_int_equal(chip.writes, 3);
	assert_int_equal(bus_remove_doorbell(*state, &any), 0);
	assert_int_equal(bus_remove_doorbell(*state, &any), -ENOENT);
	assert_true(bus_write(*state, 0x100, &value, 4));
	assert_int_equal(chip.writes, 4);
	close(fd);
}

static void bus_doorbells_are_checked_and_bounded(void **state)
{
	struct bus_doorbell doorbell = { .address = 0x10000, .width = 2, .eventfd = 0 };

	assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), -EINVAL);
	doorbell.address = 0;
	doorbell.width = 3;
	assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), -EINVAL);
	doorbell.width = 16;
	assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), -EINVAL);
	doorbell.width = 0;
	doorbell.match = true;
	assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), -EINVAL);
	doorbell.width = 2;
	for (unsigned i = 0; i < 4096; i++) {
		doorbell.value = i;
		assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), 0);
	}
	doorbell.value = 4096;
	assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), -ENOSPC);
}

struct binder {
	unsigned bound, unbound;
	int result;
};

static int fake_bind(void *opaque, const struct bus_doorbell *doorbell)
{
	struct binder *binder = opaque;

	(void)doorbell;
	binder->bound += !binder->result;
	return binder->result;
}

static void fake_unbind(void *opaque, const struct bus_doorbell *doorbell)
{
	(void)doorbell;
	((struct binder *)opaque)->unbound++;
}

static void bus_connected_doorbell_is_bound_elsewhere(void **state)
{
	struct binder binder = { 0 };
	const struct bus_doorbell_ops ops = {
		.bind = fake_bind, .unbind = fake_unbind, .opaque = &binder
	};
	struct bus_doorbell doorbell = { .address = 0x20, .eventfd = -1 };
	struct error err;

	bus_connect_doorbells(*state, &ops);
	assert_int_equal(bus_add_doorbell(*state, &doorbell, NULL), 0);
	assert_int_equal(binder.bound, 1);
	assert_int_equal(bus_remove_doorbell(*state, &doorbell), 0);
	assert_int_equal(binder.unbound, 1);
	binder.result = -ENOSPC;
	assert_int_equal(bus_add_doorbell(*state, &doorbell, &err), -ENOSPC);
	assert_int_equal(bus_remove_doorbell(*state, &doorbell), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(bus_access_reaches_region_with_offset),
		TEST(bus_unclaimed_read_gives_all_ones),
		TEST(bus_overlap_is_refused_and_names_both),
		TEST(bus_wrapping_or_empty_region_is_refused),
		TEST(bus_wide_access_to_bytes_is_split),
		TEST(bus_access_over_an_end_touches_only_what_is_there),
		TEST(bus_width_that_is_not_taken_reads_ones),
		TEST(bus_region_without_callbacks_is_claimed),
		TEST(bus_remove_frees_the_addresses),
		TEST(bus_callback_may_remove_its_own_region),
		TEST(bus_takes_a_bounded_number_of_regions),
		TEST(bus_changes_while_others_read_are_safe),
		TEST(bus_doorbell_rings_instead_of_the_region),
		TEST(bus_doorbells_are_checked_and_bounded),
		TEST(bus_connected_doorbell_is_bound_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
