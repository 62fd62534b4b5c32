/* The refresh thread over video memory on a real KVM: whatever the guest writes, and whenever it
 * stops, the picture becomes what is in memory, with nobody's help. It stops at random times around
 * those at which the thread looks, arms the memory and goes to rest.
 *
 * VMGUI_TEST_STOPS=N: so often, instead of what fits in a test. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/clock.h"
#include "core/kvm.h"
#include "devices/vga.h"
#include "display/refresh.h"
#include "ring3_guest.h"

#define VRAM        MIB(1)
#define WIDTH       320u
#define HEIGHT      200u
#define HZ          1000 /* from the first write to rest are some 6 ms */
#define DONE_PORT   0x10
#define PATIENCE_NS UINT64_C(20000000000)
#define STOPS       700

/* Stores AL at RDI, RCX times, then leaves by DONE_PORT. */
static const uint8_t store_code[] = { 0xf3, 0xaa, 0xe6, DONE_PORT };

struct fixture {
	struct kvm kvm;
	struct guest_mem mem;
	struct device_memory *memory;
	struct vga *vga;
	struct surface *surface;
	struct surface_reader *reader;
	struct refresh *refresh;
	struct kvm_run *run;
	int cpu;
	unsigned seed;
	unsigned woken; /* writes that found the memory armed */
};

static int setup(void **state)
{
	static const struct vga_options options = { WIDTH, HEIGHT, 32 };
	static struct fixture f;
	struct error err;

	memset(&f, 0, sizeof(f));
	assert_int_equal(kvm_create(&f.kvm, "/dev/kvm", NULL), 0);
	assert_int_equal(guest_mem_init(&f.mem, RING3_RAM_BYTES, NULL), 0);
	assert_int_equal(kvm_map_ram(&f.kvm, &f.mem, NULL), 0);
	assert_int_equal(kvm_memory_create(&f.kvm, "memory", VRAM, &f.memory, NULL), 0);
	assert_int_equal(f.memory->ops->map(f.memory, RING3_MEMORY_GPA), 0);
	ring3_set_page_tables(f.mem.regions[0].start_hva);
	assert_int_equal(
		guest_mem_write(&f.mem, RING3_CODE_GPA, store_code, sizeof(store_code)), 0);
	f.cpu = ioctl(f.kvm.vm_fd, KVM_CREATE_VCPU, 0ul);
	assert_true(f.cpu > 0);
	f.run = mmap(NULL, f.kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f.cpu, 0);
	assert_ptr_not_equal(f.run, MAP_FAILED);
	assert_int_equal(vga_create(&options, f.memory, &f.vga, &err), 0);
	f.surface = surface_create();
	f.reader = surface_reader_create(f.surface, NULL, NULL);
	assert_non_null(f.reader);
	assert_int_equal(refresh_create(vga_get_source(f.vga), f.surface, HZ, &f.refresh, &err), 0);
	assert_int_equal(refresh_start(f.refresh, &err), 0);
	f.seed = (unsigned)time(NULL);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct device *device = vga_get_device(f->vga);

	refresh_destroy(f->refresh);
	surface_reader_destroy(f->reader);
	surface_destroy(f->surface);
	device->ops->destroy(device);
	munmap(f->run, f->kvm.run_bytes);
	close(f->cpu);
	kvm_memory_destroy(f->memory);
	kvm_destroy(&f->kvm);
	guest_mem_fini(&f->mem);
	return 0;
}

static uint32_t random_below(struct fixture *f, uint32_t limit)
{
	return (uint32_t)rand_r(&f->seed) % limit;
}

/* By the processor in ring 3, or by KVM's own hands in ring 0 where it emulates that. */
static void guest_writes(struct fixture *f, uint64_t offset, uint64_t count)
{
	struct kvm_regs regs;

	assert_int_equal(
		ring3_set_registers(f->cpu, random_below(f, 2), RING3_MEMORY_GPA + offset, count),
		0);
	assert_int_equal(ioctl(f->cpu, KVM_GET_REGS, &regs), 0);
	regs.rax = random_below(f, 256);
	assert_int_equal(ioctl(f->cpu, KVM_SET_REGS, &regs), 0);
	for (;;) {
		unsigned disarms = kvm_disarms(&f->kvm);

		if (ioctl(f->cpu, KVM_RUN, 0) < 0) {
			assert_int_equal(errno, EFAULT);
			assert_true(kvm_memory_faulted(&f->kvm, disarms));
			f->woken++;
		} else if (f->run->exit_reason == KVM_EXIT_MMIO) {
			assert_true(kvm_memory_store(&f->kvm, f->run->mmio.phys_addr,
				f->run->mmio.data, f->run->mmio.len));
			f->woken++;
		} else {
			assert_int_equal(f->run->exit_reason, KVM_EXIT_IO);
			return;
		}
	}
}

static void wait_us(uint32_t microseconds)
{
	const struct timespec time = { .tv_nsec = (long)microseconds * 1000 };

	nanosleep(&time, NULL);
}

/* What is in memory; the X byte of a pixel does not count. */
static bool is_shown(struct fixture *f, uint64_t *frame)
{
	const uint32_t *pixels = (const uint32_t *)(const void *)f->memory->hva;
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	bool same;

	(void)surface_read_begin(f->reader, &view, rects);
	*frame = view.frame;
	same = view.width == WIDTH && view.height == HEIGHT;
	for (size_t i = 0; same && i < (size_t)WIDTH * HEIGHT; i++)
		same = view.pixels[i] == (pixels[i] & 0xffffff);
	surface_read_end(f->reader);
	return same;
}

static void rest_loses_no_change(void **state)
{
	struct fixture *f = *state;
	const char *given = getenv("VMGUI_TEST_STOPS");
	unsigned stops = given ? (unsigned)atoi(given) : STOPS, seed = f->seed;

	for (unsigned stop = 0; stop < stops; stop++) {
		uint64_t deadline, frame;

		for (uint32_t writes = random_below(f, 4) + 1; writes; writes--) {
			uint64_t count = random_below(f, 30) ? 1 + random_below(f, 12) : 5000;

			guest_writes(f, random_below(f, WIDTH * HEIGHT * 4 - 5000), count);
			if (random_below(f, 2))
				wait_us(random_below(f, 3000));
		}
		deadline = clock_now_ns() + PATIENCE_NS;
		while (!is_shown(f, &frame)) {
			if (surface_wait_frame(f->surface, frame, deadline))
				fail_msg("the change before stop %u is lost; seed %u", stop, seed);
		}
		wait_us(random_below(f, 8000));
	}
	printf("%u stops, the memory was armed at %u writes\n", stops, f->woken);
	assert_true(f->woken > stops / 10);
}

/* The same where it is known when the guest runs, so that looks meanwhile need not read. */
static void rest_loses_no_change_of_a_guest_that_runs_now_and_then(void **state)
{
	struct fixture *f = *state;

	kvm_add_vcpu_thread(&f->kvm, pthread_self());
	assert_true(f->memory->ops->activity(f->memory) > 0);
	rest_loses_no_change(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rest_loses_no_change, setup, teardown),
		cmocka_unit_test_setup_teardown(
			rest_loses_no_change_of_a_guest_that_runs_now_and_then, setup, teardown),
	};

	if (access("/dev/kvm", R_OK | W_OK)) {
		printf("skipped: /dev/kvm cannot be used here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
