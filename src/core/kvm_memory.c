/* Guest-physical memory over KVM's slots: RAM, and device memory with a dirty log (core/kvm.h). */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/kvm.h"
#include "core/log.h"

struct kvm_memory {
	struct device_memory base;
	struct kvm *kvm;
	const char *owner;
	uint32_t slot;
	pthread_mutex_t lock; /* order: after the PCI bus's, before slots_lock */
	uint64_t mapped_gpa;  /* lock; 0: not mapped */
	bool all_dirty;       /* lock: the picture the guest sees changed as a whole */
	uint64_t bitmap[];    /* lock: room for one dirty log */
};

static int set_slot(
	struct kvm *kvm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, uint8_t *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	int ret;

	pthread_mutex_lock(&kvm->slots_lock);
	ret = kvm->ending ? 0 : kvm_vm_ioctl(kvm, KVM_SET_USER_MEMORY_REGION, &region);
	pthread_mutex_unlock(&kvm->slots_lock);
	return ret;
}

static uint32_t take_slot(struct kvm *kvm)
{
	uint32_t slot;

	pthread_mutex_lock(&kvm->slots_lock);
	slot = kvm->next_slot++;
	pthread_mutex_unlock(&kvm->slots_lock);
	return slot;
}

int kvm_map_ram(struct kvm *kvm, const struct guest_mem *mem, struct error *err)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *region = &mem->regions[i];
		int ret = set_slot(kvm, take_slot(kvm), 0, region->start_gpa, region->length_bytes,
			region->start_hva);

		if (ret < 0)
			return error_set(err, -ret,
				"--mem: KVM does not take the guest's memory: %s", strerror(-ret));
	}
	return 0;
}

static int memory_map(struct device_memory *base, uint64_t gpa)
{
	struct kvm_memory *memory = container_of(base, struct kvm_memory, base);
	int ret = 0;

	pthread_mutex_lock(&memory->lock);
	if (memory->mapped_gpa == gpa)
		goto unlock;
	/* A slot that logs is moved by deleting and making it again; what was logged before is
	 * lost, so everything counts as dirty. */
	if (memory->mapped_gpa)
		(void)set_slot(memory->kvm, memory->slot, 0, memory->mapped_gpa, 0, base->hva);
	memory->mapped_gpa = 0;
	memory->all_dirty = true;
	ret = set_slot(memory->kvm, memory->slot, KVM_MEM_LOG_DIRTY_PAGES, gpa, base->size_bytes,
		base->hva);
	if (ret < 0)
		log_debug("kvm", "%s: cannot be mapped at 0x%llx: %s", memory->owner,
			(unsigned long long)gpa, strerror(-ret));
	else
		memory->mapped_gpa = gpa;
unlock:
	pthread_mutex_unlock(&memory->lock);
	return ret;
}

static void memory_unmap(struct device_memory *base)
{
	struct kvm_memory *memory = container_of(base, struct kvm_memory, base);

	pthread_mutex_lock(&memory->lock);
	if (memory->mapped_gpa) {
		(void)set_slot(memory->kvm, memory->slot, 0, memory->mapped_gpa, 0, base->hva);
		memory->mapped_gpa = 0;
		memory->all_dirty = true;
	}
	pthread_mutex_unlock(&memory->lock);
}

static int memory_collect_dirty(struct device_memory *base, uint64_t *bitmap, size_t words)
{
	struct kvm_memory *memory = container_of(base, struct kvm_memory, base);
	size_t log_words = base->size_bytes / PAGE_BYTES / 64;
	struct kvm_dirty_log log = { .slot = memory->slot, .dirty_bitmap = memory->bitmap };
	uint64_t any = 0;
	int ret = 0;

	if (words < log_words)
		return -EINVAL;
	pthread_mutex_lock(&memory->lock);
	if (memory->mapped_gpa) {
		ret = kvm_vm_ioctl(memory->kvm, KVM_GET_DIRTY_LOG, &log);
		for (size_t i = 0; ret >= 0 && i < log_words; i++) {
			bitmap[i] |= memory->bitmap[i];
			any |= memory->bitmap[i];
		}
	}
	if (memory->all_dirty) {
		memory->all_dirty = false;
		memset(bitmap, 0xff, log_words * sizeof(*bitmap));
		any = 1;
	}
	pthread_mutex_unlock(&memory->lock);
	return ret < 0 ? ret : any != 0;
}

static const struct device_memory_ops memory_ops = {
	.map = memory_map,
	.unmap = memory_unmap,
	.collect_dirty = memory_collect_dirty,
};

int kvm_memory_create(struct kvm *kvm, const char *owner, uint64_t size_bytes,
	struct device_memory **out, struct error *err)
{
	size_t bitmap_bytes = size_bytes / PAGE_BYTES / 8;
	struct kvm_memory *memory;

	if (!size_bytes || size_bytes % KIB(256))
		return error_set(err, EINVAL, "%s: memory of %llu bytes is not a multiple of 256K",
			owner, (unsigned long long)size_bytes);
	memory = calloc(1, sizeof(*memory) + bitmap_bytes);
	if (!memory)
		return error_set(err, ENOMEM, "%s: out of memory", owner);
	memory->base.hva = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory->base.hva == MAP_FAILED) {
		free(memory);
		return error_set(err, ENOMEM, "%s: the host does not have %llu MiB", owner,
			(unsigned long long)(size_bytes >> 20));
	}
	madvise(memory->base.hva, size_bytes, MADV_DONTDUMP);
	memory->base.ops = &memory_ops;
	memory->base.size_bytes = size_bytes;
	memory->kvm = kvm;
	memory->owner = owner;
	memory->slot = take_slot(kvm);
	pthread_mutex_init(&memory->lock, NULL);
	*out = &memory->base;
	return 0;
}

void kvm_memory_destroy(struct device_memory *base)
{
	struct kvm_memory *memory;

	if (!base)
		return;
	memory = container_of(base, struct kvm_memory, base);
	memory_unmap(base);
	munmap(base->hva, base->size_bytes);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}
