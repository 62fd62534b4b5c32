/* Descriptor and page tables for the first vCPU: see low_memory.h.
 * Specification: Intel SDM volume 3, 3.4.5 (segment descriptors) and 4.5 (4-level paging).
 * Threads: one at a time. */
#include "core/boot/low_memory.h"

#include <errno.h>
#include <string.h>

/* The selectors that the boot protocol asks for. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TASK 0x20

#define DESCRIPTOR_CODE_32 UINT64_C(0x00cf9b000000ffff)
#define DESCRIPTOR_CODE_64 UINT64_C(0x00af9b000000ffff)
#define DESCRIPTOR_DATA    UINT64_C(0x00cf93000000ffff)
#define DESCRIPTOR_TASK    UINT64_C(0x00008b0000000067) /* base 0, limit 0x67, busy */

#define PAGE_PRESENT  UINT64_C(0x01)
#define PAGE_WRITABLE UINT64_C(0x02)
#define PAGE_LARGE    UINT64_C(0x80)
#define TABLE_ENTRIES 512u
#define MAPPED_GIB    4u

/* BIOS data area: kernels look there for the end of low RAM before they trust e820. */
#define BDA_EBDA_SEGMENT 0x40eu
#define BDA_MEMORY_KIB   0x413u

static void fill_paging(uint64_t *tables)
{
	uint64_t *const pml4 = tables, *const pointers = tables + TABLE_ENTRIES;
	uint64_t *const directories = tables + (size_t)2 * TABLE_ENTRIES;
	const uint64_t flags = PAGE_PRESENT | PAGE_WRITABLE;

	pml4[0] = (LOW_PAGING_GPA + PAGE_BYTES) | flags;
	for (uint64_t i = 0; i < MAPPED_GIB; i++)
		pointers[i] = (LOW_PAGING_GPA + (2 + i) * PAGE_BYTES) | flags;
	for (uint64_t i = 0; i < (uint64_t)MAPPED_GIB * TABLE_ENTRIES; i++)
		directories[i] = i * MIB(2) | flags | PAGE_LARGE;
}

int low_memory_write(struct guest_mem *mem, enum boot_mode mode, const char *cmdline,
	struct boot_entry *entry, struct error *err)
{
	const uint64_t gdt[] = {
		0, 0, mode == BOOT_LONG_64 ? DESCRIPTOR_CODE_64 : DESCRIPTOR_CODE_32,
		DESCRIPTOR_DATA, DESCRIPTOR_TASK,
		0, /* the upper half of the task descriptor in long mode */
	};
	const uint16_t ebda_segment = 0x9fc0, memory_kib = 639;
	struct guest_slice slice;
	int r;

	r = guest_mem_write(mem, BDA_EBDA_SEGMENT, &ebda_segment, sizeof(ebda_segment));
	if (!r)
		r = guest_mem_write(mem, BDA_MEMORY_KIB, &memory_kib, sizeof(memory_kib));
	if (!r)
		r = guest_mem_write(mem, LOW_GDT_GPA, gdt, sizeof(gdt));
	if (!r)
		r = guest_mem_write(mem, LOW_CMDLINE_GPA, cmdline, strlen(cmdline) + 1);
	if (!r && mode == BOOT_LONG_64) {
		r = guest_mem_slice(mem, LOW_PAGING_GPA, (2 + MAPPED_GIB) * PAGE_BYTES, &slice);
		if (!r)
			fill_paging((uint64_t *)(void *)slice.data);
	}
	if (r)
		return error_set(err, -r, "boot: low memory is not RAM");
	*entry = (struct boot_entry){
		.mode = mode,
		.cr3 = mode == BOOT_LONG_64 ? LOW_PAGING_GPA : 0,
		.gdt_gpa = LOW_GDT_GPA,
		.gdt_limit = sizeof(gdt) - 1,
		.code_selector = SELECTOR_CODE,
		.data_selector = SELECTOR_DATA,
		.task_selector = SELECTOR_TASK,
	};
	return 0;
}
