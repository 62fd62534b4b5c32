/* Video memory on a real KVM: the dirty log, and being told of the next write. The guests run in
 * ring 3, where the processor executes them, and in ring 0, where some KVMs emulate them. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/kvm.h"
#include "ring3_guest.h"

#define MEMORY_BYTES MIB(1)
#define WORDS        (MEMORY_BYTES / PAGE_BYTES / 64)
#define DONE_PORT    0x10

/* Stores AL at RDI, RCX times, then leaves by DONE_PORT. */
static const uint8_t store_code[] = { 0xf3, 0xaa, 0xe6, DONE_PORT };
/* RCX times: inc byte [rdi + rcx * 8]; then DONE_PORT. */
static const uint8_t scatter_code[] = { 0xfe, 0x04, 0xcf, 0xff, 0xc9, 0x75, 0xf9, 0xe6, DONE_PORT };

struct cpu {
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	struct fixture *fixture;
	unsigned faults, stores;
	int error;
};

struct fixture {
	struct kvm kvm;
	struct guest_mem mem;
	struct device_memory *memory;
	struct cpu cpus[2];
	int bell;
	uint64_t bitmap[WORDS];
};

static void create_cpu(struct fixture *f, struct cpu *cpu, unsigned index)
{
	cpu->fixture = f;
	cpu->fd = ioctl(f->kvm.vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	assert_true(cpu->fd > 0);
	cpu->run = mmap(NULL, f->kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	assert_ptr_not_equal(cpu->run, MAP_FAILED);
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(kvm_create(&f.kvm, "/dev/kvm", NULL), 0);
	assert_int_equal(guest_mem_init(&f.mem, RING3_RAM_BYTES, NULL), 0);
	assert_int_equal(kvm_map_ram(&f.kvm, &f.mem, NULL), 0);
	assert_int_equal(kvm_memory_create(&f.kvm, "memory", MEMORY_BYTES, &f.memory, NULL), 0);
	assert_int_equal(f.memory->ops->map(f.memory, RING3_MEMORY_GPA), 0);
	ring3_set_page_tables(f.mem.regions[0].start_hva);
	for (unsigned i = 0; i < array_size(f.cpus); i++)
		create_cpu(&f, &f.cpus[i], i);
	f.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	(void)f.memory->ops->collect_dirty(f.memory, f.bitmap, NULL, WORDS);
	memset(f.bitmap, 0, sizeof(f.bitmap));
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < array_size(f->cpus); i++) {
		munmap(f->cpus[i].run, f->kvm.run_bytes);
		close(f->cpus[i].fd);
	}
	kvm_memory_destroy(f->memory);
	assert_int_equal(f->kvm.memory_count, 0);
	kvm_destroy(&f->kvm);
	guest_mem_fini(&f->mem);
	close(f->bell);
	return 0;
}

static uint64_t rings(struct fixture *f)
{
	uint64_t count = 0;

	return read(f->bell, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void arm(struct fixture *f)
{
	assert_int_equal(f->memory->ops->arm(f->memory, f->bell, 0, MEMORY_BYTES), 0);
}

static bool is_dirty(struct fixture *f, uint64_t offset)
{
	return f->bitmap[offset / PAGE_BYTES / 64] >> offset / PAGE_BYTES % 64 & 1;
}

static int collect_watching(struct fixture *f, const uint64_t *watched)
{
	memset(f->bitmap, 0, sizeof(f->bitmap));
	return f->memory->ops->collect_dirty(f->memory, f->bitmap, watched, WORDS);
}

static int collect(struct fixture *f)
{
	return collect_watching(f, NULL);
}

/* As a vCPU's thread does, until the guest is done. */
static void *run_cpu(void *opaque)
{
	struct cpu *cpu = opaque;
	struct kvm *kvm = &cpu->fixture->kvm;
	struct kvm_run *run = cpu->run;

	for (;;) {
		unsigned disarms = kvm_disarms(kvm);

		if (ioctl(cpu->fd, KVM_RUN, 0) < 0) {
			cpu->error = errno;
			if (errno != EFAULT || !kvm_memory_faulted(kvm, disarms))
				return NULL;
			cpu->error = 0;
			cpu->faults++;
		} else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write &&
			   kvm_memory_store(
				   kvm, run->mmio.phys_addr, run->mmio.data, run->mmio.len)) {
			cpu->stores++;
		} else {
			cpu->error = run->exit_reason == KVM_EXIT_IO ? 0 : -(int)run->exit_reason;
			return NULL;
		}
	}
}

static void begin(struct cpu *cpu, bool ring3, uint64_t offset, uint64_t count)
{
	struct kvm_regs regs;

	assert_int_equal(ring3_set_registers(cpu->fd, ring3, RING3_MEMORY_GPA + offset, count), 0);
	assert_int_equal(ioctl(cpu->fd, KVM_GET_REGS, &regs), 0);
	regs.rax = 0x5a;
	assert_int_equal(ioctl(cpu->fd, KVM_SET_REGS, &regs), 0);
	cpu->faults = cpu->stores = 0;
}

static void set_code(struct fixture *f, const uint8_t *code, size_t length)
{
	assert_int_equal(guest_mem_write(&f->mem, RING3_CODE_GPA, code, length), 0);
}

static void check_string(struct fixture *f, bool ring3)
{
	struct cpu *cpu = &f->cpus[0];
	const uint64_t start = 4 * PAGE_BYTES - 100, count = 2 * PAGE_BYTES + 200;

	set_code(f, store_code, sizeof(store_code));
	f->memory->ops->clear(f->memory, MEMORY_BYTES);
	(void)collect(f);
	arm(f);
	assert_int_equal(collect(f), 0);
	assert_int_equal(rings(f), 0);
	begin(cpu, ring3, start, count);
	run_cpu(cpu);
	assert_int_equal(cpu->error, 0);
	assert_int_equal(cpu->faults + cpu->stores, 1);
	assert_int_equal(rings(f), 1);
	assert_int_equal(collect(f), 1);
	for (uint64_t at = 0; at < MEMORY_BYTES; at++) {
		bool written = at >= start && at < start + count;

		assert_int_equal(f->memory->hva[at], written ? 0x5a : 0);
		if (written)
			assert_true(is_dirty(f, at));
	}
	assert_false(is_dirty(f, start - PAGE_BYTES));
	assert_false(is_dirty(f, start + count + PAGE_BYTES));
}

static void kvm_memory_string_store_by_the_processor_rings_once(void **state)
{
	check_string(*state, true);
}

static void kvm_memory_string_store_in_ring_0_rings_once(void **state)
{
	check_string(*state, false);
}

static void kvm_memory_disarmed_does_not_ring(void **state)
{
	struct fixture *f = *state;

	set_code(f, store_code, sizeof(store_code));
	arm(f);
	f->memory->ops->disarm(f->memory);
	begin(&f->cpus[0], true, 0, 1);
	run_cpu(&f->cpus[0]);
	assert_int_equal(f->cpus[0].error, 0);
	assert_int_equal(rings(f), 0);
	assert_int_equal(collect(f), 1);
}

/* Armed is the page that has the first byte, up to the one with the last; or none at all. */
static void kvm_memory_rings_for_the_armed_pages_only(void **state)
{
	static const struct {
		uint64_t offset;
		bool rings;
	} writes[] = { { 5 * PAGE_BYTES - 1, false }, { 5 * PAGE_BYTES, true },
		{ 7 * PAGE_BYTES - 1, true }, { 7 * PAGE_BYTES, false } };
	struct fixture *f = *state;

	set_code(f, store_code, sizeof(store_code));
	for (unsigned i = 0; i < 4 * array_size(writes); i++) {
		bool none = i & 1, ring3 = i & 2;
		uint64_t start = none ? 0 : 6 * PAGE_BYTES - 1;

		arm(f); /* for all, which no longer counts then */
		assert_int_equal(f->memory->ops->arm(f->memory, f->bell, start, none ? 0 : 2), 0);
		begin(&f->cpus[0], ring3, writes[i / 4].offset, 1);
		run_cpu(&f->cpus[0]);
		assert_int_equal(f->cpus[0].error, 0);
		assert_int_equal(rings(f), writes[i / 4].rings && !none);
		assert_int_equal(collect(f), 1);
		assert_true(is_dirty(f, writes[i / 4].offset));
		f->memory->ops->disarm(f->memory);
	}
	assert_int_equal(f->memory->ops->arm(f->memory, f->bell, MEMORY_BYTES, 1), -EINVAL);
	assert_int_equal(f->memory->ops->arm(f->memory, f->bell, 1, UINT64_MAX), -EINVAL);
}

static void kvm_memory_reading_does_not_ring(void **state)
{
	/* rep lodsb from RSI = 0 + ...: mov al, [rdi]; out */
	static const uint8_t code[] = { 0x8a, 0x07, 0xe6, DONE_PORT };
	struct fixture *f = *state;

	set_code(f, code, sizeof(code));
	for (unsigned ring = 0; ring <= 3; ring += 3) {
		arm(f);
		begin(&f->cpus[0], ring == 3, 77, 1);
		run_cpu(&f->cpus[0]);
		assert_int_equal(f->cpus[0].error, 0);
		assert_int_equal(rings(f), 0);
	}
}

static void kvm_memory_clearing_and_moving_ring(void **state)
{
	struct fixture *f = *state;

	arm(f);
	f->memory->ops->clear(f->memory, 100);
	assert_int_equal(rings(f), 1);
	assert_int_equal(collect(f), 1);
	arm(f);
	assert_int_equal(f->memory->ops->map(f->memory, RING3_MEMORY_GPA + MIB(16)), 0);
	assert_int_equal(rings(f), 1);
	arm(f);
	f->memory->ops->unmap(f->memory);
	assert_int_equal(rings(f), 1);
	assert_int_equal(collect(f), 1);
	/* Nobody is there to store to. */
	assert_false(kvm_memory_store(&f->kvm, RING3_MEMORY_GPA + MIB(16), "x", 1));
}

static void kvm_memory_stores_stay_inside(void **state)
{
	struct fixture *f = *state;
	uint64_t end = RING3_MEMORY_GPA + MEMORY_BYTES;

	assert_false(kvm_memory_store(&f->kvm, RING3_MEMORY_GPA - 1, "abcdefgh", 8));
	assert_false(kvm_memory_store(&f->kvm, end - 7, "abcdefgh", 8));
	assert_false(kvm_memory_store(&f->kvm, UINT64_MAX - 3, "abcdefgh", 8));
	assert_int_equal(collect(f), 0);
	assert_true(kvm_memory_store(&f->kvm, end - 8, "abcdefgh", 8));
	assert_memory_equal(f->memory->hva + MEMORY_BYTES - 8, "abcdefgh", 8);
	assert_int_equal(collect(f), 1);
	assert_true(is_dirty(f, MEMORY_BYTES - 1));
}

static void kvm_memory_other_faults_are_not_its_own(void **state)
{
	struct fixture *f = *state;
	uint8_t *ram = f->mem.regions[0].start_hva;

	/* A page of RAM that the host does not let the guest write to. */
	set_code(f, store_code, sizeof(store_code));
	assert_int_equal(mprotect(ram + MIB(2), PAGE_BYTES, PROT_READ), 0);
	assert_int_equal(ring3_set_registers(f->cpus[0].fd, true, MIB(2), 1), 0);
	arm(f);
	run_cpu(&f->cpus[0]);
	/* One more try for the memory that was armed, and no third. */
	assert_int_equal(f->cpus[0].error, EFAULT);
	assert_int_equal(f->cpus[0].faults, 1);
	assert_int_equal(mprotect(ram + MIB(2), PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
}

static void kvm_memory_watched_pages_are_told_when_they_no_longer_are(void **state)
{
	static const uint64_t first_page[WORDS] = { 1 };
	struct fixture *f = *state;

	set_code(f, store_code, sizeof(store_code));
	for (unsigned ring = 0; ring <= 3; ring += 3) {
		begin(&f->cpus[0], ring == 3, 0, PAGE_BYTES + 1);
		run_cpu(&f->cpus[0]);
		assert_int_equal(f->cpus[0].error, 0);
		assert_int_equal(collect_watching(f, first_page), 1);
		assert_false(is_dirty(f, 0));
		assert_true(is_dirty(f, PAGE_BYTES));
		assert_int_equal(collect_watching(f, first_page), 0);
		assert_int_equal(collect(f), 1);
		assert_true(is_dirty(f, 0));
		assert_int_equal(collect(f), 0);
	}
}

/* Two processors write all over the memory while it is armed and looked at all the time. What is
 * put together from the pages that were told, or watched, is what is there. */
static void kvm_memory_no_write_is_lost_between_processors(void **state)
{
	struct fixture *f = *state;
	uint8_t *copy = malloc(MEMORY_BYTES);
	uint64_t watched[WORDS] = { 0 };

	memcpy(copy, f->memory->hva, MEMORY_BYTES);
	set_code(f, scatter_code, sizeof(scatter_code));
	for (unsigned round = 0; round < 20; round++) {
		unsigned rung = 0;

		for (unsigned i = 0; i < 2; i++) {
			begin(&f->cpus[i], true, i, 130000 + round);
			assert_int_equal(
				pthread_create(&f->cpus[i].thread, NULL, run_cpu, &f->cpus[i]), 0);
		}
		for (unsigned look = 0; look < 60; look++) {
			if (look == 59) {
				pthread_join(f->cpus[0].thread, NULL);
				pthread_join(f->cpus[1].thread, NULL);
			}
			arm(f);
			for (size_t i = 0; i < WORDS; i++)
				watched[i] =
					look == 59 ? 0
						   : (uint64_t)random() << 33 ^ (uint64_t)random();
			(void)collect_watching(f, watched);
			for (size_t i = 0; i < WORDS; i++)
				f->bitmap[i] |= watched[i];
			for (uint64_t at = 0; at < MEMORY_BYTES; at += PAGE_BYTES)
				if (is_dirty(f, at))
					memcpy(copy + at, f->memory->hva + at, PAGE_BYTES);
			rung += rings(f) != 0;
		}
		assert_int_equal(f->cpus[0].error, 0);
		assert_int_equal(f->cpus[1].error, 0);
		assert_true(rung > 0);
	}
	assert_memory_equal(copy, f->memory->hva, MEMORY_BYTES);
	free(copy);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(kvm_memory_string_store_by_the_processor_rings_once),
		test(kvm_memory_string_store_in_ring_0_rings_once),
		test(kvm_memory_disarmed_does_not_ring),
		test(kvm_memory_rings_for_the_armed_pages_only),
		test(kvm_memory_reading_does_not_ring),
		test(kvm_memory_clearing_and_moving_ring),
		test(kvm_memory_stores_stay_inside),
		test(kvm_memory_other_faults_are_not_its_own),
		test(kvm_memory_watched_pages_are_told_when_they_no_longer_are),
		test(kvm_memory_no_write_is_lost_between_processors),
	};

	if (access("/dev/kvm", R_OK | W_OK)) {
		printf("skipped: /dev/kvm cannot be used here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
