/* What boot itself puts into low memory for the guest's first instructions. All of it is RAM in the
 * e820 map; a kernel is done with it early.
 *
 *     0x00000  BIOS data area: where RAM below 640 KiB ends
 *     0x01000  GDT
 *     0x02000  PML4, page directory pointers, four page directories: the first 4 GiB, 2 MiB pages
 *     0x08000  boot_params
 *     0x09000  setup_data: random seed
 *     0x0a000  PVH: start_info, module list, memory map
 *     0x0c000  command line
 *     0x1c000  end
 */
#ifndef VMGUI_CORE_BOOT_LOW_MEMORY_H
#define VMGUI_CORE_BOOT_LOW_MEMORY_H

#include "core/boot/boot.h"

#define LOW_GDT_GPA        UINT64_C(0x1000)
#define LOW_PAGING_GPA     UINT64_C(0x2000)
#define LOW_PARAMS_GPA     UINT64_C(0x8000) /* struct boot_params */
#define LOW_SETUP_DATA_GPA UINT64_C(0x9000)
#define LOW_START_INFO_GPA UINT64_C(0xa000)
#define LOW_CMDLINE_GPA    UINT64_C(0xc000)
#define LOW_END_GPA        UINT64_C(0x1c000)
#define LOW_CMDLINE_MAX    (LOW_END_GPA - LOW_CMDLINE_GPA - 1) /* characters, without the NUL */

/* BIOS data area, GDT, page tables (long mode only) and the command line; fills entry's mode and
 * all that does not depend on the kernel. */
VMGUI_MUST_USE int low_memory_write(struct guest_mem *mem, enum boot_mode mode, const char *cmdline,
	struct boot_entry *entry, struct error *err);

#endif
