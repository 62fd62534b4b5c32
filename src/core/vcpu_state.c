/* A vCPU's registers at power-on, at a reset and at the kernel's entry (core/vcpu.h).
 *
 * The power-on state is what KVM gives a new vCPU (Intel SDM volume 3, table 9-1), with what
 * firmware would have set up: memory types write-back (MTRRs), the local APIC's LINT0 as ExtINT on
 * the first processor and LINT1 as NMI (MP specification 1.4, virtual wire mode). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/machine.h"
#include "core/vcpu.h"

#define MSR_IA32_TSC            0x10u
#define MSR_IA32_MISC_ENABLE    0x1a0u
#define MSR_MTRR_DEFAULT_TYPE   0x2ffu
#define MISC_ENABLE_FAST_STRING 1u
#define MTRR_ENABLED            (1u << 11)
#define MTRR_WRITE_BACK         6u

#define APIC_LVT0           0x350
#define APIC_LVT1           0x360
#define APIC_MODE_NMI       0x400u
#define APIC_MODE_EXTINT    0x700u
#define APIC_MASKED_OR_MODE 0x10700u

#define CR0_PE   0x1u
#define CR0_ET   0x10u
#define CR0_NE   0x20u
#define CR0_PG   0x80000000u
#define CR4_PAE  0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u

#define MAX_MSRS 512u

struct vcpu_pristine {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_xcrs xcrs;
	bool has_xcrs;
	struct kvm_nested_state nested; /* no hypervisor of the guest's own */
	bool has_nested;
	struct kvm_msrs *msrs; /* those that KVM keeps, with their first values */
};

static void set_lvt(struct kvm_lapic_state *lapic, unsigned offset, uint32_t mode)
{
	uint32_t value;

	memcpy(&value, lapic->regs + offset, sizeof(value));
	value = (value & ~APIC_MASKED_OR_MODE) | mode;
	memcpy(lapic->regs + offset, &value, sizeof(value));
}

/* All registers that KVM lists for saving, with their values; those it does not let us read are
 * left out. */
static struct kvm_msrs *read_msrs(const struct vcpu *vcpu)
{
	struct {
		struct kvm_msr_list header;
		uint32_t indices[MAX_MSRS];
	} list = { .header = { .nmsrs = MAX_MSRS } };
	struct kvm_msrs *msrs;
	uint32_t count, kept = 0, done = 0;

	if (ioctl(vcpu->machine->kvm.device_fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
		return NULL;
	count = list.header.nmsrs;
	msrs = calloc(1, sizeof(*msrs) + (count + 1) * sizeof(msrs->entries[0]));
	if (!msrs)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		/* Time goes on over a reset. */
		if (list.header.indices[i] != MSR_IA32_TSC &&
			list.header.indices[i] != MSR_MTRR_DEFAULT_TYPE)
			msrs->entries[kept++].index = list.header.indices[i];
	}
	/* Not among those listed, but kept by every KVM. */
	msrs->entries[kept++].index = MSR_MTRR_DEFAULT_TYPE;
	/* KVM stops at the first register that this processor lacks: drop it and go on behind it.
	 */
	while (done < kept) {
		struct kvm_msrs *part =
			malloc(sizeof(*part) + (kept - done) * sizeof(part->entries[0]));
		int got;

		if (!part) {
			free(msrs);
			return NULL;
		}
		part->nmsrs = kept - done;
		memcpy(part->entries, msrs->entries + done, part->nmsrs * sizeof(part->entries[0]));
		got = ioctl(vcpu->fd, KVM_GET_MSRS, part);
		if (got > 0) {
			memcpy(msrs->entries + done, part->entries,
				(size_t)got * sizeof(part->entries[0]));
			done += (uint32_t)got;
		}
		free(part);
		if (done < kept) {
			memmove(msrs->entries + done, msrs->entries + done + 1,
				(kept - done - 1) * sizeof(msrs->entries[0]));
			kept--;
		}
	}
	msrs->nmsrs = kept;
	return msrs;
}

/* As firmware leaves them; registers that are not there are not in the list. */
static void adjust_msrs(struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		struct kvm_msr_entry *entry = &msrs->entries[i];

		if (entry->index == MSR_IA32_MISC_ENABLE)
			entry->data |= MISC_ENABLE_FAST_STRING;
		else if (entry->index == MSR_MTRR_DEFAULT_TYPE)
			entry->data = MTRR_ENABLED | MTRR_WRITE_BACK;
	}
}

/* Sets them one by one where KVM refuses one of them as a whole. */
static void write_msrs(struct vcpu *vcpu, struct kvm_msrs *msrs)
{
	uint32_t done = 0;

	while (done < msrs->nmsrs) {
		struct {
			struct kvm_msrs header;
			struct kvm_msr_entry entries[64];
		} part;
		uint32_t count = (uint32_t)min_u64(msrs->nmsrs - done, 64);
		int set;

		memset(&part.header, 0, sizeof(part.header));
		part.header.nmsrs = count;
		memcpy(part.entries, msrs->entries + done, count * sizeof(part.entries[0]));
		set = ioctl(vcpu->fd, KVM_SET_MSRS, &part);
		if (set < 0)
			set = 0;
		done += (uint32_t)set;
		if ((uint32_t)set < count)
			done++; /* this one is read-only */
	}
}

int vcpu_keep_pristine(struct vcpu *vcpu, struct error *err)
{
	struct vcpu_pristine *state = calloc(1, sizeof(*state));

	if (!state)
		return error_set(err, ENOMEM, "--cpus: out of memory");
	if (ioctl(vcpu->fd, KVM_GET_REGS, &state->regs) < 0 ||
		ioctl(vcpu->fd, KVM_GET_SREGS, &state->sregs) < 0 ||
		ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &state->debugregs) < 0 ||
		ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &state->events) < 0 ||
		ioctl(vcpu->fd, KVM_GET_LAPIC, &state->lapic) < 0 ||
		ioctl(vcpu->fd, KVM_GET_MP_STATE, &state->mp_state) < 0) {
		int ret = -errno;

		free(state);
		return error_set(err, -ret, "KVM: it does not give processor %u's state: %s",
			vcpu->index, strerror(-ret));
	}
	state->has_xcrs = ioctl(vcpu->fd, KVM_GET_XCRS, &state->xcrs) == 0;
	state->nested.size = sizeof(state->nested);
	state->has_nested = ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &state->nested) == 0;
	set_lvt(&state->lapic, APIC_LVT0,
		vcpu->index ? APIC_MODE_EXTINT | 0x10000u : APIC_MODE_EXTINT);
	set_lvt(&state->lapic, APIC_LVT1, APIC_MODE_NMI);
	state->msrs = read_msrs(vcpu);
	if (!state->msrs) {
		free(state);
		return error_set(err, ENOMEM, "KVM: it does not list the model-specific registers");
	}
	adjust_msrs(state->msrs);
	vcpu->pristine = state;
	/* The two changes against what KVM made. */
	write_msrs(vcpu, state->msrs);
	(void)ioctl(vcpu->fd, KVM_SET_LAPIC, &state->lapic);
	return 0;
}

void vcpu_free_pristine(struct vcpu *vcpu)
{
	if (!vcpu->pristine)
		return;
	free(vcpu->pristine->msrs);
	free(vcpu->pristine);
	vcpu->pristine = NULL;
}

/* Zero is KVM's word for "in step with the other vCPUs": the counter goes on as it was. It has to
 * be said because KVM on AMD clears the hardware's copy of the offset at a triple fault: the guest
 * would read another time there than KVM waits for, and its timers would come late by the age of
 * the host. */
static void synchronize_tsc(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} tsc = { .header = { .nmsrs = 1 }, .entry = { .index = MSR_IA32_TSC } };

	(void)ioctl(vcpu->fd, KVM_SET_MSRS, &tsc);
}

int vcpu_reset(struct vcpu *vcpu, struct error *err)
{
	struct vcpu_pristine *state = vcpu->pristine;
	struct kvm_vcpu_events events = state->events;
	struct kvm_xsave *xsave = calloc(1, sizeof(*xsave));
	int ret = -ENOMEM;

	if (!xsave)
		goto fail;
	/* All-zero state components mean "initial"; only the control words are set (SDM volume 1,
	 * 13.6). */
	xsave->region[0] = 0x37f;
	xsave->region[6] = 0x1f80;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		       KVM_VCPUEVENT_VALID_SMM;
	/* A guest that was a hypervisor leaves that mode before all else: while it is on, KVM
	 * refuses the control registers of a reset. Then the APIC base, in sregs: it decides how
	 * the APIC's page is read. */
	if ((state->has_nested && ioctl(vcpu->fd, KVM_SET_NESTED_STATE, &state->nested) < 0) ||
		ioctl(vcpu->fd, KVM_SET_SREGS, &state->sregs) < 0 ||
		ioctl(vcpu->fd, KVM_SET_REGS, &state->regs) < 0 ||
		ioctl(vcpu->fd, KVM_SET_XSAVE, xsave) < 0 ||
		(state->has_xcrs && ioctl(vcpu->fd, KVM_SET_XCRS, &state->xcrs) < 0) ||
		ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &state->debugregs) < 0) {
		ret = -errno;
		goto fail;
	}
	write_msrs(vcpu, state->msrs);
	synchronize_tsc(vcpu);
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &state->lapic) < 0 ||
		ioctl(vcpu->fd, KVM_SET_MP_STATE, &state->mp_state) < 0) {
		ret = -errno;
		goto fail;
	}
	/* Without the SMM flag on kernels that do not know it. */
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
		(void)ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &state->events);
	free(xsave);
	return 0;

fail:
	free(xsave);
	return error_set(
		err, -ret, "processor %u: it cannot be reset: %s", vcpu->index, strerror(-ret));
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !long_code,
		.s = 1,
		.l = long_code,
		.g = 1,
	};
}

int vcpu_set_entry(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err)
{
	struct kvm_sregs sregs = vcpu->pristine->sregs;
	struct kvm_regs regs = {
		.rip = entry->rip, .rsi = entry->rsi, .rbx = entry->rbx, .rflags = 2
	};
	bool long_mode = entry->mode == BOOT_LONG_64;
	struct kvm_segment data = flat_segment(entry->data_selector, 3, false);

	sregs.cs = flat_segment(entry->code_selector, 11, long_mode);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = (struct kvm_segment){
		.limit = 0x67, .selector = entry->task_selector, .type = 11, .present = 1
	};
	sregs.gdt.base = entry->gdt_gpa;
	sregs.gdt.limit = entry->gdt_limit;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
	sregs.cr4 = 0;
	sregs.efer = 0;
	if (long_mode) {
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = entry->cr3;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return error_set(err, errno,
			"processor %u: KVM refuses the kernel's entry state: %s", vcpu->index,
			strerror(errno));
	if (vcpu->machine->config.debug_single_step && vcpu_single_step(vcpu))
		return error_set(
			err, errno, "--debug-single-step: KVM cannot step: %s", strerror(errno));
	return 0;
}

int vcpu_single_step(struct vcpu *vcpu)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};

	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}

void vcpu_mark_paused(struct vcpu *vcpu)
{
	(void)ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}
