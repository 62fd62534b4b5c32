/* The e820 map and placement in it. */
#include "cmocka_all.h"

#include <errno.h>

#include "core/boot/memory_map.h"

/* Only the numbers count here: no memory behind them. */
static struct guest_mem fake_mem(uint64_t low, uint64_t high)
{
	return (struct guest_mem){
		.regions = { { 0, low, NULL }, { GUEST_MEM_HOLE_END, high, NULL } },
		.region_count = high ? 2 : 1,
		.size_bytes = low + high,
	};
}

static void memory_map_plain_ram_has_the_bios_hole(void **state)
{
	static const struct boot_memory_range expected[] = {
		{ 0, 0x9fc00, BOOT_MEMORY_RAM },
		{ 0x9fc00, 0x400, BOOT_MEMORY_RESERVED },
		{ 0xe0000, 0x20000, BOOT_MEMORY_RESERVED },
		{ 0x100000, 0xbff00000, BOOT_MEMORY_RAM },
		{ 0x100000000, 0x40000000, BOOT_MEMORY_RAM },
	};
	struct guest_mem mem = fake_mem(GUEST_MEM_HOLE_START, GIB(1));
	struct boot_machine machine = { .acpi_rsdp_gpa = 0 };
	struct memory_map map;

	(void)state;
	assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), 0);
	assert_int_equal(map.count, array_size(expected));
	for (unsigned i = 0; i < map.count; i++) {
		assert_int_equal(map.ranges[i].start_gpa, expected[i].start_gpa);
		assert_int_equal(map.ranges[i].length_bytes, expected[i].length_bytes);
		assert_int_equal(map.ranges[i].type, expected[i].type);
	}
}

static void memory_map_machine_ranges_cut_ram(void **state)
{
	static const struct boot_memory_range ranges[] = {
		{ 0xe0000, 0x20000, BOOT_MEMORY_ACPI },
		{ MIB(32), MIB(1), BOOT_MEMORY_ACPI },
		{ MIB(63), MIB(1), BOOT_MEMORY_NVS },
		{ 0xe0000000, MIB(256), BOOT_MEMORY_RESERVED },
	};
	struct guest_mem mem = fake_mem(MIB(64), 0);
	struct boot_machine machine = { .ranges = ranges, .range_count = array_size(ranges) };
	struct memory_map map;
	uint64_t at = 0, ram = 0;

	(void)state;
	assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), 0);
	for (unsigned i = 0; i < map.count; i++) {
		assert_true(map.ranges[i].start_gpa >= at);
		at = map.ranges[i].start_gpa + map.ranges[i].length_bytes;
		if (map.ranges[i].type == BOOT_MEMORY_RAM)
			ram += map.ranges[i].length_bytes;
	}
	assert_int_equal(map.count, 8);
	assert_int_equal(ram, MIB(64) - MIB(2) - (0x100000 - 0x9fc00));
}

static void memory_map_wrapping_range_is_refused(void **state)
{
	static const struct boot_memory_range bad[] = {
		{ UINT64_MAX - 10, 100, BOOT_MEMORY_RESERVED },
		{ MIB(1), 0, BOOT_MEMORY_RESERVED },
	};
	struct guest_mem mem = fake_mem(MIB(64), 0);
	struct memory_map map;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		struct boot_machine machine = { .ranges = &bad[i], .range_count = 1 };

		assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), -EINVAL);
	}
}

static void memory_map_too_many_ranges_are_refused(void **state)
{
	struct boot_memory_range ranges[200];
	struct guest_mem mem = fake_mem(MIB(64), 0);
	struct boot_machine machine = { .ranges = ranges, .range_count = 200 };
	struct memory_map map;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		ranges[i] = (struct boot_memory_range){ MIB(2) + i * KIB(8), KIB(4),
			BOOT_MEMORY_RESERVED };
	assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), -E2BIG);
}

static void memory_map_take_refuses_overlap_and_no_ram(void **state)
{
	struct guest_mem mem = fake_mem(MIB(64), 0);
	struct boot_machine machine = { .acpi_rsdp_gpa = 0 };
	struct memory_map map;
	const char *other;

	(void)state;
	assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), 0);
	assert_int_equal(memory_map_take(&map, MIB(16), MIB(4), "kernel", &other), 0);
	assert_int_equal(memory_map_take(&map, MIB(20) - 1, 1, "x", &other), -EEXIST);
	assert_string_equal(other, "kernel");
	assert_int_equal(memory_map_take(&map, MIB(20), 1, "x", &other), 0);
	assert_int_equal(memory_map_take(&map, MIB(64) - 1, 2, "x", &other), -ERANGE);
	assert_int_equal(memory_map_take(&map, 0x9f000, 0x1000, "x", &other), -ERANGE);
	assert_int_equal(memory_map_take(&map, UINT64_MAX, 2, "x", &other), -ERANGE);
	assert_int_equal(memory_map_take(&map, MIB(2), UINT64_MAX, "x", &other), -ERANGE);
}

static void memory_map_find_avoids_what_is_taken(void **state)
{
	struct guest_mem mem = fake_mem(MIB(64), 0);
	struct boot_machine machine = { .acpi_rsdp_gpa = 0 };
	struct memory_map map;
	const char *other;
	uint64_t at;

	(void)state;
	assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), 0);
	assert_int_equal(memory_map_take(&map, MIB(60), MIB(4), "top", &other), 0);
	assert_int_equal(memory_map_take(&map, MIB(1), MIB(3), "bottom", &other), 0);
	assert_int_equal(memory_map_find_top(&map, MIB(2), PAGE_BYTES, 0, UINT64_MAX, &at), 0);
	assert_int_equal(at, MIB(58));
	assert_int_equal(memory_map_find_top(&map, MIB(2), PAGE_BYTES, 0, MIB(30) + 5, &at), 0);
	assert_int_equal(at, MIB(28));
	assert_int_equal(memory_map_find_bottom(&map, MIB(2), MIB(2), MIB(1), UINT64_MAX, &at), 0);
	assert_int_equal(at, MIB(4));
	assert_int_equal(
		memory_map_find_bottom(&map, MIB(57), MIB(2), 0, UINT64_MAX, &at), -ENOSPC);
	assert_int_equal(memory_map_find_top(&map, MIB(56), PAGE_BYTES, 0, UINT64_MAX, &at), 0);
	assert_int_equal(at, MIB(4));
}

static void memory_map_random_reaches_every_slot_and_no_other(void **state)
{
	struct guest_mem mem = fake_mem(MIB(64), 0);
	struct boot_machine machine = { .acpi_rsdp_gpa = 0 };
	struct memory_map map;
	const char *other;
	bool seen[64] = { false };
	uint64_t at;

	(void)state;
	assert_int_equal(memory_map_build(&map, &mem, &machine, NULL), 0);
	assert_int_equal(memory_map_take(&map, MIB(30), MIB(1), "x", &other), 0);
	for (uint64_t random = 0; random < 1000; random++) {
		assert_int_equal(
			memory_map_find_random(&map, MIB(4), MIB(2), MIB(16), MIB(60), random, &at),
			0);
		assert_true(at % MIB(2) == 0 && at >= MIB(16) && at + MIB(4) <= MIB(60));
		assert_true(at + MIB(4) <= MIB(30) || at >= MIB(31));
		seen[at >> 20] = true;
	}
	for (unsigned i = 16; i <= 56; i += 2)
		assert_int_equal(seen[i], i <= 26 || i >= 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_map_plain_ram_has_the_bios_hole),
		cmocka_unit_test(memory_map_machine_ranges_cut_ram),
		cmocka_unit_test(memory_map_wrapping_range_is_refused),
		cmocka_unit_test(memory_map_too_many_ranges_are_refused),
		cmocka_unit_test(memory_map_take_refuses_overlap_and_no_ram),
		cmocka_unit_test(memory_map_find_avoids_what_is_taken),
		cmocka_unit_test(memory_map_random_reaches_every_slot_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
