/* What the kernel is told: Linux's boot_params ("zero page"), or PVH's start_info.
 * Threads: one at a time. */
#ifndef VMGUI_CORE_BOOT_PARAMS_H
#define VMGUI_CORE_BOOT_PARAMS_H

#include "core/boot/bzimage.h"
#include "core/boot/memory_map.h"

struct params_input {
	const struct bzimage *header; /* NULL: the kernel came without one */
	const struct boot_machine *machine;
	const struct memory_map *map;
	uint64_t kernel_gpa; /* where the kernel proper was loaded */
	uint64_t initrd_gpa, initrd_bytes;
	bool randomized; /* the kernel was moved: KASLR_FLAG */
};

/* Both write below LOW_END_GPA. -EINVAL: the machine's video mode cannot be expressed. */
VMGUI_MUST_USE int params_write_linux(
	struct guest_mem *mem, const struct params_input *input, struct error *err);
VMGUI_MUST_USE int params_write_pvh(
	struct guest_mem *mem, const struct params_input *input, struct error *err);

#endif
