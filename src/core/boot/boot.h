/* Boots a kernel without firmware: reads and checks the files once, and puts them into guest memory
 * at the start and at every reset of the guest.
 *
 * A Linux bzImage is taken apart on the host: the ELF in it is decompressed (kept in the kernel
 * cache), loaded and relocated as the image's own decompressor would do it. Where that cannot be
 * done the image boots by that decompressor, and a debug line says why. A vmlinux is entered by the
 * boot protocol too; PVH is for what has no other way in.
 *
 * Threads: one at a time (main at start-up, the machine's thread at a reset, vCPUs stopped).
 * Specifications: Linux Documentation/arch/x86/boot.rst and zero-page.rst; xen/include/public
 * arch-x86/hvm/start_info.h; the ELF specification. */
#ifndef VMGUI_CORE_BOOT_BOOT_H
#define VMGUI_CORE_BOOT_BOOT_H

#include "core/error.h"
#include "core/guest_mem.h"
#include "core/util.h"

struct boot_options {
	const char *kernel_path;
	/* Instead of a path: an image in memory that outlives the boot_image, and its name. */
	const uint8_t *embedded_image;
	size_t embedded_bytes;
	const char *embedded_name;
	const char *initrd_path; /* NULL: none */
	const char *params;      /* the kernel command line; NULL: empty */
	uint64_t ram_bytes;      /* of the guest; bounds what decompression may produce */
	bool use_cache;
};

/* The start-up mode of a linear framebuffer, for screen_info. */
struct boot_video {
	bool present;
	uint32_t width, height, stride_bytes;
	uint32_t depth; /* 8, 15, 16, 24 or 32 */
	uint64_t framebuffer_gpa, framebuffer_bytes;
	const uint8_t *edid; /* 128 bytes, or NULL */
};

enum boot_memory_type {
	BOOT_MEMORY_RAM = 1,
	BOOT_MEMORY_RESERVED = 2,
	BOOT_MEMORY_ACPI = 3,
	BOOT_MEMORY_NVS = 4,
};

struct boot_memory_range {
	uint64_t start_gpa, length_bytes;
	uint32_t type; /* enum boot_memory_type */
};

/* What the board tells the guest about itself. */
struct boot_machine {
	struct boot_video video;
	uint64_t acpi_rsdp_gpa; /* 0: none */
	/* Over RAM or outside of it: where the ACPI tables lie, MMCONFIG, ... RAM itself, and the
	 * hole from 0x9fc00 to 0x100000, need not be named. Nothing is loaded into these. */
	const struct boot_memory_range *ranges;
	unsigned range_count;
};

enum boot_mode {
	BOOT_LONG_64,      /* long mode, paging on with cr3 */
	BOOT_PROTECTED_32, /* flat protected mode, paging off */
	BOOT_PVH_32,       /* the same, with start_info in rbx */
};

/* The first vCPU's state. All segments are flat; interrupts are off; rflags is 2. */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t rsi; /* boot_params; 0 with PVH */
	uint64_t rbx; /* start_info; 0 without PVH */
	uint64_t cr3; /* BOOT_LONG_64: identity map of the first 4 GiB */
	uint64_t gdt_gpa;
	uint16_t gdt_limit;
	uint16_t code_selector; /* cs; 64-bit code (L=1, D=0) in long mode, else 32-bit */
	uint16_t data_selector; /* ds, es, fs, gs, ss */
	uint16_t task_selector; /* tr: a busy TSS at 0, limit 0x67 */
};

struct boot_image;

/* Opens, checks and where needed decompresses. -EINVAL: a file or the parameters are wrong (exit
 * status 2), err names it; other errors: -ENOMEM, -EIO, the errno of the open. */
VMGUI_MUST_USE int boot_open(
	const struct boot_options *options, struct boot_image **image, struct error *err);
void boot_close(struct boot_image *image);

/* Fills guest memory, which is all zeroes but for what the board wrote into its own ranges.
 * -EINVAL: the kernel or initrd does not fit into RAM. */
VMGUI_MUST_USE int boot_load(struct boot_image *image, struct guest_mem *mem,
	const struct boot_machine *machine, struct boot_entry *entry, struct error *err);

#endif
