/* The general registers of the processor whose port access a device is handling: for interfaces
 * that pass their arguments there, which is all that the VMware backdoor does.
 *
 * Only inside a bus callback for a plain IN of that processor, in its own thread. Of two processors
 * in the same callback, one after the other, each sees its own. */
#ifndef VMGUI_CORE_GUEST_REGISTERS_H
#define VMGUI_CORE_GUEST_REGISTERS_H

#include "core/util.h"

struct guest_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi;
};

struct guest_register_access {
	/* -ENXIO: no processor is in a plain IN now (it is an OUT, a string instruction, or not a
	 * guest's access at all); other negative errno: KVM fails. */
	VMGUI_MUST_USE int (*get)(void *opaque, struct guest_registers *registers);
	/* All of them, with rax as the IN will leave it: what the callback is going to return, zero
	 * above its width. Where KVM executes the IN itself it writes that value afterwards; where
	 * it emulates the instruction, setting registers makes it forget that it had to. */
	VMGUI_MUST_USE int (*set)(void *opaque, const struct guest_registers *registers);
	void *opaque;
};

#endif
