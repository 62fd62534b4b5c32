/* The kernel's side of a virtual machine: /dev/kvm, one VM, its memory slots.
 *
 * Order matters for start-up: changing memory slots costs some 0.1 ms before the interrupt
 * controllers and the timer are created and 5 to 7 ms after, so RAM and video memory come first
 * (board.c).
 *
 * Threads: fields are immutable after kvm_create; slot changes lock inside.
 * Source: Documentation/virt/kvm/api.rst of Linux. */
#ifndef VMGUI_CORE_KVM_H
#define VMGUI_CORE_KVM_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "core/bus.h"
#include "core/device_memory.h"
#include "core/error.h"
#include "core/guest_mem.h"

struct kvm;

/* What a bus's doorbells are bound through. */
struct kvm_doorbells {
	struct kvm *kvm;
	bool ports; /* else memory */
};

#define KVM_MAX_DEVICE_MEMORIES 4

struct kvm {
	int device_fd, vm_fd;
	size_t run_bytes; /* length of a vCPU's shared run area */
	unsigned max_vcpus;
	bool has_immediate_exit;
	pthread_mutex_t slots_lock;
	uint32_t next_slot;                                  /* slots_lock */
	bool ending;                                         /* slots_lock */
	struct kvm_doorbells port_doorbells, mmio_doorbells; /* immutable */
	/* Changed only while no vCPU runs. */
	struct device_memory *memories[KVM_MAX_DEVICE_MEMORIES];
	unsigned memory_count;
	atomic_uint disarms; /* how often memory was made writable again */
	pthread_mutex_t clocks_lock;
	/* clocks_lock: of the vCPU threads' processor time; there is room for max_vcpus */
	clockid_t *vcpu_clocks;
	unsigned vcpu_clock_count;
	bool vcpu_clocks_missing; /* clocks_lock: there are more vCPUs than that */
};

#define KVM_DEFAULT_PATH "/dev/kvm"

/* Opens path (normally /dev/kvm) and creates the VM. err says what is missing and what to do. */
VMGUI_MUST_USE int kvm_create(struct kvm *kvm, const char *path, struct error *err);
void kvm_destroy(struct kvm *kvm);
/* No vCPU runs any more: from now on slots are left to kvm_destroy, since each change costs
 * milliseconds. */
void kvm_end(struct kvm *kvm);

/* Why path cannot be used, in words that help: for errnum from opening it. */
void kvm_explain_open(const char *path, int errnum, struct error *err);

/* ioctl without EINTR; negative errno or the result. */
int kvm_vm_ioctl(const struct kvm *kvm, unsigned long request, void *argument);

/* From now on the kernel rings these buses' doorbells. */
void kvm_connect_doorbells(struct kvm *kvm, struct bus *ports, struct bus *mmio);

/* A vCPU's thread has begun. */
void kvm_add_vcpu_thread(struct kvm *kvm, pthread_t thread);
/* The processor time that all vCPU threads have had; 0: not known. As long as it stays the same
 * none of them has run, and so nothing has changed that only they change. Any thread. */
uint64_t kvm_vcpu_time_ns(struct kvm *kvm);

/* Maps RAM; once, before the vCPUs run. */
VMGUI_MUST_USE int kvm_map_ram(struct kvm *kvm, const struct guest_mem *mem, struct error *err);

/* Video memory of size_bytes, zeroed, over a slot with a dirty log; not mapped yet. */
VMGUI_MUST_USE int kvm_memory_create(struct kvm *kvm, const char *owner, uint64_t size_bytes,
	struct device_memory **memory, struct error *err);
void kvm_memory_destroy(struct device_memory *memory);

/* What a vCPU does about armed memory (device_memory.h; kvm_memory.c tells how it works).
 *
 * Before KVM_RUN. */
static inline unsigned kvm_disarms(const struct kvm *kvm)
{
	return atomic_load(&kvm->disarms);
}
/* KVM_RUN failed with EFAULT. True: that was, or may have been, armed memory; it is writable now,
 * and KVM_RUN is worth another try. disarms: from before KVM_RUN. */
bool kvm_memory_faulted(struct kvm *kvm, unsigned disarms);
/* A store that KVM emulated and could not make. True: it was to device memory, and is made. */
bool kvm_memory_store(struct kvm *kvm, uint64_t gpa, const void *data, unsigned length);

#endif
