/* Moves a Linux kernel to another virtual address: the relocation tables that the kernel's build
 * appends to the ELF in a bzImage (arch/x86/tools/relocs), read from the file's end:
 *
 *     [0] [64-bit entries] [0] [inverse 32-bit entries] [0] [32-bit entries] end of file
 *
 * without the middle list since Linux 6.15. An entry is the low half of the virtual address, in the
 * kernel's map at -2 GiB, of a word to which the offset is added (subtracted: inverse).
 *
 * Threads: one at a time. */
#ifndef VMGUI_CORE_BOOT_RELOC_H
#define VMGUI_CORE_BOOT_RELOC_H

#include "core/util.h"

#define RELOC_KERNEL_MAP UINT64_C(0xffffffff80000000) /* virtual address of physical 0 */

enum reloc_kind {
	RELOC_64,
	RELOC_INVERSE_32,
	RELOC_32,
	RELOC_KINDS,
};

struct reloc_table {
	struct reloc_list {
		const uint32_t *entries;
		size_t count;
	} lists[RELOC_KINDS];
};

/* words: all that follows the ELF; stays the caller's. The image is [start, start + size) in
 * physical addresses as linked; every entry must lie in it. -EINVAL: not such tables. */
VMGUI_MUST_USE int reloc_parse(struct reloc_table *table, const uint32_t *words, size_t count,
	uint64_t image_start, uint64_t image_bytes);
/* image: image_bytes as given to reloc_parse, in guest memory, which is stopped. */
void reloc_apply(const struct reloc_table *table, uint8_t *image, uint64_t image_start,
	uint64_t image_bytes, uint64_t offset);

#endif
