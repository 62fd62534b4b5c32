/* A guest that is nothing but code in long mode: in ring 3, which runs at full speed on any KVM, or
 * in ring 0, which some emulate. 4 MiB of RAM at 0, and 1 GiB of addresses for memory under test.
 */
#ifndef VMGUI_TESTS_RING3_GUEST_H
#define VMGUI_TESTS_RING3_GUEST_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define RING3_RAM_BYTES  (UINT64_C(4) << 20)
#define RING3_CODE_GPA   0x10000u
#define RING3_MEMORY_GPA (UINT64_C(1) << 30) /* where the memory under test goes */

enum ring3_table {
	RING3_PML4 = 0x1000,
	RING3_PDPT = 0x2000,
	RING3_PD_RAM = 0x3000,
	RING3_PD_MEMORY = 0x4000,
};

/* Both GiB map to themselves by pages of 2 MiB, for ring 3. */
static inline void ring3_set_page_tables(uint8_t *ram)
{
	const uint64_t table = 0x07, page = 0xe7; /* present, writable, user; dirty, large */

	*(uint64_t *)(ram + RING3_PML4) = RING3_PDPT | table;
	((uint64_t *)(ram + RING3_PDPT))[0] = RING3_PD_RAM | table;
	((uint64_t *)(ram + RING3_PDPT))[1] = RING3_PD_MEMORY | table;
	for (uint64_t i = 0; i < 512; i++) {
		((uint64_t *)(ram + RING3_PD_RAM))[i] = i << 21 | page;
		((uint64_t *)(ram + RING3_PD_MEMORY))[i] = (RING3_MEMORY_GPA + (i << 21)) | page;
	}
}

/* The vCPU begins at RING3_CODE_GPA with these in RDI and RCX; ports are open to ring 3. */
static inline int ring3_set_registers(int vcpu, bool ring3, uint64_t rdi, uint64_t rcx)
{
	struct kvm_segment segment = {
		.limit = 0xffffffff, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_regs regs = { .rip = RING3_CODE_GPA, .rdi = rdi, .rcx = rcx, .rflags = 0x3002 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	segment.dpl = ring3 ? 3 : 0;
	segment.selector = ring3 ? 0x1b : 0x08;
	sregs.cs = segment;
	segment.type = 3;
	segment.l = 0;
	segment.db = 1;
	segment.selector = ring3 ? 0x23 : 0x10;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment;
	sregs.cr3 = RING3_PML4;
	sregs.cr4 = 0x20;       /* PAE */
	sregs.cr0 = 0x80000011; /* paging, protection */
	sregs.efer = 0x500;     /* long mode */
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
		return -1;
	return ioctl(vcpu, KVM_SET_REGS, &regs);
}

#endif
