/* start_info for a kernel that is entered by PVH: see params.h.
 * Specification: xen/include/public/arch-x86/hvm/start_info.h, version 1. Threads: one at a time.
 */
#include <errno.h>

#include "core/boot/low_memory.h"
#include "core/boot/params.h"

#define START_INFO_MAGIC   UINT32_C(0x336ec578)
#define START_INFO_VERSION 1

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules_gpa, cmdline_gpa, rsdp_gpa, memory_map_gpa;
	uint32_t memory_map_count, reserved;
};

struct start_info_module {
	uint64_t gpa, size_bytes, cmdline_gpa, reserved;
};

struct start_info_range {
	uint64_t start_gpa, length_bytes;
	uint32_t type, reserved;
};

/* As it lies at LOW_START_INFO_GPA. */
struct start_block {
	struct start_info info;
	struct start_info_module initrd;
	struct start_info_range ranges[MEMORY_MAP_MAX_RANGES];
};

_Static_assert(sizeof(struct start_info) == 56, "start_info");
_Static_assert(
	LOW_START_INFO_GPA + sizeof(struct start_block) <= LOW_CMDLINE_GPA, "room for start_info");

int params_write_pvh(struct guest_mem *mem, const struct params_input *input, struct error *err)
{
	struct start_block block = {
		.info = {
			.magic = START_INFO_MAGIC,
			.version = START_INFO_VERSION,
			.module_count = input->initrd_bytes ? 1 : 0,
			.modules_gpa = input->initrd_bytes ? LOW_START_INFO_GPA +
					offsetof(struct start_block, initrd) : 0,
			.cmdline_gpa = LOW_CMDLINE_GPA,
			.rsdp_gpa = input->machine->acpi_rsdp_gpa,
			.memory_map_gpa = LOW_START_INFO_GPA + offsetof(struct start_block, ranges),
			.memory_map_count = input->map->count,
		},
		.initrd = { .gpa = input->initrd_gpa, .size_bytes = input->initrd_bytes },
	};
	int r;

	for (unsigned i = 0; i < input->map->count; i++)
		block.ranges[i] = (struct start_info_range){
			.start_gpa = input->map->ranges[i].start_gpa,
			.length_bytes = input->map->ranges[i].length_bytes,
			.type = input->map->ranges[i].type,
		};
	r = guest_mem_write(mem, LOW_START_INFO_GPA, &block, sizeof(block));
	if (r)
		return error_set(err, -r, "boot: low memory is not RAM");
	return 0;
}
