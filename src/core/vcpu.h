/* One virtual processor: its KVM file, its thread, and its state at power-on, reset and start.
 *
 * Threads: the run loop is the vCPU's own thread; everything else is called by the machine's thread
 * while that one is not started or is parked (machine.h). */
#ifndef VMGUI_CORE_VCPU_H
#define VMGUI_CORE_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>

#include "core/boot/boot.h"
#include "core/error.h"
#include "core/guest_registers.h"

struct machine;
struct vcpu_pristine;

struct vcpu {
	struct machine *machine; /* immutable after create, like the next three */
	unsigned index;          /* also the APIC ID */
	int fd;
	struct kvm_run *run; /* shared with the kernel; immediate_exit is atomic */
	struct vcpu_pristine *pristine;
	pthread_t thread;
	bool has_thread; /* machine's thread */
	/* Own thread: the kernel still has to finish the last port or MMIO access. */
	bool io_pending;
};

VMGUI_MUST_USE int vcpu_create(struct machine *machine, unsigned index,
	struct kvm_cpuid2 *supported, struct vcpu **vcpu, struct error *err);
void vcpu_destroy(struct vcpu *vcpu); /* its thread has ended */

/* Creates the thread; it parks or runs as machine->hold says. */
VMGUI_MUST_USE int vcpu_start(struct vcpu *vcpu, struct error *err);
void vcpu_join(struct vcpu *vcpu);
/* Makes the vCPU leave the guest soon; the machine has set what it is to see then. Any thread. */
void vcpu_kick(struct vcpu *vcpu);

/* vcpu_state.c: the power-on state, kept at create and brought back at reset; the first vCPU then
 * gets the kernel's entry state. */
VMGUI_MUST_USE int vcpu_keep_pristine(struct vcpu *vcpu, struct error *err);
void vcpu_free_pristine(struct vcpu *vcpu);
VMGUI_MUST_USE int vcpu_reset(struct vcpu *vcpu, struct error *err);
VMGUI_MUST_USE int vcpu_set_entry(
	struct vcpu *vcpu, const struct boot_entry *entry, struct error *err);
/* One instruction, then KVM_EXIT_DEBUG. It works by the trap flag, which IRET and POPF load anew:
 * to be asked for again before each run. */
VMGUI_MUST_USE int vcpu_single_step(struct vcpu *vcpu);
/* The guest's steal-time and watchdog code are told that it stood still. */
void vcpu_mark_paused(struct vcpu *vcpu);

/* The vCPU whose thread calls. */
extern const struct guest_register_access vcpu_registers;

/* vcpu_dump.c: registers, code and page tables as text. */
void vcpu_dump(struct vcpu *vcpu, FILE *out);
/* One line for a single step. */
void vcpu_dump_step(struct vcpu *vcpu, FILE *out);

#endif
