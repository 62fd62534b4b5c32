/* What boot needs of an ELF kernel: where its parts go, and its entries. Everything in it was
 * checked against the file's size; addresses cannot wrap. Specification: System V ABI, chapters 4
 * and 5. Threads: one at a time. */
#ifndef VMGUI_CORE_BOOT_ELF_H
#define VMGUI_CORE_BOOT_ELF_H

#include "core/boot/source.h"

#define ELF_MAX_SEGMENTS 32

struct elf_segment {
	uint64_t offset, file_bytes; /* in the file */
	uint64_t gpa, memory_bytes;  /* >= file_bytes; the rest is zeroes */
	uint64_t virtual_address;
};

struct elf_image {
	bool is_64; /* x86-64, else i386 */
	struct elf_segment segments[ELF_MAX_SEGMENTS];
	unsigned segment_count;      /* at least 1; they do not overlap */
	uint64_t start_gpa, end_gpa; /* around all segments */
	uint64_t entry_gpa;          /* inside a segment's file part */
	bool entry_is_virtual;       /* the file names it by its virtual address */
	bool is_linux;               /* it has a note of Linux's own */
	bool has_pvh;
	uint64_t pvh_entry_gpa;
	uint64_t file_end; /* behind all that the ELF headers describe */
};

/* -EINVAL: not such an ELF; err has the reason alone, without the file's name. Other errors: the
 * source could not be read. */
VMGUI_MUST_USE int elf_parse(
	const struct boot_source *source, struct elf_image *elf, struct error *err);

#endif
