/* The guest's RAM, and the only way to it: checked, sized access.
 *
 * RAM below GUEST_MEM_HOLE_START, the rest from 4 GiB upwards; between them lie PCI and the
 * interrupt controllers. Memory is anonymous and untouched pages cost nothing.
 *
 * Nobody holds a pointer into it without a length, and a slice never spans two regions. Guest
 * memory changes under us: copy a header once into a local, check the copy, use the copy.
 *
 * Threads: immutable after init, but for its contents, which the guest changes at any time. */
#ifndef VMGUI_CORE_GUEST_MEM_H
#define VMGUI_CORE_GUEST_MEM_H

#include "core/error.h"
#include "core/util.h"

#define GUEST_MEM_HOLE_START UINT64_C(0xc0000000)
#define GUEST_MEM_HOLE_END   UINT64_C(0x100000000)

struct guest_mem_region {
	uint64_t start_gpa;
	uint64_t length_bytes;
	uint8_t *start_hva;
};

struct guest_mem {
	struct guest_mem_region regions[2]; /* low, high; high is absent on small guests */
	unsigned region_count;
	uint64_t size_bytes;
};

struct guest_slice {
	uint8_t *data;
	uint64_t length_bytes;
};

/* size_bytes: a multiple of 4 KiB, at least 1 MiB. -ENOMEM, -EINVAL. */
VMGUI_MUST_USE int guest_mem_init(struct guest_mem *mem, uint64_t size_bytes, struct error *err);
void guest_mem_fini(struct guest_mem *mem);
/* All zeroes again, pages given back to the host. */
void guest_mem_clear(struct guest_mem *mem);

/* The whole of [gpa, gpa + length) in one region, or -EFAULT and an empty slice. */
VMGUI_MUST_USE int guest_mem_slice(const struct guest_mem *mem, uint64_t gpa, uint64_t length_bytes,
	struct guest_slice *slice);
/* Copies; -EFAULT and nothing touched where any byte is not RAM (buffers may span both regions only
 * if these touch, which they never do). */
VMGUI_MUST_USE int guest_mem_read(
	const struct guest_mem *mem, uint64_t gpa, void *buffer, uint64_t length_bytes);
VMGUI_MUST_USE int guest_mem_write(
	const struct guest_mem *mem, uint64_t gpa, const void *buffer, uint64_t length_bytes);
VMGUI_MUST_USE int guest_mem_fill(
	const struct guest_mem *mem, uint64_t gpa, uint8_t value, uint64_t length_bytes);

#endif
