/* What the guest's processors say of themselves: what KVM supports, with this guest's topology (one
 * package, one thread a core) and KVM's own leaves. Source: Intel SDM volume 2A, CPUID; AMD APM
 * volume 3, appendix E; Documentation/virt/kvm/x86/cpuid.rst. */
#ifndef VMGUI_CORE_CPUID_H
#define VMGUI_CORE_CPUID_H

#include <linux/kvm.h>

#include "core/error.h"
#include "core/kvm.h"

/* KVM's supported entries, on the heap; the caller frees. */
VMGUI_MUST_USE int cpuid_get_supported(
	const struct kvm *kvm, struct kvm_cpuid2 **cpuid, struct error *err);
/* Fits a copy of the supported entries, in place, to the processor with this APIC ID of `cpus`. */
void cpuid_fit(struct kvm_cpuid2 *cpuid, unsigned apic_id, unsigned cpus);

#endif
