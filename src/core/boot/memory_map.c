/* The e820 map and the placement of what boot loads: see memory_map.h. Threads: one at a time. */
#include "core/boot/memory_map.h"

#include <errno.h>
#include <string.h>

/* A PC's low memory: RAM to 639 KiB, then the extended BIOS data, video memory and ROMs. */
#define BIOS_HOLE_START UINT64_C(0x9fc00)
#define VIDEO_START     UINT64_C(0xa0000)
#define ROM_START       UINT64_C(0xe0000) /* ACPI's tables are there (acpi.h) */
#define HIGH_START      UINT64_C(0x100000)

static int append(struct memory_map *map, uint64_t start, uint64_t end, uint32_t type)
{
	if (start >= end)
		return 0;
	if (map->count == MEMORY_MAP_MAX_RANGES)
		return -E2BIG;
	map->ranges[map->count++] = (struct boot_memory_range){ start, end - start, type };
	return 0;
}

/* Replaces whatever is known of [start, end) by type; 0 cuts it out. Keeps the order. */
static int overlay(struct memory_map *map, uint64_t start, uint64_t end, uint32_t type)
{
	struct memory_map old = *map;
	bool placed = false;
	int r = 0;

	map->count = 0;
	for (unsigned i = 0; i < old.count && !r; i++) {
		const struct boot_memory_range *range = &old.ranges[i];
		uint64_t range_end = range->start_gpa + range->length_bytes;

		r = append(map, range->start_gpa, min_u64(range_end, start), range->type);
		if (!r && !placed && range_end > start) {
			placed = true;
			if (type)
				r = append(map, start, end, type);
		}
		if (!r)
			r = append(map, max_u64(range->start_gpa, end), range_end, range->type);
	}
	if (!r && !placed && type)
		r = append(map, start, end, type);
	return r;
}

static void merge(struct memory_map *map)
{
	unsigned kept = 0;

	for (unsigned i = 1; i < map->count; i++) {
		struct boot_memory_range *last = &map->ranges[kept];

		if (map->ranges[i].type == last->type &&
			map->ranges[i].start_gpa == last->start_gpa + last->length_bytes)
			last->length_bytes += map->ranges[i].length_bytes;
		else
			map->ranges[++kept] = map->ranges[i];
	}
	if (map->count)
		map->count = kept + 1;
}

int memory_map_build(struct memory_map *map, const struct guest_mem *mem,
	const struct boot_machine *machine, struct error *err)
{
	int r = 0;

	memset(map, 0, sizeof(*map));
	for (unsigned i = 0; i < mem->region_count && !r; i++)
		r = overlay(map, mem->regions[i].start_gpa,
			mem->regions[i].start_gpa + mem->regions[i].length_bytes, BOOT_MEMORY_RAM);
	if (!r)
		r = overlay(map, BIOS_HOLE_START, VIDEO_START, BOOT_MEMORY_RESERVED);
	if (!r)
		r = overlay(map, VIDEO_START, ROM_START, 0);
	if (!r)
		r = overlay(map, ROM_START, HIGH_START, BOOT_MEMORY_RESERVED);
	for (unsigned i = 0; i < machine->range_count && !r; i++) {
		const struct boot_memory_range *range = &machine->ranges[i];

		if (range->length_bytes == 0 || range->start_gpa > UINT64_MAX - range->length_bytes)
			return error_set(err, EINVAL, "memory map: range %u is empty or wraps", i);
		r = overlay(
			map, range->start_gpa, range->start_gpa + range->length_bytes, range->type);
	}
	if (r)
		return error_set(err, -r, "memory map: more than %d ranges", MEMORY_MAP_MAX_RANGES);
	merge(map);
	return 0;
}

int memory_map_take(struct memory_map *map, uint64_t start_gpa, uint64_t length_bytes,
	const char *what, const char **other)
{
	bool usable = false;

	*other = NULL;
	for (unsigned i = 0; i < map->count; i++) {
		const struct boot_memory_range *range = &map->ranges[i];

		if (range->type == BOOT_MEMORY_RAM && start_gpa >= range->start_gpa &&
			range_fits(start_gpa - range->start_gpa, length_bytes, range->length_bytes))
			usable = true;
	}
	if (!usable)
		return -ERANGE;
	for (unsigned i = 0; i < map->used_count; i++) {
		const struct memory_map_use *use = &map->used[i];

		if (start_gpa < use->start_gpa + use->length_bytes &&
			use->start_gpa < start_gpa + length_bytes) {
			*other = use->what;
			return -EEXIST;
		}
	}
	if (map->used_count == MEMORY_MAP_MAX_USED)
		return -ERANGE;
	map->used[map->used_count++] = (struct memory_map_use){ start_gpa, length_bytes, what };
	return 0;
}

/* The lowest free stretch of RAM that ends above cursor, without what lies below it. */
static bool next_free(
	const struct memory_map *map, uint64_t cursor, uint64_t *free_start, uint64_t *free_end)
{
	for (unsigned i = 0; i < map->count; i++) {
		const struct boot_memory_range *range = &map->ranges[i];
		uint64_t end = range->start_gpa + range->length_bytes;
		uint64_t start = max_u64(range->start_gpa, cursor);
		bool moved;

		if (range->type != BOOT_MEMORY_RAM)
			continue;
		do {
			moved = false;
			for (unsigned j = 0; j < map->used_count; j++) {
				const struct memory_map_use *use = &map->used[j];

				if (use->start_gpa <= start &&
					start - use->start_gpa < use->length_bytes) {
					start = use->start_gpa + use->length_bytes;
					moved = true;
				}
			}
		} while (moved);
		if (start >= end)
			continue;
		for (unsigned j = 0; j < map->used_count; j++)
			if (map->used[j].start_gpa > start)
				end = min_u64(end, map->used[j].start_gpa);
		*free_start = start;
		*free_end = end;
		return true;
	}
	return false;
}

/* Aligned starts in a free stretch that lie in [low, high - length]: first and how many. */
static uint64_t slots(uint64_t start, uint64_t end, uint64_t length_bytes, uint64_t align,
	uint64_t low, uint64_t high, uint64_t *first)
{
	start = max_u64(start, low);
	end = min_u64(end, high);
	if (start >= end || start > UINT64_MAX - align)
		return 0;
	start = align_up(start, align);
	if (start >= end || end - start < length_bytes)
		return 0;
	*first = start;
	return (end - start - length_bytes) / align + 1;
}

int memory_map_find_top(const struct memory_map *map, uint64_t length_bytes, uint64_t align,
	uint64_t low, uint64_t high, uint64_t *start_gpa)
{
	uint64_t start, end, first;
	int r = -ENOSPC;

	for (uint64_t cursor = 0; next_free(map, cursor, &start, &end); cursor = end) {
		uint64_t count = slots(start, end, length_bytes, align, low, high, &first);

		if (count) {
			*start_gpa = first + (count - 1) * align;
			r = 0;
		}
	}
	return r;
}

int memory_map_find_bottom(const struct memory_map *map, uint64_t length_bytes, uint64_t align,
	uint64_t low, uint64_t high, uint64_t *start_gpa)
{
	uint64_t start, end;

	for (uint64_t cursor = 0; next_free(map, cursor, &start, &end); cursor = end)
		if (slots(start, end, length_bytes, align, low, high, start_gpa))
			return 0;
	return -ENOSPC;
}

int memory_map_find_random(const struct memory_map *map, uint64_t length_bytes, uint64_t align,
	uint64_t low, uint64_t high, uint64_t random, uint64_t *start_gpa)
{
	uint64_t start, end, first, total = 0;

	for (uint64_t cursor = 0; next_free(map, cursor, &start, &end); cursor = end)
		total += slots(start, end, length_bytes, align, low, high, &first);
	if (!total)
		return -ENOSPC;
	random %= total;
	for (uint64_t cursor = 0; next_free(map, cursor, &start, &end); cursor = end) {
		uint64_t count = slots(start, end, length_bytes, align, low, high, &first);

		if (random < count) {
			*start_gpa = first + random * align;
			return 0;
		}
		random -= count;
	}
	return -ENOSPC;
}
