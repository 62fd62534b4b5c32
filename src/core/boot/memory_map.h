/* The guest's physical memory as boot sees it: the e820 map, and who has taken which part of RAM.
 * Threads: one at a time; lives on the caller's stack. */
#ifndef VMGUI_CORE_BOOT_MEMORY_MAP_H
#define VMGUI_CORE_BOOT_MEMORY_MAP_H

#include "core/boot/boot.h"

#define MEMORY_MAP_MAX_RANGES 96 /* below the 128 of boot_params */
#define MEMORY_MAP_MAX_USED   48

struct memory_map {
	struct boot_memory_range ranges[MEMORY_MAP_MAX_RANGES]; /* sorted, apart, not empty */
	unsigned count;
	struct memory_map_use {
		uint64_t start_gpa, length_bytes;
		const char *what;
	} used[MEMORY_MAP_MAX_USED];
	unsigned used_count;
};

/* RAM of mem, less the BIOS hole, overlaid with the machine's own ranges. -EINVAL: a range wraps;
 * -E2BIG: too many of them. */
VMGUI_MUST_USE int memory_map_build(struct memory_map *map, const struct guest_mem *mem,
	const struct boot_machine *machine, struct error *err);

/* Takes a part of RAM; what is a static string. -ERANGE: not all of it is usable RAM; -EEXIST: part
 * of it is taken, and *other says by what. */
VMGUI_MUST_USE int memory_map_take(struct memory_map *map, uint64_t start_gpa,
	uint64_t length_bytes, const char *what, const char **other);

/* Free, aligned room inside [low, high): the highest, the lowest, or any, chosen by random bits.
 * -ENOSPC if there is none. align is a power of two, length > 0. */
VMGUI_MUST_USE int memory_map_find_top(const struct memory_map *map, uint64_t length_bytes,
	uint64_t align, uint64_t low, uint64_t high, uint64_t *start_gpa);
VMGUI_MUST_USE int memory_map_find_bottom(const struct memory_map *map, uint64_t length_bytes,
	uint64_t align, uint64_t low, uint64_t high, uint64_t *start_gpa);
VMGUI_MUST_USE int memory_map_find_random(const struct memory_map *map, uint64_t length_bytes,
	uint64_t align, uint64_t low, uint64_t high, uint64_t random, uint64_t *start_gpa);

#endif
