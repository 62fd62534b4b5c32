/* A vCPU's state as text for a human (core/vcpu.h): registers, the code at RIP and, in long mode,
 * the page table entries that lead there (Intel SDM volume 3, 4.5). */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/machine.h"
#include "core/vcpu.h"

#define CR0_PG      0x80000000u
#define EFER_LMA    0x400u
#define PTE_PRESENT 1u
#define PTE_LARGE   0x80u
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)

static void dump_segment(FILE *out, const char *name, const struct kvm_segment *s)
{
	fprintf(out, " %-4s %04x base %016" PRIx64 " limit %08x type %x dpl %u p %u l %u db %u\n",
		name, s->selector, (uint64_t)s->base, s->limit, s->type, s->dpl, s->present, s->l,
		s->db);
}

static void dump_code(struct vcpu *vcpu, FILE *out, uint64_t address)
{
	struct kvm_translation translation = { .linear_address = address };
	uint8_t code[32];
	uint64_t gpa;
	size_t length;

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid) {
		fprintf(out, " code  not mapped\n");
		return;
	}
	gpa = translation.physical_address;
	length = (size_t)min_u64(sizeof(code), PAGE_BYTES - gpa % PAGE_BYTES);
	if (guest_mem_read(&vcpu->machine->mem, gpa, code, length)) {
		fprintf(out, " code  at 0x%" PRIx64 ", which is not RAM\n", gpa);
		return;
	}
	fprintf(out, " code ");
	for (size_t i = 0; i < length; i++)
		fprintf(out, " %02x", code[i]);
	fprintf(out, "\n");
}

static void dump_page_tables(struct vcpu *vcpu, FILE *out, uint64_t cr3, uint64_t address)
{
	static const char *const names[] = { "PTE", "PDE", "PDPTE", "PML4E" };
	uint64_t table = cr3 & PTE_ADDRESS, entry;

	for (int level = 3; level >= 0; level--) {
		unsigned index = (unsigned)(address >> (12 + 9 * level)) & 511;

		if (guest_mem_read(&vcpu->machine->mem, table + 8 * index, &entry, sizeof(entry))) {
			fprintf(out, " %-5s table at %016" PRIx64 " is not RAM\n", names[level],
				table);
			return;
		}
		fprintf(out, " %-5s %016" PRIx64 " (table %016" PRIx64 ", entry %u)\n",
			names[level], entry, table, index);
		if (!(entry & PTE_PRESENT) || (level && (entry & PTE_LARGE)))
			return;
		table = entry & PTE_ADDRESS;
	}
}

void vcpu_dump(struct vcpu *vcpu, FILE *out)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	struct kvm_mp_state mp = { 0 };

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0) {
		fprintf(out, "processor %u: its registers cannot be read\n", vcpu->index);
		return;
	}
	(void)ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	fprintf(out, "processor %u (%s)\n", vcpu->index,
		mp.mp_state == KVM_MP_STATE_RUNNABLE        ? "runs"
		: mp.mp_state == KVM_MP_STATE_HALTED        ? "halted"
		: mp.mp_state == KVM_MP_STATE_UNINITIALIZED ? "not started"
							    : "waits for its start");
	fprintf(out, " rip %016llx rflags %016llx\n", r.rip, r.rflags);
	fprintf(out, " rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r.rax, r.rbx, r.rcx,
		r.rdx);
	fprintf(out, " rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", r.rsi, r.rdi, r.rbp,
		r.rsp);
	fprintf(out, " r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", r.r8, r.r9, r.r10,
		r.r11);
	fprintf(out, " r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", r.r12, r.r13, r.r14,
		r.r15);
	fprintf(out, " cr0 %016llx cr2 %016llx cr3 %016llx cr4 %016llx\n", s.cr0, s.cr2, s.cr3,
		s.cr4);
	fprintf(out, " cr8 %016llx efer %016llx apic_base %016llx\n", s.cr8, s.efer, s.apic_base);
	dump_segment(out, "cs", &s.cs);
	dump_segment(out, "ss", &s.ss);
	dump_segment(out, "ds", &s.ds);
	dump_segment(out, "es", &s.es);
	dump_segment(out, "fs", &s.fs);
	dump_segment(out, "gs", &s.gs);
	dump_segment(out, "tr", &s.tr);
	dump_segment(out, "ldt", &s.ldt);
	fprintf(out, " gdt base %016llx limit %04x\n idt base %016llx limit %04x\n", s.gdt.base,
		s.gdt.limit, s.idt.base, s.idt.limit);
	dump_code(vcpu, out, s.cs.base + r.rip);
	if ((s.cr0 & CR0_PG) && (s.efer & EFER_LMA))
		dump_page_tables(vcpu, out, s.cr3, r.rip);
	fflush(out);
}

void vcpu_dump_step(struct vcpu *vcpu, FILE *out)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return;
	flockfile(out); /* each processor has a thread that comes here */
	fprintf(out,
		"processor %u rip %016llx rflags %08llx rax %llx rbx %llx rcx %llx rdx %llx rsi "
		"%llx rdi %llx rsp %llx\n",
		vcpu->index, r.rip, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp);
	dump_code(vcpu, out, s.cs.base + r.rip);
	funlockfile(out);
}
