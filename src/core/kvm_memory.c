/* Guest-physical memory over KVM's slots: RAM, and device memory with a dirty log (core/kvm.h).
 *
 * Arming takes the right to write from our own mapping of the pages. The guest's next store then
 * has nowhere to go, and which way KVM says so depends on who executes it: the processor (KVM_RUN
 * fails with EFAULT, and the guest has not moved on) or KVM's emulator (an MMIO exit, which we
 * answer by making the store). Either way the vCPU's thread gives the right back, rings the bell,
 * and the guest goes on. Several vCPUs may fault on the same arming: the first one disarms, the
 * others see that `disarms` has moved on since they entered the guest.
 *
 * Other ways were measured (tests/bench/arm.c; microseconds for 16 MiB of which 1024x768x32 was
 * mapped, medians; a paravirtual KVM of Linux 6.18 | nested SVM in the lab, Linux 6.1, busy):
 *
 *   way                                       arming      first write    the other 767 pages
 *   none: look again and again                 0 |    0    106 |   106    21000 |  84000
 *   the same, pages stay in KVM's log          0 |    0     82 |    64       90 |    250
 *   mprotect                                  64 |  615    211 |   757    21000 |  62000
 *   slot deleted, added again read-only       64 | 4154    245 | 10702    21000 | 163000
 *   userfaultfd write protection, a thread    73 |  464    315 | 17439    21000 | 125000
 *
 * The log itself is most of it: to learn which pages are written again, they are write-protected at
 * each look. So those that the caller watches anyway stay in the log, and writable, by
 * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (Linux 5.2; before it they are told and protected as ever).
 *
 * A look at a clean log takes 0.5 | 22, and a wake-up around it. Where KVM runs guests in hardware,
 * deleting a slot makes it forget its mappings of all RAM; and a read-only slot has each store
 * emulated, which ends a guest that copies with AVX. userfaultfd needs a privilege, and a thread.
 * mprotect needs neither and leaves the slot alone. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/kvm.h"
#include "core/log.h"

#define CLEAR_STEP_BYTES KIB(256)

struct kvm_memory {
	struct device_memory base;
	struct kvm *kvm;
	const char *owner;
	uint32_t slot;
	pthread_mutex_t lock;        /* order: after the PCI bus's, before slots_lock */
	_Atomic uint64_t mapped_gpa; /* changed under lock; 0: not mapped */
	bool all_dirty;              /* lock: the picture the guest sees changed as a whole */
	uint8_t *bytes;              /* immutable; to be written with the lock held and disarmed */
	int bell;                    /* lock; -1: not armed */
	uint64_t armed_start;        /* lock; the pages that are armed while there is a bell */
	uint64_t armed_bytes;
	bool has_stores;          /* lock */
	_Atomic uint64_t changes; /* how often has_stores or all_dirty was set */
	bool keeps_log;    /* immutable: reading KVM's log does not protect the pages in it */
	uint64_t *stores;  /* lock: what we wrote for the guest, which KVM does not log */
	uint64_t bitmap[]; /* lock: room for one dirty log, then for stores */
};

static struct kvm_memory *from_base(struct device_memory *base)
{
	return container_of(base, struct kvm_memory, base);
}

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

/* Lock held. */
static int protect_armed(struct kvm_memory *memory, int protection)
{
	if (memory->armed_bytes &&
		mprotect(memory->bytes + memory->armed_start, memory->armed_bytes, protection))
		return -errno;
	return 0;
}

/* Lock held. False: the memory cannot be written to. */
static bool disarm(struct kvm_memory *memory)
{
	int ret;

	if (memory->bell < 0)
		return true;
	ret = protect_armed(memory, PROT_READ | PROT_WRITE);
	if (ret < 0) {
		log_guest("kvm", "%s: the guest may not write to it any more: %s", memory->owner,
			strerror(-ret));
		return false;
	}
	memory->bell = -1;
	atomic_fetch_add(&memory->kvm->disarms, 1);
	return true;
}

/* Lock held: there is something to collect. As disarm, and tells. */
static bool ring(struct kvm_memory *memory)
{
	const uint64_t one = 1;
	int bell = memory->bell;

	if (!disarm(memory))
		return false;
	if (bell >= 0 && write(bell, &one, sizeof(one)) < 0) {
		/* The counter is full: it has been rung. */
	}
	return true;
}

/* Lock held: all of it is new. */
static void set_all_dirty(struct kvm_memory *memory)
{
	memory->all_dirty = true;
	atomic_fetch_add(&memory->changes, 1);
}

static int memory_map(struct device_memory *base, uint64_t gpa)
{
	struct kvm_memory *memory = from_base(base);
	int ret = 0;

	pthread_mutex_lock(&memory->lock);
	if (memory->mapped_gpa == gpa)
		goto unlock;
	/* A slot that logs is moved by deleting and making it again; what was logged before is
	 * lost, so everything counts as dirty. */
	if (memory->mapped_gpa)
		(void)set_slot(memory->kvm, memory->slot, 0, memory->mapped_gpa, 0, memory->bytes);
	memory->mapped_gpa = 0;
	set_all_dirty(memory);
	(void)ring(memory);
	ret = set_slot(memory->kvm, memory->slot, KVM_MEM_LOG_DIRTY_PAGES, gpa, base->size_bytes,
		memory->bytes);
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
	struct kvm_memory *memory = from_base(base);

	pthread_mutex_lock(&memory->lock);
	if (memory->mapped_gpa) {
		(void)set_slot(memory->kvm, memory->slot, 0, memory->mapped_gpa, 0, memory->bytes);
		memory->mapped_gpa = 0;
		set_all_dirty(memory);
		(void)ring(memory);
	}
	pthread_mutex_unlock(&memory->lock);
}

/* Lock held: adds what KVM has logged, but for what is watched, and has those pages protected
 * again. Without KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 that happens to all of them as they are read. */
static int collect_log(struct kvm_memory *memory, uint64_t *bitmap, const uint64_t *watched)
{
	uint64_t pages = memory->base.size_bytes / PAGE_BYTES, any = 0;
	struct kvm_dirty_log log = { .slot = memory->slot, .dirty_bitmap = memory->bitmap };
	struct kvm_clear_dirty_log clear = {
		.slot = memory->slot, .num_pages = (uint32_t)pages, .dirty_bitmap = memory->bitmap
	};
	int ret = kvm_vm_ioctl(memory->kvm, KVM_GET_DIRTY_LOG, &log);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < pages / 64; i++) {
		if (watched)
			memory->bitmap[i] &= ~watched[i];
		bitmap[i] |= memory->bitmap[i];
		any |= memory->bitmap[i];
	}
	/* In this order: what is written before it is in the picture that the caller reads next. */
	if (any && memory->keeps_log)
		ret = kvm_vm_ioctl(memory->kvm, KVM_CLEAR_DIRTY_LOG, &clear);
	return ret < 0 ? ret : any != 0;
}

static int memory_collect_dirty(
	struct device_memory *base, uint64_t *bitmap, const uint64_t *watched, size_t words)
{
	struct kvm_memory *memory = from_base(base);
	size_t log_words = base->size_bytes / PAGE_BYTES / 64;
	uint64_t any = 0;
	int ret = 0;

	if (words < log_words)
		return -EINVAL;
	pthread_mutex_lock(&memory->lock);
	if (memory->mapped_gpa)
		ret = collect_log(memory, bitmap, watched);
	for (size_t i = 0; memory->has_stores && i < log_words; i++) {
		bitmap[i] |= memory->stores[i];
		any |= memory->stores[i];
		memory->stores[i] = 0;
	}
	memory->has_stores = false;
	if (memory->all_dirty) {
		memory->all_dirty = false;
		memset(bitmap, 0xff, log_words * sizeof(*bitmap));
		any = 1;
	}
	pthread_mutex_unlock(&memory->lock);
	return ret < 0 ? ret : ret || any;
}

static int memory_arm(struct device_memory *base, int bell, uint64_t start, uint64_t bytes)
{
	struct kvm_memory *memory = from_base(base);
	uint64_t first = align_down(start, PAGE_BYTES);
	int ret = 0;

	if (!range_fits(start, bytes, base->size_bytes))
		return -EINVAL;
	pthread_mutex_lock(&memory->lock);
	if (!disarm(memory)) {
		ret = -EACCES;
	} else {
		memory->armed_start = first;
		memory->armed_bytes = bytes ? align_up(start + bytes, PAGE_BYTES) - first : 0;
		ret = protect_armed(memory, PROT_READ);
	}
	if (!ret)
		memory->bell = bell;
	pthread_mutex_unlock(&memory->lock);
	return ret;
}

static void memory_disarm(struct device_memory *base)
{
	struct kvm_memory *memory = from_base(base);

	pthread_mutex_lock(&memory->lock);
	(void)disarm(memory);
	pthread_mutex_unlock(&memory->lock);
}

/* Pages that are zero already stay untouched: most were never used and cost no memory that way. */
static void zero_pages(uint8_t *start, uint64_t bytes)
{
	for (uint64_t page = 0; page < bytes; page += PAGE_BYTES) {
		uint8_t *at = start + page;
		size_t length = (size_t)min_u64(PAGE_BYTES, bytes - page);

		if (at[0] || memcmp(at, at + 1, length - 1) != 0)
			memset(at, 0, length);
	}
}

/* The guest may write at the same time; then both get what they asked for. In steps, so that the
 * refresh thread and the other vCPUs get their turn. */
static void memory_clear(struct device_memory *base, uint64_t bytes)
{
	struct kvm_memory *memory = from_base(base);
	bool writable = true;

	for (uint64_t at = 0; at < bytes && writable; at += CLEAR_STEP_BYTES) {
		pthread_mutex_lock(&memory->lock);
		writable = ring(memory);
		if (writable)
			zero_pages(memory->bytes + at, min_u64(CLEAR_STEP_BYTES, bytes - at));
		pthread_mutex_unlock(&memory->lock);
	}
	pthread_mutex_lock(&memory->lock);
	set_all_dirty(memory);
	(void)ring(memory);
	pthread_mutex_unlock(&memory->lock);
}

/* The guest writes when a vCPU runs, and else nobody does but we ourselves. A vCPU that is in the
 * guest as its clock is read is seen to have moved on at the next reading. Both numbers only grow,
 * so the same sum means that neither has. */
static uint64_t memory_activity(struct device_memory *base)
{
	struct kvm_memory *memory = from_base(base);
	uint64_t time_ns = kvm_vcpu_time_ns(memory->kvm);

	return time_ns ? time_ns + atomic_load(&memory->changes) : 0;
}

bool kvm_memory_faulted(struct kvm *kvm, unsigned disarms)
{
	bool again = true;

	for (unsigned i = 0; i < kvm->memory_count; i++) {
		struct kvm_memory *memory = from_base(kvm->memories[i]);

		pthread_mutex_lock(&memory->lock);
		again = ring(memory) && again;
		pthread_mutex_unlock(&memory->lock);
	}
	return again && kvm_disarms(kvm) != disarms;
}

static bool covers(struct kvm_memory *memory, uint64_t gpa, unsigned length)
{
	uint64_t base_gpa = atomic_load(&memory->mapped_gpa);

	return base_gpa && length && gpa >= base_gpa &&
	       range_fits(gpa - base_gpa, length, memory->base.size_bytes);
}

/* Lock held. */
static void store(struct kvm_memory *memory, uint64_t offset, const void *data, unsigned length)
{
	uint64_t page = offset / PAGE_BYTES;

	if (!ring(memory))
		return;
	memcpy(memory->bytes + offset, data, length);
	for (; page <= (offset + length - 1) / PAGE_BYTES; page++)
		memory->stores[page / 64] |= UINT64_C(1) << page % 64;
	memory->has_stores = true;
	atomic_fetch_add(&memory->changes, 1);
}

bool kvm_memory_store(struct kvm *kvm, uint64_t gpa, const void *data, unsigned length)
{
	bool made = false;

	for (unsigned i = 0; i < kvm->memory_count && !made; i++) {
		struct kvm_memory *memory = from_base(kvm->memories[i]);

		/* Most MMIO is somebody else's and needs no lock of ours. */
		if (!covers(memory, gpa, length))
			continue;
		pthread_mutex_lock(&memory->lock);
		made = covers(memory, gpa, length);
		if (made)
			store(memory, gpa - memory->mapped_gpa, data, length);
		pthread_mutex_unlock(&memory->lock);
	}
	return made;
}

static const struct device_memory_ops memory_ops = {
	.map = memory_map,
	.unmap = memory_unmap,
	.collect_dirty = memory_collect_dirty,
	.arm = memory_arm,
	.disarm = memory_disarm,
	.clear = memory_clear,
	.activity = memory_activity,
};

int kvm_memory_create(struct kvm *kvm, const char *owner, uint64_t size_bytes,
	struct device_memory **out, struct error *err)
{
	struct kvm_enable_cap keep_log = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };
	size_t bitmap_bytes = size_bytes / PAGE_BYTES / 8;
	struct kvm_memory *memory;

	if (!size_bytes || size_bytes % KIB(256))
		return error_set(err, EINVAL, "%s: memory of %llu bytes is not a multiple of 256K",
			owner, (unsigned long long)size_bytes);
	if (kvm->memory_count == KVM_MAX_DEVICE_MEMORIES)
		return error_set(err, ENOSPC, "%s: there are %d such memories already", owner,
			KVM_MAX_DEVICE_MEMORIES);
	memory = calloc(1, sizeof(*memory) + 2 * bitmap_bytes);
	if (!memory)
		return error_set(err, ENOMEM, "%s: out of memory", owner);
	memory->bytes = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory->bytes == MAP_FAILED) {
		free(memory);
		return error_set(err, ENOMEM, "%s: the host does not have %llu MiB", owner,
			(unsigned long long)(size_bytes >> 20));
	}
	madvise(memory->bytes, size_bytes, MADV_DONTDUMP);
	memory->base.ops = &memory_ops;
	memory->base.hva = memory->bytes;
	memory->base.size_bytes = size_bytes;
	memory->kvm = kvm;
	memory->owner = owner;
	memory->slot = take_slot(kvm);
	memory->stores = memory->bitmap + bitmap_bytes / sizeof(*memory->bitmap);
	memory->bell = -1;
	memory->keeps_log = !kvm_vm_ioctl(kvm, KVM_ENABLE_CAP, &keep_log);
	pthread_mutex_init(&memory->lock, NULL);
	kvm->memories[kvm->memory_count++] = &memory->base;
	*out = &memory->base;
	return 0;
}

void kvm_memory_destroy(struct device_memory *base)
{
	struct kvm_memory *memory;

	if (!base)
		return;
	memory = from_base(base);
	memory_unmap(base);
	for (unsigned i = 0; i < memory->kvm->memory_count; i++) {
		if (memory->kvm->memories[i] == base)
			memory->kvm->memories[i] =
				memory->kvm->memories[--memory->kvm->memory_count];
	}
	munmap(memory->bytes, base->size_bytes);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}
