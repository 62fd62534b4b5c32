/* The head of a Linux bzImage, checked. Specification: Documentation/arch/x86/boot.rst.
 * Threads: one at a time. */
#ifndef VMGUI_CORE_BOOT_BZIMAGE_H
#define VMGUI_CORE_BOOT_BZIMAGE_H

#include "core/boot/source.h"

#define BZIMAGE_HEADER_OFFSET    0x1f1u /* of struct setup_header, in the file and in boot_params */
#define BZIMAGE_HEADER_MAX_BYTES 123u   /* as far as boot_params has room for it */

struct bzimage {
	uint16_t version;                         /* 0x020c: 2.12; at least 2.02 */
	uint8_t header[BZIMAGE_HEADER_MAX_BYTES]; /* the raw bytes, to be handed to the kernel */
	uint64_t kernel_offset, kernel_bytes;     /* the protected-mode part in the file */
	uint64_t payload_offset, payload_bytes;   /* the compressed kernel; 0 bytes: not known */
	bool entry_64;                            /* it has the 64-bit entry, at 0x200 */
	bool relocatable;                         /* may be loaded elsewhere than at load_gpa */
	uint64_t load_gpa;                        /* where it prefers to be loaded */
	uint64_t alignment;                       /* of any other place; a power of two */
	uint64_t memory_bytes;     /* what it needs from load_gpa on, >= kernel_bytes */
	uint64_t initrd_max_gpa;   /* highest address that the initrd may occupy */
	uint64_t params_max_chars; /* without the final NUL */
};

/* Whether it looks like one at all. */
bool bzimage_probe(const struct boot_source *source);
/* -EINVAL: err has the reason alone, without the file's name. */
VMGUI_MUST_USE int bzimage_parse(
	const struct boot_source *source, struct bzimage *image, struct error *err);

#endif
