/* The refresh thread over the graphics card and its memory on a real KVM: whatever the guest writes
 * or sets, and whenever it stops, the surface becomes what the card shows, with nobody's help. It
 * stops at random times around those at which the thread looks, arms the memory and goes to rest.
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
#define ROWS        819u /* of 32 bits a pixel in VRAM */
#define DONE_PORT   0x10
#define PATIENCE_NS UINT64_C(20000000000)
#define STOPS       700

enum {
	DISPI_BPP = 3,
	DISPI_ENABLE = 4,
	DISPI_Y_OFFSET = 9,
};

/* Stores AL at RDI, RCX times, then leaves by DONE_PORT. */
static const uint8_t store_code[] = { 0xf3, 0xaa, 0xe6, DONE_PORT };

struct fixture {
	struct kvm kvm;
	struct guest_mem mem;
	struct device_memory *memory;
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct vga *vga;
	struct display_source *source;
	bool dark;
	struct surface *surface;
	struct surface_reader *reader;
	struct refresh *refresh;
	struct kvm_run *run;
	int cpu;
	unsigned seed;
	unsigned woken; /* writes that found the memory armed */
};

/* The card's memory is where the page tables have the memory under test. */
static void create_card(struct fixture *f)
{
	static const struct vga_options options = { WIDTH, HEIGHT, 32 };
	struct pci_bus_config config = { .mmio_base = RING3_MEMORY_GPA,
		.mmio_end = RING3_MEMORY_GPA + MIB(64),
		.ports_base = 0xc000,
		.ports_end = 0xd000 };
	struct error err;

	config.ports = f->ports = bus_create("ports", 0x10000);
	config.mmio = f->mmio = bus_create("mmio", 0);
	assert_true(f->ports && f->mmio);
	assert_int_equal(pci_bus_create(&config, &f->pci, &err), 0);
	assert_int_equal(vga_create(&options, f->memory, &f->vga, &err), 0);
	assert_int_equal(vga_attach(f->vga, f->ports, f->pci, 1, &err), 0);
	assert_int_equal(vga_framebuffer_gpa(f->vga), RING3_MEMORY_GPA);
	f->source = vga_get_source(f->vga);
}

static int setup(void **state)
{
	static struct fixture f;
	struct error err;

	memset(&f, 0, sizeof(f));
	assert_int_equal(kvm_create(&f.kvm, "/dev/kvm", NULL), 0);
	assert_int_equal(guest_mem_init(&f.mem, RING3_RAM_BYTES, NULL), 0);
	assert_int_equal(kvm_map_ram(&f.kvm, &f.mem, NULL), 0);
	assert_int_equal(kvm_memory_create(&f.kvm, "memory", VRAM, &f.memory, NULL), 0);
	ring3_set_page_tables(f.mem.regions[0].start_hva);
	assert_int_equal(
		guest_mem_write(&f.mem, RING3_CODE_GPA, store_code, sizeof(store_code)), 0);
	f.cpu = ioctl(f.kvm.vm_fd, KVM_CREATE_VCPU, 0ul);
	assert_true(f.cpu > 0);
	f.run = mmap(NULL, f.kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f.cpu, 0);
	assert_ptr_not_equal(f.run, MAP_FAILED);
	create_card(&f);
	f.surface = surface_create();
	f.reader = surface_reader_create(f.surface, NULL, NULL);
	assert_non_null(f.reader);
	assert_int_equal(refresh_create(f.source, f.surface, HZ, &f.refresh, &err), 0);
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
	pci_bus_destroy(f->pci);
	bus_destroy(f->mmio);
	bus_destroy(f->ports);
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

static void set_dispi(struct fixture *f, uint16_t index, uint16_t value)
{
	assert_true(bus_write(f->ports, 0x1ce, &index, 2));
	assert_true(bus_write(f->ports, 0x1cf, &value, 2));
}

static void set_port(struct fixture *f, unsigned port, uint32_t value)
{
	uint8_t byte = (uint8_t)value;

	assert_true(bus_write(f->ports, port, &byte, 1));
}

static void set_dark(struct fixture *f, bool dark)
{
	f->dark = dark;
	set_port(f, 0x3c4, 1);
	set_port(f, 0x3c5, dark ? 0x21 : 0x01);
}

/* Pixels most of the time, and those in the picture; else the place in memory, a colour, the depth,
 * or the screen's switch.
 */
static void guest_changes_something(struct fixture *f)
{
	uint64_t count = random_below(f, 30) ? 1 + random_below(f, 12) : 5000, offset;
	struct display_mode mode;

	if (f->dark && random_below(f, 2))
		set_dark(f, false);
	switch (random_below(f, 16)) {
	case 0:
	case 1:
		set_dispi(f, DISPI_Y_OFFSET, (uint16_t)random_below(f, ROWS - HEIGHT + 1));
		break;
	case 2:
	case 3:
		set_port(f, 0x3c8, random_below(f, 256));
		for (unsigned i = 0; i < 3; i++)
			set_port(f, 0x3c9, random_below(f, 64));
		break;
	case 4:
		set_dispi(f, DISPI_ENABLE, 0);
		set_dispi(f, DISPI_BPP, random_below(f, 2) ? 8 : 32);
		set_dispi(f, DISPI_ENABLE, 0xc1); /* linear, and memory stays as it is */
		break;
	case 5:
		set_dark(f, true);
		break;
	default:
		f->source->ops->get_mode(f->source, &mode);
		offset = random_below(f, 4) ? mode.offset_bytes + random_below(f, WIDTH * HEIGHT)
					    : random_below(f, VRAM);
		guest_writes(f, min_u64(offset, VRAM - count), count);
		break;
	}
}

static uint32_t expected_pixel(
	struct fixture *f, const struct display_mode *mode, const uint32_t *palette, uint32_t place)
{
	const uint8_t *first = f->memory->hva + mode->offset_bytes;

	if (mode->blank)
		return 0;
	if (mode->format == PIXEL_INDEX8)
		return palette[first[place]];
	return ((const uint32_t *)(const void *)first)[place] & 0xffffff;
}

/* Rows have no gaps in these modes. */
static bool is_shown(struct fixture *f, uint64_t *frame)
{
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	struct display_mode mode;
	uint32_t palette[256];
	bool same;

	f->source->ops->get_mode(f->source, &mode);
	(void)f->source->ops->get_palette(f->source, palette);
	(void)surface_read_begin(f->reader, &view, rects);
	*frame = view.frame;
	same = view.width == WIDTH && view.height == HEIGHT;
	for (uint32_t i = 0; same && i < WIDTH * HEIGHT; i++)
		same = view.pixels[i] == expected_pixel(f, &mode, palette, i);
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
			guest_changes_something(f);
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
	assert_true(f->woken > stops / 20);
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
